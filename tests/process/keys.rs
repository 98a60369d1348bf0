//! The ring beside servers that run: nothing is lost, and nothing waits for a restart.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::cli::{fails, json, run, said, works};
use crate::support::database::TestDatabase;
use crate::support::server::{BINARY, Server, command};

/// What a running server may take to notice (R17).
const AT_ONCE: Duration = Duration::from_secs(1);

/// The ids of the keys for tokens that have a status.
fn keys(database: &TestDatabase, status: &str) -> Vec<String> {
    let all = json(database, &["key", "list"]);
    let all = all.as_array().unwrap().iter();
    all.filter(|key| key["purpose"] == "tokens" && key["status"] == status)
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

fn signing(database: &TestDatabase) -> String {
    let [key] = &keys(database, "signing")[..] else { panic!("one signs") };
    key.clone()
}

/// The header of a token.
fn header(token: &str) -> Value {
    let segment = token.split('.').next().unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(segment).unwrap()).unwrap()
}

/// The same database, with a folder of its own that has the same key.
fn beside(database: &TestDatabase) -> TestDatabase {
    let folder = tempfile::tempdir().unwrap();
    let key = "stipend.key";
    std::fs::copy(database.folder.path().join(key), folder.path().join(key)).unwrap();
    TestDatabase { url: database.url.clone(), folder }
}

/// Asks until it is so, for as long as a server may take to notice.
fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    #[expect(clippy::disallowed_methods, reason = "how long it really takes")]
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < AT_ONCE, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn r19d_rotation_under_load_fails_no_request() {
    let server = Server::start(&[]).await;
    let other = Server::start_on(beside(&server.database), &[]);
    let database = &server.database;
    let (stop, requests, logins) =
        (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let old = server.log_in();
    let client = |number: usize| {
        // Each signs in at one server and reads at the other.
        let (here, there) =
            if number.is_multiple_of(2) { (&server, &other) } else { (&other, &server) };
        let mut used = std::collections::BTreeSet::new();
        while !stop.load(Ordering::Relaxed) {
            let token = here.log_in();
            used.insert(header(&token)["alg"].as_str().unwrap().to_owned());
            logins.fetch_add(1, Ordering::Relaxed);
            for server in [there, here] {
                let answer = server.read_pay(&token);
                assert_eq!(answer.status, 200, "{}: {answer:?}", header(&token));
                requests.fetch_add(1, Ordering::Relaxed);
            }
            assert_eq!(there.read_pay(&old).status, 200, "a token from before");
        }
        used
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|number| scope.spawn(move || client(number))).collect();
        let mut last = signing(database);
        for algorithm in ["eddsa", "hs256"] {
            let new = works(database, &["key", "add", "--algorithm", algorithm]).trim().to_owned();
            works(database, &["key", "promote", &new]);
            let lead = if algorithm == "eddsa" { 13 } else { 3 };
            thread::sleep(Duration::from_millis(lead * 1000 + 500));
            assert_eq!(signing(database), new);
            works(database, &["key", "retire", &last]);
            thread::sleep(Duration::from_millis(1500));
            last = new;
        }
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            let used: Vec<String> = client.join().unwrap().into_iter().collect();
            assert_eq!(used, ["EdDSA", "HS256"], "each has seen both");
        }
    });
    assert_eq!(keys(database, "retiring").len(), 2);
    assert!(logins.load(Ordering::Relaxed) > 20 && requests.load(Ordering::Relaxed) > 40);
}

#[tokio::test]
async fn r17_r19d_an_emergency_acts_at_the_next_request_on_every_server() {
    let server = Server::start(&[]).await;
    let other = Server::start_on(beside(&server.database), &[]);
    let database = &server.database;
    let leaked = signing(database);
    let tokens = [server.log_in(), other.log_in(), server.log_in()];
    let ended = run(database, &["key", "retire", &leaked, "--now"], "");
    for token in &tokens {
        assert_eq!(other.read_pay(token).status, 401);
        assert_eq!(server.read_pay(token).status, 401);
    }
    let told = said(&ended);
    assert!(ended.status.success() && ended.stdout.is_empty(), "{told}");
    let heir = signing(database);
    for words in [
        &format!("the key {leaked} has ended, and with it 3 sessions\n"),
        &format!("the new key {heir} signs from now on\n"),
        "this is the configured key, which also seals the others",
    ] {
        assert!(told.contains(words), "{told}");
    }
    // No login or read waits for the servers to read the ring.
    for (here, there) in [(&server, &other), (&other, &server)] {
        let token = here.log_in();
        assert_eq!(header(&token)["kid"], heir);
        assert_eq!(there.read_pay(&token).status, 200);
    }
    let all = json(database, &["key", "list"]);
    let gone = all.as_array().unwrap().iter().find(|key| key["kid"] == leaked).unwrap();
    assert_eq!((&gone["status"], &gone["sessions_ended"]), (&"gone".into(), &3.into()));
}

