//! Who reads the trail, and who is told who has seen their pay.

use rocket::http::Method;
use serde_json::{Value, json};
use stipend::auth::checkpoint::Checkpoint;
use stipend::auth::trusted::TrustedKeys;
use stipend::domain::Username;
use stipend::policy::Audit;
use stipend::service::{Act, audit};
use stipend::store::audit::Origin;
use stipend::store::disclosure::Withheld;
use stipend::store::reading::{Asker, RecordQuery};

use crate::support::app::{Actor, Answer, TestApp};
use crate::support::database::is_postgres;

/// `boss` reads everybody, `lead` the team ops, `dan` the user ann alone; `auditor` audits the org,
/// `watcher` the team ops, `friend` the user ann; `ann` and `bob` are in ops, `cleo` is not.
async fn office() -> TestApp {
    let app = TestApp::new().await;
    for name in ["ann", "bob", "cleo"] {
        app.add_employee("twilio", name, 100).await;
        app.add_user("twilio", name).await;
        app.add_grant("twilio", name, "read", "own").await;
    }
    app.set_team("twilio", "ann", "ops").await;
    app.set_team("twilio", "bob", "ops").await;
    for (name, permission, reach) in [
        ("boss", "read", "org"),
        ("lead", "read", "team:ops"),
        ("lead", "read", "user:cleo"),
        ("dan", "read", "user:ann"),
        ("auditor", "audit", "org"),
        ("watcher", "audit", "team:ops"),
        ("friend", "audit", "user:ann"),
    ] {
        if !["lead"].contains(&name) || reach == "team:ops" {
            app.add_user("twilio", name).await;
        }
        app.add_grant("twilio", name, permission, reach).await;
    }
    app
}

