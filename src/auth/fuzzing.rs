//! The token parser, for the targets in `fuzz/`.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::hmac;

use super::keys::{KeyError, Keys};
use super::token;
use crate::clock::Timestamp;
use crate::config::{KeySource, Secret, Tokens};
use crate::entropy::SystemEntropy;

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
    keys: Keys,
    settings: Tokens,
    hmac: hmac::Key,
}

impl TokenReader {
    /// The reader that the corpus was made for.
    pub fn new() -> Result<Self, KeyError> {
        let source = KeySource::Value(Secret::new(KEY.to_owned()));
        let settings = Tokens {
            issuer: "twil.io".to_owned(),
            audience: "stipend".to_owned(),
            ttl: Duration::from_secs(86_400),
        };
        let hmac = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
        Ok(Self { keys: Keys::load(&source, &SystemEntropy::new())?, settings, hmac })
    }

    /// The id of the key.
    pub fn kid(&self) -> &str {
        self.keys.signing().kid()
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
        let verified = token::verify(&self.keys, &self.settings, token, now).ok()?;
        Some(Claims {
            account: verified.account.to_string(),
            session_id: verified.session_id,
            perms: verified.perms,
            lifetime: verified.lifetime,
        })
    }
}
