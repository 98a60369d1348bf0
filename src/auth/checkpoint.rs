//! What is signed of the audit trail, so that whoever keeps it can prove what the trail was: that a
//! database was restored from an older backup, or its chains computed anew.
//!
//! Each is one line, a JWS (RFC 7515, compact) by Ed25519 (RFC 8037), which any library verifies with
//! the public key alone. Its `typ` says what it is (RFC 8725 section 3.11), and no key that signs one
//! verifies a token.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use super::keys::CheckpointKey;
use crate::clock::Timestamp;
use crate::domain::Purpose;
use crate::store::chain::{Head, hex, unhex_hash};
use crate::store::keys;
use crate::store::{Access, StoreError, verify};

/// What can be signed. Nothing else can, a token least of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Where the trail ended at one moment.
    Checkpoint,
    /// The last line of an archive.
    Archive,
}

impl Kind {
    /// Its `typ`.
    const fn typ(self) -> &'static str {
        match self {
            Self::Checkpoint => "stipend-checkpoint",
            Self::Archive => "stipend-archive",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Checkpoint => "checkpoint",
            Self::Archive => "signed end of an archive",
        })
    }
}

/// The fields of the header, in the order in which they are written.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Header {
    typ: String,
    alg: String,
    kid: String,
}

/// The line is not what it should be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// It has another form.
    #[error("it is no {0}")]
    Malformed(Kind),
    /// Its key is none of the database's.
    #[error("it is signed by the key {0}, which this database has never had")]
    UnknownKey(String),
    /// Its signature is not right.
    #[error("its signature is wrong: it was changed")]
    Forged,
}

/// The public keys that have signed, by id, in base64url.
pub type PublicKeys = BTreeMap<String, String>;

/// The public keys of a database, those that sign no more among them. No secret is needed for it.
pub async fn public_keys(access: Access<'_>) -> Result<PublicKeys, StoreError> {
    let records = keys::list(access).await?.into_iter();
    let signers = records.filter(|record| record.purpose == Purpose::Checkpoints);
    Ok(signers.filter_map(|record| Some((record.kid, record.public_key?))).collect())
}

/// Signs a value, as one line.
pub fn sign(key: &CheckpointKey, kind: Kind, value: &impl Serialize) -> Result<String, StoreError> {
    let encoded = |text: Result<Vec<u8>, serde_json::Error>| {
        text.map(|text| BASE64_URL_SAFE_NO_PAD.encode(text))
            .map_err(|_| StoreError::Impossible("something to sign"))
    };
    let header =
        Header { typ: kind.typ().to_owned(), alg: "EdDSA".to_owned(), kid: key.kid().to_owned() };
    let header = encoded(serde_json::to_vec(&header))?;
    let payload = encoded(serde_json::to_vec(value))?;
    let signed = format!("{header}.{payload}");
    let signature = BASE64_URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    Ok(format!("{signed}.{signature}"))
}

/// The payload of a line of that kind, which a key of these has signed.
pub fn verify(line: &str, kind: Kind, keys: &PublicKeys) -> Result<Vec<u8>, NotSigned> {
    let malformed = || NotSigned::Malformed(kind);
    let decoded = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed());
    let (signed, signature) = line.rsplit_once('.').ok_or_else(malformed)?;
    let (header, payload) = signed.split_once('.').ok_or_else(malformed)?;
    let header: Header = serde_json::from_slice(&decoded(header)?).map_err(|_| malformed())?;
    if header.typ != kind.typ() || header.alg != "EdDSA" {
        return Err(malformed());
    }
    let Some(public) = keys.get(&header.kid) else {
        return Err(NotSigned::UnknownKey(header.kid));
    };
    let key = UnparsedPublicKey::new(&ED25519, decoded(public)?);
    key.verify(signed.as_bytes(), &decoded(signature)?).map_err(|_| NotSigned::Forged)?;
    decoded(payload)
}

/// Where a chain ends, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ChainEnd {
    chain: i64,
    length: i64,
    head: String,
}

