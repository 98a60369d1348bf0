//! Nothing that is mounted can be asked without a token, unless it is listed as public; and nothing
//! gives pay away without a record.

use std::collections::BTreeSet;

use rocket::http::Method;
use serde_json::Value;
use stipend::routes::PUBLIC;

use crate::jwt::assert_invalid_token;
use crate::support::app::{Answer, TestApp, row_before};
use crate::support::openapi::Document;

#[tokio::test]
async fn r50_every_route_that_is_not_public_refuses_an_anonymous_caller() {
    let app = TestApp::new().await;
    let mut guarded = 0;
    for route in app.client.rocket().routes() {
        let pattern = route.uri.path();
        if PUBLIC.contains(&(route.method, pattern)) {
            continue;
        }
        guarded += 1;
        let path: Vec<&str> =
            pattern.split('/').map(|part| if part.starts_with('<') { "x" } else { part }).collect();
        let path = path.join("/");
        let answer = app.anonymous().ask(route.method, &path).send().await;
        assert_eq!(answer.status, 401, "{} {pattern}", route.method);
        let request = app.bearer("abc.def.ghi").ask(route.method, &path);
        let answer = request.field("Accept", "text/plain").send().await;
        assert_invalid_token(&answer, pattern);
    }
    assert_eq!(guarded, app.client.rocket().routes().count() - PUBLIC.len());
}

#[tokio::test]
async fn the_public_list_names_only_routes_that_exist() {
    let app = TestApp::new().await;
    let mounted: Vec<(Method, &str)> =
        app.client.rocket().routes().map(|route| (route.method, route.uri.path())).collect();
    for public in PUBLIC {
        assert!(mounted.contains(public), "{public:?}");
    }
}

/// Amounts that stand nowhere else, so that an answer that holds one gives that pay away; and what the
/// first two are together.
const AMOUNTS: [(&str, &str, i64); 3] = [
    ("ann", "73133.71", 7_313_371),
    ("bob", "88418.82", 8_841_882),
    ("cleo", "60606.63", 6_060_663),
];
const ANN_AND_BOB: &str = "161552.53";
const ALL_THREE: &str = "222159.16";

/// `root` may do everything in acme; `lead` reads the team ops, where ann and bob are.
async fn acme() -> TestApp {
    acme_with(Vec::new()).await
}

async fn acme_with(routes: Vec<rocket::Route>) -> TestApp {
    let app = TestApp::with_routes(routes).await;
    app.add_org("acme").await;
    for (name, _, minor) in AMOUNTS {
        app.add_employee("acme", name, minor).await;
    }
    app.set_team("acme", "ann", "ops").await;
    app.set_team("acme", "bob", "ops").await;
    for name in ["root", "lead"] {
        app.add_user("acme", name).await;
    }
    for permission in ["read", "write", "manage", "audit"] {
        app.add_grant("acme", "root", permission, "org").await;
    }
    app.add_grant("acme", "lead", "read", "team:ops").await;
    app
}

/// Whose pay a text gives away.
fn given_away(text: &str) -> Vec<&'static str> {
    let together =
        |name: &str| text.contains(ALL_THREE) || name != "cleo" && text.contains(ANN_AND_BOB);
    let minor = |minor: i64| text.contains(&minor.to_string());
    let found = AMOUNTS
        .iter()
        .filter(|(name, amount, cents)| text.contains(amount) || minor(*cents) || together(name));
    found.map(|(name, ..)| *name).collect()
}

/// What is wrong with what is on record of an answer that gives pay away.
async fn record_faults(
    app: &TestApp,
    what: &str,
    answer: &Answer,
    names: &[&str],
) -> Option<String> {
    let id = answer.field("X-Request-Id").unwrap();
    let sql = format!("SELECT subjects FROM audit WHERE request_id = '{id}'");
    let records = app.database.texts(&sql).await;
    let expected = [serde_json::json!(names).to_string()];
    (records != expected).then(|| format!("{what}: {names:?} were seen; on record: {records:?}"))
}

/// A route's path, about ann where it is about somebody.
fn about_ann(pattern: &str) -> String {
    let part = |part: &str| match part {
        "<name>" => "ann".to_owned(),
        part if part.starts_with('<') => "x".to_owned(),
        part => part.to_owned(),
    };
    let path = pattern.split('/').map(part).collect::<Vec<_>>().join("/");
    if path == "/explain" { path + "?who=root&whom=ann" } else { path }
}

/// Header fields by which an answer is asked for in another way.
type Form = &'static [(&'static str, &'static str)];

/// In how many ways an answer can be asked for, beside plainly.
const FORMS: [Form; 8] = [
    &[("Accept", "application/json")],
    &[("Accept", "text/csv")],
    &[("Accept", "text/plain")],
    &[("Accept", "text/html, */*;q=0.1")],
    &[("Range", "bytes=0-20")],
    &[("If-None-Match", "*")],
    &[("If-Modified-Since", "Tue, 10 Mar 2026 23:00:00 GMT")],
    &[("Accept-Encoding", "gzip"), ("Cache-Control", "no-cache")],
];

