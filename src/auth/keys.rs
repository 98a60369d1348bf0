//! The ring: the keys that sign and verify, in memory, as the database has them.
//!
//! A token's `kid` is looked up here by exact match and nowhere else. The key decides the algorithm.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use ring::digest;
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::crypto;
use super::root::random_text;
use super::seal::Sealer;
use crate::clock::Timestamp;
use crate::config::Secret;
use crate::domain::{KeyAlgorithm, Purpose};
use crate::entropy::{Entropy, EntropyError};
use crate::store::chain::hex;
use crate::store::keys::{self as key_rows, KeyRecord, NewKey};
use crate::store::{Access, Db, StoreError};

/// How long a retired key verifies at least: a login that was under way when it was retired may open
/// a session for it after that.
pub const GRACE: Duration = Duration::from_secs(60);

/// A key for tokens: the algorithm comes from it, never from a token.
pub(super) struct Key {
    kid: String,
    algorithm: Algorithm,
    encoding: EncodingKey,
    decoding: DecodingKey,
    /// What others verify with, in base64url.
    public: Option<String>,
}

impl Key {
    /// The key of this secret: the text of an HS256 key, the seed of an Ed25519 one.
    pub(super) fn from_secret(algorithm: KeyAlgorithm, secret: &[u8]) -> Option<Self> {
        crypto::install();
        Some(match algorithm {
            KeyAlgorithm::Hs256 => Self {
                kid: kid_of(secret),
                algorithm: Algorithm::HS256,
                encoding: EncodingKey::from_secret(secret),
                decoding: DecodingKey::from_secret(secret),
                public: None,
            },
            KeyAlgorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_seed_unchecked(secret).ok()?;
                let public = pair.public_key().as_ref();
                Self {
                    kid: kid_of(public),
                    algorithm: Algorithm::EdDSA,
                    // Not DER, whatever the names say: what `crypto` takes.
                    encoding: EncodingKey::from_ed_der(secret),
                    decoding: DecodingKey::from_ed_der(public),
                    public: Some(BASE64_URL_SAFE_NO_PAD.encode(public)),
                }
            }
        })
    }

    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn encoding(&self) -> &EncodingKey {
        &self.encoding
    }

    pub(super) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }
}

/// Names a key without telling it: the hash of 32 random bytes cannot be turned back.
fn kid_of(bytes: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, bytes);
    let mut kid = hex(hash.as_ref());
    kid.truncate(16);
    kid
}

/// A key that signs what proves the audit trail, and nothing that could be taken for a token: what it
/// signs is typed otherwise, and its public key stands in a set of its own.
pub struct CheckpointKey {
    kid: String,
    pair: Ed25519KeyPair,
}

impl CheckpointKey {
    /// The id under which its public key is published.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The Ed25519 signature (RFC 8032) of these bytes. Only [`super::checkpoint`] has any to sign.
    pub(super) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.pair.sign(bytes).as_ref().to_vec()
    }

    /// A key of this seed.
    #[cfg(test)]
    pub(crate) fn of_seed(seed: &[u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).unwrap();
        Self { kid: kid_of(pair.public_key().as_ref()), pair }
    }

    /// What others verify with, in base64url.
    #[cfg(test)]
    pub(super) fn public(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref())
    }
}

/// A public key of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey<'r> {
    /// Its id.
    pub kid: &'r str,
    /// The Ed25519 public key, in base64url (RFC 8037 section 2).
    pub x: &'r str,
    /// From when it signs nothing, of a key for checkpoints.
    pub retired_at: Option<Timestamp>,
    /// From when it is not to be trusted with anything new, of a key for checkpoints.
    pub revoked_at: Option<Timestamp>,
}

/// What stays of a key for checkpoints.
struct Past {
    x: String,
    retired_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

/// The keys at one moment.
#[derive(Default)]
pub struct Ring {
    tokens: HashMap<String, Arc<Key>>,
    checkpoint: Option<Arc<CheckpointKey>>,
    checkpoints: BTreeMap<String, Past>,
}

impl Ring {
    /// A ring of one key, for the fuzz targets.
    #[cfg(fuzzing)]
    pub(super) fn of_one(key: Key) -> Self {
        Self { tokens: HashMap::from([(key.kid.clone(), Arc::new(key))]), ..Self::default() }
    }

    /// The key of exactly that id, if it verifies tokens. No other is tried.
    pub(super) fn find(&self, kid: &str) -> Option<&Arc<Key>> {
        self.tokens.get(kid)
    }

    /// The key that signs checkpoints now.
    pub fn checkpoint_key(&self) -> Option<&CheckpointKey> {
        self.checkpoint.as_deref()
    }

