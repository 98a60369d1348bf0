//! Stopping.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::cli::{fails, works};
use crate::support::database::is_postgres;
use crate::support::server::Server;

#[tokio::test]
async fn r64_sigterm_lets_a_request_finish_and_exits_0() {
    let mut server = Server::start(&[]).await;
    let body = "username=twilio&password=ahoy";
    let head = format!(
        "POST /jwt HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = server.connect();
    stream.write_all(head.as_bytes()).unwrap();
    // When the server asks for the body, the request is under way.
    let mut first = [0; 25];
    stream.read_exact(&mut first).unwrap();
    server.signal("TERM");
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(server.wait(), Some(0), "{}", server.log());
}

#[tokio::test]
async fn r64_idle_connections_do_not_hold_it_up() {
    let mut server = Server::start(&[]).await;
    let idle: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            stream
        })
        .collect();
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    drop(idle);
}

/// Whoever starts it may stop it as soon as it says where it is.
#[tokio::test]
async fn r64_a_signal_right_after_it_says_where_it_is_is_a_graceful_stop() {
    for _ in 0..5 {
        let mut server = Server::start(&[]).await;
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0), "{}", server.log());
    }
}

/// A client that has sent a part of a request is waited for as long as `shutdown.grace` and
/// `shutdown.mercy` say, and no longer; that it never sends the rest is no fault of the server's.
#[tokio::test]
async fn r64_a_request_that_never_comes_whole_does_not_hold_it_up() {
    let settings = [("ROCKET_SHUTDOWN", "{grace=1,mercy=1,signals=[\"term\"]}")];
    let body = "POST /jwt HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 39\r\n\r\n{";
    let header = "GET /live HTTP/1.1\r\nHos";
    let mut servers = Vec::new();
    // How such a connection ends is a matter of timing, so several are tried.
    for part in [header, body, ""].repeat(6) {
        servers.push((part, Server::start(&settings).await));
    }
    let stop = |part: &str, mut server: Server| {
        assert_eq!(server.request("GET", "/live", &[], "").status, 200);
        let mut stream = server.connect();
        stream.write_all(part.as_bytes()).unwrap();
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0), "{part:?}: {}", server.log());
    };
    thread::scope(|scope| {
        for (part, server) in servers {
            scope.spawn(move || stop(part, server));
        }
    });
}

/// A record that is cut off while the server is down is missed, though the last one was written a moment
/// before it stopped.
#[tokio::test]
async fn r82_the_log_ends_with_a_checkpoint_of_all_that_is_on_record() {
    let mut server = Server::start(&[]).await;
    let token = server.log_in();
    // There is one already that would do for a minute.
    while !server.log().contains("\"checkpoint\":\"") {
        thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(server.read_pay(&token).status, 200);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    let log = server.log();
    let last = log.lines().rfind(|line| line.contains("\"checkpoint\":\"")).unwrap();
    let last: serde_json::Value = serde_json::from_str(last).unwrap();
    let database = &server.database;
    let sum = "SELECT CAST(SUM(length) AS BIGINT) FROM audit_chains";
    assert_eq!(last["records"].as_i64(), Some(database.number(sum).await), "{last}");

    let kept = database.folder.path().join("kept").display().to_string();
    std::fs::write(&kept, &log).unwrap();
    let verify = ["audit", "verify", "--against", &kept];
    works(database, &verify);
    for table in ["audit_records", "audit_chains", "audit_subjects"] {
        if is_postgres() {
            database.execute(&format!("ALTER TABLE {table} DISABLE TRIGGER ALL")).await;
            continue;
        }
        let triggers = format!(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = '{table}'"
        );
        for trigger in database.texts(&triggers).await {
            database.execute(&format!("DROP TRIGGER {trigger}")).await;
        }
    }
    let cut = "(SELECT MAX(r.record_id) FROM audit_records r WHERE r.action = 'list_pay')";
    let end = "(SELECT c.chain FROM audit_records c WHERE c.action = 'list_pay')";
    for sql in [
        format!(
            "UPDATE audit_chains SET length = length - 1, head = COALESCE( \
               (SELECT r.hash FROM audit_records r \
                 WHERE r.chain = audit_chains.chain AND r.seq = audit_chains.length - 1), \
               {}) WHERE chain = {end}",
            if is_postgres() { "decode(repeat('00', 32), 'hex')" } else { "zeroblob(32)" }
        ),
        format!("DELETE FROM audit_subjects WHERE record_id = {cut}"),
        format!("DELETE FROM audit_records WHERE record_id = {cut}"),
    ] {
        database.execute(&sql).await;
    }
    works(database, &["audit", "verify"]);
    let found = fails(database, 1, &verify);
    assert!(found.contains("missing: they were there when the checkpoint"), "{found}");
}

#[tokio::test]
async fn r64_under_load_every_answer_that_begins_is_whole_and_on_record() {
    let mut server = Server::start(&[]).await;
    let token = format!("Authorization: Bearer {}", server.log_in());
    let (address, given) = (server.address, AtomicUsize::new(0));
    let read = || {
        use crate::support::server::request_on;
        while let Some(answer) = request_on(address, "GET", "/bearer", &[&token], "") {
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.field("Content-Length"), Some("84"));
            assert_eq!(answer.body.len(), 84, "an answer was cut off");
            given.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(read);
        }
        while given.load(Ordering::Relaxed) < 20 {
            thread::yield_now();
        }
        server.signal("TERM");
        let code = server.wait();
        assert_eq!(code, Some(0), "{:?}", server.log().lines().last());
    });
    if !is_postgres() {
        let log = server.database.folder.path().join("stipend.db-wal");
        assert!(!log.exists(), "all is in the one file that an operator copies");
    }
    let reads = "SELECT COUNT(*) FROM audit WHERE action = 'list_pay'";
    let recorded = server.database.number(reads).await;
    assert!(recorded >= i64::try_from(given.into_inner()).unwrap());
}

/// More wait for their records than are written at once, and something holds the writing up.
#[tokio::test]
async fn r64_whoever_waits_for_a_record_when_it_is_stopped_gets_an_answer_that_is_on_record() {
    let mut server = Server::start(&[]).await;
    let token = format!("Authorization: Bearer {}", server.log_in());
    for _ in 0..3 {
        assert_eq!(server.request("GET", "/bearer", &[&token], "").status, 200);
    }
    let lock = server.database.lock().await;
    let read = format!("GET /bearer HTTP/1.1\r\nHost: x\r\n{token}\r\nConnection: close\r\n\r\n");
    let waiting: Vec<_> = (0..300)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(read.as_bytes()).unwrap();
            stream
        })
        .collect();
    // Only what has come to the server is under way.
    assert_eq!(server.request("GET", "/live", &[], "").status, 200);
    thread::sleep(Duration::from_secs(1));
    server.signal("TERM");
    thread::sleep(Duration::from_millis(500));
    lock.release().await;
    for mut stream in waiting {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("$2000.00"), "{answer}");
    }
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    let reads = "SELECT COUNT(*) FROM audit WHERE action = 'list_pay'";
    assert_eq!(server.database.number(reads).await, 303);
}
