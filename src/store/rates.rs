//! Rates: what somebody is paid from a day on. Only [`super::disclosure`] reads them for anybody.
//!
//! A rate is never changed. What held on a day, as far as it was known at a time, is the latest
//! day not after it, in its last revision then: so an old report can be made again.

use futures_util::TryStreamExt;

use super::grants::{Reached, bind_reached, reached};
use super::pay::{Chunk, Cursor, PayQuery, Sink};
use super::{Access, StoreError, execute, on, silence, statements};
use crate::clock::{Day, Timestamp};
use crate::domain::{Account, Money, Username};
use crate::policy::{Allowed, Read, Write};

/// Of each employee `e` of the org `$1`, the rate `r` that held on the day `$2` as far as it was
/// known at `$3`; filtered by a pattern `$4` and a team `$5`, each empty for none.
macro_rules! current {
    () => {
        concat!(
            "FROM employees e JOIN rates r ON r.org = e.org AND r.username = e.username \
            AND (r.effective_from, r.revision) = (\
                SELECT l.effective_from, l.revision FROM rates l \
                 WHERE l.org = e.org AND l.username = e.username \
                   AND l.effective_from <= $2 AND l.recorded_at <= $3 \
                 ORDER BY l.effective_from DESC, l.revision DESC LIMIT 1) \
          WHERE e.org = $1 AND ",
            filtered!()
        )
    };
}

/// Those whose name holds the pattern `$4` and who are in the team `$5`, each empty for all.
macro_rules! filtered {
    () => {
        "($4 = '' OR e.username LIKE $4 ESCAPE '\\' OR LOWER(e.full_name) LIKE $4 ESCAPE '\\') \
          AND ($5 = '' OR e.team = $5)"
    };
}

/// A row as one text, whose columns are [`super::pay::PayRow`]'s: one text for many rows crosses
/// to SQLite's thread and back much faster than a row each.
macro_rules! line {
    () => {
        "e.username || '\u{1f}' || e.full_name || '\u{1f}' || COALESCE(e.team, '') || '\u{1f}' || \
         CAST(r.amount_minor AS TEXT) || '\u{1f}' || r.currency || '\u{1f}' || r.effective_from"
    };
}

/// What [`scan!`] finds of an employee `e`: the row, in two parts, the second of which is null
/// where there is no rate. Finds the rate by one look into the index where [`by_name!`], whose
/// pages are full, needs two.
macro_rules! row {
    () => {
        "e.username || '\u{1f}' || e.full_name || '\u{1f}' || COALESCE(e.team, '') || '\u{1f}' AS line, \
         (SELECT CAST(l.amount_minor AS TEXT) || '\u{1f}' || l.currency || '\u{1f}' || l.effective_from \
            FROM rates l WHERE l.org = e.org AND l.username = e.username \
             AND l.effective_from <= $2 AND l.recorded_at <= $3 \
           ORDER BY l.effective_from DESC, l.revision DESC LIMIT 1) AS rate"
    };
}

/// The same for the name alone.
macro_rules! name {
    () => {
        "e.username AS line, \
         (SELECT '' FROM rates l WHERE l.org = e.org AND l.username = e.username \
             AND l.effective_from <= $2 AND l.recorded_at <= $3 LIMIT 1) AS rate"
    };
}

/// The rows or names of the next `$6` people by user name, after `$7`, whether they have a rate or
/// not: how many they are, the last of them, and the rows.
macro_rules! scan {
    ($what:ident, $direction:literal, $last:literal, $($condition:tt)*) => {
        concat!("SELECT COUNT(*), ", $last, "(p.username), COUNT(p.rate), \
                        COALESCE(string_agg(p.line || p.rate, '\u{1e}' ORDER BY p.username ",
                $direction, "), '') FROM (SELECT e.username, ", $what!(),
                " FROM employees e WHERE e.org = $1 AND ", filtered!(), " AND ", $($condition)*,
                " ORDER BY e.username ", $direction, " LIMIT $6) p")
    };
}

