//! What was acknowledged is there, whatever happens.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::left_out;
use crate::support::chain::verify;
use crate::support::database::is_postgres;
use crate::support::server::{Answer, Server};

/// What clients were told.
#[derive(Default)]
struct Acknowledged {
    ids: Vec<String>,
    tokens: Vec<String>,
}

/// One client that signs in and reads until told to stop; the request ids and tokens of answers
/// that came.
fn write_until(stop: &AtomicBool, server: &Server, acknowledged: &Mutex<Acknowledged>) {
    let body = "username=twilio&password=ahoy";
    let form = "Content-Type: application/x-www-form-urlencoded";
    let host = server.address;
    let log_in = format!(
        "POST /jwt HTTP/1.1\r\nHost: {host}\r\n{form}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    while !stop.load(Ordering::Relaxed) {
        let Some(answer) = server.send(log_in.as_bytes()) else { continue };
        let Some(token) = answer.field("access_token") else { continue };
        let read = format!(
            "GET /bearer HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        acknowledged.lock().unwrap().tokens.push(token.to_owned());
        let answers = [Some(answer.clone()), server.send(read.as_bytes())];
        for answer in answers.into_iter().flatten().filter(|answer| answer.status == 200) {
            let id = answer.field("X-Request-Id").unwrap().to_owned();
            acknowledged.lock().unwrap().ids.push(id);
        }
    }
}

#[tokio::test]
async fn r64_r102_kill_9_loses_no_acknowledged_write_twenty_times() {
    let mut server = Server::start(&[]).await;
    let acknowledged = Mutex::new(Acknowledged::default());
    for round in 0..20 {
        let stop = AtomicBool::new(false);
        let before = acknowledged.lock().unwrap().ids.len();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| write_until(&stop, &server, &acknowledged));
            }
            // Killed while it writes: as soon as some answers have come, at a different point of
            // the work each time.
            while acknowledged.lock().unwrap().ids.len() < before + 3 + round % 5 {
                thread::sleep(Duration::from_millis(1));
            }
            server.signal("KILL");
            stop.store(true, Ordering::Relaxed);
        });
        server = server.kill_and_restart(&[]);
        for token in std::mem::take(&mut acknowledged.lock().unwrap().tokens) {
            assert_eq!(server.read_pay(&token).status, 200, "a session was lost in round {round}");
        }
    }
    let recorded = server.database.texts("SELECT request_id FROM audit").await;
    let acknowledged = acknowledged.into_inner().unwrap().ids;
    assert!(acknowledged.len() >= 60);
    for id in &acknowledged {
        assert!(recorded.contains(id), "an answer went out without its record: {id}");
    }
    let logins = server.database.number("SELECT COUNT(*) FROM audit WHERE action = 'log_in'").await;
    let sessions = server.database.number("SELECT COUNT(*) FROM sessions").await;
    assert_eq!(logins, sessions, "a login and its record are one");
    verify(&server.database).await;
    if !is_postgres() {
        assert_eq!(server.database.texts("PRAGMA integrity_check").await, ["ok"]);
    }
}

#[tokio::test]
async fn r102_32_writers_at_once_never_meet_a_lock() {
    let server = Server::start(&[]).await;
    let token = server.log_in();
    let answers = thread::scope(|scope| {
        let clients: Vec<_> = (0..32)
            .map(|_| {
                scope.spawn(|| (0..5).map(|_| server.read_pay(&token).status).collect::<Vec<u16>>())
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<u16>>()
    });
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    let reads = "SELECT COUNT(*) FROM audit WHERE action = 'list_pay'";
    assert_eq!(server.database.number(reads).await, 160);
}

#[tokio::test]
async fn r102_32_clients_that_sign_in_and_read_meet_nothing_worse_than_try_again() {
    let server = Server::start(&[]).await;
    let form = "Content-Type: application/x-www-form-urlencoded";
    let client = || {
        let mut answers = Vec::new();
        for _ in 0..3 {
            let login = server.request("POST", "/jwt", &[form], "username=twilio&password=ahoy");
            let token = login.field("access_token").map(str::to_owned);
            answers.push(login);
            answers.extend(token.map(|token| server.read_pay(&token)));
        }
        answers
    };
    let answers: Vec<_> = thread::scope(|scope| {
        let clients: Vec<_> = (0..32).map(|_| scope.spawn(client)).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let (done, later): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 200);
    let try_again = |answer: &Answer| answer.status == 503 && answer.field("Retry-After").is_some();
    assert!(later.iter().all(try_again), "{later:?}");
    let records = "SELECT COUNT(*) FROM audit WHERE action IN ('log_in', 'list_pay')";
    assert_eq!(server.database.number(records).await, i64::try_from(done.len()).unwrap());
    assert!(done.len() >= 96, "most were let in: {}", done.len());
}

#[tokio::test]
async fn r102_while_another_process_holds_the_lock_nothing_is_given() {
    if is_postgres() {
        return left_out("a locked file: PostgreSQL locks no whole file");
    }
    use sqlx::{Connection, Executor};
    let server = Server::start(&[]).await;
    let token = server.log_in();
    let mut lock = sqlx::SqliteConnection::connect(&server.database.url).await.unwrap();
    lock.execute("BEGIN IMMEDIATE").await.unwrap();
    let answer = server.read_pay(&token);
    assert_eq!((answer.status, answer.field("Retry-After")), (503, Some("1")), "{answer:?}");
    assert!(!answer.body.contains('$'));
    lock.execute("ROLLBACK").await.unwrap();
    assert_eq!(server.read_pay(&token).status, 200, "it recovers by itself");
    verify(&server.database).await;
}
