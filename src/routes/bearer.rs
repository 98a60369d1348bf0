//! `/bearer`: the pay that the caller may see.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use rocket::http::{ContentType, Header};
use rocket::request::{FromRequest, Outcome};
use rocket::response::stream::ReaderStream;
use rocket::response::{self, Responder};
use rocket::tokio::sync::mpsc;
use rocket::{Request, Response, tokio};
use utoipa::IntoResponses;
use utoipa::openapi::header::Header as Described;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema};
use utoipa::openapi::{Content, RefOr, ResponseBuilder};

use super::parameters::{PageParameters, PayParameters};
use super::query::Query;
use super::{answer, guard};
use crate::error::{Error, prefers_csv};
use crate::service::asked::parse_fields;
use crate::service::export::{Field, Format, Renderer};
use crate::service::schema::{self, reference};
use crate::service::{Act, payroll};
use crate::store::disclosure::{Rest, Rows, Shape};
use crate::store::pay::{Chunk, Sink};
use crate::store::{Claim, StoreError};

/// How long a client may leave a part of a long answer lying.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many bytes of a long answer are written at a time.
const LARGEST_WRITE: usize = 64 * 1024;

pub(super) fn routes() -> Vec<rocket::Route> {
    rocket::routes![list_pay, list_pay_by_post]
}

/// The pay that the caller may see, as JSON or, where it is preferred, CSV.
///
/// Without parameters: every row, by user name.
#[utoipa::path(
    get, path = "/bearer", tag = "pay", security(("bearer" = ["read"])),
    params(PageParameters), responses(Pay)
)]
#[rocket::get("/bearer")]
pub(super) async fn list_pay(
    claim: Claim,
    query: Query,
    format: Format,
    act: Act<'_>,
) -> Result<Pay, Error> {
    list(claim, query, format, act).await
}

/// The same as by `GET`.
#[utoipa::path(
    post, path = "/bearer", tag = "pay", security(("bearer" = ["read"])),
    params(PageParameters), responses(Pay)
)]
#[rocket::post("/bearer")]
pub(super) async fn list_pay_by_post(
    claim: Claim,
    query: Query,
    format: Format,
    act: Act<'_>,
) -> Result<Pay, Error> {
    list(claim, query, format, act).await
}

/// The format that the client prefers.
#[rocket::async_trait]
impl<'r> FromRequest<'r> for Format {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        Outcome::Success(if prefers_csv(request) { Self::Csv } else { Self::Json })
    }
}

async fn list(claim: Claim, mut query: Query, format: Format, act: Act<'_>) -> Result<Pay, Error> {
    let mut parameters = PayParameters::take_page(&mut query, act.now());
    let wanted = query.take("fields", parse_fields);
    let (claim, ()) = guard::asked(claim, act, query.finish()).await?;

    let are_default = wanted.is_none();
    let fields = wanted.unwrap_or_else(|| Field::DEFAULT.to_vec());
    let names: Vec<&str> = fields.iter().map(|field| field.name()).collect();
    if !are_default {
        parameters.keep("fields", names.join(","));
    }
    let org = claim.account().org.clone();
    let as_of = parameters.asked.as_of;
    let is_export = format == Format::Csv;
    let whole = |rows: &Chunk| {
        let mut renderer = Renderer::new(format, fields.clone());
        let mut text = renderer.head();
        text.extend(renderer.rows(rows)?);
        text.extend(renderer.tail());
        Ok(text)
    };
    let shape = (!is_export).then(|| Shape { name: names.join(","), render: &whole });
    let asked = parameters.asked.clone();
    let found = payroll::list(act, claim, asked, &names, is_export, shape).await?;

    let body = match found.rows {
        Rows::Text(text) => Body::Whole(text),
        Rows::Chunk(rows) => Body::Whole(whole(&rows)?.into()),
        Rows::Rest(rest) => Body::Parts(send(*rest, Renderer::new(format, fields))),
    };
    Ok(Pay {
        format,
        next: found.next.map(|cursor| parameters.next_page("/bearer", &cursor)),
        file: found.export.map(|number| format!("stipend-pay-{org}-{as_of}-{number}.csv")),
        body,
    })
}

