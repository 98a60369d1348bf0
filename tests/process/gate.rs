//! The gate before the hashing threads.

use std::sync::Barrier;
use std::thread;

use crate::support::server::{Answer, Server};

/// More than may wait for all hashing threads of a machine of so many cores, and be hashed.
fn more_than_the_queue_holds() -> usize {
    thread::available_parallelism().unwrap().get() * 64 + 100
}

#[tokio::test]
async fn r46_past_the_queue_a_login_is_turned_away_and_reads_go_on() {
    let server = Server::start(&[("ROCKET_TRUSTED_PROXIES", r#"["127.0.0.1"]"#)]).await;
    let token = server.log_in();
    let clients = more_than_the_queue_holds();
    let together = Barrier::new(clients + 1);
    // Of a name and from an address of their own, so that none is throttled instead.
    let log_in = |n: usize| -> Answer {
        let form = "Content-Type: application/x-www-form-urlencoded";
        let from = format!("X-Forwarded-For: 10.0.{}.{}", n / 256, n % 256);
        let body = format!("username=nobody{n}&password=wrong");
        together.wait();
        server.request("POST", "/jwt", &[form, &from], &body)
    };
    let answers = thread::scope(|scope| {
        let log_in = &log_in;
        let logins: Vec<_> = (0..clients).map(|n| scope.spawn(move || log_in(n))).collect();
        together.wait();
        let read = server.read_pay(&token);
        assert_eq!(read.status, 200, "{read:?}");
        // From where they have signed in before, and so past all who wait.
        for _ in 0..5 {
            server.log_in();
        }
        let waiting = logins.iter().filter(|login| !login.is_finished()).count();
        assert!(waiting > 0, "the storm is not over");
        logins.into_iter().map(|login| login.join().unwrap()).collect::<Vec<Answer>>()
    });
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!(count(401) + count(503), clients, "{answers:?}");
    assert!(count(401) > 0 && count(503) > 0, "{} waited, {} turned away", count(401), count(503));
    let turned_away = answers.iter().filter(|answer| answer.status == 503);
    assert!(turned_away.into_iter().all(|answer| answer.field("Retry-After") == Some("1")));
    server.log_in();
}
