//! The API document says what every route takes and answers, and nothing else. That no answer is
//! one that it does not name, `Ask::send` checks in every test there is.

use std::collections::BTreeSet;

use rocket::http::Method;
use serde_json::{Value, json};
use stipend::config::Secret;
use stipend::entropy::SystemEntropy;
use stipend::routes::PUBLIC;

use crate::enrolment::enrol;
use crate::support::app::{Actor, Answer, Ask, TestApp};
use crate::support::authenticator::Authenticator;
use crate::support::openapi::Document;

/// A route's path as the document writes it.
fn template(path: &str) -> String {
    path.replace("..>", "}").replace('<', "{").replace('>', "}")
}

#[tokio::test]
async fn every_mounted_route_is_documented_and_nothing_else() {
    let app = TestApp::new().await;
    let mounted: BTreeSet<(String, String)> = app
        .client
        .rocket()
        .routes()
        .map(|route| (route.method.to_string(), template(route.uri.path())))
        .collect();
    let document = Document::of(&app.client).await;
    let documented: BTreeSet<(String, String)> = document
        .operations()
        .into_iter()
        .map(|(method, path, _)| (method, path.to_owned()))
        .collect();
    assert_eq!(documented, mounted);
}

#[tokio::test]
async fn a_route_is_documented_to_need_a_token_unless_it_is_public() {
    let app = TestApp::new().await;
    for (method, path, operation) in Document::of(&app.client).await.operations() {
        let is_public =
            PUBLIC.iter().any(|(m, public)| m.as_str() == method && template(public) == path);
        assert_eq!(operation["security"].is_null(), is_public, "{method} {path}");
        assert_eq!(operation["responses"]["401"].is_null(), is_public && path != "/jwt", "{path}");
    }
}

#[tokio::test]
async fn r25_the_document_comes_as_json_to_anybody_and_tells_no_version_of_the_software() {
    let app = TestApp::new().await;
    let answer = app.anonymous().get("/openapi.json").send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.field("Content-Type"), Some("application/json; charset=utf-8"));
    assert_eq!(answer.field("Cache-Control"), Some("no-store"));
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], "1");
    assert!(!answer.text().contains(env!("CARGO_PKG_VERSION")));
    let refused = app.anonymous().get("/openapi.json?x=1").send().await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.field("Content-Type"), Some("application/problem+json"));
}

#[tokio::test]
async fn every_part_of_the_document_says_what_it_is() {
    let app = TestApp::new().await;
    let document = Document::of(&app.client).await;
    let mut ids = BTreeSet::new();
    for (method, path, operation) in document.operations() {
        let of = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{of}");
        assert!(operation["summary"].is_string(), "{of}");
        let placed: Vec<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let named: Vec<&str> = parameters
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        assert_eq!(named, placed, "{of}");
        for (status, response) in operation["responses"].as_object().unwrap() {
            let response = document.resolve(response);
            let says = response["description"].as_str().unwrap();
            assert!(!says.is_empty(), "{of}: {status}");
            let content = response["content"].as_object();
            assert_eq!(content.is_none(), ["204", "304"].contains(&status.as_str()), "{of}");
            for (name, field) in response["headers"].as_object().into_iter().flatten() {
                assert!(field["description"].is_string(), "{of}: {name}");
            }
        }
    }
    every_reference_leads_somewhere(document, &document.0);
}

fn every_reference_leads_somewhere(document: &Document, part: &Value) {
    document.resolve(part);
    match part {
        Value::Object(members) => {
            members.values().for_each(|value| every_reference_leads_somewhere(document, value));
        }
        Value::Array(values) => {
            values.iter().for_each(|value| every_reference_leads_somewhere(document, value));
        }
        _ => {}
    }
}

