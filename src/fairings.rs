//! What happens to every request before any route, and to every answer after: screening, the
//! request id, the header fields that every answer carries, and one log line.

use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use ipnet::IpNet;
use rocket::fairing::{Fairing, Info, Kind};
use rocket::form::Form;
use rocket::http::uri::Host;
use rocket::http::{Header, Method};
use rocket::{Data, Request, Response};

use crate::auth::Ports;
use crate::domain::Account;
use crate::entropy::random_id;
use crate::error::{self, Error};
use crate::store::audit::Origin;

const LONGEST_URI: usize = 8 * 1024;
const LARGEST_HEADER: usize = 64 * 1024;
/// No segment of a path that exists is longer.
const LONGEST_LOGGED: usize = 64;
/// Nor is one with a capital letter in it, as the parts of a token have.
const LONGEST_LOGGED_WITH_CAPITALS: usize = 32;

/// Sent with every answer. The page's own scripts and styles are all that may load; nothing may
/// frame it, and no script may make markup from text.
const HEADERS: &[(&str, &str)] = &[
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
         object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
];

/// What every request needs, whatever it asks for.
pub struct Surroundings {
    /// Time, and request ids.
    pub ports: Ports,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// What is known of a request before anybody has looked at what it asks for.
#[derive(Debug)]
pub struct Context {
    /// For the records.
    pub origin: Origin,
    method: Method,
    path: String,
    began: Duration,
    /// The peer's address, where that is not the client's.
    proxy: Option<IpAddr>,
    caller: OnceLock<Account>,
}

impl Context {
    /// The request's context, made when it is first asked for.
    pub fn of<'r>(request: &'r Request<'_>) -> &'r Self {
        request.local_cache(|| Self::new(request))
    }

    fn new(request: &Request<'_>) -> Self {
        let surroundings = request.rocket().state::<Surroundings>();
        let trusted = surroundings.map_or(&[][..], |surroundings| &surroundings.trusted_proxies);
        let id = surroundings.and_then(|s| random_id(s.ports.entropy.as_ref()).ok());
        let client = client_address(request, trusted);
        let peer = request.remote().map(|peer| peer.ip().to_canonical());
        Self {
            proxy: peer.filter(|peer| peer.to_string() != client),
            origin: Origin {
                client,
                // Without randomness a request cannot be told from others, but can be answered.
                request_id: id.unwrap_or_else(|| "none".into()),
            },
            method: request.method(),
            path: loggable(request.uri().path().as_str()),
            began: surroundings.map_or(Duration::ZERO, |s| s.ports.clock.monotonic()),
            caller: OnceLock::new(),
        }
    }

    /// Names the caller in the log line.
    pub fn set_caller(&self, account: &Account) {
        self.caller.get_or_init(|| account.clone());
    }
}

/// Whether [`Screening`] has seen the request. Rocket hands one whose method it does not know to
/// the catcher alone, past every fairing.
pub fn is_screened(request: &Request<'_>) -> bool {
    request.local_cache(|| Screened(false)).0
}

struct Screened(bool);

/// The fairing.
pub struct Screening;

#[rocket::async_trait]
impl Fairing for Screening {
    fn info(&self) -> Info {
        Info { name: "screening and log", kind: Kind::Request | Kind::Response }
    }

