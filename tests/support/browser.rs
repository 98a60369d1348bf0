//! A real Chromium, driven through chromedriver.
//!
//! WebDriver (W3C) is JSON over HTTP/1.1 on a loopback port, of which the tests need ten requests.
//! So they speak it here; a client library would bring two dozen crates for it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How often a condition is asked for, and for how long at least.
const POLL: Duration = Duration::from_millis(20);
const POLLS: u32 = 1000;
/// How long chromedriver may take for one request; it gives a script 30 seconds.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The member that names an element (WebDriver section 12).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window and a profile of its own. Dropped, also by a failing test, it ends
/// with all its processes.
pub struct Browser {
    driver: Driver,
    session: String,
    pid: u64,
    /// Deleted after the browser has ended.
    _profile: TempDir,
}

/// A key that has no character.
#[derive(Clone, Copy)]
pub enum Key {
    Tab,
    Enter,
}

impl Key {
    fn code(self) -> char {
        match self {
            Self::Tab => '\u{e004}',
            Self::Enter => '\u{e007}',
        }
    }
}

impl Browser {
    /// A fresh browser; `None` where there is no chromedriver and it may be left out.
    pub fn start() -> Option<Self> {
        let profile = tempfile::Builder::new().prefix("stipend-browser-").tempdir().unwrap();
        let driver = Driver::start(profile.path())?;
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1100,800",
            &format!("--user-data-dir={}", profile.path().join("profile").display()),
        ];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let opened = driver.ask("POST", "/session", &capabilities).expect("a Chromium starts");
        let session = opened["sessionId"].as_str().unwrap().to_owned();
        let pid = opened["capabilities"]["goog:processID"].as_u64().unwrap();
        Some(Self { driver, session, pid, _profile: profile })
    }

    /// Loads a page, and waits until it is loaded.
    #[track_caller]
    pub fn go_to(&self, url: &str) {
        self.ask("POST", "/url", &json!({ "url": url }));
    }

    /// Loads the page again.
    #[track_caller]
    pub fn reload(&self) {
        self.ask("POST", "/refresh", &json!({}));
    }

    /// Goes back, as by the browser's button.
    #[track_caller]
    pub fn go_back(&self) {
        self.ask("POST", "/back", &json!({}));
    }

    /// Makes the window so many pixels wide and high.
    #[track_caller]
    pub fn resize(&self, width: u32, height: u32) {
        self.ask("POST", "/window/rect", &json!({ "width": width, "height": height }));
        assert_eq!(self.run("return innerWidth"), json!(width), "the window took another width");
    }

    /// Runs a script in the page; what it returns.
    #[track_caller]
    pub fn run(&self, script: &str) -> Value {
        match self.try_to_run(script) {
            Ok(value) => value,
            Err(error) => panic!("{script}: {error}"),
        }
    }

    /// Runs a script in the page; what it returns, or what it throws.
    pub fn try_to_run(&self, script: &str) -> Result<Value, String> {
        self.try_to_ask("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Runs a script in every page from now on, before the page's own.
    pub fn run_first_in_every_page(&self, script: &str) {
        self.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": script }));
    }

    /// Waits until an expression is true in the page.
    #[track_caller]
    pub fn wait_until(&self, condition: &str) {
        for _ in 0..POLLS {
            if self.run(&format!("return Boolean({condition})")) == json!(true) {
                return;
            }
            std::thread::sleep(POLL);
        }
        let text = self.run("return document.body.innerText");
        panic!("never true: {condition}\nconsole: {:#?}\nthe page: {text}", self.console());
    }

    /// Clicks on an element, which must be in sight and not covered.
    #[track_caller]
    pub fn click(&self, css: &str) {
        self.ask("POST", &format!("/element/{}/click", self.find(css)), &json!({}));
    }

    /// Empties a field and types into it.
    #[track_caller]
    pub fn fill(&self, css: &str, text: &str) {
        let element = self.find(css);
        self.ask("POST", &format!("/element/{element}/clear"), &json!({}));
        self.ask("POST", &format!("/element/{element}/value"), &json!({ "text": text }));
    }

    /// Presses a key, wherever the focus is.
    pub fn press(&self, key: Key) {
        self.type_text(&key.code().to_string());
    }

    /// Types, wherever the focus is.
    pub fn type_text(&self, text: &str) {
        let strokes: Vec<Value> = text
            .chars()
            .flat_map(|key| {
                ["keyDown", "keyUp"].map(|stroke| json!({ "type": stroke, "value": key }))
            })
            .collect();
        let actions = json!([{ "type": "key", "id": "keyboard", "actions": strokes }]);
        self.ask("POST", "/actions", &json!({ "actions": actions }));
    }

    /// Every cookie that the page's address has, those that scripts cannot see included.
    pub fn cookies(&self) -> Value {
        self.ask("GET", "/cookie", &Value::Null)
    }

    /// What the console has said since it was asked last: errors of scripts and of the network,
    /// refusals by the content security policy.
    pub fn console(&self) -> Vec<String> {
        let entries = self.ask("POST", "/se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().unwrap().iter();
        entries.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    /// A command of the DevTools protocol.
    pub fn devtools(&self, command: &str, parameters: &Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.ask("POST", "/goog/cdp/execute", &body)
    }

    /// Saves a picture as `NAME.png` in the folder `STIPEND_SCREENSHOTS`, where that is set.
    pub fn screenshot(&self, name: &str) {
        let Some(folder) = std::env::var_os("STIPEND_SCREENSHOTS") else { return };
        let picture = self.ask("GET", "/screenshot", &Value::Null);
        let png = BASE64_STANDARD.decode(picture.as_str().unwrap()).unwrap();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), png).unwrap();
    }

    #[track_caller]
    fn find(&self, css: &str) -> String {
        let wanted = json!({ "using": "css selector", "value": css });
        self.ask("POST", "/element", &wanted)[ELEMENT].as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        match self.try_to_ask(method, path, body) {
            Ok(value) => value,
            Err(error) => panic!("{method} {path} {body}: {error}"),
        }
    }

    fn try_to_ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        self.driver.ask(method, &format!("/session/{}{path}", self.session), body)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // This closes the browser and waits for it; one that does not obey is killed, and so are
        // its children with it.
        if self.try_to_ask("DELETE", "", &Value::Null).is_err() {
            let _gone = Command::new("kill").args(["-KILL", &self.pid.to_string()]).status();
        }
    }
}