#[tokio::test]
async fn an_answer_that_is_not_documented_is_noticed() {
    let app = TestApp::new().await;
    let document = Document::of(&app.client).await;
    let problem = r#"{"type":"about:blank","title":"","status":404,"detail":""}"#;
    let answer = |status, media: &str, body: &str| Answer {
        status,
        fields: vec![("Content-Type".into(), media.into())],
        length: None,
        body: body.into(),
    };
    let faults = |method, path, answer| document.faults(method, path, &answer).join("; ");
    let json = "application/json";
    assert_eq!(faults(Method::Get, "/me", answer(404, "application/problem+json", problem)), "");
    for (method, path, answer, fault) in [
        (Method::Get, "/me", answer(409, json, "{}"), "the status 409 is not documented"),
        (Method::Put, "/me", answer(200, json, "{}"), "PUT is answered, and not documented"),
        (Method::Head, "/live", answer(200, json, ""), "type application/json is not documented"),
        (Method::Get, "/users?q=a", answer(200, json, "[{}]"), "\"username\" is missing"),
        (Method::Get, "/users", answer(200, json, "{}"), "{} is no [\"array\"]"),
        (Method::Get, "/users", answer(200, json, "["), "no JSON"),
        (Method::Get, "/bearer", answer(200, json, r#"[{"iban":1}]"#), "iban is not documented"),
        (Method::Get, "/bearer", answer(200, json, r#"[{"team":1}]"#), "1 is none of them"),
    ] {
        let found = faults(method, path, answer);
        assert!(found.contains(fault), "{found}");
    }
    let mut with_field = answer(404, "application/problem+json", problem);
    with_field.fields.push(("ETag".into(), "\"1\"".into()));
    assert_eq!(faults(Method::Get, "/me", with_field), "the header field etag is not documented");
}

/// On PostgreSQL too, whose texts cannot hold U+0000.
#[tokio::test]
async fn r25_a_character_that_no_text_has_is_no_failure_of_the_database() {
    let app = TestApp::new().await;
    app.add_user("twilio", "root").await;
    for permission in ["read", "write", "manage"] {
        app.add_grant("twilio", "root", permission, "org").await;
    }
    let root = app.user("root").await;
    let body = |member: &str| json!({ member: "a\0b" }).to_string();
    for (status, ask) in [
        (400, root.get("/bearer?sort=name&after=jdoe:a%00b")),
        (400, root.get("/bearer?sort=team&after=jdoe:%00")),
        (400, root.get("/bearer?q=%00")),
        (400, root.get("/users?after=%00")),
        (400, root.get("/explain?who=%00&whom=jdoe")),
        (404, root.get("/pay/%00")),
        (404, root.get("/users/%00/grants")),
        (404, root.delete("/users/jdoe/grants/a%00b")),
        (404, root.delete("/me/sessions/a%00b")),
        (404, root.delete("/users/jdoe/sessions/a%00b")),
        (400, root.get("/me/sessions?after=%00")),
        (400, root.post("/me/tokens").json(body("name"))),
        (400, root.post("/users").json(body("username"))),
        (400, root.post("/users/jdoe/grants").json(body("reason"))),
        (400, root.post("/pay/jdoe").field("If-Match", "*").json(body("note"))),
        (400, root.post("/pay").field("Content-Type", "text/csv").body("username\0\n\0\n")),
        (401, app.anonymous().post("/jwt").form("username=%00&password=%00")),
    ] {
        let answer = ask.send().await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

/// Asks, and what their answers' statuses must be; each is checked against its schema when it is
/// sent.
struct Story<'a> {
    root: Actor<'a>,
    told: BTreeSet<(String, String, String)>,
}

impl Story<'_> {
    async fn tell(&mut self, method: Method, path: &str, ask: Ask<'_>, status: u16) -> Answer {
        let answer = ask.send().await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        self.told.insert((method.to_string(), path.to_owned(), status.to_string()));
        answer
    }

    async fn get(&mut self, template: &str, path: &str) -> Answer {
        let ask = self.root.get(path);
        self.tell(Method::Get, template, ask, 200).await
    }
}

/// A second factor is turned on, taken off, turned on again and off.
async fn second_factor(story: &mut Story<'_>, app: &TestApp) {
    app.add_user("twilio", "jim").await;
    let jim = enrol(app, "jim").await;
    let reset = story.root.delete("/users/jim/totp");
    story.tell(Method::Delete, "/users/{name}/totp", reset, 204).await;
    drop(jim);

    let password = Secret::new("a sentence of words".to_owned());
    let hash = app.auth().gate.hash(password, &SystemEntropy::new()).await.unwrap();
    let sql = format!("UPDATE users SET password_hash = '{hash}' WHERE username = 'root'");
    app.database.execute(&sql).await;
    let root = story.root.clone();
    let made = story.tell(Method::Post, "/me/totp", root.post("/me/totp"), 200).await;
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    let code = Authenticator::of(&secret).code_at(app.clock.seconds());
    let body = json!({ "code": code }).to_string();
    let confirm = root.post("/me/totp/confirm").json(body);
    story.tell(Method::Post, "/me/totp/confirm", confirm, 200).await;
    let path = "/me/totp/recovery-codes";
    let renewed = story.tell(Method::Post, path, root.post(path), 200).await;
    let code = renewed.json()["recovery_codes"][0].clone();
    let body = json!({ "password": "a sentence of words", "code": code }).to_string();
    story.tell(Method::Delete, "/me/totp", root.delete("/me/totp").json(body), 204).await;
}

#[tokio::test]
async fn every_success_that_is_documented_is_answered_as_documented() {
    let app = TestApp::new().await;
    app.add_user("twilio", "root").await;
    for permission in ["read", "write", "manage", "audit"] {
        app.add_grant("twilio", "root", permission, "org").await;
    }
    let mut story = Story { root: app.user("root").await, told: BTreeSet::new() };
    let root = story.root.clone();
    let post = |path: &str, body: Value| root.post(path).json(body.to_string());

    for path in ["/", "/live", "/ready", "/openapi.json", "/me", "/bearer", "/pay", "/users"] {
        story.get(path, path).await;
    }
    for path in ["/.well-known/jwks.json", "/.well-known/checkpoint-keys.json"] {
        story.get(path, path).await;
    }
    let page = story.get("/", "/").await;
    let unchanged = |path: &str, page: &Answer| {
        root.get(path).field("If-None-Match", page.field("ETag").unwrap())
    };
    story.tell(Method::Get, "/", unchanged("/", &page), 304).await;
    let from = page.text().find("/assets/").unwrap();
    let asset = page.text()[from..].split('"').next().unwrap().to_owned();
    let template = "/assets/{version}/{file}";
    let file = story.get(template, &asset).await;
    story.tell(Method::Get, template, unchanged(&asset, &file), 304).await;

    let fields = "?fields=username,name,team,salary,amount,currency,effective_from&limit=1";
    story.get("/bearer", &format!("/bearer{fields}")).await;
    let csv = root.get("/bearer").field("Accept", "text/csv");
    story.tell(Method::Get, "/bearer", csv, 200).await;
    story.tell(Method::Post, "/bearer", root.post("/bearer"), 200).await;
    story.get("/explain", "/explain?who=root&whom=jdoe").await;

    let ann = json!({ "username": "ann", "name": "Ann Lee", "team": "ops" });
    story.tell(Method::Post, "/users", post("/users", ann), 201).await;
    story.get("/users", "/users?limit=1").await;
    story.get("/users/{name}", "/users/ann").await;
    let change = root.ask(Method::Patch, "/users/ann").json("{\"team\":null}");
    let change = change.field("If-Match", "*");
    story.tell(Method::Patch, "/users/{name}", change, 200).await;
    let password = root.post("/users/ann/password");
    story.tell(Method::Post, "/users/{name}/password", password, 200).await;

    let unlock = root.delete("/users/ann/throttle");
    story.tell(Method::Delete, "/users/{name}/throttle", unlock, 204).await;

    let gift =
        json!({ "permission": "read", "reach": "org", "until": "2027-01-01", "reason": "x" });
    let grants = "/users/{name}/grants";
    let given = story.tell(Method::Post, grants, post("/users/ann/grants", gift), 201).await;
    story.get(grants, "/users/ann/grants").await;
    let end = root.delete(given.field("Location").unwrap());
    story.tell(Method::Delete, "/users/{name}/grants/{id}", end, 204).await;
    story.get(grants, "/users/ann/grants").await;

    story.get("/org", "/org").await;
    let org = root.ask(Method::Patch, "/org").json("{\"second_factor\":false}");
    story.tell(Method::Patch, "/org", org, 200).await;
    let token = json!({ "name": "ci", "until": "2026-12-31", "perms": ["read"] });
    let made = story.tell(Method::Post, "/me/tokens", post("/me/tokens", token), 201).await;
    story.get("/me/sessions", "/me/sessions?limit=1").await;
    let end = root.delete(made.field("Location").unwrap());
    story.tell(Method::Delete, "/me/sessions/{id}", end, 204).await;
    app.add_user("twilio", "kim").await;
    let everywhere = app.user("kim").await.delete("/me/sessions");
    let theirs = "/users/{name}/sessions";
    story.get(theirs, "/users/root/sessions").await;
    let id = crate::sessions::id_of(&app.user("root").await);
    let end = root.delete(&format!("/users/root/sessions/{id}"));
    story.tell(Method::Delete, "/users/{name}/sessions/{id}", end, 204).await;
    let end = root.delete("/users/ann/sessions");
    story.tell(Method::Delete, theirs, end, 204).await;

    let rate = json!({ "effective_from": "2026-01-01", "amount": "3000", "currency": "USD" });
    let record = post("/pay/ann", rate).field("If-Match", "*");
    story.tell(Method::Post, "/pay/{name}", record, 201).await;
    story.get("/pay/{name}", "/pay/ann").await;
    let file = "username,effective_from,amount,currency\nann,2026-02-01,3100,USD\n";
    let import = root.post("/pay").field("Content-Type", "text/csv").body(file);
    story.tell(Method::Post, "/pay", import, 200).await;

    for path in ["/audit", "/audit/checkpoint", "/me/readers"] {
        story.get(path, path).await;
    }
    story.get("/audit", "/audit?limit=1").await;
    let csv = root.get("/audit").field("Accept", "text/csv");
    story.tell(Method::Get, "/audit", csv, 200).await;
    story.get("/pay/{name}/readers", "/pay/ann/readers?limit=1").await;

    second_factor(&mut story, &app).await;
    story.tell(Method::Delete, "/me/sessions", everywhere, 204).await;

    let login = json!({ "username": "jim", "password": "ahoy" }).to_string();
    let login = || app.anonymous().post("/jwt").json(&login);
    story.tell(Method::Post, "/jwt", login(), 200).await;
    let as_json = login().field("Accept", "application/json");
    story.tell(Method::Post, "/jwt", as_json, 200).await;
    let change = json!({ "old": "a sentence of words", "new": "purple otters play violins" });
    let change = root.put("/me/password").json(change.to_string());
    story.tell(Method::Put, "/me/password", change, 204).await;
    story.tell(Method::Delete, "/jwt", root.delete("/jwt"), 204).await;

    let document = Document::of(&app.client).await;
    let documented: BTreeSet<(String, String, String)> = document
        .operations()
        .into_iter()
        .flat_map(|(method, path, operation)| {
            let statuses = operation["responses"].as_object().unwrap().keys();
            let successes = statuses.filter(|status| status.as_str() < "400");
            let one = move |status: &String| (method.clone(), path.to_owned(), status.clone());
            successes.map(one).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(story.told, documented);
}
