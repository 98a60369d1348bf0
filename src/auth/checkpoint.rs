//! What is signed of the audit trail, so that whoever keeps it can prove what the trail was: that a
//! database was restored from an older backup, or its chains computed anew.
//!
//! Each is one line, a JWS (RFC 7515, compact) by Ed25519 (RFC 8037), which any library verifies with
//! the public key alone. Its `typ` says what it is (RFC 8725 section 3.11), and no key that signs one
//! verifies a token.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use super::keys::CheckpointKey;
use super::trusted::TrustedKeys;
use crate::clock::Timestamp;
use crate::store::chain::{Head, hex, unhex_hash};
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
    /// Its key is none of those that are believed.
    #[error("it is signed by the key {kid}, which {} does not hold{}", place(.file), advice(.file))]
    UnknownKey {
        /// The key.
        kid: String,
        /// The file of those that are believed; none for the database.
        file: Option<String>,
    },
    /// It says that it was signed when its key had ended long ago: the key is in other hands.
    #[error("it is of {at}, and its key {kid} signs nothing since {ended}")]
    SignedLater {
        /// The key.
        kid: String,
        /// When it says that it was signed.
        at: Timestamp,
        /// From when its key signs nothing.
        ended: Timestamp,
    },
    /// Its signature is not right.
    #[error("its signature is wrong: it was changed")]
    Forged,
}

fn place(file: &Option<String>) -> &str {
    file.as_deref().unwrap_or("the database")
}

fn advice(file: &Option<String>) -> &'static str {
    match file {
        Some(_) => ": if whoever has charge of the keys added it since, keep their set anew",
        None => "",
    }
}

/// What of everything that is signed is looked at before its own form.
#[derive(Deserialize)]
struct Dated {
    at: String,
}

/// What a key that is believed has signed.
#[derive(Debug, PartialEq, Eq)]
pub struct Signed {
    /// The key.
    pub kid: String,
    /// When, as whoever signed says.
    pub at: Timestamp,
    /// Whether the key has ended since, so that its thief may have written that time.
    pub key_has_ended: bool,
    /// What.
    pub payload: Vec<u8>,
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

/// What a line of that kind says, which a key of these has signed before it ended.
pub fn verify(line: &str, kind: Kind, keys: &TrustedKeys) -> Result<Signed, NotSigned> {
    let malformed = || NotSigned::Malformed(kind);
    let decoded = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed());
    let (signed, signature) = line.rsplit_once('.').ok_or_else(malformed)?;
    let (header, payload) = signed.split_once('.').ok_or_else(malformed)?;
    let header: Header = serde_json::from_slice(&decoded(header)?).map_err(|_| malformed())?;
    if header.typ != kind.typ() || header.alg != "EdDSA" {
        return Err(malformed());
    }
    let kid = header.kid;
    let Some(trusted) = keys.find(&kid) else {
        return Err(NotSigned::UnknownKey { kid, file: keys.file().map(str::to_owned) });
    };
    let key = UnparsedPublicKey::new(&ED25519, decoded(&trusted.x)?);
    key.verify(signed.as_bytes(), &decoded(signature)?).map_err(|_| NotSigned::Forged)?;
    let payload = decoded(payload)?;
    let Dated { at } = serde_json::from_slice(&payload).map_err(|_| malformed())?;
    let at = Timestamp::parse(&at).ok_or_else(malformed)?;
    match trusted.ended_at {
        Some(ended) if trusted.had_ended(at) => Err(NotSigned::SignedLater { kid, at, ended }),
        ended => Ok(Signed { kid, at, key_has_ended: ended.is_some(), payload }),
    }
}

/// What a line says that nobody has verified: for finding out what is to be verified, and nothing else.
pub fn unverified<T: serde::de::DeserializeOwned>(line: &str) -> Option<T> {
    let payload = line.split('.').nth(1)?;
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
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

/// So many chains fit into a field of a header, which proxies take up to 4 KiB.
pub const IN_A_FIELD: usize = 20;

/// Where the trail ended at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Checkpoint {
    /// When, as RFC 3339 writes it.
    pub at: String,
    /// How many records there were in all chains.
    pub records: i64,
    /// Where each chain ended.
    pub chains: Vec<ChainEnd>,
    /// How many chains there were, where not all of them are named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<usize>,
}

impl Checkpoint {
    /// Where the trail ends now.
    pub async fn take(access: Access<'_>, now: Timestamp) -> Result<Self, StoreError> {
        let heads = verify::heads(access).await?;
        let records = heads.iter().try_fold(0_i64, |sum, head| sum.checked_add(head.length));
        Ok(Self {
            at: now.to_string(),
            records: records.ok_or(StoreError::Impossible("audit_chains.length"))?,
            chains: heads.iter().map(ChainEnd::from).collect(),
            of: None,
        })
    }

