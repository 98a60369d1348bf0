//! The real binary: sockets, signals, start-up, the command line.

#[path = "../support/mod.rs"]
mod support;

use support::server::Server;

#[tokio::test]
async fn a_newcomer_signs_in_and_reads_pay() {
    let server = Server::start(&[]).await;
    let answer = server.read_pay(&server.log_in());
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        r#"[{"username":"jdoe","salary":"$2000.00"},{"username":"mturner","salary":"$2500.00"}]"#
    );
}
