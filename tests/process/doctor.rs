//! `stipend doctor`: what it finds, and that it only looks.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::left_out;
use crate::support::database::{TestDatabase, is_postgres};
use crate::support::server::{Server, command};

/// A good key.
const KEY: &str = "mJ0uX3yQ7fKp2sVd9wZr4tBn6hLc8gEa1iOo5kTxYvU";

/// What the doctor said.
struct Report {
    code: i32,
    checks: Vec<(String, String, String)>,
}

impl Report {
    fn of(mut command: Command) -> Self {
        let output = command.args(["doctor", "--json"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let report: Value = serde_json::from_slice(&output.stdout).expect("one document");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let check = |check: &Value| {
            let (state, advice) = (text(&check["state"]), text(&check["advice"]));
            assert!(state == "ok" || !advice.is_empty(), "it says what to do: {check}");
            (state, text(&check["check"]), format!("{}: {advice}", text(&check["found"])))
        };
        let checks: Vec<_> = report["checks"].as_array().unwrap().iter().map(check).collect();
        let code = output.status.code().unwrap();
        let is_there = |state| checks.iter().any(|(other, _, _)| other == state);
        assert_eq!(code == 0, !is_there("problem"), "{report}");
        assert_eq!(report["state"] == "ok", !is_there("problem") && !is_there("warning"));
        Self { code, checks }
    }

    /// What it says of a check that stands so.
    fn says(&self, state: &str, check: &str) -> String {
        let of = |(s, c, text): &(String, String, String)| {
            (s == state && c == check).then(|| text.clone())
        };
        let found: Vec<String> = self.checks.iter().filter_map(of).collect();
        assert!(!found.is_empty(), "no {state} of {check}: {:#?}", self.checks);
        found.join("\n")
    }

    /// The checks that found a problem, but for those of the machine that the tests run on.
    fn problems(&self) -> Vec<&str> {
        let of_the_host = ["durability", "memory", "open files", "disk"];
        let bad = self.checks.iter().filter(|(state, _, _)| state == "problem");
        bad.map(|(_, check, _)| check.as_str()).filter(|c| !of_the_host.contains(c)).collect()
    }
}

fn doctor(folder: &Path, settings: &[(&str, &str)]) -> Report {
    Report::of(command(folder, settings))
}

/// The settings of a database, and more.
fn on<'a>(database: &'a TestDatabase, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("ROCKET_DATABASE_URL", database.url.as_str())], more].concat()
}

pub(crate) fn migrate(database: &TestDatabase) {
    let mut command = command(database.folder.path(), &on(database, &[]));
    assert!(command.arg("migrate").output().unwrap().status.success());
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// The files of a folder: mode, time of the last change, and what is in them.
fn files(folder: &Path) -> BTreeMap<String, (u32, i64, Vec<u8>)> {
    let file = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.unwrap();
        let facts = entry.metadata().unwrap();
        let content = std::fs::read(entry.path()).unwrap();
        let name = entry.file_name().into_string().unwrap();
        (name, (facts.mode(), facts.mtime_nsec(), content))
    };
    std::fs::read_dir(folder).unwrap().map(file).collect()
}

#[tokio::test]
async fn all_is_well_beside_a_server_that_runs() {
    let server = Server::start(&[]).await;
    let port = server.address.port().to_string();
    let folder = server.database.folder.path();
    let report = doctor(folder, &on(&server.database, &[("ROCKET_PORT", &port)]));
    assert_eq!(report.problems(), [""; 0], "{:#?}", report.checks);
    assert!(report.says("ok", "server").contains("Stipend answers at"));
    assert!(report.says("ok", "key").contains("stipend.key can be used"));
    assert!(report.says("ok", "schema").contains("which is this binary's"));
    assert!(report.says("ok", "clock").contains("nothing on record is later"));
    // How fast it is depends on what else runs here.
    let passwords = report.checks.iter().find(|(_, check, _)| check == "passwords").unwrap();
    assert!(passwords.2.contains("argon2_iterations = 2"), "{passwords:?}");
    assert!(report.says("warning", "demo").contains("published password"));
    if is_postgres() {
        assert!(report.says("ok", "database").contains("PostgreSQL"));
    } else {
        let holder = format!("process {} has it open", server.pid());
        assert!(report.says("ok", "database").contains(&holder), "{:#?}", report.checks);
        assert!(report.says("ok", "integrity").contains("found nothing"));
        let in_force = report.says("ok", "durability");
        for setting in [
            "synchronous = 2",
            "foreign_keys = 1",
            "trusted_schema = 0",
            "secure_delete = 1",
            "wal",
        ] {
            assert!(in_force.contains(setting), "{in_force}");
        }
    }
    assert_eq!(server.read_pay(&server.log_in()).status, 200, "the server is none the worse");
}

