//! What only a socket shows: framing, pipelining, methods that Rocket does not know.

use std::io::{Read, Write};

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
    for start in ["FROB /bearer", "get /bearer", "CONNECT example.com:80"] {
        let answer =
            server.send(format!("{start} HTTP/1.1\r\nHost: x\r\nX: echo\r\n\r\n").as_bytes());
        let answer = answer.unwrap();
        assert_eq!(answer.status, 501, "{start}");
        assert_eq!(answer.field("X-Content-Type-Options"), Some("nosniff"), "{start}");
        assert!(!format!("{answer:?}").contains("echo"), "{start}");
    }
    let answer = server.request("TRACE", "/bearer", &["X: echo"], "");
    assert_eq!(answer.status, 405);
    assert!(!format!("{answer:?}").contains("echo"));
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
    assert_eq!(status("GET http://a/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), 200);
}

#[tokio::test]
async fn r62_a_request_of_uncertain_length_gets_one_answer_and_the_end() {
    let server = Server::start(&[]).await;
    let smuggled = "GET /live HTTP/1.1\r\nHost: x\r\n\r\n";
    for framing in [
        "Content-Length: 2\r\nContent-Length: 5\r\n\r\n{}abc",
        "Content-Length: +2\r\n\r\n{}",
        "Content-Length: x\r\n\r\n{}",
        "Transfer-Encoding: gzip\r\n\r\n{}",
        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let start = "POST /jwt HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
        let answer = server.send(format!("{start}{framing}{smuggled}").as_bytes()).unwrap();
        assert!([400, 501].contains(&answer.status), "{framing:?}: {answer:?}");
        assert!(!answer.body.contains("HTTP/1.1"), "two answers to {framing:?}: {answer:?}");
    }
}

#[tokio::test]
async fn r61_what_is_too_long_is_refused_as_such() {
    let server = Server::start(&[]).await;
    let json = "Content-Type: application/json";
    assert_eq!(server.request("POST", "/jwt", &[json], &"x".repeat(17 * 1024)).status, 413);
    let pad = format!("X-Pad: {}", "p".repeat(70 * 1024));
    assert_eq!(server.request("GET", "/live", &[&pad], "").status, 431);
    assert_eq!(server.request("GET", &format!("/{}", "a".repeat(9000)), &[], "").status, 414);
    let chunks = format!("400\r\n{}\r\n", "x".repeat(1024)).repeat(17);
    let text = format!(
        "POST /jwt HTTP/1.1\r\nHost: x\r\n{json}\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
    );
    assert_eq!(server.send(text.as_bytes()).unwrap().status, 413, "also without a length");
}

#[tokio::test]
async fn r63_pipelined_requests_are_answered_in_order_and_share_nothing() {
    let server = Server::start(&[]).await;
    let token = server.log_in();
    let host = server.address;
    let live = format!("GET /live HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let good =
        format!("GET /bearer HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n");
    let bare = format!("GET /bearer HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let mut stream = server.connect();
    stream.write_all(format!("{live}{good}{bare}").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let statuses: Vec<&str> =
        text.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)).collect();
    assert_eq!(statuses, ["200", "200", "401"], "{text}");
    assert!(text.find("live").unwrap() < text.find("$2000.00").unwrap());
}

#[tokio::test]
async fn r29_a_client_may_wait_for_100_continue() {
    let server = Server::start(&[]).await;
    let body = "username=twilio&password=ahoy";
    let head = format!(
        "POST /jwt HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = server.connect();
    stream.write_all(head.as_bytes()).unwrap();
    let mut first = [0; 25];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("HTTP/1.1 200"), "{rest}");
}
