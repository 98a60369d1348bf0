//! What was acknowledged is there, whatever happens.

use std::thread;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

use crate::cli::works;
use crate::load::{Load, Work, now};
use crate::support::chain::verify;
use crate::support::database::is_postgres;
use crate::support::server::{Answer, Server};

/// How often the server is killed.
const KILLS: u32 = 50;

/// Up to 128 ms, of which one as likely as another.
#[expect(
    clippy::disallowed_methods,
    reason = "a test that kills at the same moments would miss others"
)]
fn moment() -> Duration {
    let mut byte = [0];
    SystemRandom::new().fill(&mut byte).unwrap();
    Duration::from_micros(u64::from(byte[0]) * 500)
}

#[tokio::test]
async fn r64_r102_kill_9_at_any_moment_loses_nothing_that_was_acknowledged_fifty_times() {
    let mut server = Server::start(&[]).await;
    Load::allow(&server.database).await;
    let (token, load) = (server.log_in(), Load::default());
    let mut slowest = Duration::ZERO;
    const ALL: [Work; 6] =
        [Work::List, Work::Sum, Work::History, Work::Export, Work::Change, Work::LogIn];
    let done = |work| load.got().iter().filter(|got| got.work == work && got.is_success()).count();
    let mut round = 0;
    // On a slow machine few sign-ins are over before a kill: then there are more of these.
    while round < KILLS || (round < 4 * KILLS && ALL.into_iter().any(|work| done(work) < 10)) {
        round += 1;
        let before = load.got().len();
        thread::scope(|scope| {
            load.clients(scope, server.address, &token);
            load.wait_for(1);
            thread::sleep(moment());
            server.signal("KILL");
            load.stop();
        });
        let killed = now();
        server = server.kill_and_restart(&[]);
        slowest = slowest.max(killed.elapsed());
        let opened: Vec<String> = load.got()[before..]
            .iter()
            .filter_map(|got| got.answer.field("access_token").map(str::to_owned))
            .collect();
        for token in opened {
            assert_eq!(server.read_pay(&token).status, 200, "a session was lost in round {round}");
        }
        if round % 10 == 0 {
            load.prove(&server.database).await;
            works(&server.database, &["audit", "verify"]);
        }
    }
    assert!(slowest < Duration::from_secs(10), "it starts at once: {slowest:?}");
    for work in ALL {
        assert!(done(work) >= 10, "{work:?}: {}", done(work));
    }
    assert!(load.unanswered() > 0, "it was killed while it was busy");
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

/// As a backup or a careless administrator may hold it: on SQLite the one lock, on PostgreSQL a lock on
/// the table of records.
#[tokio::test]
async fn r102_while_another_process_holds_the_lock_for_30_s_nothing_is_given_and_nobody_hangs() {
    let server = Server::start(&[]).await;
    Load::allow(&server.database).await;
    let (token, load) = (server.log_in(), Load::default());
    assert_eq!(server.read_pay(&token).status, 200);
    let reads = "SELECT COUNT(*) FROM audit WHERE permission = 'read'";
    let others = "SELECT COUNT(*) FROM audit WHERE permission IS NULL OR permission <> 'read'";
    let before = (server.database.number(reads).await, server.database.number(others).await);
    let lock = server.database.lock().await;
    thread::scope(|scope| {
        for _ in 0..2 {
            load.clients(scope, server.address, &token);
        }
        thread::sleep(Duration::from_secs(30));
        assert_eq!(load.successes(), 0, "{:?}", load.got());
        load.stop();
        assert_eq!(server.request("GET", "/live", &[], "").status, 200);
    });
    // Those who asked last have been told within their own time.
    assert_eq!((load.successes(), load.unanswered()), (0, 0), "{:?}", load.got());
    let asked = load.got().len();
    assert!(asked >= 16, "each was told more than once: {asked}");
    lock.release().await;
    let released = now();
    assert_eq!(server.read_pay(&token).status, 200, "it recovers by itself");
    server.log_in();
    assert!(released.elapsed() < Duration::from_secs(5), "at once: {:?}", released.elapsed());
    load.prove(&server.database).await;
    // A read may be on record that was not given, but nothing is done that was said not to be.
    assert!(server.database.number(reads).await > before.0);
    assert_eq!(server.database.number(others).await, before.1 + 1, "the sign-in");
    verify(&server.database).await;
}
