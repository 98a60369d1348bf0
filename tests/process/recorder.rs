//! The one task that writes the records of reads: too much for it, and its own death.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::lacking;
use crate::support::chain::verify;
use crate::support::database::is_postgres;
use crate::support::server::Server;

/// As many as are written at once, and as many as may wait beside them.
const QUEUE: usize = 256 + 1024;
/// How many ask at most, where a slow machine turns the first ones away before the queue is full.
const READERS: usize = 6000;

/// Asks for pay, and waits for nothing.
fn ask(server: &Server, token: &str) -> TcpStream {
    let mut stream = server.connect();
    let host = server.address;
    let read = format!(
        "GET /bearer HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(read.as_bytes()).unwrap();
    stream
}

/// The answer to what was asked.
fn answer(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Whether this process, and those that it starts, may have so many files open.
fn may_open(files: u64) -> bool {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    current.is_none_or(|current| current >= files)
        || maximum.is_none_or(|maximum| maximum >= files)
            && setrlimit(Resource::Nofile, raised).is_ok()
}

#[tokio::test]
async fn r102_past_a_full_queue_of_records_the_answer_is_503_at_once_and_the_queue_is_kept() {
    if !may_open(2 * READERS as u64 + 200) {
        return lacking("a full queue of records: too few files may be open here");
    }
    let server = Server::start(&[]).await;
    let token = server.log_in();
    // So that it is in memory, and nothing but the queue is to be waited for.
    for _ in 0..3 {
        assert_eq!(server.read_pay(&token).status, 200);
    }
    let lock = server.database.lock().await;
    let (mut waiting, mut answers) = (Vec::new(), Vec::new());
    let is_full = |answer: &String| answer.contains("Too many are waiting");
    while !answers.iter().any(is_full) {
        assert!(waiting.len() + answers.len() < READERS, "the queue has no end");
        waiting.extend((0..100).map(|_| ask(&server, &token)));
        let is_answered = |stream: &mut TcpStream| {
            stream.set_nonblocking(true).unwrap();
            let is_answered = stream.peek(&mut [0]).is_ok();
            stream.set_nonblocking(false).unwrap();
            is_answered
        };
        answers.extend(waiting.extract_if(.., is_answered).map(answer));
    }
    assert!(!answers.iter().any(|answer| answer.starts_with("HTTP/1.1 200 ")));
    lock.release().await;
    answers.extend(waiting.into_iter().map(answer));
    let (given, turned_away): (Vec<&String>, Vec<&String>) =
        answers.iter().partition(|answer| answer.starts_with("HTTP/1.1 200 "));
    for answer in turned_away {
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.to_ascii_lowercase().contains("\r\nretry-after: 1\r\n"), "{answer}");
        assert!(!answer.contains('$'), "{answer}");
    }
    // Fewer than wait, where some have waited for too long on a slow machine.
    assert!((QUEUE / 2..=QUEUE).contains(&given.len()), "{} waited", given.len());
    let given = i64::try_from(given.len()).unwrap() + 3;
    let reads = "SELECT COUNT(*) FROM audit WHERE action = 'list_pay'";
    assert_eq!(server.database.number(reads).await, given);
    assert_eq!(server.read_pay(&token).status, 200);
    verify(&server.database).await;
}

/// A chain that says it is as long as a number can be makes the task panic when it counts one further.
/// Nothing but somebody who turns a trigger off can make it so.
#[tokio::test]
async fn r102_a_recorder_that_dies_gives_nothing_and_is_started_again() {
    let server = Server::start(&[]).await;
    let token = server.log_in();
    for _ in 0..3 {
        assert_eq!(server.read_pay(&token).status, 200);
    }
    let set_length = async |length: i64| {
        let update = format!("UPDATE audit_chains SET length = {length} WHERE kind = 'reads'");
        let (off, on) = if is_postgres() {
            let alter = |what| format!("ALTER TABLE audit_chains {what} TRIGGER chains_only_grow");
            (alter("DISABLE"), alter("ENABLE"))
        } else {
            let sql = "SELECT sql FROM sqlite_master WHERE name = 'chains_only_grow'";
            let trigger = server.database.texts(sql).await.remove(0);
            ("DROP TRIGGER chains_only_grow".to_owned(), trigger)
        };
        server.database.execute(&format!("BEGIN; {off}; {update}; {on}; COMMIT")).await;
    };
    let deaths = || server.log().matches("the recorder failed and is started again").count();
    set_length(i64::MAX).await;
    for death in 1..=3 {
        let asked: Vec<TcpStream> = (0..20).map(|_| ask(&server, &token)).collect();
        for answer in asked.into_iter().map(answer) {
            assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
            assert!(answer.to_ascii_lowercase().contains("\r\nretry-after: 1\r\n"), "{answer}");
            assert!(!answer.contains('$'), "{answer}");
        }
        assert!(deaths() >= death, "{}", server.log());
        // What is written by others goes on meanwhile.
        server.log_in();
    }
    set_length(3).await;
    let died = deaths();
    for _ in 0..3 {
        assert_eq!(server.read_pay(&token).status, 200, "the next one writes");
    }
    assert_eq!(deaths(), died);
    let reads = "SELECT COUNT(*) FROM audit WHERE action = 'list_pay'";
    assert_eq!(server.database.number(reads).await, 6);
    verify(&server.database).await;
}
