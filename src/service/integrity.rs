//! Whether the trail is whole, and the moving of old records to a file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Act;
use super::archive_file::{self, BadArchive, FileError, Writer};
use crate::auth::Keys;
use crate::auth::checkpoint::{Checkpoint, NotSigned};
use crate::auth::keys::CheckpointKey;
use crate::auth::trusted::{BadKeys, TrustedKeys};
use crate::clock::{Day, Timestamp};
use crate::store::archive::{self, Done, Range};
use crate::store::audit::OPERATOR;
use crate::store::chain::Head;
use crate::store::stored::Stored;
use crate::store::verify::{self, ArchivedPart, Broken, Checker, Flaw, Found, Kept};
use crate::store::{StoreError, Tx};

/// What the trail is verified against beside itself.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Kept checkpoints: the name of where they were kept, and the text, one a line.
    pub kept: Option<(String, String)>,
    /// The kept set of public keys, by which alone checkpoints and archives are believed: the name of
    /// where it was kept, and the text. Without it, those of the database are, which whoever rewrites
    /// the trail can change as well.
    pub keys: Option<(String, String)>,
    /// The archives.
    pub archives: Vec<PathBuf>,
}

/// The trail was not verified.
#[derive(Debug, thiserror::Error)]
pub enum NotVerified {
    /// It is not whole.
    #[error("{0}")]
    Flaw(Flaw),
    /// There is nothing in what was to be kept, or something else.
    #[error("{0}")]
    NoEvidence(String),
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The database could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Broken> for NotVerified {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Flaw(flaw) => Self::Flaw(flaw),
            Broken::Store(error) => Self::Store(error),
        }
    }
}

impl From<Flaw> for NotVerified {
    fn from(flaw: Flaw) -> Self {
        Self::Flaw(flaw)
    }
}

impl From<BadKeys> for NotVerified {
    fn from(bad: BadKeys) -> Self {
        match bad {
            BadKeys::Malformed(what) => Self::NoEvidence(what),
            BadKeys::Differs(what) => Self::Flaw(Flaw::of(what)),
        }
    }
}

impl From<BadArchive> for NotVerified {
    fn from(bad: BadArchive) -> Self {
        match bad {
            BadArchive::File(error) => Self::File(error),
            BadArchive::Flaw(flaw) => Self::Flaw(flaw),
        }
    }
}

/// A trail that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it consists of.
    pub found: Found,
    /// The keys that signed the checkpoints and archives it was verified against.
    pub signers: BTreeSet<String>,
    /// Those of the database that the kept set does not hold: they were added since, by somebody.
    pub keys_not_kept: Vec<String>,
}

/// Verifies the whole trail, as it is at one moment: every record's hash, the chains from their
/// beginning, through the archives, to their ends, the sets of people and the indexes over them; and
/// that what kept checkpoints say of it is still so. No secret is needed.
pub async fn verify(
    act: Act<'_>,
    evidence: &Evidence,
    progress: impl FnMut(u64),
) -> Result<Verified, NotVerified> {
    let mut snapshot = act.db.snapshot().await?;
    let own = TrustedKeys::of_database(snapshot.access()).await?;
    let keys = match &evidence.keys {
        Some((name, text)) => TrustedKeys::of_file(name, text, &own)?,
        None => own.clone(),
    };
    let mut signers = BTreeSet::new();
    let kept = match &evidence.kept {
        Some((name, text)) => kept(name, text, &keys, &mut signers)?,
        None => Vec::new(),
    };
    let archived = verify::archived(snapshot.access()).await?;
    let mut checker = Checker::new(kept, archived.clone());
    for path in in_order(&evidence.archives, &archived)? {
        signers.insert(archive_file::check(path, &keys, &mut checker)?.kid);
    }
    let found = verify::verify(snapshot.access(), checker, progress).await?;
    let keys_not_kept = own.not_among(&keys).map(str::to_owned).collect();
    Ok(Verified { found, signers, keys_not_kept })
}

/// The archives in the order in which they took their records away, whatever the clocks said.
fn in_order<'a>(
    paths: &'a [PathBuf],
    archived: &[ArchivedPart],
) -> Result<Vec<&'a PathBuf>, NotVerified> {
    let mut found = Vec::new();
    for path in paths {
        let digest = archive_file::digest_of(path)?;
        let position = archived.iter().position(|part| part.digest == digest).ok_or_else(|| {
            Flaw::of(format!(
                "{}: no record was removed for this archive, or it is of another database",
                path.display()
            ))
        })?;
        found.push((position, path));
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// What kept checkpoints say: lines of their own, or lines of the server's log.
fn kept(
    name: &str,
    text: &str,
    keys: &TrustedKeys,
    signers: &mut BTreeSet<String>,
) -> Result<Vec<Kept>, NotVerified> {
    let mut kept = Vec::new();
    let is_log = text.lines().any(|line| log_entry(line).is_some());
    for (at, line) in text.lines().enumerate() {
        let place = format!("{name}:{}", at + 1);
        let entry = log_entry(line);
        let line = match &entry {
            Some(entry) => match entry.get("checkpoint").and_then(Value::as_str) {
                Some(line) => line,
                None => continue,
            },
            None if line.trim().is_empty() => continue,
            None => line.trim(),
        };
        let bad = |what: String| Flaw::of(format!("{place}: {what}"));
        let (checkpoint, signed) = match Checkpoint::verify(line, keys) {
            Ok(verified) => verified,
            // What others write between the lines of a log, and the rest of a line that was cut.
            Err(NotSigned::Malformed(_)) if is_log && entry.is_none() => continue,
            Err(error @ NotSigned::Malformed(_)) => {
                return Err(NotVerified::NoEvidence(format!("{place}: {error}")));
            }
            Err(error) => return Err(bad(error.to_string()).into()),
        };
        let heads: Option<Vec<Head>> = checkpoint.chains.iter().map(|end| end.head()).collect();
        kept.push(Kept {
            from: format!("the checkpoint {place} of {}", checkpoint.at),
            at: signed.at.as_millis(),
            heads: heads.ok_or_else(|| bad("it holds what is no hash".to_owned()))?,
            names_all: checkpoint.of.is_none(),
            key_has_ended: signed.key_has_ended,
        });
        signers.insert(signed.kid);
    }
    if kept.is_empty() {
        return Err(NotVerified::NoEvidence(format!("there is no checkpoint in {name}")));
    }
    Ok(kept)
}

/// A line of the server's log, which whatever collected it may have put its own words before.
fn log_entry(line: &str) -> Option<Value> {
    serde_json::from_str(line.get(line.find('{')?..)?).ok()
}

/// Nothing was archived. Nothing was removed.
#[derive(Debug, thiserror::Error)]
pub enum NotArchived {
    /// The day has not come.
    #[error("records of today and later stay: the day is at most {0}")]
    TooLate(Day),
    /// There is such a file.
    #[error("{} is there already: give another name", .0.display())]
    Exists(PathBuf),
    /// No key signs.
    #[error("no key signs checkpoints: stipend key list")]
    NoKey,
    /// The trail is not whole, or the file is not what was written.
    #[error("{0}")]
    Flaw(Flaw),
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Somebody else archived meanwhile.
    #[error("other records were there when they were to be removed: try again with another file")]
    Changed,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Broken> for NotArchived {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Flaw(flaw) => Self::Flaw(flaw),
            Broken::Store(error) => Self::Store(error),
        }
    }
}

