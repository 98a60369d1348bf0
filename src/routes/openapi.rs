//! `/openapi.json`: what every route takes and answers (OpenAPI 3.1).
//!
//! What is a route's own stands beside its handler. Here stands what follows for all of them: which
//! errors a route may answer from what it takes, how errors look, and what each header field says.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use rocket::http::ContentType;
use utoipa::openapi::header::Header;
use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{Components, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, ObjectBuilder, Ref, RefOr};
use utoipa::{Modify, OpenApi};

use super::query::Query;
use super::{
    answer, audit, bearer, factors, grants, health, jwks, jwt, me, org, page, pay, readers,
    sessions, tokens, users,
};
use crate::error::{Error, Problem};
use crate::service::audit::RecordBody;
use crate::service::schema;

pub(super) fn routes() -> Vec<rocket::Route> {
    rocket::routes![openapi]
}

const DESCRIPTION: &str = "\
Who may see which pay, and who has.

A token from `POST /jwt` goes with every request in `Authorization: Bearer …`. What it lets its \
bearer do is asked anew at every request. The scopes of a route are the permissions of which one \
is needed, over somebody.

A parameter may stand once, and one that nobody knows is an error. Errors are problem details \
(RFC 9457) or one sentence of plain text: at `/`, `/assets`, `/bearer`, `/jwt`, `/live` and \
`/ready` problem details only where `Accept` prefers JSON, elsewhere unless it prefers text.";

#[derive(OpenApi)]
#[openapi(
    // Of the interface, not of the software, which tells nobody its own.
    info(title = "Stipend", version = "1", description = DESCRIPTION),
    paths(
        jwt::log_in, jwt::log_out,
        bearer::list_pay, bearer::list_pay_by_post,
        pay::sum_pay, pay::import_pay, pay::get_history, pay::record_pay,
        audit::list_records, audit::get_checkpoint,
        readers::my_readers, readers::readers_of,
        me::who_am_i, me::explain_sight,
        me::password::change_password,
        sessions::list_own_sessions, sessions::end_own_session, sessions::end_own_sessions,
        sessions::list_sessions, sessions::end_session, sessions::end_sessions,
        tokens::make_token,
        users::list_people, users::add_person, users::get_person, users::change_person,
        users::set_password, users::unlock,
        grants::list_grants, grants::give_grant, grants::end_grant,
        factors::make_secret, factors::confirm, factors::turn_off,
        factors::renew_recovery_codes, factors::reset,
        org::get_org, org::change_org,
        health::live, health::ready,
        jwks::token_keys, jwks::checkpoint_keys,
        openapi,
        page::index, page::asset,
    ),
    components(schemas(
        Problem, RecordBody, schema::Name, schema::Day, schema::Moment, schema::Line, schema::PermissionName,
        schema::GrantReach, schema::Amount, schema::Currency, schema::Salary, schema::Cursor,
        schema::TokenPermission, schema::End,
    )),
    modifiers(&Bearer, &Refusals),
)]
struct Document;

static DOCUMENT: LazyLock<Option<String>> =
    LazyLock::new(|| serde_json::to_string(&Document::openapi()).ok());

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "server",
    responses((status = 200, description = "An OpenAPI document", body = Object))
)]
#[rocket::get("/openapi.json")]
pub(super) fn openapi(query: Query) -> Result<(ContentType, &'static str), Error> {
    query.finish()?;
    let document = DOCUMENT.as_deref().ok_or(Error::Internal)?;
    Ok((answer::json(), document))
}

/// How a token is sent.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}

/// Adds to every operation the errors that follow from what it takes.
struct Refusals;

