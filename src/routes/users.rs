//! `/users`: people and their grants, for those who manage them.

use rocket::http::Status;
use serde::Serialize;

use super::answer::{self, Answer};
use super::body::{Members, Object, taken};
use super::parameters::{parse_day, parse_limit, take_filter};
use super::path::Name;
use super::query::Query;
use crate::domain::{Line, Reach, TeamName, Username};
use crate::error::Error;
use crate::policy::{Allowed, Manage};
use crate::service::asked::parse_permission;
use crate::service::grants::{self, Gift};
use crate::service::people::{self, Changes, Employee, NewPassword, NewPerson};
use crate::service::shown::{GrantBody, PersonBody};
use crate::service::{Act, Precondition};

/// How many people are on a page where nobody asks for another number.
const PAGE: u16 = 100;

pub(super) fn routes() -> Vec<rocket::Route> {
    rocket::routes![list, add, get, change, set_password, list_grants, give_grant, end_grant]
}

#[rocket::get("/users")]
async fn list(allowed: Allowed<Manage>, mut query: Query, act: Act<'_>) -> Result<Answer, Error> {
    let filter = take_filter(&mut query);
    let limit = query.take("limit", parse_limit);
    let after = query.take("after", Username::parse);
    query.finish()?;
    let limit = limit.unwrap_or(PAGE);
    // One more, to see whether there are more.
    let mut found = people::list(act, &allowed, &filter, after.as_ref(), limit + 1).await?;
    let more = found.len() > usize::from(limit);
    found.truncate(limit.into());
    let people: Vec<PersonBody> = found.iter().map(PersonBody::from).collect();
    let answer = Answer::json(&people)?;
    let Some(last) = found.last().filter(|_| more) else {
        return Ok(answer);
    };
    let mut next = vec![("limit", limit.to_string()), ("after", last.username.to_string())];
    next.extend(filter.q.map(|q| ("q", q)));
    next.extend(filter.team.map(|team| ("team", team.to_string())));
    Ok(answer.with(answer::next_page("/users", &next)))
}

/// A person who was added.
#[derive(Serialize)]
struct AddedBody {
    #[serde(flatten)]
    person: PersonBody,
    /// The password that was made for them; it is told this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
}

#[rocket::post("/users", data = "<object>")]
async fn add(
    allowed: Allowed<Manage>,
    query: Query,
    object: Object,
    act: Act<'_>,
) -> Result<Answer, Error> {
    query.finish()?;
    let mut members = object.0?;
    let username = members.text("username", Username::parse);
    let full_name = members.optional("name", Line::parse).flatten();
    let team = members.optional("team", TeamName::parse).flatten();
    let user = members.flag("user").unwrap_or(true);
    if team.is_some() && full_name.is_none() {
        members.fault("name", "only who is paid has a team: give the name of the employee too");
    }
    members.finish()?;
    let new = NewPerson {
        username: taken(username)?,
        employee: full_name.map(|full_name| Employee { full_name, team }),
        user: user.then_some(NewPassword::Random),
    };
    let added = people::add(act, &allowed, new).await?;
    let body = AddedBody {
        person: PersonBody::from(&added.person),
        password: added.password.map(|password| password.expose().clone()),
    };
    Ok(Answer::json(&body)?
        .created_at(format!("/users/{}", added.person.username))
        .of_version(added.person.version))
}

#[rocket::get("/users/<name>")]
async fn get(
    allowed: Allowed<Manage>,
    name: Name<'_>,
    query: Query,
    act: Act<'_>,
) -> Result<Answer, Error> {
    query.finish()?;
    let person = people::get(act, &allowed, &name.parse()?).await?;
    Ok(Answer::json(&PersonBody::from(&person))?.of_version(person.version))
}

#[rocket::patch("/users/<name>", data = "<object>")]
async fn change(
    allowed: Allowed<Manage>,
    name: Name<'_>,
    precondition: Precondition,
    query: Query,
    object: Object,
    act: Act<'_>,
) -> Result<Answer, Error> {
    query.finish()?;
    let mut members = object.0?;
    let changes = Changes {
        full_name: members.optional("name", Line::parse).flatten(),
        team: members.optional("team", TeamName::parse),
        disabled: members.flag("disabled"),
    };
    members.finish()?;
    let person = people::change(act, &allowed, &name.parse()?, changes, &precondition).await?;
    Ok(Answer::json(&PersonBody::from(&person))?.of_version(person.version))
}

/// A password that was made; it is told this once.
#[derive(Serialize)]
struct PasswordBody {
    password: String,
}

#[rocket::post("/users/<name>/password")]
async fn set_password(
    allowed: Allowed<Manage>,
    name: Name<'_>,
    query: Query,
    act: Act<'_>,
) -> Result<Answer, Error> {
    query.finish()?;
    let made = people::set_password(act, &allowed, &name.parse()?, NewPassword::Random).await?;
    let password = made.map(|password| password.expose().clone());
    Answer::json(&PasswordBody { password: taken(password)? })
}

#[rocket::get("/users/<name>/grants")]
async fn list_grants(
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

#[rocket::post("/users/<name>/grants", data = "<object>")]
async fn give_grant(
    allowed: Allowed<Manage>,
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

#[rocket::delete("/users/<name>/grants/<id>")]
async fn end_grant(
    allowed: Allowed<Manage>,
    name: Name<'_>,
    id: &str,
    query: Query,
    act: Act<'_>,
) -> Result<Status, Error> {
    query.finish()?;
    grants::end(act, &allowed, &name.parse()?, id).await?;
    Ok(Status::NoContent)
}
