//! The keys that sign, sealed, and how their sessions end with them.

use super::{Access, StoreError, execute, on, statements};
use crate::clock::Timestamp;
use crate::domain::{KeyAlgorithm, Purpose};

statements! {
    FIND_SEALING = "SELECT root, sealed FROM sealing WHERE one = 1";
    ADD_SEALING = "INSERT INTO sealing (one, root, sealed, changed_at) VALUES (1, $1, $2, $3) \
                   ON CONFLICT (one) DO NOTHING";
    CHANGE_SEALING = "UPDATE sealing SET root = $1, sealed = $2, changed_at = $3 WHERE one = 1";
    /// Holds the ring until the transaction ends, so that of two changes at once the second sees
    /// the first.
    LOCK = "UPDATE sealing SET changed_at = changed_at WHERE one = 1";
    LIST = "SELECT k.kid, k.purpose, k.algorithm, k.sealed, k.public_key, k.added_at, k.signs_from, \
                   k.retired_at, k.revoked_at, k.sessions_ended, \
                   (SELECT MAX(s.expires_at) FROM sessions s \
                    WHERE s.kid = k.kid AND s.ended_at IS NULL) AS last_expiry \
            FROM keys k ORDER BY k.added_at, k.kid";
    ADD = "INSERT INTO keys (kid, purpose, algorithm, sealed, public_key, added_at, signs_from) \
           VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (kid) DO NOTHING";
    PROMOTE = "UPDATE keys SET signs_from = $2 WHERE kid = $1";
    RETIRE = "UPDATE keys SET retired_at = $2 WHERE kid = $1";
    REVOKE = "UPDATE keys SET retired_at = COALESCE(retired_at, $2), revoked_at = $2, \
                     sealed = NULL, sessions_ended = $3 \
              WHERE kid = $1";
    /// Only where nothing is under way that was signed when it still signed.
    ERASE = "UPDATE keys SET sealed = NULL \
             WHERE sealed IS NOT NULL AND retired_at IS NOT NULL AND retired_at <= $1 \
               AND NOT EXISTS (SELECT 1 FROM sessions s \
                               WHERE s.kid = keys.kid AND s.ended_at IS NULL AND s.expires_at > $2)";
    ADOPT = "UPDATE sessions SET kid = $1 \
             WHERE kid IS NULL AND ended_at IS NULL AND expires_at > $2";
    COUNT_SESSIONS = "SELECT org, COUNT(*) AS sessions FROM sessions \
                      WHERE kid = $1 AND ended_at IS NULL AND expires_at > $2 \
                      GROUP BY org ORDER BY org";
    END_SESSIONS = "UPDATE sessions SET ended_at = $2 \
                    WHERE kid = $1 AND ended_at IS NULL AND expires_at > $2";
    COUNT_SECOND_FACTORS = "SELECT COUNT(*) FROM users WHERE totp_secret IS NOT NULL";
}

/// What seals: a secret, sealed under the configured key.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Sealing {
    /// The id of the configured key.
    pub root: String,
    /// The secret, sealed.
    pub sealed: String,
}

/// A key, sealed, and what has become of it.
#[derive(Clone, Debug)]
pub struct KeyRecord {
    /// Its id.
    pub kid: String,
    /// What it signs.
    pub purpose: Purpose,
    /// How it signs.
    pub algorithm: KeyAlgorithm,
    /// The key itself, sealed; none once nobody needs it.
    pub sealed: Option<String>,
    /// What others verify with, in base64url.
    pub public_key: Option<String>,
    /// Since when it verifies.
    pub added_at: Timestamp,
    /// From when it signs, unless another does from a later time on.
    pub signs_from: Option<Timestamp>,
    /// From when it signs nothing.
    pub retired_at: Option<Timestamp>,
    /// From when it verifies nothing.
    pub revoked_at: Option<Timestamp>,
    /// How many sessions ended when it was revoked.
    pub sessions_ended: i64,
    /// When the last of its sessions ends that nobody has ended.
    pub last_expiry: Option<Timestamp>,
}

