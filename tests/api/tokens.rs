//! Machine tokens: what a user makes for a script, and what such a script never may.

use std::time::Duration;

use rocket::http::Method;
use serde_json::{Value, json};

use crate::jwt::{Jwt, assert_invalid_token};
use crate::sessions::id_of;
use crate::support::app::{Actor, Answer, PASSWORD, TestApp};
use crate::support::openapi::Document;

async fn ask(actor: &Actor<'_>, body: Value) -> Answer {
    actor.post("/me/tokens").json(body.to_string()).send().await
}

fn wanted(name: &str, perms: &[&str]) -> Value {
    json!({ "name": name, "until": "2026-06-30", "perms": perms })
}

/// Makes a token; whoever bears it.
pub(crate) async fn make<'a>(actor: &Actor<'a>, name: &str, perms: &[&str]) -> Actor<'a> {
    let answer = ask(actor, wanted(name, perms)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    actor.with_token(answer.json()["access_token"].as_str().unwrap())
}

/// `root` holds everything over twilio, whose demo data has two people who are paid.
async fn app() -> TestApp {
    let app = TestApp::new().await;
    app.add_user("twilio", "root").await;
    for permission in ["read", "write", "manage", "audit"] {
        app.add_grant("twilio", "root", permission, "org").await;
    }
    app
}

fn challenge(answer: &Answer) -> &str {
    answer.field("WWW-Authenticate").unwrap_or_default()
}

