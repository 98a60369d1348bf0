//! What a process keeps in memory to put reads on record quickly. Sessions and answers are not
//! believed, but proven by the record: see [`super::premise`]. The numbers of sets are, without asking
//! again: while a process runs, no set is ever changed or removed, as its triggers see to. All of it is
//! forgotten when the recorder has lost its connection to PostgreSQL, since another database may answer
//! then: a standby that took over may lack the last commits. Whoever puts an older database in its
//! place does not leave it to that, and restarts every process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::claim::SeenSession;
use super::kept::{AnswerKey, KeptAnswer};
use super::recorder::{Place, Recorder};
use super::sets::Numbers;
use crate::memory::Bounded;

/// How many sessions are remembered.
const SESSIONS: usize = 10_000;
/// How many bytes of answers are.
const ANSWERS: usize = 16 << 20;

/// The memory of a [`super::Db`], and its recorder; shared by its clones.
#[derive(Debug)]
pub struct Recording {
    pub(super) recorder: Recorder,
    pub(super) remembered: Arc<Remembered>,
}

/// What was read from the database a while ago.
#[derive(Debug)]
pub(super) struct Remembered {
    /// How often all of it was forgotten.
    epoch: AtomicU64,
    /// Whether the recorder has lost its connection, and another database may answer on the next one.
    doubted: AtomicBool,
    pub(super) sets: Numbers,
    /// By the id of the session.
    pub(super) sessions: Bounded<String, Arc<SeenSession>>,
    pub(super) answers: Bounded<AnswerKey, Arc<KeptAnswer>>,
}

impl Recording {
    /// Starts the recorder of a database.
    pub(super) fn start(place: Place) -> Arc<Self> {
        let remembered = Arc::new(Remembered {
            epoch: AtomicU64::new(0),
            doubted: AtomicBool::new(false),
            sets: Numbers::default(),
            sessions: Bounded::new(SESSIONS),
            answers: Bounded::new(ANSWERS),
        });
        let recorder = Recorder::start(place, Arc::clone(&remembered));
        Arc::new(Self { recorder, remembered })
    }
}

impl Remembered {
    /// Changes when all of it is forgotten: what rests on something from before is then not to be recorded.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Has all of it forgotten as soon as there is a connection again, also where the recorder dies meanwhile.
    pub(super) fn doubt(&self) {
        self.doubted.store(true, Ordering::Release);
    }

    /// Forgets all of it, if it is in doubt. Gives whether it was.
    pub(super) fn forget_if_in_doubt(&self) -> bool {
        if !self.doubted.swap(false, Ordering::AcqRel) {
            return false;
        }
        self.sets.begin(self.epoch.fetch_add(1, Ordering::AcqRel) + 1);
        self.sessions.forget_all();
        self.answers.forget_all();
        true
    }
}
