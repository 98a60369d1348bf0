//! A [`Checker`] is handed the records of the trail one by one, first from archives and then from the
//! database: it computes each one's hash again, follows every chain, and says of the first bad record
//! what is wrong with it. Pure. Decision 0013 says which bytes are hashed.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::audit::Action;
use super::chain::{BEGINNING, Digest, Hash, Head, unhex_hash};
use super::stored::Stored;

/// The trail is not whole: the first thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The record's number; none where it is no record.
    pub record_id: Option<i64>,
    /// Its chain.
    pub chain: Option<i64>,
    /// Its place in the chain.
    pub seq: Option<i64>,
    /// What is wrong.
    pub what: String,
}

impl Flaw {
    /// Something is wrong that is no one record's.
    pub fn of(what: impl Into<String>) -> Self {
        Self { record_id: None, chain: None, seq: None, what: what.into() }
    }

    /// Something is wrong at a place of a chain.
    pub fn at(chain: i64, seq: i64, what: impl Into<String>) -> Self {
        Self { chain: Some(chain), seq: Some(seq), ..Self::of(what) }
    }

    fn in_record(record: &Stored, what: impl Into<String>) -> Self {
        let record_id = Some(record.record_id);
        Self { record_id, chain: record.chain, seq: record.seq, what: what.into() }
    }
}

/// Which record, and what is wrong with it.
impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(record_id) = self.record_id {
            write!(f, "record {record_id}")?;
            match (self.chain, self.seq) {
                (Some(chain), Some(seq)) => write!(f, " (chain {chain}, number {seq}): ")?,
                _ => f.write_str(": ")?,
            }
        } else if let (Some(chain), Some(seq)) = (self.chain, self.seq) {
            write!(f, "chain {chain}, number {seq}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// What the records that an archive took away were, as the database says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedPart {
    /// The SHA-256 of the archive, in hexadecimal.
    pub digest: String,
    /// The day before which all its records are.
    pub before: String,
    /// The chain; 0 for the records from before there were chains.
    pub chain: i64,
    /// The place of the last one in the chain; of those without a chain its number.
    pub through: i64,
    /// Its hash.
    pub head: Hash,
    /// When they were taken away, in milliseconds since 1970.
    pub archived_at: i64,
}

/// A kept checkpoint.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Which one, for people.
    pub from: String,
    /// When it was made, in milliseconds since 1970.
    pub at: i64,
    /// Where the chains ended.
    pub heads: Vec<Head>,
    /// Whether it names every chain that there was.
    pub names_all: bool,
    /// Whether its key has ended since: whoever stole that may sign what he says is of a time before, and
    /// is found out by the records that it counts, if one is later than it.
    pub key_has_ended: bool,
}

/// What was found of records that name an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedArchive {
    /// The SHA-256 of the archive, in hexadecimal.
    pub digest: String,
    /// The record that names it.
    pub record_id: i64,
    /// What that record says of it.
    pub parts: Vec<ArchivedPart>,
}

/// By how much times may differ from the order in which things came about, in milliseconds: the clocks of
/// nodes differ, and a record is of when its read or its import began, which may take a while.
pub const TOLERANCE: i64 = 10 * 60 * 1000;
/// Where the one record stands that binds those from before there were chains: first of all.
pub(super) const GENESIS: (i64, i64) = (1, 1);

/// Follows the chains.
#[derive(Debug, Default)]
pub struct Checker {
    heads: BTreeMap<i64, Head>,
    kept: Vec<Kept>,
    /// Which of the kept checkpoints say of this place what stands there.
    points: HashMap<(i64, i64), Vec<(usize, Hash)>>,
    /// Of each chain that has begun the youngest kept checkpoint that does not count its next record.
    passed: HashMap<i64, Option<usize>>,
    /// Of each chain the latest time so far, where anybody asks.
    latest: Option<HashMap<i64, i64>>,
    archived: Vec<ArchivedPart>,
    old: Digest,
    old_records: u64,
    last_old: Option<i64>,
    genesis: Option<(u64, String)>,
    named: Vec<NamedArchive>,
    records: u64,
    hashes: Vec<Hash>,
}

impl Checker {
    /// With what checkpoints and the database say of the chains.
    pub fn new(kept: Vec<Kept>, archived: Vec<ArchivedPart>) -> Self {
        let mut points: HashMap<(i64, i64), Vec<(usize, Hash)>> = HashMap::new();
        for (at, checkpoint) in kept.iter().enumerate() {
            for head in &checkpoint.heads {
                points.entry((head.chain, head.length)).or_default().push((at, head.hash));
            }
        }
        let latest = kept.iter().any(|kept| kept.key_has_ended).then(HashMap::new);
        Self { kept, points, latest, archived, ..Self::default() }
    }