/// The errors: status, name, what they mean, and their header fields.
type Refusal = (u16, &'static str, &'static str, &'static [&'static str]);
const REFUSALS: &[Refusal] = &[
    (400, "BadRequest", "The request is malformed, or something in it is wrong.", &[CHALLENGE]),
    (
        401,
        "Unauthenticated",
        "There is no token, it is not valid, or the sign-in behind it is too long ago for this \
         (RFC 9470).",
        &[CHALLENGE],
    ),
    (
        403,
        "Forbidden",
        "The permission is missing, the caller would give more than they hold, the old password is \
         wrong, or a browser sent this from another site.",
        &[CHALLENGE],
    ),
    (404, "NotFound", "There is no such thing, or no grant of the caller reaches it.", &[]),
    (408, "Timeout", "The body did not arrive in time.", &[]),
    (409, "Conflict", "It is so already, or something stands against it.", &[]),
    (412, "Changed", "It has changed since it was read.", &["ETag"]),
    (413, "TooLarge", "The body is too long.", &[]),
    (414, "UriTooLong", "The path and query are longer than 8 KiB.", &[]),
    (415, "UnsupportedType", "The body is in another format, charset or coding.", &[]),
    (428, "IfMatchRequired", "`If-Match` is missing.", &[]),
    (
        429,
        "TooManyFailures",
        "Too many sign-ins have failed, of this name or from this network; nobody looked at the \
         password.",
        &["Retry-After"],
    ),
    (431, "FieldsTooLarge", "The header fields are too long.", &[]),
    (500, "Failed", "The server failed.", &[]),
    (
        503,
        "Unavailable",
        "The database cannot be asked or written, or too many are waiting; nothing was given or \
         changed. Where the database was lost while it made a change durable, the detail says that \
         it may have been made.",
        &["Retry-After"],
    ),
];

const CHALLENGE: &str = "WWW-Authenticate";
/// What the header fields of answers say.
const FIELDS: &[(&str, &str)] = &[
    ("access_token", "The token."),
    ("Content-Disposition", "The name of the file, which holds the number of the export."),
    ("ETag", "The version, for `If-Match` or `If-None-Match`."),
    ("Link", "Where the next page is, with `rel=\"next\"` (RFC 8288); absent on the last."),
    ("Location", "Where the new thing is."),
    (
        "Stipend-Checkpoint",
        "Where the audit trail ends, signed: keep it, and verify the trail against it later.",
    ),
    ("Retry-After", "After how many seconds to try again."),
    (CHALLENGE, "Which token is needed, and what is wrong with the one that came (RFC 6750)."),
];

impl Modify for Refusals {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        add_refusals(api.components.get_or_insert_default());
        for item in api.paths.paths.values_mut() {
            let changes = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
            for operation in changes.into_iter().flatten() {
                complete(operation, true);
            }
            if let Some(operation) = &mut item.get {
                complete(operation, false);
            }
        }
    }
}

fn add_refusals(components: &mut Components) {
    for (_, name, description, fields) in REFUSALS {
        let response = ResponseBuilder::new()
            .description(*description)
            .content("application/problem+json", Content::new(Some(schema::reference::<Problem>())))
            .content("text/plain", Content::new(Some(schema::text())));
        let response = fields
            .iter()
            .fold(response, |response, field| response.header(*field, described_field(field)));
        components.responses.insert((*name).to_owned(), response.build().into());
    }
}

fn complete(operation: &mut Operation, changes: bool) {
    let security = operation.security.as_deref().unwrap_or_default();
    let scopes = serde_json::to_string(security).unwrap_or_default();
    let asks_version = operation.parameters.iter().flatten().any(is_if_match);
    let takes_body = operation.request_body.is_some();
    let groups: [(bool, &[u16]); 6] = [
        (true, &[400, 414, 431, 500]),
        (!security.is_empty(), &[401, 503]),
        (scopes.contains(":[\""), &[403]),
        (changes, &[403]),
        (takes_body, &[408, 413, 415]),
        (asks_version, &[412, 428]),
    ];
    let responses = &mut operation.responses.responses;
    for status in groups.iter().filter(|(applies, _)| *applies).flat_map(|(_, all)| *all) {
        responses.entry(status.to_string()).or_insert_with(|| ResponseBuilder::new().into());
    }
    for (status, response) in responses {
        if let Some((_, name, ..)) = REFUSALS.iter().find(|(code, ..)| code.to_string() == *status)
        {
            *response = Ref::from_response_name(*name).into();
        } else if let RefOr::T(response) = response {
            describe_fields(response);
        }
    }
}

fn is_if_match(parameter: &RefOr<Parameter>) -> bool {
    matches!(parameter, RefOr::T(parameter) if parameter.name == "If-Match")
}

fn describe_fields(response: &mut Response) {
    let names: Vec<String> = response.headers.keys().cloned().collect();
    response.headers = names
        .into_iter()
        .map(|name| {
            let field = described_field(&name).into();
            (name, field)
        })
        .collect::<BTreeMap<_, _>>();
}

fn described_field(name: &str) -> Header {
    let mut field = Header::new(ObjectBuilder::new().schema_type(Type::String));
    let known = FIELDS.iter().find(|(other, _)| *other == name);
    field.description = known.map(|(_, says)| (*says).to_owned());
    field
}
