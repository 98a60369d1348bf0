//! The HTTP door: every route there is, and the catcher for what no route answers.

mod answer;
mod audit;
mod bearer;
mod body;
mod factors;
#[cfg(fuzzing)]
pub mod fuzzing;
mod grants;
mod guard;
mod health;
mod jwks;
mod jwt;
mod listing;
mod me;
mod openapi;
mod org;
mod page;
mod parameters;
mod path;
mod pay;
mod query;
mod readers;
mod sessions;
mod tokens;
mod users;

use rocket::http::{Header, Method, Status};
use rocket::response::Responder;
use rocket::route::Route;
use rocket::{Catcher, Request, Response, catcher};

use crate::error::{self, Error};
use crate::fairings;

/// Every route.
pub fn all() -> Vec<Route> {
    [
        audit::routes(),
        bearer::routes(),
        factors::routes(),
        grants::routes(),
        health::routes(),
        jwks::routes(),
        jwt::routes(),
        me::routes(),
        openapi::routes(),
        org::routes(),
        page::routes(),
        pay::routes(),
        readers::routes(),
        sessions::routes(),
        tokens::routes(),
        users::routes(),
    ]
    .concat()
}

/// The routes that anybody may ask without a token. A test walks all others without one.
pub const PUBLIC: &[(Method, &str)] = &[
    (Method::Get, "/"),
    (Method::Get, "/.well-known/checkpoint-keys.json"),
    (Method::Get, "/.well-known/jwks.json"),
    (Method::Get, "/assets/<version>/<file..>"),
    (Method::Post, "/jwt"),
    (Method::Get, "/live"),
    (Method::Get, "/openapi.json"),
    (Method::Get, "/ready"),
];

/// Answers whatever no route did.
pub fn catcher() -> Catcher {
    fn handle<'r>(status: Status, request: &'r Request<'_>) -> catcher::BoxFuture<'r> {
        Box::pin(async move {
            let mut response = answer(status, request)?;
            if !fairings::is_screened(request) {
                fairings::conclude(request, &mut response);
            }
            Ok(response)
        })
    }
    Catcher::new(None, handle)
}

fn answer<'r>(status: Status, request: &'r Request<'_>) -> catcher::Result<'r> {
    if let Some(error) = Error::left(request) {
        return error.clone().respond_to(request);
    }
    let error = match status {
        Status::NotFound => {
            let methods = methods_of(request);
            if methods.is_empty() {
                Error::NotFound
            } else if request.method() == Method::Options {
                return Response::build()
                    .status(Status::NoContent)
                    .header(Header::new("Allow", error::allow(&methods)))
                    .ok();
            } else {
                Error::MethodNotAllowed(methods)
            }
        }
        // Rocket turns a method that it does not know, and CONNECT, into this before anything else.
        Status::BadRequest if !fairings::is_screened(request) => Error::MethodNotImplemented,
        Status::BadRequest => Error::BadRequest("The request is malformed"),
        // A path that a route's parameters could not take, such as one with `..` in it.
        Status::UnprocessableEntity => Error::NotFound,
        _ => Error::Internal,
    };
    error.respond_to(request)
}

/// The methods that the request's path has, in alphabetical order; none if the path is unknown.
fn methods_of(request: &Request<'_>) -> Vec<Method> {
    let path = request.uri().path();
    let mut methods: Vec<Method> = request
        .rocket()
        .routes()
        .filter(|route| matches(route.uri.path(), path.as_str()))
        .map(|route| route.method)
        .collect();
    if methods.is_empty() {
        return methods;
    }
    if methods.contains(&Method::Get) {
        methods.push(Method::Head);
    }
    methods.push(Method::Options);
    methods.sort_by_key(|method| method.as_str());
    methods.dedup();
    methods
}

/// Whether a path is one of a route's, such as `/assets/<version>/<file..>`.
fn matches(route: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    for pattern in route.split('/') {
        let Some(segment) = segments.next() else {
            return false;
        };
        if pattern.ends_with("..>") {
            return true;
        }
        let dynamic = pattern.starts_with('<');
        if dynamic && segment.is_empty() || !dynamic && pattern != segment {
            return false;
        }
    }
    segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_path_is_matched_segment_by_segment() {
        assert!(matches("/jwt", "/jwt") && matches("/", "/"));
        assert!(matches("/a/<b>", "/a/x") && matches("/a/<b>/<c..>", "/a/x/y/z"));
        for path in ["/", "/jwt/", "//jwt", "/JWT", "/jwt/x"] {
            assert!(!matches("/jwt", path), "{path}");
        }
        assert!(!matches("/a/<b>", "/a/") && !matches("/a/<b>/<c..>", "/a/x"));
    }
}
