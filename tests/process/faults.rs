//! A database that cannot be used: a sentence that says what to do, and nothing half done.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::left_out;
use crate::startup::refused;
use crate::support::database::{TestDatabase, is_postgres};
use crate::support::server::{BINARY, Server, command, command_of};

const KEY: (&str, &str) = ("ROCKET_JWT_SECRET", "mJ0uX3yQ7fKp2sVd9wZr4tBn6hLc8gEa1iOo5kTxYvU");
/// `nobody` on every Linux.
const NOBODY: u32 = 65_534;

/// The binary, run by somebody who is bound by file modes, which root is not.
fn bound_by_modes(folder: &Path, settings: &[(&str, &str)]) -> Command {
    if !rustix::process::getuid().is_root() {
        return command(folder, settings);
    }
    // Where nobody can reach it.
    let copy = folder.join("stipend");
    if !copy.exists() {
        std::fs::copy(BINARY, &copy).unwrap();
    }
    let mut command = command_of(&copy, folder, settings);
    command.uid(NOBODY).gid(NOBODY);
    command
}

fn give(path: &Path, mode: u32) {
    if rustix::process::getuid().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn r101_a_file_or_folder_that_cannot_be_written_is_a_sentence() {
    if is_postgres() {
        return left_out("read-only files: PostgreSQL has none of its own here");
    }
    let folder = tempfile::tempdir().unwrap();
    give(folder.path(), 0o700);
    let migrate = bound_by_modes(folder.path(), &[]).arg("migrate").status().unwrap();
    assert!(migrate.success());
    let file = folder.path().join("stipend.db");
    let before = std::fs::read(&file).unwrap();
    let advice = ["cannot be opened", "cannot be written", "read-only"];
    for (folder_mode, file_mode) in [(0o700, 0o400), (0o500, 0o600), (0o500, 0o400)] {
        give(&file, file_mode);
        give(folder.path(), folder_mode);
        let (code, said) = refused(&mut bound_by_modes(folder.path(), &[KEY]));
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("stipend.db"), "{said}");
        assert!(advice.iter().any(|words| said.contains(words)), "{said}");
    }
    let (_, said) = refused(&mut bound_by_modes(folder.path(), &[]));
    assert!(said.contains("the database stipend.db: cannot be opened"), "{said}");
    give(folder.path(), 0o700);
    assert_eq!(std::fs::read(&file).unwrap(), before, "the file has not changed");
    let left = std::fs::read_dir(folder.path()).unwrap().filter_map(Result::ok);
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("draft")), "{left:?}");
}

#[test]
fn r101_what_is_no_database_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let text = "no database, but long enough to be read as one. ".repeat(99);
    std::fs::write(folder.path().join("text.db"), &text).unwrap();
    for (url, words) in [
        ("sqlite:text.db", "is not an SQLite database"),
        ("sqlite:missing/x.db", "cannot be opened"),
        ("sqlite:.", "cannot be opened"),
        ("sqlite:/dev/full", "disk is full"),
    ] {
        let settings = [KEY, ("ROCKET_DATABASE_URL", url)];
        let (code, said) = refused(&mut command(folder.path(), &settings));
        assert!(code == 1 && said.contains(words), "{url}: {said}");
    }
    assert_eq!(std::fs::read_to_string(folder.path().join("text.db")).unwrap(), text);
    assert!(!folder.path().join("missing").exists());
}

#[tokio::test]
async fn r101_a_damaged_file_is_refused_and_kept() {
    if is_postgres() {
        return left_out("a damaged file: PostgreSQL looks after its own");
    }
    let server = Server::start(&[KEY]).await;
    server.read_pay(&server.log_in());
    let mut server = server;
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let file = server.database.folder.path().join("stipend.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 4096 / 2 * 4096;
    bytes[middle..middle + 4096].fill(0xa5);
    std::fs::write(&file, &bytes).unwrap();
    let settings = [KEY, ("ROCKET_DATABASE_URL", server.database.url.as_str())];
    let (_, said) = refused(&mut command(server.database.folder.path(), &settings));
    assert!(said.contains("damaged") && said.contains("backup"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
}

/// A node that starts while another does finds an empty database, a half-made one or a ready one.
#[tokio::test]
async fn r101_processes_that_start_at_once_set_the_database_up_once() {
    let database = TestDatabase::new().await;
    let settings = [("ROCKET_DATABASE_URL", database.url.as_str())];
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let mut command = command(database.folder.path(), &settings);
            command.arg("migrate").stderr(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let outputs: Vec<_> =
        starts.into_iter().map(|start| start.wait_with_output().unwrap()).collect();
    let said: Vec<_> = outputs.iter().map(|out| String::from_utf8_lossy(&out.stderr)).collect();
    assert_eq!(database.number("SELECT COUNT(*) FROM rates").await, 2);
    assert!(outputs.iter().all(|output| output.status.success()), "{said:?}");
}

/// The test's own PostgreSQL, with this user, password and database instead.
fn elsewhere(who: &str, database: &str) -> Option<String> {
    let url = std::env::var("TEST_DATABASE_URL").ok()?;
    let (server, _) = url.split_once("://")?.1.rsplit_once('/')?;
    let host = server.rsplit_once('@').map_or(server, |(_, host)| host);
    Some(format!("postgres://{who}:s3cret-Zx81@{host}/{database}"))
}

#[tokio::test]
async fn r101_a_postgresql_that_does_not_let_stipend_in_is_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let Some(base) = std::env::var("TEST_DATABASE_URL").ok() else {
        return left_out("a PostgreSQL that refuses (TEST_DATABASE_URL is not set)");
    };
    let owner = base.split_once("://").unwrap().1.split(['@', ':']).next().unwrap();
    let role = format!("stipend_test_{}", std::process::id());
    let mut connection = PgConnection::connect(&base).await.unwrap();
    connection.execute(AssertSqlSafe(format!("CREATE ROLE {role} LOGIN"))).await.unwrap();
    let mut sentences = Vec::new();
    for (who, database) in
        [(owner, "no_such_database"), ("no_such_role", "postgres"), (role.as_str(), "postgres")]
    {
        let url = elsewhere(who, database).unwrap();
        let settings = [KEY, ("ROCKET_DATABASE_URL", url.as_str())];
        sentences.push(refused(&mut command(folder.path(), &settings)).1);
    }
    connection.execute(AssertSqlSafe(format!("DROP ROLE {role}"))).await.unwrap();
    let words = ["does not exist on that server", "refused the user", "does not let this user"];
    for (said, words) in sentences.iter().zip(words) {
        assert!(said.contains(words) && !said.contains("s3cret-Zx81"), "{said}");
    }
}