impl From<BadArchive> for NotArchived {
    fn from(bad: BadArchive) -> Self {
        match bad {
            BadArchive::File(error) => Self::File(error),
            BadArchive::Flaw(flaw) => Self::Flaw(flaw),
        }
    }
}

/// Moves the records from before a day to a file that must not be there yet: writes it, makes it
/// durable, reads it back and verifies it, and only then removes them from the database, in one
/// transaction with the record that names the file's digest. Gives none where there are no such
/// records.
pub async fn archive(
    act: Act<'_>,
    keys: &Keys,
    before: Day,
    file: &Path,
) -> Result<Option<Done>, NotArchived> {
    let now = act.now();
    if before > now.day() {
        return Err(NotArchived::TooLate(now.day()));
    }
    if file.symlink_metadata().is_ok() {
        return Err(NotArchived::Exists(file.to_owned()));
    }
    let ring = keys.ring();
    let key = ring.checkpoint_key().ok_or(NotArchived::NoKey)?;
    let mut snapshot = act.db.snapshot().await?;
    let public = TrustedKeys::of_database(snapshot.access()).await?;
    let archived = verify::archived(snapshot.access()).await?;
    let range = archive::range(snapshot.access(), &archived, before.start()).await?;
    if range.is_empty() {
        return Ok(None);
    }
    let mut checker = Checker::after(&archived);
    check_range(&mut snapshot, &range, &mut checker).await?;
    let (digest, records) = write(&mut snapshot, &range, file, before, now, key).await?;
    drop(snapshot);

    let mut reread = Checker::after(&archived);
    let checked = archive_file::check(file, &public, &mut reread)?;
    let is_same = checked.digest == digest && checked.records == records;
    if !is_same || reread.heads() != checker.heads() {
        return Err(NotArchived::Flaw(Flaw::of(format!("{} was changed", file.display()))));
    }
    let done = Done { digest, range, records, before };
    let mut tx = act.db.begin().await?;
    let removed =
        archive::remove(tx.access(), &done, OPERATOR, act.ports.clock.as_ref(), act.origin).await?;
    if removed != done.records {
        return Err(NotArchived::Changed);
    }
    tx.commit().await?;
    Ok(Some(done))
}

/// What is not whole is not archived: a fault would be harder to find there.
async fn check_range(
    snapshot: &mut Tx,
    range: &Range,
    checker: &mut Checker,
) -> Result<(), NotArchived> {
    let sets = verify::check_sets(snapshot.access()).await?;
    let checked: Result<(), Broken> = archive::each_record(snapshot.access(), range, |record| {
        Ok(checker.take(record, |number| sets.hash_of(number))?)
    })
    .await;
    checked?;
    checker.check_old().map_err(NotArchived::Flaw)?;
    for head in range.heads().filter(|head| head.chain > 0) {
        if !checker.heads().contains(head) {
            return Err(NotArchived::Flaw(Flaw::at(
                head.chain,
                head.length,
                "the chain does not lead to this record",
            )));
        }
    }
    Ok(())
}

async fn write(
    snapshot: &mut Tx,
    range: &Range,
    file: &Path,
    before: Day,
    now: Timestamp,
    key: &CheckpointKey,
) -> Result<(String, u64), NotArchived> {
    let mut writer = Writer::begin(file, before, now)?;
    // Sets first: a statement can be asked only when no other is under way.
    let mut numbers = Vec::new();
    let collected: Result<(), NotArchived> =
        archive::each_record(snapshot.access(), range, |record: &Stored| {
            numbers.extend(writer.new_sets(&record.set_numbers()?));
            Ok(())
        })
        .await;
    collected?;
    for number in numbers {
        let (org, names) = archive::get_set(snapshot.access(), number).await?;
        writer.set(number, org, &names)?;
    }
    let written: Result<(), NotArchived> =
        archive::each_record(snapshot.access(), range, |record| Ok(writer.record(record)?)).await;
    written?;
    Ok(writer.finish(file, range, key)??)
}