/// What a parameter says to sort by, as a text that sorts alike. Amounts sort within their currency.
macro_rules! key {
    ($sort:literal) => {
        concat!("CASE ", $sort, " WHEN 'name' THEN e.full_name \
                 WHEN 'team' THEN COALESCE(e.team, '') \
                 WHEN 'effective_from' THEN r.effective_from \
                 ELSE r.currency || SUBSTR('0000000000000000000' || CAST(r.amount_minor AS TEXT), \
                                           LENGTH(CAST(r.amount_minor AS TEXT)) + 1) END")
    };
}

/// At most `$6` rows by user name, after `$7`.
macro_rules! by_name {
    ($direction:literal, $($condition:tt)*) => {
        concat!("SELECT COUNT(*), COALESCE(string_agg(p.line, '\u{1e}' ORDER BY p.username ", $direction,
                "), '') FROM (SELECT e.username, ", line!(), " AS line ", current!(),
                " AND ", $($condition)*, " ORDER BY e.username ", $direction, " LIMIT $6) p")
    };
}

/// At most `$6` rows by what `$8` says, then user name, after `$9` and `$7`.
macro_rules! by_key {
    ($direction:literal, $beyond:literal, $($condition:tt)*) => {
        concat!("SELECT COUNT(*), COALESCE(string_agg(p.line, '\u{1e}' ORDER BY p.key ", $direction,
                ", p.username ", $direction, "), '') FROM (SELECT e.username, ", key!("$8"),
                " AS key, ", line!(), " AS line ", current!(), " AND ($7 = '' OR (", key!("$8"),
                ", e.username) ", $beyond, " ($9, $7))", $($condition)*,
                " ORDER BY 2 ", $direction, ", 1 ", $direction, " LIMIT $6) p")
    };
}

/// All rows by what `$8` says, then user name, after `$9` and `$7`; `$6` of them in each text.
macro_rules! all_by_key {
    ($direction:literal, $beyond:literal, $($condition:tt)*) => {
        concat!("SELECT COUNT(*), string_agg(p.line, '\u{1e}' ORDER BY p.n) FROM (\
                 SELECT ", line!(), " AS line, ROW_NUMBER() OVER (ORDER BY ", key!("$8"), " ",
                $direction, ", e.username ", $direction, ") AS n ", current!(),
                " AND ($7 = '' OR (", key!("$8"), ", e.username) ", $beyond, " ($9, $7))",
                $($condition)*, ") p GROUP BY (p.n - 1) / $6 ORDER BY (p.n - 1) / $6")
    };
}

/// The name in a line `j` of a [`Batch`].
macro_rules! batch_name {
    () => {
        "SUBSTR(j.value, 32, CAST(SUBSTR(j.value, 30, 2) AS INTEGER))"
    };
}

/// The positions in a batch of those, `n`, who are no employees, or not such as a condition says.
macro_rules! strangers {
    ($($condition:tt)*) => {
        concat!("SELECT n.position FROM (SELECT CAST(j.key AS BIGINT) AS position, ", batch_name!(),
                " AS username FROM json_each(CAST($2 AS TEXT)) j) n \
                 WHERE NOT (EXISTS (SELECT 1 FROM employees e \
                                     WHERE e.org = $1 AND e.username = n.username) AND ",
                $($condition)*, ") ORDER BY n.position")
    };
}

