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

/// Every way in which somebody may send a secret, at every level that somebody may ask for.
#[tokio::test]
async fn r80_no_secret_is_said_however_it_is_sent() {
    const PASSWORD: &str = "hunter2-Zx81-correct-horse-battery";
    for level in ["off", "error", "warn", "info", "debug", "trace", "rocket=trace,stipend=trace"] {
        let mut server =
            Server::start(&[("RUST_LOG", level), ("RUST_BACKTRACE", "full"), ("LOG", level)]).await;
        let token = server.log_in();
        let signature = token.rsplit_once('.').unwrap().1.to_owned();
        let (json, form) =
            ("Content-Type: application/json", "Content-Type: application/x-www-form-urlencoded");
        let good = format!("Authorization: Bearer {token}");
        let ask = |method: &str, path: &str, fields: &[&str], body: &str| {
            let status = server.request(method, path, fields, body).status;
            assert!((200..500).contains(&status) && status != 408, "{method} {path}: {status}");
            status
        };
        for body in [
            format!(r#"{{"username":"twilio","password":"{PASSWORD}"}}"#),
            format!(r#"{{"username":"{PASSWORD}","password":"{PASSWORD}"}}"#),
            format!(r#"{{"username":"twilio/{PASSWORD}","password":"{PASSWORD}"}}"#),
            format!(r#"{{"username":"twilio","password":"{PASSWORD}""#),
            format!(r#"{{"username":"twilio","password":{{"{PASSWORD}":1}}}}"#),
            format!(r#"{{"username":"twilio","password":"ahoy","{PASSWORD}":1,"{PASSWORD}":2}}"#),
            format!(r#"{{"username":"twilio","password":"ahoy","perms":["{PASSWORD}"]}}"#),
            format!(r#"{{"username":"{token}","password":"{token}"}}"#),
            format!("{{\"username\":\"twilio\",\"password\":\"{PASSWORD}\u{0}\"}}"),
            PASSWORD.to_owned(),
        ] {
            assert_ne!(ask("POST", "/jwt", &[json], &body), 500, "{body}");
        }
        for body in [
            format!("username=twilio&password={PASSWORD}"),
            format!("username={PASSWORD}&password={PASSWORD}"),
            format!("username=twilio&password={PASSWORD}&password={PASSWORD}"),
            PASSWORD.to_owned(),
            format!("access_token={token}&username=a&password=%ff{PASSWORD}"),
        ] {
            ask("POST", "/jwt", &[form], &body);
        }
        ask("POST", "/jwt", &["Content-Type: text/plain"], PASSWORD);
        ask("POST", "/jwt", &[&format!("Content-Type: {PASSWORD}/{PASSWORD}")], "x");
        for path in [
            format!("/bearer?access_token={token}"),
            format!("/bearer?{PASSWORD}={token}&q={PASSWORD}"),
            format!("/{token}"),
            format!("/bearer/{token}"),
            format!("/{signature}"),
            format!("/users/{signature}"),
            format!("/pay/{token}?password={PASSWORD}"),
            format!("/%2f{token}"),
        ] {
            ask("GET", &path, &[], "");
            ask("GET", &path, &[&good], "");
        }
        for field in [
            format!("Authorization: Bearer {token}x"),
            format!("Authorization: Bearer {token}.{PASSWORD}"),
            format!("Authorization: Bearer .{signature}"),
            format!("Authorization: bearer{token}"),
            format!("Authorization: Basic {PASSWORD}"),
            format!("Authorization: {PASSWORD}"),
            format!("Proxy-Authorization: Bearer {token}"),
            format!("Cookie: access_token={token}; p={PASSWORD}"),
            format!("X-Access-Token: {token}"),
            format!("User-Agent: {PASSWORD}"),
            format!("Referer: http://127.0.0.1/?access_token={token}"),
            format!("X-Forwarded-For: {PASSWORD}"),
            format!("Accept: {PASSWORD}/{token}"),
        ] {
            ask("GET", "/bearer", &[&field], "");
            ask("GET", "/bearer", &[&good, &field], "");
        }
        ask(
            "POST",
            "/pay/jdoe",
            &[&good, json, "If-Match: \"1\""],
            &format!("{{\"note\":\"{PASSWORD}"),
        );
        ask("POST", "/pay", &[&good, "Content-Type: text/csv"], &format!("{PASSWORD},{token}\n"));
        // What is no HTTP at all, and what comes half.
        server.send(format!("{PASSWORD} {token}\r\n\r\n").as_bytes());
        server.send(format!("GET /{PASSWORD}\u{1} HTTP/1.1\r\n{token}\r\n\r\n").as_bytes());
        server.signal("TERM");
        let said = server.output() + &server.log();
        lines(&server.log());
        let key =
            std::fs::read_to_string(server.database.folder.path().join("stipend.key")).unwrap();
        let claims = token.split('.').nth(1).unwrap();
        for secret in ["Zx81", &token, &signature, claims, key.trim(), "$argon2", "2000.00"] {
            let line = said.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "RUST_LOG={level}: it says {secret}");
        }
    }
}

/// Nobody can ask Rocket to print whole requests.
#[test]
fn r80_the_level_of_the_log_is_no_setting() {
    let folder = tempfile::tempdir().unwrap();
    for level in ["debug", "normal", "off"] {
        let mut command =
            crate::support::server::command(folder.path(), &[("ROCKET_LOG_LEVEL", level)]);
        let (code, said) = crate::startup::refused(&mut command);
        assert!(code == 2 && said.contains("`log_level`"), "{said}");
    }
}

/// It gave nothing, so it is no part of who has seen whom; but whoever watches the log sees who tried.
#[tokio::test]
async fn r81_a_look_at_pay_that_is_refused_is_on_the_log_with_who_asked_and_not_in_the_trail() {
    let server = Server::start(&[]).await;
    let database = &server.database;
    crate::cli::works(database, &["grant", "end", "twilio", "demo"]);
    let give = ["grant", "give", "twilio", "read", "user:jdoe", "--reason", "test"];
    crate::cli::works(database, &give);
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    let sees_one = bearer(&server.log_in());
    let body = r#"{"username":"twilio","password":"ahoy","perms":[]}"#;
    let nothing = server.request("POST", "/jwt", &["Content-Type: application/json"], body);
    let sees_none = bearer(nothing.field("access_token").unwrap());
    let trail = "SELECT COUNT(*) FROM audit_records";
    let before = database.number(trail).await;
    for (token, path, status, cause) in [
        (&sees_one, "/pay/mturner", 404, "not_found"),
        (&sees_one, "/pay/nobody", 404, "not_found"),
        (&sees_one, "/pay/jdoe/readers", 403, "insufficient_scope"),
        (&sees_none, "/pay/jdoe", 403, "insufficient_scope"),
        (&sees_none, "/bearer", 403, "insufficient_scope"),
        (&sees_none, "/audit", 403, "insufficient_scope"),
    ] {
        for accept in ["application/json", "text/csv"] {
            let accept = format!("Accept: {accept}");
            let answer = server.request("GET", path, &[token, &accept], "");
            assert_eq!(answer.status, status, "{path}: {answer:?}");
            let id = answer.field("X-Request-Id").unwrap();
            let all = lines(&server.log());
            let line = all.iter().find(|line| line["request_id"] == id).unwrap();
            let says = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            let said = ["outcome", "cause", "caller", "org", "path", "client"].map(says);
            let expected = ["refused", cause, "twilio/twilio", "twilio", path, "127.0.0.1"];
            assert_eq!(said, expected, "{line}");
        }
    }
    assert_eq!(database.number(trail).await, before);
    let otherwise = "SELECT COUNT(*) FROM audit_records WHERE outcome <> 'done'";
    assert_eq!(database.number(otherwise).await, 0);
}

#[tokio::test]
async fn r81_each_event_is_a_line_that_says_when_who_whence_what_and_how_it_ended() {
    let server = Server::start(&[("ROCKET_TRUSTED_PROXIES", "[\"127.0.0.0/8\"]")]).await;
    let give = |permission: &str| {
        let database = &server.database;
        let settings = [("ROCKET_DATABASE_URL", database.url.as_str())];
        let arguments = ["grant", "give", "twilio", permission, "org", "--reason", "test"];
        let mut command = crate::support::server::command(database.folder.path(), &settings);
        assert!(command.args(arguments).output().unwrap().status.success());
    };
    let json = "Content-Type: application/json";
    let whence = "X-Forwarded-For: 203.0.113.9";
    let log_in = |password: &str| {
        let body = serde_json::json!({ "username": "twilio", "password": password }).to_string();
        server.request("POST", "/jwt", &[json, whence], &body)
    };
    let (good, bad) = (log_in("ahoy"), log_in("hunter2-Zx81"));
    let token = format!("Authorization: Bearer {}", good.field("access_token").unwrap());
    let ann = r#"{"username":"ann","name":"Ann Lee","team":"ops"}"#;
    let anonymous = server.request("GET", "/bearer", &[whence], "");
    let forged = server.request("GET", "/bearer", &[whence, "Authorization: Bearer x.y.z"], "");
    let denied = server.request("POST", "/users", &[&token, whence, json], ann);
    give("manage");
    // A token holds no more than there was when it was given.
    let manager = log_in("ahoy");
    let token = format!("Authorization: Bearer {}", manager.field("access_token").unwrap());
    let added = server.request("POST", "/users", &[&token, whence, json], ann);
    let gift = r#"{"permission":"read","reach":"org","reason":"test"}"#;
    let given = server.request("POST", "/users/ann/grants", &[&token, whence, json], gift);
    let place = given.field("Location").unwrap().to_owned();
    let ended = server.request("DELETE", &place, &[&token, whence], "");
    let cross =
        server.request("DELETE", "/jwt", &[&token, whence, "Sec-Fetch-Site: cross-site"], "");
    let revoked = server.request("DELETE", "/jwt", &[&token, whence], "");
    let after = server.request("GET", "/bearer", &[&token, whence], "");

    let lines = lines(&server.log());
    let of = |answer: &crate::support::server::Answer, message: &str| {
        let id = answer.field("X-Request-Id").unwrap();
        let own = |line: &&Value| line["request_id"] == id && line["message"] == message;
        let found: Vec<&Value> = lines.iter().filter(own).collect();
        assert_eq!(found.len(), 1, "one line of {message} for {answer:?}");
        found[0].clone()
    };
    let me = Some("twilio/twilio");
    for (answer, status, outcome, cause, caller) in [
        (&good, 200, "done", None, None),
        (&bad, 401, "refused", Some("wrong_credentials"), None),
        (&anonymous, 401, "refused", Some("unauthenticated"), None),
        (&forged, 401, "refused", Some("invalid_token"), None),
        (&denied, 403, "refused", Some("insufficient_scope"), me),
        (&added, 201, "done", None, me),
        (&given, 201, "done", None, me),
        (&ended, 204, "done", None, me),
        (&cross, 403, "refused", Some("cross_site"), None),
        (&revoked, 204, "done", None, me),
        (&after, 401, "refused", Some("invalid_token"), None),
    ] {
        assert_eq!(answer.status, status, "{answer:?}");
        let line = of(answer, "request");
        assert_eq!(line["status"], status);
        assert_eq!(line["outcome"], outcome, "{line}");
        assert_eq!(line.get("cause").and_then(Value::as_str), cause, "{line}");
        assert_eq!(line.get("caller").and_then(Value::as_str), caller, "{line}");
        assert_eq!(line.get("org").and_then(Value::as_str), caller.map(|_| "twilio"), "{line}");
        assert_eq!((&line["client"], &line["proxy"]), (&"203.0.113.9".into(), &"127.0.0.1".into()));
        let time = line["timestamp"].as_str().unwrap();
        assert!(time.contains('T') && time.ends_with('Z'), "{line}");
        assert!(line["method"].is_string() && line["path"].is_string(), "{line}");
    }
    for (answer, outcome) in [(&good, "let in"), (&bad, "refused")] {
        let line = of(answer, "login");
        assert_eq!((&line["outcome"], &line["org"]), (&outcome.into(), &"twilio".into()));
        assert_eq!(
            (&line["user"], &line["client"]),
            (&"twilio/twilio".into(), &"203.0.113.9".into())
        );
    }
}