    /// Begins where archives have ended, for a trail whose beginning is known to be whole.
    pub fn after(archived: &[ArchivedPart]) -> Self {
        let mut checker = Self::default();
        for part in archived {
            if part.chain == 0 {
                checker.last_old = Some(part.through);
            } else {
                let head = Head { chain: part.chain, length: part.through, hash: part.head };
                checker.heads.insert(part.chain, head);
            }
        }
        checker
    }

    /// How many records there were so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Where each chain ends so far.
    pub fn heads(&self) -> Vec<Head> {
        self.heads.values().copied().collect()
    }

    /// The archives that records name.
    pub fn named(&self) -> &[NamedArchive] {
        &self.named
    }

    /// Takes the next record; `hash_of` gives the hash of the set of a number.
    pub fn take(
        &mut self,
        record: &Stored,
        hash_of: impl Fn(i64) -> Option<Hash>,
    ) -> Result<(), Flaw> {
        self.records += 1;
        // Readers of the trail page by number, from the highest that there can be.
        if !(1..i64::MAX).contains(&record.record_id) {
            return Err(Flaw::in_record(record, "no record is given such a number"));
        }
        let (Some(chain), Some(seq), Some(hash)) = (record.chain, record.seq, &record.hash) else {
            return self.take_old(record);
        };
        let head = self.heads.get(&chain).copied();
        let head = head.unwrap_or(Head { chain, length: 0, hash: BEGINNING });
        if seq != head.length + 1 {
            return Err(self.out_of_order(record, head, seq));
        }
        if !record.names.is_empty() {
            return Err(Flaw::in_record(record, "it names people beside its sets"));
        }
        self.hashes.clear();
        let numbers = record.set_numbers().map_err(|_| unreadable(record, "sets"))?;
        // Else the indexes could say something else, and be as long as they should.
        if holds_twice(&numbers) {
            return Err(Flaw::in_record(record, "it names a set twice"));
        }
        for number in numbers {
            let found = hash_of(number);
            let missing = || Flaw::in_record(record, format!("the set {number} is missing"));
            self.hashes.push(found.ok_or_else(missing)?);
        }
        let next = head.then(record.content(&self.hashes).as_bytes());
        if next.hash != hash.as_slice() {
            let what = "what stands in it, or the record before it, was changed: its hash differs";
            return Err(Flaw::in_record(record, what));
        }
        self.note(record, next)?;
        self.heads.insert(chain, next);
        Ok(())
    }

    fn out_of_order(&self, record: &Stored, head: Head, seq: i64) -> Flaw {
        let next = head.length + 1;
        if seq < next {
            return Flaw::in_record(record, format!("it stands where number {next} should"));
        }
        let part = self
            .archived
            .iter()
            .find(|part| part.chain == head.chain && part.through >= next && part.through < seq);
        match part {
            Some(part) => missing_archive(head.chain, next, part),
            None if seq == next + 1 => Flaw::at(head.chain, next, "the record is missing"),
            None => Flaw::at(
                head.chain,
                next,
                format!("the records from here to number {} are missing", seq - 1),
            ),
        }
    }

    fn take_old(&mut self, record: &Stored) -> Result<(), Flaw> {
        if record.chain.is_some() || record.seq.is_some() || record.hash.is_some() {
            return Err(Flaw::in_record(record, "it has no whole place in a chain"));
        }
        // Their columns are younger than these records, whose digest does not hold them.
        if record.token.is_some() || record.outcome != "done" || record.sets != "[]" {
            let what = "it says what no record from before there were chains can say";
            return Err(Flaw::in_record(record, what));
        }
        if self.last_old.is_some_and(|last| last >= record.record_id) {
            return Err(Flaw::in_record(record, "it was inserted among archived records"));
        }
        self.last_old = Some(record.record_id);
        self.old_records += 1;
        self.old.add(&record.old_content());
        Ok(())
    }