statements! {
    ROWS_UP = scan!(row, "ASC", "MAX", "e.username > $7");
    ROWS_UP_REACHED = scan!(row, "ASC", "MAX", "e.username || '' > $7 AND ",
                            reached!("e.username" in "$1", "$8", "$9"));
    ROWS_DOWN = scan!(row, "DESC", "MIN", "($7 = '' OR e.username < $7)");
    ROWS_DOWN_REACHED = scan!(row, "DESC", "MIN", "($7 = '' OR e.username < $7) AND ",
                              reached!("e.username" in "$1", "$8", "$9"));
    NAMES_UP = scan!(name, "ASC", "MAX", "e.username > $7");
    NAMES_UP_REACHED = scan!(name, "ASC", "MAX", "e.username || '' > $7 AND ",
                            reached!("e.username" in "$1", "$8", "$9"));
    NAMES_DOWN = scan!(name, "DESC", "MIN", "($7 = '' OR e.username < $7)");
    NAMES_DOWN_REACHED = scan!(name, "DESC", "MIN", "($7 = '' OR e.username < $7) AND ",
                              reached!("e.username" in "$1", "$8", "$9"));
    UP = by_name!("ASC", "e.username > $7");
    // Not by the index on names, which is long, but by the names that are reached.
    UP_REACHED = by_name!("ASC", "e.username || '' > $7 AND ",
                          reached!("e.username" in "$1", "$8", "$9"));
    DOWN = by_name!("DESC", "($7 = '' OR e.username < $7)");
    DOWN_REACHED = by_name!("DESC", "($7 = '' OR e.username < $7) AND ",
                            reached!("e.username" in "$1", "$8", "$9"));
    KEY_UP = by_key!("ASC", ">", "");
    KEY_UP_REACHED = by_key!("ASC", ">", " AND ",
                             reached!("e.username" in "$1", "$10", "$11"));
    KEY_DOWN = by_key!("DESC", "<", "");
    KEY_DOWN_REACHED = by_key!("DESC", "<", " AND ",
                               reached!("e.username" in "$1", "$10", "$11"));
    ALL_UP = all_by_key!("ASC", ">", "");
    ALL_UP_REACHED = all_by_key!("ASC", ">", " AND ",
                                 reached!("e.username" in "$1", "$10", "$11"));
    ALL_DOWN = all_by_key!("DESC", "<", "");
    ALL_DOWN_REACHED = all_by_key!("DESC", "<", " AND ",
                                   reached!("e.username" in "$1", "$10", "$11"));
    KEY_OF = concat!("SELECT ", key!("$7"), " ", current!(), " AND e.username = $6");
    HISTORY = "SELECT r.effective_from, r.revision, r.amount_minor, r.currency, r.note, \
                      r.recorded_by, r.recorded_at \
               FROM rates r WHERE r.org = $1 AND r.username = $2 AND r.recorded_at <= $3 \
               ORDER BY r.effective_from, r.revision";
    COUNT = "SELECT COUNT(*) FROM rates WHERE org = $1 AND username = $2";
    /// Holds the employee's row until the transaction ends, so that of two who record a rate at
    /// once the second sees the first.
    LOCK = "UPDATE employees SET full_name = full_name WHERE org = $1 AND username = $2";
    RECORD = "INSERT INTO rates (org, username, effective_from, revision, amount_minor, currency, \
                                 note, recorded_by, recorded_at) \
              VALUES ($1, $2, $3, \
                      1 + COALESCE((SELECT MAX(r.revision) FROM rates r \
                                     WHERE r.org = $1 AND r.username = $2 \
                                       AND r.effective_from = $3), 0), \
                      $4, $5, $6, $7, $8) \
              RETURNING revision";
    /// Of a [`Batch`], the rates whose amount differs from what is recorded for that person and day.
    IMPORT = concat!(
        "INSERT INTO rates (org, username, effective_from, revision, amount_minor, currency, \
                            note, recorded_by, recorded_at) \
         SELECT $1, n.username, n.day, COALESCE(o.revision, 0) + 1, n.amount, n.currency, n.note, \
                $3, $4 \
           FROM (SELECT ", batch_name!(), " AS username, SUBSTR(j.value, 1, 10) AS day, \
                        CAST(SUBSTR(j.value, 14, 16) AS BIGINT) AS amount, \
                        SUBSTR(j.value, 11, 3) AS currency, SUBSTR(j.value, 32 + CAST(SUBSTR(j.value, 30, 2) AS INTEGER)) AS note \
                   FROM json_each(CAST($2 AS TEXT)) j) n \
           LEFT JOIN rates o ON o.org = $1 AND o.username = n.username \
                AND o.effective_from = n.day \
                AND o.revision = (SELECT MAX(l.revision) FROM rates l \
                                   WHERE l.org = $1 AND l.username = n.username \
                                     AND l.effective_from = n.day) \
          WHERE o.revision IS NULL OR o.amount_minor <> n.amount OR o.currency <> n.currency");
    /// Of a [`Batch`], the positions of those who are no employees.
    STRANGERS = strangers!("1 = 1");
    /// Or who are not reached.
    STRANGERS_REACHED = strangers!(reached!("n.username" in "$1", "$3", "$4"));
}

