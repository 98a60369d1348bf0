//! From one key to the next.

use std::time::Duration;

use serde_json::Value;
use stipend::domain::{KeyAlgorithm, Purpose};

use super::{A_WHILE, Operator, kid};
use crate::jwt::{Jwt, assert_accepted, assert_refused};
use crate::support::app::TestApp;

const BOTH: [KeyAlgorithm; 2] = [KeyAlgorithm::Hs256, KeyAlgorithm::EdDsa];

async fn log_in(app: &TestApp) -> String {
    app.demo_user().await.token().to_owned()
}

#[tokio::test]
async fn r19d_a_promoted_key_signs_once_every_node_knows_it_and_the_old_one_verifies_on() {
    for algorithm in BOTH {
        let app = TestApp::new().await;
        let operator = Operator::of(&app);
        let old = operator.configured().await;
        let before = log_in(&app).await;
        assert_eq!(kid(&before), old);
        let new = operator.add(algorithm).await;
        assert_eq!(operator.status(&new).await, "verifying");
        assert_eq!(kid(&log_in(&app).await), old, "added is not promoted");
        operator.promote(&new).await;
        assert_eq!(operator.status(&new).await, "next");
        let lead = if algorithm == KeyAlgorithm::Hs256 { 3 } else { 13 };
        app.clock.advance(Duration::from_millis(lead * 1000 - 1));
        assert_eq!(kid(&log_in(&app).await), old, "not yet");
        app.clock.advance(Duration::from_millis(1));
        let after = log_in(&app).await;
        assert_eq!(kid(&after), new);
        assert_eq!(Jwt::read(&after).header["alg"], algorithm.name());
        assert_accepted(&app, &before, "the old key's").await;
        assert_accepted(&app, &after, "the new key's").await;
        assert_eq!(
            (operator.status(&old).await, operator.status(&new).await),
            ("verifying", "signing")
        );
        // Back again, at once: it has long been known.
        app.clock.advance(A_WHILE);
        operator.promote(&old).await;
        assert_eq!(kid(&log_in(&app).await), old);
    }
}

#[tokio::test]
async fn of_two_promotions_the_later_one_holds_and_nobody_is_left_out_between() {
    let app = TestApp::new().await;
    let operator = Operator::of(&app);
    let old = operator.configured().await;
    let slow = operator.add(KeyAlgorithm::EdDsa).await;
    let quick = operator.add(KeyAlgorithm::Hs256).await;
    operator.promote(&slow).await;
    operator.promote(&quick).await;
    // The old one is retired when another takes over, and not before.
    assert!(operator.retire(&old, None).await.is_ok());
    assert_eq!(operator.status(&old).await, "signing");
    let mut signed = Vec::new();
    for _ in 0..30 {
        signed.push(kid(&log_in(&app).await));
        app.clock.advance(Duration::from_millis(500));
    }
    signed.dedup();
    assert_eq!((&signed[0], signed.last().unwrap()), (&old, &quick));
    assert_eq!(operator.status(&old).await, "retiring");
}

#[tokio::test]
async fn r19d_a_retired_key_verifies_until_its_last_session_has_ended_and_is_then_erased() {
    let app = TestApp::new().await;
    let operator = Operator::of(&app);
    let old = operator.rotate_to(KeyAlgorithm::Hs256).await;
    let (one, other) = (log_in(&app).await, log_in(&app).await);
    let new = operator.rotate_to(KeyAlgorithm::EdDsa).await;
    let retired = operator.retire(&old, None).await.unwrap();
    assert_eq!((retired.sessions_ended, retired.heir), (0, None));
    app.clock.advance(Duration::from_secs(3600));
    assert_eq!(operator.status(&old).await, "retiring");
    assert_accepted(&app, &one, "retired is not ended").await;
    assert_eq!(app.bearer(&one).delete("/jwt").send().await.status, 204);
    assert_accepted(&app, &other, "one is left").await;
    let auth = app.auth();
    let erase = async || {
        let now = auth.ports.clock.now();
        let mut tx = auth.db.begin().await.unwrap();
        let erased = stipend::store::keys::erase(tx.access(), now, now).await.unwrap();
        tx.commit().await.unwrap();
        erased
    };
    assert_eq!(erase().await, 0, "one is left");
    app.clock.advance(Duration::from_secs(86_400));
    assert_eq!(operator.status(&old).await, "gone");
    assert_refused(&app, &other, "its session has ended").await;
    assert_eq!(erase().await, 1);
    let left = format!("SELECT COUNT(*) FROM keys WHERE kid = '{old}' AND sealed IS NOT NULL");
    assert_eq!(app.database.number(&left).await, 0);
    assert_eq!(operator.status(&new).await, "signing");
    let refused = stipend::service::keys::promote(operator.act(), &old).await.unwrap_err();
    assert!(refused.to_string().contains("is retired: add another key"), "{refused}");
}

