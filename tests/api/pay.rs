//! Recording pay, reading its history, importing it, and asking for it in other ways.

use std::time::Duration;

use rocket::http::Method;
use serde_json::{Value, json};

use crate::support::app::{Actor, Answer, TestApp};

/// An org with `ann`, who may do everything, and `bob` and `cyd`, who are paid.
async fn org() -> TestApp {
    let app = TestApp::new().await;
    app.add_org("acme").await;
    app.add_user("acme", "ann").await;
    for (name, minor) in [("bob", 100_000), ("cyd", 200_000)] {
        app.add_employee("acme", name, minor).await;
    }
    for permission in ["read", "write", "manage"] {
        app.add_grant("acme", "ann", permission, "org").await;
    }
    app
}

fn rate(day: &str, amount: &str, currency: &str) -> Value {
    json!({ "effective_from": day, "amount": amount, "currency": currency })
}

async fn record(caller: &Actor<'_>, name: &str, tag: &str, rate: Value) -> Answer {
    let ask = caller.post(&format!("/pay/{name}")).field("If-Match", tag);
    ask.json(rate.to_string()).send().await
}

async fn import(caller: &Actor<'_>, query: &str, file: &[u8]) -> Answer {
    caller.post(&format!("/pay{query}")).field("Content-Type", "text/csv").body(file).send().await
}

async fn salary(caller: &Actor<'_>, query: &str) -> String {
    let answer = caller.get(&format!("/bearer?q=bob{query}")).send().await;
    answer.json()[0]["salary"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_correction_supersedes_and_both_stay() {
    let app = org().await;
    let ann = app.user("acme/ann").await;
    let first = ann.get("/pay/bob").send().await;
    let tag = first.field("ETag").unwrap().to_owned();
    let raise = record(&ann, "bob", &tag, rate("2026-03-01", "1100", "USD")).await;
    assert_eq!((raise.status, raise.field("Location")), (201, Some("/pay/bob")));
    assert_eq!(raise.json()["salary"], "$1100.00");
    let tag = raise.field("ETag").unwrap().to_owned();
    let correction = record(&ann, "bob", &tag, rate("2026-03-01", "1150.5", "USD")).await;
    assert_eq!(correction.json()["revision"], 2);
    assert_eq!(record(&ann, "bob", &tag, rate("2026-03-02", "1", "USD")).await.status, 412);

    let history = ann.get("/pay/bob").send().await;
    assert_eq!(history.field("ETag"), correction.field("ETag"));
    let rates = history.json()["rates"].clone();
    let told = |rate: &Value| {
        format!(
            "{} {} {} {}",
            rate["effective_from"], rate["revision"], rate["salary"], rate["superseded"]
        )
    };
    let told: Vec<String> = rates.as_array().unwrap().iter().map(told).collect();
    assert_eq!(
        told,
        [
            r#""2024-01-01" 1 "$1000.00" false"#,
            r#""2026-03-01" 1 "$1100.00" true"#,
            r#""2026-03-01" 2 "$1150.50" false"#
        ]
    );
    assert_eq!(salary(&ann, "").await, "$1150.50");
}

#[tokio::test]
async fn an_old_report_can_be_made_again() {
    let app = org().await;
    let ann = app.user("acme/ann").await;
    app.clock.advance(Duration::from_secs(3600));
    record(&ann, "bob", "*", rate("2026-03-01", "1100", "USD")).await;
    app.clock.advance(Duration::from_secs(3600));
    record(&ann, "bob", "*", rate("2026-03-01", "1150", "USD")).await;
    record(&ann, "bob", "*", rate("2026-06-01", "1300", "USD")).await;
    assert_eq!(salary(&ann, "").await, "$1150.00");
    assert_eq!(salary(&ann, "&as_of=2026-02-28").await, "$1000.00");
    assert_eq!(salary(&ann, "&as_of=2026-06-01").await, "$1300.00", "a raise ahead of its day");
    assert_eq!(salary(&ann, "&known_at=2026-03-10T13:30:00Z").await, "$1100.00");
    assert_eq!(salary(&ann, "&known_at=2026-03-10T12:30:00Z").await, "$1000.00");
    assert_eq!(salary(&ann, "&as_of=2023-12-31").await, "", "before the first day");
    let then = ann.get("/pay/bob?known_at=2026-03-10T13:30:00Z").send().await.json();
    assert_eq!(then["rates"].as_array().unwrap().len(), 2);
    assert_eq!(then["rates"][1]["superseded"], false);
}

#[tokio::test]
async fn what_is_wrong_with_a_rate_is_named_and_nothing_is_recorded() {
    let app = org().await;
    let ann = app.user("acme/ann").await;
    let good = rate("2026-04-01", "1100.00", "USD");
    for (member, value, field) in [
        ("effective_from", json!("2026-02-29"), "effective_from"),
        ("effective_from", json!("01.04.2026"), "effective_from"),
        ("amount", json!(1100), "amount"),
        ("amount", json!(1100.5), "amount"),
        ("amount", json!("1,100.00"), "amount"),
        ("amount", json!("-1"), "amount"),
        ("amount", json!("1100.005"), "amount"),
        ("amount", json!("99999999999999999999"), "amount"),
        ("currency", json!("US"), "currency"),
        ("currency", json!("XAU"), "currency"),
        ("note", json!("a\nb"), "note"),
        ("recorded_by", json!("eve"), "recorded_by"),
    ] {
        let mut body = good.clone();
        body[member] = value;
        let answer = record(&ann, "bob", "*", body.clone()).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.json()["errors"][0]["field"], field, "{body}");
        assert!(answer.json()["detail"].as_str().unwrap().starts_with(field), "{answer:?}");
    }
    assert_eq!(ann.post("/pay/bob").json(good.to_string()).send().await.status, 428);
    assert_eq!(record(&ann, "nobody", "*", good.clone()).await.status, 404);
    assert_eq!(record(&ann, "No%20body", "*", good.clone()).await.status, 404);
    assert_eq!(record(&ann, "ann", "*", good).await.status, 404, "ann is not paid");
    assert_eq!(app.database.number("SELECT COUNT(*) FROM rates WHERE org = 'acme'").await, 2);
}

#[tokio::test]
async fn r52_of_many_who_change_one_version_at_once_one_succeeds() {
    let app = org().await;
    let ann = app.user("acme/ann").await;
    let tag = ann.get("/pay/bob").send().await.field("ETag").unwrap().to_owned();
    let many = (0..8).map(|n| record(&ann, "bob", &tag, rate("2026-04-01", &n.to_string(), "USD")));
    let answers = rocket::futures::future::join_all(many).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 412, 412, 412, 412, 412, 412, 412]);
}

