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
