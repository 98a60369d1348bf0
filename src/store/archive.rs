//! Old records that go to a file: which ones, what is in them, and their removal once the file is
//! durable.

use std::borrow::Cow;
use std::collections::BTreeMap;

use futures_util::TryStreamExt;

use super::audit::{self, Action, Origin, Record};
use super::chain::{BEGINNING, Head, hex, parse_hash};
use super::stored::{Stored, columns};
use super::verify::ArchivedPart;
use super::{Access, StoreError, execute, on, silence, statements};
use crate::clock::{Clock, Day, Timestamp};

statements! {
    /// Of each chain the place before the first record that is not older.
    THROUGH = "SELECT c.chain, COALESCE((SELECT MIN(r.seq) - 1 FROM audit_records r \
                                          WHERE r.chain = c.chain AND r.at >= $1), c.length) \
               FROM audit_chains c ORDER BY c.chain";
    HASH_AT = "SELECT hash FROM audit_records WHERE chain = $1 AND seq = $2";
    /// The last record from before there were chains, and the youngest moment of those.
    LAST_OLD = "SELECT MAX(record_id), MAX(at) FROM audit_records WHERE chain IS NULL";
    /// Where the record stands that binds them.
    GENESIS = "SELECT chain, seq FROM audit_records \
               WHERE action = 'begin_chain' AND chain = 1 AND seq = 1";
    RECORDS = concat!("SELECT ", columns!(), " FROM audit_records r ORDER BY r.record_id");
    SET = "SELECT org, names FROM audit_sets WHERE set_no = $1";
    ADD_ARCHIVE = "INSERT INTO audit_archives (digest, before_day, archived_at) VALUES ($1, $2, $3)";
    ADD_PART = "INSERT INTO audit_archived (chain, through, head, digest) VALUES ($1, $2, $3, $4)";
    REMOVE = "DELETE FROM audit_records \
              WHERE EXISTS (SELECT 1 FROM audit_archived a \
                             WHERE a.digest = $1 AND a.chain = COALESCE(audit_records.chain, 0) \
                               AND a.through >= COALESCE(audit_records.seq, audit_records.record_id))";
    REMOVE_SUBJECTS = "DELETE FROM audit_subjects \
                       WHERE NOT EXISTS (SELECT 1 FROM audit_records r \
                                          WHERE r.record_id = audit_subjects.record_id)";
    LAST_DAY = "SELECT before_day FROM audit_archives ORDER BY before_day DESC LIMIT 1";
}

/// Up to which record of each chain an archive reaches, itself among them; by chain, 0 for the
/// records from before there were chains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range(BTreeMap<i64, Head>);

impl Range {
    /// From where each chain ends in it.
    pub fn new(heads: impl IntoIterator<Item = Head>) -> Self {
        Self(heads.into_iter().map(|head| (head.chain, head)).collect())
    }

    /// Where each chain ends in it.
    pub fn heads(&self) -> impl Iterator<Item = &Head> {
        self.0.values()
    }

    /// Whether it reaches no record.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a record is in it.
    pub fn holds(&self, record: &Stored) -> bool {
        let place = record.seq.unwrap_or(record.record_id);
        self.0.get(&record.chain.unwrap_or(0)).is_some_and(|head| place <= head.length)
    }
}

/// The records older than a moment, as far as they are the beginning of their chains, after those
/// that have been archived before.
pub async fn range(
    mut access: Access<'_>,
    archived: &[ArchivedPart],
    before: Timestamp,
) -> Result<Range, StoreError> {
    let through: Vec<(i64, i64)> = on!(access.reborrow(), connection => sqlx::query_as(THROUGH)
        .bind(before.as_millis())
        .fetch_all(connection))?;
    let gone = |chain: i64| {
        archived.iter().filter(|part| part.chain == chain).map(|part| part.through).max()
    };
    let mut range = Range::default();
    for (chain, length) in through {
        if length <= gone(chain).unwrap_or(0) {
            continue;
        }
        let hash: Vec<u8> = on!(access.reborrow(), connection => sqlx::query_scalar(HASH_AT)
            .bind(chain)
            .bind(length)
            .fetch_one(connection))?;
        range.0.insert(chain, Head { chain, length, hash: parse_hash(&hash)? });
    }
    // Those from before there were chains go together, and with the record that binds them.
    let (last, youngest): (Option<i64>, Option<i64>) =
        on!(access.reborrow(), connection => sqlx::query_as(LAST_OLD).fetch_one(connection))?;
    let genesis: Option<(i64, i64)> =
        on!(access, connection => sqlx::query_as(GENESIS).fetch_optional(connection))?;
    let binding =
        genesis.filter(|(chain, seq)| range.0.get(chain).is_some_and(|head| *seq <= head.length));
    match (binding, last, youngest) {
        (Some(_), Some(length), Some(at)) if at < before.as_millis() => {
            range.0.insert(0, Head { chain: 0, length, hash: BEGINNING });
        }
        // One of them is too young, which a clock that went back can make it.
        (Some((chain, _)), Some(_), _) => {
            range.0.remove(&chain);
        }
        _ => {}
    }
    Ok(range)
}

