//! The command line.

use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::support::database::TestDatabase;
use crate::support::server::{Server, command};

const PASSWORD: &str = "correct horse battery staple";

fn run(database: &TestDatabase, arguments: &[&str], input: &str) -> Output {
    let mut child = command(database.folder.path(), &[("ROCKET_DATABASE_URL", &database.url)])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
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
    let records = "SELECT COUNT(*) FROM audit WHERE action = 'add_user' AND actor = 'operator'";
    assert_eq!(database.number(records).await, 2);

    let server = Server::start_on(database, &[]);
    assert_eq!(log_in(&server, "alice"), 200);
    assert_eq!(log_in(&server, "acme/bob"), 200);
    assert_eq!(log_in(&server, "bob"), 401, "bob is in another org");
}

#[tokio::test]
async fn a_bad_name_or_password_adds_nobody() {
    let database = TestDatabase::new().await;
    for (name, password) in [
        ("Alice", PASSWORD),
        ("a b", PASSWORD),
        ("", PASSWORD),
        ("alice", "too short"),
        ("alice", ""),
    ] {
        let output = run(&database, &["user", "add", name], password);
        assert_eq!(output.status.code(), Some(1), "{name}: {}", said(&output));
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
    for word in ["serve", "migrate", "user", "Exit codes"] {
        assert!(said(&help).contains(word), "{word}");
    }
    assert_eq!(run(&database, &["sevre"], "").status.code(), Some(2));
}
