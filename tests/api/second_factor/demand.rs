//! What an org demands of those who manage and record pay.

use rocket::http::Method;
use serde_json::json;

use super::{LONG, org, set_password, state, turn_off};
use crate::enrolment::{enrol, enrol_with, log_in};
use crate::support::app::{Actor, Answer, PASSWORD, TestApp};

#[tokio::test]
async fn r51_a_second_factor_that_the_org_demands_acts_on_the_next_request() {
    let app = org().await;
    app.add_employee("acme", "ann", 100_000).await;
    let (root, boss) = (app.user("acme/root").await, enrol_boss(&app).await);
    let demand = |on: bool| {
        let body = json!({ "second_factor": on }).to_string();
        boss.ask(Method::Patch, "/org").json(body)
    };
    let org = root.get("/org").send().await;
    assert_eq!(org.json(), json!({ "org": "acme", "second_factor": false }));
    assert_eq!(root.get("/users").send().await.status, 200);
    assert_eq!(demand(true).send().await.json(), json!({ "org": "acme", "second_factor": true }));
    assert_eq!(state(&root).await["demanded"], true);

    // Every route of the document, by the permission that it names.
    let document = app.anonymous().get("/openapi.json").send().await.json();
    let mut seen = [0, 0];
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let needs = |permission: &str| {
                let needed = operation["security"].as_array().into_iter().flatten();
                let mut scopes = needed.filter_map(|one| one["bearer"].as_array());
                scopes.any(|scopes| scopes.contains(&json!(permission)))
            };
            let changes = (needs("manage") || needs("write")) && !needs("audit");
            if !changes && !needs("read") {
                continue;
            }
            let method: Method = method.to_uppercase().parse().unwrap();
            let path = path.replace("{name}", "ann").replace("{id}", "x");
            let [weak, strong] =
                [&root, &boss].map(|c| c.ask(method, &path).json("{}").field("If-Match", "*"));
            seen[usize::from(changes)] += 1;
            let (weak, strong) = (weak.send().await, strong.send().await);
            let refused = weak.status == 403 && weak.text().contains("demands a second factor");
            assert_eq!(refused, changes, "{method} {path}: {weak:?}");
            let through = strong.text().contains("demands a second factor");
            assert!(!through && strong.status != 401, "{method} {path}: {strong:?}");
        }
    }
    assert!(seen[0] >= 4 && seen[1] >= 10, "{seen:?}");
    assert_eq!(root.get("/explain?who=ann&whom=ann").send().await.status, 200, "audit goes on");
    let perms = |answer: Answer| answer.json()["perms"].clone();
    assert_eq!(perms(root.get("/me").send().await), json!(["audit", "read"]));
    let every = json!(["audit", "manage", "read", "write"]);
    assert_eq!(perms(boss.get("/me").send().await), every);

    // Who is not enrolled signs in, reads, and enrols; from then on they hold all that they held.
    let again = app.user("acme/root").await;
    assert_eq!(again.read_pay().await.status, 200);
    let enrolled = enrol(&app, "acme/root").await;
    assert_eq!(perms(enrolled.actor.get("/me").send().await), every);
    assert_eq!(enrolled.actor.get("/users").send().await.status, 200);
    let code = &enrolled.recovery_codes[0];
    let by_code = log_in(&app, "acme/root", PASSWORD, code).await;
    let by_code = app.bearer(by_code.field("access_token").unwrap());
    assert_eq!(by_code.get("/users").send().await.status, 200);

    assert_eq!(demand(false).send().await.status, 200);
    let bob = app.user("acme/bob").await;
    assert_eq!(bob.get("/org").send().await.json()["second_factor"], false);
    let records = "SELECT actor || ' ' || permission || ' ' || detail FROM audit \
                   WHERE action = 'demand_second_factor' ORDER BY record_id";
    assert_eq!(
        app.database.texts(records).await,
        [r#"boss manage {"second_factor":true}"#, r#"boss manage {"second_factor":false}"#]
    );
}

