//! The ring: which keys sign and verify, from when, and until when.

mod attacks;
mod published;
mod root;
mod rotation;

use std::time::Duration;

use ring::signature::Ed25519KeyPair;
use stipend::auth::keys::{self, Adding};
use stipend::config::Secret;
use stipend::domain::{KeyAlgorithm, Purpose};
use stipend::service::Act;
use stipend::service::keys::{self as service, Retired, Shown};
use stipend::store::audit::Origin;

use crate::jwt::{Jwt, encode};
use crate::support::app::TestApp;

/// The seed of the Ed25519 key that a test adds.
const SEED: [u8; 32] = [7; 32];
/// Longer than it takes until a promoted key signs, for any algorithm.
const A_WHILE: Duration = Duration::from_secs(15);

/// The operator's command line.
struct Operator<'a> {
    app: &'a TestApp,
    origin: Origin,
}

impl<'a> Operator<'a> {
    fn of(app: &'a TestApp) -> Self {
        let origin = Origin { client: "local".into(), request_id: "test".into() };
        Self { app, origin }
    }

    fn act(&self) -> Act<'_> {
        let auth = self.app.auth();
        Act { db: &auth.db, ports: &auth.ports, gate: &auth.gate, origin: &self.origin }
    }

    async fn add(&self, algorithm: KeyAlgorithm) -> String {
        let sealer = &self.app.auth().sealer;
        service::add(self.act(), sealer, Purpose::Tokens, algorithm, None).await.unwrap()
    }

    /// Adds a key, and has it sign.
    async fn rotate_to(&self, algorithm: KeyAlgorithm) -> String {
        let kid = self.add(algorithm).await;
        self.promote(&kid).await;
        self.app.clock.advance(A_WHILE);
        kid
    }

    async fn promote(&self, kid: &str) {
        service::promote(self.act(), kid).await.unwrap();
    }

    async fn retire(&self, kid: &str, heir: Option<&str>) -> Result<Retired, String> {
        service::retire(self.act(), kid, heir).await.map_err(|error| error.to_string())
    }

    async fn revoke(&self, kid: &str, heir: Option<&str>) -> Result<Retired, String> {
        let sealer = &self.app.auth().sealer;
        service::revoke(self.act(), sealer, kid, heir).await.map_err(|error| error.to_string())
    }

    async fn list(&self) -> Vec<Shown> {
        service::list(self.act()).await.unwrap()
    }

    /// What the key does now, by the name of its status.
    async fn status(&self, kid: &str) -> &'static str {
        let all = self.list().await;
        all.iter().find(|shown| shown.key.kid == kid).unwrap().status.name()
    }

    /// The key that was there from the start.
    async fn configured(&self) -> String {
        self.list().await.into_iter().find(|shown| shown.is_root).unwrap().key.kid
    }

    /// Has the Ed25519 key of [`SEED`] sign.
    async fn sign_by_seed(&self) -> String {
        let (auth, now) = (self.app.auth(), self.act().now());
        let adding = Adding {
            purpose: Purpose::Tokens,
            algorithm: KeyAlgorithm::EdDsa,
            added_at: now,
            signs_from: Some(now.plus(Duration::from_secs(1))),
        };
        let mut tx = auth.db.begin().await.unwrap();
        let (seed, entropy) = (Secret::new(SEED.to_vec()), auth.ports.entropy.as_ref());
        let kid = keys::add(tx.access(), &auth.sealer, adding, &seed, entropy).await.unwrap();
        tx.commit().await.unwrap();
        self.app.clock.advance(A_WHILE);
        kid
    }
}

/// The `kid` of a token.
fn kid(token: &str) -> String {
    Jwt::read(token).header["kid"].as_str().unwrap().to_owned()
}

/// A token signed by the key of [`SEED`].
fn signed_by_seed(jwt: &Jwt) -> String {
    let message = format!("{}.{}", encode(jwt.header_text()), encode(jwt.claims_text()));
    let pair = Ed25519KeyPair::from_seed_unchecked(&SEED).unwrap();
    format!("{message}.{}", encode(pair.sign(message.as_bytes())))
}
