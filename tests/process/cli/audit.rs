//! `stipend audit`.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use super::{fails, json as read_json, run, said, works};
use crate::support::app::{SECRET, TestApp};
use crate::support::database::TestDatabase;
use crate::support::server::{Server, command};

fn file(database: &TestDatabase, name: &str) -> String {
    database.folder.path().join(name).display().to_string()
}

#[tokio::test]
async fn the_operator_reads_proves_and_keeps_the_trail_beside_a_server() {
    let server = Server::start(&[]).await;
    let database = &server.database;
    let token = server.log_in();
    for _ in 0..3 {
        assert_eq!(server.read_pay(&token).status, 200);
    }
    let listed = works(database, &["audit", "list", "--limit", "2"]);
    assert_eq!(listed.lines().count(), 3, "{listed}");
    assert!(listed.contains("list_pay") && listed.contains("jdoe mturner"), "{listed}");
    let own = read_json(database, &["audit", "list", "--action", "read_audit"]);
    assert_eq!(own[0]["actor"], json!("operator"), "reading it is on record");
    let readers = read_json(database, &["audit", "readers", "jdoe"]);
    assert_eq!(readers["readers"].as_array().unwrap().len(), 3);
    assert!(fails(database, 1, &["audit", "readers", "nobody"]).contains("there is no person"));
    let exported = works(database, &["audit", "export", "--actor", "twilio"]);
    assert_eq!(exported.lines().count(), 5, "{exported}");
    assert!(fails(database, 2, &["audit", "list", "--action", "list"]).contains("list_pay"));

    let kept = file(database, "kept");
    let line = works(database, &["audit", "checkpoint"]);
    assert_eq!(line.lines().count(), 1);
    std::fs::write(&kept, &line).unwrap();
    server.read_pay(&token);
    let whole = works(database, &["audit", "verify", "--against", &kept]);
    assert!(whole.starts_with("The audit trail is whole, and as it was at every kept"), "{whole}");
    assert_eq!(read_json(database, &["audit", "verify"])["whole"], json!(true));
    fails(database, 2, &["audit", "verify", "--against", &file(database, "nothing")]);
    std::fs::write(file(database, "empty"), "\n").unwrap();
    fails(database, 2, &["audit", "verify", "--against", &file(database, "empty")]);
}

#[tokio::test]
async fn r82_a_changed_record_and_a_restored_older_backup_are_found() {
    let server = Server::start(&[]).await;
    let token = server.log_in();
    server.read_pay(&token);
    let database = &server.database;
    if database.url.starts_with("postgres") {
        crate::left_out("a backup of an SQLite file");
        return;
    }
    let backup = file(database, "backup.db");
    database.execute(&format!("VACUUM INTO '{backup}'")).await;
    server.read_pay(&token);
    let kept = file(database, "kept");
    std::fs::write(&kept, works(database, &["audit", "checkpoint"])).unwrap();

    let url = format!("sqlite:{backup}");
    let old = TestDatabase { url, folder: tempfile::tempdir().unwrap() };
    works(&old, &["audit", "verify"]);
    let found = fails(&old, 1, &["audit", "verify", "--against", &kept]);
    assert!(found.contains("are missing: they were there when the checkpoint"), "{found}");

    old.execute("DROP TRIGGER audit_is_never_changed").await;
    old.execute("UPDATE audit_records SET actor = 'eve' WHERE action = 'list_pay'").await;
    let output = run(&old, &["audit", "verify", "--json"], "");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let verdict: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verdict["whole"], json!(false));
    let id = old.number("SELECT record_id FROM audit_records WHERE actor = 'eve'").await;
    assert_eq!(verdict["flaw"]["record"], json!(id));
}

#[tokio::test]
async fn the_log_brings_checkpoints_off_the_machine() {
    let server = Server::start(&[]).await;
    server.log_in();
    let kept = file(&server.database, "kept");
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(100));
        if server.log().contains("\"checkpoint\":\"") {
            std::fs::write(&kept, server.log()).unwrap();
            works(&server.database, &["audit", "verify", "--against", &kept]);
            return;
        }
    }
    panic!("no checkpoint came: {}", server.log());
}

/// Killed at any moment, an archive has either taken nothing out of the database or is whole.
#[tokio::test]
async fn an_archive_that_is_killed_loses_no_record() {
    let (mut cut_short, mut finished) = (0, 0);
    let mut app = None;
    for round in 0..40 {
        // By the test's clock its records are months old by that of the command.
        let app = match &app {
            Some(app) => app,
            None => app.insert(old_trail().await),
        };
        let before = app.database.number(RECORDS).await;
        let archive = file(&app.database, &format!("{round}.jsonl"));
        let settings =
            [("ROCKET_DATABASE_URL", app.database.url.as_str()), ("ROCKET_JWT_SECRET", SECRET)];
        let command = |arguments: &[&str]| {
            let mut command = command(app.database.folder.path(), &settings);
            command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let mut child =
            command(&["audit", "archive", "--before", "2026-04-01", &archive]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(20 * (round % 20 + 1)));
        child.kill().unwrap();
        cut_short += i32::from(child.wait().unwrap().code().is_none());
        let left = app.database.number(RECORDS).await;
        if left == before {
            let verified = command(&["audit", "verify"]).status().unwrap();
            assert!(verified.success(), "round {round}: nothing was removed");
            continue;
        }
        finished += 1;
        assert_eq!(left, 1, "round {round}: all or nothing");
        let verified = command(&["audit", "verify", "--archive", &archive]).status().unwrap();
        assert!(verified.success(), "round {round}: what was removed is in the archive");
        assert!(!command(&["audit", "verify"]).status().unwrap().success());
        if cut_short > 0 {
            return;
        }
    }
    assert!(cut_short > 0 && finished > 0, "{cut_short} were killed, {finished} ended");
}

const RECORDS: &str = "SELECT COUNT(*) FROM audit_records";

async fn old_trail() -> TestApp {
    let app = TestApp::new().await;
    let caller = app.demo_user().await;
    for _ in 0..200 {
        assert_eq!(caller.read_pay().await.status, 200);
    }
    app
}
