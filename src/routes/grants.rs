//! `/users/<name>/grants`: who may do what, for those who manage it.

use rocket::http::Status;
use utoipa::ToSchema;

use super::answer::Answer;
use super::body::{Members, Object, taken};
use super::parameters::parse_day;
use super::path::{Name, identifier};
use super::query::Query;
use crate::domain::{Line, Reach};
use crate::error::Error;
use crate::policy::{Allowed, Manage, Recent};
use crate::service::Act;
use crate::service::asked::parse_permission;
use crate::service::grants::{self, Gift};
use crate::service::schema::{self, Day as DayText, GrantReach, PermissionName};
use crate::service::shown::GrantBody;

pub(super) fn routes() -> Vec<rocket::Route> {
    rocket::routes![list_grants, give_grant, end_grant]
}

/// Every grant that a person has or had.
#[utoipa::path(
    get, path = "/users/{name}/grants", tag = "grants", security(("bearer" = ["manage"])),
    params(Name),
    responses((status = 200, description = "The grants", body = Vec<GrantBody>), (status = 404))
)]
#[rocket::get("/users/<name>/grants")]
pub(super) async fn list_grants(
    allowed: Allowed<Manage>,
    name: Name<'_>,
    query: Query,
    act: Act<'_>,
) -> Result<Answer, Error> {
    query.finish()?;
    let found = grants::list(act, &allowed, &name.parse()?).await?;
    let today = act.now().day();
    Answer::json(&GrantBody::all(&found, today))
}

/// A grant to be given.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is parsed member by member")]
#[serde(deny_unknown_fields)]
struct NewGrantBody {
    #[schema(value_type = PermissionName)]
    permission: String,
    #[schema(value_type = GrantReach)]
    reach: String,
    /// The last day on which it holds; without it: without end.
    #[schema(value_type = Option<DayText>)]
    until: Option<String>,
    /// Why it is given.
    #[schema(value_type = schema::Line)]
    reason: String,
}

/// Give a grant. Nobody can give more than they hold.
#[utoipa::path(
    post, path = "/users/{name}/grants", tag = "grants", security(("bearer" = ["manage"])),
    params(Name), request_body = NewGrantBody,
    responses(
        (status = 201, description = "It is given", body = GrantBody, headers(("Location"))),
        (status = 404),
        (status = 409),
    )
)]
#[rocket::post("/users/<name>/grants", data = "<object>")]
pub(super) async fn give_grant(
    allowed: Recent<Allowed<Manage>>,
    name: Name<'_>,
    query: Query,
    object: Object,
    act: Act<'_>,
) -> Result<Answer, Error> {
    query.finish()?;
    let gift = gift(object.0?)?;
    let username = name.parse()?;
    let given = grants::give(act, &allowed, &username, gift).await?;
    let place = format!("/users/{username}/grants/{}", given.grant.grant_id);
    let body = GrantBody::new(&given, act.now().day());
    Ok(Answer::json(&body)?.created_at(place))
}

fn gift(mut members: Members) -> Result<Gift, Error> {
    let permission = members.text("permission", parse_permission);
    let reach = members.text("reach", Reach::parse);
    let until = members.optional("until", parse_day).flatten();
    let reason = members.text("reason", Line::parse);
    members.finish()?;
    Ok(Gift { permission: taken(permission)?, reach: taken(reach)?, until, reason: taken(reason)? })
}

/// End a grant.
#[utoipa::path(
    delete, path = "/users/{name}/grants/{id}", tag = "grants",
    security(("bearer" = ["manage"])),
    params(Name, ("id" = String, Path, description = "The grant's `id`")),
    responses((status = 204, description = "It has ended"), (status = 404), (status = 409))
)]
#[rocket::delete("/users/<name>/grants/<id>")]
pub(super) async fn end_grant(
    allowed: Recent<Allowed<Manage>>,
    name: Name<'_>,
    id: &str,
    query: Query,
    act: Act<'_>,
) -> Result<Status, Error> {
    query.finish()?;
    grants::end(act, &allowed, &name.parse()?, identifier(id)?).await?;
    Ok(Status::NoContent)
}
