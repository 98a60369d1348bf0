//! `/me/readers` and `/pay/NAME/readers`: who has seen somebody's pay.

use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::answer::{self, Answer};
use super::audit::record_number;
use super::guard::Authenticated;
use super::parameters::{limit, optional, parse_limit};
use super::path::Name;
use super::query::Query;
use crate::domain::Username;
use crate::error::Error;
use crate::policy::{Allowed, Audit, Denied, Lack};
use crate::service::audit::{self, ReadersBody};
use crate::service::{Act, asked};
use crate::store::disclosure::Withheld;
use crate::store::reading::Asker;

/// How many looks a page has without `limit`.
const PAGE: u16 = 100;

pub(super) fn routes() -> Vec<rocket::Route> {
    rocket::routes![my_readers, readers_of]
}

/// Who has seen the caller's pay, newest first: no grant is needed for that.
#[utoipa::path(
    get, path = "/me/readers", tag = "audit", security(("bearer" = [])), params(Parameters),
    responses(
        (status = 200, description = "The looks", body = ReadersBody, headers(("Link"))),
        (status = 403), (status = 404),
    )
)]
#[rocket::get("/me/readers")]
pub(super) async fn my_readers(
    caller: Authenticated,
    query: Query,
    act: Act<'_>,
) -> Result<Answer, Error> {
    let oneself = caller.0.oneself().map_err(not_oneself)?;
    let username = oneself.account().username.clone();
    readers(Asker::Oneself(oneself), &username, "/me/readers", query, act).await
}

/// Who has seen somebody's pay, newest first, for whoever audits them.
#[utoipa::path(
    get, path = "/pay/{name}/readers", tag = "audit", security(("bearer" = ["audit"])),
    params(Name, Parameters),
    responses(
        (status = 200, description = "The looks", body = ReadersBody, headers(("Link"))),
        (status = 404),
    )
)]
#[rocket::get("/pay/<name>/readers")]
pub(super) async fn readers_of(
    allowed: Allowed<Audit>,
    name: Name<'_>,
    query: Query,
    act: Act<'_>,
) -> Result<Answer, Error> {
    let username = name.parse()?;
    let path = format!("/pay/{username}/readers");
    readers(Asker::Auditor(allowed, username.clone()), &username, &path, query, act).await
}

/// Of oneself no grant is asked for, so that no scope would help.
fn not_oneself(denied: Denied) -> Error {
    Error::Forbidden(match denied.lack {
        Lack::Person => {
            "A machine token is not told who has seen its user's pay: sign in for that".to_owned()
        }
        _ => denied.to_string(),
    })
}

async fn readers(
    asker: Asker,
    username: &Username,
    path: &str,
    mut query: Query,
    act: Act<'_>,
) -> Result<Answer, Error> {
    let limit = query.take("limit", parse_limit).unwrap_or(PAGE);
    let after = query.take("after", asked::parse_record);
    query.finish()?;
    let to_auditor = matches!(asker, Asker::Auditor(..));
    let found = audit::looks(act, asker, after, limit).await;
    let found = found.map_err(|withheld| match withheld {
        Withheld::Denied(denied) if !to_auditor => not_oneself(denied),
        withheld => withheld.into(),
    })?;
    let next = found.next.map(|after| {
        answer::next_page(path, &[("limit", limit.to_string()), ("after", after.to_string())])
    });
    let answer = Answer::json(&ReadersBody::new(username, found, to_auditor)?)?;
    Ok(match next {
        Some(next) => answer.with(next),
        None => answer,
    })
}

/// `limit` and `after`, described.
enum Parameters {}

impl IntoParams for Parameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![limit(), optional("after", "Only records of a lower number", record_number())]
    }
}
