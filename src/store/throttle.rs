//! What slows the guessing of passwords down: counters of failed sign-ins, and the networks from
//! which each user has signed in.
//!
//! A counter's name tells nothing. What it counts, and what follows from that, is decided by whoever
//! asks.

use std::time::Duration;

use super::{Access, StoreError, execute, on, statements};
use crate::clock::Timestamp;
use crate::domain::Account;

statements! {
    FIND = "SELECT counter, failed_at, faded_at FROM attempts WHERE counter IN ($1, $2)";
    /// `$3` is when a first failure fades, `$4` what one more adds to that, `$5` the most.
    RAISE = "INSERT INTO attempts (counter, failed_at, faded_at) VALUES ($1, $2, $3) \
             ON CONFLICT (counter) DO UPDATE SET failed_at = excluded.failed_at, \
                 faded_at = CASE WHEN attempts.faded_at <= $2 THEN $3 \
                                 WHEN attempts.faded_at + $4 >= $5 THEN $5 \
                                 ELSE attempts.faded_at + $4 END";
    CLEAR = "DELETE FROM attempts WHERE counter = $1";
    PRUNE = "DELETE FROM attempts WHERE faded_at <= $1 AND counter IN ( \
                 SELECT a.counter FROM attempts a WHERE a.faded_at <= $1 \
                 ORDER BY a.faded_at LIMIT $2)";
    KNOW = "INSERT INTO known_networks (org, username, network, signed_in_at) \
            VALUES ($1, $2, $3, $4) ON CONFLICT (org, username, network) \
            DO UPDATE SET signed_in_at = excluded.signed_in_at";
    FORGET = "DELETE FROM known_networks WHERE org = $1 AND username = $2 \
              AND (signed_in_at <= $3 OR network NOT IN ( \
                  SELECT n.network FROM known_networks n WHERE n.org = $1 AND n.username = $2 \
                  ORDER BY n.signed_in_at DESC, n.network LIMIT $4))";
    LIST_KNOWN = "SELECT network FROM known_networks WHERE org = $1 AND username = $2";
}

/// How many networks are remembered for each user.
const MOST_NETWORKS: i64 = 20;

/// What a counter has counted, as a moment: each failure puts off by a while when all of them are
/// forgotten. So they fade as time goes by, and nothing has to run for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The last failure.
    pub failed_at: Timestamp,
    /// When nothing is left of any of them.
    pub faded_at: Timestamp,
}

impl Tally {
    /// This, or nothing yet, after one more failure: the same that [`raise`] writes.
    pub fn raised(tally: Option<Self>, now: Timestamp, fade: Duration, most: Duration) -> Self {
        let from = tally.map_or(now, |tally| tally.faded_at.max(now));
        Self { failed_at: now, faded_at: from.plus(fade).min(now.plus(most)) }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    counter: String,
    failed_at: i64,
    faded_at: i64,
}

/// What these counters have counted, of those that have counted anything; two at most.
pub async fn find(
    access: Access<'_>,
    counters: [&str; 2],
) -> Result<Vec<(String, Tally)>, StoreError> {
    let [one, other] = counters;
    let rows: Vec<Row> = on!(access, connection => {
        sqlx::query_as(FIND).bind(one).bind(other).fetch_all(connection)
    })?;
    let tally = |row: Row| {
        let failed_at = Timestamp::from_millis(row.failed_at);
        (row.counter, Tally { failed_at, faded_at: Timestamp::from_millis(row.faded_at) })
    };
    Ok(rows.into_iter().map(tally).collect())
}

/// Counts one more failure. `fade` is how long one takes to be forgotten, `most` how long all of
/// them together.
pub async fn raise(
    access: Access<'_>,
    counter: &str,
    now: Timestamp,
    fade: Duration,
    most: Duration,
) -> Result<(), StoreError> {
    let millis = i64::try_from(fade.as_millis()).unwrap_or(i64::MAX);
    execute!(
        access,
        sqlx::query(RAISE)
            .bind(counter)
            .bind(now.as_millis())
            .bind(now.plus(fade).as_millis())
            .bind(millis)
            .bind(now.plus(most).as_millis())
    )?;
    Ok(())
}

/// Forgets what a counter has counted; gives whether that was anything.
pub async fn clear(access: Access<'_>, counter: &str) -> Result<bool, StoreError> {
    Ok(execute!(access, sqlx::query(CLEAR).bind(counter))? > 0)
}

/// Deletes so many counters that have nothing left to forget, the oldest first.
pub async fn prune(access: Access<'_>, now: Timestamp, limit: i64) -> Result<(), StoreError> {
    execute!(access, sqlx::query(PRUNE).bind(now.as_millis()).bind(limit))?;
    Ok(())
}

/// Remembers that a user has signed in from a network. Only the latest networks are kept, and none
/// from before `since`.
pub async fn know(
    mut access: Access<'_>,
    account: &Account,
    network: &str,
    now: Timestamp,
    since: Timestamp,
) -> Result<(), StoreError> {
    execute!(
        access.reborrow(),
        sqlx::query(KNOW)
            .bind(account.org.as_str())
            .bind(account.username.as_str())
            .bind(network)
            .bind(now.as_millis())
    )?;
    execute!(
        access,
        sqlx::query(FORGET)
            .bind(account.org.as_str())
            .bind(account.username.as_str())
            .bind(since.as_millis())
            .bind(MOST_NETWORKS)
    )?;
    Ok(())
}

/// The networks that are remembered for a user.
pub async fn list_known(access: Access<'_>, account: &Account) -> Result<Vec<String>, StoreError> {
    Ok(on!(access, connection => sqlx::query_scalar(LIST_KNOWN)
        .bind(account.org.as_str())
        .bind(account.username.as_str())
        .fetch_all(connection))?)
}
