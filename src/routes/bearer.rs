//! `/bearer`: the pay that the caller may see.

use std::collections::BTreeMap;

use rocket::tokio;
use utoipa::IntoResponses;
use utoipa::openapi::header::Header as Described;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema};
use utoipa::openapi::{Content, RefOr, ResponseBuilder};

use super::guard;
use super::listing::{Body, Client, Listing};
use super::parameters::{PageParameters, PayParameters};
use super::query::Query;
use crate::error::Error;
use crate::service::asked::parse_fields;
use crate::service::export::{Field, Format, Renderer};
use crate::service::schema::{self, reference};
use crate::service::{Act, payroll};
use crate::store::disclosure::{Rest, Rows, Shape};
use crate::store::pay::{Chunk, Sink};
use crate::store::{Claim, StoreError};

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
) -> Result<Listing, Error> {
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
) -> Result<Listing, Error> {
    list(claim, query, format, act).await
}

async fn list(
    claim: Claim,
    mut query: Query,
    format: Format,
    act: Act<'_>,
) -> Result<Listing, Error> {
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
        Rows::Rest(rest) => send(*rest, Renderer::new(format, fields)),
    };
    let next = found.next.map(|cursor| parameters.next_page("/bearer", &cursor));
    Ok(Listing {
        format,
        fields: next.into_iter().collect(),
        file: found.export.map(|number| format!("stipend-pay-{org}-{as_of}-{number}.csv")),
        body,
    })
}

/// The rows, described.
enum Pay {}

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

/// Reads and writes the rows of a long answer, part by part, as fast as the client takes them.
fn send(rest: Rest, renderer: Renderer) -> Body {
    let (client, body) = Client::new(renderer.broken());
    let mut reader = Reader { client, renderer, failed: None };
    tokio::spawn(async move {
        let head = reader.renderer.head();
        reader.client.push(head).await;
        let read = rest.send_to(&mut reader).await;
        let Reader { client, renderer, failed } = reader;
        match read.err().or(failed) {
            Some(error) => tracing::error!(%error, "the rest of an answer could not be read"),
            None if client.finish(renderer.tail().to_vec()).await => {}
            None => tracing::warn!("a client did not take all of an answer"),
        }
    });
    body
}

/// Writes the rows that are read for a client.
struct Reader {
    client: Client,
    renderer: Renderer,
    failed: Option<StoreError>,
}

impl Sink for Reader {
    async fn take(&mut self, chunk: Chunk) -> bool {
        match self.renderer.rows(&chunk) {
            Ok(part) => self.client.push(part).await,
            Err(error) => {
                self.failed = Some(error);
                false
            }
        }
    }
}
