//! `/jwt`: sign in and sign out.

use rocket::data::{Data, FromData, Outcome as DataOutcome};
use rocket::http::{ContentType, Header, Status};
use rocket::response::{self, Responder};
use rocket::{Request, Response, State};
use serde::Serialize;
use std::io::Cursor;
use utoipa::ToSchema;

use super::body;
use super::guard::Authenticated;
use super::query::form_decode;
use crate::auth::{Auth, Code, Credentials, Issued};
use crate::config::Secret;
use crate::domain::{LONGEST_PASSWORD, Permission};
use crate::error::{Error, prefers_json};
use crate::fairings::Context;
use crate::json::parse_object;
use crate::service::schema::PermissionName;

const MOST_FIELDS: usize = 100;

pub(super) fn routes() -> Vec<rocket::Route> {
    rocket::routes![log_in, log_out]
}

/// What a login sends.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is parsed member by member")]
struct LoginBody {
    /// `NAME` in the default org, or `ORG/NAME`.
    username: String,
    #[schema(max_length = 1024)]
    password: String,
    /// What the token is to be narrowed to; without it, it gives all that the grants give.
    #[schema(value_type = Option<Vec<PermissionName>>, nullable = false)]
    perms: Option<Vec<String>>,
    /// For who has turned a second factor on: six digits, or a recovery code.
    #[schema(max_length = 64, nullable = false)]
    code: Option<String>,
}

/// What a login by a form sends.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is parsed field by field")]
struct LoginForm {
    /// `NAME` in the default org, or `ORG/NAME`.
    username: String,
    #[schema(max_length = 1024)]
    password: String,
    /// For who has turned a second factor on: six digits, or a recovery code.
    #[schema(max_length = 64, nullable = false)]
    code: Option<String>,
}

/// A token.
#[derive(Serialize, ToSchema)]
struct TokenBody<'a> {
    access_token: &'a str,
    #[schema(pattern = "^Bearer$")]
    token_type: &'static str,
    /// In seconds.
    expires_in: u64,
    /// Permissions, with spaces between them.
    scope: String,
}

/// Sign in.
#[utoipa::path(
    post, path = "/jwt", tag = "sessions",
    request_body(content(
        (LoginBody = "application/json"),
        (LoginForm = "application/x-www-form-urlencoded"),
    )),
    responses(
        (status = 200, description = "`OK`, or the token again where JSON is preferred",
         content((String = "text/plain"), (TokenBody = "application/json")),
         headers(("access_token"))),
        (status = 401),
        (status = 429),
        (status = 503),
    )
)]
#[rocket::post("/jwt", data = "<login>")]
pub(super) async fn log_in(
    login: Login,
    auth: &State<Auth>,
    context: &Context,
) -> Result<Issued, Error> {
    let issued = auth.log_in(login.0?, &context.origin).await?;
    Ok(issued)
}

/// Sign out: the token's session ends.
#[utoipa::path(
    delete, path = "/jwt", tag = "sessions", security(("bearer" = [])),
    responses((status = 204, description = "It has ended"))
)]
#[rocket::delete("/jwt")]
pub(super) async fn log_out(
    caller: Authenticated,
    auth: &State<Auth>,
    context: &Context,
) -> Result<Status, Error> {
    auth.log_out(&caller.0, &context.origin).await?;
    Ok(Status::NoContent)
}

impl<'r> Responder<'r, 'static> for Issued {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let (content_type, body) = if prefers_json(request) {
            let body = TokenBody {
                access_token: self.token.expose(),
                token_type: "Bearer",
                expires_in: self.expires_in,
                scope: self.perms.join(" "),
            };
            let body = serde_json::to_string(&body).map_err(|_| Status::InternalServerError)?;
            (ContentType::JSON, body)
        } else {
            (ContentType::Plain, "OK".to_owned())
        };
        Response::build()
            .header(content_type)
            .header(Header::new("access_token", self.token.expose().clone()))
            .header(Header::new("Vary", "Accept"))
            .sized_body(body.len(), Cursor::new(body))
            .ok()
    }
}