#[tokio::test]
async fn running_servers_notice_within_a_second_without_being_asked() {
    let server = Server::start(&[]).await;
    let other = Server::start_on(beside(&server.database), &[]);
    let published = |server: &Server| {
        let answer = server.request("GET", "/.well-known/jwks.json", &[], "");
        serde_json::from_str::<Value>(&answer.body).unwrap()["keys"].as_array().unwrap().len()
    };
    let kid = works(&server.database, &["key", "add", "--algorithm", "eddsa"]).trim().to_owned();
    for server in [&server, &other] {
        soon("the key that was added is published", || published(server) == 1);
    }
    works(&server.database, &["key", "retire", &kid, "--now"]);
    for server in [&server, &other] {
        soon("the key that has ended is not", || published(server) == 0);
    }
}

#[tokio::test]
async fn r102_kill_9_loses_no_change_of_the_ring() {
    let mut server = Server::start(&[]).await;
    let first = signing(&server.database);
    let mut tokens = vec![(first.clone(), server.log_in())];
    for algorithm in ["eddsa", "hs256"] {
        let database = &server.database;
        let new = works(database, &["key", "add", "--algorithm", algorithm]).trim().to_owned();
        let past = format!("UPDATE keys SET added_at = added_at - 60000 WHERE kid = '{new}'");
        database.execute(&past).await;
        works(database, &["key", "promote", &new]);
        server.signal("KILL");
        server = server.kill_and_restart(&[]);
        tokens.push((new, server.log_in()));
    }
    for (kid, token) in &tokens {
        assert_eq!(
            (&header(token)["kid"], server.read_pay(token).status),
            (&kid.as_str().into(), 200)
        );
    }
    works(&server.database, &["key", "retire", &tokens[1].0, "--now"]);
    server.signal("KILL");
    let mut server = server.kill_and_restart(&[]);
    let statuses: Vec<u16> =
        tokens.iter().map(|(_, token)| server.read_pay(token).status).collect();
    assert_eq!(statuses, [200, 401, 200]);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    let log = server.log();
    assert!(!log.contains("\"level\":\"ERROR\"") && !log.contains("failed"), "{log}");
}

#[tokio::test]
async fn the_commands_say_what_they_did_and_never_a_secret() {
    let database = TestDatabase::new().await;
    assert!(run(&database, &["migrate"], "").status.success());
    assert_eq!(
        works(&database, &["key", "list"]),
        "KID  FOR  ALGORITHM  STATUS  ADDED  SESSIONS  NOTE\n"
    );
    assert!(!database.folder.path().join("stipend.key").exists(), "a look needs no key");
    let added = run(&database, &["key", "add"], "");
    let new = String::from_utf8(added.stdout.clone()).unwrap().trim().to_owned();
    assert!(
        said(&added).contains(&format!("added the HS256 key {new} for tokens")),
        "{}",
        said(&added)
    );
    let text = std::fs::read_to_string(database.folder.path().join("stipend.key")).unwrap();

    let [root] = &keys(&database, "signing")[..] else { panic!("the configured key") };
    let told = fails(&database, 1, &["key", "retire", root]);
    assert!(told.contains("promote another first") && told.contains("--now"), "{told}");
    let promoted = json(&database, &["key", "promote", &new]);
    assert_eq!((&promoted["kid"], &promoted["status"]), (&new.as_str().into(), &"next".into()));
    let told = said(&run(&database, &["key", "retire", root], ""));
    assert!(told.contains(&format!("the key {root} signs nothing from 2")), "{told}");
    let list = works(&database, &["key", "list"]);
    for words in ["the configured key; signs until 2", "next", "checkpoints  EdDSA      signing"] {
        assert!(list.contains(words), "{list}");
    }
    for all in [list, json(&database, &["key", "list"]).to_string()] {
        assert!(!all.contains(text.trim()) && !all.contains("v1."), "{all}");
    }
    let checkpoints = json(&database, &["key", "add", "--for", "checkpoints"]);
    assert_eq!(
        (&checkpoints["algorithm"], &checkpoints["status"]),
        (&"EdDSA".into(), &"verifying".into())
    );
    assert_eq!(checkpoints["public_key"].as_str().unwrap().len(), 43);

    for wrong in [
        &["key"][..],
        &["key", "add", "--algorithm", "none"],
        &["key", "add", "--algorithm", "rs256"],
        &["key", "promote"],
        &["key", "retire"],
        &["key", "change-root"],
        &["key", "change-root", "--lost", "--old-file", "x"],
        &["key", "add", "--algorithm", "eddsa", "--file", "stipend.key"],
    ] {
        fails(&database, 2, wrong);
    }
    for wrong in [&["key", "promote", "nope"][..], &["key", "retire", "nope", "--now"]] {
        assert!(fails(&database, 1, wrong).contains("there is no such key: stipend key list"));
    }
}