    /// The same for a place that takes no long line: it names so many chains at most, those from
    /// one on that `from` chooses. With another `from` each time, no chain is left out for long.
    #[must_use]
    pub fn part(mut self, most: usize, from: u64) -> Self {
        let count = self.chains.len();
        if count > most {
            let start = usize::try_from(from % count as u64).unwrap_or_default();
            self.chains.rotate_left(start);
            self.chains.truncate(most);
            self.of = Some(count);
        }
        self
    }

    /// The checkpoint as a line that can be kept anywhere.
    pub fn sign(&self, key: &CheckpointKey) -> Result<String, StoreError> {
        sign(key, Kind::Checkpoint, self)
    }

    /// The checkpoint of a line that one of these keys has signed.
    pub fn verify(line: &str, keys: &TrustedKeys) -> Result<(Self, Signed), NotSigned> {
        let signed = verify(line, Kind::Checkpoint, keys)?;
        let checkpoint = serde_json::from_slice(&signed.payload);
        Ok((checkpoint.map_err(|_| NotSigned::Malformed(Kind::Checkpoint))?, signed))
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
            of: None,
        }
    }

    fn known(key: &CheckpointKey) -> TrustedKeys {
        TrustedKeys::of_one(key.kid(), &key.public(), None)
    }

    fn read(line: &str, keys: &TrustedKeys) -> Result<Checkpoint, NotSigned> {
        Checkpoint::verify(line, keys).map(|(checkpoint, _)| checkpoint)
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
        assert_eq!(read(&line, &known(&key)), Ok(checkpoint()));
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
            assert!(read(&changed, &keys).is_err(), "{at}");
        }
        let archive = sign(&key, Kind::Archive, &checkpoint()).unwrap();
        assert_eq!(read(&archive, &keys), Err(NotSigned::Malformed(Kind::Checkpoint)));
        let stranger = CheckpointKey::of_seed(&[8; 32]);
        let forged = checkpoint().sign(&stranger).unwrap();
        assert!(matches!(read(&forged, &keys), Err(NotSigned::UnknownKey { .. })));
        for odd in ["", ".", "..", "a.b", "é.é.é"] {
            assert_eq!(read(odd, &keys), Err(NotSigned::Malformed(Kind::Checkpoint)));
        }
        let undated = sign(&key, Kind::Checkpoint, &serde_json::json!({ "records": 7 })).unwrap();
        assert_eq!(read(&undated, &keys), Err(NotSigned::Malformed(Kind::Checkpoint)));
    }

    #[test]
    fn what_a_key_signs_after_its_end_counts_for_nothing_and_what_it_signed_before_stays() {
        let key = CheckpointKey::of_seed(&[7; 32]);
        let line = checkpoint().sign(&key).unwrap();
        let ended = |at: &str| {
            let at = Timestamp::parse(at).unwrap();
            let keys = TrustedKeys::of_one(key.kid(), &key.public(), Some(at));
            verify(&line, Kind::Checkpoint, &keys)
        };
        // A server may notice a little later that its key has ended, and its clock be ahead.
        assert!(ended("2026-03-10T11:50:00.000Z").unwrap().key_has_ended);
        assert!(ended("2026-03-10T12:00:01.000Z").unwrap().key_has_ended);
        let found = ended("2026-03-10T11:49:59.999Z");
        assert!(matches!(found, Err(NotSigned::SignedLater { .. })), "{found:?}");
        assert!(!verify(&line, Kind::Checkpoint, &known(&key)).unwrap().key_has_ended);
    }

    #[test]
    fn a_part_of_a_checkpoint_names_every_chain_in_turn_and_says_of_how_many() {
        let chain = |chain| ChainEnd::from(&Head { chain, length: 1, hash: [1; 32] });
        let whole = Checkpoint { chains: (0..5).map(chain).collect(), ..checkpoint() };
        assert_eq!(whole.clone().part(5, 3), whole);
        let of = |from| {
            let part = whole.clone().part(2, from);
            assert_eq!((part.of, part.records), (Some(5), whole.records));
            part.chains.iter().map(|end| end.chain).collect::<Vec<_>>()
        };
        assert_eq!([of(0), of(3), of(4), of(u64::MAX)], [[0, 1], [3, 4], [4, 0], [0, 1]]);
    }

    #[test]
    fn what_goes_into_a_field_fits_whatever_the_numbers() {
        let end = ChainEnd::from(&Head { chain: i64::MAX, length: i64::MAX, hash: [9; 32] });
        let whole = Checkpoint { records: i64::MAX, chains: vec![end; 1_000_000], ..checkpoint() };
        let line = whole.part(IN_A_FIELD, 7).sign(&CheckpointKey::of_seed(&[7; 32])).unwrap();
        assert!(line.len() <= 4096, "{}", line.len());
    }
}