    async fn on_request(&self, request: &mut Request<'_>, data: &mut Data<'_>) {
        request.local_cache(|| Screened(true));
        undo_method_override(request, data).await;
        Context::of(request);
        if let Some(error) = fault(request) {
            error.leave(request);
            // No route is there, so the catcher answers, and finds the error.
            request.set_uri(rocket::uri!("/.refused"));
        }
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        conclude(request, response);
    }
}

/// The last that happens to an answer: the header fields that all carry, and the log line.
pub fn conclude(request: &Request<'_>, response: &mut Response<'_>) {
    dress(request, response);
    let context = Context::of(request);
    let clock = request.rocket().state::<Surroundings>().map(|s| s.ports.clock.monotonic());
    let took = clock.unwrap_or_default().saturating_sub(context.began);
    let caller = context.caller.get();
    let status = response.status().code;
    let outcome = match status {
        ..400 => "done",
        400..500 => "refused",
        500.. => "failed",
    };
    tracing::info!(
        request_id = context.origin.request_id,
        method = context.method.as_str(),
        path = context.path,
        status,
        outcome,
        cause = error::told(request),
        client = context.origin.client,
        proxy = context.proxy.as_ref().map(tracing::field::display),
        org = caller.map(|caller| caller.org.as_str()),
        caller = caller.map(tracing::field::display),
        micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        "request"
    );
}

/// Puts the header fields that every answer carries on an answer.
fn dress(request: &Request<'_>, response: &mut Response<'_>) {
    for (name, value) in HEADERS {
        response.set_header(Header::new(*name, *value));
    }
    // A route that lets its answer be stored says so itself.
    if !response.headers().contains("Cache-Control") {
        response.set_header(Header::new("Cache-Control", "no-store"));
    }
    let request_id = Context::of(request).origin.request_id.clone();
    response.set_header(Header::new("X-Request-Id", request_id));
}

/// A path as the log may hold it: somebody may have pasted a token into it.
fn loggable(path: &str) -> String {
    fn short(segment: &str) -> &str {
        let has_capitals = segment.bytes().any(|byte| byte.is_ascii_uppercase());
        let longest = if has_capitals { LONGEST_LOGGED_WITH_CAPITALS } else { LONGEST_LOGGED };
        if segment.len() > longest { "…" } else { segment }
    }
    path.split('/').map(short).collect::<Vec<_>>().join("/")
}

/// What is wrong with a request, whatever it asks for.
fn fault(request: &Request<'_>) -> Option<Error> {
    let headers = request.headers();
    let uri = request.uri();
    let uri_length = uri.path().as_str().len() + uri.query().map_or(0, |query| query.len() + 1);
    let header_size: usize =
        headers.iter().map(|header| header.name.as_str().len() + header.value.len() + 4).sum();
    // RFC 9112 section 3.2. Rocket does not tell HTTP/1.0 apart, which may do without.
    let hosts: Vec<&str> = headers.get("Host").collect();
    if !matches!(hosts[..], [host] if Host::parse(host).is_ok()) {
        return Some(Error::BadRequest("Send exactly one Host field"));
    }
    if uri_length > LONGEST_URI {
        return Some(Error::UriTooLong);
    }
    if header_size > LARGEST_HEADER {
        return Some(Error::HeaderFieldsTooLarge);
    }
    let codings: Vec<&str> = headers.get("Transfer-Encoding").collect();
    let chunked = matches!(codings[..], [coding] if coding.eq_ignore_ascii_case("chunked"));
    if !codings.is_empty() && (!chunked || headers.contains("Content-Length")) {
        return Some(Error::AmbiguousLength);
    }
    let changes = !matches!(request.method(), Method::Get | Method::Head | Method::Options);
    (changes && is_cross_site(request)).then_some(Error::CrossSite)
}

/// Whether a browser says that a page of another site sent this: by `Sec-Fetch-Site`, or in
/// browsers without it by an `Origin` that is not this host.
fn is_cross_site(request: &Request<'_>) -> bool {
    let headers = request.headers();
    if let Some(site) = headers.get_one("Sec-Fetch-Site") {
        return !matches!(site, "same-origin" | "none");
    }
    let (Some(origin), Some(host)) = (headers.get_one("Origin"), headers.get_one("Host")) else {
        return false;
    };
    origin.split_once("://").is_none_or(|(_, authority)| !authority.eq_ignore_ascii_case(host))
}

/// Rocket lets the first form field `_method` change the method of a POST before anybody can look.
/// This reads that field exactly as Rocket does; where it names the method that the request has
/// now, the request was such a POST.
async fn undo_method_override(request: &mut Request<'_>, data: &mut Data<'_>) {
    let is_form = request.content_type().is_some_and(|content_type| content_type.is_form());
    if !is_form || request.method() == Method::Post {
        return;
    }
    let start = data.peek("_method=delete".len()).await;
    let field = std::str::from_utf8(start).ok().and_then(|form| Form::values(form).next());
    let named = field.filter(|field| field.name == "_method").map(|field| field.value.parse());
    if named == Some(Ok(request.method())) {
        request.set_method(Method::Post);
    }
}

/// The client's address: the peer's, or, where the peer is a trusted proxy, the nearest address
/// in `X-Forwarded-For` that is not one, counted from the right.
fn client_address(request: &Request<'_>, trusted: &[IpNet]) -> String {
    let Some(peer) = request.remote() else {
        return "local".into();
    };
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.ip().to_canonical();
    let fields: Vec<&str> = request.headers().get("X-Forwarded-For").collect();
    let mut hops = fields.iter().flat_map(|field| field.split(',')).rev().map(str::trim);
    while is_trusted(&client) {
        match hops.next().map(str::parse::<IpAddr>) {
            Some(Ok(address)) => client = address.to_canonical(),
            // The end of the list, or something that a trusted proxy would not have written.
            _ => break,
        }
    }
    client.to_string()
}