    /// The public keys of those that verify tokens, by id. No symmetric key is among them.
    pub fn token_keys(&self) -> Vec<PublicKey<'_>> {
        let mut keys: Vec<_> = self
            .tokens
            .values()
            .filter_map(|key| {
                let (kid, x) = (key.kid.as_str(), key.public.as_deref()?);
                Some(PublicKey { kid, x, retired_at: None, revoked_at: None })
            })
            .collect();
        keys.sort_unstable_by_key(|key| key.kid);
        keys
    }

    /// The public keys of those that sign checkpoints or ever have, by id.
    pub fn checkpoint_keys<'r>(&'r self) -> Vec<PublicKey<'r>> {
        let public = |(kid, past): (&'r String, &'r Past)| PublicKey {
            kid,
            x: &past.x,
            retired_at: past.retired_at,
            revoked_at: past.revoked_at,
        };
        self.checkpoints.iter().map(public).collect()
    }

    /// The ring that the records say, and the ids of those in it that cannot be opened. What the
    /// ring before held already is not opened again.
    fn of(
        records: &[KeyRecord],
        sealer: &Sealer,
        before: &Self,
        now: Timestamp,
    ) -> (Self, BTreeSet<String>) {
        let (mut ring, mut closed) = (Self::default(), BTreeSet::new());
        for record in records.iter().filter(|record| record.purpose == Purpose::Checkpoints) {
            if let Some(x) = &record.public_key {
                let (retired_at, revoked_at) = (record.retired_at, record.revoked_at);
                let past = Past { x: x.clone(), retired_at, revoked_at };
                ring.checkpoints.insert(record.kid.clone(), past);
            }
        }
        if let Some(record) = key_rows::signer(records, Purpose::Checkpoints, now) {
            let held = before.checkpoint.clone().filter(|key| key.kid == record.kid);
            ring.checkpoint = held.or_else(|| open_checkpoint(record, sealer).map(Arc::new));
            if ring.checkpoint.is_none() {
                closed.insert(record.kid.clone());
            }
        }
        for record in records.iter().filter(|record| verifies(record, now)) {
            let held = before.tokens.get(&record.kid).cloned();
            match held.or_else(|| open(record, sealer).map(Arc::new)) {
                Some(key) => {
                    ring.tokens.insert(record.kid.clone(), key);
                }
                None => {
                    closed.insert(record.kid.clone());
                }
            }
        }
        (ring, closed)
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tokens: BTreeSet<&String> = self.tokens.keys().collect();
        f.debug_struct("Ring").field("tokens", &tokens).finish_non_exhaustive()
    }
}

/// Until when a retired key verifies: until the last token that it may have signed has ended.
pub fn verifies_until(record: &KeyRecord) -> Option<Timestamp> {
    let retired = record.retired_at?;
    Some(retired.plus(GRACE).max(record.last_expiry.unwrap_or(retired)))
}

/// Whether a key verifies tokens.
fn verifies(record: &KeyRecord, now: Timestamp) -> bool {
    record.purpose == Purpose::Tokens
        && record.sealed.is_some()
        && record.revoked_at.is_none()
        && verifies_until(record).is_none_or(|until| until > now)
}

/// What a key is sealed as, so that nobody who writes to the database makes another of it.
fn label(purpose: Purpose, algorithm: KeyAlgorithm, kid: &str) -> String {
    format!("key:{purpose}:{algorithm}:{kid}")
}

fn secret_of(record: &KeyRecord, sealer: &Sealer) -> Option<Secret<Vec<u8>>> {
    let label = label(record.purpose, record.algorithm, &record.kid);
    sealer.open(&label, record.sealed.as_deref()?)
}

fn open(record: &KeyRecord, sealer: &Sealer) -> Option<Key> {
    let secret = secret_of(record, sealer)?;
    Key::from_secret(record.algorithm, secret.expose()).filter(|key| key.kid == record.kid)
}

fn open_checkpoint(record: &KeyRecord, sealer: &Sealer) -> Option<CheckpointKey> {
    let secret = secret_of(record, sealer)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(secret.expose()).ok()?;
    Some(CheckpointKey { kid: record.kid.clone(), pair })
}

/// A new secret: the text of an HS256 key, the seed of an Ed25519 one.
pub fn random_secret(
    algorithm: KeyAlgorithm,
    entropy: &dyn Entropy,
) -> Result<Secret<Vec<u8>>, EntropyError> {
    Ok(Secret::new(match algorithm {
        KeyAlgorithm::Hs256 => random_text(entropy)?.expose().as_bytes().to_vec(),
        KeyAlgorithm::EdDsa => {
            let mut seed = vec![0; 32];
            entropy.fill(&mut seed)?;
            seed
        }
    }))
}