#[tokio::test]
async fn an_import_is_all_or_nothing_and_names_every_bad_line() {
    let app = org().await;
    let ann = app.user("acme/ann").await;
    let bad = b"username,effective_from,amount,currency\n\
                bob,2026-04-01,1100.00,USD\n\
                nobody,2026-04-01,1100.00,USD\n\
                cyd,2026-04-31,x,USD\n";
    let answer = import(&ann, "", bad).await;
    assert_eq!(answer.status, 400);
    let places: Vec<String> = answer.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| format!("{} {}", error["line"], error["column"].as_str().unwrap()))
        .collect();
    assert_eq!(places, ["3 username", "4 effective_from", "4 amount"]);
    assert_eq!(salary(&ann, "&as_of=2026-04-01").await, "$1000.00", "nothing is half done");

    let good = b"username,effective_from,amount,currency,note\r\n\
                 bob,2026-04-01,1100.00,USD,\"a, b\"\r\n\
                 cyd,2024-01-01,2000,USD,\r\n";
    let dry = import(&ann, "?dry_run", good).await.json();
    assert_eq!(dry, json!({ "recorded": 1, "unchanged": 1, "dry_run": true }));
    assert_eq!(salary(&ann, "&as_of=2026-04-01").await, "$1000.00");
    let done = import(&ann, "", good).await.json();
    assert_eq!(done, json!({ "recorded": 1, "unchanged": 1, "dry_run": false }));
    assert_eq!(salary(&ann, "&as_of=2026-04-01").await, "$1100.00");
    let again = import(&ann, "", good).await.json();
    assert_eq!(again["recorded"], 0, "the same file again changes nothing");
    let corrected = b"username,effective_from,amount,currency\nbob,2026-04-01,1200,USD\n";
    assert_eq!(import(&ann, "", corrected).await.json()["recorded"], 1);
    let history = ann.get("/pay/bob").send().await.json();
    assert_eq!(history["rates"][1]["note"], "a, b");
    assert_eq!(history["rates"][2]["revision"], 2);
    let recorded =
        "SELECT actor || ' ' || subjects FROM audit WHERE action = 'import_pay' ORDER BY record_id";
    let found = app.database.texts(recorded).await;
    assert_eq!(found[0], r#"ann ["bob","cyd"]"#);
    assert_eq!(found.len(), 4, "a dry run is on record too: it tells what is recorded");
}

