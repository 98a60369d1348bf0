//! Who changes who may do what has signed in lately (RFC 9470), so that a page that somebody left
//! open, or a stolen token, cannot take over.

use std::time::Duration;

use rocket::figment::Figment;
use rocket::http::Method;

use crate::support::app::{Actor, Answer, TestApp};

/// Changes that need a token and no recent sign-in: reading by POST, signing out, recording pay,
/// and ending what could be misused.
const NEEDS_NO_RECENT_SIGN_IN: &[(&str, &str)] = &[
    ("POST", "/bearer"),
    ("DELETE", "/jwt"),
    ("POST", "/pay"),
    ("POST", "/pay/{name}"),
    ("DELETE", "/me/sessions"),
    ("DELETE", "/me/sessions/{id}"),
];

async fn manager(app: &TestApp) -> Actor<'_> {
    app.add_org("acme").await;
    app.add_user("acme", "boss").await;
    app.add_grant("acme", "boss", "manage", "org").await;
    app.add_grant("acme", "boss", "write", "org").await;
    app.user("acme/boss").await
}

/// Every operation that changes something and needs a token, as the OpenAPI document lists them.
async fn changes(app: &TestApp) -> Vec<(Method, String)> {
    let document = app.anonymous().get("/openapi.json").send().await.json();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = method.to_uppercase();
            let is_free = NEEDS_NO_RECENT_SIGN_IN.contains(&(method.as_str(), path.as_str()));
            if method != "GET" && !operation["security"].is_null() && !is_free {
                found.push((method.parse().unwrap(), path.clone()));
            }
        }
    }
    found
}

fn asks_for_a_sign_in(answer: &Answer, max_age: u64) -> bool {
    let challenge = answer.field("WWW-Authenticate").unwrap_or_default();
    answer.status == 401
        && challenge.contains(r#"error="insufficient_user_authentication""#)
        && challenge.ends_with(&format!(r#"max_age="{max_age}""#))
}

#[tokio::test]
async fn r51_every_change_of_who_may_do_what_needs_a_recent_sign_in() {
    let app = TestApp::new().await;
    let boss = manager(&app).await;
    let changes = changes(&app).await;
    assert!(changes.len() >= 5, "{changes:?}");

    app.clock.advance(Duration::from_secs(15 * 60));
    for (method, path) in &changes {
        let answer = boss.ask(*method, &path.replace(['{', '}'], "")).json("{}").send().await;
        assert!(!asks_for_a_sign_in(&answer, 900), "{method} {path}: {answer:?}");
    }
    app.clock.advance(Duration::from_secs(1));
    for (method, path) in &changes {
        let answer = boss.ask(*method, &path.replace(['{', '}'], "")).json("{}").send().await;
        assert!(asks_for_a_sign_in(&answer, 900), "{method} {path}: {answer:?}");
    }

    assert_eq!(boss.get("/users").send().await.status, 200, "reading goes on");
    let again = app.user("acme/boss").await;
    let body = r#"{"username":"ann"}"#;
    assert_eq!(again.post("/users").json(body).send().await.status, 201);
}

#[tokio::test]
async fn who_may_not_is_told_that_before_being_asked_to_sign_in() {
    let app = TestApp::new().await;
    manager(&app).await;
    app.add_user("acme", "ann").await;
    let ann = app.user("acme/ann").await;
    app.clock.advance(Duration::from_secs(3600));
    let answer = ann.post("/users").json(r#"{"username":"bob"}"#).send().await;
    assert_eq!(answer.status, 403, "{answer:?}");
}

#[tokio::test]
async fn how_long_a_sign_in_is_recent_can_be_set() {
    let app = TestApp::with(Figment::new().merge(("max_sign_in_age", "2m"))).await;
    let boss = manager(&app).await;
    app.clock.advance(Duration::from_secs(121));
    let answer = boss.post("/users").json(r#"{"username":"ann"}"#).send().await;
    assert!(asks_for_a_sign_in(&answer, 120), "{answer:?}");
}
