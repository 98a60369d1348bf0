//! Which sessions are alive, when each was used last, and ending them: from the very next request on.

use std::time::Duration;

use serde_json::{Value, json};
use stipend::auth::{Auth, prune_sessions};
use stipend::clock::Clock;
use stipend::store::StoreError;

use crate::jwt::{Jwt, assert_invalid_token};
use crate::support::app::{Actor, TestApp};

/// The id of an actor's session.
pub(crate) fn id_of(actor: &Actor<'_>) -> String {
    Jwt::read(actor.token()).claims["jti"].as_str().unwrap().to_owned()
}

async fn list(actor: &Actor<'_>, path: &str) -> Vec<Value> {
    let answer = actor.get(path).send().await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json().as_array().unwrap().clone()
}

fn ids(sessions: &[Value]) -> Vec<String> {
    sessions.iter().map(|session| session["id"].as_str().unwrap().to_owned()).collect()
}

async fn is_in(actor: &Actor<'_>) -> bool {
    match actor.get("/me").field("Accept", "text/plain").send().await {
        answer if answer.status == 200 => true,
        answer => {
            assert_invalid_token(&answer, "out");
            false
        }
    }
}

/// `boss` manages all of acme, `lead` team ops, of which `ann` is; `cyd` is of dev, and `bea` of
/// another org, where a second `ann` is too. Nobody sees any pay but their own.
async fn orgs() -> TestApp {
    let app = TestApp::new().await;
    for org in ["acme", "beta"] {
        app.add_org(org).await;
    }
    for name in ["boss", "lead", "ann", "cyd"] {
        app.add_user("acme", name).await;
        app.add_grant("acme", name, "read", "own").await;
    }
    for (name, team) in [("ann", "ops"), ("cyd", "dev"), ("lead", "ops")] {
        app.add_employee("acme", name, 100_000).await;
        app.set_team("acme", name, team).await;
    }
    app.add_grant("acme", "boss", "manage", "org").await;
    app.add_grant("acme", "lead", "manage", "user:ann").await;
    for name in ["bea", "ann"] {
        app.add_user("beta", name).await;
    }
    app.add_grant("beta", "bea", "manage", "org").await;
    app
}

#[tokio::test]
async fn r51_a_user_sees_their_own_live_sessions_the_newest_first() {
    let app = orgs().await;
    let first = app.user("acme/ann").await;
    app.clock.advance(Duration::from_secs(90));
    let second = app.user("acme/ann").await;
    app.user("acme/boss").await;
    app.user("beta/ann").await;
    let found = list(&second, "/me/sessions").await;
    assert_eq!(ids(&found), [id_of(&second), id_of(&first)]);
    assert_eq!(
        found[0],
        json!({
            "id": id_of(&second), "kind": "login", "name": null,
            "created_at": "2026-03-10T12:01:30.000Z", "until": "2026-03-11T12:01:30.000Z",
            "last_used_at": "2026-03-10T12:01:00.000Z", "client": "local", "perms": ["read"],
            "second_factor": false, "this": true,
        })
    );
    assert_eq!((&found[1]["this"], &found[1]["last_used_at"]), (&json!(false), &json!(null)));

    first.delete("/jwt").send().await;
    assert_eq!(ids(&list(&second, "/me/sessions").await), [id_of(&second)], "one has ended");
    app.clock.advance(Duration::from_secs(24 * 3600 - 91));
    let third = app.user("acme/ann").await;
    assert_eq!(list(&third, "/me/sessions").await.len(), 2);
    app.clock.advance(Duration::from_secs(91));
    assert_eq!(ids(&list(&third, "/me/sessions").await), [id_of(&third)], "one has expired");
}

#[tokio::test]
async fn sessions_come_in_pages() {
    let app = orgs().await;
    let mut expected = Vec::new();
    let mut ann = app.user("acme/ann").await;
    for n in 0..5 {
        expected.insert(0, id_of(&ann));
        // Two were opened in the same millisecond.
        app.clock.advance(Duration::from_millis(u64::from(n != 2)));
        ann = app.user("acme/ann").await;
    }
    expected.insert(0, id_of(&ann));
    let (mut found, mut path) = (Vec::new(), Some("/me/sessions?limit=2".to_owned()));
    while let Some(page) = path {
        let answer = ann.get(&page).send().await;
        assert!(answer.json().as_array().unwrap().len() <= 2);
        found.extend(ids(answer.json().as_array().unwrap()));
        path = answer.next_page();
    }
    let newest_first = found.clone();
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "each once: {newest_first:?}");

    let boss = app.user("acme/boss").await;
    let answer = boss.get("/users/ann/sessions?limit=5").send().await;
    let next = answer.next_page().unwrap();
    assert!(next.starts_with("/users/ann/sessions?limit=5&after="), "{next}");
    assert_eq!(list(&boss, &next).await.len(), 1);
    for wrong in ["after=nope", "after=", "limit=0", "limit=1001", "kind=login"] {
        let answer = ann.get(&format!("/me/sessions?{wrong}")).send().await;
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
    }
    let theirs = format!("/me/sessions?after={}", id_of(&boss));
    assert_eq!(ann.get(&theirs).send().await.status, 400, "a cursor of somebody else's");
}

