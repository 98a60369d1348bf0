//! An answer from memory is the answer of now, whoever changed what: each of these changes comes from
//! outside of Stipend, as from another node or a shell.

use crate::support::app::{Actor, TestApp};
use crate::support::database::is_postgres;

const BOTH: &str = "jdoe 2000.00 mturner 2500.00";

/// The rows of `/bearer` as `name amount`, each asked for in one way that is kept.
async fn rows(caller: &Actor<'_>) -> String {
    let answer = caller.get("/bearer?fields=username,amount").send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let rows = answer.json();
    let row = |row: &serde_json::Value| {
        format!("{} {}", row["username"].as_str().unwrap(), row["amount"].as_str().unwrap())
    };
    rows.as_array().unwrap().iter().map(row).collect::<Vec<_>>().join(" ")
}

/// Asked for until it comes from memory, if it ever does.
async fn remembered(caller: &Actor<'_>) {
    for _ in 0..3 {
        assert_eq!(rows(caller).await, BOTH);
    }
}

#[tokio::test]
async fn a_change_of_pay_or_people_shows_in_the_very_next_answer() {
    for (change, then) in [
        (
            "INSERT INTO rates (org, username, effective_from, revision, amount_minor, currency, note, \
                                recorded_by, recorded_at) \
             VALUES ('twilio', 'jdoe', '2026-01-01', 1, 300000, 'USD', '', 'x', 0)",
            "jdoe 3000.00 mturner 2500.00",
        ),
        (
            "INSERT INTO employees (org, username, full_name, created_at) VALUES ('twilio', 'new', 'N', 0); \
             INSERT INTO rates (org, username, effective_from, revision, amount_minor, currency, note, \
                                recorded_by, recorded_at) \
             VALUES ('twilio', 'new', '2026-01-01', 1, 100, 'USD', '', 'x', 0)",
            "jdoe 2000.00 mturner 2500.00 new 1.00",
        ),
    ] {
        let app = TestApp::new().await;
        let caller = app.demo_user().await;
        remembered(&caller).await;
        app.database.execute(change).await;
        assert_eq!(rows(&caller).await, then, "{change}");
    }
}

