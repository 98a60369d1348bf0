//! Every look and every change is on record, or it does not happen.

use crate::support::app::TestApp;
use crate::support::database::is_postgres;

const LAST: &str = "SELECT org || ' ' || actor || ' ' || COALESCE(session_id, '-') || ' ' || action || ' ' || \
    COALESCE(permission, '-') || ' ' || COALESCE(grants, '-') || ' ' || subjects || ' ' || client || ' ' || request_id \
    FROM audit ORDER BY record_id DESC LIMIT 1";

async fn count(app: &TestApp) -> i64 {
    app.database.number("SELECT COUNT(*) FROM audit").await
}

#[tokio::test]
async fn each_read_leaves_exactly_one_record_of_who_saw_whom() {
    let app = TestApp::new().await;
    let caller = app.demo_user().await;
    let session = crate::jwt::Jwt::read(caller.token()).claims["jti"].as_str().unwrap().to_owned();
    for (path, method) in [
        ("/bearer", rocket::http::Method::Get),
        ("/bearer", rocket::http::Method::Post),
        ("/bearer", rocket::http::Method::Head),
    ] {
        let before = count(&app).await;
        let answer = caller.ask(method, path).send().await;
        assert_eq!(count(&app).await, before + 1, "{method}");
        let id = answer.field("X-Request-Id").unwrap();
        let record = app.database.texts(LAST).await.remove(0);
        let expected = format!(
            r#"twilio twilio {session} list_pay read ["demo"] ["jdoe","mturner"] local {id}"#
        );
        assert_eq!(record, expected);
    }
}

#[tokio::test]
async fn a_login_and_a_logout_are_on_record_and_a_refusal_reveals_nothing() {
    let app = TestApp::new().await;
    let caller = app.demo_user().await;
    assert!(app.database.texts(LAST).await[0].contains(" log_in - - "));
    caller.delete("/jwt").send().await;
    assert!(app.database.texts(LAST).await[0].contains(" log_out - - "));
    let before = count(&app).await;
    app.anonymous().read_pay().await;
    app.anonymous().log_in("twilio", "wrong").await;
    caller.read_pay().await;
    assert_eq!(count(&app).await, before);
}

