//! The delivered front-proxy configuration, in a real nginx: what Rocket cannot do, it does.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::server::{Server, request_on};

const NGINX: &str = "/usr/sbin/nginx";
const DELIVERED: &str = include_str!("../../deploy/nginx.conf");

/// An nginx before a server. Dropped, it is killed.
struct Proxy {
    child: Child,
    address: SocketAddr,
}

impl Proxy {
    /// Starts nginx with the delivered file, but for addresses and TLS; `None` without an nginx.
    fn start(server: &Server) -> Option<Self> {
        if !Path::new(NGINX).exists() {
            assert!(std::env::var_os("STIPEND_TEST_REQUIRE").is_none(), "there is no nginx");
            let mut stderr = std::io::stderr();
            writeln!(stderr, "left out: there is no nginx").unwrap();
            return None;
        }
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = server.database.folder.path();
        let mut text = DELIVERED.to_owned();
        for (delivered, here) in [
            ("server 127.0.0.1:8000;", format!("server {};", server.address)),
            ("listen 443 ssl;", format!("listen {address};")),
            ("ssl_certificate /etc/stipend/tls.crt;", String::new()),
            ("ssl_certificate_key /etc/stipend/tls.key;", String::new()),
            (
                "pid /run/stipend-nginx.pid;",
                format!("pid {}/nginx.pid; daemon off;", folder.display()),
            ),
        ] {
            assert_eq!(text.matches(delivered).count(), 1, "{delivered}");
            text = text.replace(delivered, &here);
        }
        let file = folder.join("nginx.conf");
        std::fs::write(&file, text).unwrap();
        let mut child = Command::new(NGINX)
            .args(["-e", "stderr", "-p"])
            .arg(folder)
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while TcpStream::connect(address).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "nginx did not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(Self { child, address })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The master ends its workers at SIGTERM; killed, it would leave them.
        let pid = self.child.id().to_string();
        let _gone = Command::new("kill").args(["-s", "TERM", &pid]).status();
        let _gone = self.child.wait();
    }
}

#[tokio::test]
async fn r45_the_address_on_record_is_the_one_that_the_proxy_saw() {
    let trusted = [("ROCKET_TRUSTED_PROXIES", r#"["127.0.0.1/32"]"#)];
    let server = Server::start(&trusted).await;
    let token = format!("Authorization: Bearer {}", server.log_in());
    let last = "SELECT client FROM audit ORDER BY record_id DESC LIMIT 1";

    // From a trusted peer the nearest address that is no proxy counts, from the right.
    for (forwarded, client) in [
        ("203.0.113.9", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, 127.0.0.1", "203.0.113.9"),
        ("nonsense", "127.0.0.1"),
        ("203.0.113.9, nonsense", "127.0.0.1"),
        ("2001:db8::7", "2001:db8::7"),
    ] {
        let field = format!("X-Forwarded-For: {forwarded}");
        assert_eq!(server.request("GET", "/bearer", &[&token, &field], "").status, 200);
        assert_eq!(server.database.texts(last).await, [client], "{forwarded}");
    }
    for field in ["X-Real-IP: 203.0.113.9", "Forwarded: for=203.0.113.9"] {
        server.request("GET", "/bearer", &[&token, field], "");
        assert_eq!(server.database.texts(last).await, ["127.0.0.1"], "{field}");
    }
    let Some(proxy) = Proxy::start(&server) else { return };
    let forged = [token.as_str(), "X-Forwarded-For: 203.0.113.9"];
    let answer = request_on(proxy.address, "GET", "/bearer", &forged, "").unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.field("Strict-Transport-Security"), Some("max-age=31536000"));
    assert_eq!(server.database.texts(last).await, ["127.0.0.1"], "the client's own claim");
}

#[tokio::test]
async fn r45_nobody_is_believed_by_default() {
    let server = Server::start(&[]).await;
    let token = format!("Authorization: Bearer {}", server.log_in());
    server.request("GET", "/bearer", &[&token, "X-Forwarded-For: 203.0.113.9"], "");
    let last = "SELECT client FROM audit ORDER BY record_id DESC LIMIT 1";
    assert_eq!(server.database.texts(last).await, ["127.0.0.1"]);
}

#[tokio::test]
async fn r60_half_open_connections_are_ended_and_hold_up_nobody() {
    let server = Server::start(&[]).await;
    let Some(proxy) = Proxy::start(&server) else { return };
    let mut half_open: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut stream = TcpStream::connect(proxy.address).unwrap();
            stream.write_all(b"GET /live HTTP/1.1\r\nHost: x\r\nX-Slow:").unwrap();
            stream
        })
        .collect();
    let answer = request_on(proxy.address, "GET", "/live", &[], "").unwrap();
    assert_eq!(answer.status, 200, "others are answered meanwhile");
    for stream in &mut half_open {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut rest = Vec::new();
        // Closed or reset by the proxy; a time-out here would be another kind of error.
        if let Err(error) = stream.read_to_end(&mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
    }
}

#[tokio::test]
async fn r62_the_proxy_refuses_a_request_with_two_lengths() {
    let server = Server::start(&[]).await;
    let Some(proxy) = Proxy::start(&server) else { return };
    let body = "username=twilio&password=ahoy";
    let fields = ["Transfer-Encoding: chunked", "Content-Type: application/x-www-form-urlencoded"];
    let answer = request_on(proxy.address, "POST", "/jwt", &fields, body).unwrap();
    assert_eq!(answer.status, 400);
}
