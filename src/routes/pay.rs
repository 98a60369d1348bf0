//! `/pay`: a person's pay with its history, sums, and the recording of pay.

use rocket::data::{Data, FromData, Outcome};
use rocket::http::Status;
use rocket::request::{FromRequest, Outcome as GuardOutcome, Request};

use super::answer::Answer;
use super::body::{self, Object, taken};
use super::parameters::{PayParameters, parse_day, parse_past};
use super::path::Name;
use super::query::Query;
use crate::domain::{Line, Money};
use crate::error::Error;
use crate::policy::{Allowed, Read, Write};
use crate::service::import::{self, import};
use crate::service::shown::{HistoryBody, ImportedBody, RateBody, SumsBody};
use crate::service::{Act, Precondition, payroll};
use crate::store::rates::NewRate;

pub(super) fn routes() -> Vec<rocket::Route> {
    rocket::routes![sums, post_file, history, record]
}

#[rocket::get("/pay")]
async fn sums(allowed: Allowed<Read>, mut query: Query, act: Act<'_>) -> Result<Answer, Error> {
    let PayParameters { asked, .. } = PayParameters::take(&mut query, act.now());
    query.finish()?;
    let sums = payroll::sums(act, allowed, &asked).await?;
    Answer::json(&SumsBody::new(asked.as_of, &sums))
}

#[rocket::get("/pay/<name>")]
async fn history(
    allowed: Allowed<Read>,
    name: Name<'_>,
    mut query: Query,
    act: Act<'_>,
) -> Result<Answer, Error> {
    let now = act.now();
    let known_at = query.take("known_at", |text| parse_past(text, now));
    query.finish()?;
    let username = name.parse()?;
    let found = payroll::history(act, allowed, &username, known_at).await?;
    Ok(Answer::json(&HistoryBody::from(&found))?.of_version(found.version))
}

#[rocket::post("/pay/<name>", data = "<object>")]
async fn record(
    allowed: Allowed<Write>,
    name: Name<'_>,
    precondition: Precondition,
    query: Query,
    object: Object,
    act: Act<'_>,
) -> Result<Answer, Error> {
    query.finish()?;
    let mut members = object.0?;
    let effective_from = members.text("effective_from", parse_day);
    let amount = members.text("amount", |text| Ok::<_, String>(text.to_owned()));
    let currency = members.text("currency", |text| Ok::<_, String>(text.to_owned()));
    let note = members.optional("note", Line::parse).flatten();
    let salary = amount.zip(currency).and_then(|(amount, currency)| {
        let parsed = Money::parse(&amount, &currency);
        parsed.map_err(|error| members.fault(error.member(), error)).ok()
    });
    members.finish()?;
    let rate = NewRate {
        effective_from: taken(effective_from)?,
        salary: taken(salary)?,
        note: note.map(|note| note.to_string()).unwrap_or_default(),
    };
    let username = name.parse()?;
    let recorded = payroll::record(act, &allowed, &username, rate, &precondition).await?;
    Ok(Answer::json(&RateBody::from(&recorded.rate))?
        .created_at(format!("/pay/{username}"))
        .of_version(recorded.version))
}

#[rocket::post("/pay", data = "<file>")]
async fn post_file(
    allowed: Allowed<Write>,
    mut query: Query,
    file: File,
    act: Act<'_>,
) -> Result<Answer, Error> {
    let dry_run = query.take("dry_run", |text| match text {
        "" | "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("this is true or false"),
    });
    query.finish()?;
    let dry_run = dry_run.unwrap_or(false);
    let imported = import(act, &allowed, file.0?, dry_run, &mut |_, _| {}).await?;
    Answer::json(&ImportedBody::new(imported, dry_run))
}

/// A body that is a CSV file, or why there is none.
struct File(Result<Vec<u8>, Error>);

#[rocket::async_trait]
impl<'r> FromData<'r> for File {
    type Error = std::convert::Infallible;

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r, Self> {
        Outcome::Success(Self(read(request, data).await))
    }
}

async fn read(request: &Request<'_>, data: Data<'_>) -> Result<Vec<u8>, Error> {
    const TAKEN: &str = "text/csv";
    match body::content_type(request, TAKEN)? {
        Some(content_type) if content_type.is_csv() => {}
        _ => return Err(Error::UnsupportedMediaType(TAKEN)),
    }
    body::read(request, data, import::LARGEST / 1024).await
}

/// What `If-Match` asks for. A change without it is refused (RFC 6585 section 3): two who edit at
/// once would not notice.
#[rocket::async_trait]
impl<'r> FromRequest<'r> for Precondition {
    type Error = Error;

    async fn from_request(request: &'r Request<'_>) -> GuardOutcome<Self, Error> {
        let fields: Vec<&str> = request.headers().get("If-Match").collect();
        if fields.is_empty() {
            let status: Status = Error::PreconditionRequired.leave(request);
            return GuardOutcome::Error((status, Error::PreconditionRequired));
        }
        GuardOutcome::Success(if fields == ["*"] {
            Self::Exists
        } else {
            // A tag that is weak or not one of ours matches nothing (RFC 9110 section 13.1.1).
            let tags = fields.iter().flat_map(|field| field.split(',')).map(str::trim);
            let tags = tags.filter_map(|tag| tag.strip_prefix('"')?.strip_suffix('"'));
            Self::Version(tags.filter_map(|tag| tag.parse().ok()).collect())
        })
    }
}
