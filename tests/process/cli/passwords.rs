//! Passwords on the command line: those that it makes, and those that it is given.

use serde_json::{Value, json};

use super::{PASSWORD, add_user, fails, log_in, run, said, works};
use crate::support::database::TestDatabase;
use crate::support::server::Server;

/// Signs in; the token, or none.
fn token(server: &Server, name: &str, password: &str) -> Option<String> {
    let body = json!({ "username": name, "password": password }).to_string();
    let answer = server.request("POST", "/jwt", &["Content-Type: application/json"], &body);
    answer.field("access_token").map(str::to_owned)
}

fn me(server: &Server, token: &str) -> Value {
    let answer = server.request("GET", "/me", &[&format!("Authorization: Bearer {token}")], "");
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
async fn r42_a_one_time_password_is_written_once_and_must_be_changed() {
    let server = Server::start(&[]).await;
    let database = &server.database;
    let added = run(database, &["user", "add", "ann", "--one-time"], "nobody reads this");
    assert!(added.status.success(), "{}", said(&added));
    let made = String::from_utf8(added.stdout).unwrap();
    let made = made.strip_suffix('\n').unwrap();
    assert!(made.len() == 32 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{made}");
    let message = String::from_utf8(added.stderr).unwrap();
    assert!(message.starts_with("added twilio/ann, who may read their own pay\n"), "{message}");
    let (_, until) = message.split_once("cannot be signed in with after ").unwrap();
    assert!(!message.contains(made), "{message}");

    let ann = token(&server, "ann", made).unwrap();
    assert_eq!(me(&server, &ann)["password_expires"], json!(until.trim_end()));
    assert_eq!(server.read_pay(&ann).status, 403);
    let fields = [&format!("Authorization: Bearer {ann}"), "Content-Type: application/json"];
    let change = json!({ "old": made, "new": PASSWORD }).to_string();
    assert_eq!(server.request("PUT", "/me/password", &fields, &change).status, 204);
    assert_eq!(server.read_pay(&ann).status, 200);
    assert_eq!(log_in(&server, "ann"), 200);

    let again = works(database, &["user", "set-password", "ann", "--one-time"]);
    assert_eq!(server.read_pay(&ann).status, 401, "their sessions have ended");
    assert_eq!(log_in(&server, "ann"), 401);
    let ann = token(&server, "ann", again.trim_end()).unwrap();
    assert_ne!(me(&server, &ann)["password_expires"], Value::Null);
    let log = server.log();
    for secret in [made, again.trim_end(), PASSWORD] {
        assert!(!log.contains(secret), "{log}");
    }

    for wrong in [
        ["user", "add", "bob", "--one-time", "--password-file", "x"].as_slice(),
        &["user", "add", "bob", "--name", "Bob", "--one-time", "--no-sign-in"],
        &["user", "set-password", "ann", "--one-time", "--password-file", "x"],
    ] {
        fails(database, 2, wrong);
    }
}

#[tokio::test]
async fn r42_a_given_password_stays_and_is_judged_like_any() {
    let database = TestDatabase::new().await;
    for (password, says) in [
        ("too short", "a password has 15 characters at least"),
        ("manchesterunited", "this is a common password"),
        ("alice-2026-alice-2027", "it holds the user name"),
        ("acme acme acmes 2026", "it holds the name of the org"),
    ] {
        let output = run(&database, &["user", "add", "acme/alice"], password);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).starts_with("error: password: "), "{}", said(&output));
        assert!(said(&output).contains(says), "{password}: {}", said(&output));
        assert!(!said(&output).contains(password), "{}", said(&output));
    }
    let orgs = "SELECT COUNT(*) FROM orgs WHERE org = 'acme'";
    assert_eq!(database.number(orgs).await, 0, "nothing was done");

    add_user(&database, &["acme/alice"]);
    let output = run(&database, &["user", "set-password", "acme/alice"], "happilyeverafter");
    assert!(said(&output).contains("this is a common password"), "{}", said(&output));
    let kept = "SELECT COUNT(*) FROM users WHERE org = 'acme' AND password_expires_at IS NULL";
    assert_eq!(database.number(kept).await, 1);
    let server = Server::start_on(database, &[]);
    assert_eq!(log_in(&server, "acme/alice"), 200);
}
