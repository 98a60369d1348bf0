//! `stipend audit`.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use super::{fails, json as read_json, run, said, works};
use crate::support::app::{SECRET, TestApp};
use crate::support::database::{TestDatabase, is_postgres};
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
    if is_postgres() {
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
async fn r82_an_archive_that_is_killed_loses_no_record() {
    let app = old_trail().await;
    #[expect(clippy::disallowed_methods, reason = "how long one takes that nobody kills")]
    let began = std::time::Instant::now();
    let archive = file(&app.database, "whole.jsonl");
    assert!(archiving(&app, &archive).spawn().unwrap().wait().unwrap().success());
    let whole = began.elapsed();
    assert_eq!(app.database.number(RECORDS).await, 1);

    let (mut app, mut cut_short, mut moved) = (old_trail().await, 0, 0);
    let mut left_behind = 0;
    for round in 0..60 {
        let before = app.database.number(RECORDS).await;
        let archive = file(&app.database, &format!("{round}.jsonl"));
        let mut child = archiving(&app, &archive).spawn().unwrap();
        // Spread evenly over the whole of it, in no order; later on over more, if it takes longer by then.
        let part = f64::from((round * 7 % 20 + 1) * (1 + round / 20)) / 20.0;
        std::thread::sleep(whole.mul_f64(part));
        child.kill().unwrap();
        cut_short += i32::from(child.wait().unwrap().code().is_none());
        let (left, there) = (app.database.number(RECORDS).await, Path::new(&archive).exists());
        if left == before {
            assert_eq!(verified(&app, &[]), Some(0), "round {round}: nothing was removed");
            left_behind += i32::from(there);
        } else {
            assert_eq!(left, 1, "round {round}: all or nothing");
            let says = format!("round {round}: what was removed is in the archive");
            assert_eq!(verified(&app, &["--archive", &archive]), Some(0), "{says}");
            assert_eq!(verified(&app, &[]), Some(1), "{says}, and nowhere else");
            moved += 1;
            app = old_trail().await;
        }
        if cut_short >= 10 && moved > 0 {
            break;
        }
    }
    assert!(cut_short >= 10 && moved > 0, "{cut_short} were killed, {moved} moved records");
    // What an earlier one has left behind is in nobody's way, and is told from an archive.
    let archive = file(&app.database, "last.jsonl");
    assert!(archiving(&app, &archive).status().unwrap().success());
    assert_eq!(verified(&app, &["--archive", &archive]), Some(0), "{left_behind} files were left");
}

const RECORDS: &str = "SELECT COUNT(*) FROM audit_records";

fn with_secret(app: &TestApp, arguments: &[&str]) -> std::process::Command {
    let settings =
        [("ROCKET_DATABASE_URL", app.database.url.as_str()), ("ROCKET_JWT_SECRET", SECRET)];
    let mut command = command(app.database.folder.path(), &settings);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The command that archives all records of an old trail.
fn archiving(app: &TestApp, archive: &str) -> std::process::Command {
    with_secret(app, &["audit", "archive", "--before", "2026-04-01", archive])
}

fn verified(app: &TestApp, arguments: &[&str]) -> Option<i32> {
    with_secret(app, &[&["audit", "verify"], arguments].concat()).status().unwrap().code()
}

/// By the test's clock its records are months old by that of the command.
async fn old_trail() -> TestApp {
    let app = TestApp::new().await;
    let caller = app.demo_user().await;
    for _ in 0..200 {
        assert_eq!(caller.read_pay().await.status, 200);
    }
    app
}

/// An auditor keeps the public keys elsewhere, and is told by which keys the trail was believed.
#[tokio::test]
async fn r82_the_kept_keys_alone_are_believed_and_the_output_says_which_they_are() {
    let server = Server::start(&[]).await;
    server.log_in();
    let database = &server.database;
    let (kept, keys) = (file(database, "kept"), file(database, "keys.json"));
    std::fs::write(&kept, works(database, &["audit", "checkpoint"])).unwrap();
    let published = server.request("GET", "/.well-known/checkpoint-keys.json", &[], "").body;
    std::fs::write(&keys, &published).unwrap();
    let set: serde_json::Value = serde_json::from_str(&published).unwrap();
    let kid = set["keys"][0]["kid"].as_str().unwrap();

    let by_itself = run(database, &["audit", "verify", "--against", &kept], "");
    let (said_out, said_err) = (text(&by_itself.stdout), text(&by_itself.stderr));
    assert!(said_out.contains(&format!("key {kid}: believed, since it is in the database\n")));
    assert!(said_err.contains("--keys FILE"), "{said_err}");
    let by_kept = run(database, &["audit", "verify", "--against", &kept, "--keys", &keys], "");
    assert_eq!(by_kept.status.code(), Some(0), "{}", said(&by_kept));
    let says = format!("key {kid}: believed, since it is in {keys}\n");
    assert!(text(&by_kept.stdout).contains(&says), "{}", said(&by_kept));
    assert_eq!(text(&by_kept.stderr), "");
    let asked = ["audit", "verify", "--against", &kept, "--keys", &keys];
    let verdict = read_json(database, &asked);
    assert_eq!(verdict["keys"], json!([{ "kid": kid, "from": keys }]));
    assert_eq!(verdict["keys_not_kept"], json!([]));

    // A key that the auditor has not heard of: told, and not believed.
    let new = works(database, &["key", "add", "--for", "checkpoints"]);
    let told = run(database, &asked, "");
    assert!(text(&told.stderr).contains(&format!("has the key {}", new.trim())), "{}", said(&told));
    assert_eq!(read_json(database, &asked)["keys_not_kept"], json!([new.trim()]));
    std::fs::write(&keys, published.replace(kid, new.trim())).unwrap();
    assert!(fails(database, 1, &asked).contains("has another key than"));
    for odd in ["", "{}", "{\"keys\":[]}"] {
        std::fs::write(&keys, odd).unwrap();
        assert!(fails(database, 2, &asked).contains(&keys), "{odd}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// An older copy of the whole database was put back, and has grown since, so that it is longer than
/// what was lost: only what was kept elsewhere tells.
#[tokio::test]
async fn r82_a_backup_that_was_put_back_is_found_though_it_has_grown_since() {
    let mut server = Server::start(&[]).await;
    let token = server.log_in();
    server.read_pay(&token);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let backup = copy(&server.database, "older").await;
    let mut server = server.kill_and_restart(&[]);
    for _ in 0..2 {
        assert_eq!(server.read_pay(&token).status, 200);
    }
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    // The log, which is on another machine.
    let elsewhere = tempfile::tempdir().unwrap();
    let kept = elsewhere.path().join("log").display().to_string();
    std::fs::write(&kept, server.log()).unwrap();
    works(&server.database, &["audit", "verify", "--against", &kept]);

    let mut restored = Server::start_on(backup, &[]);
    for _ in 0..4 {
        assert_eq!(restored.read_pay(&token).status, 200, "it works as if nothing were");
    }
    restored.signal("TERM");
    assert_eq!(restored.wait(), Some(0));
    works(&restored.database, &["audit", "verify"]);
    let found = fails(&restored.database, 1, &["audit", "verify", "--against", &kept]);
    assert!(found.contains("it is another record than when the checkpoint"), "{found}");
}

/// A copy of a database that nobody has open, with the key that it is sealed under.
async fn copy(database: &TestDatabase, name: &str) -> TestDatabase {
    let folder = tempfile::tempdir().unwrap();
    let from = database.folder.path();
    std::fs::copy(from.join("stipend.key"), folder.path().join("stipend.key")).unwrap();
    if !is_postgres() {
        let file = folder.path().join("stipend.db");
        std::fs::copy(from.join("stipend.db"), &file).unwrap();
        return TestDatabase { url: format!("sqlite:{}", file.display()), folder };
    }
    // Each test has a schema of one database: as pg_dump and pg_restore would, into another name.
    let (base, schema) = database.url.split_once("options[search_path]=").unwrap();
    let other = format!("{schema}_{name}");
    dump_into(base.trim_end_matches(['?', '&']), schema, &other);
    TestDatabase { url: format!("{base}options[search_path]={other}"), folder }
}

/// Dumps a schema, and restores it under another name.
fn dump_into(url: &str, schema: &str, other: &str) {
    let dump = std::process::Command::new("pg_dump")
        .args(["--schema", schema, "--no-owner", "--dbname", url])
        .output()
        .expect("pg_dump, of PostgreSQL's client");
    assert!(dump.status.success(), "{}", text(&dump.stderr));
    let sql = text(&dump.stdout).replace(schema, other);
    let mut restore = std::process::Command::new("psql")
        .args(["--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", url])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    restore.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
    assert!(restore.wait().unwrap().success());
}
