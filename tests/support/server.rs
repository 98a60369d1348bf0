//! The real binary, as a process of its own.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::database::TestDatabase;

/// A running server. Dropped, it is killed.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its database, and its working folder.
    pub database: TestDatabase,
    log: PathBuf,
    output: BufReader<ChildStdout>,
}

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
    /// Whether the server closed the connection after it.
    pub closed: bool,
}

impl Answer {
    /// The value of a header field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .find_map(|(field, value)| field.eq_ignore_ascii_case(name).then_some(value))
    }

    /// Every header field, by lower-case name, in alphabetical order.
    pub fn fields(&self) -> Vec<(String, &str)> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let mut fields: Vec<_> =
            fields.map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        fields.sort();
        fields
    }
}

/// The binary.
pub const BINARY: &str = env!("CARGO_BIN_EXE_stipend");

/// The binary with a clean environment, in a folder, on a free loopback port.
pub fn command(folder: &Path, settings: &[(&str, &str)]) -> Command {
    command_of(Path::new(BINARY), folder, settings)
}

/// The same of a copy of the binary.
pub fn command_of(binary: &Path, folder: &Path, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(binary);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("ROCKET_PORT", "0")
        .envs(settings.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

impl Server {
    /// Starts a server on a database of its own.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_on(TestDatabase::new().await, settings)
    }

    /// Starts a server on a database.
    pub fn start_on(database: TestDatabase, settings: &[(&str, &str)]) -> Self {
        let log = database.folder.path().join("log.jsonl");
        let lines = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut child = command(database.folder.path(), settings)
            .env("ROCKET_DATABASE_URL", &database.url)
            .stdout(Stdio::piped())
            .stderr(lines)
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut said).unwrap();
        let Some(address) = said.trim().strip_prefix("Stipend is at http://") else {
            let why = std::fs::read_to_string(&log).unwrap();
            panic!("the server did not start: {said:?} {why}");
        };
        let address = address.trim_end_matches('/').parse().unwrap();
        Self { child, address, database, log, output }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Everything that it has said on standard output since it said where it is. Waits until it has
    /// exited.
    pub fn output(&mut self) -> String {
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        text
    }

    /// A connection to it, with a time-out on everything.
    pub fn connect(&self) -> TcpStream {
        connect(self.address).expect("the server listens")
    }

    /// Sends bytes on a new connection and reads until the server closes it. Nothing, if no whole
    /// answer came.
    pub fn send(&self, bytes: &[u8]) -> Option<Answer> {
        send_to(self.address, bytes)
    }

    /// One well-formed request; `headers` are whole lines.
    pub fn request(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        request_on(self.address, method, path, headers, body).expect("an answer")
    }

    /// A token of the demo user.
    pub fn log_in(&self) -> String {
        let body = r#"{"username":"twilio","password":"ahoy"}"#;
        let answer = self.request("POST", "/jwt", &["Content-Type: application/json"], body);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.field("access_token").unwrap().to_owned()
    }

    /// The answer to a read of pay.
    pub fn read_pay(&self, token: &str) -> Answer {
        self.request("GET", "/bearer", &[&format!("Authorization: Bearer {token}")], "")
    }

    /// Sends a signal by its name, such as `TERM`, at once.
    pub fn signal(&self, name: &str) {
        let signal = match name {
            "TERM" => Signal::TERM,
            "INT" => Signal::INT,
            "KILL" => Signal::KILL,
            other => panic!("{other}"),
        };
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has exited; its exit code, if it was not killed.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Kills it as a loss of power would, and starts another on the same database.
    pub fn kill_and_restart(mut self, settings: &[(&str, &str)]) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let placeholder =
            TestDatabase { url: self.database.url.clone(), folder: tempfile::tempdir().unwrap() };
        let database = std::mem::replace(&mut self.database, placeholder);
        Self::start_on(database, settings)
    }
}

fn connect(address: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
    Some(stream)
}

fn send_to(address: SocketAddr, bytes: &[u8]) -> Option<Answer> {
    let mut stream = connect(address)?;
    // The server may answer and close before it has read everything.
    let _may_be_cut_off = stream.write_all(bytes);
    let mut received = Vec::new();
    let end = stream.read_to_end(&mut received);
    let closed = end.map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |_| true);
    let text = String::from_utf8_lossy(&received);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let answer = Answer { status, head: head.to_owned(), body: body.to_owned(), closed };
    if answer.field("Transfer-Encoding") == Some("chunked") {
        return Some(Answer { body: joined(&answer.body)?, ..answer });
    }
    Some(answer)
}

/// What stands in the chunks of a body (RFC 9112 section 7.1); none if the last one is missing.
fn joined(mut chunks: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, rest) = chunks.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(rest.get(..size)?);
        chunks = rest.get(size..)?.strip_prefix("\r\n")?;
    }
}

/// One well-formed request to whatever listens there; `headers` are whole lines.
pub fn request_on(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &str,
) -> Option<Answer> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    let length = body.len();
    text.push_str(&format!("Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"));
    send_to(address, text.as_bytes())
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have exited already.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
