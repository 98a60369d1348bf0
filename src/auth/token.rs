//! Access tokens: JSON Web Tokens (RFC 7519) signed as RFC 7515 says.
//!
//! `jsonwebtoken` signs and verifies; the decoding around it is stricter than its own, which
//! accepts duplicate names and counts an ill-typed `iss` or `aud` as absent.
//!
//! A script sends the same token with every request. That it is genuine does not change as long as
//! its key is in the ring, so it is found out once; the times are looked at each time.

use std::sync::{Arc, Weak};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::keys::{Key, Ring};
use crate::clock::Timestamp;
use crate::config::Tokens;
use crate::domain::{Account, OrgName, Username};
use crate::json;
use crate::memory::Bounded;
use crate::store::Bearer;

/// How far another clock may be from this one, in seconds.
const LEEWAY: f64 = 5.0;
/// A token longer than this is refused unread.
const LONGEST: usize = 8 * 1024;
/// How many genuine tokens are remembered.
const REMEMBERED: usize = 10_000;

/// What a token says, in the contract's order. Anything may follow `exp`.
#[derive(Debug, Serialize, Deserialize)]
struct Claims<'a> {
    sub: std::borrow::Cow<'a, str>,
    iss: std::borrow::Cow<'a, str>,
    org: std::borrow::Cow<'a, str>,
    perms: Vec<String>,
    iat: Number,
    exp: Number,
    aud: std::borrow::Cow<'a, str>,
    jti: std::borrow::Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    nbf: Option<Number>,
}

/// A NumericDate (RFC 7519 section 2): seconds, perhaps with a fraction.
type Number = serde_json::Number;

/// `null` is no number: a member that is there must be one.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Number>, D::Error> {
    Number::deserialize(deserializer).map(Some)
}

/// What a verified token says: who, in which session, narrowed to which permissions.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) bearer: Bearer,
    /// The key that signed it.
    pub(super) kid: String,
    /// From `iat` to `exp`.
    pub(super) lifetime: Duration,
}

/// A token whose form, signature and issuer are right, whatever time it is.
struct Genuine {
    /// The key that signed it, which is gone when it has left the ring.
    key: Weak<Key>,
    verified: Arc<Verified>,
    /// In seconds since 1970: the later of `iat` and `nbf`, and `exp`.
    begins: f64,
    expires: f64,
}

impl Genuine {
    /// What it says, if it counts at this time.
    fn at(&self, now: Timestamp) -> Result<Arc<Verified>, InvalidToken> {
        let now = seconds(&now.as_secs().into())?;
        if self.begins > now + LEEWAY || self.expires <= now - LEEWAY {
            return Err(InvalidToken::Refused);
        }
        Ok(Arc::clone(&self.verified))
    }
}

/// Verifies tokens, and remembers the genuine ones by the SHA-256 of their text: of the text itself
/// nothing is kept.
pub(super) struct Verifier {
    settings: Tokens,
    genuine: Bounded<[u8; 32], Arc<Genuine>>,
}

impl Verifier {
    /// Takes tokens of this issuer for this audience.
    pub(super) fn new(settings: Tokens) -> Self {
        Self { settings, genuine: Bounded::new(REMEMBERED) }
    }

    /// What a token says that is genuine and counts now. Whether its session still lives is for the
    /// database. One that is remembered counts only while the very key that it was verified by is in
    /// the ring.
    pub(super) fn verify(
        &self,
        ring: &Ring,
        token: &str,
        now: Timestamp,
    ) -> Result<Arc<Verified>, InvalidToken> {
        if token.len() > LONGEST {
            return Err(InvalidToken::Refused);
        }
        let name = <[u8; 32]>::try_from(digest(&SHA256, token.as_bytes()).as_ref());
        let name = name.map_err(|_| InvalidToken::Refused)?;
        let known = self.genuine.find(&name).filter(|known| {
            let key = ring.find(&known.verified.kid);
            key.is_some_and(|key| std::ptr::eq(Arc::as_ptr(key), known.key.as_ptr()))
        });
        if let Some(known) = known {
            return known.at(now);
        }
        let genuine = read(ring, &self.settings, token)?;
        let verified = genuine.at(now)?;
        self.genuine.keep(name, Arc::new(genuine), 1);
        Ok(verified)
    }
}

/// The token is not one of ours, or not any more. Never says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is invalid or has expired")]
pub(super) enum InvalidToken {
    /// It is refused, whatever keys there may be.
    Refused,
    /// The key that it names is not in the ring.
    UnknownKey,
}

