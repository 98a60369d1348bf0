//! People and grants as a manager keeps them, through the API.

use serde_json::{Value, json};

use crate::support::app::{Actor, Answer, TestApp};

/// An org with a manager of everything, `ann`, and with `bob`, who is in the team `ops`.
async fn org() -> TestApp {
    let app = TestApp::new().await;
    app.add_org("acme").await;
    app.add_user("acme", "ann").await;
    app.add_user("acme", "bob").await;
    app.add_employee("acme", "bob", 100_000).await;
    app.set_team("acme", "bob", "ops").await;
    for permission in ["read", "write", "manage"] {
        app.add_grant("acme", "ann", permission, "org").await;
    }
    app
}

async fn post(caller: &Actor<'_>, path: &str, body: Value) -> Answer {
    caller.post(path).json(body.to_string()).send().await
}

async fn patch(caller: &Actor<'_>, path: &str, tag: &str, body: Value) -> Answer {
    let ask = caller.ask(rocket::http::Method::Patch, path).field("If-Match", tag);
    ask.json(body.to_string()).send().await
}

/// The fields that a 400 names.
fn wrong(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 400, "{answer:?}");
    let errors = answer.json()["errors"].as_array().cloned().unwrap_or_default();
    errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_person_who_was_added_signs_in_with_the_password_that_was_told_once() {
    let app = org().await;
    let ann = app.user("acme/ann").await;
    let body = json!({ "username": "cyd", "name": "Cyd Charisse", "team": "ops" });
    let added = post(&ann, "/users", body.clone()).await;
    assert_eq!((added.status, added.field("Location")), (201, Some("/users/cyd")));
    let password = added.json()["password"].as_str().unwrap().to_owned();
    let shown = ann.get("/users/cyd").send().await;
    assert!(!shown.text().contains(&password));
    assert_eq!(
        shown.json(),
        json!({ "username": "cyd", "name": "Cyd Charisse", "team": "ops", "employee": true,
                "user": true, "disabled": false })
    );
    let cyd = app.user_with("acme/cyd", &password).await;
    let changed = cyd.change_password(&password, "a sentence of cyd's").await;
    assert_eq!(changed.status, 204, "{changed:?}");
    assert_eq!(cyd.get("/me").send().await.json()["perms"], json!(["read"]));
    assert_eq!(cyd.sees().await, "", "nothing has been recorded for them yet");

    let again = post(&ann, "/users", body).await;
    assert_eq!(again.status, 409, "{again:?}");
    assert_eq!(cyd.sees().await, "", "and nothing has changed");
}

#[tokio::test]
async fn nobody_is_called_as_the_trail_calls_what_is_no_user() {
    let app = org().await;
    let ann = app.user("acme/ann").await;
    for name in ["operator", "stipend"] {
        let refused = post(&ann, "/users", json!({ "username": name })).await;
        assert_eq!(refused.status, 400, "{name}: {refused:?}");
        assert!(refused.text().contains("the trail"), "{refused:?}");
    }
}

#[tokio::test]
async fn somebody_is_paid_or_signs_in_or_both_and_the_other_half_can_follow() {
    let app = org().await;
    let ann = app.user("acme/ann").await;
    let paid = post(&ann, "/users", json!({ "username": "cyd", "name": "Cyd", "user": false }));
    let paid = paid.await.json();
    assert_eq!((&paid["employee"], &paid["user"]), (&json!(true), &json!(false)));
    assert_eq!(paid["password"], Value::Null);
    assert_eq!(ann.get("/users/cyd/grants").send().await.json(), json!([]));
    let both = post(&ann, "/users", json!({ "username": "cyd" })).await.json();
    assert_eq!((&both["employee"], &both["user"]), (&json!(true), &json!(true)));

    let user = post(&ann, "/users", json!({ "username": "dee" })).await;
    assert_eq!(user.json()["employee"], json!(false));
    let tag = user.field("ETag").unwrap();
    let team = patch(&ann, "/users/dee", tag, json!({ "team": "ops" })).await;
    assert_eq!(wrong(&team), ["team"]);
    let named = patch(&ann, "/users/dee", tag, json!({ "name": "Dee", "team": "ops" })).await;
    assert_eq!(named.json()["employee"], json!(true));
    let neither = post(&ann, "/users", json!({ "username": "eve", "user": false })).await;
    assert_eq!(wrong(&neither), ["user"]);
}

