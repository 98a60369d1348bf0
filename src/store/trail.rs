//! What a process keeps in memory to put reads on record quickly. Sessions and answers are not
//! believed, but proven by the record: see [`super::proof`]. The numbers of sets are, without asking
//! again: while a process runs, no set is ever changed or removed, as its triggers see to. So
//! whoever puts an older database in its place restarts every process.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use super::disclosure::{Asked, Kept};
use super::recorder::{Place, Recorder};
use super::sessions::Remembered;
use super::sets::Numbers;

/// How many sessions are remembered.
const SESSIONS: usize = 10_000;
/// How many bytes of answers are.
const ANSWERS: usize = 16 << 20;

/// The memory of a [`super::Db`], and its recorder; shared by its clones.
#[derive(Debug)]
pub struct Trail {
    pub(super) recorder: Recorder,
    pub(super) sets: Numbers,
    pub(super) sessions: Bounded<(String, String), Arc<Remembered>>,
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

/// Values by key, up to a total weight: the oldest go first.
#[derive(Debug)]
pub(super) struct Bounded<K, V> {
    most: usize,
    held: Mutex<Held<K, V>>,
}

#[derive(Debug)]
struct Held<K, V> {
    values: HashMap<K, (V, usize)>,
    order: VecDeque<K>,
    weight: usize,
}

impl<K: Clone + Eq + Hash, V: Clone> Bounded<K, V> {
    fn new(most: usize) -> Self {
        let (values, order) = (HashMap::new(), VecDeque::new());
        Self { most, held: Mutex::new(Held { values, order, weight: 0 }) }
    }

    pub(super) fn find(&self, key: &K) -> Option<V> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.values.get(key).map(|(value, _)| value.clone())
    }

    /// Keeps a value, unless it weighs more than an eighth of all that may be kept.
    pub(super) fn keep(&self, key: K, value: V, weight: usize) {
        if weight > self.most / 8 {
            return;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.weight += weight;
        match held.values.insert(key.clone(), (value, weight)) {
            Some((_, old)) => held.weight -= old,
            None => held.order.push_back(key),
        }
        while held.weight > self.most {
            let Some(oldest) = held.order.pop_front() else { break };
            if let Some((_, weight)) = held.values.remove(&oldest) {
                held.weight -= weight;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_kept_than_may_be_and_the_oldest_goes_first() {
        let bounded = Bounded::new(80);
        for n in 0..20 {
            bounded.keep(n, n, 10);
            bounded.keep(n, n + 100, 10);
        }
        let kept: Vec<i32> = (0..20).filter_map(|n| bounded.find(&n)).collect();
        assert_eq!(kept, (112..120).collect::<Vec<_>>());
        bounded.keep(99, 99, 11);
        assert_eq!(bounded.find(&99), None, "too heavy");
        assert_eq!(bounded.find(&19), Some(119));
    }
}
