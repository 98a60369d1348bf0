//! What changes who may see what acts on the very next request, also of those who are signed in.

use std::time::Duration;

use rocket::http::Method;
use serde_json::json;

use crate::jwt::assert_invalid_token;
use crate::support::app::{Actor, TestApp};

/// `boss` manages and reads the whole org; `ann`, of ops, reads team ops; `bob` is of ops and `cyd`
/// of dev.
async fn org() -> TestApp {
    let app = TestApp::new().await;
    app.add_org("acme").await;
    for name in ["boss", "ann", "bob", "cyd"] {
        app.add_user("acme", name).await;
    }
    for (name, team) in [("ann", "ops"), ("bob", "ops"), ("cyd", "dev")] {
        app.add_employee("acme", name, 100_000).await;
        app.set_team("acme", name, team).await;
    }
    app.add_grant("acme", "boss", "manage", "org").await;
    app.add_grant("acme", "boss", "read", "org").await;
    app.add_grant("acme", "ann", "read", "team:ops").await;
    app
}

async fn change(manager: &Actor<'_>, whom: &str, changes: serde_json::Value) {
    let ask = manager.ask(Method::Patch, &format!("/users/{whom}")).field("If-Match", "*");
    let answer = ask.json(changes.to_string()).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn r17_a_change_of_team_acts_on_the_very_next_request() {
    let app = org().await;
    let (boss, ann) = (app.user("acme/boss").await, app.user("acme/ann").await);
    assert_eq!(ann.sees().await, "ann bob");
    change(&boss, "cyd", json!({ "team": "ops" })).await;
    assert_eq!(ann.sees().await, "ann bob cyd");
    change(&boss, "bob", json!({ "team": "dev" })).await;
    assert_eq!(ann.sees().await, "ann cyd");
    assert_eq!(ann.get("/pay/bob").send().await.status, 404);
    assert_eq!(ann.get("/pay/cyd").send().await.status, 200);
    change(&boss, "ann", json!({ "team": null })).await;
    assert_eq!(ann.sees().await, "cyd", "a reach is over a team, not over the holder's team");
}

#[tokio::test]
async fn r17_a_grant_acts_from_the_very_next_request_and_until_it_is_ended() {
    let app = org().await;
    let (boss, ann) = (app.user("acme/boss").await, app.user("acme/ann").await);
    let gift = json!({ "permission": "read", "reach": "user:cyd", "reason": "cover" });
    let given = boss.post("/users/ann/grants").json(gift.to_string()).send().await;
    assert_eq!(given.status, 201, "{given:?}");
    assert_eq!(ann.sees().await, "ann bob cyd");
    let place = given.field("Location").unwrap();
    assert_eq!(boss.delete(place).send().await.status, 204);
    assert_eq!(ann.sees().await, "ann bob");
    let rest = "/users/ann/grants/ann%20read%20team:ops";
    assert_eq!(boss.delete(rest).send().await.status, 204);
    assert_eq!(ann.read_pay().await.status, 403, "there is none left");
}

#[tokio::test]
async fn r17_a_disabled_user_is_out_at_the_very_next_request_and_stays_out() {
    let app = org().await;
    let (boss, ann) = (app.user("acme/boss").await, app.user("acme/ann").await);
    assert_eq!(ann.sees().await, "ann bob");
    change(&boss, "ann", json!({ "disabled": true })).await;
    for path in ["/bearer", "/pay", "/pay/ann", "/me", "/users", "/explain?who=ann&whom=ann"] {
        let answer = ann.get(path).field("Accept", "text/plain").send().await;
        assert_invalid_token(&answer, path);
    }
    let explained = boss.get("/explain?who=ann&whom=bob").send().await.json();
    assert_eq!(explained["sees"], false, "{explained}");
    change(&boss, "ann", json!({ "disabled": false })).await;
    assert_invalid_token(&ann.read_pay().await, "the session has ended");
    assert_eq!(app.user("acme/ann").await.sees().await, "ann bob");
}

#[tokio::test]
async fn r17_a_new_password_ends_every_session() {
    let app = org().await;
    let (boss, cyd) = (app.user("acme/boss").await, app.user("acme/cyd").await);
    assert_eq!(cyd.get("/me").send().await.status, 200);
    let answer = boss.post("/users/cyd/password").send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = cyd.get("/me").field("Accept", "text/plain").send().await;
    assert_invalid_token(&answer, "signed in by the old password");
}

#[tokio::test]
async fn a_password_is_set_only_by_who_reaches_and_holds_all_that_its_user_holds() {
    let app = org().await;
    app.add_grant("acme", "bob", "manage", "team:ops").await;
    app.add_grant("acme", "cyd", "manage", "user:ann").await;
    app.add_grant("acme", "cyd", "read", "user:bob").await;
    app.add_user("acme", "dan").await;
    let (bob, cyd) = (app.user("acme/bob").await, app.user("acme/cyd").await);
    let set = async |who: &Actor<'_>, whom: &str| {
        who.post(&format!("/users/{whom}/password")).send().await
    };
    let missing = set(&bob, "nobody").await.told();
    for whom in ["cyd", "dan", "boss"] {
        assert_eq!(set(&bob, whom).await.told(), missing, "{whom} is out of reach");
    }
    assert_eq!(set(&cyd, "ann").await.status, 403, "ann reads all of ops, cyd one of them");
    assert_eq!(set(&bob, "ann").await.status, 403, "ann reads ops, which bob only manages");
    app.add_grant("acme", "bob", "read", "team:ops").await;
    assert_eq!(set(&bob, "ann").await.status, 403, "this token was given before");
    assert_eq!(set(&app.user("acme/bob").await, "ann").await.status, 200);
}

#[tokio::test]
async fn a_grant_ends_at_midnight_for_everything_that_it_gave() {
    let app = org().await;
    let until = "'2026-03-10'";
    for permission in ["read", "write", "manage", "audit"] {
        app.add_grant_until("acme", "cyd", permission, "user:bob", until).await;
        app.add_grant("acme", "cyd", permission, "own").await;
    }
    let cyd = app.user("acme/cyd").await;
    let ask = async || {
        let rate = r#"{"effective_from":"2030-01-01","amount":"1","currency":"USD"}"#;
        let line = "username,effective_from,amount,currency\nbob,2030-01-02,1,USD\n";
        let import = cyd.post("/pay?dry_run=true").field("Content-Type", "text/csv").body(line);
        let record = cyd.post("/pay/bob").field("If-Match", "*").json(rate);
        let asks = [
            cyd.get("/pay/bob"),
            record,
            import,
            cyd.get("/users/bob"),
            cyd.get("/users/bob/grants"),
            cyd.get("/explain?who=ann&whom=bob"),
        ];
        let mut told = vec![cyd.sees().await];
        for ask in asks {
            told.push(ask.send().await.status.to_string());
        }
        told.join(", ")
    };
    app.clock.advance(Duration::from_secs(12 * 3600 - 1));
    assert_eq!(ask().await, "bob cyd, 200, 201, 200, 200, 200, 200");
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(ask().await, "cyd, 404, 404, 400, 404, 404, 404");
}