#[tokio::test]
async fn a_file_that_cannot_be_taken_is_refused_as_what_it_is() {
    let app = org().await;
    let ann = app.user("acme/ann").await;
    for file in [&b""[..], b"\xff\xfeu\0", b"\0\0\0", b"a;b\n1;2\n", b"username\n"] {
        let answer = import(&ann, "", file).await;
        assert_eq!(answer.status, 400, "{file:?}");
        assert_eq!(answer.json()["errors"][0]["line"], 1, "{file:?}");
    }
    let large = vec![b'x'; 16 * 1024 * 1024 + 1];
    assert_eq!(import(&ann, "", &large).await.status, 413);
    let json = ann.post("/pay").json("[]").send().await;
    assert_eq!(json.status, 415);
    assert!(json.text().contains("text/csv"));
    assert_eq!(import(&ann, "?dry_run=maybe", b"x").await.status, 400);
}

#[tokio::test]
async fn an_import_reaches_only_whom_the_writer_reaches() {
    let app = org().await;
    app.add_user("acme", "dee").await;
    app.add_grant("acme", "dee", "write", "user:bob").await;
    let dee = app.user("acme/dee").await;
    let file =
        b"username,effective_from,amount,currency\nbob,2026-04-01,1,USD\ncyd,2026-04-01,1,USD\n";
    let refused = import(&dee, "", file).await.json();
    assert_eq!(
        refused["errors"][0],
        json!({ "line": 3, "column": "username", "reason": "there is no such employee" })
    );
    let own = b"username,effective_from,amount,currency\nbob,2026-04-01,1,USD\n";
    assert_eq!(import(&dee, "", own).await.json()["recorded"], 1);
}

#[tokio::test]
async fn an_import_tells_nobody_what_they_may_not_read() {
    let app = org().await;
    app.add_user("acme", "dee").await;
    app.add_grant("acme", "dee", "write", "user:bob").await;
    let dee = app.user("acme/dee").await;
    for amount in ["1000.00", "1000.01"] {
        let file =
            format!("username,effective_from,amount,currency\nbob,2024-01-01,{amount},USD\n");
        let told = import(&dee, "?dry_run", file.as_bytes()).await.json();
        assert_eq!(told, json!({ "recorded": 1, "unchanged": 0, "dry_run": true }), "{amount}");
    }
    let sql = "SELECT COUNT(*) FROM audit WHERE action = 'import_pay'";
    assert_eq!(app.database.number(sql).await, 2);
}

#[tokio::test]
async fn a_file_of_nothing_but_faults_has_a_bounded_answer() {
    let app = org().await;
    let ann = app.user("acme/ann").await;
    let file = "username,effective_from,amount,currency\n".to_owned() + &"x\n".repeat(50_000);
    let told = import(&ann, "", file.as_bytes()).await.json();
    assert_eq!(told["errors"].as_array().unwrap().len(), 10_000);
    let cut = b"username,effective_from,amount,currency,note\nbob,2026-04-01,1,USD,\"cut of";
    assert_eq!(import(&ann, "", cut).await.json()["errors"][0]["column"], "line");
    let old = b"username,effective_from,amount,currency\rbob,2026-04-01,1,USD\rbob,x,1,USD\r";
    assert_eq!(import(&ann, "", old).await.json()["errors"][0]["line"], 3);
}

