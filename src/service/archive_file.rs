//! The file of an archive: JSON, one value a line. The first line says what it is. Then come the
//! sets of people that its records name, and the records by their numbers. The last line is signed
//! and says the digest of all before it, and where each chain ends.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

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
    file: BufWriter<File>,
    part: PathBuf,
    digest: Context,
    sets: HashSet<i64>,
    records: u64,
    before: Day,
    at: Timestamp,
}

impl Writer {
    /// Begins a file that only its owner can read.
    pub(super) fn begin(path: &Path, before: Day, at: Timestamp) -> Result<Self, FileError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let part = path.with_file_name(name);
        // What an earlier run left that was cut short: it was never an archive.
        match std::fs::remove_file(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(&part, "removed")(error));
            }
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part);
        let mut writer = Self {
            file: BufWriter::new(file.map_err(failed(&part, "written"))?),
            part,
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
        let names = names.map_err(io::Error::from).map_err(failed(&self.part, "written"))?;
        self.put(&Line::Set { set, org, names })
    }

    pub(super) fn record(&mut self, record: &Stored) -> Result<(), FileError> {
        self.records += 1;
        self.put(&Line::Record { record: Box::new(record.clone()) })
    }

    fn put(&mut self, line: &Line) -> Result<(), FileError> {
        let mut text =
            serde_json::to_vec(line).map_err(|e| failed(&self.part, "written")(e.into()))?;
        text.push(b'\n');
        self.digest.update(&text);
        self.file.write_all(&text).map_err(failed(&self.part, "written"))
    }

    /// Signs it, and gives it its name once it is durable. Gives its digest and its records.
    pub(super) fn finish(
        mut self,
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
        Ok(self.put_into_place(&line, path).map(|()| (digest, self.records)))
    }

    fn put_into_place(&mut self, line: &str, path: &Path) -> Result<(), FileError> {
        let written = writeln!(self.file, "{line}")
            .and_then(|()| self.file.flush())
            .and_then(|()| self.file.get_ref().sync_all());
        written.map_err(failed(&self.part, "written"))?;
        // Not over another archive that took the name meanwhile: its records are nowhere else.
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .and_then(|_| std::fs::rename(&self.part, path))
            .map_err(failed(path, "written"))?;
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

/// When an archive was made, by its first line.
pub(super) fn made_at(path: &Path) -> Result<i64, BadArchive> {
    let mut first = String::new();
    let file = File::open(path).map_err(failed(path, "read"))?;
    BufReader::new(file).read_line(&mut first).map_err(failed(path, "read"))?;
    match serde_json::from_str(&first) {
        Ok(Line::Head { format, at, .. }) if format == FORMAT => Ok(at),
        _ => Err(flaw(path, "it is no archive of the audit trail")),
    }
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
    let (mut records, mut text, mut number) = (0, String::new(), 0_u64);
    loop {
        text.clear();
        number += 1;
        let read = file.read_line(&mut text).map_err(failed(path, "read"))?;
        if read == 0 {
            return Err(flaw(path, "its end is missing"));
        }
        if !text.starts_with('{') {
            break;
        }
        digest.update(text.as_bytes());
        match serde_json::from_str(&text) {
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
    let signed = checkpoint::verify(text.trim_end(), Kind::Archive, keys);
    let signed = signed.map_err(|error: NotSigned| flaw(path, format!("its end: {error}")))?;
    let end: End = serde_json::from_slice(&signed.payload)
        .map_err(|_| flaw(path, "its end cannot be read"))?;
    text.clear();
    if file.read_line(&mut text).map_err(failed(path, "read"))? != 0 {
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
    fn no_archive_is_written_over_another_that_took_its_name_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.jsonl");
        let at = Timestamp::from_millis(0);
        let key = CheckpointKey::of_seed(&[7; 32]);
        let first = Writer::begin(&path, at.day(), at).unwrap();
        std::fs::write(&path, "the records of another archive").unwrap();
        assert!(first.finish(&path, &Range::default(), &key).unwrap().is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "the records of another archive");
        std::fs::remove_file(&path).unwrap();
        let second = Writer::begin(&path, at.day(), at).unwrap();
        assert!(second.finish(&path, &Range::default(), &key).unwrap().is_ok());
        assert!(std::fs::read_to_string(&path).unwrap().contains(FORMAT));
    }
}