/// The credentials of a login's body, or why there are none.
pub(super) struct Login(Result<Credentials, Error>);

#[rocket::async_trait]
impl<'r> FromData<'r> for Login {
    type Error = std::convert::Infallible;

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> DataOutcome<'r, Self> {
        DataOutcome::Success(Self(read(request, data).await))
    }
}

const TAKEN: &str = "application/json or application/x-www-form-urlencoded";

async fn read(request: &Request<'_>, mut data: Data<'_>) -> Result<Credentials, Error> {
    let Some(content_type) = body::content_type(request, TAKEN)? else {
        // No type: either there is no body, and so no credentials, or one that nobody can read.
        return Err(match data.peek(1).await {
            [] => Error::WrongCredentials,
            _ => Error::UnsupportedMediaType(TAKEN),
        });
    };
    if !content_type.is_json() && !content_type.is_form() {
        return Err(Error::UnsupportedMediaType(TAKEN));
    }
    let parse = if content_type.is_json() { from_json } else { from_form };
    let credentials = parse(&body::read(request, data, body::LONGEST).await?)?;
    if credentials.password.expose().len() > LONGEST_PASSWORD {
        return Err(Error::BadRequest("A password has 1024 bytes at most"));
    }
    Ok(credentials)
}

pub(super) fn from_json(body: &[u8]) -> Result<Credentials, Error> {
    const EXPECTED: Error =
        Error::BadRequest("Send one JSON object with the strings username and password");
    let mut object = parse_object(body).map_err(|_| EXPECTED)?;
    let mut take = |name| match object.remove(name) {
        Some(serde_json::Value::String(text)) => Ok(text),
        _ => Err(EXPECTED),
    };
    let (username, password) = (take("username")?, Secret::new(take("password")?));
    let perms = object.remove("perms").map(permissions).transpose()?;
    let code = object.remove("code").map(|code| parse_code(code.as_str())).transpose()?;
    Ok(Credentials { username, password, perms, code })
}

fn parse_code(text: Option<&str>) -> Result<Code, Error> {
    const EXPECTED: Error = Error::BadRequest("A code is a string of 64 bytes at most");
    text.and_then(|text| Code::parse(text).ok()).ok_or(EXPECTED)
}

/// The permissions that the token is to be narrowed to.
fn permissions(perms: serde_json::Value) -> Result<Vec<Permission>, Error> {
    let parse = |name: &serde_json::Value| name.as_str().and_then(Permission::parse);
    let perms: Option<Vec<Permission>> =
        perms.as_array().and_then(|names| names.iter().map(parse).collect());
    perms.ok_or(Error::BadRequest("perms is an array of some of read, write, manage and audit"))
}

/// A form as the URL Standard parses it (section 5.1), but that a name may not stand twice and
/// what is used must be UTF-8.
pub(super) fn from_form(body: &[u8]) -> Result<Credentials, Error> {
    const EXPECTED: Error =
        Error::BadRequest("Send the form fields username and password once each, in UTF-8");
    let (mut username, mut password, mut code) = (None, None, None);
    for (n, field) in body.split(|byte| *byte == b'&').enumerate() {
        if n >= MOST_FIELDS {
            return Err(Error::BadRequest("A form has 100 fields at most"));
        }
        let (name, value) = match field.iter().position(|byte| *byte == b'=') {
            Some(at) => (field.get(..at), field.get(at + 1..)),
            None => (Some(field), None),
        };
        let slot = match form_decode(name.unwrap_or_default()).as_deref() {
            Some("username") => &mut username,
            Some("password") => &mut password,
            Some("code") => &mut code,
            _ => continue,
        };
        let value = form_decode(value.unwrap_or_default()).ok_or(EXPECTED)?;
        if slot.replace(value).is_some() {
            return Err(EXPECTED);
        }
    }
    let (username, password) = username.zip(password).ok_or(EXPECTED)?;
    let code = code.map(|code| parse_code(Some(&code))).transpose()?;
    Ok(Credentials { username, password: Secret::new(password), perms: None, code })
}
