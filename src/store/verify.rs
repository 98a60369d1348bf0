//! Whether the trail in the database is whole: its records are handed to a [`Checker`], and the
//! sets of people and the indexes over them are compared with what they should say.

use std::collections::HashMap;

use futures_util::TryStreamExt;

use super::chain::{Cutter, Hash, Head, Set, hash_of_set, parse_hash};
pub use super::checker::{ArchivedPart, Checker, Flaw, Kept, NamedArchive, TOLERANCE};
use super::stored::{Stored, columns, each_name};
use super::{Access, StoreError, guards, on, statements};

statements! {
    HEADS = "SELECT chain, length, head FROM audit_chains ORDER BY chain";
    RECORDS = concat!("SELECT ", columns!(), " FROM audit_records r ORDER BY r.record_id");
    SETS = "SELECT set_no, org, hash, names FROM audit_sets ORDER BY set_no";
    ARCHIVES = "SELECT a.digest, a.before_day, p.chain, p.through, p.head, a.archived_at \
                FROM audit_archives a JOIN audit_archived p ON p.digest = a.digest \
                ORDER BY a.archive_no, p.chain";
    /// An archive of nothing.
    EMPTY_ARCHIVE = "SELECT a.archive_no, a.digest FROM audit_archives a \
                     WHERE NOT EXISTS (SELECT 1 FROM audit_archived p WHERE p.digest = a.digest) \
                     ORDER BY a.archive_no LIMIT 1";
    /// A part of an archive that there is not.
    STRANGE_PART = "SELECT p.chain, p.digest FROM audit_archived p \
                    WHERE NOT EXISTS (SELECT 1 FROM audit_archives a WHERE a.digest = p.digest) \
                    ORDER BY p.chain, p.through LIMIT 1";
    /// The first records from before there were chains after a number.
    OLD_RECORDS = "SELECT record_id, org, names FROM audit_records \
                   WHERE chain IS NULL AND record_id > $1 ORDER BY record_id LIMIT 100";
    COUNT_MEMBERS = "SELECT COUNT(*) FROM audit_set_members";
    /// A name of a set by which the set is not found.
    LOST_MEMBER = "SELECT s.set_no, CAST(j.value AS TEXT) FROM audit_sets s, json_each(s.names) j \
                   WHERE NOT EXISTS (SELECT 1 FROM audit_set_members m \
                                      WHERE m.org = s.org AND m.username = CAST(j.value AS TEXT) \
                                        AND m.set_no = s.set_no) \
                   ORDER BY s.set_no LIMIT 1";
    /// A name by which a set is found that it does not hold.
    STRANGE_MEMBER = "SELECT m.set_no, m.username FROM audit_set_members m \
                      WHERE NOT EXISTS (SELECT 1 FROM audit_sets s, json_each(s.names) j \
                                         WHERE s.set_no = m.set_no AND s.org = m.org \
                                           AND CAST(j.value AS TEXT) = m.username) \
                      ORDER BY m.set_no LIMIT 1";
    COUNT_SUBJECTS = "SELECT COUNT(*) FROM audit_subjects";
    /// A record that is not found by one of its sets.
    LOST_SUBJECT = "SELECT r.record_id, CAST(j.value AS BIGINT) \
                    FROM audit_records r, json_each(r.sets) j \
                    WHERE NOT EXISTS (SELECT 1 FROM audit_subjects s \
                                       WHERE s.set_no = CAST(j.value AS BIGINT) \
                                         AND s.record_id = r.record_id) \
                    ORDER BY r.record_id LIMIT 1";
    /// A record that is found by a set which it does not name.
    STRANGE_SUBJECT = "SELECT s.record_id, s.set_no FROM audit_subjects s \
                       WHERE NOT EXISTS (SELECT 1 FROM audit_records r, json_each(r.sets) j \
                                          WHERE r.record_id = s.record_id \
                                            AND CAST(j.value AS BIGINT) = s.set_no) \
                         AND NOT EXISTS (SELECT 1 FROM audit_records r \
                                          WHERE r.record_id = s.record_id AND r.chain IS NULL) \
                       ORDER BY s.record_id LIMIT 1";
    SUBJECTS_OF = "SELECT set_no FROM audit_subjects WHERE record_id = $1";
}

/// Verification ended early.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The trail is not whole.
    #[error("{0}")]
    Flaw(Flaw),
    /// The database could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Flaw> for Broken {
    fn from(flaw: Flaw) -> Self {
        Self::Flaw(flaw)
    }
}

