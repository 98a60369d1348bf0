//! `/me/password`: a user changes their own password.

use rocket::State;
use rocket::http::Status;
use utoipa::ToSchema;

use crate::auth::Auth;
use crate::error::Error;
use crate::policy::{Principal, Recent};
use crate::routes::body::{Object, parse_password, taken};
use crate::routes::query::Query;
use crate::service::{Act, passwords};

/// A change of password.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is parsed member by member")]
#[serde(deny_unknown_fields)]
struct PasswordChange {
    /// The password as it is.
    #[schema(max_length = 1024)]
    old: String,
    /// The password as it is to be: 15 characters or more (8 beside a second factor), of any kind;
    /// no common one, and more than a name.
    #[schema(min_length = 8, max_length = 1024)]
    new: String,
}

/// Change the caller's own password. All their other sessions and tokens end; this one goes on.
#[utoipa::path(
    put, path = "/me/password", tag = "sessions", security(("bearer" = [])),
    request_body = PasswordChange,
    responses((status = 204, description = "It is changed"), (status = 429))
)]
#[rocket::put("/me/password", data = "<object>")]
pub(in crate::routes) async fn change_password(
    caller: Recent<Principal>,
    query: Query,
    object: Object,
    act: Act<'_>,
    auth: &State<Auth>,
) -> Result<Status, Error> {
    query.finish()?;
    let mut members = object.0?;
    let old = members.text("old", parse_password);
    let new = members.text("new", parse_password);
    members.finish()?;
    passwords::change_own(act, auth, &caller, taken(old)?, &taken(new)?).await?;
    Ok(Status::NoContent)
}
