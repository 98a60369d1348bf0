//! `/me/tokens`: machine tokens, which a user makes for a script. They are listed and ended among the
//! sessions, which they are.

use rocket::State;
use utoipa::ToSchema;

use super::answer::Answer;
use super::body::{Members, Object, taken};
use super::query::Query;
use crate::auth::Auth;
use crate::domain::TokenName;
use crate::error::Error;
use crate::policy::{Principal, Recent};
use crate::service::asked::{parse_end, parse_token_permission};
use crate::service::sessions::{self, NewToken};
use crate::service::shown::MintedBody;
use crate::service::{Act, schema};

pub(super) fn routes() -> Vec<rocket::Route> {
    rocket::routes![make_token]
}

/// A machine token to be made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is parsed member by member")]
#[serde(deny_unknown_fields)]
struct NewTokenBody {
    /// What no other live token of the user is called.
    #[schema(value_type = schema::Name)]
    name: String,
    /// The last day on which it is valid (in UTC), or the moment from which it is not: at most 366
    /// days ahead.
    #[schema(value_type = schema::End)]
    until: String,
    /// What it may do, of what the caller may: never `manage`.
    #[schema(value_type = Vec<schema::TokenPermission>, min_items = 1)]
    perms: Vec<String>,
}

/// Make a machine token, which is told this once. It never manages anybody, and makes no further
/// tokens.
#[utoipa::path(
    post, path = "/me/tokens", tag = "sessions",
    security(("bearer" = ["read"]), ("bearer" = ["write"]), ("bearer" = ["audit"])),
    request_body = NewTokenBody,
    responses(
        (status = 201, description = "It is made", body = MintedBody, headers(("Location"))),
        (status = 409),
    )
)]
#[rocket::post("/me/tokens", data = "<object>")]
pub(super) async fn make_token(
    caller: Recent<Principal>,
    query: Query,
    object: Object,
    auth: &State<Auth>,
    act: Act<'_>,
) -> Result<Answer, Error> {
    query.finish()?;
    let new = new_token(object.0?)?;
    let minted = sessions::mint(act, auth.signer(), &caller, &new).await?;
    let place = format!("/me/sessions/{}", minted.session.session_id);
    Ok(Answer::json(&MintedBody::from(&minted))?.created_at(place))
}

fn new_token(mut members: Members) -> Result<NewToken, Error> {
    let name = members.text("name", TokenName::parse);
    let until = members.text("until", parse_end);
    let perms = members.texts("perms", parse_token_permission);
    members.finish()?;
    Ok(NewToken { name: taken(name)?, until: taken(until)?, perms: taken(perms)? })
}