impl From<sqlx::Error> for Broken {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Where each chain ends.
pub async fn heads(access: Access<'_>) -> Result<Vec<Head>, StoreError> {
    let rows: Vec<(i64, i64, Vec<u8>)> =
        on!(access, connection => sqlx::query_as(HEADS).fetch_all(connection))?;
    let head = |(chain, length, hash): (i64, i64, Vec<u8>)| {
        Ok(Head { chain, length, hash: parse_hash(&hash)? })
    };
    rows.into_iter().map(head).collect()
}

/// What archives have taken away, the oldest first.
pub async fn archived(access: Access<'_>) -> Result<Vec<ArchivedPart>, StoreError> {
    type Row = (String, String, i64, i64, Vec<u8>, i64);
    let rows: Vec<Row> = on!(access, connection => sqlx::query_as(ARCHIVES).fetch_all(connection))?;
    let part = |(digest, before, chain, through, head, archived_at): Row| {
        Ok(ArchivedPart { digest, before, chain, through, head: parse_hash(&head)?, archived_at })
    };
    rows.into_iter().map(part).collect()
}

/// What verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where each chain ends.
    pub heads: Vec<Head>,
    /// How many records there are, those in archives among them.
    pub records: u64,
    /// How many sets of people.
    pub sets: u64,
}

/// Follows the rest of the chains through the database, from one snapshot, and compares the indexes
/// by which people are found with what they index: in tables that are what they were, so that readers of the
/// trail see what is verified. `progress` is told now and then how many records
/// are done.
pub async fn verify(
    mut access: Access<'_>,
    mut checker: Checker,
    mut progress: impl FnMut(u64),
) -> Result<Found, Broken> {
    if let Some(what) = guards::find_alteration(access.reborrow()).await? {
        return Err(Flaw::of(what).into());
    }
    let chains = heads(access.reborrow()).await?;
    let sets = check_sets(access.reborrow()).await?;
    let mut references = 0_u64;
    macro_rules! each {
        ($connection:ident) => {{
            let mut records = sqlx::query_as::<_, Stored>(RECORDS).fetch($connection);
            while let Some(record) = records.try_next().await? {
                checker.take(&record, |number| sets.hash_of(number))?;
                if record.chain.is_some() {
                    references += record.set_numbers()?.len() as u64;
                }
                if checker.records() % 10_000 == 0 {
                    progress(checker.records());
                }
            }
        }};
    }
    match access.reborrow() {
        Access::Sqlite(connection) => each!(connection),
        Access::Postgres(connection) => each!(connection),
    }
    checker.check_archives(&chains)?;
    if let Some((_, digest)) = pair::<String>(access.reborrow(), EMPTY_ARCHIVE).await? {
        let what = format!("audit_archives holds the archive {digest}, which no record names");
        return Err(Flaw::of(what).into());
    }
    let (heads, records) = (checker.heads(), checker.records());
    checker.finish(&chains)?;
    if let Some((_, digest)) = pair::<String>(access.reborrow(), STRANGE_PART).await? {
        let what = format!("audit_archived says something of {digest}, which is no archive");
        return Err(Flaw::of(what).into());
    }
    references += check_old(access.reborrow(), &sets).await?;
    check_indexes(access, &sets, references).await?;
    Ok(Found { heads, records, sets: sets.hashes.len() as u64 })
}

/// The sets of people that records name.
#[derive(Debug)]
pub struct Sets {
    hashes: HashMap<i64, Hash>,
    names: u64,
}

impl Sets {
    /// The hash of the set of a number.
    pub fn hash_of(&self, number: i64) -> Option<Hash> {
        self.hashes.get(&number).copied()
    }
}

/// The sets, of which every one is what its hash says.
pub async fn check_sets(access: Access<'_>) -> Result<Sets, Broken> {
    let mut sets = Sets { hashes: HashMap::new(), names: 0 };
    macro_rules! each {
        ($connection:ident) => {{
            let mut rows =
                sqlx::query_as::<_, (i64, String, Vec<u8>, String)>(SETS).fetch($connection);
            while let Some((number, org, hash, names)) = rows.try_next().await? {
                let hash = parse_hash(&hash)?;
                if hash_of_set(&org, &names) != hash {
                    return Err(
                        Flaw::of(format!("the people of the set {number} were changed")).into()
                    );
                }
                // Else the index could say something else, and be as long as it should.
                if !is_canonical(&names) {
                    let what = format!("the set {number} is no list of names in their order");
                    return Err(Flaw::of(what).into());
                }
                sets.names += each_name(&names).count() as u64;
                sets.hashes.insert(number, hash);
            }
        }};
    }
    match access {
        Access::Sqlite(connection) => each!(connection),
        Access::Postgres(connection) => each!(connection),
    }
    Ok(sets)
}

/// Whether a set's names are written as [`Cutter`] writes them: sorted, each once, nothing escaped.
fn is_canonical(names: &str) -> bool {
    let is_plain = |name: &str| !name.contains(|c: char| c == '"' || c == '\\' || c.is_control());
    let has_form = names.len() >= 4 && names.starts_with("[\"") && names.ends_with("\"]");
    has_form && each_name(names).all(is_plain) && each_name(names).is_sorted_by(|a, b| a < b)
}