/// Signs a token for a session that was opened at `now` for so long.
pub(super) fn issue(
    key: &Key,
    settings: &Tokens,
    account: &Account,
    session_id: &str,
    perms: Vec<String>,
    now: Timestamp,
    lifetime: Duration,
) -> Result<String, jsonwebtoken::errors::Error> {
    let header = jsonwebtoken::Header {
        kid: Some(key.kid().to_owned()),
        ..jsonwebtoken::Header::new(key.algorithm())
    };
    let claims = Claims {
        sub: account.username.as_str().into(),
        iss: settings.issuer.as_str().into(),
        org: account.org.as_str().into(),
        perms,
        iat: now.as_secs().into(),
        exp: now.plus(lifetime).as_secs().into(),
        aud: settings.audience.as_str().into(),
        jti: session_id.into(),
        nbf: None,
    };
    jsonwebtoken::encode(&header, &claims, key.encoding())
}

/// What a token says, by its form, its signature by the key that it names, and its issuer and audience.
fn read(ring: &Ring, settings: &Tokens, token: &str) -> Result<Genuine, InvalidToken> {
    let (message, signature) = token.rsplit_once('.').ok_or(InvalidToken::Refused)?;
    let (header, payload) = message.split_once('.').ok_or(InvalidToken::Refused)?;
    // Canonical base64url only, also in the signature: one token has one text.
    let [header, payload, _] = [decode(header)?, decode(payload)?, decode(signature)?];

    let key = key_of(ring, &header)?;
    jsonwebtoken::crypto::verify(signature, message.as_bytes(), key.decoding(), key.algorithm())
        .ok()
        .filter(|genuine| *genuine)
        .ok_or(InvalidToken::Refused)?;
    read_claims(&payload, key, settings)
}

/// No padding, no white space, no other alphabet, no left-over bits (RFC 7515 section 2, RFC 4648
/// section 3.5).
fn decode(segment: &str) -> Result<Vec<u8>, InvalidToken> {
    BASE64_URL_SAFE_NO_PAD.decode(segment).map_err(|_| InvalidToken::Refused)
}

/// The key that the header names. It decides the algorithm; the header must only agree.
fn key_of<'r>(ring: &'r Ring, header: &[u8]) -> Result<&'r Arc<Key>, InvalidToken> {
    let header = json::parse_object(header).map_err(|_| InvalidToken::Refused)?;
    // Extensions that change what a token means (RFC 7515 section 4.1.11, RFC 7797, RFC 7516).
    let changes_meaning = ["crit", "b64", "zip", "enc", "cty"];
    if changes_meaning.iter().any(|name| header.contains_key(*name)) || !is_access_token(&header) {
        return Err(InvalidToken::Refused);
    }
    let text = |name| header.get(name).and_then(Value::as_str);
    let kid = text("kid").ok_or(InvalidToken::Refused)?;
    let key = ring.find(kid).ok_or(InvalidToken::UnknownKey)?;
    // Every algorithm's `Debug` form is its name in RFC 7518 section 3.1.
    if text("alg") != Some(format!("{:?}", key.algorithm()).as_str()) {
        return Err(InvalidToken::Refused);
    }
    Ok(key)
}

/// Whether a header's `typ` names an access token, or is absent (RFC 7519 section 5.1, RFC 9068
/// section 2.1), and not a token for another purpose.
fn is_access_token(header: &Map<String, Value>) -> bool {
    let Some(typ) = header.get("typ") else {
        return true;
    };
    let typ = typ.as_str().unwrap_or_default().to_ascii_lowercase();
    matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
}

fn read_claims(payload: &[u8], key: &Arc<Key>, settings: &Tokens) -> Result<Genuine, InvalidToken> {
    let object = json::parse_object(payload).map_err(|_| InvalidToken::Refused)?;
    let claims: Claims<'_> =
        serde_json::from_value(Value::Object(object)).map_err(|_| InvalidToken::Refused)?;
    if claims.iss != settings.issuer || claims.aud != settings.audience {
        return Err(InvalidToken::Refused);
    }
    let (issued, expires) = (seconds(&claims.iat)?, seconds(&claims.exp)?);
    let not_before = claims.nbf.as_ref().map_or(Ok(issued), seconds)?;
    let bearer = Bearer {
        account: Account {
            org: OrgName::parse(&claims.org).map_err(|_| InvalidToken::Refused)?,
            username: Username::parse(&claims.sub).map_err(|_| InvalidToken::Refused)?,
        },
        session_id: claims.jti.into_owned(),
        perms: claims.perms,
    };
    let lifetime =
        Duration::try_from_secs_f64(expires - issued).map_err(|_| InvalidToken::Refused)?;
    let verified = Arc::new(Verified { bearer, kid: key.kid().to_owned(), lifetime });
    Ok(Genuine { key: Arc::downgrade(key), verified, begins: issued.max(not_before), expires })
}

/// A NumericDate in seconds since 1970, which none is before.
fn seconds(number: &Number) -> Result<f64, InvalidToken> {
    let seconds = number.as_f64().filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
    seconds.ok_or(InvalidToken::Refused)
}

#[cfg(test)]
mod tests;