/// Asks a route for all that it has, in every form, and gives what is wrong with what is on record.
/// `seen` learns of the route if it gives pay away.
async fn ask_in_every_form(
    app: &TestApp,
    who: &str,
    (method, pattern): (Method, &str),
    seen: &mut BTreeSet<String>,
) -> Vec<String> {
    let caller = app.user(&format!("acme/{who}")).await;
    let path = about_ann(pattern);
    let mark = if path.contains('?') { "&" } else { "?" };
    let mut asks: Vec<(Method, String, Form)> = vec![(method, path.clone(), &[])];
    // Whatever reads can be asked again and again, and with whatever parameter it has.
    if method == Method::Get || pattern == "/bearer" {
        asks.extend(FORMS.iter().map(|form| (method, path.clone(), *form)));
        for more in [
            "limit=1",
            "limit=2&sort=-amount",
            "fields=amount",
            "q=ann",
            "as_of=2026-03-09",
            "team=ops",
            "known_at=2026-03-10T12:00:00Z",
        ] {
            asks.push((method, format!("{path}{mark}{more}"), &[]));
            asks.push((method, format!("{path}{mark}{more}"), FORMS[1]));
        }
    }
    let mut faults = Vec::new();
    while let Some((method, path, form)) = asks.pop() {
        let mut ask = caller.ask(method, &path);
        for (name, value) in form {
            ask = ask.field(name, value);
        }
        ask = match (method, pattern) {
            (Method::Post, "/pay/<name>") => ask.field("If-Match", "*").json(RATE),
            (Method::Post, "/pay") => ask.field("Content-Type", "text/csv").body(FILE),
            (Method::Get, _) | (_, "/bearer") => ask,
            _ => ask.json("{}"),
        };
        let answer = ask.send().await;
        let what = format!("{who}: {method} {path} {form:?}");
        if let Some(next) = answer.next_page() {
            asks.push((method, next, form));
        }
        let fields: String = answer.fields.iter().map(|(_, value)| format!("{value}\n")).collect();
        if !given_away(&fields).is_empty() {
            faults.push(format!("{what}: an amount stands in a header field"));
        }
        if answer.field("Content-Encoding").is_some() && !PUBLIC.contains(&(Method::Get, pattern)) {
            faults.push(format!("{what}: what it gives cannot be seen"));
        }
        let mut names = given_away(&String::from_utf8_lossy(&answer.body));
        if names.is_empty() {
            continue;
        }
        let before = row_before(&path);
        names.extend(before.as_deref());
        names.sort_unstable();
        seen.insert(format!("{method} {pattern}"));
        faults.extend(record_faults(app, &what, &answer, &names).await);
        if method != Method::Get {
            continue;
        }
        // What only says how long the answer would be is on record too.
        let mut head = caller.ask(Method::Head, &path);
        for (name, value) in form {
            head = head.field(name, value);
        }
        let head = head.send().await;
        assert!(head.body.is_empty(), "{what}");
        faults.extend(record_faults(app, &format!("{what} by HEAD"), &head, &names).await);
        // The client has it already: it is told that, or all of it again, and either is on record.
        if let Some(tag) = answer.field("ETag") {
            let again = caller.get(&path).field("If-None-Match", tag).send().await;
            assert!([200, 304].contains(&again.status), "{what}: {again:?}");
            faults.extend(record_faults(app, &format!("{what} again"), &again, &names).await);
        }
    }
    faults
}

const RATE: &str = r#"{"effective_from":"2024-01-01","amount":"73133.71","currency":"USD"}"#;
const FILE: &str = "username,effective_from,amount,currency\r\nann,2024-01-01,73133.71,USD\r\n";

/// Asks every route that is mounted. Gives what is wrong, and the routes that gave pay away.
async fn walk(app: &TestApp) -> (Vec<String>, BTreeSet<String>) {
    let routes = app.client.rocket().routes();
    let mut routes: Vec<(Method, &str)> =
        routes.map(|route| (route.method, route.uri.path())).collect();
    // What changes somebody comes last.
    routes.sort_by_key(|(method, pattern)| (*method != Method::Get, *pattern));
    let (mut faults, mut seen) = (Vec::new(), BTreeSet::new());
    for route in routes {
        for who in ["root", "lead"] {
            faults.extend(ask_in_every_form(app, who, route, &mut seen).await);
        }
    }
    (faults, seen)
}

/// Whether a value of a schema can hold an amount.
fn holds_an_amount(document: &Document, schema: &Value) -> bool {
    if let Some(place) = schema["$ref"].as_str() {
        return ["/Amount", "/Salary"].iter().any(|kind| place.ends_with(kind))
            || holds_an_amount(document, document.resolve(schema));
    }
    match schema {
        Value::Object(members) => members.iter().any(|(name, part)| {
            ["salary", "amount", "amount_minor"].contains(&name.as_str())
                || holds_an_amount(document, part)
        }),
        Value::Array(parts) => parts.iter().any(|part| holds_an_amount(document, part)),
        _ => false,
    }
}

#[tokio::test]
async fn every_answer_with_an_amount_is_on_record_once_and_about_exactly_whom_it_shows() {
    let app = acme().await;
    let (faults, seen) = walk(&app).await;
    assert_eq!(faults, [""; 0]);
    // And these are all that say of themselves that they may hold one.
    let document = Document::of(&app.client).await;
    let mut described = BTreeSet::new();
    for (method, path, operation) in document.operations() {
        let responses = operation["responses"].as_object().unwrap().iter();
        let mut good = responses.filter(|(status, _)| status.starts_with('2'));
        if good
            .any(|(_, response)| holds_an_amount(document, &document.resolve(response)["content"]))
        {
            let pattern = path.replace('{', "<").replace('}', ">");
            described.insert(format!("{method} {pattern}"));
        }
    }
    assert_eq!(seen, described);
    assert!(seen.len() >= 5, "{seen:?}");
}

#[rocket::get("/leak")]
fn leak() -> &'static str {
    "ann: $73133.71"
}

/// The walk itself is tested: it finds a route that goes round the door.
#[tokio::test]
async fn a_route_that_gave_an_amount_without_a_record_would_be_found() {
    let app = acme_with(rocket::routes![leak]).await;
    let (faults, seen) = walk(&app).await;
    assert!(seen.contains("GET /leak"));
    assert!(!faults.is_empty());
    assert!(faults.iter().all(|fault| fault.contains("GET /leak")), "{faults:?}");
}
