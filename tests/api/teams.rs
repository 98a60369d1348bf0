//! A team is a reach: who moves somebody into one comes to hold over them what they hold over it.

use rocket::http::Method;
use serde_json::{Value, json};

use crate::support::app::{Actor, Answer, TestApp};

/// `ann` manages `cyd` of dev and `dan` of no team, and the teams ops and dev. She holds another
/// permission over ops alone.
async fn org(permission: &str) -> TestApp {
    let app = TestApp::new().await;
    app.add_org("acme").await;
    app.add_user("acme", "ann").await;
    for name in ["cyd", "dan"] {
        app.add_employee("acme", name, 100_000).await;
        app.add_grant("acme", "ann", "manage", &format!("user:{name}")).await;
    }
    app.set_team("acme", "cyd", "dev").await;
    for team in ["ops", "dev"] {
        app.add_grant("acme", "ann", "manage", &format!("team:{team}")).await;
    }
    app.add_grant("acme", "ann", permission, "team:ops").await;
    app
}

async fn move_into(caller: &Actor<'_>, whom: &str, team: Value) -> Answer {
    let ask = caller.ask(Method::Patch, &format!("/users/{whom}")).field("If-Match", "*");
    ask.json(json!({ "team": team }).to_string()).send().await
}

#[tokio::test]
async fn nobody_moves_somebody_into_a_team_that_they_do_not_manage() {
    let app = org("audit").await;
    let ann = app.user("acme/ann").await;
    for whom in ["cyd", "dan"] {
        let answer = move_into(&ann, whom, json!("board")).await;
        assert_eq!(answer.status, 403, "{whom}: {answer:?}");
    }
    app.add_grant("acme", "ann", "audit", "org").await;
    assert_eq!(move_into(&ann, "cyd", json!("ops")).await.status, 200);
    assert_eq!(move_into(&ann, "cyd", json!(null)).await.status, 200, "anybody may leave");
    app.add_grant("acme", "ann", "manage", "org").await;
    assert_eq!(move_into(&ann, "cyd", json!("board")).await.status, 200);
}

#[tokio::test]
async fn nobody_comes_to_hold_more_by_moving_somebody() {
    for permission in ["read", "write", "audit"] {
        let app = org(permission).await;
        let ann = app.user("acme/ann").await;
        let answer = move_into(&ann, "cyd", json!("ops")).await;
        assert_eq!(answer.status, 403, "{permission}, from another team: {answer:?}");
        let answer = move_into(&ann, "dan", json!("ops")).await;
        assert_eq!(answer.status, 403, "{permission}, from no team: {answer:?}");
        assert_eq!(move_into(&ann, "cyd", json!(null)).await.status, 200);
        let answer = move_into(&ann, "cyd", json!("ops")).await;
        assert_eq!(answer.status, 403, "{permission}, by way of no team: {answer:?}");
        let answer = move_into(&ann, "cyd", json!("dev")).await;
        assert_eq!(answer.status, 200, "{permission}, into a team over which she holds nothing");

        app.add_grant("acme", "ann", permission, "team:dev").await;
        assert_eq!(move_into(&ann, "cyd", json!("ops")).await.status, 200, "she holds it already");
        app.add_grant("acme", "ann", permission, "user:dan").await;
        assert_eq!(move_into(&ann, "dan", json!("ops")).await.status, 200, "she holds it already");
    }
}

#[tokio::test]
async fn whoever_manages_a_team_adds_somebody_new_to_it() {
    let app = org("read").await;
    let ann = app.user("acme/ann").await;
    let add = async |name: &str, team: &str| {
        let new = json!({ "username": name, "name": "New", "team": team, "user": false });
        ann.post("/users").json(new.to_string()).send().await.status
    };
    assert_eq!(add("eve", "ops").await, 201, "somebody new has no pay yet");
    assert_eq!(add("fay", "board").await, 403);
    assert_eq!(ann.sees().await, "");
}
