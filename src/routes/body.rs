//! Bodies: their format, their size, and the members of a JSON object.
//!
//! Rocket's own `Json` guard would log a body that does not parse, password and all; errors here
//! hold nothing of the input.

use std::convert::Infallible;
use std::time::Duration;

use rocket::Request;
use rocket::data::{Data, FromData, Outcome, ToByteUnit};
use rocket::http::ContentType;
use serde_json::{Map, Value};

use crate::config::Secret;
use crate::domain::{BadPassword, LONGEST_PASSWORD};
use crate::error::Error;
use crate::json::parse_object;
use crate::service::Fault;

/// The longest body of a request that is no file, in KiB.
pub(super) const LONGEST: u64 = 16;
const TIMEOUT: Duration = Duration::from_secs(20);

/// The type that the header fields name, of a body that is text in UTF-8; `None` without one.
/// `taken` says which types are.
pub(super) fn content_type(
    request: &Request<'_>,
    taken: &'static str,
) -> Result<Option<ContentType>, Error> {
    let unsupported = || Error::UnsupportedMediaType(taken);
    let headers = request.headers();
    if headers.get("Content-Encoding").any(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(unsupported());
    }
    if headers.get("Content-Type").count() > 1 {
        return Err(Error::BadRequest("Send one Content-Type field"));
    }
    let Some(text) = headers.get_one("Content-Type") else {
        return Ok(None);
    };
    let content_type: ContentType = text.parse().map_err(|_| unsupported())?;
    match content_type.param("charset") {
        Some(charset) if !charset.eq_ignore_ascii_case("utf-8") => Err(unsupported()),
        _ => Ok(Some(content_type)),
    }
}

/// The body, whole; it may have so many KiB.
pub(super) async fn read(
    request: &Request<'_>,
    data: Data<'_>,
    longest: u64,
) -> Result<Vec<u8>, Error> {
    let length = request.headers().get_one("Content-Length").and_then(|length| length.parse().ok());
    if length.is_some_and(|length: u64| length > longest * 1024) {
        return Err(Error::ContentTooLarge(longest));
    }
    let body = data.open(longest.kibibytes()).into_bytes();
    let body = rocket::tokio::time::timeout(TIMEOUT, body)
        .await
        .map_err(|_| Error::RequestTimeout)?
        .map_err(|_| Error::BadRequest("The body did not arrive whole"))?;
    if body.is_complete() { Ok(body.into_inner()) } else { Err(Error::ContentTooLarge(longest)) }
}

/// The members of a body that is one JSON object, or why there are none.
pub(super) struct Object(pub Result<Members, Error>);

#[rocket::async_trait]
impl<'r> FromData<'r> for Object {
    type Error = Infallible;

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r, Self> {
        Outcome::Success(Self(object(request, data).await))
    }
}

async fn object(request: &Request<'_>, data: Data<'_>) -> Result<Members, Error> {
    const TAKEN: &str = "application/json";
    match content_type(request, TAKEN)? {
        Some(content_type) if content_type.is_json() => {}
        _ => return Err(Error::UnsupportedMediaType(TAKEN)),
    }
    let body = read(request, data, LONGEST).await?;
    let object =
        parse_object(&body).map_err(|_| Error::BadRequest("Send one JSON object, in UTF-8"))?;
    Ok(Members { object, faults: Vec::new() })
}

/// The members of an object, taken one by one; what is wrong with them, and what nobody took, is
/// told at the end, all at once.
pub(super) struct Members {
    object: Map<String, Value>,
    faults: Vec<Fault>,
}

impl Members {
    /// A text that must be there, parsed.
    pub(super) fn text<T, E: ToString>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match self.object.get(name) {
            None => self.fault(name, "this member is missing"),
            Some(Value::Null) => self.fault(name, "this is a string"),
            Some(_) => return self.optional(name, parse).flatten(),
        }
        self.object.shift_remove(name);
        None
    }

    /// A text that may be there, parsed.
    pub(super) fn text_if_there<T, E: ToString>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if self.object.contains_key(name) { self.text(name, parse) } else { None }
    }

    /// A text that may be there, or null, parsed: none if it is not there.
    pub(super) fn optional<T, E: ToString>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<Option<T>> {
        match self.object.shift_remove(name)? {
            Value::Null => Some(None),
            Value::String(text) => match parse(&text) {
                Ok(value) => Some(Some(value)),
                Err(error) => {
                    self.fault(name, error);
                    None
                }
            },
            _ => {
                self.fault(name, "this is a string");
                None
            }
        }
    }

    /// An array of texts that must be there, each parsed, none twice, and not empty.
    pub(super) fn texts<T: PartialEq, E: ToString>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        const EXPECTED: &str = "this is an array of strings, at least one and none twice";
        let Some(value) = self.object.shift_remove(name) else {
            self.fault(name, "this member is missing");
            return None;
        };
        let mut parsed = Vec::new();
        for text in value.as_array().into_iter().flatten() {
            match text.as_str().map(&parse) {
                Some(Ok(one)) if !parsed.contains(&one) => parsed.push(one),
                Some(Err(error)) => {
                    self.fault(name, error);
                    return None;
                }
                _ => {
                    self.fault(name, EXPECTED);
                    return None;
                }
            }
        }
        if parsed.is_empty() {
            self.fault(name, EXPECTED);
            return None;
        }
        Some(parsed)
    }

    /// A yes or no that may be there.
    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        match self.object.shift_remove(name)? {
            Value::Bool(flag) => Some(flag),
            _ => {
                self.fault(name, "this is true or false");
                None
            }
        }
    }

    /// A yes or no that must be there.
    pub(super) fn needed_flag(&mut self, name: &str) -> Option<bool> {
        if !self.object.contains_key(name) {
            self.fault(name, "this member is missing");
        }
        self.flag(name)
    }

    /// Says that a member is wrong.
    pub(super) fn fault(&mut self, name: &str, reason: impl ToString) {
        self.faults.push(Fault::new(name, reason));
    }

    /// An error, if anything is wrong or nobody took it.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        let left: Vec<String> = self.object.keys().cloned().collect();
        for name in left {
            self.fault(&name, "there is no such member");
        }
        if self.faults.is_empty() { Ok(()) } else { Err(Error::Invalid(self.faults)) }
    }
}

/// What cannot happen once [`Members::finish`] has found nothing wrong.
pub(super) fn taken<T>(value: Option<T>) -> Result<T, Error> {
    value.ok_or(Error::Internal)
}

/// Anything may be a password that is not too long to be one.
pub(super) fn parse_password(text: &str) -> Result<Secret<String>, BadPassword> {
    if text.len() > LONGEST_PASSWORD {
        return Err(BadPassword::TooLong);
    }
    Ok(Secret::new(text.to_owned()))
}
