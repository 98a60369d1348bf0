//! `/me/sessions` and `/users/<name>/sessions`: which sessions and machine tokens are alive, and ending
//! them.
//!
//! A session's id is its token's `jti`. It is told here and stands in the records, and lets nobody
//! in: what does is the signature. Ending asks for no recent sign-in of whose session it is, since
//! it only takes away, and whoever has found a token that is not theirs should not have to hurry.

use rocket::State;
use rocket::http::Status;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::answer::{self, Answer};
use super::parameters::{self, parse_limit};
use super::path::{Name, identifier};
use super::query::Query;
use crate::auth::Auth;
use crate::error::Error;
use crate::policy::{Allowed, InPerson, Manage, Principal, Recent};
use crate::service::shown::SessionBody;
use crate::service::{Act, schema, sessions};
use crate::store::sessions::{Session, SessionQuery};

/// How many sessions are on a page where nobody asks for another number.
const PAGE: u16 = 100;

pub(super) fn routes() -> Vec<rocket::Route> {
    rocket::routes![
        list_own_sessions,
        end_own_session,
        end_own_sessions,
        list_sessions,
        end_session,
        end_sessions
    ]
}

/// `limit` and `after`, described.
enum SessionParameters {}

impl IntoParams for SessionParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let after = schema::text().min_length(Some(1)).pattern(Some(schema::PRINTABLE));
        vec![parameters::limit(), parameters::optional("after", "The `id` before the page", after)]
    }
}

/// Which page is asked for.
struct Page {
    limit: u16,
    after: Option<String>,
}

impl Page {
    fn take(mut query: Query) -> Result<Self, Error> {
        let limit = query.take("limit", parse_limit);
        let after = query.take("after", |text| {
            let is_plain = !text.is_empty() && !text.contains(char::is_control);
            is_plain.then(|| text.to_owned()).ok_or("this is the id of a session")
        });
        query.finish()?;
        Ok(Self { limit: limit.unwrap_or(PAGE), after })
    }

    /// One more than is asked for, to see whether there are more.
    fn asked(&self) -> SessionQuery<'_> {
        SessionQuery { machine_only: false, after: self.after.as_deref(), limit: self.limit + 1 }
    }

    fn answer(
        &self,
        path: &str,
        mut found: Vec<Session>,
        caller: &Principal,
        auth: &Auth,
    ) -> Result<Answer, Error> {
        let more = found.len() > usize::from(self.limit);
        found.truncate(self.limit.into());
        for session in &mut found {
            // What this node has seen since it was last written.
            session.last_used_at = auth.last_used.of(&session.session_id).max(session.last_used_at);
        }
        let this = caller.session_id();
        let shown: Vec<SessionBody> =
            found.iter().map(|session| SessionBody::new(session, this)).collect();
        let answer = Answer::json(&shown)?;
        let Some(last) = found.last().filter(|_| more) else {
            return Ok(answer);
        };
        let next = [("limit", self.limit.to_string()), ("after", last.session_id.clone())];
        Ok(answer.with(answer::next_page(path, &next)))
    }
}

/// The caller's live sessions and machine tokens, the newest first.
#[utoipa::path(
    get, path = "/me/sessions", tag = "sessions", security(("bearer" = [])),
    params(SessionParameters),
    responses(
        (status = 200, description = "A page of sessions", body = Vec<SessionBody>,
         headers(("Link"))),
        (status = 403, description = "A machine token asked"),
    )
)]
#[rocket::get("/me/sessions")]
pub(super) async fn list_own_sessions(
    caller: InPerson,
    query: Query,
    auth: &State<Auth>,
    act: Act<'_>,
) -> Result<Answer, Error> {
    let page = Page::take(query)?;
    let found = sessions::list_own(act, &caller, page.asked()).await?;
    page.answer("/me/sessions", found, &caller, auth)
}

/// End one of the caller's sessions or machine tokens.
#[utoipa::path(
    delete, path = "/me/sessions/{id}", tag = "sessions", security(("bearer" = [])),
    params(("id" = String, Path, description = "The session's `id`")),
    responses((status = 204, description = "It has ended"), (status = 404))
)]
#[rocket::delete("/me/sessions/<id>")]
pub(super) async fn end_own_session(
    caller: InPerson,
    id: &str,
    query: Query,
    act: Act<'_>,
) -> Result<Status, Error> {
    query.finish()?;
    sessions::end_own(act, &caller, identifier(id)?).await?;
    Ok(Status::NoContent)
}

/// End all of the caller's sessions and machine tokens, this one too.
#[utoipa::path(
    delete, path = "/me/sessions", tag = "sessions", security(("bearer" = [])),
    responses((status = 204, description = "They have ended"))
)]
#[rocket::delete("/me/sessions")]
pub(super) async fn end_own_sessions(
    caller: InPerson,
    query: Query,
    act: Act<'_>,
) -> Result<Status, Error> {
    query.finish()?;
    sessions::end_all_own(act, &caller).await?;
    Ok(Status::NoContent)
}

/// A person's live sessions and machine tokens, the newest first.
#[utoipa::path(
    get, path = "/users/{name}/sessions", tag = "people", security(("bearer" = ["manage"])),
    params(Name, SessionParameters),
    responses(
        (status = 200, description = "A page of sessions", body = Vec<SessionBody>,
         headers(("Link"))),
        (status = 404),
    )
)]
#[rocket::get("/users/<name>/sessions")]
pub(super) async fn list_sessions(
    allowed: Allowed<Manage>,
    name: Name<'_>,
    query: Query,
    auth: &State<Auth>,
    act: Act<'_>,
) -> Result<Answer, Error> {
    let page = Page::take(query)?;
    let username = name.parse()?;
    let found = sessions::list_of(act, &allowed, &username, page.asked()).await?;
    page.answer(&format!("/users/{username}/sessions"), found, allowed.principal(), auth)
}

/// End one of a person's sessions or machine tokens.
#[utoipa::path(
    delete, path = "/users/{name}/sessions/{id}", tag = "people",
    security(("bearer" = ["manage"])),
    params(Name, ("id" = String, Path, description = "The session's `id`")),
    responses((status = 204, description = "It has ended"), (status = 404))
)]
#[rocket::delete("/users/<name>/sessions/<id>")]
pub(super) async fn end_session(
    allowed: Recent<Allowed<Manage>>,
    name: Name<'_>,
    id: &str,
    query: Query,
    act: Act<'_>,
) -> Result<Status, Error> {
    query.finish()?;
    sessions::end(act, &allowed, &name.parse()?, identifier(id)?).await?;
    Ok(Status::NoContent)
}

/// End all of a person's sessions and machine tokens.
#[utoipa::path(
    delete, path = "/users/{name}/sessions", tag = "people", security(("bearer" = ["manage"])),
    params(Name),
    responses((status = 204, description = "They have ended"), (status = 404))
)]
#[rocket::delete("/users/<name>/sessions")]
pub(super) async fn end_sessions(
    allowed: Recent<Allowed<Manage>>,
    name: Name<'_>,
    query: Query,
    act: Act<'_>,
) -> Result<Status, Error> {
    query.finish()?;
    sessions::end_all(act, &allowed, &name.parse()?).await?;
    Ok(Status::NoContent)
}