#[tokio::test]
async fn r52_a_change_names_the_version_that_it_changes() {
    let app = org().await;
    let ann = app.user("acme/ann").await;
    let change = json!({ "name": "Bob Fosse" }).to_string();
    let ask = ann.ask(rocket::http::Method::Patch, "/users/bob").json(&change);
    assert_eq!(ask.send().await.status, 428);
    let tag = ann.get("/users/bob").send().await.field("ETag").unwrap().to_owned();
    let changed = patch(&ann, "/users/bob", &tag, json!({ "name": "Bob Fosse" })).await;
    assert_eq!((changed.status, &changed.json()["name"]), (200, &json!("Bob Fosse")));
    let stale = patch(&ann, "/users/bob", &tag, json!({ "name": "Bob Dylan" })).await;
    assert_eq!((stale.status, stale.field("ETag")), (412, changed.field("ETag")));
    for weak in [format!("W/{tag}"), "\"x\"".into(), "x".into(), String::new()] {
        let answer = patch(&ann, "/users/bob", &weak, json!({ "name": "X" })).await;
        assert_eq!(answer.status, 412, "{weak}");
    }
    let any = patch(&ann, "/users/bob", "*", json!({ "team": null })).await;
    assert_eq!((any.status, &any.json()["team"]), (200, &Value::Null));
    assert_eq!(any.json()["name"], json!("Bob Fosse"));
    assert_eq!(patch(&ann, "/users/nobody", "*", json!({})).await.status, 404);
}