/// A chromedriver. Dropped, it is killed.
struct Driver {
    process: Child,
    port: u16,
    /// Kept open, since chromedriver goes on writing.
    _stdout: BufReader<ChildStdout>,
}

impl Driver {
    /// On a free port, with its files and those of its browser in a folder.
    fn start(folder: &Path) -> Option<Self> {
        let started = Command::new("chromedriver")
            .arg("--port=0")
            .env("HOME", folder)
            .env("TMPDIR", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut process = match started {
            Ok(process) => process,
            Err(error) => {
                leave_out("chromedriver", &error);
                return None;
            }
        };
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        let port = loop {
            line.clear();
            assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "chromedriver says no port");
            let Some((_, port)) = line.split_once("started successfully on port ") else {
                continue;
            };
            break port.trim().trim_end_matches('.').parse().unwrap();
        };
        Some(Self { process, port, _stdout: stdout })
    }

    /// One request; the value of its answer, or the error's message.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let (status, answer) =
            self.exchange(method, path, body).map_err(|error| error.to_string())?;
        match (status, &answer["value"]) {
            (200, value) => Ok(value.clone()),
            (_, error) => Err(error["message"].as_str().unwrap_or_default().to_owned()),
        }
    }

    fn exchange(&self, method: &str, path: &str, body: &Value) -> std::io::Result<(u16, Value)> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = BufReader::new(stream);
        let mut line = String::new();
        answer.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let mut length = 0;
        while !line.trim_end().is_empty() {
            line.clear();
            answer.read_line(&mut line)?;
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("Content-Length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        answer.read_exact(&mut body)?;
        Ok((status, serde_json::from_slice(&body)?))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

/// Says which program a test is left out for want of; fails it where nothing may be left out, as
/// in `scripts/test`.
fn leave_out(program: &str, error: &std::io::Error) {
    let required = std::env::var_os("STIPEND_TEST_REQUIRE").is_some_and(|what| what == "all");
    assert!(!required, "{program} is needed ({error}), and STIPEND_TEST_REQUIRE=all");
    // Past the test runner, which hides what `eprintln!` says in a test that passes.
    let _nobody_reads = writeln!(std::io::stderr(), "left out: no {program} ({error})");
}
