//! `/me`: who the caller is and what they may do; and `/explain`: who may see somebody's pay.

pub(super) mod password;

use serde::Serialize;
use utoipa::ToSchema;

use super::answer::Answer;
use super::body::taken;
use super::guard::Authenticated;
use super::query::Query;
use crate::domain::Username;
use crate::error::Error;
use crate::service::people::{self, Whoami};
use crate::service::schema::{Line, Moment, Name, PermissionName};
use crate::service::shown::{ExplanationBody, GrantBody};
use crate::service::{Act, explain, factors};

pub(super) fn routes() -> Vec<rocket::Route> {
    rocket::routes![who_am_i, password::change_password, explain_sight]
}

/// Who the caller is.
#[derive(Serialize, ToSchema)]
struct Me {
    #[schema(value_type = Name)]
    username: String,
    #[schema(value_type = Name)]
    org: String,
    #[schema(value_type = Option<Line>, required)]
    name: Option<String>,
    #[schema(value_type = Option<Name>, required)]
    team: Option<String>,
    /// The permissions that this token gives now, over somebody.
    #[schema(value_type = Vec<PermissionName>)]
    perms: Vec<&'static str>,
    /// The grants that give them.
    grants: Vec<GrantBody>,
    /// Until when the password must be changed, which was made for the caller: nothing is permitted
    /// before. Null for a password of their own.
    #[schema(value_type = Option<Moment>, required)]
    password_expires: Option<String>,
    #[schema(inline)]
    second_factor: SecondFactor,
}

/// How the caller stands with a second factor.
#[derive(Serialize, ToSchema)]
struct SecondFactor {
    /// Whether their sign-in takes a code.
    on: bool,
    /// How many recovery codes are left.
    recovery_codes: i64,
    /// Whether their org demands one for `manage` and `write`.
    demanded: bool,
}

/// Who the caller is and what they may do.
#[utoipa::path(
    get, path = "/me", tag = "sessions", security(("bearer" = [])),
    responses((status = 200, description = "The caller", body = Me), (status = 404))
)]
#[rocket::get("/me")]
pub(super) async fn who_am_i(
    caller: Authenticated,
    query: Query,
    act: Act<'_>,
) -> Result<Answer, Error> {
    query.finish()?;
    let Whoami { person, held, password_expires_at } = people::whoami(act, &caller.0).await?;
    let factor = factors::standing(act, &caller.0).await?;
    let mut perms: Vec<&str> = held.iter().map(|held| held.grant.permission.name()).collect();
    perms.sort_unstable();
    perms.dedup();
    let today = act.now().day();
    let account = caller.0.account();
    Answer::json(&Me {
        username: account.username.to_string(),
        org: account.org.to_string(),
        name: person.full_name,
        team: person.team.map(|team| team.to_string()),
        perms,
        grants: GrantBody::all(&held, today),
        password_expires: password_expires_at.map(|end| end.to_string()),
        second_factor: SecondFactor {
            on: factor.confirmed_at.is_some(),
            recovery_codes: factor.codes_left,
            demanded: factor.is_demanded(),
        },
    })
}

/// Whether somebody sees somebody's pay, by which grants, and who else does.
#[utoipa::path(
    get, path = "/explain", tag = "people",
    security(("bearer" = ["manage"]), ("bearer" = ["audit"])),
    params(
        ("who" = Name, Query, description = "Who sees"),
        ("whom" = Name, Query, description = "Whose pay they see"),
    ),
    responses((status = 200, description = "The answer", body = ExplanationBody), (status = 404))
)]
#[rocket::get("/explain")]
pub(super) async fn explain_sight(
    caller: Authenticated,
    mut query: Query,
    act: Act<'_>,
) -> Result<Answer, Error> {
    let who = query.need("who", Username::parse);
    let whom = query.need("whom", Username::parse);
    query.finish()?;
    let (who, whom) = (taken(who)?, taken(whom)?);
    let found = explain::explain(act, &caller.0, &who, &whom).await?;
    Answer::json(&ExplanationBody::new(&who, &whom, &found, act.now().day()))
}
