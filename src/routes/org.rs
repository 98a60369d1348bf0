//! `/org`: what the caller's org demands of its people.

use serde::Serialize;
use utoipa::ToSchema;

use super::answer::Answer;
use super::body::{Object, taken};
use super::guard::Authenticated;
use super::query::Query;
use crate::error::Error;
use crate::policy::{Allowed, Manage, Recent};
use crate::service::{Act, orgs, schema};

pub(super) fn routes() -> Vec<rocket::Route> {
    rocket::routes![get_org, change_org]
}

/// An org.
#[derive(Serialize, ToSchema)]
struct OrgBody {
    #[schema(value_type = schema::Name)]
    org: String,
    /// Whether `manage` and `write` count only for who signed in with a second factor.
    second_factor: bool,
}

/// The caller's org.
#[utoipa::path(
    get, path = "/org", tag = "people", security(("bearer" = [])),
    responses((status = 200, description = "The org", body = OrgBody), (status = 404))
)]
#[rocket::get("/org")]
pub(super) async fn get_org(
    caller: Authenticated,
    query: Query,
    act: Act<'_>,
) -> Result<Answer, Error> {
    query.finish()?;
    let second_factor = orgs::demands_second_factor(act, &caller.0).await?;
    Answer::json(&OrgBody { org: caller.0.account().org.to_string(), second_factor })
}

/// What is to be changed about an org.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is parsed member by member")]
#[serde(deny_unknown_fields)]
struct OrgChanges {
    /// Whether `manage` and `write` are to count only for who signed in with a second factor.
    second_factor: bool,
}

/// Change what the org demands. It acts on the next request of everybody.
#[utoipa::path(
    patch, path = "/org", tag = "people", security(("bearer" = ["manage"])),
    request_body = OrgChanges,
    responses(
        (status = 200, description = "The org as it is now", body = OrgBody),
        (status = 409),
    )
)]
#[rocket::patch("/org", data = "<object>")]
pub(super) async fn change_org(
    allowed: Recent<Allowed<Manage>>,
    query: Query,
    object: Object,
    act: Act<'_>,
) -> Result<Answer, Error> {
    query.finish()?;
    let mut members = object.0?;
    let second_factor = members.needed_flag("second_factor");
    members.finish()?;
    let second_factor = taken(second_factor)?;
    orgs::demand_second_factor(act, &allowed, second_factor).await?;
    Answer::json(&OrgBody { org: allowed.account().org.to_string(), second_factor })
}
