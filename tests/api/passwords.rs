//! Passwords: which are taken, how a user changes theirs, and those that are made for somebody.

use std::time::Duration;

use rocket::figment::Figment;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};

use crate::support::app::{Actor, Answer, NOON, PASSWORD, TestApp};
use crate::support::database::is_postgres;

/// A good one.
const NEW: &str = "purple otters play violins";

/// An org with the user `ann`, and `boss`, who manages it.
async fn org() -> TestApp {
    let app = TestApp::new().await;
    app.add_org("acme").await;
    for name in ["ann", "boss"] {
        app.add_user("acme", name).await;
        app.add_grant("acme", name, "read", "own").await;
    }
    app.add_employee("acme", "ann", 100_000).await;
    for permission in ["manage", "read"] {
        app.add_grant("acme", "boss", permission, "org").await;
    }
    app
}

/// Why the new password of a 400 is not taken.
fn why(answer: &Answer) -> String {
    assert_eq!(answer.status, 400, "{answer:?}");
    let problem = answer.json();
    let errors = problem["errors"].as_array().unwrap();
    assert_eq!((errors.len(), &errors[0]["field"]), (1, &json!("new")), "{problem}");
    errors[0]["reason"].as_str().unwrap().to_owned()
}

async fn live_sessions(app: &TestApp) -> i64 {
    app.database.number("SELECT COUNT(*) FROM sessions WHERE ended_at IS NULL").await
}