#[tokio::test]
async fn the_key_that_signs_is_not_retired_unless_another_takes_its_place() {
    let app = TestApp::new().await;
    let operator = Operator::of(&app);
    let old = operator.configured().await;
    let said = operator.retire(&old, None).await.unwrap_err();
    assert!(said.contains("signs, and no key has been promoted after it"), "{said}");
    let said = operator.retire(&old, Some(&old)).await.unwrap_err();
    assert!(said.starts_with("--promote: "), "{said}");
    let said = operator.retire("nope", None).await.unwrap_err();
    assert!(said.contains("there is no such key"), "{said}");
    let checkpoints = app.auth().keys.ring().checkpoint_key().unwrap().kid().to_owned();
    for heir in [Some(checkpoints.as_str()), Some("nope")] {
        assert!(operator.retire(&old, heir).await.is_err());
        assert!(operator.revoke(&old, heir).await.is_err());
    }
    assert!(operator.retire(&checkpoints, None).await.is_err());
    assert_eq!(operator.status(&old).await, "signing", "nothing was half done");

    let new = operator.add(KeyAlgorithm::Hs256).await;
    let retired = operator.retire(&old, Some(&new)).await.unwrap();
    assert_eq!(retired.heir.as_ref().unwrap().0, new);
    assert_eq!(retired.heir.unwrap().1, retired.from, "one begins when the other ends");
    assert_eq!(kid(&log_in(&app).await), old);
    let said = operator.retire(&new, None).await.unwrap_err();
    assert!(said.contains("signs, and no key"), "the one that is to sign: {said}");
    app.clock.advance(A_WHILE);
    assert_eq!(kid(&log_in(&app).await), new);
    assert_eq!(operator.status(&old).await, "retiring");
    let again = operator.retire(&old, None).await.unwrap();
    assert_eq!(again.from, retired.from, "twice is once");
}

#[tokio::test]
async fn r17_r19d_a_key_that_is_revoked_ends_with_its_sessions_at_the_next_request() {
    for algorithm in BOTH {
        let app = TestApp::new().await;
        let operator = Operator::of(&app);
        let configured = operator.configured().await;
        let safe = log_in(&app).await;
        let leaked = operator.rotate_to(algorithm).await;
        let (one, other) = (log_in(&app).await, log_in(&app).await);
        assert_accepted(&app, &one, "before").await;
        let retired = operator.revoke(&leaked, None).await.unwrap();
        assert_refused(&app, &one, "revoked").await;
        assert_refused(&app, &other, "revoked").await;
        assert_accepted(&app, &safe, "another key's").await;
        assert_eq!(retired.sessions_ended, 2);
        let (heir, from) = retired.heir.unwrap();
        assert!(retired.heir_is_new && heir != configured && from.as_secs() >= 0);
        // At once, on a server that has not read the ring since: neither login nor token waits.
        app.clock.advance(Duration::from_millis(1));
        let after = log_in(&app).await;
        assert_eq!(kid(&after), heir);
        assert_eq!(Jwt::read(&after).header["alg"], algorithm.name(), "of the same kind");
        assert_accepted(&app, &after, "the new key's").await;
        let all = operator.list().await;
        let gone = all.iter().find(|shown| shown.key.kid == leaked).unwrap();
        assert_eq!((gone.status.name(), gone.key.sessions_ended, gone.sessions), ("gone", 2, 0));
        assert!(gone.key.sealed.is_none(), "it is erased");
        let again = operator.revoke(&leaked, None).await.unwrap();
        assert_eq!((again.sessions_ended, again.heir), (0, None), "twice is once");

        let app = app.restarted_with(rocket::figment::Figment::new()).await;
        assert_refused(&app, &one, "after a restart").await;
        assert_accepted(&app, &after, "after a restart").await;
    }
}

#[tokio::test]
async fn r19d_a_login_that_was_under_way_when_its_key_was_revoked_gives_a_dead_token() {
    let app = TestApp::new().await;
    let operator = Operator::of(&app);
    let leaked = operator.configured().await;
    let token = log_in(&app).await;
    operator.revoke(&leaked, None).await.unwrap();
    // As a login would that had read the ring before, and commits only now.
    app.database.execute("UPDATE sessions SET ended_at = NULL").await;
    assert_refused(&app, &token, "its session lives, its key does not").await;
}

#[tokio::test]
async fn in_an_emergency_the_key_that_is_named_or_promoted_signs_at_once() {
    let app = TestApp::new().await;
    let operator = Operator::of(&app);
    let leaked = operator.configured().await;
    let named = operator.add(KeyAlgorithm::EdDsa).await;
    let retired = operator.revoke(&leaked, Some(&named)).await.unwrap();
    assert!(!retired.heir_is_new);
    assert_eq!(kid(&log_in(&app).await), named, "without any lead");

    let next = operator.add(KeyAlgorithm::Hs256).await;
    operator.promote(&next).await;
    assert_eq!(operator.status(&next).await, "next");
    app.clock.advance(Duration::from_millis(10));
    let retired = operator.revoke(&named, None).await.unwrap();
    assert_eq!(retired.heir.as_ref().unwrap().0, next);
    assert_eq!(kid(&log_in(&app).await), next);
    let said = operator.revoke(&next, Some(&named)).await.unwrap_err();
    assert!(said.contains("is retired"), "{said}");

    // The one that was to follow is revoked, after the one that signs was told to go for it.
    let follower = operator.add(KeyAlgorithm::EdDsa).await;
    operator.retire(&next, Some(&follower)).await.unwrap();
    let retired = operator.revoke(&follower, None).await.unwrap();
    let (heir, _) = retired.heir.unwrap();
    for _ in 0..20 {
        app.clock.advance(Duration::from_secs(1));
        assert_eq!(kid(&log_in(&app).await), heir, "there is always one");
    }
    // One that has nothing to do with it ends alone.
    let bystander = operator.add(KeyAlgorithm::Hs256).await;
    let retired = operator.revoke(&bystander, None).await.unwrap();
    assert_eq!((retired.heir, retired.sessions_ended), (None, 0));
    assert_eq!(operator.status(&heir).await, "signing");
}