#[tokio::test]
async fn what_is_wrong_is_named_and_nothing_is_changed() {
    let app = org().await;
    let ann = app.user("acme/ann").await;
    let before = app.database.number("SELECT COUNT(*) FROM audit").await;
    for (body, fields) in [
        (json!({}), vec!["username"]),
        (json!({ "username": 5, "name": [], "team": "A b" }), vec!["username", "name", "team"]),
        (json!({ "username": "Ann" }), vec!["username"]),
        (json!({ "username": "eve", "name": "a\nb" }), vec!["name"]),
        (json!({ "username": "eve", "team": "ops" }), vec!["name"]),
        (json!({ "username": "eve", "user": "yes" }), vec!["user"]),
        (json!({ "username": "eve", "org": "zeta", "perms": ["manage"] }), vec!["org", "perms"]),
    ] {
        assert_eq!(wrong(&post(&ann, "/users", body.clone()).await), fields, "{body}");
    }
    let good = json!({ "permission": "read", "reach": "own", "reason": "x" });
    for (member, value, field) in [
        ("permission", json!("admin"), "permission"),
        ("permission", json!(["read"]), "permission"),
        ("reach", json!("all"), "reach"),
        ("reach", json!("user:nobody"), "reach"),
        ("until", json!("2026-02-30"), "until"),
        ("until", json!("2026-03-09"), "until"),
        ("reason", json!(""), "reason"),
        ("x", json!(1), "x"),
    ] {
        let mut body = good.clone();
        body[member] = value;
        let answer = post(&ann, "/users/bob/grants", body.clone()).await;
        assert_eq!(wrong(&answer), [field], "{body}");
    }
    for path in ["/users?limit=0", "/users?x=1", "/users?after=A", "/users/bob?x=1", "/me?x=1"] {
        assert_eq!(ann.get(path).send().await.status, 400, "{path}");
    }
    for body in ["", "[]", "{", r#"{"username":"eve","username":"fay"}"#, "null"] {
        assert_eq!(ann.post("/users").json(body).send().await.status, 400, "{body}");
    }
    let form = ann.post("/users").form("username=eve").send().await;
    assert_eq!((form.status, form.field("Content-Type")), (415, Some("application/problem+json")));
    let long = format!(r#"{{"username":"eve","x":"{}"}}"#, "x".repeat(17_000));
    assert_eq!(ann.post("/users").json(long).send().await.status, 413);
    assert_eq!(app.database.number("SELECT COUNT(*) FROM audit").await, before);
    assert_eq!(ann.get("/users/eve").send().await.status, 404);
}

#[tokio::test]
async fn r50_nobody_gives_more_than_they_hold() {
    let app = org().await;
    for name in ["cyd", "dee"] {
        app.add_user("acme", name).await;
        app.add_employee("acme", name, 1).await;
    }
    app.set_team("acme", "cyd", "ops").await;
    for (permission, reach, last_day) in
        [("manage", "org", "NULL"), ("read", "team:ops", "'2026-06-30'"), ("read", "own", "NULL")]
    {
        app.add_grant_until("acme", "cyd", permission, reach, last_day).await;
    }
    let cyd = app.user("acme/cyd").await;
    let gift = |permission: &str, reach: &str, until: Option<&str>| json!({ "permission": permission, "reach": reach, "until": until, "reason": "x" });
    for (body, expected) in [
        (gift("write", "user:bob", None), 403),
        (gift("audit", "org", None), 403),
        (gift("read", "org", Some("2026-06-30")), 403),
        (gift("read", "user:dee", Some("2026-06-30")), 403),
        (gift("read", "team:dev", Some("2026-06-30")), 403),
        (gift("read", "own", Some("2026-06-30")), 403),
        (gift("read", "user:bob", None), 403),
        (gift("read", "user:bob", Some("2026-07-01")), 403),
        (gift("read", "user:bob", Some("2026-06-30")), 201),
        (gift("read", "team:ops", Some("2026-03-10")), 201),
        (gift("read", "user:cyd", None), 201),
        (gift("manage", "team:dev", None), 201),
    ] {
        let answer = post(&cyd, "/users/dee/grants", body.clone()).await;
        assert_eq!(answer.status, expected, "{body}: {answer:?}");
    }
    let dated = json!({ "name": "Bob", "team": null });
    assert_eq!(patch(&cyd, "/users/bob", "*", dated).await.status, 200);
    assert_eq!(patch(&cyd, "/users/bob", "*", json!({ "name": null })).await.status, 400);
    let twice = post(&cyd, "/users/dee/grants", gift("manage", "team:dev", None)).await;
    assert_eq!(twice.status, 409, "it is held already");
    let narrowed = app.narrowed_user("acme/cyd", &["manage"]).await;
    let answer = post(&narrowed, "/users/dee/grants", gift("read", "user:cyd", None)).await;
    assert_eq!(answer.status, 403, "a narrowed token gives no more than itself");
}

#[tokio::test]
async fn r50_a_move_into_a_team_gives_the_mover_nothing() {
    let app = org().await;
    app.add_user("acme", "cyd").await;
    app.add_employee("acme", "dee", 1).await;
    app.add_grant("acme", "cyd", "manage", "org").await;
    app.add_grant("acme", "cyd", "read", "team:dev").await;
    app.set_team("acme", "dee", "hr").await;
    let cyd = app.user("acme/cyd").await;
    assert_eq!(patch(&cyd, "/users/bob", "*", json!({ "team": "dev" })).await.status, 403);
    let narrowed = app.narrowed_user("acme/cyd", &["manage"]).await;
    assert_eq!(patch(&narrowed, "/users/bob", "*", json!({ "team": "dev" })).await.status, 403);
    assert_eq!(patch(&cyd, "/users/bob", "*", json!({ "team": "hr" })).await.status, 200);
    app.add_user("acme", "fay").await;
    app.add_grant("acme", "fay", "manage", "team:hr").await;
    let fay = app.user("acme/fay").await;
    assert_eq!(patch(&fay, "/users/dee", "*", json!({ "team": "dev" })).await.status, 403);
    assert_eq!(patch(&fay, "/users/dee", "*", json!({ "team": null })).await.status, 200);
    assert_eq!(fay.get("/users/dee").send().await.status, 404, "out of reach now");
    let own = json!({ "username": "gus", "name": "Gus", "team": "hr" });
    assert_eq!(post(&fay, "/users", own).await.status, 201);
    let other = json!({ "username": "hal", "name": "Hal", "team": "dev" });
    assert_eq!(post(&fay, "/users", other).await.status, 403);
}

#[tokio::test]
async fn r50_the_last_manager_cannot_be_removed_disabled_or_left_to_expire() {
    let app = org().await;
    let ann = app.user("acme/ann").await;
    let grants = ann.get("/users/ann/grants").send().await.json();
    let manage = grants.as_array().unwrap().iter().find(|g| g["permission"] == "manage").unwrap();
    let id = manage["id"].as_str().unwrap().replace(' ', "%20");
    let path = format!("/users/ann/grants/{id}");
    let dated = json!({ "permission": "manage", "reach": "org", "until": "2026-12-31",
                        "reason": "while ann is away" });
    assert_eq!(post(&ann, "/users/bob/grants", dated).await.status, 201);
    assert_eq!(ann.delete(&path).send().await.status, 409, "bob's ends one day");
    assert_eq!(patch(&ann, "/users/ann", "*", json!({ "disabled": true })).await.status, 409);
    assert_eq!(ann.get("/me").send().await.status, 200, "nothing was half done");

    let lasting = json!({ "permission": "manage", "reach": "org", "reason": "a second" });
    assert_eq!(post(&ann, "/users/bob/grants", lasting).await.status, 201);
    assert_eq!(ann.delete(&path).send().await.status, 204);
    assert_eq!(ann.get("/users").send().await.status, 403, "at the very next request");
    let bob = app.user("acme/bob").await;
    assert_eq!(bob.delete(&path).send().await.status, 204, "ended already, and stays so");
    assert_eq!(bob.delete("/users/ann/grants/nothing").send().await.status, 404);
    let ended = bob.get("/users/ann/grants").send().await.json();
    let ended = ended.as_array().unwrap().iter().find(|g| g["permission"] == "manage").unwrap();
    assert_eq!((&ended["ended_by"], &ended["holds"]), (&json!("ann"), &json!(false)));
}

#[tokio::test]
async fn a_disabled_user_is_out_at_once_and_can_come_back() {
    let app = org().await;
    let (ann, bob) = (app.user("acme/ann").await, app.user("acme/bob").await);
    assert_eq!(bob.get("/me").send().await.status, 200);
    assert_eq!(patch(&ann, "/users/bob", "*", json!({ "disabled": true })).await.status, 200);
    assert_eq!(bob.get("/me").send().await.status, 401);
    assert_eq!(app.anonymous().log_in("acme/bob", "ahoy").await.status, 401);
    assert_eq!(patch(&ann, "/users/bob", "*", json!({ "disabled": false })).await.status, 200);
    assert_eq!(bob.get("/me").send().await.status, 401, "their sessions have ended");
    assert_eq!(app.anonymous().log_in("acme/bob", "ahoy").await.status, 200);
}

#[tokio::test]
async fn whoever_sets_a_password_holds_all_that_its_owner_holds() {
    let app = org().await;
    app.add_user("acme", "cyd").await;
    app.add_employee("acme", "cyd", 1).await;
    app.set_team("acme", "cyd", "ops").await;
    app.add_grant("acme", "cyd", "manage", "team:ops").await;
    app.add_grant("acme", "bob", "read", "own").await;
    let (cyd, bob) = (app.user("acme/cyd").await, app.user("acme/bob").await);
    let set = cyd.post("/users/bob/password").send().await;
    assert_eq!(set.status, 200, "{set:?}");
    assert_eq!(bob.get("/me").send().await.status, 401, "the sessions have ended");
    assert_eq!(app.anonymous().log_in("acme/bob", "ahoy").await.status, 401);
    let password = set.json()["password"].as_str().unwrap().to_owned();
    assert_eq!(app.anonymous().log_in("acme/bob", &password).await.status, 200);
    app.add_grant("acme", "bob", "read", "org").await;
    assert_eq!(cyd.post("/users/bob/password").send().await.status, 403);
    assert_eq!(cyd.post("/users/ann/password").send().await.status, 404);
}

#[tokio::test]
async fn r50_nobody_comes_to_act_as_somebody_who_holds_more() {
    let app = org().await;
    app.add_user("acme", "cyd").await;
    app.add_employee("acme", "eve", 99_900).await;
    app.add_grant("acme", "cyd", "manage", "org").await;
    app.add_grant("acme", "bob", "read", "org").await;
    let cyd = app.user("acme/cyd").await;
    let account = json!({ "username": "eve" });
    let refused = post(&cyd, "/users", account.clone()).await;
    assert_eq!(refused.status, 403, "an account would read the pay of eve");
    app.add_grant("acme", "cyd", "read", "user:eve").await;
    assert_eq!(post(&cyd, "/users", account.clone()).await.status, 403, "the token is of before");
    let cyd = app.user("acme/cyd").await;
    assert_eq!(post(&cyd, "/users", account).await.status, 201);

    assert_eq!(patch(&cyd, "/users/bob", "*", json!({ "disabled": true })).await.status, 200);
    let enable = json!({ "disabled": false });
    assert_eq!(patch(&cyd, "/users/bob", "*", enable.clone()).await.status, 403);
    let ann = app.user("acme/ann").await;
    assert_eq!(patch(&ann, "/users/bob", "*", enable).await.status, 200);
}

#[tokio::test]
async fn a_day_of_sight_does_not_become_a_lasting_one_by_a_move() {
    let app = org().await;
    app.add_user("acme", "cyd").await;
    for (permission, reach) in [("manage", "org"), ("read", "team:dev")] {
        app.add_grant("acme", "cyd", permission, reach).await;
    }
    app.add_grant_until("acme", "cyd", "read", "user:bob", "'2026-03-10'").await;
    let cyd = app.user("acme/cyd").await;
    assert_eq!(patch(&cyd, "/users/bob", "*", json!({ "team": "dev" })).await.status, 403);
}

#[tokio::test]
async fn what_changes_nobodys_access_has_no_answer_read_again() {
    let app = org().await;
    let ann = app.user("acme/ann").await;
    let version = "SELECT access_version FROM orgs WHERE org = 'acme'";
    let before = app.database.number(version).await;
    patch(&ann, "/users/bob", "*", json!({})).await;
    patch(&ann, "/users/bob", "*", json!({ "name": "Bob" })).await;
    let rate = json!({ "effective_from": "2026-04-01", "amount": "1", "currency": "USD" });
    let ask = ann.post("/pay/bob").field("If-Match", "*").json(rate.to_string());
    assert_eq!(ask.send().await.status, 201);
    assert_eq!(app.database.number(version).await, before);
    patch(&ann, "/users/bob", "*", json!({ "team": "dev" })).await;
    assert_eq!(app.database.number(version).await, before + 1);
}

#[tokio::test]
async fn people_come_in_pages() {
    let app = org().await;
    for name in ["cyd", "dee", "eve", "a_b"] {
        app.add_employee("acme", name, 1).await;
    }
    let ann = app.user("acme/ann").await;
    let (mut names, mut path) = (Vec::new(), "/users?limit=2".to_owned());
    loop {
        let page = ann.get(&path).send().await;
        let rows = page.json();
        let rows = rows.as_array().unwrap();
        assert!(rows.len() <= 2);
        names.extend(rows.iter().map(|row| row["username"].as_str().unwrap().to_owned()));
        let Some(link) = page.field("Link") else { break };
        path = link.trim_start_matches('<').split('>').next().unwrap().to_owned();
    }
    assert_eq!(names, ["a_b", "ann", "bob", "cyd", "dee", "eve"]);
    let found = |query: &'static str| {
        let ann = &ann;
        async move { ann.get(query).send().await.json().as_array().unwrap().len() }
    };
    assert_eq!(found("/users?team=ops").await, 1);
    assert_eq!(found("/users?q=_").await, 1, "a pattern's signs are letters");
    assert_eq!(found("/users?q=%25").await, 0);
}

