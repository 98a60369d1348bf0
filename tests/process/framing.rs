//! Where a request ends and the next one begins (RFC 9112 sections 6 and 7).

use std::io::{Read, Write};

use crate::support::server::{Answer, Server};

const BODY: &str = r#"{"username":"twilio","password":"ahoy"}"#;
/// A whole request that must never be taken for one where it is part of another.
const SMUGGLED: &str = "GET /live HTTP/1.1\r\nHost: x\r\n\r\n";

/// Sends a login with such framing, and a further request after it. The server must answer the
/// login alone, and close.
fn answer_to(server: &Server, version: &str, framing: &str) -> Answer {
    let start = format!("POST /jwt {version}\r\nHost: x\r\nContent-Type: application/json\r\n");
    let answer = server.send(format!("{start}{framing}{SMUGGLED}").as_bytes()).unwrap();
    assert!(!answer.body.contains("HTTP/1."), "two answers to {framing:?}: {answer:?}");
    assert!(answer.closed, "{framing:?} leaves the connection open: {answer:?}");
    answer
}

fn chunked() -> String {
    format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len())
}

#[tokio::test]
async fn r62_a_request_of_uncertain_length_gets_one_answer_and_the_end() {
    let server = Server::start(&[]).await;
    let (length, chunked) = (BODY.len(), chunked());
    for framing in [
        format!("Content-Length: {length}\r\nContent-Length: 5\r\n\r\n{BODY}"),
        format!("Content-Length: 5\r\nContent-Length: {length}\r\n\r\n{BODY}"),
        format!("Content-Length: {length}, {length}\r\n\r\n{BODY}"),
        format!("Content-Length: +{length}\r\n\r\n{BODY}"),
        format!("Content-Length: -{length}\r\n\r\n{BODY}"),
        format!("Content-Length: 0x{length:x}\r\n\r\n{BODY}"),
        format!("Content-Length: \r\n\r\n{BODY}"),
        format!("Content-Length: {length} {length}\r\n\r\n{BODY}"),
        format!("Content-Length: 99999999999999999999999\r\n\r\n{BODY}"),
        format!("Content-Length : {length}\r\n\r\n{BODY}"),
        format!("Transfer-Encoding: gzip\r\n\r\n{chunked}"),
        format!("Transfer-Encoding: identity\r\n\r\n{chunked}"),
        format!("Transfer-Encoding: xchunked\r\n\r\n{chunked}"),
        format!("Transfer-Encoding: \u{b}chunked\r\n\r\n{chunked}"),
        format!("Transfer-Encoding: chunked, gzip\r\n\r\n{chunked}"),
        format!("Transfer-Encoding: gzip, chunked\r\n\r\n{chunked}"),
        format!("Transfer-Encoding: chunked, chunked\r\n\r\n{chunked}"),
        format!("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}"),
        format!("Transfer-Encoding:\r\n chunked\r\n\r\n{chunked}"),
        format!("X-Folded: a\r\n b\r\nContent-Length: {length}\r\n\r\n{BODY}"),
    ] {
        let status = answer_to(&server, "HTTP/1.1", &framing).status;
        assert!([400, 501].contains(&status), "{framing:?}: {status}");
    }
    let framing = format!("Transfer-Encoding: chunked\r\n\r\n{chunked}");
    assert_eq!(answer_to(&server, "HTTP/1.0", &framing).status, 400, "HTTP/1.0 has no chunks");
}

#[tokio::test]
async fn r62_a_chunk_whose_size_is_no_number_ends_the_request() {
    let server = Server::start(&[]).await;
    let size = format!("{:x}", BODY.len());
    for chunks in [
        format!("zz\r\n{BODY}\r\n0\r\n\r\n"),
        format!("-{size}\r\n{BODY}\r\n0\r\n\r\n"),
        format!("0x{size}\r\n{BODY}\r\n0\r\n\r\n"),
        format!("ffffffffffffffffff\r\n{BODY}\r\n0\r\n\r\n"),
        format!("\r\n{BODY}\r\n0\r\n\r\n"),
        format!("{size}\n{BODY}\n0\n\n"),
        format!("{size}\r\n{BODY}XX0\r\n\r\n"),
    ] {
        let framing = format!("Transfer-Encoding: chunked\r\n\r\n{chunks}");
        let status = answer_to(&server, "HTTP/1.1", &framing).status;
        assert_eq!(status, 400, "{chunks:?}");
    }
}

