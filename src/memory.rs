//! What a process remembers so that it need not be worked out again, within bounds.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// Values by key, up to a total weight: the oldest go first.
#[derive(Debug)]
pub struct Bounded<K, V> {
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
    /// Holds nothing yet, and never more than this weight.
    pub fn new(most: usize) -> Self {
        let (values, order) = (HashMap::new(), VecDeque::new());
        Self { most, held: Mutex::new(Held { values, order, weight: 0 }) }
    }

    /// A copy of what is kept under a key.
    pub fn find(&self, key: &K) -> Option<V> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.values.get(key).map(|(value, _)| value.clone())
    }

    /// Forgets what is kept under a key.
    pub fn forget(&self, key: &K) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, weight)) = held.values.remove(key) {
            held.weight -= weight;
            held.order.retain(|other| other != key);
        }
    }

    /// Forgets everything.
    pub fn forget_all(&self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Held { values: HashMap::new(), order: VecDeque::new(), weight: 0 };
    }

    /// Keeps a value, unless it weighs more than an eighth of all that may be kept.
    pub fn keep(&self, key: K, value: V, weight: usize) {
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
        bounded.forget(&19);
        assert_eq!(bounded.find(&19), None, "forgotten");
        bounded.keep(19, 119, 10);
        bounded.keep(99, 99, 11);
        assert_eq!(bounded.find(&99), None, "too heavy");
        assert_eq!(bounded.find(&19), Some(119));
        bounded.forget_all();
        assert_eq!(bounded.find(&19), None, "all is forgotten");
    }
}
