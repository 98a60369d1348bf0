//! `stipend session` and `stipend token`.

use serde_json::json;

use super::{PASSWORD, add_user, fails, json, log_in, run, said, works};
use crate::support::database::TestDatabase;
use crate::support::server::Server;

const UNTIL: [&str; 2] = ["--until", "9999-12-31"];

/// A day that is some days ahead, by the clock of this machine, as the binary has it.
fn days_ahead(days: u64) -> String {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    let ahead = since + std::time::Duration::from_secs(days * 24 * 3600);
    let millis = i64::try_from(ahead.as_millis()).unwrap();
    stipend::clock::Timestamp::from_millis(millis).day().to_string()
}

fn reads_pay(server: &Server, token: &str) -> (u16, String) {
    let field = format!("Authorization: Bearer {token}");
    let answer = server.request("GET", "/bearer", &[field.as_str()], "");
    (answer.status, answer.body)
}

#[tokio::test]
async fn a_token_is_made_told_once_used_listed_and_ended() {
    let server = Server::start(&[]).await;
    let database = &server.database;
    add_user(database, &["ann", "--name", "Ann Lee"]);
    works(database, &["grant", "give", "ann", "read", "user:jdoe", "--reason", "x"]);
    let until = days_ahead(30);
    let add = ["token", "add", "ci", "--user", "ann", "--perms", "read", "--until", &until];
    let made = run(database, &add, "");
    assert!(made.status.success(), "{}", said(&made));
    let token = String::from_utf8(made.stdout).unwrap();
    let told = String::from_utf8(made.stderr).unwrap();
    assert!(told.starts_with("made the machine token ci of twilio/ann, until "), "{told}");
    assert!(!told.contains(token.trim()), "{told}");
    let token = token.strip_suffix('\n').unwrap();
    let (status, pay) = reads_pay(&server, token);
    assert_eq!((status, pay.as_str()), (200, r#"[{"username":"jdoe","salary":"$2000.00"}]"#));

    assert_eq!(fails(database, 1, &add), "error: the machine token ci exists already\n");
    let listed = json(database, &["token", "list", "ann"]);
    assert_eq!(
        (&listed[0]["name"], &listed[0]["perms"], &listed[0]["client"], &listed[0]["this"]),
        (&json!("ci"), &json!(["read"]), &json!("local"), &json!(false))
    );
    let table = works(database, &["token", "list", "ann"]);
    assert!(
        table.starts_with("SESSION ") && table.contains("  machine  ci    read   2"),
        "{table}"
    );
    assert!(!table.contains("eyJ"));

    assert_eq!(works(database, &["token", "end", "ann", "ci"]), "");
    assert_eq!(reads_pay(&server, token).0, 401);
    let again = fails(database, 1, &["token", "end", "ann", "ci"]);
    assert_eq!(again, "error: twilio/ann has no such token: stipend token list twilio/ann\n");
    assert_eq!(json(database, &["token", "list", "ann"]), json!([]));

    let made = json(database, &add);
    let (token, id) = (made["access_token"].as_str().unwrap(), made["id"].as_str().unwrap());
    assert_eq!(reads_pay(&server, token).0, 200);
    works(database, &["token", "end", "ann", id]);
    assert_eq!(reads_pay(&server, token).0, 401);
    let records = "SELECT actor || ' ' || action || ' ' || subjects FROM audit \
                   WHERE action IN ('add_token', 'end_session') ORDER BY record_id";
    let one = [r#"operator add_token ["ann"]"#, r#"operator end_session ["ann"]"#];
    assert_eq!(database.texts(records).await, [one, one].concat());
}

#[tokio::test]
async fn a_token_stays_within_what_its_user_may_do() {
    let database = TestDatabase::new().await;
    add_user(&database, &["ann"]);
    works(&database, &["user", "add", "bob", "--name", "Bob Ray", "--no-sign-in"]);
    let until = days_ahead(30);
    let add = |user: &str, perms: &str, until: &str, code: i32| {
        let arguments = ["token", "add", "ci", "--user", user, "--perms", perms, "--until", until];
        fails(&database, code, &arguments)
    };
    assert_eq!(add("ann", "read,write", &until, 1), "error: perms: ann holds no `write` today\n");
    assert_eq!(add("ann", "read", "2020-01-01", 1), "error: until: this has passed\n");
    let last = days_ahead(366);
    assert_eq!(
        add("ann", "read", UNTIL[1], 1),
        format!("error: until: a token ends at most 366 days ahead, on {last}\n")
    );
    for nobody in ["zoe", "bob"] {
        let says = add(nobody, "read", &until, 1);
        assert!(says.starts_with(&format!("error: there is no user twilio/{nobody}")), "{says}");
    }
    assert_eq!(
        add("nope/ann", "read", &until, 1),
        "error: there is no org nope: stipend org list\n"
    );
    for (user, perms, until, right) in [
        ("ann", "manage", until.as_str(), "a machine token never has `manage`"),
        ("ann", "see", &until, "read, write or audit"),
        ("ann", "", &until, "read, write or audit"),
        ("ann", "read", "soon", "this is a day, YYYY-MM-DD, or a time"),
        ("Ann", "read", &until, "a name is 1 to 64"),
    ] {
        let says = add(user, perms, until, 2);
        assert!(says.contains(right), "{says}");
    }
    fails(&database, 2, &["token", "add", "ci", "--user", "ann", "--perms", "read"]);

    works(&database, &["grant", "give", "ann", "write", "org", "--reason", "x"]);
    database.execute("UPDATE orgs SET second_factor = 1").await;
    let says = "error: perms: the org demands a second factor for `write`: ann makes this token\n";
    assert_eq!(add("ann", "write", &until, 1), says);
    database.execute("UPDATE users SET password_expires_at = 1 WHERE username = 'ann'").await;
    let says = add("ann", "read", &until, 1);
    assert!(says.contains("ann has no password of their own yet"), "{says}");
    works(&database, &["user", "disable", "ann"]);
    assert_eq!(add("ann", "read", &until, 1), "error: user: ann is disabled\n");
    assert_eq!(database.number("SELECT COUNT(*) FROM sessions").await, 0);
}

#[tokio::test]
async fn sessions_are_listed_and_ended_one_or_all() {
    let server = Server::start(&[]).await;
    let database = &server.database;
    add_user(database, &["ann"]);
    for _ in 0..3 {
        assert_eq!(log_in(&server, "ann"), 200);
    }
    let until = days_ahead(30);
    works(database, &["token", "add", "ci", "--user", "ann", "--perms", "read", "--until", &until]);
    let listed = json(database, &["session", "list", "ann"]);
    let kinds: Vec<&str> =
        listed.as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "login").count(), 3);
    assert_eq!(kinds.len(), 4);
    let login = listed.as_array().unwrap().iter().find(|one| one["kind"] == "login").unwrap();
    assert_eq!(login["client"], "127.0.0.1");
    let id = login["id"].as_str().unwrap();
    for _ in 0..2 {
        assert_eq!(works(database, &["session", "end", "ann", id]), "");
    }
    assert_eq!(json(database, &["session", "list", "ann"]).as_array().unwrap().len(), 3);
    let all = run(database, &["session", "end", "ann", "--all"], "");
    assert_eq!(said(&all), "ended 3 sessions of twilio/ann\n");
    assert_eq!(json(database, &["session", "list", "ann"]), json!([]));
    assert!(works(database, &["session", "list", "ann"]).starts_with("SESSION  KIND"));

    let says = fails(database, 1, &["session", "end", "ann", "nope"]);
    assert_eq!(says, "error: twilio/ann has no such session: stipend session list twilio/ann\n");
    for arguments in [
        ["session", "list", "zoe"].as_slice(),
        &["session", "end", "zoe", "--all"],
        &["session", "end", "jdoe", "x"],
        &["token", "list", "zoe"],
        &["token", "end", "zoe", "ci"],
    ] {
        let says = fails(database, 1, arguments);
        assert!(says.starts_with("error: there is no user twilio/"), "{says}");
    }
    for wrong in [["session", "end", "ann"].as_slice(), &["session", "end", "ann", "x", "--all"]] {
        fails(database, 2, wrong);
    }
    assert!(!said(&all).contains(PASSWORD));
}

#[tokio::test]
async fn r64_a_graceful_stop_writes_when_sessions_were_used() {
    let mut server = Server::start(&[]).await;
    let token = server.log_in();
    let used = "SELECT COUNT(*) FROM sessions WHERE last_used_at IS NOT NULL";
    assert_eq!(reads_pay(&server, &token).0, 200);
    assert_eq!(server.database.number(used).await, 0, "no request writes it");
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    assert_eq!(server.database.number(used).await, 1);
    let minute = "SELECT last_used_at % 60000 FROM sessions";
    assert_eq!(server.database.number(minute).await, 0);
}
