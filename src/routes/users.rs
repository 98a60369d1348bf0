//! `/users`: people, for those who manage them.

use rocket::State;
use rocket::http::Status;
use serde::Serialize;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};

use super::answer::{self, Answer};
use super::body::{Object, taken};
use super::parameters::{self, FilterParameters, parse_limit, take_filter};
use super::path::Name;
use super::query::Query;
use crate::auth::Auth;
use crate::domain::{Line, TeamName, Username};
use crate::error::Error;
use crate::policy::{Allowed, Manage, Recent};
use crate::service::passwords::{self, NewPassword, OneTime};
use crate::service::people::{self, Changes, Employee, NewPerson};
use crate::service::schema;
use crate::service::shown::PersonBody;
use crate::service::{Act, Precondition};

/// How many people are on a page where nobody asks for another number.
const PAGE: u16 = 100;

pub(super) fn routes() -> Vec<rocket::Route> {
    rocket::routes![list_people, add_person, get_person, change_person, set_password, unlock]
}

/// `q`, `team`, `limit` and `after`, described.
enum PeopleParameters {}

impl IntoParams for PeopleParameters {
    fn into_params(within: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut parameters = FilterParameters::into_params(within);
        let after = schema::reference::<schema::Name>();
        parameters.push(parameters::limit());
        parameters.push(parameters::optional("after", "The user name before the page", after));
        parameters
    }
}

/// The people whom the caller manages, by user name.
#[utoipa::path(
    get, path = "/users", tag = "people", security(("bearer" = ["manage"])),
    params(PeopleParameters),
    responses(
        (status = 200, description = "A page of people", body = Vec<PersonBody>,
         headers(("Link"))),
    )
)]
#[rocket::get("/users")]
pub(super) async fn list_people(
    allowed: Allowed<Manage>,
    mut query: Query,
    act: Act<'_>,
) -> Result<Answer, Error> {
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
#[derive(Serialize, ToSchema)]
struct AddedBody {
    #[serde(flatten)]
    person: PersonBody,
    /// The password that was made for them, if they are to sign in. It is told this once, and must
    /// be changed before anything else.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    /// Until when it can be signed in with.
    #[schema(value_type = Option<schema::Moment>, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

/// A person to be added.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is parsed member by member")]
#[serde(deny_unknown_fields)]
struct NewPersonBody {
    #[schema(value_type = schema::Name)]
    username: String,
    /// What they are called; makes them an employee.
    #[schema(value_type = Option<schema::Line>)]
    name: Option<String>,
    /// Only for an employee.
    #[schema(value_type = Option<schema::Name>)]
    team: Option<String>,
    /// Whether they are to sign in.
    #[schema(nullable = false, default = true)]
    user: Option<bool>,
}

/// Add a person: an employee, a user, or both; or the half that is missing of one who is there.
#[utoipa::path(
    post, path = "/users", tag = "people", security(("bearer" = ["manage"])),
    request_body = NewPersonBody,
    responses(
        (status = 201, description = "They are added", body = AddedBody,
         headers(("ETag"), ("Location"))),
        (status = 409),
    )
)]
#[rocket::post("/users", data = "<object>")]
pub(super) async fn add_person(
    allowed: Recent<Allowed<Manage>>,
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
        user: user.then_some(NewPassword::OneTime),
    };
    let added = people::add(act, &allowed, new).await?;
    let made = added.password.as_ref().map(PasswordBody::from);
    let (password, expires) = made.map(|made| (made.password, made.expires)).unzip();
    let body = AddedBody { person: PersonBody::from(&added.person), password, expires };
    Ok(Answer::json(&body)?
        .created_at(format!("/users/{}", added.person.username))
        .of_version(added.person.version))
}

