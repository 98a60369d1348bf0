//! `/me`: who the caller is and what they may do; and `/explain`: who may see somebody's pay.

use serde::Serialize;

use super::answer::Answer;
use super::body::taken;
use super::guard::Authenticated;
use super::query::Query;
use crate::domain::Username;
use crate::error::Error;
use crate::service::shown::{ExplanationBody, GrantBody};
use crate::service::{Act, explain, people};

pub(super) fn routes() -> Vec<rocket::Route> {
    rocket::routes![me, why]
}

/// Who the caller is.
#[derive(Serialize)]
struct Me {
    username: String,
    org: String,
    name: Option<String>,
    team: Option<String>,
    /// The permissions that this token gives now, over somebody.
    perms: Vec<&'static str>,
    /// The grants that give them.
    grants: Vec<GrantBody>,
}

#[rocket::get("/me")]
async fn me(caller: Authenticated, query: Query, act: Act<'_>) -> Result<Answer, Error> {
    query.finish()?;
    let (person, held) = people::whoami(act, &caller.0).await?;
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
    })
}

#[rocket::get("/explain")]
async fn why(caller: Authenticated, mut query: Query, act: Act<'_>) -> Result<Answer, Error> {
    let who = query.need("who", Username::parse);
    let whom = query.need("whom", Username::parse);
    query.finish()?;
    let (who, whom) = (taken(who)?, taken(whom)?);
    let found = explain::explain(act, &caller.0, &who, &whom).await?;
    Answer::json(&ExplanationBody::new(&who, &whom, &found, act.now().day()))
}