#[tokio::test]
async fn r81_a_record_does_not_tell_by_its_order_who_is_paid_more() {
    let app = org().await;
    let ann = app.user("acme/ann").await;
    for query in ["sort=-amount", "sort=-amount&limit=2", "sort=-username"] {
        let answer = ann.get(&format!("/bearer?{query}")).send().await;
        assert_eq!(answer.json()[0]["username"], "cyd");
    }
    let sql = "SELECT subjects FROM audit WHERE action = 'list_pay'";
    assert_eq!(app.database.texts(sql).await, [r#"["bob","cyd"]"#; 3]);
}

#[tokio::test]
async fn each_wrong_parameter_of_bearer_is_named_and_a_bare_request_has_none() {
    let app = org().await;
    let ann = app.user("acme/ann").await;
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=ten", "limit"),
        ("sort=currency", "sort"),
        ("sort=", "sort"),
        ("after=Bob", "after"),
        ("after=", "after"),
        ("as_of=2026-02-30", "as_of"),
        ("as_of=today", "as_of"),
        ("known_at=2026-03-10", "known_at"),
        ("known_at=2027-01-01T00:00:00Z", "known_at"),
        ("fields=", "fields"),
        ("fields=username,password", "fields"),
        ("fields=salary,salary", "fields"),
        ("team=A%20B", "team"),
        ("q=a%0Ab", "q"),
        ("q=%FF", "q"),
        ("limit=1&limit=2", "limit"),
        ("salary=1", "salary"),
        ("access_token=x", "access_token"),
        ("_method=DELETE", "_method"),
    ] {
        for method in [Method::Get, Method::Post] {
            let path = format!("/bearer?{query}");
            let plain = ann.ask(method, &path).send().await;
            assert_eq!(plain.status, 400, "{query}");
            assert!(plain.text().starts_with(field), "{query}: {}", plain.text());
            assert_eq!(plain.field("Content-Type"), Some("text/plain; charset=utf-8"));
            let wanted = ann.ask(method, &path).field("Accept", "application/json");
            assert_eq!(wanted.send().await.json()["errors"][0]["field"], field, "{query}");
        }
        let nobody = app.anonymous().get(&format!("/bearer?{query}")).send().await;
        assert_eq!(nobody.status, 401, "who asks comes first: {query}");
    }
    let bare = ann.get("/bearer?").send().await;
    assert_eq!(
        bare.text(),
        r#"[{"username":"bob","salary":"$1000.00"},{"username":"cyd","salary":"$2000.00"}]"#
    );
}

#[tokio::test]
async fn r83_csv_is_asked_for_by_accept_and_each_export_has_its_number() {
    let app = org().await;
    let sql =
        "UPDATE employees SET full_name = '=1+1,\"x\"' WHERE org = 'acme' AND username = 'bob'";
    app.database.execute(sql).await;
    let ann = app.user("acme/ann").await;
    let path = "/bearer?fields=username,name,amount,currency&as_of=2026-03-01";
    for number in 1..=2 {
        let file = ann.get(path).field("Accept", "text/csv").send().await;
        assert_eq!(
            file.text(),
            "username,name,amount,currency\r\nbob,\"'=1+1,\"\"x\"\"\",1000.00,USD\r\ncyd,cyd,2000.00,USD\r\n"
        );
        let name = format!("attachment; filename=\"stipend-pay-acme-2026-03-01-{number}.csv\"");
        assert_eq!(file.field("Content-Disposition"), Some(name.as_str()));
        assert_eq!(file.field("Content-Type"), Some("text/csv; charset=utf-8"));
        assert_eq!(file.field("X-Content-Type-Options"), Some("nosniff"));
    }
    let sql = "SELECT detail FROM audit WHERE action = 'export_pay' ORDER BY record_id";
    let details = app.database.texts(sql).await;
    assert_eq!(
        details[1],
        r#"{"as_of":"2026-03-01","fields":["username","name","amount","currency"],"export":2}"#
    );
    for accept in ["*/*", "application/json", "text/csv;q=0.5, application/json", "text/html"] {
        let answer = ann.get(path).field("Accept", accept).send().await;
        assert_eq!(
            answer.field("Content-Type"),
            Some("application/json; charset=utf-8"),
            "{accept}"
        );
    }
}

#[tokio::test]
async fn a_sum_never_crosses_currencies() {
    let app = org().await;
    app.add_employee("acme", "dee", 1).await;
    app.add_rate("acme", "dee", "2025-01-01", 1, 300_000, "JPY").await;
    let ann = app.user("acme/ann").await;
    assert_eq!(
        ann.get("/pay").send().await.json(),
        json!({ "as_of": "2026-03-10", "people": 3, "totals": [
            { "currency": "JPY", "people": 1, "amount": "300000", "salary": "¥300000" },
            { "currency": "USD", "people": 2, "amount": "3000.00", "salary": "$3000.00" }
        ] })
    );
    let sql = "SELECT subjects FROM audit WHERE action = 'sum_pay'";
    assert_eq!(app.database.texts(sql).await, [r#"["bob","cyd","dee"]"#]);
}

#[tokio::test]
async fn explain_says_by_which_grant_and_who_else() {
    let app = org().await;
    app.add_user("acme", "dee").await;
    app.add_grant_until("acme", "dee", "read", "user:bob", "'2026-12-31'").await;
    let ann = app.user("acme/ann").await;
    let answer = ann.get("/explain?who=dee&whom=bob").send().await.json();
    assert_eq!(answer["sees"], true);
    assert_eq!(answer["by"][0]["reach"], "user:bob");
    assert_eq!(answer["by"][0]["until"], "2026-12-31");
    let everybody = answer["everybody"].as_array().unwrap().iter();
    let names: Vec<&str> = everybody.map(|grant| grant["username"].as_str().unwrap()).collect();
    assert_eq!(names, ["ann", "dee"]);
    assert_eq!(ann.get("/explain?who=dee&whom=cyd").send().await.json()["sees"], false);
    assert_eq!(ann.get("/explain?who=dee&whom=nobody").send().await.status, 404);
    let missing = ann.get("/explain?who=Dee").send().await;
    assert_eq!((missing.status, missing.json()["errors"].as_array().unwrap().len()), (400, 2));
    let dee = app.user("acme/dee").await;
    assert_eq!(dee.get("/explain?who=dee&whom=bob").send().await.status, 403);
}

#[tokio::test]
async fn a_login_can_ask_for_a_narrower_token_but_for_no_wider_one() {
    let app = org().await;
    let narrow = app.narrowed_user("acme/ann", &["read"]).await;
    assert_eq!(narrow.sees().await, "bob cyd");
    assert_eq!(narrow.get("/users").send().await.status, 403);
    assert_eq!(narrow.get("/me").send().await.json()["perms"], json!(["read"]));
    let wide = app.narrowed_user("acme/ann", &["audit", "write"]).await;
    assert_eq!(wide.get("/me").send().await.json()["perms"], json!(["write"]));
    for perms in [json!("read"), json!(["admin"]), json!([1]), json!({})] {
        let body = json!({ "username": "acme/ann", "password": "ahoy", "perms": perms });
        let answer = app.anonymous().post("/jwt").json(body.to_string()).send().await;
        assert_eq!(answer.status, 400, "{body}");
    }
}

/// A file takes some hundred MB of memory, whoever sends it.
#[tokio::test]
async fn r46_more_imports_than_there_are_places_for_are_refused_before_they_are_read() {
    let app = org().await;
    let ann = app.user("acme/ann").await;
    let file = b"username,effective_from,amount,currency\nbob,2026-02-01,1234,USD\n";
    let places = app.auth().imports.clone();
    let all = u32::try_from(places.available_permits()).unwrap();
    let taken = places.acquire_many_owned(all).await.unwrap();
    let refused = import(&ann, "", file).await;
    assert_eq!((refused.status, refused.field("Retry-After")), (503, Some("10")), "{refused:?}");
    drop(taken);
    let recorded = import(&ann, "", file).await;
    assert_eq!((recorded.status, recorded.json()["recorded"].as_u64()), (200, Some(1)));
    assert_eq!(import(&ann, "", b"x").await.status, 400);
    assert_eq!(app.auth().imports.available_permits(), 2, "every place is free again");
}