/// A key was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// It is in the ring, or has been.
    #[error("the key {0} is in the ring, or has been")]
    Exists(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no randomness to seal it with.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// What is to become of a key that is added.
#[derive(Clone, Copy, Debug)]
pub struct Adding {
    /// What it signs.
    pub purpose: Purpose,
    /// How it signs.
    pub algorithm: KeyAlgorithm,
    /// Since when it verifies.
    pub added_at: Timestamp,
    /// From when it signs; none for later.
    pub signs_from: Option<Timestamp>,
}

/// Adds a key by its secret, sealed. Gives its id.
pub async fn add(
    access: Access<'_>,
    sealer: &Sealer,
    adding: Adding,
    secret: &Secret<Vec<u8>>,
    entropy: &dyn Entropy,
) -> Result<String, AddError> {
    let Adding { purpose, algorithm, added_at, signs_from } = adding;
    let key = Key::from_secret(algorithm, secret.expose()).ok_or(EntropyError)?;
    let sealed = sealer.seal(&label(purpose, algorithm, &key.kid), secret.expose(), entropy)?;
    let new = NewKey {
        kid: &key.kid,
        purpose,
        algorithm,
        sealed: &sealed,
        public_key: key.public.as_deref(),
        added_at,
        signs_from,
    };
    if key_rows::add(access, &new).await? { Ok(key.kid) } else { Err(AddError::Exists(key.kid)) }
}

/// No token can be signed.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No key signs, or the one that does cannot be opened: the log says which.
    #[error("no key signs")]
    NoKey,
    /// The key did not sign.
    #[error("the token could not be signed")]
    Failed,
}

/// The ring of this process.
pub struct Keys {
    sealer: Arc<Sealer>,
    ring: RwLock<Arc<Ring>>,
    reading: tokio::sync::Mutex<()>,
    /// Those that could not be opened, of which the log has told.
    closed: Mutex<BTreeSet<String>>,
}

impl Keys {
    /// The ring of a database, to be read.
    pub fn new(sealer: Arc<Sealer>) -> Self {
        Self {
            sealer,
            ring: RwLock::default(),
            reading: tokio::sync::Mutex::default(),
            closed: Mutex::default(),
        }
    }

    /// The keys as they were last read.
    pub fn ring(&self) -> Arc<Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the ring. If that fails, the keys stay that were there.
    pub async fn read(&self, db: &Db, now: Timestamp) -> Result<Arc<Ring>, StoreError> {
        let _one_at_a_time = self.reading.lock().await;
        self.read_alone(db, now).await
    }

    /// Reads the ring again, unless somebody has since this one was read: however many ask at once,
    /// the database is asked by one of them at a time.
    pub(super) async fn read_since(
        &self,
        seen: &Arc<Ring>,
        db: &Db,
        now: Timestamp,
    ) -> Result<Arc<Ring>, StoreError> {
        let _one_at_a_time = self.reading.lock().await;
        let ring = self.ring();
        if Arc::ptr_eq(seen, &ring) { self.read_alone(db, now).await } else { Ok(ring) }
    }

    async fn read_alone(&self, db: &Db, now: Timestamp) -> Result<Arc<Ring>, StoreError> {
        let mut reader = db.reader().await?;
        let records = key_rows::list(reader.access()).await?;
        let (ring, closed) = Ring::of(&records, &self.sealer, &self.ring(), now);
        let ring = Arc::new(ring);
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring.clone();
        self.tell_of(closed);
        Ok(ring)
    }

    /// Logs the keys that cannot be opened, each once.
    fn tell_of(&self, closed: BTreeSet<String>) {
        let mut told = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        for kid in closed.difference(&told) {
            tracing::error!(
                kid,
                "a key cannot be opened, so its tokens are refused: its row was changed, or the \
                 configured key was, and then this server must be started again with the new one"
            );
        }
        *told = closed;
    }

    /// The key that signs a token now, as the database says in the transaction that opens the
    /// token's session.
    pub(super) async fn signing(
        &self,
        access: Access<'_>,
        now: Timestamp,
    ) -> Result<Arc<Key>, SigningError> {
        let records = key_rows::list(access).await?;
        let signer = key_rows::signer(&records, Purpose::Tokens, now)
            .or_else(|| key_rows::first_signer(&records, Purpose::Tokens, now));
        let Some(record) = signer else {
            tracing::error!("no key signs tokens: stipend key list");
            return Err(SigningError::NoKey);
        };
        if let Some(key) = self.ring().find(&record.kid) {
            return Ok(key.clone());
        }
        open(record, &self.sealer).map(Arc::new).ok_or_else(|| {
            tracing::error!(kid = record.kid, "the key that signs tokens cannot be opened");
            SigningError::NoKey
        })
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Keys").field(&self.ring()).finish()
    }
}

/// The key of another secret under the id of this one, for the tests of tokens.
#[cfg(test)]
pub(super) fn renamed(key: Key, kid: &str) -> Key {
    Key { kid: kid.to_owned(), ..key }
}

/// A ring of these keys, for the tests of tokens.
#[cfg(test)]
pub(super) fn ring_of(keys: impl IntoIterator<Item = Key>) -> Ring {
    let tokens = keys.into_iter().map(|key| (key.kid.clone(), Arc::new(key))).collect();
    Ring { tokens, ..Ring::default() }
}