#[tokio::test]
async fn the_doctor_changes_nothing() {
    // Nothing there yet.
    let database = TestDatabase::new().await;
    let folder = database.folder.path();
    let report = doctor(folder, &on(&database, &[]));
    assert_eq!(report.problems(), [""; 0], "{:#?}", report.checks);
    report.says("ok", "key");
    assert_eq!(files(folder), BTreeMap::new());
    if is_postgres() {
        let tables =
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = current_schema()";
        assert_eq!(database.number(tables).await, 0, "it is not set up");
        assert!(report.says("ok", "schema").contains("none yet"));
    } else {
        assert!(report.says("ok", "database").contains("none yet"));
    }

    // Set up, and closed in good order.
    let mut server = Server::start_on(database, &[]);
    server.log_in();
    server.signal("TERM");
    server.wait();
    let folder = server.database.folder.path();
    let before = files(folder);
    assert!(before.contains_key("stipend.key") && !before.contains_key("stipend.db-wal"));
    let report = doctor(folder, &on(&server.database, &[]));
    assert_eq!(report.problems(), [""; 0], "{:#?}", report.checks);
    assert_eq!(files(folder), before);

    // Cut off in the middle: what is in the write-ahead log counts, and stays there.
    let mut server = server.kill_and_restart(&[]);
    let token = server.log_in();
    server.signal("KILL");
    server.wait();
    let folder = server.database.folder.path();
    // The index of the log is memory that processes share; SQLite makes it anew.
    let but_the_index = |mut files: BTreeMap<_, _>| {
        let index = files.remove("stipend.db-shm");
        (index.is_some(), files)
    };
    let before = but_the_index(files(folder));
    assert_eq!(before.0, !is_postgres());
    let report = doctor(folder, &on(&server.database, &[]));
    assert_eq!(report.problems(), [""; 0], "{:#?}", report.checks);
    assert_eq!(but_the_index(files(folder)), before);
    let server = server.kill_and_restart(&[]);
    assert_eq!(server.read_pay(&token).status, 200);
}

#[tokio::test]
async fn an_older_schema_is_left_as_it_is() {
    let database = TestDatabase::new().await;
    migrate(&database);
    let newest = "SELECT MAX(version) FROM _sqlx_migrations";
    let version = database.number(newest).await;
    database.execute(&format!("DELETE FROM _sqlx_migrations WHERE version = {version}")).await;
    let report = doctor(database.folder.path(), &on(&database, &[]));
    assert!(report.says("warning", "schema").contains("this binary has 1 more"));
    assert_eq!(report.code, if report.problems().is_empty() { report.code } else { 1 });
    assert_eq!(database.number(newest).await, version - 1);
}

#[tokio::test]
async fn what_is_wrong_with_the_schema_or_the_clock_is_a_problem() {
    let database = TestDatabase::new().await;
    migrate(&database);
    let folder = database.folder.path();
    let problem = |check| {
        let report = doctor(folder, &on(&database, &[]));
        assert_eq!(report.problems(), ["schema", "clock"], "{:#?}", report.checks);
        assert_eq!(report.code, 1);
        report.says("problem", check)
    };
    // As a server with a wrong clock would have written it; what chains the records is in the way.
    let chained = match is_postgres() {
        true => "ALTER TABLE audit_records DISABLE TRIGGER ALL",
        false => "DROP TRIGGER audit_is_chained; DROP TRIGGER audit_moves_the_head",
    };
    database.execute(chained).await;
    database
        .execute(
            "INSERT INTO audit_records (at, org, actor, action, names, client, request_id) \
             VALUES (32503680000000, 'twilio', 'operator', 'add_org', '[]', 'local', 'x')",
        )
        .await;
    let said = problem("clock");
    assert!(said.contains("on record is of 3000-01-01") && said.contains("NTP"), "{said}");
    let said = problem("schema");
    assert!(said.contains("audit_moves_the_head") && said.contains("audit verify"), "{said}");

    let database = TestDatabase::new().await;
    migrate(&database);
    let folder = database.folder.path();
    let problem = |check| {
        let report = doctor(folder, &on(&database, &[]));
        assert_eq!(report.problems(), [check], "{:#?}", report.checks);
        report.says("problem", check)
    };
    let (zero, yes) = if is_postgres() { ("'\\x00'", "TRUE") } else { ("x'00'", "1") };
    database
        .execute(&format!(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9999, 'newer', {yes}, {zero}, 0)"
        ))
        .await;
    assert!(problem("schema").contains("9999 is of a newer Stipend"));
    database
        .execute(&format!(
            "DELETE FROM _sqlx_migrations WHERE version = 9999; \
             UPDATE _sqlx_migrations SET checksum = {zero} WHERE version = 2"
        ))
        .await;
    assert!(problem("schema").contains("2 was set up by another build"));
}

