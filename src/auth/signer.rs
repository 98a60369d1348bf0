//! Signing tokens, for whoever opens a session: a sign-in, a user for a script of theirs, or the
//! operator's command line.

use std::time::Duration;

use super::keys::Keys;
use super::{Root, token};
use crate::clock::Timestamp;
use crate::config::{Secret, Tokens};
use crate::domain::Account;

/// The token could not be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token could not be signed")]
pub struct SigningError;

/// Signs tokens by the key that signs now, with the issuer and audience of the settings.
pub struct Signer<'a> {
    keys: SomeKeys<'a>,
    tokens: &'a Tokens,
}

enum SomeKeys<'a> {
    Shared(&'a Keys),
    Own(Box<Keys>),
}

impl<'a> Signer<'a> {
    /// By the keys of a running server.
    pub(super) fn new(keys: &'a Keys, tokens: &'a Tokens) -> Self {
        Self { keys: SomeKeys::Shared(keys), tokens }
    }

    /// By the configured key, where no server runs in this process.
    pub fn of(root: &Root, tokens: &'a Tokens) -> Self {
        Self { keys: SomeKeys::Own(Box::new(Keys::of(root))), tokens }
    }

    fn keys(&self) -> &Keys {
        match &self.keys {
            SomeKeys::Shared(keys) => keys,
            SomeKeys::Own(keys) => keys,
        }
    }

    /// The id of the key that signs, which the session notes.
    pub fn kid(&self) -> &str {
        self.keys().signing().kid()
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
        token::issue(self.keys(), self.tokens, account, session_id, perms, now, lifetime)
            .map(Secret::new)
            .map_err(|_| SigningError)
    }
}
