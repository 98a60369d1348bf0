//! Whose signatures under checkpoints and archives are believed, and until when.
//!
//! The database knows its keys. Whoever rewrites it can put one of theirs among them and sign all
//! anew, so whoever verifies keeps the set of public keys elsewhere, as
//! `/.well-known/checkpoint-keys.json` gives it, and then those alone count.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::clock::Timestamp;
use crate::domain::Purpose;
use crate::store::keys::{self, KeyRecord};
use crate::store::verify::TOLERANCE;
use crate::store::{Access, StoreError};

/// A public key that signs what proves the trail, or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    /// The Ed25519 public key, in base64url.
    pub x: String,
    /// From when it signs nothing; none for one that is to go on.
    pub ended_at: Option<Timestamp>,
}

impl TrustedKey {
    /// Whether what says that it was signed then cannot be of this key, but of a thief's. A server
    /// may sign on for a moment, until it notices that its key has ended, and by a clock that is ahead.
    pub fn had_ended(&self, at: Timestamp) -> bool {
        let since = |ended: Timestamp| at.as_millis().saturating_sub(ended.as_millis());
        self.ended_at.is_some_and(|ended| since(ended) > TOLERANCE)
    }
}

/// The keys that are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedKeys {
    keys: BTreeMap<String, TrustedKey>,
    /// The name of the file that they are from; none for the database.
    file: Option<String>,
}

/// A set of public keys cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeys {
    /// It has another form, or no key that can be used.
    #[error("{0}")]
    Malformed(String),
    /// It and the database differ, so that one of them was changed.
    #[error("{0}")]
    Differs(String),
}

/// A set of keys (RFC 7517 section 5), as far as it is looked at: what is not known is ignored.
#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    kid: Option<String>,
    /// In seconds, as what the server publishes.
    exp: Option<i64>,
    revoked: Option<Revoked>,
}

#[derive(Deserialize)]
struct Revoked {
    revoked_at: i64,
}

impl TrustedKeys {
    /// The keys of a database, those that sign no more among them. No secret is needed for it.
    pub async fn of_database(access: Access<'_>) -> Result<Self, StoreError> {
        let records = keys::list(access).await?.into_iter();
        let signers = records.filter(|record| record.purpose == Purpose::Checkpoints);
        let key = |record: KeyRecord| {
            let ended_at = ended_at(&record);
            Some((record.kid, TrustedKey { x: record.public_key?, ended_at }))
        };
        Ok(Self { keys: signers.filter_map(key).collect(), file: None })
    }

    /// The keys of a file beside those of the database: only the file's count, and each has ended
    /// at the earlier of the times that the two say.
    pub fn of_file(name: &str, text: &str, database: &Self) -> Result<Self, BadKeys> {
        let malformed = |what: &str| BadKeys::Malformed(format!("{name}: {what}"));
        let set: KeySet = serde_json::from_str(text).map_err(|_| {
            malformed(
                "this is no set of public keys: keep what /.well-known/checkpoint-keys.json answers",
            )
        })?;
        let mut keys = BTreeMap::new();
        for Jwk { kty, crv, x, kid, exp, revoked } in set.keys {
            // Those of other kinds are none of Stipend's (RFC 7517 section 5).
            let (Some(x), Some(kid)) = (x, kid) else { continue };
            if kty != "OKP" || crv.as_deref() != Some("Ed25519") {
                continue;
            }
            if BASE64_URL_SAFE_NO_PAD.decode(&x).map_or(0, |bytes| bytes.len()) != 32 {
                return Err(malformed(&format!("the key {kid} is no Ed25519 key")));
            }
            let own = database.keys.get(&kid);
            if own.is_some_and(|own| own.x != x) {
                return Err(BadKeys::Differs(format!(
                    "the database has another key than {name} under the id {kid}: its row was changed"
                )));
            }
            let seconds = |at: i64| Timestamp::from_millis(at.saturating_mul(1000));
            let ends = [exp, revoked.map(|revoked| revoked.revoked_at)].map(|at| at.map(seconds));
            let own = own.and_then(|own| own.ended_at);
            let ended_at = ends.into_iter().chain([own]).flatten().min();
            match keys.entry(kid) {
                Entry::Vacant(vacant) => vacant.insert(TrustedKey { x, ended_at }),
                Entry::Occupied(twice) => {
                    return Err(malformed(&format!("the key {} is there twice", twice.key())));
                }
            };
        }
        if keys.is_empty() {
            return Err(malformed("there is no key for checkpoints in it"));
        }
        Ok(Self { keys, file: Some(name.to_owned()) })
    }

