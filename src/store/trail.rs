//! What a process keeps in memory to put reads on record quickly. Sessions and answers are not
//! believed, but proven by the record: see [`super::proof`]. The numbers of sets are, without asking
//! again: while a process runs, no set is ever changed or removed, as its triggers see to. All of it is
//! forgotten when the recorder has lost its connection to PostgreSQL, since another database may answer
//! then: a standby that took over may lack the last commits. Whoever puts an older database in its
//! place does not leave it to that, and restarts every process.

use std::sync::Arc;

use super::claim::SeenSession;
use super::disclosure::{Asked, Kept};
use super::recorder::{Place, Recorder};
use super::sets::Numbers;
use crate::memory::Bounded;

/// How many sessions are remembered.
const SESSIONS: usize = 10_000;
/// How many bytes of answers are.
const ANSWERS: usize = 16 << 20;

/// The memory of a [`super::Db`], and its recorder; shared by its clones.
#[derive(Debug)]
pub struct Trail {
    pub(super) recorder: Recorder,
    pub(super) remembered: Arc<Remembered>,
}

/// What was read from the database a while ago.
#[derive(Debug)]
pub(super) struct Remembered {
    pub(super) sets: Numbers,
    /// By the id of the session.
    pub(super) sessions: Bounded<String, Arc<SeenSession>>,
    pub(super) answers: Bounded<Asked, Arc<Kept>>,
}

impl Trail {
    /// Starts the recorder of a database.
    pub(super) fn start(place: Place) -> Arc<Self> {
        let remembered = Arc::new(Remembered {
            sets: Numbers::default(),
            sessions: Bounded::new(SESSIONS),
            answers: Bounded::new(ANSWERS),
        });
        let recorder = Recorder::start(place, Arc::clone(&remembered));
        Arc::new(Self { recorder, remembered })
    }
}

impl Remembered {
    /// Forgets all of it.
    pub(super) fn forget(&self) {
        self.sets.forget();
        self.sessions.forget_all();
        self.answers.forget_all();
    }
}