async fn set_org(caller: &Actor<'_>, body: &str) -> Answer {
    caller.ask(Method::Patch, "/org").json(body).send().await
}

async fn enrol_boss(app: &TestApp) -> Actor<'_> {
    app.add_user("acme", "boss").await;
    for permission in ["read", "write", "manage", "audit"] {
        app.add_grant("acme", "boss", permission, "org").await;
    }
    enrol(app, "acme/boss").await.actor
}

#[tokio::test]
async fn who_turns_theirs_off_or_never_had_one_does_not_manage_where_it_is_demanded() {
    let app = org().await;
    let boss = enrol_boss(&app).await;
    set_password(&app, "root", LONG).await;
    let root = enrol_with(&app, "acme/root", LONG).await;
    let on = r#"{"second_factor":true}"#;
    assert_eq!(boss.ask(Method::Patch, "/org").json(on).send().await.status, 200);
    assert_eq!(root.actor.get("/users").send().await.status, 200);
    let off = turn_off(&root.actor, LONG, &root.recovery_codes[0]).await;
    assert_eq!(off.status, 204, "{off:?}");
    let users = root.actor.get("/users").send().await;
    assert_eq!(users.status, 403, "{users:?}");
    assert_eq!(root.actor.read_pay().await.status, 200, "the session goes on");

    // A script that was made in a session with a second factor goes on recording pay.
    app.add_employee("acme", "ann", 100_000).await;
    let rate = r#"{"effective_from":"2026-04-01","amount":"10.00","currency":"USD"}"#;
    app.database.execute("UPDATE sessions SET kind = 'machine', name = 'x'").await;
    for (caller, status) in [(&boss, 201), (&root.actor, 403)] {
        let record = caller.post("/pay/ann").field("If-Match", "*").json(rate);
        assert_eq!(record.send().await.status, status);
    }
    assert_eq!(boss.get("/users").send().await.status, 403, "no script manages");
}

#[tokio::test]
async fn who_may_demand_a_second_factor_manages_the_whole_org_and_has_one() {
    let app = org().await;
    app.add_grant("acme", "ann", "manage", "user:bob").await;
    let on = r#"{"second_factor":true}"#;
    let (ann, bob) = (enrol(&app, "acme/ann").await.actor, app.user("acme/bob").await);
    assert_eq!(set_org(&bob, on).await.status, 403);
    let part = set_org(&ann, on).await;
    assert_eq!(part.status, 403, "{part:?}");
    assert!(part.text().contains("`manage` over `org`"), "{part:?}");
    let narrow = app.narrowed_user("acme/root", &["read"]).await;
    assert_eq!(set_org(&narrow, on).await.status, 403);

    let root = app.user("acme/root").await;
    let locked_out = set_org(&root, on).await;
    assert_eq!(locked_out.status, 409, "{locked_out:?}");
    assert!(locked_out.text().contains("turn your own second factor on"), "{locked_out:?}");
    assert_eq!(root.get("/org").send().await.json()["second_factor"], false);
    assert_eq!(root.get("/users").send().await.status, 200, "nothing has changed");
    for wrong in ["{}", r#"{"second_factor":1}"#, r#"{"second_factor":true,"x":1}"#, "[]"] {
        assert_eq!(set_org(&root, wrong).await.status, 400, "{wrong}");
    }
    let root = enrol(&app, "acme/root").await.actor;
    for _ in 0..2 {
        assert_eq!(set_org(&root, on).await.status, 200, "the same again changes nothing");
    }
    let records = "SELECT COUNT(*) FROM audit WHERE action = 'demand_second_factor'";
    assert_eq!(app.database.number(records).await, 1);
    let demo = app.demo_user().await;
    assert_eq!(demo.get("/org").send().await.json()["second_factor"], false, "another org");
}