impl From<&Head> for ChainEnd {
    fn from(head: &Head) -> Self {
        Self { chain: head.chain, length: head.length, head: hex(&head.hash) }
    }
}

impl ChainEnd {
    /// Where it ends; none if that is no hash.
    pub fn head(&self) -> Option<Head> {
        Some(Head { chain: self.chain, length: self.length, hash: unhex_hash(&self.head)? })
    }
}

/// Where the trail ended at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Checkpoint {
    /// When, as RFC 3339 writes it.
    pub at: String,
    /// How many records there were in all chains.
    pub records: i64,
    /// Where each chain ended.
    pub chains: Vec<ChainEnd>,
}

impl Checkpoint {
    /// Where the trail ends now.
    pub async fn take(access: Access<'_>, now: Timestamp) -> Result<Self, StoreError> {
        let heads = verify::heads(access).await?;
        Ok(Self {
            at: now.to_string(),
            records: heads.iter().map(|head| head.length).sum(),
            chains: heads.iter().map(ChainEnd::from).collect(),
        })
    }

    /// The checkpoint as a line that can be kept anywhere.
    pub fn sign(&self, key: &CheckpointKey) -> Result<String, StoreError> {
        sign(key, Kind::Checkpoint, self)
    }

    /// The checkpoint of a line that one of these keys has signed.
    pub fn verify(line: &str, keys: &PublicKeys) -> Result<Self, NotSigned> {
        let payload = verify(line, Kind::Checkpoint, keys)?;
        serde_json::from_slice(&payload).map_err(|_| NotSigned::Malformed(Kind::Checkpoint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        let head = Head { chain: 2, length: 7, hash: [9; 32] };
        Checkpoint {
            at: "2026-03-10T12:00:00.000Z".into(),
            records: 7,
            chains: vec![(&head).into()],
        }
    }

    fn known(key: &CheckpointKey) -> PublicKeys {
        BTreeMap::from([(key.kid().to_owned(), key.public())])
    }

    #[test]
    fn a_checkpoint_is_a_jws_that_any_library_verifies() {
        let key = CheckpointKey::of_seed(&[7; 32]);
        let line = checkpoint().sign(&key).unwrap();
        let decoding = jsonwebtoken::DecodingKey::from_ed_components(&key.public()).unwrap();
        crate::auth::crypto::install();
        let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        let token = jsonwebtoken::decode::<Checkpoint>(&line, &decoding, &validation).unwrap();
        assert_eq!(token.claims, checkpoint());
        assert_eq!(token.header.typ.as_deref(), Some("stipend-checkpoint"));
        assert_eq!(Checkpoint::verify(&line, &known(&key)), Ok(checkpoint()));
        assert_eq!(checkpoint().chains[0].head().unwrap().hash, [9; 32]);
    }

    #[test]
    fn a_changed_or_foreign_line_is_none() {
        let key = CheckpointKey::of_seed(&[7; 32]);
        let keys = known(&key);
        let line = checkpoint().sign(&key).unwrap();
        for at in 0..line.len() {
            let other = if &line[at..=at] == "A" { "B" } else { "A" };
            let mut changed = line.clone();
            changed.replace_range(at..=at, other);
            assert!(Checkpoint::verify(&changed, &keys).is_err(), "{at}");
        }
        let archive = sign(&key, Kind::Archive, &checkpoint()).unwrap();
        assert_eq!(
            Checkpoint::verify(&archive, &keys),
            Err(NotSigned::Malformed(Kind::Checkpoint))
        );
        let stranger = CheckpointKey::of_seed(&[8; 32]);
        let forged = checkpoint().sign(&stranger).unwrap();
        assert!(matches!(Checkpoint::verify(&forged, &keys), Err(NotSigned::UnknownKey(_))));
        for odd in ["", ".", "..", "a.b", "é.é.é"] {
            assert_eq!(Checkpoint::verify(odd, &keys), Err(NotSigned::Malformed(Kind::Checkpoint)));
        }
    }
}