/// Rows as they are answered.
pub(super) struct Pay {
    format: Format,
    next: Option<Header<'static>>,
    file: Option<String>,
    body: Body,
}

enum Body {
    Whole(Arc<[u8]>),
    Parts(mpsc::Receiver<Vec<u8>>),
}

impl IntoResponses for Pay {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let row = Field::ALL.into_iter().fold(ObjectBuilder::new(), |row, field| {
            let value: RefOr<Schema> = match field {
                Field::Username => reference::<schema::Name>().into(),
                Field::Name => reference::<schema::Line>().into(),
                Field::Team => schema::or_null::<schema::Name>(),
                Field::Salary => reference::<schema::Salary>().into(),
                Field::Amount => reference::<schema::Amount>().into(),
                Field::Currency => reference::<schema::Currency>().into(),
                Field::EffectiveFrom => reference::<schema::Day>().into(),
            };
            row.property(field.name(), value)
        });
        let row = row.description(Some("The members that `fields` asks for."));
        let rows = ArrayBuilder::new().items(row);
        let response = ResponseBuilder::new()
            .description("The rows. The record of who has seen them is durable already")
            .content("application/json", Content::new(Some(rows)))
            .content("text/csv", Content::new(Some(schema::text())))
            .header("Link", Described::default())
            .header("Content-Disposition", Described::default());
        BTreeMap::from([("200".into(), response.into())])
    }
}

impl<'r> Responder<'r, 'r> for Pay {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'r> {
        let mut response = match self.body {
            Body::Whole(text) => {
                Response::build().sized_body(text.len(), Cursor::new(text)).finalize()
            }
            Body::Parts(mut parts) => {
                let stream = ReaderStream! {
                    while let Some(part) = parts.recv().await {
                        yield Cursor::new(part);
                    }
                };
                Response::build().streamed_body(stream).max_chunk_size(LARGEST_WRITE).finalize()
            }
        };
        response.set_header(match self.format {
            Format::Json => answer::json(),
            Format::Csv => ContentType::CSV,
        });
        response.set_header(Header::new("Vary", "Accept"));
        if let Some(next) = self.next {
            response.set_header(next);
        }
        if let Some(file) = self.file {
            let disposition = format!("attachment; filename=\"{file}\"");
            response.set_header(Header::new("Content-Disposition", disposition));
        }
        Ok(response)
    }
}

/// Reads and writes the rows of a long answer, part by part, as fast as the client takes them.
fn send(rest: Rest, renderer: Renderer) -> mpsc::Receiver<Vec<u8>> {
    let (parts, receiver) = mpsc::channel(2);
    let mut client = Client { parts, renderer, is_there: true, failed: None };
    tokio::spawn(async move {
        let head = client.renderer.head();
        client.push(head).await;
        let read = rest.send_to(&mut client).await;
        match read.err().or(client.failed.take()) {
            Some(error) => {
                tracing::error!(%error, "the rest of an answer could not be read");
                client.push(client.renderer.broken().to_vec()).await;
            }
            None if client.is_there => client.push(client.renderer.tail().to_vec()).await,
            None => tracing::warn!("a client did not take all of an answer"),
        }
    });
    receiver
}

/// Who takes a long answer. One that takes nothing for a while is given up, since it holds a
/// snapshot of the database.
struct Client {
    parts: mpsc::Sender<Vec<u8>>,
    renderer: Renderer,
    is_there: bool,
    failed: Option<StoreError>,
}

impl Client {
    async fn push(&mut self, part: Vec<u8>) {
        let sent = tokio::time::timeout(PATIENCE, self.parts.send(part)).await;
        self.is_there = self.is_there && matches!(sent, Ok(Ok(())));
    }
}

impl Sink for Client {
    async fn take(&mut self, chunk: Chunk) -> bool {
        match self.renderer.rows(&chunk) {
            Ok(part) => self.push(part).await,
            Err(error) => self.failed = Some(error),
        }
        self.is_there && self.failed.is_none()
    }
}