/// Hands over the records of a range by their numbers, until one is refused.
pub async fn each_record<E: From<StoreError>>(
    access: Access<'_>,
    range: &Range,
    mut take: impl FnMut(&Stored) -> Result<(), E>,
) -> Result<(), E> {
    macro_rules! each {
        ($connection:ident) => {{
            let mut records = sqlx::query_as::<_, Stored>(RECORDS).fetch($connection);
            while let Some(record) = records.try_next().await.map_err(StoreError::from)? {
                if range.holds(&record) {
                    take(&record)?;
                }
            }
        }};
    }
    match access {
        Access::Sqlite(connection) => each!(connection),
        Access::Postgres(connection) => each!(connection),
    }
    Ok(())
}

/// A set of people as it is kept: their org, and their names.
pub async fn get_set(access: Access<'_>, number: i64) -> Result<(String, String), StoreError> {
    Ok(on!(access, connection => sqlx::query_as(SET).bind(number).fetch_one(connection))?)
}

/// An archive that is durable and verified.
#[derive(Clone, Debug)]
pub struct Done {
    /// The SHA-256 of what its end signs, in hexadecimal.
    pub digest: String,
    /// What it holds.
    pub range: Range,
    /// How many records that is.
    pub records: u64,
    /// It holds none of this day or later.
    pub before: Day,
}

/// Executes one statement however long that takes: millions of records go one by one.
macro_rules! at_length {
    ($access:expr, $query:expr) => {
        match $access {
            Access::Sqlite(connection) => {
                $query.execute(connection).await.map(|done| done.rows_affected())
            }
            Access::Postgres(connection) => {
                $query.execute(connection).await.map(|done| done.rows_affected())
            }
        }
    };
}

/// Removes the records of an archive and puts that on record. Gives how many were removed: if it is
/// another number than the archive holds, the transaction must not be committed.
pub async fn remove(
    mut access: Access<'_>,
    done: &Done,
    actor: &str,
    clock: &dyn Clock,
    origin: &Origin,
) -> Result<u64, StoreError> {
    let Done { digest, range, records, before } = done;
    let began = clock.now();
    silence::let_take_long(access.reborrow()).await?;
    execute!(
        access.reborrow(),
        sqlx::query(ADD_ARCHIVE).bind(digest).bind(before.to_string()).bind(began.as_millis())
    )?;
    for head in range.heads() {
        execute!(
            access.reborrow(),
            sqlx::query(ADD_PART)
                .bind(head.chain)
                .bind(head.length)
                .bind(&head.hash[..])
                .bind(digest)
        )?;
    }
    let removed = at_length!(access.reborrow(), sqlx::query(REMOVE).bind(digest))?;
    at_length!(access.reborrow(), sqlx::query(REMOVE_SUBJECTS))?;
    let part = |head: &Head| serde_json::json!({ "chain": head.chain, "through": head.length, "head": hex(&head.hash) });
    let detail = [
        ("before", before.to_string().into()),
        ("digest", digest.as_str().into()),
        ("records", (*records).into()),
        ("began", began.as_millis().into()),
        ("chains", range.heads().map(part).collect()),
    ];
    let detail: serde_json::Map<_, _> =
        detail.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let record = Record {
        actor,
        detail: Cow::Owned(detail),
        // As late as can be, since a checkpoint that was made meanwhile does not count it.
        ..Record::by_itself(Action::ArchiveAudit, clock.now(), origin)
    };
    audit::append(access, &record).await?;
    Ok(removed)
}

/// The day before which records may be in archives; none where there is no archive.
pub async fn last_day(access: Access<'_>) -> Result<Option<Day>, StoreError> {
    let day: Option<String> =
        on!(access, connection => sqlx::query_scalar(LAST_DAY).fetch_optional(connection))?;
    day.map(|day| Day::parse(&day).ok_or(StoreError::Impossible("audit_archives"))).transpose()
}