    /// The key of exactly that id.
    pub fn find(&self, kid: &str) -> Option<&TrustedKey> {
        self.keys.get(kid)
    }

    /// The file that they are from; none for the database.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The ids of those that are not among others.
    pub fn not_among<'k>(&'k self, others: &'k Self) -> impl Iterator<Item = &'k str> {
        self.keys.keys().filter(|kid| !others.keys.contains_key(*kid)).map(String::as_str)
    }
}

/// From when a key signs nothing.
fn ended_at(record: &KeyRecord) -> Option<Timestamp> {
    [record.retired_at, record.revoked_at].into_iter().flatten().min()
}

#[cfg(test)]
impl TrustedKeys {
    /// One key.
    pub(super) fn of_one(kid: &str, x: &str, ended_at: Option<Timestamp>) -> Self {
        let key = TrustedKey { x: x.to_owned(), ended_at };
        Self { keys: BTreeMap::from([(kid.to_owned(), key)]), file: None }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn jwk(more: Value) -> Value {
        let mut key = json!({ "kty": "OKP", "crv": "Ed25519", "x": X, "kid": "a", "use": "sig" });
        for (name, value) in more.as_object().unwrap() {
            key[name] = value.clone();
        }
        key
    }

    fn read(keys: &[Value], database: &TrustedKeys) -> Result<TrustedKeys, BadKeys> {
        TrustedKeys::of_file("kept", &json!({ "keys": keys }).to_string(), database)
    }

    fn seconds(at: i64) -> Option<Timestamp> {
        Some(Timestamp::from_millis(at * 1000))
    }

    #[test]
    fn a_key_has_ended_at_the_earliest_of_all_times_that_anybody_says() {
        let ended = |more: Value, database: &TrustedKeys| {
            read(&[jwk(more)], database).unwrap().find("a").unwrap().ended_at
        };
        let nothing = TrustedKeys::default();
        let ten = TrustedKeys::of_one("a", X, seconds(10));
        assert_eq!(ended(json!({}), &nothing), None);
        assert_eq!(ended(json!({}), &TrustedKeys::of_one("a", X, None)), None);
        assert_eq!(ended(json!({}), &ten), seconds(10));
        assert_eq!(ended(json!({ "exp": 5 }), &ten), seconds(5));
        assert_eq!(ended(json!({ "exp": 15 }), &ten), seconds(10));
        let revoked = json!({ "exp": 20, "revoked": { "revoked_at": 7 } });
        assert_eq!(ended(revoked, &nothing), seconds(7));
    }

    #[test]
    fn what_a_key_signs_long_after_its_end_is_not_its() {
        let at = |millis| Timestamp::from_millis(millis);
        let key = |ended_at| TrustedKey { x: X.into(), ended_at };
        assert!(!key(None).had_ended(at(i64::MAX)));
        assert!(!key(seconds(10)).had_ended(at(610_000)));
        assert!(key(seconds(10)).had_ended(at(610_001)));
    }

    #[test]
    fn what_is_no_set_of_keys_for_checkpoints_is_refused() {
        let nothing = TrustedKeys::default();
        for text in ["", "[]", "{}", r#"{"keys":[{}]}"#, r#"{"keys":[]}"#] {
            let read = TrustedKeys::of_file("kept", text, &nothing);
            assert!(matches!(read, Err(BadKeys::Malformed(_))), "{text}");
        }
        let rsa = json!({ "kty": "RSA", "kid": "r", "n": "x", "e": "AQAB" });
        assert!(read(std::slice::from_ref(&rsa), &nothing).is_err(), "none of Stipend's");
        assert!(read(&[rsa, jwk(json!({}))], &nothing).is_ok(), "beside one of Stipend's");
        for odd in ["x448", "short"] {
            assert!(read(&[jwk(json!({ "x": odd }))], &nothing).is_err(), "{odd}");
        }
        assert!(read(&[jwk(json!({})), jwk(json!({}))], &nothing).is_err(), "twice");
        let other = TrustedKeys::of_one("a", "other", None);
        assert!(matches!(read(&[jwk(json!({}))], &other), Err(BadKeys::Differs(_))));
    }

    #[test]
    fn only_the_keys_of_the_file_count() {
        let database = TrustedKeys::of_one("b", X, None);
        let kept = read(&[jwk(json!({}))], &database).unwrap();
        assert_eq!((kept.find("b"), kept.file()), (None, Some("kept")));
        assert_eq!(database.not_among(&kept).collect::<Vec<_>>(), ["b"]);
        assert_eq!(kept.not_among(&database).collect::<Vec<_>>(), ["a"]);
    }
}
