//! What a process keeps in memory to put reads on record quickly.

use super::sets::Numbers;

/// The memory of a [`super::Db`], shared by its clones.
#[derive(Debug, Default)]
pub struct Trail {
    pub(super) sets: Numbers,
}
