//! What only a socket shows: methods that Rocket does not know, hosts, limits, lengths.

use crate::support::server::Server;

const PAY: &str =
    r#"[{"username":"jdoe","salary":"$2000.00"},{"username":"mturner","salary":"$2500.00"}]"#;

#[tokio::test]
async fn a_newcomer_signs_in_and_reads_pay() {
    let server = Server::start(&[]).await;
    let answer = server.read_pay(&server.log_in());
    assert_eq!((answer.status, answer.body.as_str()), (200, PAY));
    assert_eq!(answer.field("Content-Length"), Some("84"));
    assert_eq!(answer.field("Server"), None);
}

#[tokio::test]
async fn r20_an_unknown_method_is_not_implemented_and_nothing_is_echoed() {
    let server = Server::start(&[]).await;
    for start in ["FROB /bearer", "get /bearer", "PROPFIND /bearer", "CONNECT example.com:80"] {
        let answer =
            server.send(format!("{start} HTTP/1.1\r\nHost: x\r\nX: echo\r\n\r\n").as_bytes());
        let answer = answer.unwrap();
        assert_eq!(answer.status, 501, "{start}");
        assert_eq!(answer.field("X-Content-Type-Options"), Some("nosniff"), "{start}");
        assert!(!format!("{answer:?}").contains("echo"), "{start}");
    }
    for path in ["/bearer", "/jwt", "/live", "/"] {
        let answer = server.request("TRACE", path, &["X: echo"], "");
        assert_eq!(answer.status, 405, "{path}");
        assert!(!format!("{answer:?}").contains("echo"), "{path}");
    }
}

#[tokio::test]
async fn r27_one_host_is_wanted_and_the_absolute_form_taken() {
    let server = Server::start(&[]).await;
    let status = |text: &str| server.send(text.as_bytes()).unwrap().status;
    assert_eq!(status("GET /live HTTP/1.1\r\nConnection: close\r\n\r\n"), 400);
    assert_eq!(
        status("GET /live HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n"),
        400
    );
    assert_eq!(status("GET /live HTTP/1.0\r\n\r\n"), 400);
    for target in ["http://a/live", "http://a", "http://evil.example/live", "http://a:80/live"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = server.send(request.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{target}");
        assert!(!answer.head.contains("evil.example"), "{answer:?}");
    }
    let bearer = "GET http://a/bearer HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(status(bearer), 401, "the absolute form needs a token too");
}

#[tokio::test]
async fn r61_what_is_too_long_is_refused_as_such() {
    let server = Server::start(&[]).await;
    let json = "Content-Type: application/json";
    assert_eq!(server.request("POST", "/jwt", &[json], &"x".repeat(17 * 1024)).status, 413);
    let pad = format!("X-Pad: {}", "p".repeat(70 * 1024));
    assert_eq!(server.request("GET", "/live", &[&pad], "").status, 431);
    let many: Vec<String> = (0..1000).map(|n| format!("X-{n}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(server.request("GET", "/live", &many, "").status, 431);
    for length in [9_000, 100_000] {
        let long = format!("/{}", "a".repeat(length));
        assert_eq!(server.request("GET", &long, &[], "").status, 414, "{length}");
        let long = format!("/live?{}", "a".repeat(length));
        assert_eq!(server.request("GET", &long, &[], "").status, 414, "{length}");
    }
    let chunks = format!("400\r\n{}\r\n", "x".repeat(1024)).repeat(17);
    let text = format!(
        "POST /jwt HTTP/1.1\r\nHost: x\r\n{json}\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
    );
    assert_eq!(server.send(text.as_bytes()).unwrap().status, 413, "also without a length");
}

/// A status, and the header fields but for those that differ from answer to answer.
fn head(answer: &crate::support::server::Answer) -> (u16, Vec<(String, String)>) {
    let lasting = |name: &str| !["date", "x-request-id"].contains(&name);
    let fields = answer.fields().into_iter().filter(|(name, _)| lasting(name));
    (answer.status, fields.map(|(name, value)| (name, value.to_owned())).collect())
}

#[tokio::test]
async fn r7_r25_head_has_the_header_fields_of_get_and_no_body() {
    let server = Server::start(&[]).await;
    let token = format!("Authorization: Bearer {}", server.log_in());
    for (path, headers) in [
        ("/", vec![]),
        ("/", vec!["Accept-Encoding: gzip"]),
        ("/live", vec![]),
        ("/ready", vec![]),
        ("/bearer", vec![]),
        ("/bearer", vec![token.as_str()]),
        ("/bearer", vec!["Accept: application/json"]),
        ("/nope", vec![]),
    ] {
        let get = server.request("GET", path, &headers, "");
        let only_head = server.request("HEAD", path, &headers, "");
        assert_eq!(head(&only_head), head(&get), "{path} {headers:?}");
        assert_eq!(only_head.body, "", "{path}");
        assert!(!get.body.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn r25_content_length_is_the_length_of_the_body() {
    let server = Server::start(&[]).await;
    let token = format!("Authorization: Bearer {}", server.log_in());
    let json = "Content-Type: application/json";
    let problem = "Accept: application/problem+json";
    for (method, path, headers, body) in [
        ("GET", "/", vec![], ""),
        ("GET", "/live", vec![], ""),
        ("GET", "/bearer", vec![token.as_str()], ""),
        ("GET", "/bearer", vec![], ""),
        ("GET", "/bearer", vec![problem], ""),
        ("GET", "/nope", vec![problem], ""),
        ("PUT", "/bearer", vec![], ""),
        ("FROB", "/bearer", vec![], ""),
        ("POST", "/jwt", vec![json], r#"{"username":"twilio","password":"ahoy"}"#),
        ("POST", "/jwt", vec![json, problem], r#"{"username":"twilio","password":"hoya"}"#),
        ("POST", "/jwt", vec![], "x"),
    ] {
        let answer = server.request(method, path, &headers, body);
        let length = answer.field("Content-Length").map(str::parse);
        assert_eq!(length, Some(Ok(answer.body.len())), "{method} {path}: {answer:?}");
        assert_eq!(answer.field("Transfer-Encoding"), None);
        assert_eq!(answer.field("Server"), None);
    }
}