#[tokio::test]
async fn r17_r51_an_ended_session_is_out_at_the_very_next_request_and_the_others_stay() {
    let app = orgs().await;
    let (one, two) = (app.user("acme/ann").await, app.user("acme/ann").await);
    let cyd = app.user("acme/cyd").await;
    assert!(is_in(&two).await);
    // A sign-in of long ago may still end what could be misused.
    app.clock.advance(Duration::from_secs(3600));
    let path = format!("/me/sessions/{}", id_of(&two));
    assert_eq!(one.delete(&path).send().await.status, 204);
    assert!(!is_in(&two).await && is_in(&one).await && is_in(&cyd).await);
    let count = "SELECT COUNT(*) FROM audit WHERE action = 'end_session'";
    assert_eq!(one.delete(&path).send().await.status, 204, "it stays ended");
    assert_eq!(app.database.number(count).await, 1, "and is on record once");

    assert_eq!(one.delete(&format!("/me/sessions/{}", id_of(&one))).send().await.status, 204);
    assert!(!is_in(&one).await, "this one");
}

#[tokio::test]
async fn r17_r51_everywhere_ends_all_sessions_and_tokens_of_one_user_alone() {
    let app = orgs().await;
    let (one, two) = (app.user("acme/ann").await, app.user("acme/ann").await);
    let token = crate::tokens::make(&one, "ci", &["read"]).await;
    let (cyd, other_ann) = (app.user("acme/cyd").await, app.user("beta/ann").await);
    assert!(is_in(&token).await);
    assert_eq!(one.delete("/me/sessions").send().await.status, 204);
    for gone in [&one, &two, &token] {
        assert!(!is_in(gone).await);
    }
    assert!(is_in(&cyd).await && is_in(&other_ann).await);
    let record = "SELECT actor || ' ' || subjects || ' ' || detail FROM audit \
                  WHERE action = 'end_sessions'";
    let records = app.database.texts(record).await;
    assert_eq!(records, [r#"ann ["ann"] {"ended":3}"#]);
    assert!(is_in(&app.user("acme/ann").await).await, "signing in again works");
}

#[tokio::test]
async fn r52_a_session_of_anybody_else_is_as_if_there_were_none() {
    let app = orgs().await;
    let ann = app.user("acme/ann").await;
    let missing = ann.delete("/me/sessions/nope").send().await;
    assert_eq!(missing.status, 404);
    for other in ["acme/cyd", "acme/boss", "beta/ann", "beta/bea"] {
        let other = app.user(other).await;
        let answer = ann.delete(&format!("/me/sessions/{}", id_of(&other))).send().await;
        assert_eq!(answer.told(), missing.told());
        assert!(is_in(&other).await);
    }
}

/// Who may list and end whose sessions: whoever manages them, and nobody else learns that there is
/// anybody.
#[tokio::test]
async fn r51_r52_whoever_manages_somebody_ends_their_sessions_and_nobody_else_does() {
    let app = orgs().await;
    let manages = |who: &str, whom: &str| {
        matches!((who, whom), ("acme/boss", _) | ("acme/lead", "ann") | ("beta/bea", "ann"))
    };
    for who in ["acme/boss", "acme/lead", "acme/ann", "beta/bea"] {
        for whom in ["ann", "cyd", "lead"] {
            let caller = app.user(who).await;
            let other = app.user(&format!("acme/{whom}")).await;
            let theirs = format!("/users/{whom}/sessions");
            let one = format!("{theirs}/{}", id_of(&other));
            let found = caller.get(&theirs).send().await;
            let one_ended = caller.delete(&one).send().await;
            let is_in_still = is_in(&other).await;
            let other = if is_in_still { other } else { app.user(&format!("acme/{whom}")).await };
            let all_ended = caller.delete(&theirs).send().await;
            let told = (found.status, one_ended.status, is_in_still, all_ended.status);
            let expected = match (who, whom) {
                // Their `ann` is another.
                ("beta/bea", "ann") => (200, 404, true, 204),
                _ if manages(who, whom) => (200, 204, false, 204),
                ("acme/ann", _) => (403, 403, true, 403),
                _ => (404, 404, true, 404),
            };
            assert_eq!(told, expected, "{who} {whom}");
            let is_out = !expected.2;
            assert_eq!(is_in(&other).await, !is_out, "{who} {whom}: everywhere");
            if is_out && who != format!("acme/{whom}") {
                let listed = ids(found.json().as_array().unwrap());
                assert!(one.ends_with(&listed[0]), "{who} {whom}: {listed:?}");
            }
        }
    }
}

#[tokio::test]
async fn ending_somebody_elses_sessions_needs_a_recent_sign_in_and_is_on_record() {
    let app = orgs().await;
    let (boss, ann) = (app.user("acme/boss").await, app.user("acme/ann").await);
    let one = format!("/users/ann/sessions/{}", id_of(&ann));
    app.clock.advance(Duration::from_secs(901));
    for path in [one.as_str(), "/users/ann/sessions"] {
        assert_eq!(boss.delete(path).send().await.status, 401, "{path}");
    }
    assert_eq!(boss.get("/users/ann/sessions").send().await.status, 200, "looking does not");
    let boss = app.user("acme/boss").await;
    assert_eq!(boss.delete(&one).send().await.status, 204);
    assert_eq!(boss.delete(&one).send().await.status, 204);
    assert_eq!(boss.delete("/users/ann/sessions").send().await.status, 204);
    let records = "SELECT actor || ' ' || action || ' ' || permission || ' ' || grants || ' ' || \
                   subjects || ' ' || detail FROM audit WHERE action LIKE 'end_session%' \
                   ORDER BY record_id";
    let id = id_of(&ann);
    let by = r#"manage ["boss manage org"] ["ann"]"#;
    assert_eq!(
        app.database.texts(records).await,
        [
            format!(r#"boss end_session {by} {{"session":"{id}","name":null}}"#),
            format!(r#"boss end_sessions {by} {{"ended":0}}"#),
        ]
    );
}

#[tokio::test]
async fn when_a_session_was_used_is_written_to_the_minute_and_once_a_minute_at_most() {
    let app = orgs().await;
    let (ann, cyd) = (app.user("acme/ann").await, app.user("acme/cyd").await);
    let write_each_minute = async || write_each_minute(&app).await.unwrap();
    let write = async || app.auth().last_used.write(&app.auth().db, app.clock.now()).await.unwrap();
    let written = async |actor: &Actor<'_>| {
        let id = id_of(actor);
        let sql =
            format!("SELECT COALESCE(last_used_at, 0) FROM sessions WHERE session_id = '{id}'");
        app.database.number(&sql).await
    };
    let noon = app.clock.seconds() * 1000;
    app.clock.advance(Duration::from_secs(59));
    assert!(is_in(&ann).await);
    assert_eq!(written(&ann).await, 0, "no request writes it");
    write_each_minute().await;
    assert_eq!((written(&ann).await, written(&cyd).await), (noon, 0));

    assert!(is_in(&cyd).await);
    write_each_minute().await;
    assert_eq!(written(&cyd).await, 0, "it was written within this minute");
    app.clock.advance(Duration::from_secs(1));
    assert!(is_in(&ann).await);
    write_each_minute().await;
    assert_eq!((written(&ann).await, written(&cyd).await), (noon + 60_000, noon));

    // Another node has seen it later, and writes first.
    let later = format!("UPDATE sessions SET last_used_at = {}", noon + 300_000);
    app.database.execute(&later).await;
    assert!(is_in(&ann).await);
    write().await;
    assert_eq!(written(&ann).await, noon + 300_000, "the later time stays");

    app.clock.advance(Duration::from_secs(600));
    assert!(is_in(&ann).await);
    write().await;
    assert_eq!(written(&ann).await, noon + 660_000, "a stop waits for no minute");
}

#[tokio::test]
async fn what_is_not_written_yet_is_shown_and_what_cannot_be_written_waits() {
    let app = orgs().await;
    let (boss, ann) = (app.user("acme/boss").await, app.user("acme/ann").await);
    app.clock.advance(Duration::from_secs(120));
    assert!(is_in(&ann).await);
    let shown = async || list(&boss, "/users/ann/sessions").await[0]["last_used_at"].clone();
    assert_eq!(shown().await, "2026-03-10T12:02:00.000Z");

    app.database.execute("ALTER TABLE sessions RENAME COLUMN last_used_at TO elsewhere").await;
    assert!(write_each_minute(&app).await.is_err());
    app.database.execute("ALTER TABLE sessions RENAME COLUMN elsewhere TO last_used_at").await;
    assert_eq!(shown().await, "2026-03-10T12:02:00.000Z", "it is kept");
    app.clock.advance(Duration::from_secs(60));
    write_each_minute(&app).await.unwrap();
    let written = "SELECT COUNT(*) FROM sessions WHERE last_used_at IS NOT NULL";
    assert_eq!(app.database.number(written).await, 2);
    assert_eq!(shown().await, "2026-03-10T12:02:00.000Z");
}

#[tokio::test]
async fn the_rows_of_sessions_are_forgotten_90_days_after_they_are_over() {
    let app = orgs().await;
    let (ended, expiring) = (app.user("acme/ann").await, app.user("acme/cyd").await);
    ended.delete("/jwt").send().await;
    let prune = async || prune_sessions(&app.auth().db, app.clock.now()).await.unwrap();
    let left = async || app.database.number("SELECT COUNT(*) FROM sessions").await;
    let day = Duration::from_secs(24 * 3600);
    app.clock.advance(90 * day);
    assert_eq!((prune().await, left().await), (0, 2));
    app.clock.advance(Duration::from_secs(1));
    assert_eq!((prune().await, left().await), (1, 1));
    // The other one lived a day longer.
    app.clock.advance(day - Duration::from_secs(1));
    assert_eq!((prune().await, left().await), (0, 1));
    app.clock.advance(day);
    let alive = app.user("acme/ann").await;
    assert_eq!((prune().await, left().await), (1, 1));
    assert!(is_in(&alive).await && !is_in(&expiring).await);
    let recorded = format!("SELECT COUNT(*) FROM audit WHERE session_id = '{}'", id_of(&ended));
    assert_eq!(app.database.number(&recorded).await, 2, "what was done in it stays on record");
}

#[tokio::test]
async fn r51_no_token_that_is_made_meanwhile_survives_the_end_of_everything() {
    let app = orgs().await;
    let boss = app.user("acme/boss").await;
    let wanted = json!({ "name": "ci", "until": "2026-06-30", "perms": ["read"] }).to_string();
    for n in 0..12 {
        let ann = app.user("acme/ann").await;
        let path = if n % 2 == 0 { "/me/sessions" } else { "/users/ann/sessions" };
        let ender = if n % 2 == 0 { &ann } else { &boss };
        let (made, ended) =
            tokio::join!(ann.post("/me/tokens").json(&wanted).send(), ender.delete(path).send());
        // The token was made first, and has ended too; or its maker was out already.
        assert_eq!(ended.status, 204, "{ended:?}");
        assert!([201, 401].contains(&made.status), "{made:?}");
        let live = "SELECT COUNT(*) FROM sessions WHERE username = 'ann' AND ended_at IS NULL";
        assert_eq!(app.database.number(live).await, 0, "{n}: {made:?}");
    }
}

#[tokio::test]
async fn a_session_that_has_expired_is_not_ended_once_more() {
    let app = orgs().await;
    let old = app.user("acme/ann").await;
    app.clock.advance(Duration::from_secs(24 * 3600));
    let ann = app.user("acme/ann").await;
    assert_eq!(ann.delete(&format!("/me/sessions/{}", id_of(&old))).send().await.status, 204);
    let ended = "SELECT COUNT(*) FROM sessions WHERE ended_at IS NOT NULL";
    assert_eq!(app.database.number(ended).await, 0);
    assert_eq!(ann.delete("/me/sessions").send().await.status, 204);
    assert_eq!(app.database.number(ended).await, 1, "nor by ending all");
    let records = "SELECT COUNT(*) FROM audit WHERE action LIKE 'end_session%'";
    assert_eq!(app.database.number(records).await, 1);
}

/// What the housekeeping does, when the test says so.
async fn write_each_minute(app: &TestApp) -> Result<(), StoreError> {
    let Auth { db, last_used, .. } = app.auth();
    last_used.write_each_minute(db, app.clock.now()).await
}
