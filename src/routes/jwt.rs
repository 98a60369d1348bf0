//! `/jwt`: sign in and sign out.

use rocket::data::{Data, FromData, Outcome as DataOutcome, ToByteUnit};
use rocket::http::{ContentType, Header, Status};
use rocket::response::{self, Responder};
use rocket::serde::json::json;
use rocket::{Request, Response, State};
use std::io::Cursor;
use std::time::Duration;

use super::guard::Authenticated;
use crate::auth::{Auth, Credentials, Issued};
use crate::config::Secret;
use crate::error::{Error, prefers_json};
use crate::fairings::Context;
use crate::json::parse_object;

/// The longest body, in KiB.
const LONGEST_BODY: u64 = 16;
/// The longest password, in bytes: long enough for any sentence, and hashing is not for more.
const LONGEST_PASSWORD: usize = 1024;
const MOST_FIELDS: usize = 100;
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) fn routes() -> Vec<rocket::Route> {
    rocket::routes![log_in, log_out]
}

#[rocket::post("/jwt", data = "<login>")]
async fn log_in(login: Login, auth: &State<Auth>, context: &Context) -> Result<Issued, Error> {
    let issued = auth.log_in(login.0?, &context.origin).await?;
    Ok(issued)
}

#[rocket::delete("/jwt")]
async fn log_out(
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
            let body = json!({
                "access_token": self.token.expose(),
                "token_type": "Bearer",
                "expires_in": self.expires_in,
                "scope": self.perms.join(" "),
            });
            (ContentType::JSON, body.to_string())
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

/// The credentials of a login's body, or why there are none. Rocket's own `Json` guard would log
/// a body that does not parse, password and all; this one's error holds nothing of the input.
struct Login(Result<Credentials, Error>);

#[rocket::async_trait]
impl<'r> FromData<'r> for Login {
    type Error = std::convert::Infallible;

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> DataOutcome<'r, Self> {
        DataOutcome::Success(Self(read(request, data).await))
    }
}

enum Format {
    Json,
    Form,
}

async fn read(request: &Request<'_>, mut data: Data<'_>) -> Result<Credentials, Error> {
    let Some(format) = format(request)? else {
        // No type: either there is no body, and so no credentials, or one that nobody can read.
        return Err(match data.peek(1).await {
            [] => Error::WrongCredentials,
            _ => Error::UnsupportedMediaType,
        });
    };
    let length = request.headers().get_one("Content-Length").and_then(|length| length.parse().ok());
    if length.is_some_and(|length: u64| length > LONGEST_BODY * 1024) {
        return Err(Error::ContentTooLarge);
    }
    let body = data.open(LONGEST_BODY.kibibytes()).into_bytes();
    let body = rocket::tokio::time::timeout(BODY_TIMEOUT, body)
        .await
        .map_err(|_| Error::RequestTimeout)?
        .map_err(|_| Error::BadRequest("The body did not arrive whole"))?;
    if !body.is_complete() {
        return Err(Error::ContentTooLarge);
    }
    let credentials = match format {
        Format::Json => from_json(&body)?,
        Format::Form => from_form(&body)?,
    };
    if credentials.password.expose().len() > LONGEST_PASSWORD {
        return Err(Error::BadRequest("A password has 1024 bytes at most"));
    }
    Ok(credentials)
}

/// The format that the header fields name; `None` without a type.
fn format(request: &Request<'_>) -> Result<Option<Format>, Error> {
    let headers = request.headers();
    if headers.get("Content-Encoding").any(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(Error::UnsupportedMediaType);
    }
    if headers.get("Content-Type").count() > 1 {
        return Err(Error::BadRequest("Send one Content-Type field"));
    }
    let Some(text) = headers.get_one("Content-Type") else {
        return Ok(None);
    };
    let content_type: ContentType = text.parse().map_err(|_| Error::UnsupportedMediaType)?;
    if content_type.param("charset").is_some_and(|charset| !charset.eq_ignore_ascii_case("utf-8")) {
        return Err(Error::UnsupportedMediaType);
    }
    if content_type.is_json() {
        Ok(Some(Format::Json))
    } else if content_type.is_form() {
        Ok(Some(Format::Form))
    } else {
        Err(Error::UnsupportedMediaType)
    }
}

fn from_json(body: &[u8]) -> Result<Credentials, Error> {
    const EXPECTED: Error =
        Error::BadRequest("Send one JSON object with the strings username and password");
    let mut object = parse_object(body).map_err(|_| EXPECTED)?;
    let mut take = |name| match object.remove(name) {
        Some(serde_json::Value::String(text)) => Ok(text),
        _ => Err(EXPECTED),
    };
    Ok(Credentials { username: take("username")?, password: Secret::new(take("password")?) })
}

/// A form as the URL Standard parses it (section 5.1), but that a name may not stand twice and
/// what is used must be UTF-8.
fn from_form(body: &[u8]) -> Result<Credentials, Error> {
    const EXPECTED: Error =
        Error::BadRequest("Send the form fields username and password once each, in UTF-8");
    let (mut username, mut password) = (None, None);
    for (n, field) in body.split(|byte| *byte == b'&').enumerate() {
        if n >= MOST_FIELDS {
            return Err(Error::BadRequest("A form has 100 fields at most"));
        }
        let (name, value) = match field.iter().position(|byte| *byte == b'=') {
            Some(at) => (field.get(..at), field.get(at + 1..)),
            None => (Some(field), None),
        };
        let slot = match form_decode(name.unwrap_or_default()).as_slice() {
            b"username" => &mut username,
            b"password" => &mut password,
            _ => continue,
        };
        let value = form_decode(value.unwrap_or_default());
        let value = String::from_utf8(value).map_err(|_| EXPECTED)?;
        if slot.replace(value).is_some() {
            return Err(EXPECTED);
        }
    }
    let (username, password) = username.zip(password).ok_or(EXPECTED)?;
    Ok(Credentials { username, password: Secret::new(password) })
}

fn form_decode(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> =
        text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_encoding::percent_decode(&spaced).collect()
}
