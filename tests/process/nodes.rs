//! Several servers over one database: what one does holds on every other at the next request, and
//! any of them may die. On SQLite they share a file, on PostgreSQL a database.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::server::{Answer, Server};

/// The key that nodes share by configuration.
const SHARED: (&str, &str) = ("ROCKET_JWT_SECRET", "vX9-tests-only-qL3mZ8rT1kW6yB4nH7cJ2sP5");
const JSON: &str = "Content-Type: application/json";

/// Two servers over one database, in which `boss` manages and `ann` reads the whole org.
async fn two_nodes() -> (Server, Server) {
    let one = Server::start(&[SHARED]).await;
    let user = |name: &str| {
        format!(
            "INSERT INTO users (org, username, password_hash, demo, created_at) \
             SELECT org, '{name}', password_hash, 0, 0 FROM users WHERE username = 'twilio'"
        )
    };
    let grant = |name: &str, permission: &str| {
        format!(
            "INSERT INTO grants (org, grant_id, username, permission, reach_kind, reason, \
                                 granted_by, granted_at) \
             VALUES ('twilio', '{name}-{permission}', '{name}', '{permission}', 'org', '', '', 0)"
        )
    };
    for sql in [
        user("boss"),
        user("ann"),
        grant("boss", "manage"),
        grant("boss", "read"),
        grant("ann", "read"),
    ] {
        one.database.execute(&sql).await;
    }
    let two = node_of(&one);
    (one, two)
}

/// Another server over the database of one.
fn node_of(one: &Server) -> Server {
    let database =
        TestDatabase { url: one.database.url.clone(), folder: tempfile::tempdir().unwrap() };
    Server::start_on(database, &[SHARED])
}

fn log_in(node: &Server, name: &str) -> String {
    let body = format!(r#"{{"username":"{name}","password":"ahoy"}}"#);
    let answer = node.request("POST", "/jwt", &[JSON], &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.field("access_token").unwrap().to_owned()
}

fn change(node: &Server, token: &str, method: &str, path: &str, body: &str) -> Answer {
    let bearer = format!("Authorization: Bearer {token}");
    node.request(method, path, &[&bearer, JSON, "If-Match: *"], body)
}

#[tokio::test]
async fn r17_r51_what_one_node_ends_the_other_refuses_at_the_next_request() {
    let (one, two) = two_nodes().await;
    let boss = log_in(&one, "boss");

    let ann = log_in(&one, "ann");
    assert_eq!(two.read_pay(&ann).status, 200, "a session of one is one of the other");
    assert_eq!(change(&one, &ann, "DELETE", "/jwt", "").status, 204);
    assert_eq!(two.read_pay(&ann).status, 401, "a logout");

    let ann = log_in(&two, "ann");
    assert_eq!(one.read_pay(&ann).status, 200);
    assert_eq!(change(&two, &boss, "DELETE", "/users/ann/grants/ann-read", "").status, 204);
    assert_eq!(one.read_pay(&ann).status, 403, "the end of a grant");

    let gift = r#"{"permission":"read","reach":"org","reason":"cover"}"#;
    assert_eq!(change(&one, &boss, "POST", "/users/ann/grants", gift).status, 201);
    assert_eq!(two.read_pay(&ann).status, 200, "a new grant");
    let disable = r#"{"disabled":true}"#;
    assert_eq!(change(&one, &boss, "PATCH", "/users/ann", disable).status, 200);
    assert_eq!(two.read_pay(&ann).status, 401, "a disabled user");
}

/// A client that signs in at one node and reads at the other until told to stop; the request ids of
/// the answers that came.
fn work_until(stop: &AtomicBool, [first, second]: [&Server; 2], ids: &Mutex<Vec<String>>) {
    let body = "username=ann&password=ahoy";
    let login = format!(
        "POST /jwt HTTP/1.1\r\nHost: pay\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    while !stop.load(Ordering::Relaxed) {
        let Some(answer) = first.send(login.as_bytes()) else { continue };
        let Some(token) = answer.field("access_token") else { continue };
        let read = format!(
            "GET /bearer HTTP/1.1\r\nHost: pay\r\nAuthorization: Bearer {token}\r\n\
             Connection: close\r\n\r\n"
        );
        let answers = [Some(answer.clone()), second.send(read.as_bytes())];
        for answer in answers.into_iter().flatten().filter(|answer| answer.status == 200) {
            ids.lock().unwrap().push(answer.field("X-Request-Id").unwrap().to_owned());
        }
    }
}

#[tokio::test]
async fn r64_one_node_is_killed_the_other_goes_on_and_nothing_acknowledged_is_lost() {
    let (mut one, two) = two_nodes().await;
    let ids = Mutex::new(Vec::new());
    for round in 1..=5 {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| work_until(&stop, [&one, &two], &ids));
            scope.spawn(|| work_until(&stop, [&two, &one], &ids));
            while ids.lock().unwrap().len() < round * 8 {
                thread::sleep(Duration::from_millis(1));
            }
            one.signal("KILL");
            let token = log_in(&two, "ann");
            assert_eq!(two.read_pay(&token).status, 200, "the other goes on");
            stop.store(true, Ordering::Relaxed);
        });
        one = one.kill_and_restart(&[SHARED]);
    }
    let recorded = two.database.texts("SELECT request_id FROM audit").await;
    for id in ids.into_inner().unwrap() {
        assert!(recorded.contains(&id), "an answer went out without its record: {id}");
    }
}