impl KeyRecord {
    /// Whether it is there to sign or to verify: not retired by then.
    pub fn is_active(&self, at: Timestamp) -> bool {
        self.revoked_at.is_none() && self.retired_at.is_none_or(|retired| retired > at)
    }
}

/// The key that signs for a purpose at a time: the one that was promoted last.
pub fn signer(keys: &[KeyRecord], purpose: Purpose, at: Timestamp) -> Option<&KeyRecord> {
    promoted(keys, purpose, at)
        .filter(|(from, _)| *from <= at)
        .max_by_key(|(from, _)| *from)
        .map(key)
}

/// The key that was promoted first of those that are active: the one that signs where a clock was
/// set back to before any was promoted.
pub fn first_signer(keys: &[KeyRecord], purpose: Purpose, at: Timestamp) -> Option<&KeyRecord> {
    promoted(keys, purpose, at).min_by_key(|(from, _)| *from).map(key)
}

fn promoted(
    keys: &[KeyRecord],
    purpose: Purpose,
    at: Timestamp,
) -> impl Iterator<Item = (Timestamp, &KeyRecord)> {
    let active = keys.iter().filter(move |key| key.purpose == purpose && key.is_active(at));
    active.filter_map(|key| Some((key.signs_from?, key)))
}

fn key((_, key): (Timestamp, &KeyRecord)) -> &KeyRecord {
    key
}

/// A key that is to be added.
#[derive(Debug)]
pub struct NewKey<'a> {
    /// Its id.
    pub kid: &'a str,
    /// What it signs.
    pub purpose: Purpose,
    /// How it signs.
    pub algorithm: KeyAlgorithm,
    /// The key itself, sealed.
    pub sealed: &'a str,
    /// What others verify with, in base64url.
    pub public_key: Option<&'a str>,
    /// Since when it verifies.
    pub added_at: Timestamp,
    /// From when it signs; none for later.
    pub signs_from: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct Row {
    kid: String,
    purpose: String,
    algorithm: String,
    sealed: Option<String>,
    public_key: Option<String>,
    added_at: i64,
    signs_from: Option<i64>,
    retired_at: Option<i64>,
    revoked_at: Option<i64>,
    sessions_ended: i64,
    last_expiry: Option<i64>,
}

impl TryFrom<Row> for KeyRecord {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let impossible = || StoreError::Impossible("keys");
        Ok(Self {
            purpose: Purpose::parse(&row.purpose).ok_or_else(impossible)?,
            algorithm: KeyAlgorithm::parse(&row.algorithm).ok_or_else(impossible)?,
            kid: row.kid,
            sealed: row.sealed,
            public_key: row.public_key,
            added_at: Timestamp::from_millis(row.added_at),
            signs_from: row.signs_from.map(Timestamp::from_millis),
            retired_at: row.retired_at.map(Timestamp::from_millis),
            revoked_at: row.revoked_at.map(Timestamp::from_millis),
            sessions_ended: row.sessions_ended,
            last_expiry: row.last_expiry.map(Timestamp::from_millis),
        })
    }
}

/// How many sessions of one org a key has.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct SessionsOfOrg {
    /// The org.
    pub org: String,
    /// Those that are alive.
    pub sessions: i64,
}

/// What seals, if there is something already.
pub async fn find_sealing(access: Access<'_>) -> Result<Option<Sealing>, StoreError> {
    Ok(on!(access, connection => sqlx::query_as(FIND_SEALING).fetch_optional(connection))?)
}

/// Notes what seals. Returns whether nothing was there before.
pub async fn add_sealing(
    access: Access<'_>,
    sealing: &Sealing,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let added = execute!(
        access,
        sqlx::query(ADD_SEALING).bind(&sealing.root).bind(&sealing.sealed).bind(now.as_millis())
    )?;
    Ok(added == 1)
}

