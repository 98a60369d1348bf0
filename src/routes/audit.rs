//! `/audit`: the audit trail, for whoever audits.

use std::collections::BTreeMap;

use rocket::http::{ContentType, Header};
use rocket::{State, tokio};
use utoipa::openapi::header::{Header as Described, HeaderBuilder};
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::{Content, RefOr, ResponseBuilder};
use utoipa::{IntoParams, IntoResponses};

use super::answer;
use super::listing::{Body, Client, Listing};
use super::parameters::{limit, optional, parse_limit};
use super::query::Query;
use crate::auth::Auth;
use crate::domain::{Permission, Username};
use crate::error::Error;
use crate::policy::{Allowed, Audit, Denied, Lack};
use crate::service::audit::{self, RecordBody};
use crate::service::export::Format;
use crate::service::schema::{self, reference};
use crate::service::{Act, asked};
use crate::store::StoreError;
use crate::store::audit::Action;
use crate::store::reading::{Entry, RecordQuery, Rest};

/// The header field with the checkpoint.
const CHECKPOINT: &str = "Stipend-Checkpoint";

pub(super) fn routes() -> Vec<rocket::Route> {
    rocket::routes![list_records, get_checkpoint]
}

/// Who did and saw what, newest first, as JSON or, where it is preferred, CSV.
///
/// Whoever audits the whole org sees every record. Whoever audits some people sees the records about
/// them, and of those whom a record is about only them. That it was read is itself on record.
#[utoipa::path(
    get, path = "/audit", tag = "audit", security(("bearer" = ["audit"])),
    params(Parameters), responses(Records)
)]
#[rocket::get("/audit")]
pub(super) async fn list_records(
    allowed: Allowed<Audit>,
    mut query: Query,
    format: Format,
    act: Act<'_>,
    auth: &State<Auth>,
) -> Result<Listing, Error> {
    let asked = RecordQuery {
        actor: query.take("actor", asked::parse_actor),
        subject: query.take("subject", Username::parse),
        action: query.take("action", asked::parse_action),
        from: query.take("from", asked::parse_from),
        to: query.take("to", asked::parse_to),
        limit: query.take("limit", parse_limit),
        after: query.take("after", asked::parse_record),
    };
    query.finish()?;
    let org = allowed.account().org.clone();
    let found = audit::records(act, allowed, asked.clone()).await?;
    // With the hashes at hand, guesses at whom else a record is about could be tried against them.
    let checkpoint = match found.whole_org {
        true => audit::checkpoint_for_field(act, &auth.keys).await?,
        false => None,
    };
    let next = found.page.next.filter(|_| asked.limit.is_some());
    let mut writer = Writer { format, is_first: true };
    let mut text = writer.head();
    text.extend(writer.entries(found.page.entries)?);
    let body = match found.rest {
        Some(rest) => send(text, rest, writer),
        None => {
            text.extend(format.tail());
            Body::Whole(text.into())
        }
    };
    let day = act.now().day();
    let next = next.map(|after| next_page(&asked, after));
    let checkpoint = checkpoint.map(|line| Header::new(CHECKPOINT, line));
    Ok(Listing {
        format,
        fields: next.into_iter().chain(checkpoint).collect(),
        file: (format == Format::Csv).then(|| format!("stipend-audit-{org}-{day}.csv")),
        body,
    })
}

/// Where the trail ends now: one line, a JWS (RFC 7515) that anybody verifies by the keys of
/// `/.well-known/checkpoint-keys.json`. For whoever audits the whole org.
#[utoipa::path(
    get, path = "/audit/checkpoint", tag = "audit", security(("bearer" = ["audit"])),
    responses((status = 200, description = "The checkpoint", body = String,
               content_type = "application/jose"))
)]
#[rocket::get("/audit/checkpoint")]
pub(super) async fn get_checkpoint(
    allowed: Allowed<Audit>,
    query: Query,
    act: Act<'_>,
    auth: &State<Auth>,
) -> Result<(ContentType, String), Error> {
    query.finish()?;
    if !allowed.visibility().whole_org() {
        return Err(Denied { needed: Permission::Audit, lack: Lack::WholeOrg }.into());
    }
    let line = audit::checkpoint(act, &auth.keys).await?.ok_or(Error::Internal)?;
    Ok((ContentType::new("application", "jose"), line + "\n"))
}