/// The rate of a person that holds from a day on, in one of its revisions.
#[derive(Clone, Debug)]
pub struct Rate {
    /// The day from which it holds.
    pub effective_from: Day,
    /// Which correction of that day's rate it is, counted from 1. The last one counts.
    pub revision: i64,
    /// How much.
    pub salary: Money,
    /// What there is to say of it.
    pub note: String,
    /// By whom it was recorded.
    pub recorded_by: String,
    /// When.
    pub recorded_at: Timestamp,
}

/// A rate to be recorded.
#[derive(Clone, Debug)]
pub struct NewRate {
    /// The day from which it holds.
    pub effective_from: Day,
    /// How much.
    pub salary: Money,
    /// What there is to say of it; may be empty.
    pub note: String,
}

/// At most `limit` rows after a cursor, in the order that is asked for.
pub(super) async fn page(
    access: Access<'_>,
    allowed: &Allowed<Read>,
    asked: &PayQuery,
    after: Option<&Cursor>,
    limit: i64,
) -> Result<Chunk, StoreError> {
    let reached = Reached::of(allowed)?;
    let (q, team) = asked.filter.parameters();
    let statement = match (asked.sort.key(), asked.descending, &reached) {
        (None, false, None) => UP,
        (None, false, Some(_)) => UP_REACHED,
        (None, true, None) => DOWN,
        (None, true, Some(_)) => DOWN_REACHED,
        (Some(_), false, None) => KEY_UP,
        (Some(_), false, Some(_)) => KEY_UP_REACHED,
        (Some(_), true, None) => KEY_DOWN,
        (Some(_), true, Some(_)) => KEY_DOWN_REACHED,
    };
    let (rows, text): (i64, String) = on!(access, connection => {
        let mut query = sqlx::query_as(statement)
            .bind(allowed.account().org.as_str())
            .bind(asked.as_of.to_string())
            .bind(asked.known_at.map_or(i64::MAX, Timestamp::as_millis))
            .bind(&q)
            .bind(&team)
            .bind(limit)
            .bind(after.map(|cursor| cursor.username.as_str()).unwrap_or_default());
        if let Some(key) = asked.sort.key() {
            query = query
                .bind(key)
                .bind(after.and_then(|cursor| cursor.key.as_deref()).unwrap_or_default());
        }
        bind_reached!(query, reached).fetch_one(connection)
    })?;
    Ok(Chunk::new(text, rows))
}

/// What [`scan`] gives of each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Row,
    /// Whose it is, which takes half the time.
    Name,
}

/// The rows of the next `limit` people by user name, after a name; and the last of those people,
/// unless they are the last of all.
pub(super) async fn scan(
    access: Access<'_>,
    allowed: &Allowed<Read>,
    asked: &PayQuery,
    part: Part,
    after: &str,
    limit: i64,
) -> Result<(Chunk, Option<String>), StoreError> {
    let reached = Reached::of(allowed)?;
    let (q, team) = asked.filter.parameters();
    let statement = match (part, asked.descending, &reached) {
        (Part::Row, false, None) => ROWS_UP,
        (Part::Row, false, Some(_)) => ROWS_UP_REACHED,
        (Part::Row, true, None) => ROWS_DOWN,
        (Part::Row, true, Some(_)) => ROWS_DOWN_REACHED,
        (Part::Name, false, None) => NAMES_UP,
        (Part::Name, false, Some(_)) => NAMES_UP_REACHED,
        (Part::Name, true, None) => NAMES_DOWN,
        (Part::Name, true, Some(_)) => NAMES_DOWN_REACHED,
    };
    let (people, last, rows, text): (i64, Option<String>, i64, String) = on!(access, connection => {
        let query = sqlx::query_as(statement)
            .bind(allowed.account().org.as_str())
            .bind(asked.as_of.to_string())
            .bind(asked.known_at.map_or(i64::MAX, Timestamp::as_millis))
            .bind(&q)
            .bind(&team)
            .bind(limit)
            .bind(after);
        bind_reached!(query, reached).fetch_one(connection)
    })?;
    Ok((Chunk::new(text, rows), last.filter(|_| people == limit)))
}