#[tokio::test]
async fn r90_a_key_or_a_folder_that_others_can_reach_is_a_problem() {
    let database = TestDatabase::new().await;
    let folder = database.folder.path();
    let file = folder.join("stipend.key");
    let key = |settings: &[(&str, &str)]| {
        let report = doctor(folder, &on(&database, settings));
        assert_eq!((report.code, report.problems()), (1, vec!["key"]), "{:#?}", report.checks);
        report.says("problem", "key")
    };
    for (text, mode, words) in [
        (KEY, 0o640, "chmod 600 stipend.key"),
        (KEY, 0o604, "can be read by others (mode 604)"),
        ("", 0o600, "is 0 bytes long"),
        ("a-string-secret-at-least-256-bits-long", 0o600, "is a published sample"),
    ] {
        std::fs::write(&file, text).unwrap();
        set_mode(&file, mode);
        let said = key(&[]);
        assert!(said.contains(words) && (text.is_empty() || !said.contains(text)), "{said}");
    }
    assert!(key(&[("ROCKET_JWT_SECRET", "hunter2-Zx81")]).contains("jwt_secret"));
    assert!(key(&[("ROCKET_JWT_SECRET_FILE", "missing")]).contains("missing cannot be read"));
    assert!(!folder.join("missing").exists());

    std::fs::write(&file, KEY).unwrap();
    set_mode(&file, 0o600);
    set_mode(folder, 0o770);
    let report = doctor(folder, &on(&database, &[]));
    assert!(report.says("problem", "key").contains("others can put files into"));
    set_mode(folder, 0o700);
    let inner = folder.join("inner");
    std::fs::create_dir(&inner).unwrap();
    set_mode(&inner, 0o777);
    std::fs::rename(&file, inner.join("key")).unwrap();
    std::os::unix::fs::symlink("inner/key", &file).unwrap();
    assert!(key(&[]).contains("inner"), "the folder that a link leads to");
}

#[tokio::test]
async fn the_files_of_the_database_are_looked_at() {
    if is_postgres() {
        return left_out("the files of the database: they are PostgreSQL's");
    }
    let database = TestDatabase::new().await;
    migrate(&database);
    let folder = database.folder.path();
    let file = folder.join("stipend.db");
    let found = |check| doctor(folder, &on(&database, &[])).says("problem", check);
    set_mode(&file, 0o644);
    assert!(found("files").contains("chmod 600"));
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o644, "it only says so");
    set_mode(&file, 0o600);
    std::fs::write(folder.join("stipend.db-wal"), "").unwrap();
    assert!(found("database").contains("stipend.db-shm"), "nor does it make what is missing");
    assert!(!folder.join("stipend.db-shm").exists());
    std::fs::remove_file(folder.join("stipend.db-wal")).unwrap();

    let whole = std::fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2 / 4096 * 4096;
    damaged[middle..middle + 4096].fill(0xa5);
    std::fs::write(&file, damaged).unwrap();
    let report = doctor(folder, &on(&database, &[]));
    assert_eq!(report.code, 1);
    assert!(!report.problems().is_empty(), "{:#?}", report.checks);
    std::fs::write(&file, "no database, but long enough to be read as one. ".repeat(99)).unwrap();
    assert!(found("database").contains("is not an SQLite database"));
}

