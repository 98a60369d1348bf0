//! `/pay`: a person's pay with its history, sums, and the recording of pay.

use std::sync::Arc;

use rocket::data::{Data, FromData, Outcome};
use rocket::request::{FromRequest, Outcome as GuardOutcome, Request};
use rocket::tokio::sync::OwnedSemaphorePermit;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::{IntoParams, ToSchema};

use super::answer::Answer;
use super::body::{self, Object, taken};
use super::guard::{self, refuse};
use super::parameters::{PayParameters, parse_day, parse_past};
use super::path::Name;
use super::query::Query;
use crate::auth::Auth;
use crate::domain::{Line, Money};
use crate::error::Error;
use crate::policy::{Allowed, Write};
use crate::service::import::{self, import};
use crate::service::schema::{self, Amount, Currency, Day, Flag, Moment};
use crate::service::shown::{HistoryBody, ImportedBody, RateBody, SumsBody};
use crate::service::{Act, Precondition, payroll};
use crate::store::Claim;
use crate::store::rates::NewRate;

pub(super) fn routes() -> Vec<rocket::Route> {
    rocket::routes![sum_pay, import_pay, get_history, record_pay]
}

/// What those whom the caller may see are paid together, by currency.
#[utoipa::path(
    get, path = "/pay", tag = "pay", security(("bearer" = ["read"])), params(PayParameters),
    responses((status = 200, description = "The sums", body = SumsBody))
)]
#[rocket::get("/pay")]
pub(super) async fn sum_pay(claim: Claim, mut query: Query, act: Act<'_>) -> Result<Answer, Error> {
    let PayParameters { asked, .. } = PayParameters::take(&mut query, act.now());
    let (claim, ()) = guard::asked(claim, act, query.finish()).await?;
    let sums = payroll::sums(act, claim, &asked).await?;
    Answer::json(&SumsBody::new(asked.as_of, &sums))
}

/// A person's pay with its history.
#[utoipa::path(
    get, path = "/pay/{name}", tag = "pay", security(("bearer" = ["read"])),
    params(
        Name,
        ("known_at" = inline(Option<Moment>), Query, nullable = false,
         description = "As it was known then"),
    ),
    responses(
        (status = 200, description = "By day and revision", body = HistoryBody, headers(("ETag"))),
        (status = 404),
    )
)]
#[rocket::get("/pay/<name>")]
pub(super) async fn get_history(
    claim: Claim,
    name: Name<'_>,
    mut query: Query,
    act: Act<'_>,
) -> Result<Answer, Error> {
    let now = act.now();
    let known_at = query.take("known_at", |text| parse_past(text, now));
    let parsed = query.finish().and_then(|()| name.parse());
    let (claim, username) = guard::asked(claim, act, parsed).await?;
    let found = payroll::history(act, claim, &username, known_at).await?;
    Ok(Answer::json(&HistoryBody::from(&found))?.of_version(found.version))
}

/// A rate to be recorded.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is parsed member by member")]
#[serde(deny_unknown_fields)]
struct NewRateBody {
    #[schema(value_type = Day)]
    effective_from: String,
    /// With at most as many decimals as the currency has.
    #[schema(value_type = Amount)]
    amount: String,
    #[schema(value_type = Currency)]
    currency: String,
    #[schema(value_type = Option<schema::Line>)]
    note: Option<String>,
}

/// Record a rate; one of the same day is superseded.
#[utoipa::path(
    post, path = "/pay/{name}", tag = "pay", security(("bearer" = ["write"])),
    params(Name, Precondition), request_body = NewRateBody,
    responses(
        (status = 201, description = "It is recorded", body = RateBody,
         headers(("ETag"), ("Location"))),
        (status = 404),
    )
)]
#[rocket::post("/pay/<name>", data = "<object>")]
pub(super) async fn record_pay(
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

/// Record the rates of a file: all of them, or, where a line is wrong, none.
///
/// A CSV file (RFC 4180) of at most 16 MiB with the columns `username`, `effective_from`, `amount`,
/// `currency`, and `note` where somebody wants to. A line that says what is recorded already
/// changes nothing.
#[utoipa::path(
    post, path = "/pay", tag = "pay", security(("bearer" = ["write"])),
    params(("dry_run" = inline(Option<Flag>), Query, nullable = false,
            description = "Do all but keep it")),
    request_body(
        content = String, content_type = "text/csv",
        example = json!("username,effective_from,amount,currency\r\njdoe,2026-03-01,2100,USD\r\n"),
    ),
    responses((status = 200, description = "They are recorded", body = ImportedBody))
)]
#[rocket::post("/pay", data = "<file>")]
pub(super) async fn import_pay(
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
    let (file, _place) = file.0?;
    let imported = import(act, &allowed, file, dry_run, &mut |_, _| {}).await?;
    Answer::json(&ImportedBody::new(imported, dry_run))
}

/// How long an import takes, about, in seconds.
const AN_IMPORT: u32 = 10;

/// A body that is a CSV file, and the place that whoever sent it takes among those whose files are in memory;
/// or why there is none.
pub(super) struct File(Result<(Vec<u8>, OwnedSemaphorePermit), Error>);

#[rocket::async_trait]
impl<'r> FromData<'r> for File {
    type Error = std::convert::Infallible;

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r, Self> {
        Outcome::Success(Self(read(request, data).await))
    }
}

async fn read(
    request: &Request<'_>,
    data: Data<'_>,
) -> Result<(Vec<u8>, OwnedSemaphorePermit), Error> {
    const TAKEN: &str = "text/csv";
    match body::content_type(request, TAKEN)? {
        Some(content_type) if content_type.is_csv() => {}
        _ => return Err(Error::UnsupportedMediaType(TAKEN)),
    }
    let auth = request.rocket().state::<Auth>().ok_or(Error::Internal)?;
    // Before the first byte is read.
    let place = Arc::clone(&auth.imports).try_acquire_owned();
    let place = place.map_err(|_| Error::Busy(AN_IMPORT))?;
    Ok((body::read(request, data, import::LARGEST / 1024).await?, place))
}

impl IntoParams for Precondition {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let if_match = ParameterBuilder::new()
            .name("If-Match")
            .parameter_in(ParameterIn::Header)
            .required(utoipa::openapi::Required::True)
            .description(Some("The `ETag` of what was read, or `*`"))
            .schema(Some(schema::text().examples(["*"])));
        vec![if_match.build()]
    }
}

/// What `If-Match` asks for. A change without it is refused (RFC 6585 section 3): two who edit at
/// once would not notice.
#[rocket::async_trait]
impl<'r> FromRequest<'r> for Precondition {
    type Error = Error;

    async fn from_request(request: &'r Request<'_>) -> GuardOutcome<Self, Error> {
        let fields: Vec<&str> = request.headers().get("If-Match").collect();
        if fields.is_empty() {
            return refuse(Error::PreconditionRequired, request);
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
