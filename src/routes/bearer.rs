//! `/bearer`: the pay that the caller may see.

use rocket::State;
use rocket::http::ContentType;
use serde::Serialize;

use crate::auth::Auth;
use crate::error::Error;
use crate::fairings::Context;
use crate::policy::{Allowed, Read};
use crate::store::disclosure::{self, Pay};

pub(super) fn routes() -> Vec<rocket::Route> {
    rocket::routes![get, post]
}

#[rocket::get("/bearer")]
async fn get(
    allowed: Allowed<Read>,
    auth: &State<Auth>,
    context: &Context,
) -> Result<(ContentType, String), Error> {
    list(&allowed, auth, context).await
}

#[rocket::post("/bearer")]
async fn post(
    allowed: Allowed<Read>,
    auth: &State<Auth>,
    context: &Context,
) -> Result<(ContentType, String), Error> {
    list(&allowed, auth, context).await
}

/// A row of the answer; the order of its members is the contract's.
#[derive(Serialize)]
struct Row {
    username: String,
    salary: String,
}

impl From<Pay> for Row {
    fn from(pay: Pay) -> Self {
        Self { username: pay.username.to_string(), salary: pay.salary.to_string() }
    }
}

async fn list(
    allowed: &Allowed<Read>,
    auth: &Auth,
    context: &Context,
) -> Result<(ContentType, String), Error> {
    let now = auth.ports.clock.now();
    let pay = disclosure::current_pay(&auth.db, allowed, now, &context.origin).await?;
    let rows: Vec<Row> = pay.into_iter().map(Row::from).collect();
    let body = serde_json::to_string(&rows).map_err(|_| Error::Internal)?;
    Ok((json(), body))
}

fn json() -> ContentType {
    ContentType::new("application", "json").with_params(("charset", "utf-8"))
}