#[tokio::test]
async fn a_changed_name_or_team_shows_in_the_very_next_answer() {
    let app = TestApp::new().await;
    let caller = app.demo_user().await;
    let named = async || caller.get("/bearer?fields=name,team").send().await.text().to_owned();
    for _ in 0..3 {
        assert!(named().await.contains(r#"{"name":"jdoe","team":null}"#));
    }
    app.database.execute("UPDATE employees SET full_name = 'J. Doe' WHERE username = 'jdoe'").await;
    assert!(named().await.contains(r#"{"name":"J. Doe","team":null}"#));
    named().await;
    app.database.execute("UPDATE employees SET team = 'ops' WHERE username = 'jdoe'").await;
    assert!(named().await.contains(r#"{"name":"J. Doe","team":"ops"}"#));
}

#[tokio::test]
async fn what_ended_gives_nothing_from_memory() {
    for (change, status) in [
        ("UPDATE sessions SET ended_at = 1", 401),
        ("UPDATE sessions SET expires_at = 1", 401),
        ("UPDATE users SET disabled_at = 1", 401),
        ("UPDATE grants SET ended_at = 1, ended_by = 'x'", 403),
        ("UPDATE users SET password_expires_at = 1", 403),
    ] {
        let app = TestApp::new().await;
        let caller = app.demo_user().await;
        remembered(&caller).await;
        app.database.execute(change).await;
        let records = "SELECT COUNT(*) FROM audit";
        let before = app.database.number(records).await;
        // The same again, something else, something wrong, and somebody who does not exist: nobody
        // learns more than that they may not ask.
        for path in
            ["/bearer?fields=username,amount", "/bearer", "/pay", "/bearer?limit=x", "/pay/nobody"]
        {
            let answer = caller.get(path).send().await;
            assert_eq!(answer.status, status, "{change} {path}: {answer:?}");
        }
        assert_eq!(app.database.number(records).await, before, "{change}");
    }
}

/// Whatever else is remembered of a session, and what a shell can do that no version counted.
#[tokio::test]
async fn what_a_session_rests_on_counts_from_the_very_next_answer_on() {
    let mut changes = vec![
        ("UPDATE sessions SET kid = 'another'", 401),
        ("UPDATE sessions SET expires_at = expires_at - 1000", 401),
        ("UPDATE grants SET last_day = '2026-03-10 '", 403),
    ];
    if !is_postgres() {
        changes.push(("PRAGMA foreign_keys = OFF; UPDATE grants SET org = 'acme'", 403));
        changes.push((
            "PRAGMA foreign_keys = OFF; \
             INSERT OR REPLACE INTO users (org, username, password_hash, demo, created_at, \
                                           password_expires_at) \
             SELECT org, username, password_hash, demo, created_at, 1 FROM users",
            200, // nothing is replaced
        ));
    }
    for (change, status) in changes {
        let app = TestApp::new().await;
        let caller = app.demo_user().await;
        remembered(&caller).await;
        app.database.execute(change).await;
        let answer = caller.get("/bearer?fields=username,amount").send().await;
        assert_eq!(answer.status, status, "{change}: {answer:?}");
    }
}

#[tokio::test]
async fn a_renamed_token_has_its_new_name_in_the_very_next_record() {
    let app = TestApp::new().await;
    let caller = app.demo_user().await;
    let wanted = r#"{"name":"ci","until":"2026-06-30","perms":["read"]}"#;
    let made = caller.post("/me/tokens").json(wanted).send().await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    let script = app.bearer(made["access_token"].as_str().unwrap());
    remembered(&script).await;
    app.database.execute("UPDATE sessions SET name = 'old ci' WHERE name = 'ci'").await;
    remembered(&script).await;
    let last = "SELECT token FROM audit ORDER BY record_id DESC LIMIT 1";
    assert_eq!(app.database.texts(last).await, ["old ci"]);
}

#[tokio::test]
async fn the_versions_only_rise() {
    let app = TestApp::new().await;
    let mut refused = vec![
        "UPDATE orgs SET access_version = access_version - 1",
        "UPDATE pay_versions SET version = version - 1",
        "UPDATE pay_versions SET org = 'acme'",
        "DELETE FROM pay_versions",
    ];
    let caller = app.demo_user().await;
    remembered(&caller).await;
    if is_postgres() {
        refused.extend(["TRUNCATE grants", "TRUNCATE pay_versions", "TRUNCATE orgs CASCADE"]);
    } else {
        refused.push("INSERT OR REPLACE INTO grants SELECT * FROM grants");
        refused.push("INSERT OR REPLACE INTO sessions SELECT * FROM sessions");
        let versions = "SELECT access_version FROM orgs WHERE org = 'twilio'";
        app.database.execute("UPDATE grants SET reason = 'x'").await;
        let before = app.database.number(versions).await;
        app.database
            .execute(
                "PRAGMA foreign_keys = OFF; \
                 INSERT OR REPLACE INTO orgs (org, created_at) VALUES ('twilio', 0); \
                 INSERT OR REPLACE INTO pay_versions (org, version) VALUES ('twilio', 0)",
            )
            .await;
        assert_eq!(app.database.number(versions).await, before, "nothing was replaced");
    }
    for sql in refused {
        assert!(app.try_execute(sql).await.is_err(), "{sql}");
    }
    remembered(&caller).await;
}

#[tokio::test]
async fn a_grant_of_less_gives_less_from_the_very_next_answer_on() {
    let app = TestApp::new().await;
    let caller = app.demo_user().await;
    remembered(&caller).await;
    app.database
        .execute(
            "UPDATE grants SET reach_kind = 'user', reach_name = 'jdoe' WHERE username = 'twilio'",
        )
        .await;
    assert_eq!(rows(&caller).await, "jdoe 2000.00");
    assert_eq!(caller.get("/pay/mturner").send().await.status, 404);
    app.database
        .execute("UPDATE grants SET reach_name = 'mturner' WHERE username = 'twilio'")
        .await;
    assert_eq!(caller.get("/pay/mturner").send().await.status, 200);
    assert_eq!(rows(&caller).await, "mturner 2500.00");
}

#[tokio::test]
async fn two_who_see_different_people_never_get_each_others_answer() {
    let app = TestApp::new().await;
    for (name, reach) in [("ann", "user:jdoe"), ("bob", "user:mturner"), ("cyd", "org")] {
        app.add_user("twilio", name).await;
        app.add_grant("twilio", name, "read", reach).await;
    }
    let (ann, bob, cyd) = (app.user("ann").await, app.user("bob").await, app.user("cyd").await);
    for _ in 0..3 {
        assert_eq!(rows(&ann).await, "jdoe 2000.00");
        assert_eq!(rows(&bob).await, "mturner 2500.00");
        assert_eq!(rows(&cyd).await, BOTH);
    }
    let sql = "SELECT actor || ' ' || grants || ' ' || subjects FROM audit WHERE action = 'list_pay' \
               ORDER BY record_id DESC LIMIT 3";
    let last = app.database.texts(sql).await;
    assert!(last[0].starts_with("cyd ") && last[0].ends_with(r#" ["jdoe","mturner"]"#), "{last:?}");
    assert!(last[1].starts_with("bob ") && last[1].ends_with(r#" ["mturner"]"#), "{last:?}");
    assert!(last[2].starts_with("ann ") && last[2].ends_with(r#" ["jdoe"]"#), "{last:?}");
}

/// A standby that takes over may lack the last commits, and count its versions up to the same numbers
/// by others.
#[tokio::test]
async fn what_is_remembered_is_forgotten_when_the_recorder_has_lost_its_connection() {
    if !is_postgres() {
        // An SQLite file has no standby, and its connection cannot be cut off.
        return;
    }
    let app = TestApp::new().await;
    let caller = app.demo_user().await;
    remembered(&caller).await;
    for sql in [
        "ALTER TABLE grants DISABLE TRIGGER ALL",
        "UPDATE grants SET ended_at = 1, ended_by = 'x'",
        "ALTER TABLE grants ENABLE TRIGGER ALL",
    ] {
        app.database.execute(sql).await;
    }
    assert_eq!(caller.read_pay().await.status, 200, "no version tells of it");
    app.database
        .execute(
            "SELECT pg_terminate_backend(l.pid) FROM pg_locks l \
             WHERE l.locktype = 'advisory' AND l.classid = 'audit_chains'::regclass::oid",
        )
        .await;
    let records = app.database.number("SELECT COUNT(*) FROM audit").await;
    let mut answer = caller.read_pay().await;
    for _ in 0..3 {
        if answer.status == 503 {
            answer = caller.read_pay().await;
        }
    }
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(app.database.number("SELECT COUNT(*) FROM audit").await, records);
}
