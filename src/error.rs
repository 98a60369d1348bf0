//! The one error of the HTTP edge: status, header fields, and a body in plain text or, where the
//! client prefers JSON, as problem details (RFC 9457).
//!
//! A guard that fails leaves its [`Error`] with the request; the catcher, which answers whatever
//! no route did, finds it there. What a client gets never holds library text, SQL or paths.

use std::io::Cursor;

use rocket::http::{Accept, ContentType, Header, MediaType, Method, QMediaType, Status};
use rocket::response::Responder;
use rocket::{Request, Response, response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{ClaimError, GateError, IdentifyError, LogInError, SigningError};
use crate::policy::{Denied, NotInPerson, SignInTooOld};
use crate::service::{Fault, Refused};
use crate::store::StoreError;
use crate::store::disclosure::Withheld;

/// What went wrong, as far as the client may know.
#[derive(Clone, Debug)]
pub enum Error {
    /// The request is malformed; the sentence says in what.
    BadRequest(&'static str),
    /// Members, parameters or lines of the request are wrong; each is named.
    Invalid(Vec<Fault>),
    /// How long the request is cannot be told for certain (RFC 9112 section 6.1).
    AmbiguousLength,
    /// No credentials came with a request that needs them (RFC 6750 section 3.1: no error code).
    Unauthenticated,
    /// Two sets of credentials came, and nobody may choose between them.
    AmbiguousCredentials,
    /// A token came and is not valid. One answer for every cause.
    InvalidToken,
    /// A login failed. One answer for every cause.
    WrongCredentials,
    /// The token is valid and the permission is missing, or does not count.
    InsufficientScope(Denied),
    /// The token is valid and the sign-in behind it too long ago (RFC 9470 section 3).
    SignInTooOld(SignInTooOld),
    /// The caller may do this, but not so much of it; the sentence says why.
    Forbidden(String),
    /// A browser marked the request as coming from another site.
    CrossSite,
    /// There is nothing at this path.
    NotFound,
    /// The path exists, and not with this method; these it has.
    MethodNotAllowed(Vec<Method>),
    /// The method is known to nobody here.
    MethodNotImplemented,
    /// The body did not arrive in time.
    RequestTimeout,
    /// It is so already, or something stands against it; the sentence says what.
    Conflict(String),
    /// What is to be changed has changed since it was read; this is its version now.
    PreconditionFailed(i64),
    /// A change must say which version it changes.
    PreconditionRequired,
    /// The body is longer than it may be, in KiB.
    ContentTooLarge(u64),
    /// The path and query are longer than they may be.
    UriTooLong,
    /// The body is in a format or a coding that is not taken here; these are.
    UnsupportedMediaType(&'static str),
    /// The header fields are longer than they may be.
    HeaderFieldsTooLarge,
    /// Too many sign-ins have failed; one is looked at again after so many seconds.
    TooManyFailures(u32),
    /// Too many are waiting; try again after so many seconds.
    Busy(u32),
    /// The database cannot be asked or written, so nothing was given or changed.
    Unavailable,
    /// The database was lost while it made a change durable.
    Unsure,
    /// A fault of the server's own.
    Internal,
}

const REALM: &str = r#"Bearer realm="Access to read salaries""#;
/// How long a client should wait before it tries again, in seconds.
const RETRY_AFTER: u32 = 1;

impl Error {
    /// The HTTP status.
    pub fn status(&self) -> Status {
        match self {
            Self::BadRequest(_)
            | Self::Invalid(_)
            | Self::AmbiguousLength
            | Self::AmbiguousCredentials => Status::BadRequest,
            Self::Unauthenticated
            | Self::InvalidToken
            | Self::WrongCredentials
            | Self::SignInTooOld(_) => Status::Unauthorized,
            Self::InsufficientScope(_) | Self::Forbidden(_) | Self::CrossSite => Status::Forbidden,
            Self::NotFound => Status::NotFound,
            Self::MethodNotAllowed(_) => Status::MethodNotAllowed,
            Self::MethodNotImplemented => Status::NotImplemented,
            Self::RequestTimeout => Status::RequestTimeout,
            Self::Conflict(_) => Status::Conflict,
            Self::PreconditionFailed(_) => Status::PreconditionFailed,
            Self::PreconditionRequired => Status::PreconditionRequired,
            Self::ContentTooLarge(_) => Status::PayloadTooLarge,
            Self::UriTooLong => Status::UriTooLong,
            Self::UnsupportedMediaType(_) => Status::UnsupportedMediaType,
            Self::HeaderFieldsTooLarge => Status::RequestHeaderFieldsTooLarge,
            Self::TooManyFailures(_) => Status::TooManyRequests,
            Self::Busy(_) | Self::Unavailable | Self::Unsure => Status::ServiceUnavailable,
            Self::Internal => Status::InternalServerError,
        }
    }

    /// What kind of error it is, in a word, for the log. It tells no more than the answer does.
    const fn class(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad_request",
            Self::Invalid(_) => "invalid_members",
            Self::AmbiguousLength => "ambiguous_length",
            Self::Unauthenticated => "unauthenticated",
            Self::AmbiguousCredentials => "ambiguous_credentials",
            Self::InvalidToken => "invalid_token",
            Self::WrongCredentials => "wrong_credentials",
            Self::InsufficientScope(_) => "insufficient_scope",
            Self::SignInTooOld(_) => "sign_in_too_old",
            Self::Forbidden(_) => "forbidden",
            Self::CrossSite => "cross_site",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed(_) => "method_not_allowed",
            Self::MethodNotImplemented => "method_not_implemented",
            Self::RequestTimeout => "request_timeout",
            Self::Conflict(_) => "conflict",
            Self::PreconditionFailed(_) => "precondition_failed",
            Self::PreconditionRequired => "precondition_required",
            Self::ContentTooLarge(_) => "content_too_large",
            Self::UriTooLong => "uri_too_long",
            Self::UnsupportedMediaType(_) => "unsupported_media_type",
            Self::HeaderFieldsTooLarge => "header_fields_too_large",
            Self::TooManyFailures(_) => "too_many_failures",
            Self::Busy(_) => "busy",
            Self::Unavailable => "unavailable",
            Self::Unsure => "unsure",
            Self::Internal => "internal",
        }
    }

    /// One sentence that says what to do.
    fn detail(&self) -> String {
        match self {
            Self::BadRequest(sentence) => (*sentence).to_owned(),
            Self::Invalid(faults) => Refused::Invalid(faults.clone()).to_string(),
            Self::Forbidden(sentence) | Self::Conflict(sentence) => sentence.clone(),
            Self::PreconditionFailed(_) => {
                "It has changed meanwhile: read it again, and send its ETag in If-Match".into()
            }
            Self::PreconditionRequired => {
                "Send If-Match with the ETag of what you read, or with *".into()
            }
            Self::AmbiguousLength => {
                "Send either Content-Length, or Transfer-Encoding: chunked and no other coding"
                    .into()
            }
            Self::Unauthenticated => "Unauthorized".into(),
            Self::AmbiguousCredentials => "Send one Authorization field: Bearer <token>".into(),
            Self::InvalidToken => "Unauthorized".into(),
            Self::WrongCredentials => "Username or password is incorrect".into(),
            Self::InsufficientScope(denied) => denied.to_string(),
            Self::SignInTooOld(old) => {
                format!(
                    "This needs a sign-in of the last {} s: sign in again",
                    old.max_age.as_secs()
                )
            }
            Self::CrossSite => "Requests from another site are refused".into(),
            Self::NotFound => "Not found".into(),
            Self::MethodNotAllowed(_) => "Method not allowed".into(),
            Self::MethodNotImplemented => "Method not implemented".into(),
            Self::RequestTimeout => "The body did not arrive in time".into(),
            Self::ContentTooLarge(most) => format!("The body may have {most} KiB at most"),
            Self::UriTooLong => "The path and query may have 8 KiB at most".into(),
            Self::UnsupportedMediaType(taken) => {
                format!("Send the body as {taken}, in UTF-8 and uncompressed")
            }
            Self::HeaderFieldsTooLarge => "The header fields may have 64 KiB at most".into(),
            Self::TooManyFailures(seconds) => {
                format!("Too many sign-ins have failed: try again in {seconds} s")
            }
            Self::Busy(seconds) => format!("Too many are waiting: try again in {seconds} s"),
            Self::Unavailable => {
                "The database cannot be reached or written, so nothing was given or changed: try \
                 again soon"
                    .into()
            }
            Self::Unsure => {
                "The database was lost before it said whether this was done: look, and try again if \
                 it was not"
                    .into()
            }
            Self::Internal => "The server failed".into(),
        }
    }

    /// The challenge of RFC 6750 section 3, the same in either form of the body. A failed login
    /// carries one too, since RFC 9110 section 15.5.2 wants one with every 401; never `Basic`,
    /// for which a browser would open a dialogue of its own.
    fn challenge(&self) -> Option<String> {
        match self {
            Self::Unauthenticated | Self::WrongCredentials => Some(REALM.to_owned()),
            Self::InvalidToken => Some(format!(
                r#"{REALM}, error="invalid_token", error_description="The token is not valid""#
            )),
            Self::AmbiguousCredentials => Some(format!(r#"{REALM}, error="invalid_request""#)),
            Self::InsufficientScope(denied) => {
                Some(format!(r#"{REALM}, error="insufficient_scope", scope="{}""#, denied.needed))
            }
            Self::SignInTooOld(old) => Some(format!(
                r#"{REALM}, error="insufficient_user_authentication", error_description="The sign-in is too long ago", max_age="{}""#,
                old.max_age.as_secs()
            )),
            _ => None,
        }
    }

    /// Seconds after which to try again.
    fn retry_after(&self) -> Option<u32> {
        match self {
            Self::TooManyFailures(seconds) | Self::Busy(seconds) => Some(*seconds),
            Self::Unavailable | Self::Unsure => Some(RETRY_AFTER),
            _ => None,
        }
    }

    /// Whether the rest of the request may still be on its way, so that nothing after it on this
    /// connection can be trusted to be a request.
    fn closes_connection(&self) -> bool {
        matches!(
            self,
            Self::AmbiguousLength
                | Self::MethodNotImplemented
                | Self::RequestTimeout
                | Self::ContentTooLarge(_)
                | Self::UriTooLong
                | Self::HeaderFieldsTooLarge
        )
    }

    /// Leaves the error with the request, for the catcher.
    pub fn leave(self, request: &Request<'_>) -> Status {
        let status = self.status();
        prefers_problem(request);
        request.local_cache(|| Left(Some(self)));
        status
    }

    /// The error that a guard or a screening left with the request.
    pub fn left<'r>(request: &'r Request<'_>) -> Option<&'r Self> {
        request.local_cache(|| Left(None)).0.as_ref()
    }
}

struct Left(Option<Error>);

impl<'r> Responder<'r, 'static> for Error {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let status = self.status();
        request.local_cache(|| Told(self.class()));
        let mut response = Response::build();
        response.status(status);
        if let Some(challenge) = self.challenge() {
            response.header(Header::new("WWW-Authenticate", challenge));
        }
        if let Some(seconds) = self.retry_after() {
            response.header(Header::new("Retry-After", seconds.to_string()));
        }
        if let Self::MethodNotAllowed(allowed) = &self {
            response.header(Header::new("Allow", allow(allowed)));
        }
        if self.closes_connection() {
            response.header(Header::new("Connection", "close"));
        }
        if let Self::PreconditionFailed(version) = &self {
            response.header(etag(*version));
        }
        response.header(Header::new("Vary", "Accept"));
        let body = if prefers_problem(request) {
            response.header(ContentType::new("application", "problem+json"));
            serde_json::to_string(&self.problem()).map_err(|_| Status::InternalServerError)?
        } else {
            response.header(ContentType::Plain);
            self.detail()
        };
        response.sized_body(body.len(), Cursor::new(body)).ok()
    }
}

/// Problem details (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the status says what it is.
    r#type: &'static str,
    /// What the status means.
    title: &'static str,
    /// The status.
    status: u16,
    /// One sentence that says what to do.
    detail: String,
    /// What is wrong, each by itself, where something of the request's content is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<ProblemPart>,
}

/// One of the things that are wrong.
#[derive(Debug, Serialize, ToSchema)]
struct ProblemPart {
    /// The line of a file, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    line: Option<u64>,
    /// The column of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    column: Option<String>,
    /// The member or parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<String>,
    /// What would be right.
    reason: String,
}

impl From<&Fault> for ProblemPart {
    fn from(fault: &Fault) -> Self {
        let name = Some(fault.field.clone());
        let (column, field) = if fault.line.is_some() { (name, None) } else { (None, name) };
        Self { line: fault.line, column, field, reason: fault.reason.clone() }
    }
}

impl Error {
    /// The problem details: what [`Problem`] names, and, where several things are wrong, `errors`
    /// with one object for each.
    fn problem(&self) -> Problem {
        let status = self.status();
        let (detail, errors) = match self {
            Self::Invalid(faults) if faults.len() > 1 => {
                (format!("{} things are wrong: errors names each", faults.len()), faults.as_slice())
            }
            Self::Invalid(faults) => (self.detail(), faults.as_slice()),
            _ => (self.detail(), &[][..]),
        };
        Problem {
            r#type: "about:blank",
            title: status.reason().unwrap_or("Error"),
            status: status.code,
            detail,
            errors: errors.iter().map(ProblemPart::from).collect(),
        }
    }
}

/// The `ETag` of a version (RFC 9110 section 8.8.3).
pub fn etag(version: i64) -> Header<'static> {
    Header::new("ETag", format!("\"{version}\""))
}

/// The value of an `Allow` field.
pub fn allow(methods: &[Method]) -> String {
    let names: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
    names.join(", ")
}

/// The first segments of the paths that speak JSON unless they are asked for something else. The
/// contract's paths speak plain text.
const JSON_PATHS: &[&str] =
    &[".well-known", "audit", "explain", "me", "openapi.json", "org", "pay", "users"];

struct Told(&'static str);

/// The class of the error that answered a request, for the log; none if none did.
pub fn told(request: &Request<'_>) -> Option<&'static str> {
    let Told(class) = request.local_cache(|| Told(""));
    (!class.is_empty()).then_some(class)
}

struct PrefersProblem(bool);

/// Whether an error is told as problem details, decided by the path that was asked for.
fn prefers_problem(request: &Request<'_>) -> bool {
    let decide = || {
        let path = request.uri().path();
        let first = path.as_str().split('/').nth(1).unwrap_or_default();
        if JSON_PATHS.contains(&first) {
            let (json, text) = weights(request);
            json > 0.0 || text == 0.0
        } else {
            prefers_json(request)
        }
    };
    request.local_cache(|| PrefersProblem(decide())).0
}

/// Whether the client would rather have JSON than plain text (RFC 9110 section 12.5.1): whether
/// the most specific range that covers JSON has a higher weight than the one that covers text.
/// Without `Accept`, or with `*/*`, it would not.
pub fn prefers_json(request: &Request<'_>) -> bool {
    let (json, text) = weights(request);
    json > text
}

/// Whether the client would rather have CSV than JSON.
pub fn prefers_csv(request: &Request<'_>) -> bool {
    let accept = accepted(request);
    let of = |wanted| weight(accept.iter().flat_map(Accept::iter), &wanted);
    of(MediaType::CSV) > of(MediaType::JSON)
}

/// How much the client would like JSON, and plain text.
fn weights(request: &Request<'_>) -> (f32, f32) {
    let accept = accepted(request);
    let of = |wanted| weight(accept.iter().flat_map(Accept::iter), &wanted);
    let json = of(MediaType::JSON).max(of(MediaType::new("application", "problem+json")));
    (json, of(MediaType::Plain))
}

/// What the client accepts; a field that cannot be parsed says nothing.
fn accepted(request: &Request<'_>) -> Vec<Accept> {
    request.headers().get("Accept").filter_map(|field| field.parse().ok()).collect()
}

fn weight<'a>(ranges: impl Iterator<Item = &'a QMediaType>, wanted: &MediaType) -> f32 {
    ranges
        .filter(|range| {
            (range.top() == "*" || range.top() == wanted.top())
                && (range.sub() == "*" || range.sub() == wanted.sub())
        })
        .max_by_key(|range| (range.top() != "*", range.sub() != "*"))
        .map_or(0.0, |range| range.weight_or(1.0))
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the database failed");
        match error {
            StoreError::Database(_) | StoreError::Unrecorded(_) => Self::Unavailable,
            StoreError::Unsure(_) => Self::Unsure,
            StoreError::Full => Self::Busy(RETRY_AFTER),
            StoreError::Impossible(_) => Self::Internal,
        }
    }
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        Self::InsufficientScope(denied)
    }
}

impl From<SignInTooOld> for Error {
    fn from(old: SignInTooOld) -> Self {
        Self::SignInTooOld(old)
    }
}

impl From<NotInPerson> for Error {
    fn from(refused: NotInPerson) -> Self {
        Self::Forbidden(refused.to_string())
    }
}

impl From<Withheld> for Error {
    fn from(withheld: Withheld) -> Self {
        match withheld {
            Withheld::SessionEnded => Self::InvalidToken,
            Withheld::Denied(denied) => denied.into(),
            Withheld::NoSuchCursor => Self::Invalid(vec![Fault::new(
                "after",
                "there is no such row any more: begin again without it",
            )]),
            Withheld::NoSuchPerson => Self::NotFound,
            Withheld::KeepsChanging => Self::Busy(RETRY_AFTER),
            Withheld::Store(error) => error.into(),
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::SessionEnded => Self::InvalidToken,
            Refused::Denied(denied) => denied.into(),
            Refused::MoreThanHeld(_) | Refused::WrongPassword => {
                Self::Forbidden(refused.to_string())
            }
            Refused::NotFound => Self::NotFound,
            Refused::Exists(_)
            | Refused::LastManager
            | Refused::TooManyTokens
            | Refused::Hindered(_) => Self::Conflict(refused.to_string()),
            // Their token is good, so this is no 401: signing in again would not help.
            Refused::NotProved(LogInError::WrongCredentials) => {
                Self::Forbidden("the password or the code is wrong".to_owned())
            }
            Refused::NotProved(error) => error.into(),
            Refused::Stale(version) => Self::PreconditionFailed(version),
            Refused::Invalid(faults) => Self::Invalid(faults),
            Refused::Store(error) => error.into(),
            Refused::Gate(GateError::Full) => Self::Busy(RETRY_AFTER),
            Refused::Signing(SigningError::Store(error)) => error.into(),
            Refused::Gate(_) | Refused::Entropy(_) | Refused::Signing(_) => {
                tracing::error!(error = %refused, "a change failed");
                Self::Internal
            }
        }
    }
}

impl From<IdentifyError> for Error {
    fn from(error: IdentifyError) -> Self {
        match error {
            IdentifyError::InvalidToken => Self::InvalidToken,
            IdentifyError::Store(error) => error.into(),
        }
    }
}

impl From<ClaimError> for Error {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Identify(error) => error.into(),
            ClaimError::Denied(denied) => denied.into(),
        }
    }
}

impl From<LogInError> for Error {
    fn from(error: LogInError) -> Self {
        match error {
            LogInError::WrongCredentials => Self::WrongCredentials,
            LogInError::Throttled(throttled) => Self::TooManyFailures(throttled.seconds),
            LogInError::Gate(GateError::Full) => Self::Busy(RETRY_AFTER),
            LogInError::Store(error) => error.into(),
            LogInError::Signing(SigningError::Store(error)) => error.into(),
            LogInError::Gate(_) | LogInError::Entropy(_) | LogInError::Signing(_) => {
                tracing::error!(%error, "a login failed");
                Self::Internal
            }
        }
    }
}
