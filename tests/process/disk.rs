//! A disk that is full, for which a small file system in memory stands, and a file that cannot be
//! written any more. Both take root.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::load::now;
use crate::startup::refused;
use crate::support::chain::verify;
use crate::support::database::{TestDatabase, is_postgres};
use crate::support::server::{Server, command};
use crate::{lacking, left_out};

const KEY: (&str, &str) = ("ROCKET_JWT_SECRET", "mJ0uX3yQ7fKp2sVd9wZr4tBn6hLc8gEa1iOo5kTxYvU");

/// A file system of a size of its own. Dropped, it is unmounted.
struct Disk(PathBuf);

impl Disk {
    /// Mounts one in a folder; `None` where that is not allowed, or of no use.
    fn mount(folder: &Path, size: &str) -> Option<Self> {
        if is_postgres() {
            left_out("a full disk: here it would be PostgreSQL's own");
            return None;
        }
        let path = folder.join("disk");
        std::fs::create_dir(&path).unwrap();
        let disk = Self(path);
        if !disk.run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]) {
            lacking("a full disk: a file system cannot be mounted here");
            return None;
        }
        Some(disk)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let command = &mut Command::new(program);
        let command = command.args(arguments).arg(&self.0).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    fn resize(&self, size: &str) {
        assert!(self.run("mount", &["-o", &format!("remount,size={size}")]));
    }

    fn database(&self) -> String {
        format!("sqlite:{}", self.0.join("stipend.db").display())
    }

    /// Fills it to the last byte.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = std::fs::File::create(&path).unwrap();
        while file.write_all(&[0; 512]).is_ok() {}
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.run("umount", &["--lazy"]);
    }
}

#[tokio::test]
async fn r101_a_start_on_a_full_disk_is_a_sentence_and_works_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    // Each runs out at another point of setting the database up.
    let Some(disk) = Disk::mount(folder.path(), "4k") else { return };
    let url = disk.database();
    let settings = [KEY, ("ROCKET_DATABASE_URL", url.as_str())];
    for size in ["4k", "16k", "40k", "64k", "80k", "96k", "128k"] {
        disk.resize(size);
        let (code, said) = refused(command(folder.path(), &settings).arg("migrate"));
        assert_eq!(code, 1, "{size}: {said}");
        assert!(said.contains("stipend.db") && said.contains("disk"), "{size}: {said}");
    }
    disk.resize("16m");
    let database = TestDatabase { url: url.clone(), folder: tempfile::tempdir().unwrap() };
    let server = Server::start_on(database, &[KEY]);
    assert_eq!(server.read_pay(&server.log_in()).status, 200);
}

#[tokio::test]
async fn r102_when_the_disk_fills_up_nothing_is_given_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(folder.path(), "2m") else { return };
    let database = TestDatabase { url: disk.database(), folder: tempfile::tempdir().unwrap() };
    let server = Server::start_on(database, &[KEY]);
    let token = server.log_in();
    assert_eq!(server.read_pay(&token).status, 200);
    let filler = disk.fill();
    let mut given = 1;
    // The last page of the log may still have room.
    let refused = (0..100).map(|_| server.read_pay(&token)).find(|answer| {
        given += i64::from(answer.status == 200);
        answer.status != 200
    });
    let refused = refused.expect("the disk is full");
    assert_eq!((refused.status, refused.field("Retry-After")), (503, Some("1")), "{refused:?}");
    assert!(!refused.body.contains('$'), "{refused:?}");
    let form = "Content-Type: application/x-www-form-urlencoded";
    let login = server.request("POST", "/jwt", &[form], "username=twilio&password=ahoy");
    assert_eq!((login.status, login.field("access_token")), (503, None), "{login:?}");
    assert_eq!(server.request("GET", "/live", &[], "").status, 200);

    std::fs::remove_file(filler).unwrap();
    assert_eq!(server.read_pay(&token).status, 200, "it recovers by itself");
    let reads = "SELECT COUNT(*) FROM audit WHERE action = 'list_pay'";
    assert_eq!(server.database.number(reads).await, given + 1);
    assert_eq!(server.database.texts("PRAGMA integrity_check").await, ["ok"]);
    verify(&server.database).await;
}

/// Files that nobody can write, not even by what was opened before. Dropped, they can be again.
struct Unwritable<'a>(&'a [PathBuf]);

impl<'a> Unwritable<'a> {
    /// `None` where the file system has no such thing.
    fn make(files: &'a [PathBuf]) -> Option<Self> {
        let probe = files[0].with_file_name("probe");
        let mut open = std::fs::File::create(&probe).unwrap();
        let can = Self::change("+i", &probe)
            && open.write_all(b"x").is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
            && Self::change("-i", &probe);
        if !can {
            lacking("a file that turns read-only: chattr has no such effect here");
            return None;
        }
        let unwritable = Self(files);
        assert!(files.iter().all(|file| Self::change("+i", file)));
        Some(unwritable)
    }

    fn change(what: &str, file: &Path) -> bool {
        let command = &mut Command::new("chattr");
        let command = command.arg(what).arg(file).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Unwritable<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|file| assert!(Self::change("-i", file)));
    }
}

#[tokio::test]
async fn r102_while_the_file_cannot_be_written_nothing_is_given_and_then_it_goes_on() {
    if is_postgres() {
        return left_out("a file that turns read-only: it would be PostgreSQL's own");
    }
    let server = Server::start(&[KEY]).await;
    let token = server.log_in();
    assert_eq!(server.read_pay(&token).status, 200);
    let folder = server.database.folder.path();
    let files = ["stipend.db", "stipend.db-wal"].map(|name| folder.join(name));
    let form = "Content-Type: application/x-www-form-urlencoded";
    let log_in = || server.request("POST", "/jwt", &[form], "username=twilio&password=ahoy");
    for round in 1..=2 {
        let Some(unwritable) = Unwritable::make(&files) else { return };
        // First by the connections that there are, then by new ones.
        for _ in 0..4 {
            let began = now();
            let read = server.read_pay(&token);
            assert_eq!((read.status, read.field("Retry-After")), (503, Some("1")), "{read:?}");
            assert!(!read.body.contains('$'), "{read:?}");
            let login = log_in();
            assert_eq!((login.status, login.field("access_token")), (503, None), "{login:?}");
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        }
        assert_eq!(server.request("GET", "/live", &[], "").status, 200);
        drop(unwritable);
        assert_eq!(server.read_pay(&token).status, 200, "it recovers by itself");
        assert_eq!(log_in().status, 200, "and so do changes, in round {round}: {}", server.log());
    }
    let records = "SELECT COUNT(*) FROM audit WHERE action IN ('list_pay', 'log_in')";
    assert_eq!(server.database.number(records).await, 6);
    assert_eq!(server.database.texts("PRAGMA integrity_check").await, ["ok"]);
    verify(&server.database).await;
}