/// Notes that something else seals from now on.
pub async fn change_sealing(
    access: Access<'_>,
    sealing: &Sealing,
    now: Timestamp,
) -> Result<(), StoreError> {
    execute!(
        access,
        sqlx::query(CHANGE_SEALING).bind(&sealing.root).bind(&sealing.sealed).bind(now.as_millis())
    )?;
    Ok(())
}

/// Makes every other change of the ring wait until this transaction ends.
pub async fn lock(access: Access<'_>) -> Result<(), StoreError> {
    execute!(access, sqlx::query(LOCK))?;
    Ok(())
}

/// Every key that there has been, the oldest first.
pub async fn list(access: Access<'_>) -> Result<Vec<KeyRecord>, StoreError> {
    let rows: Vec<Row> = on!(access, connection => sqlx::query_as(LIST).fetch_all(connection))?;
    rows.into_iter().map(KeyRecord::try_from).collect()
}

/// Adds a key. Returns whether it was not there before.
pub async fn add(access: Access<'_>, key: &NewKey<'_>) -> Result<bool, StoreError> {
    let added = execute!(
        access,
        sqlx::query(ADD)
            .bind(key.kid)
            .bind(key.purpose.name())
            .bind(key.algorithm.name())
            .bind(key.sealed)
            .bind(key.public_key)
            .bind(key.added_at.as_millis())
            .bind(key.signs_from.map(Timestamp::as_millis))
    )?;
    Ok(added == 1)
}

/// Has a key sign from a time on.
pub async fn promote(access: Access<'_>, kid: &str, from: Timestamp) -> Result<(), StoreError> {
    execute!(access, sqlx::query(PROMOTE).bind(kid).bind(from.as_millis()))?;
    Ok(())
}

/// Has a key sign nothing from a time on.
pub async fn retire(access: Access<'_>, kid: &str, from: Timestamp) -> Result<(), StoreError> {
    execute!(access, sqlx::query(RETIRE).bind(kid).bind(from.as_millis()))?;
    Ok(())
}

/// Ends a key at once, with every session whose token it signed; the key itself is erased. Gives
/// how many sessions ended, by org.
pub async fn revoke(
    mut access: Access<'_>,
    kid: &str,
    now: Timestamp,
) -> Result<Vec<SessionsOfOrg>, StoreError> {
    let ended = count_sessions(access.reborrow(), kid, now).await?;
    execute!(access.reborrow(), sqlx::query(END_SESSIONS).bind(kid).bind(now.as_millis()))?;
    let total: i64 = ended.iter().map(|org| org.sessions).sum();
    execute!(access, sqlx::query(REVOKE).bind(kid).bind(now.as_millis()).bind(total))?;
    Ok(ended)
}

/// Erases the keys that were retired before a time and have no session left. Returns how many.
pub async fn erase(
    access: Access<'_>,
    retired_before: Timestamp,
    now: Timestamp,
) -> Result<u64, StoreError> {
    Ok(execute!(access, sqlx::query(ERASE).bind(retired_before.as_millis()).bind(now.as_millis()))?)
}

/// Says of the live sessions from before keys were noted that their tokens are signed by this one.
pub async fn adopt(access: Access<'_>, kid: &str, now: Timestamp) -> Result<(), StoreError> {
    execute!(access, sqlx::query(ADOPT).bind(kid).bind(now.as_millis()))?;
    Ok(())
}

/// How many live sessions a key has, by org.
pub async fn count_sessions(
    access: Access<'_>,
    kid: &str,
    now: Timestamp,
) -> Result<Vec<SessionsOfOrg>, StoreError> {
    Ok(on!(access, connection => sqlx::query_as(COUNT_SESSIONS)
        .bind(kid)
        .bind(now.as_millis())
        .fetch_all(connection))?)
}

/// How many users have a second factor, which is sealed as keys are.
pub async fn count_second_factors(access: Access<'_>) -> Result<i64, StoreError> {
    Ok(on!(access, connection => sqlx::query_scalar(COUNT_SECOND_FACTORS).fetch_one(connection))?)
}