#[tokio::test]
async fn r51_a_token_is_told_once_listed_and_reads_what_its_user_may() {
    let app = app().await;
    let root = app.user("root").await;
    app.clock.advance(Duration::from_secs(1));
    let made = ask(&root, wanted("ci", &["read"])).await;
    assert_eq!(made.status, 201, "{made:?}");
    let body = made.json();
    let id = body["id"].as_str().unwrap();
    assert_eq!(made.field("Location"), Some(format!("/me/sessions/{id}").as_str()));
    assert_eq!(made.field("Cache-Control"), Some("no-store"));
    assert_eq!(made.field("access_token"), None);
    assert_eq!(
        (&body["kind"], &body["name"], &body["perms"], &body["until"], &body["token_type"]),
        (
            &json!("machine"),
            &json!("ci"),
            &json!(["read"]),
            &json!("2026-07-01T00:00:00.000Z"),
            &json!("Bearer")
        )
    );
    // From noon of the 10th of March to the end of the 30th of June.
    let seconds = (112 * 24 + 12) * 3600 - 1;
    assert_eq!(body["expires_in"], seconds);
    let token = body["access_token"].as_str().unwrap();
    let claims = Jwt::read(token).claims;
    assert_eq!((&claims["jti"], &claims["sub"]), (&json!(id), &json!("root")));
    assert_eq!(claims["perms"], json!(["read"]));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), seconds);

    let script = app.bearer(token);
    assert_eq!(script.sees().await, "jdoe mturner");
    let me = script.get("/me").send().await.json();
    assert_eq!(me["perms"], json!(["read"]));
    let listed = root.get("/me/sessions").send().await;
    assert!(!listed.text().contains("eyJ"), "no token is told again");
    let listed = listed.json();
    let (machine, login) = (&listed[0], &listed[1]);
    assert_eq!((&machine["id"], &machine["this"]), (&json!(id), &json!(false)));
    assert_eq!((&login["kind"], &login["this"]), (&json!("login"), &json!(true)));
    let stored =
        "SELECT COALESCE(name, '') || client || perms FROM sessions WHERE kind = 'machine'";
    assert_eq!(app.database.texts(stored).await, [r#"cilocal["read"]"#]);
}

#[tokio::test]
async fn r51_what_a_token_does_is_on_record_by_its_name_and_never_by_itself() {
    let app = app().await;
    let root = app.user("root").await;
    let script = make(&root, "nightly-export", &["read", "write"]).await;
    script.read_pay().await;
    script.get("/pay/jdoe").send().await;
    let rate = r#"{"effective_from":"2026-04-01","amount":"2100","currency":"USD"}"#;
    let recorded = script.post("/pay/jdoe").field("If-Match", "*").json(rate).send().await;
    assert_eq!(recorded.status, 201, "{recorded:?}");
    let file = "username,effective_from,amount,currency\njdoe,2026-05-01,3100,USD\n";
    let import = script.post("/pay").field("Content-Type", "text/csv").body(file).send().await;
    assert_eq!(import.status, 200, "{import:?}");
    script.get("/pay").send().await;
    script.delete("/jwt").send().await;
    let named = format!(
        "SELECT action FROM audit WHERE session_id = '{}' \
           AND token = 'nightly-export' ORDER BY record_id",
        id_of(&script)
    );
    assert_eq!(
        app.database.texts(&named).await,
        ["list_pay", "read_history", "record_pay", "import_pay", "sum_pay", "log_out"]
    );
    let others = "SELECT COUNT(*) FROM audit WHERE token IS NOT NULL";
    assert_eq!(app.database.number(others).await, 6, "a person's acts name no token");
    root.read_pay().await;
    assert_eq!(app.database.number(others).await, 6);

    let made = "SELECT actor || subjects || detail FROM audit WHERE action = 'add_token'";
    assert_eq!(
        app.database.texts(made).await,
        [format!(
            r#"root["root"]{{"session":"{}","name":"nightly-export","perms":["read","write"],"until":"2026-07-01T00:00:00.000Z"}}"#,
            id_of(&script)
        )]
    );
    let signature = script.token().rsplit_once('.').unwrap().1;
    let all = app.database.texts("SELECT detail || subjects FROM audit").await.join("\n");
    assert!(!all.contains(signature));
}

/// By the API document, so that a route that comes later is asked too.
#[tokio::test]
async fn r51_a_token_of_somebody_who_holds_everything_manages_nothing() {
    let app = app().await;
    let root = app.user("root").await;
    let script = make(&root, "all", &["read", "write", "audit"]).await;
    let other = app.user("root").await;
    let counts = async || {
        let mut told = Vec::new();
        for count in [
            "users WHERE disabled_at IS NULL",
            "employees",
            "grants WHERE ended_at IS NULL",
            "sessions WHERE ended_at IS NULL",
            "audit WHERE action IN ('set_password', 'end_session', 'add_token')",
        ] {
            told.push(app.database.number(&format!("SELECT COUNT(*) FROM {count}")).await);
        }
        let hashes = "SELECT password_hash FROM users ORDER BY username";
        (told, app.database.texts(hashes).await)
    };
    let before = counts().await;
    // All that a script may ask for: pay, the trail, who it is and in which org, and the end of itself.
    let may = |method: &str, path: &str| {
        let pay = ["/bearer", "/pay", "/pay/{name}", "/explain"].contains(&path);
        let whoami = method == "GET" && ["/me", "/org"].contains(&path);
        let trail = ["/audit", "/audit/checkpoint", "/pay/{name}/readers"].contains(&path);
        pay || trail || whoami || (method, path) == ("DELETE", "/jwt")
    };
    let mut refused = 0;
    for (method, path, operation) in Document::of(&app.client).await.operations() {
        if operation["security"].is_null() || (method.as_str(), path) == ("DELETE", "/jwt") {
            continue;
        }
        let ids = [("{name}", "root".to_owned()), ("{id}", id_of(&other))];
        let asked = ids.iter().fold(path.to_owned(), |path, (part, id)| path.replace(part, id));
        let asked = if path == "/explain" { format!("{asked}?who=root&whom=jdoe") } else { asked };
        let ask = script.ask(method.parse::<Method>().unwrap(), &asked).field("If-Match", "*");
        let ask = if method == "GET" { ask } else { ask.json("{}") };
        let answer = ask.send().await;
        if may(&method, path) {
            assert!(![401, 403].contains(&answer.status), "{method} {path}: {answer:?}");
        } else {
            assert_eq!(answer.status, 403, "{method} {path}: {answer:?}");
            refused += 1;
        }
    }
    assert!(refused >= 15, "{refused} routes refused it");
    assert_eq!(counts().await, before);
    assert_eq!(other.get("/users").send().await.status, 200, "it is not for want of a grant");

    // With a body that would do.
    let says = ask(&script, wanted("more", &["read"])).await;
    assert_eq!(says.status, 403);
    let detail = says.json()["detail"].clone();
    assert_eq!(detail, "A machine token may not do this: it needs a person who has signed in");
    let says = script.post("/users").json(r#"{"username":"eve"}"#).send().await;
    assert_eq!(says.json()["detail"], "A machine token never has the permission `manage`");
    assert_eq!(counts().await, before);

    assert_eq!(script.delete("/jwt").send().await.status, 204, "it may end itself");
    assert_invalid_token(&script.read_pay().await, "it has ended");
    assert!(other.get("/me").send().await.status == 200);
}

#[tokio::test]
async fn nobody_puts_more_into_a_token_than_their_own_session_permits_now() {
    let app = app().await;
    app.add_user("twilio", "ann").await;
    app.add_grant("twilio", "ann", "read", "own").await;
    app.add_grant_until("twilio", "ann", "audit", "org", "'2026-03-10'").await;
    let ann = app.user("ann").await;
    let lacks = |answer: &Answer, scope: &str| {
        assert_eq!(answer.status, 403, "{answer:?}");
        assert!(challenge(answer).ends_with(&format!("scope=\"{scope}\"")), "{answer:?}");
    };
    lacks(&ask(&ann, wanted("a", &["write"])).await, "write");
    lacks(&ask(&ann, wanted("a", &["read", "write"])).await, "write");
    assert_eq!(ask(&ann, wanted("today", &["audit"])).await.status, 201);
    app.clock.advance(Duration::from_secs(12 * 3600));
    let ann = app.user("ann").await;
    lacks(&ask(&ann, wanted("a", &["audit"])).await, "audit");

    let narrowed = app.narrowed_user("root", &["read"]).await;
    lacks(&ask(&narrowed, wanted("a", &["read", "audit"])).await, "audit");
    assert_eq!(ask(&narrowed, wanted("a", &["read"])).await.status, 201);

    // What the org or the password stand against does not count either.
    app.database.execute("UPDATE orgs SET second_factor = 1").await;
    let root = app.user("root").await;
    lacks(&ask(&root, wanted("b", &["write"])).await, "write");
    assert_eq!(ask(&root, wanted("b", &["read"])).await.status, 201);
    let id = id_of(&root);
    let factor = format!("UPDATE sessions SET second_factor = 1 WHERE session_id = '{id}'");
    app.database.execute(&factor).await;
    let script = make(&root, "c", &["read", "write"]).await;
    let rate = r#"{"effective_from":"2026-04-01","amount":"2100","currency":"USD"}"#;
    let recorded = script.post("/pay/jdoe").field("If-Match", "*").json(rate).send().await;
    assert_eq!(recorded.status, 201, "it was made by a session with a second factor");
    app.database.execute("UPDATE users SET password_expires_at = 1").await;
    let answer = ask(&root, wanted("d", &["read"])).await;
    assert!(answer.text().contains("Change your password first"), "{answer:?}");
    assert_eq!(script.read_pay().await.status, 403);
}

#[tokio::test]
async fn a_token_gives_no_more_than_the_grants_of_the_very_next_request() {
    let app = app().await;
    let root = app.user("root").await;
    let script = make(&root, "ci", &["read"]).await;
    assert_eq!(script.sees().await, "jdoe mturner");
    let denied = script.post("/pay/jdoe").field("If-Match", "*").json("{}").send().await;
    assert_eq!(denied.status, 403, "it is narrowed: {denied:?}");
    app.database.execute("UPDATE grants SET ended_at = 1, ended_by = 'x'").await;
    assert_eq!(script.read_pay().await.status, 403);
}

#[tokio::test]
async fn r17_a_token_ends_with_its_end_its_user_their_password_and_being_ended() {
    let app = app().await;
    app.add_user("twilio", "boss").await;
    app.add_grant("twilio", "boss", "manage", "org").await;
    app.add_user("twilio", "ann").await;
    app.add_grant("twilio", "ann", "read", "own").await;
    let root = app.user("root").await;
    let made = async |name: &str| make(&app.user("ann").await, name, &["read"]).await;
    let out = async |script: &Actor<'_>, why: &str| {
        let answer = script.get("/me").field("Accept", "text/plain").send().await;
        assert_invalid_token(&answer, why);
    };

    let (one, two) = (made("one").await, made("two").await);
    let place = format!("/me/sessions/{}", id_of(&one));
    assert_eq!(app.user("ann").await.delete(&place).send().await.status, 204);
    out(&one, "its user ended it").await;
    assert_eq!(two.get("/me").send().await.status, 200, "the other one lives on");
    let place = format!("/users/ann/sessions/{}", id_of(&two));
    assert_eq!(root.delete(&place).send().await.status, 204);
    out(&two, "a manager ended it").await;

    let script = made("three").await;
    app.user("ann").await.delete("/jwt").send().await;
    assert_eq!(script.get("/me").send().await.status, 200, "signing out is of one session");
    assert_eq!(root.post("/users/ann/password").send().await.status, 200);
    out(&script, "the password has changed").await;
    let hash = "UPDATE users SET password_expires_at = NULL, password_hash = \
                (SELECT x.password_hash FROM users x WHERE x.username = 'boss')";
    app.database.execute(hash).await;

    let script = made("four").await;
    for disabled in [true, false] {
        let change = root.ask(Method::Patch, "/users/ann").field("If-Match", "*");
        let body = json!({ "disabled": disabled }).to_string();
        assert_eq!(change.json(body).send().await.status, 200);
        out(&script, "its user was disabled").await;
    }

    let body = json!({ "name": "five", "until": "2026-03-10T12:05:30.900Z", "perms": ["read"] });
    app.clock.advance(Duration::from_millis(700));
    let answer = ask(&app.user("ann").await, body).await;
    assert_eq!(answer.json()["until"], "2026-03-10T12:05:30.000Z", "{answer:?}");
    assert_eq!(answer.json()["expires_in"], 330);
    let script = app.bearer(answer.json()["access_token"].as_str().unwrap());
    app.clock.advance(Duration::from_millis(329_299));
    assert_eq!(script.get("/me").send().await.status, 200);
    app.clock.advance(Duration::from_millis(1));
    out(&script, "its time is up").await;
}

#[tokio::test]
async fn r52_a_name_is_of_one_live_token_of_a_user_and_a_retry_makes_no_second() {
    let app = app().await;
    let root = app.user("root").await;
    let first = make(&root, "ci", &["read"]).await;
    let again = ask(&root, wanted("ci", &["read"])).await;
    assert_eq!(again.status, 409);
    assert_eq!(again.json()["detail"], "the machine token ci exists already");
    let (one, two) =
        tokio::join!(ask(&root, wanted("twin", &["read"])), ask(&root, wanted("twin", &["read"])));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    app.add_user("twilio", "ann").await;
    app.add_grant("twilio", "ann", "read", "own").await;
    make(&app.user("ann").await, "ci", &["read"]).await;

    root.delete(&format!("/me/sessions/{}", id_of(&first))).send().await;
    let second = make(&root, "ci", &["read"]).await;
    assert_ne!(id_of(&first), id_of(&second));
    assert_invalid_token(&first.read_pay().await, "the name is taken again, the token is not");
}

#[tokio::test]
async fn a_user_has_50_live_tokens_at_most() {
    let app = app().await;
    let root = app.user("root").await;
    let mut last = None;
    for n in 0..50 {
        last = Some(make(&root, &format!("t{n}"), &["read"]).await);
    }
    let answer = ask(&root, wanted("one-more", &["read"])).await;
    assert_eq!(answer.status, 409, "{answer:?}");
    assert!(answer.text().contains("50 live machine tokens"), "{answer:?}");
    last.unwrap().delete("/jwt").send().await;
    assert_eq!(ask(&root, wanted("one-more", &["read"])).await.status, 201);
}

#[tokio::test]
async fn a_token_that_is_asked_for_wrongly_is_refused_by_what_would_be_right() {
    let app = app().await;
    let root = app.user("root").await;
    let good = wanted("ci", &["read"]);
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    for (body, field, reason) in [
        (with("perms", json!(["manage"])), "perms", "never has `manage`: whoever manages"),
        (with("perms", json!(["read", "manage"])), "perms", "never has `manage`"),
        (with("perms", json!([])), "perms", "at least one"),
        (with("perms", json!(["read", "read"])), "perms", "none twice"),
        (with("perms", json!("read")), "perms", "an array of strings"),
        (with("perms", json!([1])), "perms", "an array of strings"),
        (with("perms", json!(["READ"])), "perms", "read, write or audit"),
        (with("until", json!("tomorrow")), "until", "this is a day, YYYY-MM-DD, or a time"),
        (with("until", json!(1)), "until", "a string"),
        (with("until", json!(null)), "until", "a string"),
        (with("until", json!("2026-03-09")), "until", "this has passed"),
        (with("until", json!("2026-03-10T12:00:00Z")), "until", "this has passed"),
        (with("until", json!("2027-03-12")), "until", "at most 366 days ahead, on 2027-03-11"),
        (with("until", json!("2027-03-12T00:00:01Z")), "until", "at most 366 days ahead"),
        (with("until", json!("9999-12-31")), "until", "at most 366 days ahead"),
        (with("name", json!("")), "name", "a name is 1 to 64"),
        (with("name", json!("C I")), "name", "a name is 1 to 64"),
        (with("name", json!(null)), "name", "a string"),
        (with("username", json!("boss")), "username", "no such member"),
        (json!({ "until": "2026-06-30", "perms": ["read"] }), "name", "missing"),
        (json!({ "name": "ci", "perms": ["read"] }), "until", "missing"),
        (json!({ "name": "ci", "until": "2026-06-30" }), "perms", "missing"),
    ] {
        let answer = ask(&root, body.clone()).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        let error = answer.json()["errors"][0].clone();
        assert_eq!(error["field"], field, "{body}: {answer:?}");
        assert!(error["reason"].as_str().unwrap().contains(reason), "{body}: {answer:?}");
    }
    assert_eq!(
        app.database.number("SELECT COUNT(*) FROM sessions WHERE kind = 'machine'").await,
        0
    );
    for until in ["2027-03-11", "2026-03-10", "2026-03-10T13:00:01+01:00"] {
        let name = until[..13.min(until.len())].to_lowercase();
        let body = json!({ "name": name, "until": until, "perms": ["audit"] });
        assert_eq!(ask(&root, body).await.status, 201, "{until}");
    }
}

#[tokio::test]
async fn r51_making_a_token_needs_a_recent_sign_in() {
    let app = app().await;
    let root = app.user("root").await;
    app.clock.advance(Duration::from_secs(901));
    let answer = ask(&root, wanted("ci", &["read"])).await;
    assert_eq!(answer.status, 401);
    assert!(challenge(&answer).contains("insufficient_user_authentication"), "{answer:?}");
    assert_eq!(app.anonymous().log_in("root", PASSWORD).await.status, 200);
}