/// Every record from before there were chains is found by the sets of those whom it names, and by no
/// others. Gives how many they are.
async fn check_old(mut access: Access<'_>, sets: &Sets) -> Result<u64, Broken> {
    let (mut references, mut after) = (0, 0_i64);
    loop {
        let records: Vec<(i64, String, String)> = on!(access.reborrow(), connection =>
            sqlx::query_as(OLD_RECORDS).bind(after).fetch_all(connection))?;
        let Some((last, _, _)) = records.last() else { return Ok(references) };
        after = *last;
        for (record_id, org, names) in &records {
            references += check_one(access.reborrow(), sets, *record_id, org, names).await?;
        }
    }
}

async fn check_one(
    access: Access<'_>,
    sets: &Sets,
    record_id: i64,
    org: &str,
    names: &str,
) -> Result<u64, Broken> {
    let unreadable =
        || Flaw { record_id: Some(record_id), ..Flaw::of("whom it names cannot be read") };
    let mut names: Vec<String> = serde_json::from_str(names).map_err(|_| unreadable())?;
    names.sort_unstable();
    names.dedup();
    let mut cutter = Cutter::new(org);
    let mut expected: Vec<Set> = names.iter().filter_map(|name| cutter.push(name)).collect();
    expected.extend(cutter.finish());
    let found: Vec<i64> = on!(access, connection => sqlx::query_scalar(SUBJECTS_OF)
        .bind(record_id)
        .fetch_all(connection))?;
    let found: Vec<Option<&Hash>> = found.iter().map(|number| sets.hashes.get(number)).collect();
    let is_there = expected.iter().all(|set| found.contains(&Some(&set.hash)));
    if is_there && found.len() == expected.len() {
        return Ok(expected.len() as u64);
    }
    let what = "it is not found by whom it names: audit_subjects was changed";
    Err(Flaw { record_id: Some(record_id), ..Flaw::of(what) }.into())
}

/// The two indexes say what the sets and the records say, and no more: else somebody's look could
/// be hidden from whoever asks who has looked.
async fn check_indexes(mut access: Access<'_>, sets: &Sets, references: u64) -> Result<(), Broken> {
    let members = number(access.reborrow(), COUNT_MEMBERS).await?;
    if let Some((set, name)) = pair::<String>(access.reborrow(), LOST_MEMBER).await? {
        let what = format!("the set {set} is not found by {name}: audit_set_members was changed");
        return Err(Flaw::of(what).into());
    }
    if members != sets.names {
        let found = pair::<String>(access.reborrow(), STRANGE_MEMBER).await?;
        let what = match found {
            Some((set, name)) => format!("the set {set} is found by {name}, whom it does not hold"),
            None => "a set holds somebody twice".to_owned(),
        };
        return Err(Flaw::of(what).into());
    }
    if let Some((record_id, set)) = pair::<i64>(access.reborrow(), LOST_SUBJECT).await? {
        let what = format!("it is not found by its set {set}: audit_subjects was changed");
        return Err(Flaw { record_id: Some(record_id), ..Flaw::of(what) }.into());
    }
    if number(access.reborrow(), COUNT_SUBJECTS).await? != references {
        let found = pair::<i64>(access.reborrow(), STRANGE_SUBJECT).await?;
        let flaw = match found {
            Some((record_id, set)) => Flaw {
                record_id: Some(record_id),
                ..Flaw::of(format!("it is found by the set {set}, which it does not name"))
            },
            None => Flaw::of("audit_subjects does not say what the records say"),
        };
        return Err(flaw.into());
    }
    Ok(())
}

async fn number(access: Access<'_>, statement: &'static str) -> Result<u64, Broken> {
    let number: i64 =
        on!(access, connection => sqlx::query_scalar(statement).fetch_one(connection))?;
    Ok(u64::try_from(number).map_err(|_| StoreError::Impossible("a count"))?)
}

/// A row of a number and something, if there is one.
async fn pair<T>(access: Access<'_>, statement: &'static str) -> Result<Option<(i64, T)>, Broken>
where
    T: Send + Unpin + sqlx::Type<sqlx::Sqlite> + sqlx::Type<sqlx::Postgres>,
    T: for<'r> sqlx::Decode<'r, sqlx::Sqlite> + for<'r> sqlx::Decode<'r, sqlx::Postgres>,
{
    Ok(on!(access, connection => sqlx::query_as(statement).fetch_optional(connection))?)
}

#[cfg(test)]
mod tests {
    use super::is_canonical;

    #[test]
    fn a_set_is_written_in_one_way_only() {
        for good in [r#"["ann"]"#, r#"["ann","bob"]"#] {
            assert!(is_canonical(good), "{good}");
        }
        for bad in [
            "",
            "[]",
            r#"["]"#,
            r#"["zz","zz"]"#,
            r#"["bob","ann"]"#,
            r#"["ann", "bob"]"#,
            r#"["a\u006en"]"#,
            r#" ["ann"]"#,
        ] {
            assert!(!is_canonical(bad), "{bad}");
        }
    }
}
