//! Request guards: the proof that somebody is who they say, and may do what they ask.
//!
//! A handler that takes an [`Allowed`] cannot run without one. Each guard refuses launch when
//! what it needs is not there, rather than every request.

use std::convert::Infallible;

use rocket::request::{FromRequest, Outcome, Request};
use rocket::{Ignite, Rocket, Sentinel};

use crate::auth::{Auth, ClaimError};
use crate::error::Error;
use crate::fairings::Context;
use crate::policy::{Allowed, InPerson, Principal, Recent, Right};
use crate::service::Act;
use crate::store::Claim;

#[rocket::async_trait]
impl<'r> FromRequest<'r> for &'r Context {
    type Error = Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Infallible> {
        Outcome::Success(Context::of(request))
    }
}

/// What every act needs beside its proof.
#[rocket::async_trait]
impl<'r> FromRequest<'r> for Act<'r> {
    type Error = Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Error> {
        match request.rocket().state::<Auth>() {
            Some(Auth { db, ports, gate, .. }) => {
                Outcome::Success(Self { db, ports, gate, origin: &Context::of(request).origin })
            }
            None => refuse(Error::Internal, request),
        }
    }
}

impl Sentinel for Act<'_> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        rocket.state::<Auth>().is_none()
    }
}

/// Somebody whose token is valid; what they may do is still to be asked.
#[derive(Debug)]
pub(super) struct Authenticated(pub Principal);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Authenticated {
    type Error = Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Error> {
        match identify(request).await {
            Ok((principal, _)) => Outcome::Success(Self(principal)),
            Err(error) => refuse(error, request),
        }
    }
}

impl Sentinel for Authenticated {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        rocket.state::<Auth>().is_none()
    }
}

#[rocket::async_trait]
impl<'r, P: Right> FromRequest<'r> for Allowed<P> {
    type Error = Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Error> {
        let allowed = identify(request)
            .await
            .and_then(|(principal, auth)| Ok(principal.allow::<P>(auth.ports.clock.now().day())?));
        match allowed {
            Ok(allowed) => Outcome::Success(allowed),
            Err(error) => refuse(error, request),
        }
    }
}

impl<P: Right> Sentinel for Allowed<P> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        rocket.state::<Auth>().is_none()
    }
}

/// A person whose token is valid, and no script of theirs.
#[rocket::async_trait]
impl<'r> FromRequest<'r> for InPerson {
    type Error = Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Error> {
        match identify(request).await.and_then(|(principal, _)| Ok(principal.in_person()?)) {
            Ok(person) => Outcome::Success(person),
            Err(error) => refuse(error, request),
        }
    }
}

impl Sentinel for InPerson {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        rocket.state::<Auth>().is_none()
    }
}

/// Somebody whose token is valid, and who signed in lately. A script, which cannot, is told that it
/// is one.
#[rocket::async_trait]
impl<'r> FromRequest<'r> for Recent<Principal> {
    type Error = Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Error> {
        let recent = identify(request).await.and_then(|(principal, auth)| {
            principal.clone().in_person()?;
            Ok(principal.recent(auth.ports.clock.now(), auth.max_sign_in_age())?)
        });
        match recent {
            Ok(recent) => Outcome::Success(recent),
            Err(error) => refuse(error, request),
        }
    }
}

impl Sentinel for Recent<Principal> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        rocket.state::<Auth>().is_none()
    }
}

/// Somebody who may do this, and who signed in lately. Whoever may not is told that first: signing
/// in again would not help them.
#[rocket::async_trait]
impl<'r, P: Right> FromRequest<'r> for Recent<Allowed<P>> {
    type Error = Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Error> {
        let recent = identify(request).await.and_then(|(principal, auth)| {
            let now = auth.ports.clock.now();
            Ok(principal.allow::<P>(now.day())?.recent(now, auth.max_sign_in_age())?)
        });
        match recent {
            Ok(recent) => Outcome::Success(recent),
            Err(error) => refuse(error, request),
        }
    }
}

impl<P: Right> Sentinel for Recent<Allowed<P>> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        rocket.state::<Auth>().is_none()
    }
}

/// Somebody who may see pay, as far as is remembered: for the routes that give it, whose records prove
/// the rest.
#[rocket::async_trait]
impl<'r> FromRequest<'r> for Claim {
    type Error = Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Error> {
        match claim(request).await {
            Ok(claim) => Outcome::Success(claim),
            Err(error) => refuse(error, request),
        }
    }
}

impl Sentinel for Claim {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        rocket.state::<Auth>().is_none()
    }
}

async fn claim(request: &Request<'_>) -> Result<Claim, Error> {
    let auth = request.rocket().state::<Auth>().ok_or(Error::Internal)?;
    match auth.claim(bearer_token(request.headers().get("Authorization"))?).await {
        Ok(claim) => {
            Context::of(request).set_caller(claim.account());
            Ok(claim)
        }
        Err(error @ ClaimError::Denied(_)) => {
            // The log is to say who was refused.
            Box::pin(identify(request)).await?;
            Err(error.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// What was asked for, or, once it is certain that whoever asks may do so, what is wrong with it.
pub(super) async fn asked<T>(
    claim: Claim,
    act: Act<'_>,
    parsed: Result<T, Error>,
) -> Result<(Claim, T), Error> {
    match parsed {
        Ok(asked) => Ok((claim, asked)),
        Err(error) => {
            Box::pin(claim.confirm(act.db, act.now())).await?;
            Err(error)
        }
    }
}

/// Leaves an error with the request, for the catcher.
pub(super) fn refuse<T>(error: Error, request: &Request<'_>) -> Outcome<T, Error> {
    let status = error.clone().leave(request);
    Outcome::Error((status, error))
}

async fn identify<'r>(request: &'r Request<'_>) -> Result<(Principal, &'r Auth), Error> {
    let auth = request.rocket().state::<Auth>().ok_or(Error::Internal)?;
    let token = bearer_token(request.headers().get("Authorization"))?;
    let principal = auth.identify(token).await?;
    Context::of(request).set_caller(principal.account());
    Ok((principal, auth))
}

/// The token of the `Authorization` fields, which alone may bring one (RFC 6750 section 2.1): the
/// scheme in any case, then spaces, then all the rest, which is no valid token unless it is one.
pub(super) fn bearer_token<'r>(
    mut fields: impl Iterator<Item = &'r str>,
) -> Result<&'r str, Error> {
    let field = fields.next().ok_or(Error::Unauthenticated)?;
    if fields.next().is_some() {
        return Err(Error::AmbiguousCredentials);
    }
    let field = field.trim_matches([' ', '\t']);
    let (scheme, rest) = field.split_once(' ').unwrap_or((field, ""));
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(Error::Unauthenticated);
    }
    Ok(rest.trim_start_matches(' '))
}