fn next_page(asked: &RecordQuery, after: i64) -> Header<'static> {
    let all = [
        ("actor", asked.actor.clone()),
        ("subject", asked.subject.as_ref().map(ToString::to_string)),
        ("action", asked.action.map(|action| action.name().to_owned())),
        ("from", asked.from.map(|moment| moment.to_string())),
        ("to", asked.to.map(|moment| moment.to_string())),
        ("limit", asked.limit.map(|limit| limit.to_string())),
        ("after", Some(after.to_string())),
    ];
    let kept: Vec<(&str, String)> =
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    answer::next_page("/audit", &kept)
}

/// What records are asked for by, described.
enum Parameters {}

impl IntoParams for Parameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let actions = Action::ALL.iter().map(|action| action.name());
        let time = || schema::text().examples(["2026-03-10", "2026-03-10T12:00:00Z"]);
        vec![
            optional("actor", "What this one did", reference::<schema::Name>()),
            optional("subject", "What is about this one", reference::<schema::Name>()),
            optional("action", "Acts of this kind", schema::text().enum_values(Some(actions))),
            optional("from", "From this day, or moment, on", time()),
            optional("to", "Until the end of this day, or before this moment", time()),
            limit(),
            optional("after", "Only records of a lower number", record_number()),
        ]
    }
}

/// The number of a record, described.
pub(super) fn record_number() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1))
}

/// The records, described.
enum Records {}

impl IntoResponses for Records {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let records = ArrayBuilder::new().items(reference::<RecordBody>());
        let checkpoint = HeaderBuilder::new().description(Some(
            "Where the trail ends now, signed, as `/audit/checkpoint` gives it, for whoever audits \
             the whole org. Of more than 20 chains it names 20, drawn anew each time, and says in \
             `of` how many there are",
        ));
        let response = ResponseBuilder::new()
            .description("The records. That they were read is on record already")
            .content("application/json", Content::new(Some(records)))
            .content("text/csv", Content::new(Some(schema::text())))
            .header("Link", Described::default())
            .header(CHECKPOINT, checkpoint.build())
            .header("Content-Disposition", Described::default());
        BTreeMap::from([("200".into(), response.into())])
    }
}

/// Writes records, in either format.
struct Writer {
    format: Format,
    is_first: bool,
}

impl Writer {
    fn head(&self) -> Vec<u8> {
        match self.format {
            Format::Json => b"[".to_vec(),
            Format::Csv => audit::csv_head().into_bytes(),
        }
    }

    fn entries(&mut self, entries: Vec<Entry>) -> Result<Vec<u8>, StoreError> {
        let records: Result<Vec<_>, _> = entries.into_iter().map(RecordBody::new).collect();
        let records = records?;
        if self.format == Format::Csv {
            return audit::csv(&records);
        }
        let mut text = Vec::with_capacity(records.len() * 400);
        for record in records {
            if !std::mem::take(&mut self.is_first) {
                text.push(b',');
            }
            serde_json::to_writer(&mut text, &record)
                .map_err(|_| StoreError::Impossible("a record that cannot be written"))?;
        }
        Ok(text)
    }

    /// What to end with where the rest cannot be had, so that nobody takes it for the whole: no
    /// JSON, and a quote in CSV that is never closed.
    fn broken(&self) -> &'static [u8] {
        match self.format {
            Format::Json => b"",
            Format::Csv => b"\"The rest is missing: the server failed. Ask again.",
        }
    }
}

/// Reads and writes the records of a long answer, part by part, as fast as the client takes them.
fn send(begun: Vec<u8>, mut rest: Rest, mut writer: Writer) -> Body {
    let (mut client, body) = Client::new(writer.broken());
    tokio::spawn(async move {
        client.push(begun).await;
        while client.is_there() {
            let next = match rest.next().await {
                Ok(Some(entries)) => writer.entries(entries),
                Ok(None) => {
                    if client.finish(writer.format.tail().to_vec()).await {
                        return;
                    }
                    break;
                }
                Err(error) => Err(error),
            };
            match next {
                Ok(part) => {
                    client.push(part).await;
                }
                Err(error) => {
                    tracing::error!(%error, "the rest of the audit trail could not be read");
                    return;
                }
            }
        }
        tracing::warn!("a client did not take all of the audit trail");
    });
    body
}
