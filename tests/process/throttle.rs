//! The guessing of passwords, with several processes: servers, one that is killed, the command line.

use std::process::Output;

use serde_json::Value;

use crate::support::database::TestDatabase;
use crate::support::server::{Answer, Server, command};

const KEY: (&str, &str) = ("ROCKET_JWT_SECRET", "vX9-tests-only-qL3mZ8rT1kW6yB4nH7cJ2sP5");
const BEHIND_A_PROXY: [(&str, &str); 2] = [KEY, ("ROCKET_TRUSTED_PROXIES", r#"["127.0.0.1"]"#)];

fn log_in(server: &Server, from: &str, name: &str, password: &str) -> Answer {
    let form = "Content-Type: application/x-www-form-urlencoded";
    let from = format!("X-Forwarded-For: {from}");
    let body = format!("username={name}&password={password}");
    server.request("POST", "/jwt", &[form, &from], &body)
}

/// Fails as often as is free, each time from another address.
fn fail(servers: [&Server; 5], name: &str) {
    for (n, server) in servers.into_iter().enumerate() {
        let answer = log_in(server, &format!("192.0.2.{n}"), name, "wrong");
        assert_eq!(answer.status, 401, "{answer:?}");
    }
}

/// As if there had been five failures more, so that the wait is half a minute and not a second. What
/// counts against a network fades within that.
async fn prolong(database: &TestDatabase) {
    let of_accounts = "WHERE faded_at - failed_at > 3600000";
    let sql = format!("UPDATE attempts SET faded_at = faded_at + 5 * 3600000 {of_accounts}");
    database.execute(&sql).await;
}

fn assert_waits_half_a_minute(answer: &Answer) {
    assert_eq!(answer.status, 429, "{answer:?}");
    let seconds: u32 = answer.field("Retry-After").unwrap().parse().unwrap();
    assert!((1..=32).contains(&seconds), "{seconds}");
    assert_eq!(answer.body, format!("Too many sign-ins have failed: try again in {seconds} s"));
}

fn unlock(database: &TestDatabase, settings: &[(&str, &str)], name: &str) -> Output {
    let url = ("ROCKET_DATABASE_URL", database.url.as_str());
    let settings = [&[url], settings].concat();
    command(database.folder.path(), &settings).args(["user", "unlock", name]).output().unwrap()
}

fn said(output: &Output) -> (Option<i32>, String) {
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.code(), String::from_utf8(output.stderr.clone()).unwrap())
}

#[tokio::test]
async fn r44_it_survives_a_kill_and_the_operator_unlocks_it() {
    let server = Server::start(&BEHIND_A_PROXY).await;
    fail([&server; 5], "twilio");
    let server = server.kill_and_restart(&BEHIND_A_PROXY);
    let home = "198.51.100.7";
    prolong(&server.database).await;
    assert_waits_half_a_minute(&log_in(&server, home, "twilio", "ahoy"));

    let unlock = |settings: &[(&str, &str)], name| said(&unlock(&server.database, settings, name));
    let (code, says) = unlock(&[], "twilio");
    assert_eq!(code, Some(1), "the servers' key is needed: {says}");
    assert!(says.starts_with("error: stipend.key is missing"), "{says}");
    assert!(!server.database.folder.path().join("stipend.key").exists(), "and none is made");
    let other = [("ROCKET_JWT_SECRET", "pT4-another-key-wE9xR2bN7vK5jL8mQ1sD6")];
    let (code, says) = unlock(&other, "twilio");
    assert!(
        code == Some(1) && says.contains("sealed"),
        "another key's counters are others: {says}"
    );
    assert_waits_half_a_minute(&log_in(&server, home, "twilio", "ahoy"));
    assert_eq!(
        unlock(&[KEY], "nobody"),
        (Some(1), "error: there is no user twilio/nobody: stipend user list --org twilio\n".into())
    );
    assert_eq!(unlock(&[KEY], "twilio"), (Some(0), "unlocked twilio/twilio\n".into()));
    assert_eq!(log_in(&server, home, "twilio", "ahoy").status, 200);
    let records = "SELECT actor || ' ' || subjects FROM audit WHERE action = 'unlock_user'";
    let record = r#"operator ["twilio"]"#;
    assert_eq!(server.database.texts(records).await, [record]);
}

#[tokio::test]
async fn r44_servers_on_one_database_count_together_and_nothing_is_lost_with_one_of_them() {
    let one = Server::start(&BEHIND_A_PROXY).await;
    let database =
        TestDatabase { url: one.database.url.clone(), folder: tempfile::tempdir().unwrap() };
    let two = Server::start_on(database, &BEHIND_A_PROXY);
    fail([&one, &two, &one, &two, &one], "twilio");
    prolong(&one.database).await;
    for server in [&one, &two] {
        assert_waits_half_a_minute(&log_in(server, "198.51.100.7", "twilio", "ahoy"));
    }
    one.signal("KILL");
    assert_waits_half_a_minute(&log_in(&two, "198.51.100.7", "twilio", "ahoy"));
    assert_eq!(said(&unlock(&one.database, &[KEY], "twilio")).0, Some(0));
    assert_eq!(log_in(&two, "198.51.100.7", "twilio", "ahoy").status, 200);
}

#[tokio::test]
async fn r81_the_log_says_that_a_login_was_throttled_and_names_nobody_who_is_not() {
    let server = Server::start(&BEHIND_A_PROXY).await;
    for name in ["twilio", "hunter2-zx81"] {
        fail([&server; 5], name);
        prolong(&server.database).await;
        assert_waits_half_a_minute(&log_in(&server, "198.51.100.7", name, "ahoy"));
    }
    let log = server.log();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_logins: Vec<Value> = lines.filter(|line| line["message"] == "login").collect();
    let throttled: Vec<&Value> =
        of_logins.iter().filter(|line| line["outcome"] == "throttled").collect();
    assert_eq!((of_logins.len(), throttled.len()), (12, 2), "{log}");
    assert_eq!(throttled[0]["user"], "twilio/twilio");
    assert!(throttled[1]["user"].is_null(), "{throttled:?}");
    for line in throttled {
        assert_eq!(line["client"], "198.51.100.7");
        assert_eq!(line["request_id"].as_str().unwrap().len(), 32, "{line}");
    }
    assert!(!log.contains("zx81"), "people type their passwords there");
}