#[tokio::test]
async fn r81_every_change_of_people_is_on_record() {
    let app = org().await;
    let ann = app.user("acme/ann").await;
    post(&ann, "/users", json!({ "username": "cyd", "name": "Cyd" })).await;
    patch(&ann, "/users/cyd", "*", json!({ "team": "ops" })).await;
    patch(&ann, "/users/cyd", "*", json!({ "disabled": true })).await;
    patch(&ann, "/users/cyd", "*", json!({ "disabled": false })).await;
    ann.post("/users/cyd/password").send().await;
    let gift = json!({ "permission": "read", "reach": "team:ops", "reason": "leads ops" });
    let place = post(&ann, "/users/cyd/grants", gift).await;
    ann.delete(place.field("Location").unwrap()).send().await;
    let found = app
        .database
        .texts("SELECT actor || ' ' || action || ' ' || subjects FROM audit ORDER BY record_id")
        .await;
    let expected = [
        "add_person",
        "change_person",
        "disable_user",
        "enable_user",
        "set_password",
        "give_grant",
        "end_grant",
    ];
    let expected = expected.map(|action| format!(r#"ann {action} ["cyd"]"#));
    assert_eq!(found.get(1..).unwrap(), expected, "after ann's login");
    let details = app.database.texts("SELECT detail FROM audit ORDER BY record_id").await;
    assert!(details.concat().contains(r#""team":{"from":null,"to":"ops"}"#), "{details:?}");
}
