//! The command line.

mod audit;
mod passwords;
mod pay;
mod people;
mod second_factor;
mod sessions;

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::support::database::TestDatabase;
use crate::support::server::{Server, command};

const PASSWORD: &str = "correct horse battery staple";

pub(crate) fn run(database: &TestDatabase, arguments: &[&str], input: &str) -> Output {
    let mut child = command(database.folder.path(), &[("ROCKET_DATABASE_URL", &database.url)])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    if let Err(error) = child.stdin.take().unwrap().write_all(input.as_bytes()) {
        assert_eq!(error.kind(), ErrorKind::BrokenPipe, "a command need not read its input");
    }
    child.wait_with_output().unwrap()
}

/// What a command that works writes to standard output.
pub(crate) fn works(database: &TestDatabase, arguments: &[&str]) -> String {
    let output = run(database, arguments, "");
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// What a command that works writes to standard output, as JSON.
pub(crate) fn json(database: &TestDatabase, arguments: &[&str]) -> Value {
    serde_json::from_str(&works(database, &[arguments, &["--json"]].concat())).unwrap()
}

/// What a command that fails with an exit code writes to standard error; it writes no data.
pub(crate) fn fails(database: &TestDatabase, code: i32, arguments: &[&str]) -> String {
    let output = run(database, arguments, "");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", said(&output));
    String::from_utf8(output.stderr).unwrap()
}

/// Adds a user whose password is [`PASSWORD`].
fn add_user(database: &TestDatabase, arguments: &[&str]) {
    let output = run(database, &[&["user", "add"], arguments].concat(), PASSWORD);
    assert!(output.status.success(), "{}", said(&output));
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn log_in(server: &Server, name: &str) -> u16 {
    let body = serde_json::json!({ "username": name, "password": PASSWORD }).to_string();
    server.request("POST", "/jwt", &["Content-Type: application/json"], &body).status
}

#[tokio::test]
async fn a_user_who_was_added_signs_in_and_sees_only_what_is_their_own() {
    let database = TestDatabase::new().await;
    let added = run(&database, &["user", "add", "alice"], &format!("{PASSWORD}\n"));
    assert!(added.status.success(), "{}", said(&added));
    assert!(!said(&added).contains(PASSWORD));
    let file = database.folder.path().join("password");
    std::fs::write(&file, PASSWORD).unwrap();
    let added =
        run(&database, &["user", "add", "acme/bob", "--password-file", file.to_str().unwrap()], "");
    assert!(added.status.success(), "{}", said(&added));
    assert!(!Path::new(&database.folder.path().join("stipend.key")).exists(), "no key is needed");

    let again = run(&database, &["user", "add", "alice"], PASSWORD);
    assert_eq!(again.status.code(), Some(1));
    assert!(said(&again).contains("exists already"), "{}", said(&again));
    let records = "SELECT COUNT(*) FROM audit WHERE action = 'add_person' AND actor = 'operator'";
    assert_eq!(database.number(records).await, 2);

    let server = Server::start_on(database, &[]);
    assert_eq!(log_in(&server, "alice"), 200);
    assert_eq!(log_in(&server, "acme/bob"), 200);
    assert_eq!(log_in(&server, "bob"), 401, "bob is in another org");
}

#[tokio::test]
async fn a_bad_name_or_password_adds_nobody() {
    let database = TestDatabase::new().await;
    for (name, password, code) in [
        ("Alice", PASSWORD, 2),
        ("a b", PASSWORD, 2),
        ("", PASSWORD, 2),
        ("a/b/c", PASSWORD, 2),
        ("alice", "too short", 1),
        ("alice", "", 1),
    ] {
        let output = run(&database, &["user", "add", name], password);
        assert_eq!(output.status.code(), Some(code), "{name}: {}", said(&output));
        assert!(said(&output).starts_with("error: "), "{}", said(&output));
    }
    assert_eq!(run(&database, &["user", "add", "alice", PASSWORD], "").status.code(), Some(2));
    assert!(run(&database, &["migrate"], "").status.success());
    assert_eq!(database.number("SELECT COUNT(*) FROM users WHERE demo = 0").await, 0);
}

#[tokio::test]
async fn help_says_what_there_is_and_a_wrong_word_is_a_usage_error() {
    let database = TestDatabase::new().await;
    let help = run(&database, &["--help"], "");
    assert!(help.status.success());
    for word in [
        "serve",
        "migrate",
        "org",
        "user",
        "grant",
        "key",
        "pay",
        "session",
        "token",
        "explain",
        "--version",
        "Exit codes",
    ] {
        assert!(said(&help).contains(word), "{word}");
    }
    let version = format!("stipend {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(works(&database, &["--version"]), version);
    for wrong in [["sevre"].as_slice(), &["serve", "x"], &["user"], &["user", "add"], &["--frob"]] {
        let output = run(&database, wrong, "");
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_password_is_taken_whole_but_for_the_line_break_at_its_end() {
    let database = TestDatabase::new().await;
    let folder = database.folder.path();
    let file = |bytes: &[u8]| {
        std::fs::write(folder.join("password"), bytes).unwrap();
        run(&database, &["user", "add", "alice", "--password-file", "password"], "")
    };
    for bytes in [b"too short\n".as_slice(), &[b'x'; 1025], &[0xff; 40], b"\n", b""] {
        let output = file(bytes);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(!said(&output).contains("too short"), "{}", said(&output));
    }
    let missing = ["user", "add", "alice", "--password-file", "nope"];
    let missing = run(&database, &missing, "");
    assert_eq!(missing.status.code(), Some(1));
    assert!(said(&missing).contains("nope cannot be read"), "{}", said(&missing));
    assert!(file(format!("{PASSWORD}\r\n").as_bytes()).status.success());
    let server = Server::start_on(database, &[]);
    assert_eq!(log_in(&server, "alice"), 200);
}

#[tokio::test]
async fn a_user_can_be_added_while_the_server_runs_and_once_only() {
    let server = Server::start(&[]).await;
    assert_eq!(log_in(&server, "alice"), 401);
    let outputs: Vec<Output> = std::thread::scope(|scope| {
        let add = || run(&server.database, &["user", "add", "alice"], PASSWORD);
        let adds: Vec<_> = (0..4).map(|_| scope.spawn(add)).collect();
        adds.into_iter().map(|add| add.join().unwrap()).collect()
    });
    let added = outputs.iter().filter(|output| output.status.success()).count();
    let all: Vec<String> = outputs.iter().map(said).collect();
    assert_eq!(added, 1, "{all:?}");
    assert_eq!(all.iter().filter(|said| said.contains("exists already")).count(), 3, "{all:?}");
    assert!(all.iter().all(|said| !said.contains(PASSWORD)));
    assert_eq!(log_in(&server, "alice"), 200);
    let records = "SELECT COUNT(*) FROM audit WHERE action = 'add_person'";
    assert_eq!(server.database.number(records).await, 1);
}

#[tokio::test]
async fn migrate_sets_up_once_and_then_has_nothing_to_do() {
    let database = TestDatabase::new().await;
    for _ in 0..2 {
        let output = run(&database, &["migrate"], "");
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(database.number("SELECT COUNT(*) FROM rates").await, 2);
    }
    assert!(!database.folder.path().join("stipend.key").exists(), "it needs no key");
}
