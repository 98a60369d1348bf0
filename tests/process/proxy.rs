//! The delivered front-proxy configuration, in a real nginx: what Rocket cannot do, it does.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::lacking;
use crate::support::server::{Server, request_on};

const NGINX: &str = "/usr/sbin/nginx";
const DELIVERED: &str = include_str!("../../deploy/nginx.conf");

/// An nginx before a server. Dropped, it is killed.
struct Proxy {
    child: Child,
    /// Where it takes plain HTTP, which the delivered file does not.
    address: SocketAddr,
    /// Where it takes TLS, as delivered.
    tls: SocketAddr,
    certificate: PathBuf,
}

impl Proxy {
    /// Starts nginx with the delivered file, but for addresses, its own folders, a throw-away
    /// certificate and a plain listener beside that for TLS; `None` without an nginx.
    fn start(server: &Server) -> Option<Self> {
        if !Path::new(NGINX).exists() {
            lacking("a front proxy: there is no nginx");
            return None;
        }
        let folder = server.database.folder.path();
        let (address, tls) = (free_address(), free_address());
        let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-days", "1", "-subj", "/CN=stipend.test", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let own_folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!(" {name}_temp_path {}/{name};", folder.display()))
            .collect();
        let mut text = DELIVERED.to_owned();
        for (delivered, here) in [
            ("server 127.0.0.1:8000;", format!("server {};", server.address)),
            ("listen 443 ssl;", format!("listen {tls} ssl; listen {address};")),
            ("/etc/stipend/tls.crt", certificate.display().to_string()),
            ("/etc/stipend/tls.key", key.display().to_string()),
            ("server_tokens off;", format!("server_tokens off;{own_folders}")),
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
        Some(Self { child, address, tls, certificate })
    }

    /// The answer to a request over TLS from another loopback address than the proxy's own.
    fn ask_over_tls(&self, request: &str) -> String {
        let mut client = Command::new("openssl")
            .args(["s_client", "-quiet", "-verify_return_error", "-bind", "127.0.0.5:0"])
            .args(["-connect", &self.tls.to_string(), "-CAfile"])
            .arg(&self.certificate)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Kept open: at its end openssl would leave before the answer is there.
        let mut input = client.stdin.take().unwrap();
        input.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        client.stdout.take().unwrap().read_to_string(&mut answer).unwrap();
        drop(input);
        client.wait().unwrap();
        answer
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
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
}

#[tokio::test]
async fn r45_through_the_proxy_the_clients_own_claim_does_not_count() {
    let trusted = [("ROCKET_TRUSTED_PROXIES", r#"["127.0.0.1/32"]"#)];
    let server = Server::start(&trusted).await;
    let token = format!("Authorization: Bearer {}", server.log_in());
    let last = "SELECT client FROM audit ORDER BY record_id DESC LIMIT 1";
    let Some(proxy) = Proxy::start(&server) else { return };
    let answer = proxy.ask_over_tls(&format!(
        "GET /bearer HTTP/1.1\r\nHost: stipend.test\r\n{token}\r\nX-Forwarded-For: 203.0.113.9\r\n\
         X-Real-IP: 203.0.113.9\r\nForwarded: for=203.0.113.9\r\nConnection: close\r\n\r\n"
    ));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("Strict-Transport-Security: max-age=31536000\r\n"), "{answer}");
    assert_eq!(server.database.texts(last).await, ["127.0.0.5"], "the address that it came from");
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
    assert!(half_open.iter_mut().all(is_ended));
}

/// Reads until the proxy closes the connection; false when a minute passes first.
fn is_ended(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let end = stream.read_to_end(&mut Vec::new());
    end.map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |_| true)
}

#[tokio::test]
async fn r60_a_body_that_drips_is_ended() {
    let server = Server::start(&[]).await;
    let Some(proxy) = Proxy::start(&server) else { return };
    let mut stream = TcpStream::connect(proxy.address).unwrap();
    let head = "POST /jwt HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    // One byte a second: never long enough a pause for a time-out between two of them.
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut first = [0; 12];
    let ended =
        (0..45).find_map(|_| match stream.write_all(b"x").and_then(|()| stream.read(&mut first)) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            other => Some(other),
        });
    let ended = ended.expect("the login was ended");
    if ended.is_ok_and(|length| length > 0) {
        assert_eq!(&first, b"HTTP/1.1 408");
    }
}

#[tokio::test]
async fn r60_a_body_that_stops_and_a_connection_without_requests_are_ended() {
    let server = Server::start(&[]).await;
    let Some(proxy) = Proxy::start(&server) else { return };
    let body = "POST /jwt HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 39\r\n\r\n{";
    for part in [body, "GET /live HTTP/1.1\r\nHost: x\r\n\r\n", ""] {
        let mut stream = TcpStream::connect(proxy.address).unwrap();
        stream.write_all(part.as_bytes()).unwrap();
        assert!(is_ended(&mut stream), "{part:?}");
    }
}

#[tokio::test]
async fn r61_the_proxy_keeps_to_the_same_limits() {
    let server = Server::start(&[]).await;
    let Some(proxy) = Proxy::start(&server) else { return };
    let ask = |method: &str, path: &str, headers: &[&str], body: &str| {
        request_on(proxy.address, method, path, headers, body).unwrap().status
    };
    let json = "Content-Type: application/json";
    assert_eq!(ask("POST", "/jwt", &[json], &"x".repeat(17 * 1024)), 413);
    assert_eq!(ask("POST", "/pay", &["Content-Type: text/csv"], &"x".repeat(17 * 1024)), 401);
    assert_eq!(ask("GET", &format!("/{}", "a".repeat(9000)), &[], ""), 414);
    let pads: Vec<String> = (0..14).map(|n| format!("X-{n}: {}", "p".repeat(5000))).collect();
    let pads: Vec<&str> = pads.iter().map(String::as_str).collect();
    assert_eq!(ask("GET", "/live", &pads, ""), 431);
    assert_eq!(ask("GET", "/live", &pads[..6], ""), 200, "what is allowed passes");
    assert_eq!(ask("TRACE", "/live", &[], ""), 405);
}

#[tokio::test]
async fn r29_the_proxys_own_refusals_say_when_to_try_again() {
    let mut server = Server::start(&[]).await;
    let Some(proxy) = Proxy::start(&server) else { return };
    // A body of no type is refused without work, so that only the proxy's limit can be met.
    let log_in = || request_on(proxy.address, "POST", "/jwt", &["Content-Type: x/y"], "x").unwrap();
    let busy = (0..10_000).map(|_| log_in()).find(|answer| answer.status != 415).unwrap();
    assert_eq!((busy.status, busy.field("Retry-After")), (429, Some("1")), "{busy:?}");
    assert_eq!(busy.field("Strict-Transport-Security"), Some("max-age=31536000"));
    server.signal("KILL");
    server.wait();
    let away = request_on(proxy.address, "GET", "/live", &[], "").unwrap();
    assert_eq!((away.status, away.field("Retry-After")), (503, Some("1")), "{away:?}");
}

#[tokio::test]
async fn a_long_answer_comes_whole_through_the_proxy() {
    let server = Server::start(&[]).await;
    let Some(proxy) = Proxy::start(&server) else { return };
    for insert in [
        "INSERT INTO employees (org, username, full_name, created_at) SELECT 'twilio', 'u' || i, 'u', 0",
        "INSERT INTO rates (org, username, effective_from, revision, amount_minor, currency, note, \
         recorded_by, recorded_at) SELECT 'twilio', 'u' || i, '2021-08-01', 1, 100, 'USD', '', 'x', 0",
    ] {
        let rows =
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)";
        let (into, select) = insert.split_once(" SELECT").unwrap();
        server.database.execute(&format!("{into} {rows} SELECT{select} FROM n")).await;
    }
    let token = format!("Authorization: Bearer {}", server.log_in());
    let direct = server.request("GET", "/bearer", &[&token], "");
    let passed = request_on(proxy.address, "GET", "/bearer", &[&token], "").unwrap();
    assert!(direct.body.len() > 500_000, "{}", direct.body.len());
    assert!(passed.body == direct.body, "{} of {}", passed.body.len(), direct.body.len());
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
