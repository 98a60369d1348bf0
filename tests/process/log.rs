//! The log: one JSON object a line, and no secret in it.

use serde_json::Value;

use crate::support::server::Server;

#[tokio::test]
async fn r80_r81_each_answer_has_its_line_and_no_line_holds_a_secret() {
    let server = Server::start(&[]).await;
    let json = "Content-Type: application/json";
    let token = server.log_in();
    let mut answers = vec![
        server.read_pay(&token),
        server.read_pay("forged.to.ken-Zx81"),
        server.request(
            "POST",
            "/jwt",
            &[json],
            r#"{"username":"twilio","password":"hunter2-Zx81"}"#,
        ),
        server.request("POST", "/jwt", &[json], r#"{"username":"hunter2-Zx81","password":"x"}"#),
        server.request(
            "POST",
            "/jwt",
            &[json],
            r#"{"username":"twilio","password":"hunter2-Zx81""#,
        ),
        server.request("POST", "/jwt", &["Content-Type: text/plain"], "hunter2-Zx81"),
        server.request("GET", "/nope%0a%1b%5b31m?password=hunter2-Zx81", &[], ""),
        server.request("GET", "/bearer", &["Authorization: Basic hunter2-Zx81"], ""),
        server.request("PUT", "/bearer", &[], ""),
    ];
    answers.push(server.request(
        "DELETE",
        "/jwt",
        &[&format!("Authorization: Bearer {token}")],
        "",
    ));
    let log = server.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("one JSON object a line"))
        .collect();
    for answer in &answers {
        let id = answer.field("X-Request-Id").unwrap();
        let line = lines
            .iter()
            .find(|line| line["request_id"] == id && line["message"] == "request")
            .expect("a line of its own");
        assert_eq!(line["status"], answer.status);
        assert_eq!(line["client"], "127.0.0.1");
    }
    let refused =
        lines.iter().find(|line| line["message"] == "login" && line["outcome"] == "refused");
    assert_eq!(refused.unwrap()["user"], "twilio/twilio");

    let key = std::fs::read_to_string(server.database.folder.path().join("stipend.key")).unwrap();
    let signature = token.rsplit_once('.').unwrap().1;
    for secret in ["Zx81", "ahoy", signature, key.trim(), "2000.00"] {
        assert!(!log.contains(secret), "the log holds {secret}");
    }
}

/// The lines of a log, each of which must be one JSON object.
fn lines(log: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    let lines: Vec<Value> = log.lines().map(parse).collect();
    assert!(lines.iter().all(Value::is_object));
    lines
}

#[tokio::test]
async fn r81_hostile_names_make_one_escaped_line_each() {
    let server = Server::start(&[]).await;
    let json = "Content-Type: application/json";
    let forged = "\n{\"message\":\"request\",\"forged\":\"Zx81\"}\n";
    let mut ids = Vec::new();
    for name in [
        forged,
        "twilio\r\nX: y",
        "twilio\u{0}",
        "\u{1b}[31mtwilio",
        "\u{2028}\u{202e}twilio",
        "twilio/\n",
        "twilio\u{7f}\u{9b}",
    ] {
        let body = serde_json::json!({ "username": name, "password": "hunter2-Zx81" }).to_string();
        let answer = server.request("POST", "/jwt", &[json], &body);
        assert!([400, 401].contains(&answer.status), "{name:?}: {answer:?}");
        ids.push(answer.field("X-Request-Id").unwrap().to_owned());
    }
    for path in ["/%0a%7b%22forged%22:1%7d", "/%1b%5b31m", "/%00", "/%e2%80%a8%e2%80%ae", "/%ff"] {
        let answer = server.request("GET", path, &["X-Forwarded-For: a\"}"], "");
        assert_eq!(answer.status, 404, "{path}");
        ids.push(answer.field("X-Request-Id").unwrap().to_owned());
    }
    let log = server.log();
    let lines = lines(&log);
    for id in ids {
        let own = lines.iter().filter(|line| line["request_id"] == id.as_str());
        assert_eq!(own.filter(|line| line["message"] == "request").count(), 1, "{id}");
    }
    assert!(lines.iter().all(|line| line.get("forged").is_none()));
    let control = |c: char| c.is_control() && c != '\n' || "\u{2028}\u{202e}".contains(c);
    assert!(!log.contains(control), "{log:?}");
    assert!(!log.contains("Zx81"), "{log}");
}

#[tokio::test]
async fn r80_no_variable_makes_the_log_tell_more() {
    let settings = [("RUST_LOG", "trace"), ("RUST_BACKTRACE", "full")];
    let mut server = Server::start(&settings).await;
    let token = server.log_in();
    let key = std::fs::read_to_string(server.database.folder.path().join("stipend.key")).unwrap();
    let (claims, signature) = token.rsplit_once('.').unwrap();
    let json = "Content-Type: application/json";
    for tampered in [format!("{claims}.AAAA{signature}"), format!("{token}.x"), claims.to_owned()] {
        assert_eq!(server.read_pay(&tampered).status, 401);
    }
    assert_eq!(server.read_pay(&token).status, 200);
    let in_the_address = format!("/bearer?access_token={token}");
    assert_eq!(server.request("GET", &in_the_address, &[], "").status, 401);
    for body in [
        "{\"username\":\"twilio\",\"password\":\"hunter2-Zx81\"",
        "{\"username\":\"twilio\",\"password\":[\"hunter2-Zx81\"]}",
        "[\"twilio\",\"hunter2-Zx81\"]",
    ] {
        assert_eq!(server.request("POST", "/jwt", &[json], body).status, 400);
    }
    server.signal("TERM");
    let said = server.output() + &server.log();
    lines(&server.log());
    for secret in [signature, claims, key.trim(), "Zx81", "$argon2", "2000.00"] {
        assert!(!said.contains(secret), "it says {secret}");
    }
}

/// Rocket refuses a method that it does not know before the request is screened.
#[tokio::test]
async fn r81_an_unknown_method_is_on_the_log_like_any_refusal() {
    let server = Server::start(&[]).await;
    let answer = server.request("FROB", "/bearer", &[], "");
    assert_eq!(answer.status, 501);
    let id = answer.field("X-Request-Id").expect("a request id");
    let lines = lines(&server.log());
    let line = lines.iter().find(|line| line["request_id"] == id).expect("a line of its own");
    assert_eq!((&line["status"], &line["client"]), (&Value::from(501), &Value::from("127.0.0.1")));
}

/// The log and the audit trail tell the same story: every line of a read names its record.
#[tokio::test]
async fn r81_the_trail_and_the_log_share_request_ids() {
    let server = Server::start(&[]).await;
    let token = server.log_in();
    let read = server.read_pay(&token);
    let ids = server.database.texts("SELECT request_id FROM audit ORDER BY record_id").await;
    assert_eq!(ids.last().map(String::as_str), read.field("X-Request-Id"));
    let lines = lines(&server.log());
    for id in &ids {
        let own = |line: &&Value| line["request_id"] == id.as_str() && line["message"] == "request";
        assert_eq!(lines.iter().find(own).expect("a line of its own")["status"], 200);
    }
    let line = lines.iter().find(|line| line["path"] == "/bearer").unwrap();
    assert_eq!(line["caller"], "twilio/twilio");
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
}