#[tokio::test]
async fn a_database_that_is_locked_or_not_readable_is_a_problem_that_says_so() {
    if is_postgres() {
        return left_out("a locked file: PostgreSQL locks no whole file");
    }
    use sqlx::{Connection, Executor};
    let database = TestDatabase::new().await;
    migrate(&database);
    let folder = database.folder.path();
    let mut lock = sqlx::SqliteConnection::connect(&database.url).await.unwrap();
    lock.execute("PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE").await.unwrap();
    let report = doctor(folder, &on(&database, &[]));
    assert!(report.says("problem", "database").contains("is locked"), "{:#?}", report.checks);
    lock.close().await.unwrap();

    let file = folder.join("stipend.db");
    set_mode(&file, 0o000);
    let mut unprivileged = command(folder, &on(&database, &[]));
    if rustix::process::geteuid().is_root() {
        // Root reads what nobody may.
        std::os::unix::fs::chown(folder, Some(65_534), Some(65_534)).unwrap();
        unprivileged.uid(65_534).gid(65_534);
    }
    let report = Report::of(unprivileged);
    assert!(report.says("problem", "database").contains("cannot be read"), "{:#?}", report.checks);
}

#[tokio::test]
async fn a_server_that_is_another_programs_or_a_database_that_is_away_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::io::Write::write_all(&mut stream.unwrap(), b"220 mail.example.com\r\n").unwrap();
        }
    });
    let report = doctor(folder.path(), &[("ROCKET_PORT", &port)]);
    assert!(report.says("problem", "server").contains("not Stipend"));

    let url = "postgres://stipend:s3cret-Zx81@127.0.0.1:1/x";
    let report = doctor(folder.path(), &[("ROCKET_DATABASE_URL", url)]);
    let said = report.says("problem", "database");
    assert!(said.contains("cannot be reached") && !said.contains("Zx81"), "{said}");
}

#[test]
fn r91_what_others_reach_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let release = ("ROCKET_PROFILE", "release");
    let report = doctor(folder.path(), &[release, ("ROCKET_ADDRESS", "0.0.0.0")]);
    assert!(report.says("warning", "address").contains("trusted_proxies"));
    assert!(report.says("ok", "demo").contains("off"));
    assert_eq!(report.code, 0, "a warning is no failure: {:#?}", report.checks);
    let report = doctor(folder.path(), &[release, ("ROCKET_TRUSTED_PROXIES", "[\"0.0.0.0/0\"]")]);
    assert!(report.says("problem", "proxies").contains("everybody"));
    let file = folder.path().join("Rocket.toml");
    std::fs::write(&file, format!("[default]\njwt_secret = \"{KEY}\"\n")).unwrap();
    set_mode(&file, 0o644);
    let said = doctor(folder.path(), &[]).says("problem", "settings");
    assert!(said.contains("jwt_secret") && said.contains("644") && !said.contains(KEY), "{said}");
    set_mode(&file, 0o600);
    assert_eq!(doctor(folder.path(), &[]).problems(), [""; 0]);
}

#[test]
fn r92_wrong_settings_are_a_finding_and_the_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value, words) in [
        ("ROCKET_TOKEN_TTL", "soon", "`token_ttl`"),
        ("ROCKET_DEFAULT_ORG", "A b", "`default_org`"),
        ("ROCKET_PROFILE", "relase", "`release`"),
    ] {
        let report = doctor(folder.path(), &[(name, value)]);
        assert_eq!((report.code, report.checks.len()), (2, 1));
        assert!(report.says("problem", "settings").contains(words));
    }
    assert_eq!(files(folder.path()), BTreeMap::new());
}

#[tokio::test]
async fn each_finding_is_one_line_and_the_same_as_in_json() {
    let database = TestDatabase::new().await;
    let settings = on(&database, &[("ROCKET_JWT_SECRET_FILE", "no\nkey\u{1b}[31m")]);
    let output = command(database.folder.path(), &settings).arg("doctor").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let report = doctor(database.folder.path(), &settings);
    assert_eq!(text.lines().count(), report.checks.len(), "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    for (line, (state, check, _)) in text.lines().zip(&report.checks) {
        assert!(line.starts_with(&format!("{state:8} {check:10} ")), "{line}");
    }
}