#[tokio::test]
async fn where_the_next_key_is_revoked_the_one_after_it_fills_its_time() {
    let app = TestApp::new().await;
    let operator = Operator::of(&app);
    let old = operator.configured().await;
    let next = operator.add(KeyAlgorithm::Hs256).await;
    operator.retire(&old, Some(&next)).await.unwrap();
    let last = operator.add(KeyAlgorithm::EdDsa).await;
    operator.promote(&last).await;
    let retired = operator.revoke(&next, None).await.unwrap();
    assert_eq!(retired.heir.unwrap().0, last);
    app.clock.advance(Duration::from_millis(1));
    for _ in 0..20 {
        assert_eq!(kid(&log_in(&app).await), last);
        app.clock.advance(Duration::from_secs(1));
    }
}

#[tokio::test]
async fn sessions_from_before_there_was_a_ring_belong_to_the_configured_key() {
    let app = TestApp::new().await;
    let token = log_in(&app).await;
    app.database.execute("UPDATE sessions SET kid = NULL").await;
    assert_accepted(&app, &token, "of unknown key").await;
    app.database.execute("DELETE FROM keys").await;
    app.database.execute("DELETE FROM sealing").await;
    let app = app.restarted_with(rocket::figment::Figment::new()).await;
    let operator = Operator::of(&app);
    let configured = operator.configured().await;
    assert_eq!(app.database.texts("SELECT kid FROM sessions").await, [configured.as_str()]);
    assert_accepted(&app, &token, "adopted").await;
    app.database.execute("UPDATE sessions SET kid = NULL").await;
    assert_eq!(operator.revoke(&configured, None).await.unwrap().sessions_ended, 1);
    assert_refused(&app, &token, "revoked with its key").await;
}

#[tokio::test]
async fn r81_every_change_of_the_ring_is_on_record_in_every_org() {
    let app = TestApp::new().await;
    app.add_org("acme").await;
    app.add_user("acme", "ann").await;
    let operator = Operator::of(&app);
    let leaked = operator.rotate_to(KeyAlgorithm::EdDsa).await;
    app.user("acme/ann").await;
    app.demo_user().await;
    app.demo_user().await;
    operator.revoke(&leaked, None).await.unwrap();
    for (org, ended) in [("acme", 1), ("twilio", 2)] {
        let sql = format!(
            "SELECT action FROM audit WHERE org = '{org}' AND actor = 'operator' \
             ORDER BY record_id"
        );
        let actions = app.database.texts(&sql).await;
        assert_eq!(actions, ["add_key", "promote_key", "retire_key", "add_key"], "{org}");
        let sql = format!("SELECT detail FROM audit WHERE org = '{org}' AND action = 'retire_key'");
        let detail: Value = serde_json::from_str(&app.database.texts(&sql).await[0]).unwrap();
        assert_eq!(
            (&detail["kid"], &detail["now"], &detail["sessions_ended"]),
            (&Value::from(leaked.as_str()), &Value::from(true), &Value::from(ended)),
            "each org its own: {org}"
        );
    }
    let said = app.database.texts("SELECT detail FROM audit").await.join("\n");
    assert!(!said.contains("sealed") && !said.contains("v1."), "{said}");
}

#[tokio::test]
async fn changes_at_the_same_time_wait_for_each_other() {
    let app = TestApp::new().await;
    let operator = Operator::of(&app);
    let old = operator.configured().await;
    let (a, b) = (operator.add(KeyAlgorithm::Hs256).await, operator.add(KeyAlgorithm::Hs256).await);
    let (one, other, third) = tokio::join!(
        operator.revoke(&old, Some(&a)),
        operator.revoke(&a, Some(&b)),
        operator.retire(&old, Some(&b)),
    );
    let _whoever_was_first = (one.is_ok(), other.is_ok(), third.is_ok());
    app.clock.advance(A_WHILE);
    assert_eq!(kid(&log_in(&app).await), b);
    let signing = operator.list().await;
    let signing = signing
        .iter()
        .filter(|shown| shown.status.name() == "signing" && shown.key.purpose == Purpose::Tokens);
    assert_eq!(signing.count(), 1);
}
