//! `/live` and `/ready`: for whatever watches over the server.

use rocket::State;

use crate::auth::Auth;
use crate::error::Error;

pub(super) fn routes() -> Vec<rocket::Route> {
    rocket::routes![live, ready]
}

/// The process answers.
#[rocket::get("/live")]
fn live() -> &'static str {
    "live\n"
}

/// The database answers, and its schema is this binary's.
#[rocket::get("/ready")]
async fn ready(auth: &State<Auth>) -> Result<&'static str, Error> {
    auth.db.check().await?;
    Ok("ready\n")
}
