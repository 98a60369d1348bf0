//! Answers in JSON.

use std::io::Cursor;

use rocket::http::{ContentType, Header, Status};
use rocket::response::{self, Responder};
use rocket::{Request, Response};
use serde::Serialize;

use crate::error::{self, Error};

/// An answer in JSON, with its status and header fields.
#[derive(Debug)]
pub(super) struct Answer {
    status: Status,
    fields: Vec<Header<'static>>,
    body: String,
}

impl Answer {
    /// 200 with a value.
    pub(super) fn json(value: &impl Serialize) -> Result<Self, Error> {
        let body = serde_json::to_string(value).map_err(|_| Error::Internal)?;
        Ok(Self { status: Status::Ok, fields: Vec::new(), body })
    }

    /// 201, with where the new thing is.
    pub(super) fn created_at(mut self, place: String) -> Self {
        self.status = Status::Created;
        self.with(Header::new("Location", place))
    }

    /// With the version that a change must name.
    pub(super) fn of_version(self, version: i64) -> Self {
        self.with(error::etag(version))
    }

    /// With a header field.
    pub(super) fn with(mut self, field: Header<'static>) -> Self {
        self.fields.push(field);
        self
    }
}

impl<'r> Responder<'r, 'static> for Answer {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        let mut response = Response::build();
        response.status(self.status).header(json());
        for field in self.fields {
            response.header(field);
        }
        response.sized_body(self.body.len(), Cursor::new(self.body)).ok()
    }
}

/// The type of JSON, which says its charset too.
pub(super) fn json() -> ContentType {
    ContentType::new("application", "json").with_params(("charset", "utf-8"))
}

/// The `Link` to the next page: the same request with other parameters (RFC 8288).
pub(super) fn next_page(path: &str, parameters: &[(&str, String)]) -> Header<'static> {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const ESCAPED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    let query: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, ESCAPED)))
        .collect();
    Header::new("Link", format!("<{path}?{}>; rel=\"next\"", query.join("&")))
}