#[tokio::test]
async fn r18_r90_a_key_is_taken_from_a_private_file_that_holds_a_strong_one() {
    let database = TestDatabase::new().await;
    let file = database.folder.path().join("shared.key");
    let text = "mJ0uX3yQ7fKp2sVd9wZr4tBn6hLc8gEa1iOo5kTxYvU";
    let add = ["key", "add", "--file", "shared.key"];
    assert!(fails(&database, 1, &add).contains("shared.key cannot be read"));
    for (text, mode, words) in [
        ("hunter2", 0o600, "must be at least 32"),
        ("a-string-secret-at-least-256-bits-long", 0o600, "published sample"),
        (text, 0o640, "chmod 600"),
        (text, 0o604, "chmod 600"),
    ] {
        std::fs::write(&file, format!("{text}\n")).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        let told = fails(&database, 1, &add);
        assert!(told.contains(words) && !told.contains(text), "{told}");
    }
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    let kid = works(&database, &add).trim().to_owned();
    assert!(fails(&database, 1, &add).contains("exists already"));
    let past = format!("UPDATE keys SET added_at = added_at - 60000 WHERE kid = '{kid}'");
    database.execute(&past).await;
    works(&database, &["key", "promote", &kid]);
    let server = Server::start_on(database, &[]);
    let token = server.log_in();
    assert_eq!(header(&token)["kid"], kid);
    // Whoever has the text verifies with it, as with any HS256 key.
    let key = hmac_key(text);
    let (message, tag) = token.rsplit_once('.').unwrap();
    let tag = BASE64_URL_SAFE_NO_PAD.decode(tag).unwrap();
    assert!(ring::hmac::verify(&key, message.as_bytes(), &tag).is_ok());
}

fn hmac_key(text: &str) -> ring::hmac::Key {
    ring::hmac::Key::new(ring::hmac::HMAC_SHA256, text.as_bytes())
}

#[tokio::test]
async fn a_configured_key_that_is_missing_or_another_is_told_and_can_be_changed() {
    let server = Server::start(&[]).await;
    let (token, root) = (server.log_in(), signing(&server.database));
    let folder = server.database.folder.path().to_owned();
    let (key, old) = (folder.join("stipend.key"), folder.join("old.key"));
    std::fs::rename(&key, &old).unwrap();
    let url = server.database.url.clone();
    let start = || {
        let (_, told) =
            crate::startup::refused(&mut command(&folder, &[("ROCKET_DATABASE_URL", &url)]));
        assert!(!key.exists(), "no key is made in its place: {told}");
        told
    };
    let told = start();
    assert!(told.contains("stipend.key is missing") && told.contains(&root), "{told}");
    let told = fails(&server.database, 1, &["key", "add"]);
    assert!(told.contains("stipend.key is missing") && !key.exists(), "{told}");

    // The operator's shell has other settings than the servers.
    let other = "another-key-6fGh2Kd9Lq0Zx7Cv5Bn3Mw1Pt8Ry4Us";
    let with_other = |arguments: &[&str]| {
        let settings = [("ROCKET_DATABASE_URL", url.as_str()), ("ROCKET_JWT_SECRET", other)];
        command(&folder, &settings).args(arguments).output().unwrap()
    };
    let told = said(&with_other(&["key", "add"]));
    assert!(told.contains("set the right key") && !told.contains(other), "{told}");
    let changed = with_other(&["key", "change-root", "--old-file", "old.key"]);
    assert!(changed.status.success(), "{}", said(&changed));
    assert!(said(&changed).contains("start every server again"), "{}", said(&changed));
    // The server that runs goes on, and one with the new key knows the old tokens.
    assert_eq!(server.read_pay(&token).status, 200);
    assert_eq!(server.read_pay(&server.log_in()).status, 200);
    let beside = TestDatabase { url: url.clone(), folder: tempfile::tempdir().unwrap() };
    let renewed = Server::start_on(beside, &[("ROCKET_JWT_SECRET", other)]);
    assert_eq!(renewed.read_pay(&token).status, 200);
    assert_eq!(renewed.read_pay(&server.log_in()).status, 200);
    assert_eq!(server.read_pay(&renewed.log_in()).status, 200);

    // Everything is lost: one command, which makes the key too.
    let lost = run(&server.database, &["key", "change-root", "--lost"], "");
    assert!(lost.status.success() && key.exists(), "{}", said(&lost));
    let mode = std::fs::metadata(&key).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert_eq!(renewed.read_pay(&token).status, 401);
    assert_eq!(server.read_pay(&token).status, 401);
    drop(renewed);
    let server = server.kill_and_restart(&[]);
    assert_eq!(server.read_pay(&server.log_in()).status, 200);
    assert_eq!(server.read_pay(&token).status, 401);
}

#[tokio::test]
async fn many_first_starts_at_once_begin_one_ring() {
    let database = TestDatabase::new().await;
    let folder = database.folder.path();
    let start = || {
        std::process::Command::new(BINARY)
            .args(["key", "add"])
            .env_clear()
            .env("ROCKET_DATABASE_URL", &database.url)
            .current_dir(folder)
            .output()
            .unwrap()
    };
    let outputs: Vec<_> = thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    for output in &outputs {
        assert!(output.status.success(), "{}", said(output));
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM sealing").await, 1);
    assert_eq!(database.number("SELECT COUNT(*) FROM keys").await, 10);
    let server = Server::start_on(database, &[]);
    assert_eq!(server.read_pay(&server.log_in()).status, 200);
}