async fn get(actor: &Actor<'_>, path: &str) -> Value {
    let answer = actor.get(path).send().await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

/// `who as`, newest first.
fn told(body: &Value) -> Vec<String> {
    let looks = body["readers"].as_array().unwrap().iter();
    looks
        .map(|l| format!("{} {}", l["actor"].as_str().unwrap(), l["seen_as"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn an_employee_is_told_who_has_seen_their_pay_and_how_and_nothing_of_others() {
    let app = office().await;
    let lead = app.user("lead").await;
    let dan = app.user("dan").await;
    let ann = app.user("ann").await;
    let shown = lead
        .get("/bearer?as_of=2025-01-01&fields=username,salary&q=a")
        .field("Accept", "text/csv")
        .send()
        .await;
    assert_eq!(shown.status, 200);
    get(&dan, "/pay/ann").await;
    get(&app.user("boss").await, "/pay").await;
    get(&ann, "/bearer").await;
    get(&app.user("bob").await, "/bearer").await;
    get(&lead, "/pay/cleo").await;

    let answer = ann.get("/me/readers").send().await;
    let body = answer.json();
    assert_eq!(told(&body), ["ann list", "boss sum", "dan history", "lead export"]);
    assert_eq!((&body["username"], &body["archived_before"]), (&json!("ann"), &Value::Null));
    let look = &body["readers"][3];
    assert_eq!(
        look["grants"],
        json!([{"id": "lead read team:ops", "reach": "team:ops", "reason": "test"}]),
        "not that they may see cleo too"
    );
    assert_eq!(look["fields"], json!(["username", "salary"]));
    assert_eq!(look["as_of"], json!("2025-01-01"));
    assert_eq!(look["permission"], json!("read"));
    assert_eq!(look["request_id"].as_str(), shown.field("X-Request-Id"));
    assert_eq!(look["at"], json!("2026-03-10T12:00:00.000Z"));
    for other in ["cleo", "bob", "\"q\"", "client", "session"] {
        assert!(!answer.text().contains(other), "{other}: {}", answer.text());
    }
    assert_eq!(
        told(&get(&app.user("cleo").await, "/me/readers").await),
        ["lead history", "boss sum"]
    );

    // Whoever audits ann is told from where as well.
    for auditor in ["auditor", "watcher", "friend"] {
        let body = get(&app.user(auditor).await, "/pay/ann/readers").await;
        assert_eq!(told(&body).len(), 4, "{auditor}");
        assert_eq!(body["readers"][0]["client"], json!("local"));
        assert!(body["readers"][0]["session"].is_string());
    }
    for (who, whom, status) in [
        ("friend", "bob", 404),
        ("watcher", "cleo", 404),
        ("auditor", "nobody", 404),
        ("boss", "ann", 403),
        ("ann", "ann", 403),
        ("ann", "bob", 403),
    ] {
        let answer = app.user(who).await.get(&format!("/pay/{whom}/readers")).send().await;
        assert_eq!(answer.status, status, "{who} {whom}");
    }
}

#[tokio::test]
async fn a_team_that_somebody_has_left_is_still_told_as_the_reason_of_a_look() {
    let app = office().await;
    get(&app.user("lead").await, "/pay/ann").await;
    app.set_team("twilio", "ann", "sales").await;
    let body = get(&app.user("ann").await, "/me/readers").await;
    assert_eq!(body["readers"][0]["grants"][0]["reach"], json!("team:ops"));
}

#[tokio::test]
async fn whoever_must_change_their_password_is_told_nothing_of_who_has_seen_their_pay() {
    let app = office().await;
    let ann = app.user("ann").await;
    let expiring = "UPDATE users SET password_expires_at = 9999999999999 WHERE username = 'ann'";
    app.database.execute(expiring).await;
    assert_eq!(ann.get("/me/readers").send().await.status, 403);
}

async fn last(app: &TestApp) -> String {
    let sql = "SELECT actor || ' ' || action || ' ' || COALESCE(permission, '-') || ' ' || subjects || ' ' || detail \
               FROM audit ORDER BY record_id DESC LIMIT 1";
    app.database.texts(sql).await.remove(0)
}

#[tokio::test]
async fn reading_the_trail_is_on_record_before_anything_is_given() {
    let app = office().await;
    let (ann, auditor) = (app.user("ann").await, app.user("auditor").await);
    get(&ann, "/me/readers").await;
    assert_eq!(last(&app).await, r#"ann read_readers - ["ann"] {}"#);
    get(&auditor, "/pay/bob/readers").await;
    assert_eq!(last(&app).await, r#"auditor read_readers audit ["bob"] {}"#);
    get(&auditor, "/audit?action=log_in&limit=2&subject=ann&from=2026-01-01").await;
    assert_eq!(
        last(&app).await,
        r#"auditor read_audit audit ["ann"] {"subject":"ann","action":"log_in","from":"2026-01-01T00:00:00.000Z","limit":2}"#
    );
    let before = app.database.number("SELECT COUNT(*) FROM audit").await;
    auditor.ask(Method::Head, "/audit").send().await;
    assert_eq!(app.database.number("SELECT COUNT(*) FROM audit").await, before + 1);
    for path in ["/audit", "/pay/ann/readers", "/me/readers"] {
        for refused in [app.anonymous(), app.user("boss").await] {
            if path == "/me/readers" && refused.get(path).send().await.status == 200 {
                continue;
            }
            let status = refused.get(path).send().await.status;
            assert!([401, 403].contains(&status), "{path}: {status}");
        }
    }
    let forbid = if is_postgres() {
        "CREATE TRIGGER forbid BEFORE INSERT ON audit_records EXECUTE FUNCTION refuse_change()"
    } else {
        "CREATE TRIGGER forbid BEFORE INSERT ON audit_records BEGIN SELECT RAISE(ABORT, 'no'); END"
    };
    app.database.execute(forbid).await;
    for (actor, path) in
        [(&auditor, "/audit"), (&auditor, "/pay/ann/readers"), (&ann, "/me/readers")]
    {
        let answer = actor.get(path).send().await;
        assert_eq!(answer.status, 503, "{path}");
        assert!(!answer.text().contains("log_in"));
    }
}

#[tokio::test]
async fn what_has_ended_ends_the_reading_of_the_trail_on_the_next_request() {
    let app = office().await;
    let auditor = app.user("auditor").await;
    get(&auditor, "/audit").await;
    app.database
        .execute("UPDATE grants SET ended_at = 1, ended_by = 'x' WHERE username = 'auditor'")
        .await;
    assert_eq!(auditor.get("/audit").send().await.status, 403);
    let watcher = app.user("watcher").await;
    watcher.delete("/jwt").send().await;
    assert_eq!(watcher.get("/audit").send().await.status, 401);
    let narrowed = app.narrowed_user("friend", &["read"]).await;
    assert_eq!(narrowed.get("/audit").send().await.status, 403);
}

/// As where a grant ends between the look at the caller's grants and the record.
#[tokio::test]
async fn a_proof_from_before_a_grant_ended_gives_nothing() {
    let app = office().await;
    let auditor = app.user("auditor").await;
    let (db, ports, gate) = (&app.auth().db, &app.auth().ports, &app.auth().gate);
    let origin = Origin { client: "local".into(), request_id: "test".into() };
    let act = Act { db, ports, gate, origin: &origin };
    let caller = app.auth().identify(auditor.token()).await.unwrap();
    let day = ports.clock.now().day();
    let before = caller.allow::<Audit>(day).unwrap();
    let end = "UPDATE grants SET ended_at = 1, ended_by = 'x' WHERE username = 'auditor'";
    app.database.execute(end).await;
    let count = "SELECT COUNT(*) FROM audit_records";
    let records = app.database.number(count).await;
    let read = audit::records(act, before, RecordQuery::default()).await;
    assert!(matches!(read, Err(Withheld::Denied(_))), "{read:?}");
    let before = caller.allow::<Audit>(day).unwrap();
    let asker = Asker::Auditor(before, Username::parse("ann").unwrap());
    let told = audit::looks(act, asker, None, 10).await;
    assert!(matches!(told, Err(Withheld::Denied(_))), "{told:?}");
    assert_eq!(app.database.number(count).await, records);
}

#[tokio::test]
async fn an_auditor_sees_exactly_the_records_about_whom_they_reach_and_names_no_others() {
    let app = office().await;
    app.add_org("acme").await;
    app.add_user("acme", "eve").await;
    let readers = ["boss", "lead", "dan", "ann", "bob", "cleo"];
    for name in readers {
        let actor = app.user(name).await;
        for path in ["/bearer", "/bearer?q=o", "/pay", "/pay/ann", "/pay/bob", "/pay/cleo"] {
            actor.get(path).send().await;
        }
    }
    app.user("acme/eve").await;
    let truth: Vec<(i64, String, Vec<String>)> = app
        .database
        .texts(
            "SELECT record_id || ' ' || org || ' ' || subjects FROM audit ORDER BY record_id DESC",
        )
        .await
        .iter()
        .map(|line| {
            let mut parts = line.splitn(3, ' ');
            let id = parts.next().unwrap().parse().unwrap();
            let org = parts.next().unwrap().to_owned();
            (id, org, serde_json::from_str(parts.next().unwrap()).unwrap())
        })
        .collect();
    for (auditor, reach) in
        [("auditor", None), ("watcher", Some(vec!["ann", "bob"])), ("friend", Some(vec!["ann"]))]
    {
        let actor = app.user(auditor).await;
        let newest = truth[0].0;
        let all = actor.get("/audit").send().await;
        let seen: Vec<Value> = all
            .json()
            .as_array()
            .unwrap()
            .iter()
            .filter(|r| r["id"].as_i64().unwrap() <= newest)
            .cloned()
            .collect();
        let expected: Vec<(i64, Vec<String>)> = truth
            .iter()
            .filter(|(_, org, _)| org == "twilio" || (org.is_empty() && reach.is_none()))
            .map(|(id, _, names)| {
                let mut names = names.clone();
                if let Some(reach) = &reach {
                    names.retain(|name| reach.contains(&name.as_str()));
                }
                (*id, names)
            })
            .filter(|(_, names)| reach.is_none() || !names.is_empty())
            .collect();
        let got: Vec<(i64, Vec<String>)> = seen
            .iter()
            .map(|r| {
                (r["id"].as_i64().unwrap(), serde_json::from_value(r["subjects"].clone()).unwrap())
            })
            .collect();
        assert_eq!(got, expected, "{auditor}");
        for record in &seen {
            let named = record["subjects"].as_array().unwrap().len();
            assert_eq!(record["people"], json!(named), "{auditor}");
            assert_eq!(record["hash"].is_null(), reach.is_some(), "{auditor}");
        }
        if reach.is_some() {
            // A test's grants say in their ids what they are.
            let text = all.text().replace("lead read user:cleo", "").replace("cleo read own", "");
            assert!(!text.contains("cleo") && !text.contains("\"q\""), "{auditor}");
        }
        // The same by pages, and by whom it is about.
        let mut paged = Vec::new();
        let mut path = Some(format!("/audit?limit=3&after={}", newest + 1));
        while let Some(next) = path {
            let page = actor.get(&next).send().await;
            let rows = page.json();
            assert!(rows.as_array().unwrap().len() <= 3);
            paged.extend(rows.as_array().unwrap().iter().map(|r| r["id"].as_i64().unwrap()));
            path = page.next_page();
        }
        assert_eq!(paged, expected.iter().map(|(id, _)| *id).collect::<Vec<_>>(), "{auditor}");
        for whom in ["ann", "bob", "cleo", "eve"] {
            let path = format!("/audit?subject={whom}&after={}", newest + 1);
            let rows = get(&actor, &path).await;
            let got: Vec<i64> =
                rows.as_array().unwrap().iter().map(|r| r["id"].as_i64().unwrap()).collect();
            let about = |names: &Vec<String>| names.iter().any(|name| name == whom);
            let expected: Vec<i64> =
                expected.iter().filter(|(_, names)| about(names)).map(|(id, _)| *id).collect();
            assert_eq!(got, expected, "{auditor} about {whom}");
        }
    }
}

#[tokio::test]
async fn records_are_found_by_who_what_and_when() {
    let app = office().await;
    let auditor = app.user("auditor").await;
    get(&app.user("boss").await, "/pay").await;
    app.clock.advance(std::time::Duration::from_secs(3600 * 12));
    get(&app.user("boss").await, "/pay/ann").await;
    let count = async |query: &str| {
        get(&auditor, &format!("/audit?{query}")).await.as_array().unwrap().len()
    };
    assert_eq!(count("actor=boss").await, 4);
    assert_eq!(count("actor=boss&action=sum_pay").await, 1);
    assert_eq!(count("actor=boss&to=2026-03-10").await, 2);
    assert_eq!(count("actor=boss&from=2026-03-11").await, 2);
    assert_eq!(count("actor=boss&from=2026-03-10T12:00:00Z&to=2026-03-11T00:00:00Z").await, 2);
    assert_eq!(count("actor=nobody").await, 0);
    for (query, field) in [
        ("actor=A%20B", "actor"),
        ("subject=", "subject"),
        ("action=list", "action"),
        ("from=x", "from"),
        ("to=2026-13-01", "to"),
        ("limit=0", "limit"),
        ("after=x", "after"),
        ("org=acme", "org"),
    ] {
        let answer = auditor.get(&format!("/audit?{query}")).send().await;
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(answer.json()["errors"][0]["field"], json!(field), "{}", answer.text());
    }
}

#[tokio::test]
async fn r83_the_trail_as_csv_is_safe_to_open() {
    let app = office().await;
    let auditor = app.user("auditor").await;
    get(&app.user("lead").await, "/bearer?q=%3D1%2B1").await;
    let answer = auditor.get("/audit").field("Accept", "text/csv").send().await;
    assert_eq!(answer.field("Content-Type"), Some("text/csv; charset=utf-8"));
    assert!(
        answer
            .field("Content-Disposition")
            .unwrap()
            .starts_with("attachment; filename=\"stipend-audit-twilio-")
    );
    let mut lines = answer.text().split("\r\n");
    assert_eq!(
        lines.next().unwrap(),
        "id,at,actor,action,permission,grants,subjects,people,detail,outcome,session,token,client,request_id,chain,seq,hash"
    );
    let mut reader = csv::ReaderBuilder::new().from_reader(answer.body.as_slice());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(
        rows.len() as i64,
        app.database.number("SELECT COUNT(*) FROM audit WHERE org IN ('twilio', '')").await - 1
    );
    for row in &rows {
        for cell in row {
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell}");
        }
    }
}

#[tokio::test]
async fn every_answer_brings_a_checkpoint_that_anybody_can_verify() {
    let app = office().await;
    let auditor = app.user("auditor").await;
    let answer = auditor.get("/audit?limit=1").send().await;
    let line = answer.field("Stipend-Checkpoint").unwrap().to_owned();
    let mut reader = app.auth().db.reader().await.unwrap();
    let keys = TrustedKeys::of_database(reader.access()).await.unwrap();
    let (found, _) = Checkpoint::verify(&line, &keys).unwrap();
    assert_eq!(found.at, "2026-03-10T12:00:00.000Z");
    assert_eq!(
        found.records,
        app.database.number("SELECT CAST(SUM(length) AS BIGINT) FROM audit_chains").await
    );
    let published = app.anonymous().get("/.well-known/checkpoint-keys.json").send().await.json();
    let kid = published["keys"][0]["kid"].as_str().unwrap();
    assert_eq!(published["keys"][0]["x"].as_str(), keys.find(kid).map(|key| key.x.as_str()));
    let alone = auditor.get("/audit/checkpoint").send().await;
    let (alone, _) = Checkpoint::verify(alone.text().trim(), &keys).unwrap();
    assert_eq!(alone.records, found.records);
    assert_eq!(app.user("boss").await.get("/audit/checkpoint").send().await.status, 403);
}

/// Of more chains than a header field has room for, some come with each answer, and all in time.
#[tokio::test]
async fn a_checkpoint_comes_with_every_answer_however_many_chains_there_are() {
    let app = office().await;
    for _ in 0..100 {
        app.database.execute("INSERT INTO audit_chains (kind) VALUES ('changes')").await;
    }
    let all = app.database.number("SELECT COUNT(*) FROM audit_chains").await;
    let auditor = app.user("auditor").await;
    let mut reader = app.auth().db.reader().await.unwrap();
    let keys = TrustedKeys::of_database(reader.access()).await.unwrap();
    drop(reader);
    let mut named = std::collections::BTreeSet::new();
    for n in 0..200 {
        let format = ["application/json", "text/csv"][n % 2];
        let answer = auditor.get("/audit?limit=1").field("Accept", format).send().await;
        let line = answer.field("Stipend-Checkpoint").unwrap();
        assert!(line.len() <= 4096);
        let (part, _) = Checkpoint::verify(line, &keys).unwrap();
        assert_eq!((part.chains.len(), part.of.map(|of| of as i64)), (20, Some(all)));
        named.extend(part.chains.iter().map(|end| end.head().unwrap().chain));
    }
    assert_eq!(named.len() as i64, all, "each of them came");
    let whole = auditor.get("/audit/checkpoint").send().await;
    let (whole, _) = Checkpoint::verify(whole.text().trim(), &keys).unwrap();
    assert_eq!((whole.chains.len() as i64, whole.of), (all, None));
}

/// A hash of a chain's end is that of a record: whoever sees all of it but whom else it is about
/// could guess at those until the hash is right.
#[tokio::test]
async fn who_audits_some_people_is_given_no_hash_of_records_about_others() {
    let app = office().await;
    for auditor in ["watcher", "friend"] {
        let auditor = app.user(auditor).await;
        for path in ["/audit", "/audit?limit=1", "/audit?subject=ann"] {
            let answer = auditor.get(path).send().await;
            assert_eq!((answer.status, answer.field("Stipend-Checkpoint")), (200, None), "{path}");
        }
        assert_eq!(auditor.get("/audit/checkpoint").send().await.status, 403);
    }
}

/// More than is read at a time, about people who are in many records.
#[tokio::test]
async fn a_long_trail_is_streamed_whole_and_looks_come_by_pages() {
    let app = office().await;
    let (boss, auditor, ann) =
        (app.user("boss").await, app.user("auditor").await, app.user("ann").await);
    for n in 0..600 {
        let path = ["/pay/ann", "/bearer", "/pay/bob"][n % 3];
        assert_eq!(boss.get(path).send().await.status, 200);
    }
    let ids = |answer: &Answer| -> Vec<i64> {
        answer.json().as_array().unwrap().iter().map(|r| r["id"].as_i64().unwrap()).collect()
    };
    let all = auditor.get("/audit").send().await;
    let truth = app.database.number("SELECT COUNT(*) FROM audit WHERE org IN ('twilio', '')").await;
    assert_eq!(ids(&all).len() as i64, truth - 1);
    assert!(ids(&all).windows(2).all(|pair| pair[0] > pair[1]));
    let watched =
        app.user("watcher").await.get("/audit?actor=boss&action=read_history").send().await;
    assert_eq!(ids(&watched).len(), 400);

    let (mut path, mut looks) = (Some("/me/readers?limit=70".to_owned()), Vec::new());
    while let Some(next) = path {
        let page = ann.get(&next).send().await;
        looks.extend(
            page.json()["readers"].as_array().unwrap().iter().map(|l| l["id"].as_i64().unwrap()),
        );
        path = page.next_page();
    }
    assert_eq!(looks.len(), 400);
    assert!(looks.windows(2).all(|pair| pair[0] > pair[1]));
    assert_eq!(ann.get("/me/readers?limit=400").send().await.next_page(), None);
    assert!(ann.get("/me/readers?limit=399").send().await.next_page().is_some());
}