/// A person.
#[utoipa::path(
    get, path = "/users/{name}", tag = "people", security(("bearer" = ["manage"])), params(Name),
    responses(
        (status = 200, description = "The person", body = PersonBody, headers(("ETag"))),
        (status = 404),
    )
)]
#[rocket::get("/users/<name>")]
pub(super) async fn get_person(
    allowed: Allowed<Manage>,
    name: Name<'_>,
    query: Query,
    act: Act<'_>,
) -> Result<Answer, Error> {
    query.finish()?;
    let person = people::get(act, &allowed, &name.parse()?).await?;
    Ok(Answer::json(&PersonBody::from(&person))?.of_version(person.version))
}

/// What is to be changed about a person; what is not there stays.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is parsed member by member")]
#[serde(deny_unknown_fields)]
struct PersonChanges {
    /// What they are called; makes them an employee.
    #[schema(value_type = Option<schema::Line>, nullable = false)]
    name: Option<String>,
    /// Their team, or null for none.
    #[schema(value_type = Option<schema::Name>)]
    team: Option<String>,
    /// Whether they cannot sign in.
    #[schema(nullable = false)]
    disabled: Option<bool>,
}

/// Change a person.
#[utoipa::path(
    patch, path = "/users/{name}", tag = "people", security(("bearer" = ["manage"])),
    params(Name, Precondition), request_body = PersonChanges,
    responses(
        (status = 200, description = "The person as they are now", body = PersonBody,
         headers(("ETag"))),
        (status = 404),
        (status = 409),
    )
)]
#[rocket::patch("/users/<name>", data = "<object>")]
pub(super) async fn change_person(
    allowed: Recent<Allowed<Manage>>,
    name: Name<'_>,
    precondition: Precondition,
    query: Query,
    object: Object,
    act: Act<'_>,
) -> Result<Answer, Error> {
    query.finish()?;
    let mut members = object.0?;
    let changes = Changes {
        full_name: members.text_if_there("name", Line::parse),
        team: members.optional("team", TeamName::parse),
        disabled: members.flag("disabled"),
    };
    members.finish()?;
    let person = people::change(act, &allowed, &name.parse()?, changes, &precondition).await?;
    Ok(Answer::json(&PersonBody::from(&person))?.of_version(person.version))
}

/// A password that was made. It is told this once, and must be changed before anything else.
#[derive(Serialize, ToSchema)]
struct PasswordBody {
    password: String,
    /// Until when it can be signed in with.
    #[schema(value_type = schema::Moment)]
    expires: String,
}

impl From<&OneTime> for PasswordBody {
    fn from(made: &OneTime) -> Self {
        Self { password: made.password.expose().clone(), expires: made.expires_at.to_string() }
    }
}

/// Make a new password for a person, which they must change; their sessions end.
#[utoipa::path(
    post, path = "/users/{name}/password", tag = "people", security(("bearer" = ["manage"])),
    params(Name),
    responses(
        (status = 200, description = "The password", body = PasswordBody),
        (status = 404),
        (status = 409),
    )
)]
#[rocket::post("/users/<name>/password")]
pub(super) async fn set_password(
    allowed: Recent<Allowed<Manage>>,
    name: Name<'_>,
    query: Query,
    act: Act<'_>,
) -> Result<Answer, Error> {
    query.finish()?;
    let made = passwords::set(act, &allowed, &name.parse()?, NewPassword::OneTime).await?;
    Answer::json(&PasswordBody::from(&taken(made)?))
}

/// Forget the failed sign-ins that hold a user's next one back.
#[utoipa::path(
    delete, path = "/users/{name}/throttle", tag = "people", security(("bearer" = ["manage"])),
    params(Name),
    responses(
        (status = 204, description = "They are forgotten, if there were any"),
        (status = 404),
    )
)]
#[rocket::delete("/users/<name>/throttle")]
pub(super) async fn unlock(
    allowed: Recent<Allowed<Manage>>,
    name: Name<'_>,
    query: Query,
    auth: &State<Auth>,
    act: Act<'_>,
) -> Result<Status, Error> {
    query.finish()?;
    people::unlock(act, &auth.throttle, &allowed, &name.parse()?).await?;
    Ok(Status::NoContent)
}
