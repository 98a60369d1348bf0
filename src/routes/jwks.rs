//! The public keys, for other services: never a symmetric key, never a private one.

use rocket::State;
use rocket::http::{ContentType, Header};
use rocket::response::Responder;
use serde::Serialize;
use utoipa::ToSchema;

use super::query::Query;
use crate::auth::Auth;
use crate::auth::keys::PublicKey;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::service::keys::PUBLISHED_FOR;

pub(super) fn routes() -> Vec<rocket::Route> {
    rocket::routes![token_keys, checkpoint_keys]
}

/// A set of public keys (RFC 7517 section 5).
#[derive(Serialize, ToSchema)]
pub(super) struct KeySet {
    keys: Vec<Jwk>,
}

/// An Ed25519 public key (RFC 8037 section 2).
#[derive(Serialize, ToSchema)]
pub(super) struct Jwk {
    /// Always `OKP`.
    kty: &'static str,
    /// Always `Ed25519`.
    crv: &'static str,
    /// The key itself, in base64url.
    x: String,
    /// Its id.
    kid: String,
    /// Always `EdDSA`.
    alg: &'static str,
    /// Always `sig`.
    #[serde(rename = "use")]
    usage: &'static str,
    /// Of a key for checkpoints that has ended, from when it signs nothing, in seconds since 1970: a
    /// later checkpoint of it is false. As for the historical keys of OpenID Federation 1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    exp: Option<i64>,
    /// Of a key for checkpoints that was ended in an emergency, when: somebody may have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    revoked: Option<Revoked>,
}

/// That a key was revoked.
#[derive(Serialize, ToSchema)]
struct Revoked {
    /// When, in seconds since 1970.
    revoked_at: i64,
}

impl From<PublicKey<'_>> for Jwk {
    fn from(key: PublicKey<'_>) -> Self {
        let (x, kid) = (key.x.to_owned(), key.kid.to_owned());
        let revoked = key.revoked_at.map(|at| Revoked { revoked_at: at.as_secs() });
        let exp = key.retired_at.map(Timestamp::as_secs);
        Self { kty: "OKP", crv: "Ed25519", x, kid, alg: "EdDSA", usage: "sig", exp, revoked }
    }
}

/// A set of keys, as it is sent.
#[derive(Responder)]
pub(super) struct Published {
    body: String,
    content_type: ContentType,
    cache: Header<'static>,
}

impl Published {
    fn new(keys: Vec<PublicKey<'_>>) -> Result<Self, Error> {
        let set = KeySet { keys: keys.into_iter().map(Jwk::from).collect() };
        Ok(Self {
            body: serde_json::to_string(&set).map_err(|_| Error::Internal)?,
            content_type: ContentType::new("application", "jwk-set+json"),
            // A key signs no token before this is over.
            cache: Header::new(
                "Cache-Control",
                format!("public, max-age={}", PUBLISHED_FOR.as_secs()),
            ),
        })
    }
}

/// The public keys that tokens are verified with: none where tokens are signed by HS256 alone.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "server",
    responses((
        status = 200, description = "A JWK Set", body = KeySet,
        content_type = "application/jwk-set+json",
    ))
)]
#[rocket::get("/.well-known/jwks.json")]
pub(super) fn token_keys(auth: &State<Auth>, query: Query) -> Result<Published, Error> {
    query.finish()?;
    Published::new(auth.keys.ring().token_keys())
}

/// The public keys that checkpoints of the audit trail are verified with. Those that have ended stay,
/// and say when (`exp`, `revoked`). They stand apart, so that nobody takes a token that one of them
/// has signed. Whoever audits keeps them elsewhere: `stipend audit verify --keys FILE`.
#[utoipa::path(
    get, path = "/.well-known/checkpoint-keys.json", tag = "server",
    responses((
        status = 200, description = "A JWK Set", body = KeySet,
        content_type = "application/jwk-set+json",
    ))
)]
#[rocket::get("/.well-known/checkpoint-keys.json")]
pub(super) fn checkpoint_keys(auth: &State<Auth>, query: Query) -> Result<Published, Error> {
    query.finish()?;
    Published::new(auth.keys.ring().checkpoint_keys())
}