#[tokio::test]
async fn r42_a_change_needs_the_old_password_and_ends_every_other_session_and_token() {
    let app = org().await;
    let (ann, elsewhere) = (app.user("acme/ann").await, app.user("acme/ann").await);
    let boss = app.user("acme/boss").await;
    let script = "INSERT INTO sessions (org, session_id, username, created_at, expires_at, kind) \
                  VALUES ('acme', 'script', 'ann', 0, 9000000000000, 'machine')";
    app.database.execute(script).await;
    assert_eq!(live_sessions(&app).await, 4);

    let changed = ann.change_password(PASSWORD, NEW).await;
    assert_eq!((changed.status, changed.text()), (204, ""), "{changed:?}");
    assert_eq!(ann.sees().await, "ann", "the session that asked goes on");
    assert_eq!(elsewhere.read_pay().await.status, 401);
    assert_eq!(boss.read_pay().await.status, 200, "nobody else's has ended");
    assert_eq!(live_sessions(&app).await, 2, "the script's has ended too");
    assert_eq!(app.anonymous().log_in("acme/ann", PASSWORD).await.status, 401);
    app.user_with("acme/ann", NEW).await;

    let records = "SELECT actor || ' ' || subjects || ' ' || detail || ' ' || client FROM audit \
                   WHERE action = 'change_password' AND session_id IS NOT NULL";
    let records = app.database.texts(records).await;
    assert_eq!(records.len(), 1, "{records:?}");
    assert!(records[0].starts_with(r#"ann ["ann"] {"sessions_ended":2} "#), "{records:?}");
}

#[tokio::test]
async fn r42_a_wrong_old_password_changes_nothing_whatever_the_new_one_is() {
    let app = org().await;
    let (ann, elsewhere) = (app.user("acme/ann").await, app.user("acme/ann").await);
    for old in ["wrong", "", "Ahoy", "ahoy ", &"x".repeat(1024)] {
        let refused = ann.change_password(old, NEW).await;
        assert_eq!(refused.status, 403, "{old}: {refused:?}");
        assert_eq!(refused.json()["detail"], json!("the old password is wrong"), "{old}");
    }
    let throttled = ann.change_password("wrong", NEW).await;
    assert_eq!(throttled.status, 429, "a page that was left open is no place to guess");
    assert!(throttled.field("Retry-After").is_some());
    assert_eq!(ann.change_password(PASSWORD, NEW).await.status, 429);
    app.database.execute("DELETE FROM attempts").await;
    for new in ["short", PASSWORD] {
        let (right, wrong) =
            (ann.change_password(PASSWORD, new).await, ann.change_password("wrong", new).await);
        assert_eq!(right.told(), wrong.told(), "a bad new one tells nothing of the old one");
    }
    assert_eq!(elsewhere.read_pay().await.status, 200);
    app.user("acme/ann").await;
    let records = "SELECT COUNT(*) FROM audit WHERE action = 'change_password'";
    assert_eq!(app.database.number(records).await, 0);
}

#[tokio::test]
async fn r42_a_refusal_says_why_and_changes_nothing() {
    let app = org().await;
    let ann = app.user("acme/ann").await;
    for (new, says) in [
        ("purple otters", "a password has 15 characters at least"),
        ("", "a password has 15 characters at least"),
        (&"purple otters ".repeat(74), "a password has 1024 bytes at most"),
        ("HappilyEverAfter", "this is a common password"),
        ("manchesterunited", "this is a common password"),
        ("!!princess2026!!!!", "without the digits and signs around it"),
        ("ahoyahoyahoyahoy", "over and over"),
        ("qwertyuiop[]asdfghjkl", "rows of neighbours"),
        ("Ann 1987-2026 Ann", "it holds the user name"),
        ("acme!acme?acme.x", "it holds the name of the org"),
        ("my-twilio-salary", "it holds a name of this service"),
        ("2026 Stipend 2027 x", "it holds a name of this service"),
    ] {
        let refused = ann.change_password(PASSWORD, new).await;
        assert!(why(&refused).contains(says), "{new}: {refused:?}");
        assert!(new.is_empty() || !refused.text().contains(new), "{refused:?}");
    }
    assert_eq!(ann.change_password(PASSWORD, NEW).await.status, 204);
    let again = ann.change_password(NEW, NEW).await;
    assert_eq!(why(&again), "this is the old password: choose another");
    app.user_with("acme/ann", NEW).await;
}

#[tokio::test]
async fn r41_eight_characters_are_enough_beside_a_second_factor_only() {
    let app = org().await;
    let ann = app.user("acme/ann").await;
    let unconfirmed = "UPDATE users SET totp_secret = 'x' WHERE username = 'ann'";
    app.database.execute(unconfirmed).await;
    let refused = ann.change_password(PASSWORD, "ott-vi0l").await;
    assert!(why(&refused).contains("15 characters"), "{refused:?}");
    let confirmed = "UPDATE users SET totp_confirmed_at = 1 WHERE username = 'ann'";
    app.database.execute(confirmed).await;
    let refused = ann.change_password(PASSWORD, "ott-vi0").await;
    assert!(why(&refused).contains("8 characters"), "{refused:?}");
    for common in ["sunshine", "Password1", "trustno1", "qwertyui"] {
        why(&ann.change_password(PASSWORD, common).await);
    }
    assert_eq!(ann.change_password(PASSWORD, "ott-vi0l").await.status, 204);
}

#[tokio::test]
async fn r41_a_password_is_compared_whole_in_one_normal_form() {
    let app = org().await;
    let ann = app.user("acme/ann").await;
    let long = "Wüste Hunde  bellen\u{1f415}\u{a0}\u{3000}\t".repeat(30) + " end ";
    assert!(long.len() > 900 && long.len() <= 1024, "{}", long.len());
    assert_eq!(ann.change_password(PASSWORD, &long).await.status, 204);
    app.user_with("acme/ann", &long).await;
    // As some systems type it: two code points for one.
    app.user_with("acme/ann", &long.replace('ü', "u\u{308}")).await;
    for other in [
        long.trim_end(),
        &format!("{long} "),
        &format!(" {long}"),
        &format!("{long}\0"),
        &long.replacen('ü', "u", 1),
        &long.replacen('W', "w", 1),
        &long.replacen("  ", " ", 1),
        &long.replacen('\u{a0}', " ", 1),
        &long.to_lowercase(),
    ] {
        assert_eq!(app.anonymous().log_in("acme/ann", other).await.status, 401, "{other}");
        app.database.execute("DELETE FROM attempts").await;
    }
    // The old one in the other form, and a new one that differs from it only by that.
    let two = long.replace('ü', "u\u{308}");
    assert!(why(&ann.change_password(&long, &two).await).contains("the old password"));
    assert_eq!(ann.change_password(&two, NEW).await.status, 204);
}

#[tokio::test]
async fn r40_a_weak_hash_is_replaced_by_one_of_the_normal_form() {
    let app = org().await;
    let (one, two) = ("caf\u{e9} au lait, svp", "cafe\u{301} au lait, svp");
    assert_eq!(app.user("acme/ann").await.change_password(PASSWORD, two).await.status, 204);
    let hash = "SELECT password_hash FROM users WHERE username = 'ann'";
    let weak = app.database.texts(hash).await.remove(0);
    let app = app.restarted_with(Figment::new().merge(("argon2_iterations", 3))).await;
    app.user_with("acme/ann", two).await;
    let strong = app.database.texts(hash).await.remove(0);
    assert!(weak.contains("t=2,") && strong.contains("t=3,"), "{weak} {strong}");
    for password in [one, two] {
        app.user_with("acme/ann", password).await;
    }
    assert_eq!(app.database.texts(hash).await, [strong]);
}

/// The password that an answer tells, and until when it is good.
fn made(answer: &Answer) -> (String, String) {
    let body = answer.json();
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    (text("password"), text("expires"))
}

async fn must_change(caller: &Actor<'_>) -> Value {
    caller.get("/me").send().await.json()["password_expires"].clone()
}

#[tokio::test]
async fn r42_a_password_that_was_made_permits_nothing_but_to_change_it() {
    let app = org().await;
    let boss = app.user("acme/boss").await;
    let added = boss.post("/users").json(r#"{"username":"cyd"}"#).send().await;
    let (password, expires) = made(&added);
    assert_eq!((added.status, expires.as_str()), (201, "2026-03-13T12:00:00.000Z"));
    assert_ne!(made(&boss.post("/users").json(r#"{"username":"dee"}"#).send().await).0, password);
    for permission in ["read", "write", "manage", "audit"] {
        app.add_grant("acme", "cyd", permission, "org").await;
    }

    let cyd = app.user_with("acme/cyd", &password).await;
    let me = cyd.get("/me").send().await.json();
    assert_eq!((&me["password_expires"], &me["perms"]), (&json!(expires), &json!([])));
    for ask in [
        cyd.get("/bearer"),
        cyd.get("/pay/ann"),
        cyd.get("/users"),
        cyd.post("/users").json(r#"{"username":"eve"}"#),
        cyd.post("/users/ann/password"),
        cyd.get("/explain?who=ann&whom=ann"),
    ] {
        let refused = ask.field("Accept", "application/json").send().await;
        let says = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(refused.status == 403 && says.contains("PUT /me/password"), "{refused:?}");
    }
    for ask in [
        cyd.post("/me/totp"),
        cyd.post("/me/totp/confirm").json(r#"{"code":"000000"}"#),
        cyd.post("/me/totp/recovery-codes"),
    ] {
        let refused = ask.send().await;
        assert!(
            refused.status == 409 && refused.text().contains("PUT /me/password"),
            "{refused:?}"
        );
    }

    assert_eq!(cyd.change_password(&password, NEW).await.status, 204);
    assert_eq!(must_change(&cyd).await, Value::Null);
    assert_eq!(cyd.sees().await, "ann", "the same token permits what the grants do");
    assert_eq!(app.anonymous().log_in("acme/cyd", &password).await.status, 401);
    app.clock.advance(Duration::from_hours(1000));
    assert_eq!(must_change(&app.user_with("acme/cyd", NEW).await).await, Value::Null);
}

#[tokio::test]
async fn r42_a_manager_changes_their_own_password_with_the_old_one_like_everybody() {
    let app = org().await;
    let boss = app.user("acme/boss").await;
    let refused = boss.post("/users/boss/password").send().await;
    assert_eq!(refused.status, 409, "{refused:?}");
    assert!(refused.text().contains("PUT /me/password"), "{refused:?}");
    assert_eq!(boss.get("/me").send().await.status, 200, "nothing has ended");
    app.user("acme/boss").await;
    assert_eq!(boss.post("/users/ann/password").send().await.status, 200);
}

#[tokio::test]
async fn r42_a_password_that_was_made_is_as_good_as_wrong_after_72_hours() {
    let app = org().await;
    let boss = app.user("acme/boss").await;
    let ann = app.user("acme/ann").await;
    let set = boss.post("/users/ann/password").send().await;
    let (password, expires) = made(&set);
    assert_eq!(expires, "2026-03-13T12:00:00.000Z");
    assert_eq!(ann.get("/me").send().await.status, 401, "the sessions have ended");

    app.clock.advance(Duration::from_hours(72) - Duration::from_millis(1));
    let late = app.user_with("acme/ann", &password).await;
    assert_eq!(must_change(&late).await, json!(expires));
    app.clock.advance(Duration::from_millis(1));
    assert_eq!(app.clock.seconds(), NOON + 72 * 3600);
    let expired = app.anonymous().log_in("acme/ann", &password).await;
    let wrong = app.anonymous().log_in("acme/ann", "wrong").await;
    assert_eq!((expired.status, expired.told()), (401, wrong.told()));
    let refused = late.change_password(&password, NEW).await;
    assert_eq!(refused.status, 403, "nor is it good for a change: {refused:?}");

    let boss = app.user("acme/boss").await;
    let (again, _) = made(&boss.post("/users/ann/password").send().await);
    let ann = app.user_with("acme/ann", &again).await;
    assert_eq!(ann.change_password(&again, NEW).await.status, 204);
}

#[tokio::test]
async fn what_is_wrong_with_a_change_is_named_without_the_passwords() {
    let app = org().await;
    let ann = app.user("acme/ann").await;
    for (body, fields) in [
        ("{}", vec!["old", "new"]),
        (r#"{"old":"hunter2-Zx81"}"#, vec!["new"]),
        (r#"{"old":null,"new":7}"#, vec!["old", "new"]),
        (r#"{"old":"hunter2-Zx81","new":"hunter2-Zx81 hunter3","again":"x"}"#, vec!["again"]),
        (&format!(r#"{{"old":"{}","new":"x"}}"#, "hunter2-Zx81".repeat(100)), vec!["old"]),
    ] {
        let answer = ann.put("/me/password").json(body).send().await;
        assert_eq!(answer.status, 400, "{body}");
        let errors = answer.json()["errors"].as_array().unwrap().clone();
        let named: Vec<&str> =
            errors.iter().map(|error| error["field"].as_str().unwrap()).collect();
        assert_eq!(named, fields, "{body}");
        assert!(!answer.text().contains("hunter2"), "{answer:?}");
    }
    for (ask, status) in [
        (ann.put("/me/password").body("old=ahoy"), 415),
        (ann.put("/me/password?old=ahoy").json("{}"), 400),
        (ann.put("/me/password").json("{"), 400),
        (ann.get("/me/password"), 405),
        (app.anonymous().put("/me/password").json("{}"), 401),
    ] {
        assert_eq!(ask.send().await.status, status);
    }
}

/// A transaction that another node has open.
enum Elsewhere {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Elsewhere {
    async fn begin(app: &TestApp, change: &'static str) -> Self {
        if is_postgres() {
            let mut connection = PgConnection::connect(&app.database.url).await.unwrap();
            connection.execute("BEGIN").await.unwrap();
            connection.execute(change).await.unwrap();
            Self::Postgres(connection)
        } else {
            let mut connection = SqliteConnection::connect(&app.database.url).await.unwrap();
            connection.execute("BEGIN IMMEDIATE").await.unwrap();
            connection.execute(change).await.unwrap();
            Self::Sqlite(connection)
        }
    }

    async fn commit(self) {
        match self {
            Self::Sqlite(mut connection) => connection.execute("COMMIT").await.map(drop),
            Self::Postgres(mut connection) => connection.execute("COMMIT").await.map(drop),
        }
        .unwrap();
    }
}

#[tokio::test]
async fn r42_a_sign_in_at_the_moment_of_a_change_leaves_no_session_behind() {
    let app = org().await;
    let change = Elsewhere::begin(
        &app,
        "UPDATE users SET password_hash = 'another' WHERE org = 'acme' AND username = 'ann'",
    )
    .await;
    let anonymous = app.anonymous();
    let mut login = Box::pin(anonymous.log_in("acme/ann", PASSWORD));
    // It has verified the old password, and waits for what becomes of the change.
    let early = tokio::time::timeout(Duration::from_millis(500), &mut login).await;
    assert!(early.is_err(), "{early:?}");
    change.commit().await;
    assert_eq!(login.await.status, 401);
    assert_eq!(live_sessions(&app).await, 0);
}