/// The text by which a person's row sorts, if there is such a row.
pub(super) async fn key_of(
    access: Access<'_>,
    account: &Account,
    asked: &PayQuery,
    key: &str,
) -> Result<Option<String>, StoreError> {
    Ok(on!(access, connection => sqlx::query_scalar(KEY_OF)
        .bind(account.org.as_str())
        .bind(asked.as_of.to_string())
        .bind(asked.known_at.map_or(i64::MAX, Timestamp::as_millis))
        .bind("")
        .bind("")
        .bind(account.username.as_str())
        .bind(key)
        .fetch_optional(connection))?)
}

/// All rows after the cursor in an order other than by user name, `size` in each chunk, handed to
/// a sink as they come until it wants no more.
pub(super) async fn all_by_key(
    access: Access<'_>,
    allowed: &Allowed<Read>,
    asked: &PayQuery,
    key: &'static str,
    size: i64,
    sink: &mut impl Sink,
) -> Result<(), StoreError> {
    let (reached, after) = (Reached::of(allowed)?, asked.after.as_ref());
    let (q, team) = asked.filter.parameters();
    let statement = match (asked.descending, &reached) {
        (false, None) => ALL_UP,
        (false, Some(_)) => ALL_UP_REACHED,
        (true, None) => ALL_DOWN,
        (true, Some(_)) => ALL_DOWN_REACHED,
    };
    macro_rules! each {
        ($connection:ident, $in_time:path) => {{
            let query = sqlx::query_as::<_, (i64, String)>(statement)
                .bind(allowed.account().org.as_str())
                .bind(asked.as_of.to_string())
                .bind(asked.known_at.map_or(i64::MAX, Timestamp::as_millis))
                .bind(&q)
                .bind(&team)
                .bind(size)
                .bind(after.map(|cursor| cursor.username.as_str()).unwrap_or_default())
                .bind(key)
                .bind(after.and_then(|cursor| cursor.key.as_deref()).unwrap_or_default());
            let mut chunks = bind_reached!(query, reached).fetch($connection);
            while let Some((rows, text)) = $in_time(chunks.try_next()).await? {
                if !sink.take(Chunk::new(text, rows)).await {
                    break;
                }
            }
        }};
    }
    match access {
        Access::Sqlite(connection) => each!(connection, std::convert::identity),
        Access::Postgres(connection) => each!(connection, silence::in_time),
    }
    Ok(())
}

#[derive(sqlx::FromRow)]
struct RateColumns {
    effective_from: String,
    revision: i64,
    amount_minor: i64,
    currency: String,
    note: String,
    recorded_by: String,
    recorded_at: i64,
}

/// All rates of a person, as far as they were known at a time or are now, by day and revision.
pub(super) async fn history(
    access: Access<'_>,
    account: &Account,
    known_at: Option<Timestamp>,
) -> Result<Vec<Rate>, StoreError> {
    let rows: Vec<RateColumns> = on!(access, connection => sqlx::query_as(HISTORY)
        .bind(account.org.as_str())
        .bind(account.username.as_str())
        .bind(known_at.map_or(i64::MAX, Timestamp::as_millis))
        .fetch_all(connection))?;
    let rate = |row: RateColumns| {
        Some(Rate {
            effective_from: Day::parse(&row.effective_from)?,
            revision: row.revision,
            salary: Money::from_minor(row.amount_minor, &row.currency)?,
            note: row.note,
            recorded_by: row.recorded_by,
            recorded_at: Timestamp::from_millis(row.recorded_at),
        })
    };
    rows.into_iter().map(|row| rate(row).ok_or(StoreError::Impossible("rates"))).collect()
}

