//! Stopping.

use std::io::{Read, Write};

use crate::support::server::Server;

#[tokio::test]
async fn r64_sigterm_lets_a_request_finish_and_exits_0() {
    let mut server = Server::start(&[]).await;
    let body = "username=twilio&password=ahoy";
    let head = format!(
        "POST /jwt HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = server.connect();
    stream.write_all(head.as_bytes()).unwrap();
    // When the server asks for the body, the request is under way.
    let mut first = [0; 25];
    stream.read_exact(&mut first).unwrap();
    server.signal("TERM");
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(server.wait(), Some(0), "{}", server.log());
}

#[tokio::test]
async fn r64_idle_connections_do_not_hold_it_up() {
    let mut server = Server::start(&[]).await;
    let idle: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            stream
        })
        .collect();
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    drop(idle);
}
