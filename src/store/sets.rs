//! The sets of people that audit records name: each is kept once, under the hash of who they are, so
//! that the record of a further look at the same people costs a number.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use super::chain::{Cutter, Hash, Set};
use super::{Access, Db, StoreError, execute, on, statements};

statements! {
    FIND = "SELECT set_no FROM audit_sets WHERE hash = $1";
    /// Another node may have added it since.
    ADD = "INSERT INTO audit_sets (org, hash, names) VALUES ($1, $2, $3) \
           ON CONFLICT (hash) DO NOTHING";
}

/// How many new sets are added in one transaction: others wait for it.
const AT_ONCE: usize = 50;
/// How many numbers a process remembers.
const REMEMBERED: usize = 1 << 16;

/// The people whose rows an answer holds, however many: what is remembered of them is only what
/// names them.
#[derive(Clone, Debug, Default)]
pub struct Subjects {
    sets: Arc<[Known]>,
    epoch: u64,
}

/// A set that the database holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) number: i64,
    pub(super) hash: Hash,
}

impl Subjects {
    /// In which epoch of what is remembered they were collected.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What the numbers are kept as: a JSON array.
    pub(super) fn numbers(&self) -> String {
        let mut text = String::from("[");
        for number in self.each_number() {
            let comma = if text.len() > 1 { "," } else { "" };
            // Writing to a text cannot fail.
            let _ = write!(text, "{comma}{number}");
        }
        text.push(']');
        text
    }

    pub(super) fn each_number(&self) -> impl Iterator<Item = i64> {
        self.sets.iter().map(|set| set.number)
    }

    pub(super) fn hashes(&self) -> impl ExactSizeIterator<Item = &Hash> {
        self.sets.iter().map(|set| &set.hash)
    }
}

/// The numbers of sets that are known to be in the database, where they stay, in an epoch of what is
/// remembered.
#[derive(Debug, Default)]
pub(super) struct Numbers(Mutex<(u64, HashMap<Hash, i64>)>);

impl Numbers {
    fn find(&self, epoch: u64, hash: &Hash) -> Option<i64> {
        let numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if numbers.0 == epoch { numbers.1.get(hash).copied() } else { None }
    }

    /// Forgets those of all epochs before.
    pub(super) fn begin(&self, epoch: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (epoch, HashMap::new());
    }

    fn keep(&self, epoch: u64, known: &[Known]) {
        let mut numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if numbers.0 != epoch {
            return;
        }
        if numbers.1.len() + known.len() > REMEMBERED {
            numbers.1.clear();
        }
        numbers.1.extend(known.iter().map(|set| (set.hash, set.number)));
    }
}

/// Collects the people whose rows an answer holds, who come sorted by name and each once, and sees
/// to it that the database has their sets. A set says nothing by itself, so one may be there before
/// the record that names it, and stay if that is never written.
#[derive(Debug)]
pub(super) struct Collector<'a> {
    db: &'a Db,
    org: String,
    cutter: Cutter,
    found: Vec<Found>,
    waiting: usize,
    epoch: u64,
}

#[derive(Debug)]
enum Found {
    Known(Known),
    New(Set),
}

impl<'a> Collector<'a> {
    pub(super) fn new(db: &'a Db, org: &str) -> Self {
        let cutter = Cutter::new(org);
        let epoch = db.recording().remembered.epoch();
        Self { db, org: org.to_owned(), cutter, found: Vec::new(), waiting: 0, epoch }
    }

    /// Adds names.
    pub(super) async fn take<'n>(
        &mut self,
        names: impl Iterator<Item = &'n str>,
    ) -> Result<(), StoreError> {
        for name in names {
            if let Some(set) = self.cutter.push(name) {
                self.add(set);
            }
        }
        if self.waiting >= AT_ONCE { self.write().await } else { Ok(()) }
    }

    fn add(&mut self, set: Set) {
        let number = self.db.recording().remembered.sets.find(self.epoch, &set.hash);
        self.waiting += usize::from(number.is_none());
        self.found.push(match number {
            Some(number) => Found::Known(Known { number, hash: set.hash }),
            None => Found::New(set),
        });
    }

    /// All of them.
    pub(super) async fn finish(mut self) -> Result<Subjects, StoreError> {
        if let Some(set) = self.cutter.finish() {
            self.add(set);
        }
        if self.waiting > 0 {
            self.write().await?;
        }
        let known = |found: &Found| match found {
            Found::Known(known) => Ok(*known),
            Found::New(_) => Err(StoreError::Impossible("a set that was not added")),
        };
        let sets = self.found.iter().map(known).collect::<Result<_, _>>()?;
        Ok(Subjects { sets, epoch: self.epoch })
    }

    async fn write(&mut self) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        let mut added = Vec::new();
        for found in &mut self.found {
            if let Found::New(set) = found {
                let known = ensure(tx.access(), &self.org, set).await?;
                added.push(known);
                *found = Found::Known(known);
            }
        }
        tx.commit().await?;
        // Not before they are there for good.
        self.db.recording().remembered.sets.keep(self.epoch, &added);
        self.waiting = 0;
        Ok(())
    }
}

/// The sets of some people, who need not be sorted, in the transaction of what is recorded of them.
pub(super) async fn of_names(
    mut access: Access<'_>,
    org: &str,
    names: &[&str],
) -> Result<Subjects, StoreError> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names.dedup();
    let mut cutter = Cutter::new(org);
    let mut cut: Vec<Set> = names.into_iter().filter_map(|name| cutter.push(name)).collect();
    cut.extend(cutter.finish());
    let mut sets = Vec::with_capacity(cut.len());
    for set in &cut {
        sets.push(ensure(access.reborrow(), org, set).await?);
    }
    // In a transaction that ends with its connection, whatever is remembered.
    Ok(Subjects { sets: sets.into(), epoch: 0 })
}

/// Adds a set, unless it is there.
async fn ensure(mut access: Access<'_>, org: &str, set: &Set) -> Result<Known, StoreError> {
    for _ in 0..2 {
        let number: Option<i64> = on!(access.reborrow(), connection => sqlx::query_scalar(FIND)
            .bind(&set.hash[..])
            .fetch_optional(connection))?;
        if let Some(number) = number {
            return Ok(Known { number, hash: set.hash });
        }
        execute!(
            access.reborrow(),
            sqlx::query(ADD).bind(org).bind(&set.hash[..]).bind(&set.names)
        )?;
    }
    Err(StoreError::Impossible("audit_sets"))
}
