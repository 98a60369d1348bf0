//! Who sees what, and that what has ended has ended.

use std::time::Duration;

use rocket::figment::Figment;

use crate::jwt::{assert_accepted, assert_invalid_token};
use stipend::clock::Clock;
use stipend::service::payroll;
use stipend::store::disclosure::{Rows, Withheld};
use stipend::store::pay::PayQuery;
use stipend::store::sessions;

use crate::support::app::TestApp;
use crate::support::database::is_postgres;

/// Two orgs with the same names, so that a slip between them would show.
async fn two_orgs() -> TestApp {
    let app = TestApp::new().await;
    for (org, pay) in [("acme", 100_000), ("zeta", 900_000)] {
        app.add_org(org).await;
        for (n, name) in ["ann", "bob", "cyd"].into_iter().enumerate() {
            app.add_user(org, name).await;
            app.add_employee(org, name, pay + i64::try_from(n).unwrap()).await;
        }
    }
    app
}

#[tokio::test]
async fn r50_a_user_without_a_grant_sees_nobody() {
    let app = two_orgs().await;
    let answer = app.user("acme/ann").await.read_pay().await;
    assert_eq!(answer.status, 403);
    assert!(!answer.text().contains('$'));
}

#[tokio::test]
async fn r50_each_reach_shows_exactly_its_rows() {
    let app = two_orgs().await;
    app.add_grant("acme", "ann", "read", "own").await;
    app.add_grant("acme", "bob", "read", "user:cyd").await;
    app.add_grant("acme", "cyd", "read", "org").await;
    assert_eq!(app.user("acme/ann").await.sees().await, "ann");
    assert_eq!(app.user("acme/bob").await.sees().await, "cyd");
    let everybody = app.user("acme/cyd").await.read_pay().await;
    let expected = r#"[{"username":"ann","salary":"$1000.00"},{"username":"bob","salary":"$1000.01"},{"username":"cyd","salary":"$1000.02"}]"#;
    assert_eq!(everybody.text(), expected);

    app.add_grant("acme", "bob", "read", "own").await;
    assert_eq!(app.user("acme/bob").await.sees().await, "bob cyd", "grants add up");
    app.add_grant("zeta", "ann", "read", "user:nobody").await;
    assert_eq!(app.user("zeta/ann").await.sees().await, "", "a reach over nobody shows nobody");
}

#[tokio::test]
async fn r50_no_permission_implies_another() {
    let app = two_orgs().await;
    for permission in ["write", "manage", "audit"] {
        app.add_grant("acme", "ann", permission, "org").await;
    }
    assert_eq!(app.user("acme/ann").await.read_pay().await.status, 403);
    app.add_grant("acme", "ann", "read", "own").await;
    assert_eq!(app.user("acme/ann").await.sees().await, "ann");
}

