//! The token parser, for the targets in `fuzz/`.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::hmac;

use super::crypto;
use super::keys::{Key, Ring};
use super::token::Verifier;
use crate::clock::Timestamp;
use crate::config::Tokens;
use crate::domain::KeyAlgorithm;

/// Made for this and in use nowhere.
const KEY: &str = "mJ0uX3yQ7fKp2sVd9wZr4tBn6hLc8gEa1iOo5kTxYvU";

/// What a token that verified says.
#[derive(Debug, PartialEq, Eq)]
pub struct Claims {
    /// `ORG/NAME`.
    pub account: String,
    /// The claim `jti`.
    pub session_id: String,
    /// The claim `perms`.
    pub perms: Vec<String>,
    /// From `iat` to `exp`.
    pub lifetime: Duration,
}

/// A key, and what its tokens must say.
pub struct TokenReader {
    ring: Ring,
    kid: String,
    verifier: Verifier,
    hmac: hmac::Key,
}

impl TokenReader {
    /// The reader that the corpus was made for.
    pub fn new() -> Option<Self> {
        crypto::install();
        let key = Key::from_secret(KeyAlgorithm::Hs256, KEY.as_bytes())?;
        let kid = key.kid().to_owned();
        let settings = Tokens {
            issuer: "twil.io".to_owned(),
            audience: "stipend".to_owned(),
            ttl: Duration::from_secs(86_400),
        };
        let hmac = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
        Some(Self { ring: Ring::of_one(key), kid, verifier: Verifier::new(settings), hmac })
    }

    /// The id of the key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Signs any header and payload, so that what comes after the signature is reached too.
    pub fn sign(&self, header: &[u8], payload: &[u8]) -> String {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let message = format!("{}.{}", encode(header), encode(payload));
        let signature = hmac::sign(&self.hmac, message.as_bytes());
        format!("{message}.{}", encode(signature.as_ref()))
    }

    /// What a token says at a moment, in seconds since 1970, if it verifies.
    pub fn verify(&self, token: &str, now: i64) -> Option<Claims> {
        let now = Timestamp::from_millis(now.saturating_mul(1000));
        let verified = self.verifier.verify(&self.ring, token, now).ok()?;
        // The second time it is remembered, and says the same.
        let again = self.verifier.verify(&self.ring, token, now).ok();
        assert!(again.is_some_and(|again| Arc::ptr_eq(&again, &verified)), "it is remembered");
        Some(Claims {
            account: verified.bearer.account.to_string(),
            session_id: verified.bearer.session_id.clone(),
            perms: verified.bearer.perms.clone(),
            lifetime: verified.lifetime,
        })
    }
}
