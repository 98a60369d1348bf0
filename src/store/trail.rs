//! What a process keeps in memory to put reads on record quickly. Sessions and answers are not
//! believed, but proven by the record: see [`super::proof`]. The numbers of sets are, without asking
//! again: while a process runs, no set is ever changed or removed, as its triggers see to. So
//! whoever puts an older database in its place restarts every process.

use std::sync::Arc;

use super::claim::Remembered;
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
    pub(super) sets: Numbers,
    /// By the id of the session.
    pub(super) sessions: Bounded<String, Arc<Remembered>>,
    pub(super) answers: Bounded<Asked, Arc<Kept>>,
}

impl Trail {
    /// Starts the recorder of a database.
    pub(super) fn start(place: Place) -> Arc<Self> {
        Arc::new(Self {
            recorder: Recorder::start(place),
            sets: Numbers::default(),
            sessions: Bounded::new(SESSIONS),
            answers: Bounded::new(ANSWERS),
        })
    }
}