/// How many rates of a person there are, whatever their day: the version of their history.
pub async fn count(access: Access<'_>, account: &Account) -> Result<i64, StoreError> {
    Ok(on!(access, connection => sqlx::query_scalar(COUNT)
        .bind(account.org.as_str())
        .bind(account.username.as_str())
        .fetch_one(connection))?)
}

/// Makes whoever else would record a rate of the person wait until this transaction ends.
pub async fn lock(access: Access<'_>, account: &Account) -> Result<(), StoreError> {
    execute!(access, sqlx::query(LOCK).bind(account.org.as_str()).bind(account.username.as_str()))?;
    Ok(())
}

/// Records a rate of an employee whom the caller's grants of `write` reach, as the next revision of its day.
/// Gives the revision.
pub async fn record(
    access: Access<'_>,
    allowed: &Allowed<Write>,
    username: &Username,
    rate: &NewRate,
    now: Timestamp,
) -> Result<i64, StoreError> {
    let caller = allowed.account();
    Ok(on!(access, connection => sqlx::query_scalar(RECORD)
        .bind(caller.org.as_str())
        .bind(username.as_str())
        .bind(rate.effective_from.to_string())
        .bind(rate.salary.minor())
        .bind(rate.salary.currency())
        .bind(&rate.note)
        .bind(caller.username.as_str())
        .bind(now.as_millis())
        .fetch_one(connection))?)
}

/// A batch of rates of many people. It goes to the database as a JSON array of texts with columns
/// of known width, since taking arrays apart there takes several times as long: the day (10
/// characters), the currency (3), the amount in digits (16), the length of the name in digits (2),
/// the name, the note.
#[derive(Debug, Default)]
pub struct Batch {
    lines: Vec<String>,
    usernames: Vec<Username>,
}

impl Batch {
    /// Adds a rate.
    pub fn push(&mut self, username: &Username, rate: &NewRate) {
        let NewRate { effective_from, salary, note } = rate;
        let (currency, minor) = (salary.currency(), salary.minor());
        let length = username.as_str().len();
        self.lines
            .push(format!("{effective_from}{currency}{minor:016}{length:02}{username}{note}"));
        self.usernames.push(username.clone());
    }

    /// The names of the people, in the order in which their rates were added.
    pub fn usernames(&self) -> impl Iterator<Item = &str> {
        self.usernames.iter().map(Username::as_str)
    }

    /// How many rates.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn json(&self) -> Result<String, StoreError> {
        serde_json::to_string(&self.lines).map_err(|_| StoreError::Impossible("a batch of rates"))
    }
}

/// The positions in a batch of those who are no employees of the caller's org, or whom the
/// caller's grants of `write` do not reach.
pub async fn strangers(
    access: Access<'_>,
    allowed: &Allowed<Write>,
    batch: &Batch,
) -> Result<Vec<i64>, StoreError> {
    let reached = Reached::of(allowed)?;
    let statement = if reached.is_some() { STRANGERS_REACHED } else { STRANGERS };
    let json = batch.json()?;
    Ok(on!(access, connection => {
        let query = sqlx::query_scalar(statement).bind(allowed.account().org.as_str()).bind(&json);
        bind_reached!(query, reached).fetch_all(connection)
    })?)
}

/// Records a batch of rates, in which nobody has two for one day: each as the next revision of its
/// day, unless the last one is the same amount. Gives how many were recorded.
pub async fn import(
    access: Access<'_>,
    allowed: &Allowed<Write>,
    batch: &Batch,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let account = allowed.account();
    Ok(execute!(
        access,
        sqlx::query(IMPORT)
            .bind(account.org.as_str())
            .bind(batch.json()?)
            .bind(account.username.as_str())
            .bind(now.as_millis())
    )?)
}
