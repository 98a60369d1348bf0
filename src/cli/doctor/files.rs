//! Files: whose they are, who else can read or replace them, and room for more.

use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::{Finding, Look, State};
use crate::auth::Root;
use crate::config::{Database, KeySource};
use crate::files::folder_of;
use crate::store::sqlite_files;

const MIB: u64 = 1024 * 1024;
/// Less than this is soon used up.
const ROOM: u64 = 1024 * MIB;
/// With less than this, writes may fail at any moment.
const LEAST_ROOM: u64 = 64 * MIB;

/// The configured key.
pub(super) fn key(look: &Look<'_>) -> Vec<Finding> {
    let path = match &look.config.key {
        KeySource::Value(_) => None,
        KeySource::Generated(path) if is_missing(path) => {
            let found = format!("there is no {} yet; the first start makes it", path.display());
            let mut findings = vec![Finding::ok("key", found)];
            findings.extend(folder("key", path));
            return findings;
        }
        KeySource::File(path) | KeySource::Generated(path) => Some(path),
    };
    // As a file that must be there, so that none is made if it goes away meanwhile.
    let source = match path {
        Some(path) => KeySource::File(path.clone()),
        None => look.config.key.clone(),
    };
    let mut findings = Vec::new();
    let shown = path.map_or("jwt_secret".to_owned(), |path| path.display().to_string());
    match Root::read(&source) {
        Ok(_) => findings.push(Finding::ok("key", format!("the key in {shown} can be used"))),
        Err(error) => {
            let text = error.to_string();
            let (found, advice) =
                text.split_once(": ").unwrap_or((&text, "see that it is there and can be read"));
            findings.push(Finding::problem("key", found, advice));
        }
    }
    let Some(path) = path else {
        return findings;
    };
    findings.extend(owner("key", path));
    findings.extend(folder("key", path));
    // A link is as safe as what it leads to.
    if let Ok(target) = path.canonicalize()
        && std::fs::symlink_metadata(path).is_ok_and(|facts| facts.is_symlink())
    {
        findings.extend(folder("key", &target));
    }
    findings
}

/// The files of the database.
pub(super) fn database(look: &Look<'_>) -> Vec<Finding> {
    let Database::Sqlite(path) = &look.config.database else {
        return Vec::new();
    };
    let mut findings: Vec<Finding> =
        sqlite_files(path).iter().filter_map(|file| private(file)).collect();
    findings.extend(owner("files", path));
    findings.extend(folder("files", path));
    if findings.is_empty() && !is_missing(path) {
        let found = format!("{} and its folder are this user's alone", path.display());
        findings.push(Finding::ok("files", found));
    }
    findings
}

fn is_missing(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
}

/// A file that others can read or write.
fn private(path: &Path) -> Option<Finding> {
    // What cannot be looked at, the check of the database tells.
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    let shown = path.display();
    (mode & 0o077 != 0).then(|| {
        Finding::problem(
            "files",
            format!("{shown} can be read by others (mode {mode:03o})"),
            format!("chmod 600 {shown}; the next start does so too"),
        )
    })
}

/// A file of another user.
fn owner(check: &'static str, path: &Path) -> Option<Finding> {
    let facts = std::fs::metadata(path).ok()?;
    belongs(check, path, &facts, rustix::process::geteuid().as_raw())
}

fn belongs(check: &'static str, path: &Path, facts: &Metadata, user: u32) -> Option<Finding> {
    let (owner, shown) = (facts.uid(), path.display());
    (owner != user).then(|| {
        Finding::warning(
            check,
            format!("{shown} is the user {owner}'s, and this is run by {user}"),
            "run the server, and this, as one user",
        )
    })
}

/// A folder in which others can put a file in the place of this one.
fn folder(check: &'static str, path: &Path) -> Option<Finding> {
    let folder = folder_of(path);
    let mode = std::fs::metadata(folder).ok()?.permissions().mode() & 0o7777;
    let shown = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    (mode & 0o022 != 0).then(|| {
        Finding::problem(
            check,
            format!("others can put files into {} (mode {mode:03o})", shown.display()),
            format!("chmod go-w {}, or use a folder of Stipend's own", shown.display()),
        )
    })
}

/// Room for the database to grow.
pub(super) fn disk(look: &Look<'_>) -> Vec<Finding> {
    let Database::Sqlite(path) = &look.config.database else {
        return vec![Finding::ok("disk", "not looked at: the database is PostgreSQL's")];
    };
    vec![match rustix::fs::statvfs(folder_of(path)) {
        Ok(facts) => room(facts.f_bavail.saturating_mul(facts.f_frsize)),
        Err(error) => Finding::warning(
            "disk",
            format!("the room for {} cannot be told ({error})", path.display()),
            "see that its folder is there",
        ),
    }]
}

fn room(free: u64) -> Finding {
    let found = format!("{} MiB are free for the database", free / MIB);
    let advice = "make room: without it nobody signs in and no pay is shown";
    match free {
        ..LEAST_ROOM => Finding::problem("disk", found, advice),
        LEAST_ROOM..ROOM => Finding::warning("disk", found, advice),
        _ => Finding { state: State::Ok, ..Finding::ok("disk", found) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_nearly_full_is_found() {
        assert_eq!(room(LEAST_ROOM - 1).state, State::Problem);
        assert_eq!(room(LEAST_ROOM).state, State::Warning);
        assert_eq!(room(ROOM - 1).state, State::Warning);
        assert_eq!(room(ROOM).state, State::Ok);
    }

    #[test]
    fn a_file_of_another_user_is_found() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let facts = file.as_file().metadata().unwrap();
        assert!(belongs("key", file.path(), &facts, facts.uid()).is_none());
        let found = belongs("key", file.path(), &facts, facts.uid() + 1).unwrap();
        assert_eq!(found.state, State::Warning);
    }
}
