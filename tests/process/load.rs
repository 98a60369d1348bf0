//! Clients that keep a server busy, and what they were told.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use crate::support::database::TestDatabase;
use crate::support::server::{Answer, request_on};

/// How long a server may take to say that it cannot: as long as a read waits for its record (20 s), and
/// what a busy machine adds.
pub(crate) const LONGEST: Duration = Duration::from_secs(22);
const JSON: &str = "Content-Type: application/json";

/// From when it is measured how long something really takes.
#[expect(clippy::disallowed_methods, reason = "how long it really takes")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    List,
    Sum,
    History,
    Export,
    /// Records a rate, with a note that no other has.
    Change,
    LogIn,
}

/// An answer whose head came; its body may have been cut off.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) work: Work,
    pub(crate) answer: Answer,
    pub(crate) took: Duration,
    note: String,
}

impl Got {
    /// Whether it gave or did something.
    pub(crate) fn is_success(&self) -> bool {
        matches!(self.answer.status, 200 | 201)
    }
}

/// Clients of a user who reads and writes, until they are told to stop.
#[derive(Default)]
pub(crate) struct Load {
    stop: AtomicBool,
    asked: AtomicUsize,
    got: Mutex<Vec<Got>>,
    unanswered: AtomicUsize,
}

impl Load {
    /// Lets the demo user write.
    pub(crate) async fn allow(database: &TestDatabase) {
        let grant = "INSERT INTO grants (org, grant_id, username, permission, reach_kind, reason, \
                                         granted_by, granted_at) \
                     VALUES ('twilio', 'load', 'twilio', 'write', 'org', '', '', 0)";
        database.execute(grant).await;
    }

    /// One client, in a thread of its own, that asks for these in turn.
    pub(crate) fn client<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        address: SocketAddr,
        token: &'scope str,
        works: &'static [Work],
    ) {
        self.stop.store(false, Ordering::SeqCst);
        scope.spawn(move || {
            // Not always the same first, since a server may be killed soon.
            let first = self.asked.load(Ordering::SeqCst) % works.len();
            for work in works.iter().cycle().skip(first) {
                if self.stop.load(Ordering::SeqCst) {
                    return;
                }
                self.ask(address, token, *work);
            }
        });
    }

    /// Two clients that read, one that changes pay, one that signs in.
    pub(crate) fn clients<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        address: SocketAddr,
        token: &'scope str,
    ) {
        use Work::{Change, Export, History, List, LogIn, Sum};
        let each: [&'static [Work]; 4] =
            [&[List, Sum, History, Export], &[List], &[Change, Change, History], &[LogIn]];
        for works in each {
            self.client(scope, address, token, works);
        }
    }

    fn ask(&self, address: SocketAddr, token: &str, work: Work) {
        let bearer = format!("Authorization: Bearer {token}");
        let get = |path, fields: &[&str]| {
            request_on(address, "GET", path, &[&[bearer.as_str()], fields].concat(), "")
        };
        let note = format!("note-{}", self.asked.fetch_add(1, Ordering::SeqCst));
        let began = now();
        let answer = match work {
            Work::List => get("/bearer", &[]),
            Work::Sum => get("/pay", &[]),
            Work::History => get("/pay/mturner", &[]),
            Work::Export => get("/bearer?fields=username,amount", &["Accept: text/csv"]),
            Work::Change => {
                let body = format!(
                    r#"{{"effective_from":"2026-01-01","amount":"2000.00","currency":"USD","note":"{note}"}}"#
                );
                let fields = [bearer.as_str(), JSON, "If-Match: *"];
                request_on(address, "POST", "/pay/jdoe", &fields, &body)
            }
            Work::LogIn => {
                let body = r#"{"username":"twilio","password":"ahoy"}"#;
                request_on(address, "POST", "/jwt", &[JSON], body)
            }
        };
        let took = began.elapsed();
        match answer {
            Some(answer) => self.got().push(Got { work, answer, took, note }),
            None => {
                self.unanswered.fetch_add(1, Ordering::SeqCst);
                // A server that is not there says so at once.
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// No further requests.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// What came so far.
    pub(crate) fn got(&self) -> MutexGuard<'_, Vec<Got>> {
        self.got.lock().unwrap()
    }

    /// How many answers came that gave or did something.
    pub(crate) fn successes(&self) -> usize {
        self.got().iter().filter(|got| got.is_success()).count()
    }

    /// Waits until so many answers more have come that gave or did something.
    pub(crate) fn wait_for(&self, more: usize) {
        let (wanted, began) = (self.successes() + more, now());
        while self.successes() < wanted {
            assert!(began.elapsed() < LONGEST, "{:?}", self.got().last());
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// How many requests were sent to which no answer came.
    pub(crate) fn unanswered(&self) -> usize {
        self.unanswered.load(Ordering::SeqCst)
    }

    /// Whatever was given or done has its record, each change and each session is there with its own;
    /// whoever got nothing was told when to try again, in time.
    pub(crate) async fn prove(&self, database: &TestDatabase) {
        self.prove_within(LONGEST, database).await;
    }

    /// The same, where it may take longer.
    pub(crate) async fn prove_within(&self, longest: Duration, database: &TestDatabase) {
        let recorded = database.texts("SELECT request_id FROM audit").await;
        let recorded: HashSet<&str> = recorded.iter().map(String::as_str).collect();
        let notes = database.texts("SELECT note FROM rates").await;
        let notes: HashSet<&str> = notes.iter().map(String::as_str).collect();
        for got in self.got().iter() {
            assert!(got.took < longest, "{got:?}");
            if got.is_success() {
                let id = got.answer.field("X-Request-Id").unwrap();
                assert!(recorded.contains(id), "an answer went out without its record: {got:?}");
                let is_there = got.work != Work::Change || notes.contains(got.note.as_str());
                assert!(is_there, "a change was acknowledged and lost: {got:?}");
            } else {
                assert_eq!(got.answer.status, 503, "{got:?}");
                assert!(got.answer.field("Retry-After").is_some(), "{got:?}");
                let given = got.answer.field("access_token").is_some()
                    || ["jdoe", "mturner", "2000"]
                        .iter()
                        .any(|part| got.answer.body.contains(part));
                assert!(!given, "{got:?}");
                let is_there = got.work == Work::Change && notes.contains(got.note.as_str());
                let denies = got.answer.body.contains("nothing was given or changed");
                assert!(!(is_there && denies), "it was changed: {got:?}");
            }
        }
        for (written, records) in [
            ("sessions", "action = 'log_in'"),
            ("rates WHERE recorded_by = 'twilio'", "action = 'record_pay'"),
        ] {
            let written = database.number(&format!("SELECT COUNT(*) FROM {written}")).await;
            let sql = format!("SELECT COUNT(*) FROM audit WHERE {records}");
            assert_eq!(written, database.number(&sql).await, "a change and its record are one");
        }
    }
}
