//! The file of an archive: JSON, one value a line. The first line says what it is. Then come the
//! sets of people that its records name, and the records by their numbers. The last line is signed
//! and says the digest of all before it, and where each chain ends.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::auth::checkpoint::{self, ChainEnd, Kind, NotSigned};
use crate::auth::keys::CheckpointKey;
use crate::auth::trusted::TrustedKeys;
use crate::clock::{Day, Timestamp};
use crate::files;
use crate::store::StoreError;
use crate::store::archive::Range;
use crate::store::chain::{Hash, hash_of_set, hex};
use crate::store::stored::Stored;
use crate::store::verify::{Checker, Flaw};

/// Which format it is.
const FORMAT: &str = "stipend-archive-1";
/// The longest line, in bytes. None that is written comes near.
const LONGEST_LINE: u64 = 64 << 20;
/// The longest last line: one of tens of thousands of chains.
const LONGEST_END: u64 = 16 << 20;

/// A line of the file, but for the last.
#[derive(Deserialize, Serialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    Head { format: String, before: String, at: i64 },
    Set { set: i64, org: String, names: Vec<String> },
    Record { record: Box<Stored> },
}

/// What the last line signs.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct End {
    digest: String,
    before: String,
    at: String,
    records: u64,
    /// Chain 0 are the records from before there were chains.
    chains: Vec<ChainEnd>,
}

/// A file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be {} ({error})", .path.display(), .done)]
pub struct FileError {
    path: PathBuf,
    done: &'static str,
    error: io::Error,
}

fn failed(path: &Path, done: &'static str) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |error| FileError { path, done, error }
}

/// An archive that is being written, under another name until it is whole.
pub(super) struct Writer {
    file: BufWriter<NamedTempFile>,
    digest: Context,
    sets: HashSet<i64>,
    records: u64,
    before: Day,
    at: Timestamp,
}

impl Writer {
    /// Begins a file that only its owner can read.
    pub(super) fn begin(path: &Path, before: Day, at: Timestamp) -> Result<Self, FileError> {
        let name = path.file_name().unwrap_or_default();
        let mut prefix = name.to_owned();
        prefix.push(".");
        // A name of its own, so that it never takes the place of anything; gone if it is not finished.
        let part = tempfile::Builder::new()
            .prefix(&prefix)
            .suffix(".part")
            .tempfile_in(files::folder_of(path))
            .map_err(failed(path, "written"))?;
        let mut writer = Self {
            file: BufWriter::new(part),
            digest: Context::new(&SHA256),
            sets: HashSet::new(),
            records: 0,
            before,
            at,
        };
        let format = FORMAT.to_owned();
        writer.put(&Line::Head { format, before: before.to_string(), at: at.as_millis() })?;
        Ok(writer)
    }

    /// The sets of a record that are not in the file yet.
    pub(super) fn new_sets(&mut self, numbers: &[i64]) -> Vec<i64> {
        numbers.iter().copied().filter(|number| self.sets.insert(*number)).collect()
    }

    pub(super) fn set(&mut self, set: i64, org: String, names: &str) -> Result<(), FileError> {
        let names: Result<Vec<String>, _> = serde_json::from_str(names);
        let names = names
            .map_err(io::Error::from)
            .map_err(failed(self.file.get_ref().path(), "written"))?;
        self.put(&Line::Set { set, org, names })
    }

    pub(super) fn record(&mut self, record: &Stored) -> Result<(), FileError> {
        self.records += 1;
        self.put(&Line::Record { record: Box::new(record.clone()) })
    }

    fn put(&mut self, line: &Line) -> Result<(), FileError> {
        let mut text = serde_json::to_vec(line)
            .map_err(|e| failed(self.file.get_ref().path(), "written")(e.into()))?;
        text.push(b'\n');
        self.digest.update(&text);
        self.file.write_all(&text).map_err(failed(self.file.get_ref().path(), "written"))
    }

    /// Signs it, and gives it its name once it is durable. Gives its digest and its records.
    pub(super) fn finish(
        self,
        path: &Path,
        range: &Range,
        key: &CheckpointKey,
    ) -> Result<Result<(String, u64), FileError>, StoreError> {
        let digest = hex(self.digest.clone().finish().as_ref());
        let end = End {
            digest: digest.clone(),
            before: self.before.to_string(),
            at: self.at.to_string(),
            records: self.records,
            chains: range.heads().map(ChainEnd::from).collect(),
        };
        let line = checkpoint::sign(key, Kind::Archive, &end)?;
        let records = self.records;
        Ok(self.put_into_place(&line, path).map(|()| (digest, records)))
    }

    fn put_into_place(mut self, line: &str, path: &Path) -> Result<(), FileError> {
        writeln!(self.file, "{line}")
            .and_then(|()| self.file.flush())
            .and_then(|()| self.file.get_ref().as_file().sync_all())
            .map_err(failed(self.file.get_ref().path(), "written"))?;
        let file = self.file.into_inner().map_err(|error| failed(path, "written")(error.into()))?;
        // Not over another archive that took the name meanwhile: its records are nowhere else.
        file.persist_noclobber(path).map_err(|error| failed(path, "written")(error.error))?;
        files::sync_folder_of(path).map_err(failed(path, "written"))
    }
}

/// An archive that was read to its end.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) digest: String,
    pub(super) records: u64,
    /// The key that signed its end.
    pub(super) kid: String,
}

