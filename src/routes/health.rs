//! `/live` and `/ready`: for whatever watches over the server.

use rocket::State;

use crate::auth::Auth;
use crate::error::Error;

pub(super) fn routes() -> Vec<rocket::Route> {
    rocket::routes![live, ready]
}

/// The process answers.
#[utoipa::path(
    get, path = "/live", tag = "server",
    responses((status = 200, description = "It does", body = String))
)]
#[rocket::get("/live")]
pub(super) fn live() -> &'static str {
    "live\n"
}

/// The database answers, and its schema is this binary's.
#[utoipa::path(
    get, path = "/ready", tag = "server",
    responses((status = 200, description = "They do", body = String), (status = 503))
)]
#[rocket::get("/ready")]
pub(super) async fn ready(auth: &State<Auth>) -> Result<&'static str, Error> {
    auth.db.check().await?;
    Ok("ready\n")
}