    /// Remembers what a good record says of the trail itself.
    fn note(&mut self, record: &Stored, head: Head) -> Result<(), Flaw> {
        let points = self.points.remove(&(head.chain, head.length)).unwrap_or_default();
        let kept = |(at, _): &(usize, Hash)| self.kept.get(*at);
        if let Some(kept) = points.iter().find(|(_, hash)| *hash != head.hash).and_then(kept) {
            let what = format!(
                "it is another record than when {} was made: the chain was computed anew",
                kept.from
            );
            return Err(Flaw::in_record(record, what));
        }
        let passed = self.passed_before(head.chain);
        if let Some(kept) = passed.and_then(|at| self.kept.get(at))
            && record.at < kept.at.saturating_sub(TOLERANCE)
        {
            let what = format!(
                "it says that it is of before {}, which does not count it: it was written \
                 afterwards, or the clock of a server was set back",
                kept.from
            );
            return Err(Flaw::in_record(record, what));
        }
        let here = points.iter().map(|(at, _)| *at);
        let passed = self.youngest(passed.into_iter().chain(here));
        self.passed.insert(head.chain, passed);
        if let Some(latest) = &mut self.latest {
            let latest = latest.entry(head.chain).or_insert(record.at);
            *latest = record.at.max(*latest);
            let older =
                |kept: &&Kept| kept.key_has_ended && kept.at.saturating_add(TOLERANCE) < *latest;
            let mut counting = points.iter().filter_map(|(at, _)| self.kept.get(*at));
            if let Some(kept) = counting.find(older) {
                let what = format!(
                    "{} counts it, and is older than it or one before it: it is of a key that has \
                     ended, and was signed later than it says",
                    kept.from
                );
                return Err(Flaw::in_record(record, what));
            }
        }
        if record.action != Action::BeginChain.name()
            && record.action != Action::ArchiveAudit.name()
        {
            return Ok(());
        }
        let detail: Value =
            serde_json::from_str(&record.detail).map_err(|_| unreadable(record, "detail"))?;
        let digest = detail.get("digest").and_then(Value::as_str);
        let digest = digest.ok_or_else(|| unreadable(record, "detail"))?.to_owned();
        if record.action == Action::ArchiveAudit.name() {
            let parts = parts(&digest, record.at, &detail);
            let parts = parts.ok_or_else(|| unreadable(record, "detail"))?;
            self.named.push(NamedArchive { digest, record_id: record.record_id, parts });
        } else if (head.chain, head.length) != GENESIS {
            let what = "only the first record of the first chain binds those from before chains";
            return Err(Flaw::in_record(record, what));
        } else {
            let records = detail.get("records").and_then(Value::as_u64);
            let records = records.ok_or_else(|| unreadable(record, "detail"))?;
            self.genesis = Some((records, digest));
        }
        Ok(())
    }

    /// The youngest kept checkpoint that does not count the next record of a chain.
    fn passed_before(&self, chain: i64) -> Option<usize> {
        if let Some(passed) = self.passed.get(&chain) {
            return *passed;
        }
        let counts_none = |kept: &Kept| match kept.heads.iter().find(|head| head.chain == chain) {
            Some(head) => head.length == 0,
            None => kept.names_all,
        };
        self.youngest((0..self.kept.len()).filter(|at| self.kept.get(*at).is_some_and(counts_none)))
    }

    fn youngest(&self, kept: impl Iterator<Item = usize>) -> Option<usize> {
        kept.max_by_key(|at| self.kept.get(*at).map(|kept| kept.at))
    }

    /// Every archive that has taken records away must be named by a record, and the other way round.
    pub fn check_archives(&self, chains: &[Head]) -> Result<(), Flaw> {
        let named = |digest: &str| self.named.iter().any(|archive| archive.digest == digest);
        // Where records are missing, they may be those that name it: that is told first.
        let is_whole = chains
            .iter()
            .all(|head| self.heads.get(&head.chain).map_or(0, |found| found.length) >= head.length);
        if let Some(part) = self.archived.iter().find(|part| is_whole && !named(&part.digest)) {
            return Err(Flaw::of(format!(
                "audit_archives holds the archive {}, which no record names",
                part.digest
            )));
        }
        for NamedArchive { digest, record_id, parts } in &self.named {
            let found: Vec<&ArchivedPart> =
                self.archived.iter().filter(|part| part.digest == *digest).collect();
            let what = match found.as_slice() {
                [] => format!("it names the archive {digest}, which audit_archives does not hold"),
                found if found.iter().copied().eq(parts) => continue,
                _ => format!(
                    "audit_archives and audit_archived say something else than it does of the \
                     archive {digest}"
                ),
            };
            return Err(Flaw { record_id: Some(*record_id), ..Flaw::of(what) });
        }
        Ok(())
    }