#[tokio::test]
async fn r80_a_record_holds_no_amount_password_or_token() {
    let app = TestApp::new().await;
    for permission in ["write", "manage", "audit"] {
        app.add_grant("twilio", "twilio", permission, "org").await;
    }
    let caller = app.demo_user().await;
    for path in ["/bearer?fields=amount", "/bearer?sort=-amount", "/pay", "/pay/jdoe", "/audit"] {
        assert_eq!(caller.get(path).send().await.status, 200, "{path}");
    }
    let csv = caller.get("/bearer").field("Accept", "text/csv").send().await;
    assert_eq!(csv.status, 200);
    let rate = r#"{"effective_from":"2026-01-01","amount":"31337.17","currency":"USD"}"#;
    let new = caller.post("/pay/jdoe").field("If-Match", "*").json(rate).send().await;
    assert_eq!(new.status, 201, "{new:?}");
    let file = "username,effective_from,amount,currency\njdoe,2026-02-01,42424.24,USD\n";
    let import = caller.post("/pay").field("Content-Type", "text/csv").body(file).send().await;
    assert_eq!(import.status, 200, "{import:?}");
    let token = r#"{"name":"script","until":"2026-04-01","perms":["read"]}"#;
    let token = caller.post("/me/tokens").json(token).send().await;
    assert_eq!(token.status, 201, "{token:?}");
    let person = r#"{"username":"ann","name":"Ann"}"#;
    let person = caller.post("/users").json(person).send().await;
    assert_eq!(person.status, 201, "{person:?}");

    let columns =
        "org actor session_id token action permission grants subjects detail outcome client";
    let columns: Vec<String> = columns
        .split(' ')
        .map(|column| format!("COALESCE({column}, '')"))
        .chain(["request_id".to_owned()])
        .collect();
    let all = format!("SELECT {} FROM audit", columns.join(" || ' ' || "));
    let records = app.database.texts(&all).await.join("\n");
    for action in ["export_pay", "sum_pay", "record_pay", "import_pay", "add_token", "add_person"] {
        assert!(records.contains(action), "{action}: {records}");
    }
    let signature = |token: &str| token.rsplit_once('.').unwrap().1.to_owned();
    let made = token.json()["access_token"].as_str().map(signature).unwrap();
    let password = person.json()["password"].as_str().unwrap().to_owned();
    let own = signature(caller.token());
    for secret in
        ["2000.00", "31337.17", "42424.24", "3133717", "4242424", "ahoy", &own, &made, &password]
    {
        assert!(!records.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn nothing_is_given_when_the_record_cannot_be_written() {
    let app = TestApp::new().await;
    let caller = app.demo_user().await;
    let (forbid, allow) = if is_postgres() {
        (
            "CREATE TRIGGER forbid BEFORE INSERT ON audit_records EXECUTE FUNCTION refuse_change()",
            "DROP TRIGGER forbid ON audit_records",
        )
    } else {
        (
            "CREATE TRIGGER forbid BEFORE INSERT ON audit_records BEGIN SELECT RAISE(ABORT, 'no'); END",
            "DROP TRIGGER forbid",
        )
    };
    app.database.execute(forbid).await;
    let sessions = app.database.number("SELECT COUNT(*) FROM sessions").await;
    for answer in [
        caller.read_pay().await,
        app.anonymous().log_in("twilio", "ahoy").await,
        caller.delete("/jwt").send().await,
    ] {
        assert_eq!(answer.status, 503);
        assert_eq!(answer.field("Retry-After"), Some("1"));
        assert_eq!(answer.field("access_token"), None);
        assert!(!answer.text().contains('$') && !answer.text().contains("trigger"));
    }
    assert_eq!(
        app.database.number("SELECT COUNT(*) FROM sessions WHERE ended_at IS NULL").await,
        sessions
    );
    app.database.execute(allow).await;
    assert_eq!(caller.read_pay().await.status, 200, "it recovers by itself");
}

#[tokio::test]
async fn r82_a_record_names_sets_that_are_there() {
    let app = TestApp::new().await;
    app.demo_user().await.read_pay().await;
    let records = "SELECT COUNT(*) FROM audit_records";
    let subjects = "SELECT COUNT(*) FROM audit_subjects";
    let before = (app.database.number(records).await, app.database.number(subjects).await);
    let set = app.database.number("SELECT MIN(set_no) FROM audit_sets").await;
    let missing = app.database.number("SELECT MAX(set_no) + 1 FROM audit_sets").await;
    // Right in everything but the sets that they name: `n` are the next places of the chain.
    let add = |sets: [String; 2]| {
        let [first, second] = sets;
        format!(
            "INSERT INTO audit_records (at, org, actor, action, names, client, request_id, chain, seq, hash, sets) \
             SELECT 0, 'twilio', 'x', 'log_in', '', 'x', 'x', c.chain, c.length + n.place, s.hash, n.sets \
               FROM audit_chains c, audit_sets s, \
                    (SELECT 1 AS place, '{first}' AS sets UNION ALL SELECT 2, '{second}') n \
              WHERE s.set_no = {set} AND c.kind = 'reads' ORDER BY n.place"
        )
    };
    let (known, unknown) = (format!("[{set}]"), format!("[{missing}]"));
    for sets in [
        [known.clone(), unknown.clone()],
        [unknown.clone(), known.clone()],
        [known.clone(), format!("[{set},{missing}]")],
    ] {
        let sql = add(sets);
        assert!(app.try_execute(&sql).await.is_err(), "{sql}");
    }
    let by_hand = |set: i64| {
        format!(
            "INSERT INTO audit_subjects (set_no, record_id) SELECT {set}, MAX(record_id) + 9 FROM audit_records"
        )
    };
    assert!(
        app.try_execute(&by_hand(missing)).await.is_err(),
        "nor is it said of a record by hand"
    );
    let after = (app.database.number(records).await, app.database.number(subjects).await);
    assert_eq!(after, before, "nothing of what was refused is left");

    app.database.execute(&add([known.clone(), known])).await;
    app.database.execute(&by_hand(set)).await;
    let after = (app.database.number(records).await, app.database.number(subjects).await);
    assert_eq!(
        after,
        (before.0 + 2, before.1 + 3),
        "what was refused was refused for its sets alone"
    );
}

#[tokio::test]
async fn r82_records_and_rates_cannot_be_changed_or_deleted() {
    let app = TestApp::new().await;
    app.demo_user().await;
    for sql in [
        "UPDATE audit_records SET actor = 'somebody'",
        "DELETE FROM audit_records",
        "UPDATE audit SET actor = 'somebody'",
        "DELETE FROM audit",
        "UPDATE audit_sets SET names = '[]'",
        "DELETE FROM audit_sets",
        "UPDATE audit_set_members SET username = 'somebody'",
        "DELETE FROM audit_set_members",
        "UPDATE audit_subjects SET record_id = record_id + 1",
        "DELETE FROM audit_subjects",
        "UPDATE audit_chains SET length = length - 1 WHERE length > 0",
        "UPDATE audit_chains SET kind = 'reads'",
        "UPDATE audit_chains SET head = (SELECT hash FROM audit_sets LIMIT 1) WHERE length > 0",
        "DELETE FROM audit_chains",
        "INSERT INTO audit_chains (chain, kind, length) VALUES (99, 'reads', 7)",
        // Neither the next of its chain, nor of any.
        "INSERT INTO audit_records (at, org, actor, action, names, client, request_id) \
         VALUES (0, 'twilio', 'x', 'log_in', '', 'x', 'x')",
        "INSERT INTO audit_records (at, org, actor, action, names, client, request_id, chain, seq, hash) \
         SELECT 0, 'twilio', 'x', 'log_in', '', 'x', 'x', chain, length + 2, head FROM audit_chains \
          WHERE length > 0",
        "INSERT INTO audit_records (at, org, actor, action, names, client, request_id, chain, seq, hash) \
         SELECT 0, 'twilio', 'x', 'log_in', '', 'x', 'x', chain, length, head FROM audit_chains \
          WHERE length > 0",
        "UPDATE rates SET amount_minor = 1",
        "DELETE FROM rates WHERE username = 'jdoe'",
    ] {
        assert!(app.try_execute(sql).await.is_err(), "{sql}");
    }
    if !is_postgres() {
        for table in ["audit_records", "audit_sets", "audit_chains", "rates"] {
            let sql = format!("INSERT OR REPLACE INTO {table} SELECT * FROM {table}");
            assert!(app.try_execute(&sql).await.is_err(), "{sql}");
        }
    }
    assert_eq!(app.database.number("SELECT COUNT(*) FROM rates").await, 2);
}