/// Rocket's HTTP library takes the chunks, closes, and drops the length before anybody can refuse
/// it; the front proxy refuses (`docs/decisions/0005-slow-clients-and-connection-caps.md`).
#[tokio::test]
async fn r62_with_both_a_length_and_chunks_the_chunks_count_and_the_connection_ends() {
    let server = Server::start(&[]).await;
    for framing in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 99999\r\n\r\n",
    ] {
        let answer = answer_to(&server, "HTTP/1.1", &format!("{framing}{}", chunked()));
        assert!([200, 400].contains(&answer.status), "{framing:?}: {answer:?}");
    }
}

#[tokio::test]
async fn r62_what_is_no_request_is_refused_and_hurts_nobody() {
    let server = Server::start(&[]).await;
    let noise: Vec<u8> = (0..=255).cycle().take(5000).collect();
    let tls = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(), &[0; 500]].concat();
    for bytes in [
        b"GET /live\r\n\r\n".as_slice(),
        b"GET /live HTTP/2.0\r\nHost: x\r\n\r\n",
        b"GET /live HTTP/9\r\nHost: x\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /live HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
        b"GET /live HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        &noise,
        &tls,
    ] {
        let shown = String::from_utf8_lossy(bytes);
        let shown = shown.get(..40).unwrap_or(&shown);
        let answer = server.send(bytes).unwrap();
        assert!((400..500).contains(&answer.status), "{shown:?}: {answer:?}");
        assert!(answer.closed && !answer.body.contains("HTTP/1."), "{shown:?}: {answer:?}");
    }
    assert_eq!(server.request("GET", "/live", &[], "").status, 200);
    assert!(!server.log().contains("failed unexpectedly"), "{}", server.log());
}

#[tokio::test]
async fn r63_pipelined_requests_are_answered_in_order_and_share_nothing() {
    let server = Server::start(&[]).await;
    let token = server.log_in();
    let host = server.address;
    let live = format!("GET /live HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let good =
        format!("GET /bearer HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n");
    let bare = format!("GET /bearer HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let last = format!("GET /nope HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let mut stream = server.connect();
    stream.write_all(format!("{live}{good}{bare}{good}{last}").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let statuses: Vec<&str> =
        text.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)).collect();
    assert_eq!(statuses, ["200", "200", "401", "200", "404"], "{text}");
    assert!(text.find("live").unwrap() < text.find("$2000.00").unwrap());
}

/// What a route does not read of a body is not taken for the next request.
#[tokio::test]
async fn r29_a_body_that_nobody_reads_is_drained_or_ends_the_connection() {
    let server = Server::start(&[]).await;
    for (path, status) in [("/bearer", 401), ("/nope", 404), ("/live", 405)] {
        for size in [SMUGGLED.len(), 300_000] {
            let body = SMUGGLED.repeat(size / SMUGGLED.len());
            let length = body.len();
            let last = "GET /nope/last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            let request = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}");
            let answer = server.send(format!("{request}\r\n\r\n{body}{last}").as_bytes()).unwrap();
            assert_eq!(answer.status, status, "{path}");
            assert!(!answer.body.contains("HTTP/1.1 200"), "{path}, {length}: {answer:?}");
            assert!(answer.body.matches("HTTP/1.1 ").count() <= 1, "{path}, {length}: {answer:?}");
            assert!(answer.closed, "{path}, {length}");
        }
    }
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

    let odd = server.request("GET", "/live", &["Expect: 200-ok"], "");
    assert!([200, 417].contains(&odd.status), "{odd:?}");
}
