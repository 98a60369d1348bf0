//! What must still hold when the record of a read is written.
//!
//! What a read used may come from memory: the caller's grants, or a whole answer. The statement that
//! writes its record also asks whether all of that is so now, whoever may have changed it, and writes
//! nothing unless it is. Versions that triggers raise make that a comparison of numbers.

use serde::Serialize;

use super::{Access, StoreError, on, statements};

/// Of a JSON array of [`Premise`]s, the positions of those that do not hold.
macro_rules! fallen {
    ($premises:literal) => {
        concat!(
            "(SELECT CAST(p.key AS BIGINT) AS position FROM jsonb_each(CAST(",
            $premises,
            " AS TEXT)) p WHERE NOT EXISTS (SELECT 1 ",
            $crate::store::sessions::alive!(from),
            " JOIN pay_versions v ON v.org = s.org ",
            $crate::store::sessions::alive!(
                where "json_extract(p.value, '$[0]')", "json_extract(p.value, '$[1]')",
                "json_extract(p.value, '$[2]')",
                "CAST(json_extract(p.value, '$[3]') AS BIGINT)"
            ),
            " AND o.access_version = CAST(json_extract(p.value, '$[4]') AS BIGINT) \
                   AND CAST(json_extract(p.value, '$[5]') AS BIGINT) IN (-1, v.version))) f"
        )
    };
}
pub(super) use fallen;

statements! {
    FALLEN = concat!("SELECT f.position FROM ", fallen!("$1"), " ORDER BY f.position");
    VERSION = "SELECT version FROM pay_versions WHERE org = $1";
}

/// That a session is alive at a time, its user not disabled, and what they may do in the org as it
/// was; and, where an answer was kept in memory, that it is what would be answered now.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Premise(String, String, String, i64, i64, i64);

impl Premise {
    pub(super) fn new(
        (org, session_id, username): (&str, &str, &str),
        at: i64,
        access_version: i64,
        pay_version: Option<i64>,
    ) -> Self {
        let pay_version = pay_version.unwrap_or(-1);
        Self(org.into(), session_id.into(), username.into(), at, access_version, pay_version)
    }
}

impl Premise {
    /// What it says, whenever.
    pub(super) fn what(&self) -> (&str, &str, &str, i64, i64) {
        let Self(org, session_id, username, _, access_version, pay_version) = self;
        (org, session_id, username, *access_version, *pay_version)
    }

    /// Makes it say the same of the later of two times: a session that is alive then was before.
    pub(super) fn at_latest(&mut self, other: &Self) {
        self.3 = self.3.max(other.3);
    }
}

/// Premises as the statements take them.
pub(super) fn json(premises: &[Premise]) -> Result<String, StoreError> {
    serde_json::to_string(premises).map_err(|_| StoreError::Impossible("a premise"))
}

/// The positions of those that do not hold.
pub(super) async fn list_fallen(
    access: Access<'_>,
    premises: &str,
) -> Result<Vec<i64>, StoreError> {
    Ok(on!(access, connection => sqlx::query_scalar(FALLEN).bind(premises).fetch_all(connection))?)
}

/// The version of all that an answer about an org's pay shows.
pub(super) async fn pay_version(access: Access<'_>, org: &str) -> Result<i64, StoreError> {
    Ok(on!(access, connection => sqlx::query_scalar(VERSION).bind(org).fetch_one(connection))?)
}
