//! A record as the database holds it: its columns, and the bytes of it that are hashed.

use serde::{Deserialize, Serialize};

use super::StoreError;
use super::chain::{Fields, Hash};

/// The columns of a [`Stored`] record `r`.
macro_rules! columns {
    () => {
        "r.record_id, r.chain, r.seq, r.hash, r.at, r.org, r.actor, r.session_id, r.token, \
         r.action, r.permission, r.grants, r.names, r.sets, r.detail, r.outcome, r.client, \
         r.request_id"
    };
}
pub(super) use columns;

/// A record, column by column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// Its number, by which it is found.
    pub record_id: i64,
    /// The chain; none for a record from before there were chains.
    pub chain: Option<i64>,
    /// Its place in the chain.
    pub seq: Option<i64>,
    /// The hash of all that it says, and of the record before it.
    #[serde(with = "in_hex")]
    pub hash: Option<Vec<u8>>,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// In whose org.
    pub org: String,
    /// Who did it.
    pub actor: String,
    /// In which session.
    pub session_id: Option<String>,
    /// What that session is called.
    pub token: Option<String>,
    /// What.
    pub action: String,
    /// By which permission.
    pub permission: Option<String>,
    /// By which grants: a JSON array of ids.
    pub grants: Option<String>,
    /// A JSON array of whom it is about, in a record from before there were chains.
    pub names: String,
    /// A JSON array of the numbers of the sets of those whom it is about.
    pub sets: String,
    /// What there is to say beyond that: a JSON object.
    pub detail: String,
    /// How it ended.
    pub outcome: String,
    /// From where.
    pub client: String,
    /// Under which request id.
    pub request_id: String,
}

impl Stored {
    /// The numbers of its sets.
    pub fn set_numbers(&self) -> Result<Vec<i64>, StoreError> {
        serde_json::from_str(&self.sets).map_err(|_| StoreError::Impossible("audit_records.sets"))
    }

    /// By which grants.
    pub fn grant_ids(&self) -> Result<Vec<String>, StoreError> {
        match &self.grants {
            Some(ids) => serde_json::from_str(ids)
                .map_err(|_| StoreError::Impossible("audit_records.grants")),
            None => Ok(Vec::new()),
        }
    }

    /// The bytes of a record in a chain whose sets have these hashes, as decision 0013 says.
    pub(super) fn content(&self, sets: &[Hash]) -> Fields {
        let mut content = Fields::default();
        content
            .number(self.at)
            .text(&self.org)
            .text(&self.actor)
            .maybe(self.session_id.as_deref())
            .maybe(self.token.as_deref())
            .text(&self.action)
            .maybe(self.permission.as_deref())
            .maybe(self.grants.as_deref())
            .hashes(sets.iter())
            .text(&self.detail)
            .text(&self.outcome)
            .text(&self.client)
            .text(&self.request_id);
        content
    }

    /// The bytes of a record from before there were chains.
    pub(super) fn old_content(&self) -> Fields {
        let mut content = Fields::default();
        content
            .number(self.record_id)
            .number(self.at)
            .text(&self.org)
            .text(&self.actor)
            .maybe(self.session_id.as_deref())
            .text(&self.action)
            .maybe(self.permission.as_deref())
            .maybe(self.grants.as_deref())
            .text(&self.names)
            .text(&self.detail)
            .text(&self.client)
            .text(&self.request_id);
        content
    }
}

/// The names in a JSON array without a space and with nothing escaped, as sets hold them.
pub(super) fn each_name(names: &str) -> impl Iterator<Item = &str> {
    let inner = names.strip_prefix("[\"").and_then(|rest| rest.strip_suffix("\"]"));
    inner.into_iter().flat_map(|inner| inner.split("\",\""))
}

mod in_hex {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::store::chain::{hex, unhex};

    pub(super) fn serialize<S: Serializer>(
        hash: &Option<Vec<u8>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        hash.as_ref().map(|bytes| hex(bytes)).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let Some(digits) = Option::<String>::deserialize(from)? else { return Ok(None) };
        let bytes = unhex(&digits).ok_or_else(|| serde::de::Error::custom("no hash"))?;
        Ok(Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_out_of_a_set() {
        assert_eq!(each_name("[]").count(), 0);
        assert_eq!(each_name(r#"["ann"]"#).collect::<Vec<_>>(), ["ann"]);
        assert_eq!(each_name(r#"["ann","b.o+b"]"#).collect::<Vec<_>>(), ["ann", "b.o+b"]);
    }

    #[test]
    fn a_record_is_the_same_after_it_was_in_a_file() {
        let record = Stored {
            record_id: 7,
            chain: Some(1),
            seq: Some(2),
            hash: Some(vec![0, 171, 255]),
            at: -3,
            org: "acme".into(),
            actor: "a\"nn".into(),
            session_id: None,
            token: Some("payroll".into()),
            action: "list_pay".into(),
            permission: None,
            grants: Some("[\"g\"]".into()),
            names: String::new(),
            sets: "[4]".into(),
            detail: "{\"a\":1}".into(),
            outcome: "done".into(),
            client: "::1".into(),
            request_id: "r".into(),
        };
        let text = serde_json::to_string(&record).unwrap();
        assert!(text.contains("00abff"), "{text}");
        assert_eq!(serde_json::from_str::<Stored>(&text).unwrap(), record);
        assert!(serde_json::from_str::<Stored>(&text.replace("00ab", "0zab")).is_err());
    }
}