#[tokio::test]
async fn the_current_rate_is_the_last_revision_of_the_latest_day_that_has_come() {
    let app = two_orgs().await;
    app.add_grant("acme", "ann", "read", "own").await;
    for (day, revision, minor, currency) in [
        ("2025-07-01", 1, 110_000, "USD"),
        ("2025-07-01", 2, 120_000, "EUR"),
        ("2024-06-01", 7, 130_000, "USD"),
        ("2026-03-11", 1, 140_000, "USD"),
    ] {
        app.add_rate("acme", "ann", day, revision, minor, currency).await;
    }
    let caller = app.user("acme/ann").await;
    assert_eq!(caller.read_pay().await.text(), r#"[{"username":"ann","salary":"€1200.00"}]"#);
    app.clock.advance(Duration::from_secs(12 * 3600));
    assert_eq!(caller.read_pay().await.text(), r#"[{"username":"ann","salary":"$1400.00"}]"#);
}

#[tokio::test]
async fn r17_r51_what_ends_in_the_database_has_ended_at_the_next_request() {
    for (sql, status) in [
        ("UPDATE sessions SET ended_at = 1", 401),
        ("UPDATE users SET disabled_at = 1 WHERE username = 'ann'", 401),
        ("UPDATE grants SET ended_at = 1, ended_by = 'test' WHERE username = 'ann'", 403),
        ("UPDATE grants SET last_day = '2026-03-09' WHERE username = 'ann'", 403),
        ("UPDATE grants SET permission = 'write' WHERE username = 'ann'", 403),
    ] {
        let app = two_orgs().await;
        app.add_grant("acme", "ann", "read", "own").await;
        let caller = app.user("acme/ann").await;
        assert_eq!(caller.sees().await, "ann");
        app.database.execute(sql).await;
        assert_eq!(caller.read_pay().await.status, status, "{sql}");
    }
}

#[tokio::test]
async fn r17_a_grant_holds_through_its_last_day() {
    let app = two_orgs().await;
    app.add_grant_until("acme", "ann", "read", "own", "'2026-03-10'").await;
    let caller = app.user("acme/ann").await;
    assert_eq!(caller.sees().await, "ann");
    app.clock.advance(Duration::from_secs(12 * 3600 - 1));
    assert_eq!(caller.sees().await, "ann");
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(caller.read_pay().await.status, 403);
}

#[tokio::test]
async fn r17_signing_out_ends_this_session_also_after_a_restart() {
    let app = TestApp::new().await;
    let (one, other) = (app.demo_user().await, app.demo_user().await);
    let (ended, alive) = (one.token().to_owned(), other.token().to_owned());
    assert_eq!(one.delete("/jwt").send().await.status, 204);
    assert_invalid_token(&one.read_pay().await, "ended");
    assert_invalid_token(&one.delete("/jwt").send().await, "ended");
    let app = app.restarted_with(Figment::new()).await;
    assert_invalid_token(&app.bearer(&ended).read_pay().await, "ended, after a restart");
    assert_accepted(&app, &alive, "the other session").await;
}

#[tokio::test]
async fn r17_a_token_under_another_key_is_refused_after_a_restart() {
    let app = TestApp::new().await;
    let token = app.demo_user().await.token().to_owned();
    let other = "another-key-6fGh2Kd9Lq0Zx7Cv5Bn3Mw1Pt8Ry4Us";
    let app = app.restarted_with(Figment::new().merge(("jwt_secret", other))).await;
    assert_invalid_token(&app.bearer(&token).read_pay().await, "the old key");
}

#[tokio::test]
async fn r47_a_demo_token_is_dead_without_demo() {
    let app = TestApp::new().await;
    let token = app.demo_user().await.token().to_owned();
    let app = app.restarted_with(Figment::new().merge(("demo", false))).await;
    assert_invalid_token(&app.bearer(&token).read_pay().await, "demo is off");
}

#[tokio::test]
async fn a_session_ends_when_its_time_is_up() {
    let app = TestApp::new().await;
    let caller = app.demo_user().await;
    app.clock.advance(Duration::from_secs(86_399));
    assert_eq!(caller.read_pay().await.status, 200);
    app.clock.advance(Duration::from_secs(1));
    assert_invalid_token(&caller.read_pay().await, "a day later");
}

#[tokio::test]
async fn r17_a_read_that_waits_for_its_turn_does_not_outlive_its_session() {
    if is_postgres() {
        return; // readers and writers do not wait for each other there
    }
    let app = TestApp::new().await;
    let caller = app.demo_user().await;
    let (db, now) = (app.auth().db.clone(), app.clock.now());
    let jwt = crate::jwt::Jwt::read(caller.token());
    let session_id = jwt.claims["jti"].as_str().unwrap();
    let account = stipend::domain::Account {
        org: stipend::domain::OrgName::parse("twilio").unwrap(),
        username: stipend::domain::Username::parse("twilio").unwrap(),
    };
    let mut writer = db.begin().await.unwrap();
    let read = caller.read_pay();
    let ending = async {
        // Long enough for the read to have been identified and to wait; whenever it comes, the
        // answer must be the same.
        tokio::time::sleep(Duration::from_millis(200)).await;
        sessions::end(writer.access(), &account, session_id, now).await.unwrap();
        writer.commit().await.unwrap();
    };
    let (answer, ()) = tokio::join!(read, ending);
    assert_invalid_token(&answer, "ended while the read waited");
    assert_eq!(app.database.number("SELECT COUNT(*) FROM audit").await, 1, "the login alone");
}

#[tokio::test]
async fn a_grant_that_cannot_be_understood_gives_nothing_and_locks_nobody_out() {
    let app = two_orgs().await;
    app.add_grant("acme", "ann", "read", "own").await;
    app.add_grant("acme", "ann", "manage", "team:Sales Team").await;
    let caller = app.user("acme/ann").await;
    assert_eq!(caller.sees().await, "ann");
    assert_eq!(caller.delete("/jwt").send().await.status, 204);
}

/// What the database takes for a day and Stipend does not.
#[tokio::test]
async fn a_grant_whose_last_day_is_none_gives_no_row() {
    let app = two_orgs().await;
    app.add_grant("acme", "ann", "read", "own").await;
    app.database.execute("UPDATE employees SET team = 'ops' WHERE username = 'bob'").await;
    app.add_grant("acme", "ann", "read", "team:ops").await;
    let caller = app.user("acme/ann").await;
    assert_eq!(caller.sees().await, "ann bob");
    app.database
        .execute("UPDATE grants SET last_day = '2027-06-30 ' WHERE reach_kind = 'team'")
        .await;
    assert_eq!(caller.sees().await, "ann");
    assert_eq!(caller.get("/pay/bob").send().await.status, 404);
}

/// A grant that ended with the day gives nothing to a request that was let in before midnight and reads
/// after it.
#[tokio::test]
async fn what_ends_at_midnight_is_not_seen_after_it() {
    let app = two_orgs().await;
    app.add_grant("acme", "ann", "read", "own").await;
    app.add_grant_until("acme", "ann", "read", "user:bob", "'2026-03-10'").await;
    let caller = app.user("acme/ann").await;
    let (auth, origin) = (app.auth(), crate::tampering::origin());
    let claim = async || auth.claim(caller.token()).await.unwrap();
    let (listed, of_bob, summed) = (claim().await, claim().await, claim().await);
    app.clock.advance(Duration::from_secs(12 * 3600));
    let act = crate::tampering::act(&app, &origin);
    let bob = stipend::domain::Username::parse("bob").unwrap();
    let asked = || PayQuery::on(app.clock.now().day());
    let given = payroll::list(act, listed, asked(), &["username"], false, None).await.unwrap();
    let Rows::Chunk(rows) = given.rows else { panic!("{given:?}") };
    assert_eq!(rows.len(), 1);
    let history = payroll::history(act, of_bob, &bob, None).await;
    assert!(matches!(history, Err(Withheld::NoSuchPerson)), "{history:?}");
    let sums = payroll::sums(act, summed, &asked()).await.unwrap();
    assert_eq!(sums.iter().map(|sum| sum.people).sum::<i64>(), 1);
    let records = "SELECT grants || subjects FROM audit WHERE action IN ('list_pay', 'sum_pay')";
    for record in app.database.texts(records).await {
        assert!(record.ends_with(r#"["ann"]"#) && record.matches("\",\"").count() == 0, "{record}");
    }
}
