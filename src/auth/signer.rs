//! Signing tokens, for whoever opens a session: a sign-in, a user for a script of theirs, or the
//! operator's command line.

use std::sync::Arc;
use std::time::Duration;

use super::keys::{Key, Keys, SigningError};
use super::token;
use crate::clock::Timestamp;
use crate::config::{Secret, Tokens};
use crate::domain::Account;
use crate::store::Access;

/// Signs tokens with the issuer and audience of the settings.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    keys: &'a Keys,
    tokens: &'a Tokens,
}

impl<'a> Signer<'a> {
    /// By the keys of a ring.
    pub fn new(keys: &'a Keys, tokens: &'a Tokens) -> Self {
        Self { keys, tokens }
    }

    /// The key that signs now, as the database says in the transaction that opens the session.
    pub async fn key(
        self,
        access: Access<'_>,
        now: Timestamp,
    ) -> Result<SigningKey<'a>, SigningError> {
        Ok(SigningKey { key: self.keys.signing(access, now).await?, tokens: self.tokens })
    }
}

/// The key that signs the token of one session.
pub struct SigningKey<'a> {
    key: Arc<Key>,
    tokens: &'a Tokens,
}

impl SigningKey<'_> {
    /// Its id, which the session notes.
    pub fn kid(&self) -> &str {
        self.key.kid()
    }

    /// The token of a session that was opened at `now` for so long. The lifetime is of whole seconds,
    /// since a token counts in them and is refused where it would outlive its session.
    pub fn sign(
        &self,
        account: &Account,
        session_id: &str,
        perms: Vec<String>,
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<Secret<String>, SigningError> {
        token::issue(&self.key, self.tokens, account, session_id, perms, now, lifetime)
            .map(Secret::new)
            .map_err(|_| SigningError::Failed)
    }
}