    /// Whether that was all, by what the database says of its chains.
    pub fn finish(self, chains: &[Head]) -> Result<(), Flaw> {
        for head in chains {
            let length = self.heads.get(&head.chain).map_or(0, |found| found.length);
            if length < head.length {
                let next = length + 1;
                let part = self
                    .archived
                    .iter()
                    .find(|part| part.chain == head.chain && part.through >= next);
                let missing = || {
                    Flaw::at(
                        head.chain,
                        next,
                        format!("the records from here to number {} are missing", head.length),
                    )
                };
                return Err(
                    part.map_or_else(missing, |part| missing_archive(head.chain, next, part))
                );
            }
        }
        let odd = |head: &&Head| head.length == 0 && head.hash != BEGINNING;
        if let Some(head) = chains.iter().find(odd) {
            let what = "audit_chains says that it ends somewhere, and it has not begun";
            return Err(Flaw::at(head.chain, 0, what));
        }
        for found in self.heads.values() {
            let known = chains.iter().find(|head| head.chain == found.chain);
            let what = match known {
                None => "the chain is missing from audit_chains",
                Some(head) if head.length < found.length => {
                    "the chain has more records than audit_chains says"
                }
                Some(head) if head.hash != found.hash => {
                    "the chain does not end where audit_chains says"
                }
                Some(_) => continue,
            };
            return Err(Flaw::at(found.chain, found.length, what));
        }
        let left = self.points.iter().filter(|((_, length), _)| *length > 0);
        if let Some(((chain, length), points)) = left.min_by_key(|(place, _)| **place) {
            let from = points.first().and_then(|(at, _)| self.kept.get(*at));
            let what = format!(
                "the records from here to number {length} are missing: they were there when {} was \
                 made",
                from.map_or("a checkpoint", |kept| &kept.from)
            );
            let found = self.heads.get(chain).map_or(0, |found| found.length);
            return Err(Flaw::at(*chain, found + 1, what));
        }
        self.check_old()
    }

    /// The records from before there were chains must be those that were bound into one, once the
    /// record that did so was taken.
    pub fn check_old(&self) -> Result<(), Flaw> {
        let digest = self.old.clone().finish();
        match &self.genesis {
            Some((records, _)) if *records != self.old_records => {
                let found = self.old_records;
                if let Some(part) = self.archived.iter().find(|part| part.chain == 0 && found == 0)
                {
                    let digest = &part.digest;
                    return Err(Flaw::of(format!(
                        "the {records} records from before there were chains are in the archive \
                         {digest}: give its file by --archive"
                    )));
                }
                Err(Flaw::of(format!(
                    "of the {records} records from before there were chains, {found} are here"
                )))
            }
            Some((_, sealed)) if *sealed != digest => {
                Err(Flaw::of("a record from before there were chains was changed"))
            }
            None if self.old_records > 0 => Err(Flaw::of("records without a chain were inserted")),
            _ => Ok(()),
        }
    }
}

fn holds_twice(numbers: &[i64]) -> bool {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| matches!(pair, [one, next] if one == next))
}

/// What the detail of a record of that time says of an archive.
fn parts(digest: &str, at: i64, detail: &Value) -> Option<Vec<ArchivedPart>> {
    let before = detail.get("before")?.as_str()?;
    // The removal takes its time, and the record comes after it.
    let began = detail.get("began").map_or(Some(at), Value::as_i64)?;
    let chains = detail.get("chains")?.as_array()?.iter();
    chains
        .map(|part| {
            Some(ArchivedPart {
                digest: digest.to_owned(),
                before: before.to_owned(),
                chain: part.get("chain")?.as_i64()?,
                through: part.get("through")?.as_i64()?,
                head: unhex_hash(part.get("head")?.as_str()?)?,
                archived_at: began,
            })
        })
        .collect()
}

fn missing_archive(chain: i64, next: i64, part: &ArchivedPart) -> Flaw {
    let what = format!(
        "the records from here to number {} are in the archive {}: give its file by --archive",
        part.through, part.digest
    );
    Flaw::at(chain, next, what)
}

fn unreadable(record: &Stored, column: &str) -> Flaw {
    Flaw::in_record(record, format!("its {column} cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_names_each_set_once() {
        let record = |sets: &str| Stored {
            record_id: 1,
            chain: Some(1),
            seq: Some(1),
            hash: Some(vec![0; 32]),
            at: 0,
            org: "acme".into(),
            actor: "ann".into(),
            session_id: None,
            token: None,
            action: "list_pay".into(),
            permission: None,
            grants: None,
            names: String::new(),
            sets: sets.into(),
            detail: "{}".into(),
            outcome: "done".into(),
            client: "local".into(),
            request_id: "r".into(),
        };
        let what =
            |sets| Checker::default().take(&record(sets), |_| Some([7; 32])).unwrap_err().what;
        assert!(what("[2,3,2]").contains("a set twice"));
        assert!(what("[2,3]").contains("its hash differs"));
    }
}