/// A file is no whole archive.
#[derive(Debug, thiserror::Error)]
pub enum BadArchive {
    /// It could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It was changed, or a record in it was.
    #[error("{0}")]
    Flaw(Flaw),
}

/// Which archive a file says that it is, by its first line and its last, which nobody has verified yet.
pub(super) fn digest_of(path: &Path) -> Result<String, BadArchive> {
    let file = File::open(path).map_err(failed(path, "read"))?;
    let length = file.metadata().map_err(failed(path, "read"))?.len();
    let mut file = BufReader::new(file);
    let mut text = Vec::new();
    read_line(&mut file, &mut text).map_err(failed(path, "read"))?;
    match serde_json::from_slice(&text) {
        Ok(Line::Head { format, .. }) if format == FORMAT => {}
        _ => return Err(flaw(path, "it is no archive of the audit trail")),
    }
    file.seek(SeekFrom::Start(length.saturating_sub(LONGEST_END))).map_err(failed(path, "read"))?;
    text.clear();
    file.take(LONGEST_END).read_to_end(&mut text).map_err(failed(path, "read"))?;
    let last = text.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let end: Option<End> = std::str::from_utf8(last).ok().and_then(checkpoint::unverified);
    end.map(|end| end.digest).ok_or_else(|| flaw(path, "its end is missing"))
}

/// Reads a line with what ends it; an error for one that is longer than any that is written.
fn read_line(file: &mut impl BufRead, text: &mut Vec<u8>) -> io::Result<usize> {
    let read = file.take(LONGEST_LINE).read_until(b'\n', text)?;
    if text.len() as u64 == LONGEST_LINE && !text.ends_with(b"\n") {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"));
    }
    Ok(read)
}

/// Hands every record to the checker, and then verifies what the last line signs.
pub(super) fn check(
    path: &Path,
    keys: &TrustedKeys,
    checker: &mut Checker,
) -> Result<Checked, BadArchive> {
    let mut file = BufReader::new(File::open(path).map_err(failed(path, "read"))?);
    let mut digest = Context::new(&SHA256);
    let mut sets: HashMap<i64, Hash> = HashMap::new();
    let (mut records, mut text, mut number) = (0, Vec::new(), 0_u64);
    loop {
        text.clear();
        number += 1;
        if read_line(&mut file, &mut text).map_err(failed(path, "read"))? == 0 {
            return Err(flaw(path, "its end is missing"));
        }
        if !text.starts_with(b"{") {
            break;
        }
        digest.update(&text);
        match serde_json::from_slice(&text) {
            Ok(Line::Head { .. }) if number == 1 => {}
            Ok(Line::Set { set, org, names }) if number > 1 => {
                let names = serde_json::to_string(&names)
                    .map_err(|_| flaw(path, format!("line {number} cannot be read")))?;
                sets.insert(set, hash_of_set(&org, &names));
            }
            Ok(Line::Record { record }) if number > 1 => {
                records += 1;
                checker.take(&record, |set| sets.get(&set).copied()).map_err(|found| {
                    let what = format!("in {}: {}", path.display(), found.what);
                    BadArchive::Flaw(Flaw { what, ..found })
                })?;
            }
            _ => return Err(flaw(path, format!("line {number} cannot be read"))),
        }
    }
    let line = std::str::from_utf8(&text).unwrap_or_default().trim_end();
    let signed = checkpoint::verify(line, Kind::Archive, keys);
    let signed = signed.map_err(|error: NotSigned| flaw(path, format!("its end: {error}")))?;
    let end: End = serde_json::from_slice(&signed.payload)
        .map_err(|_| flaw(path, "its end cannot be read"))?;
    text.clear();
    if read_line(&mut file, &mut text).map_err(failed(path, "read"))? != 0 {
        return Err(flaw(path, "something was added behind its end"));
    }
    let found = hex(digest.finish().as_ref());
    if found != end.digest || records != end.records {
        return Err(flaw(path, "it is not what was signed: it was changed"));
    }
    Ok(Checked { digest: found, records, kid: signed.kid })
}

fn flaw(path: &Path, what: impl std::fmt::Display) -> BadArchive {
    BadArchive::Flaw(Flaw::of(format!("{}: {what}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_archive_is_written_over_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.jsonl");
        let at = Timestamp::from_millis(0);
        let key = CheckpointKey::of_seed(&[7; 32]);
        let beside = folder.path().join("old.jsonl.part");
        std::fs::write(&beside, "another file").unwrap();
        let first = Writer::begin(&path, at.day(), at).unwrap();
        std::fs::write(&path, "the records of another archive").unwrap();
        assert!(first.finish(&path, &Range::default(), &key).unwrap().is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "the records of another archive");
        std::fs::remove_file(&path).unwrap();
        let second = Writer::begin(&path, at.day(), at).unwrap();
        assert!(second.finish(&path, &Range::default(), &key).unwrap().is_ok());
        assert!(std::fs::read_to_string(&path).unwrap().contains(FORMAT));
        assert_eq!(std::fs::read_to_string(&beside).unwrap(), "another file");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2, "nothing is left behind");
    }

    #[test]
    fn what_is_no_archive_is_told_and_not_read_into_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.jsonl");
        let file = File::create(&path).unwrap();
        file.set_len(4 << 30).unwrap();
        let error = digest_of(&path).unwrap_err();
        assert!(error.to_string().contains("a line is too long"), "{error}");
    }
}
