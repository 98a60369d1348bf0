//! The one door through which pay leaves: a read and its audit record belong together.
//!
//! Rows are read first, and given only after the record of who saw whose is durable; if it cannot be
//! made so, nothing is given. The statement that writes the record does so only while the session is
//! alive and the org's `access_version` still the one under which the rows were read. If it is not,
//! somebody's grants or team have changed meanwhile: what was read is thrown away, and the caller's
//! grants of now are asked instead.
//!
//! An answer that was given before may be given again from memory, where the same statement also
//! finds that nothing of it has changed since: no rate, no person, no team.
//!
//! An answer of many rows is not held in memory. It is read twice from one snapshot: for the names
//! that the record must hold, and then, once they are on record, for the rows themselves.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::audit::{Action, Origin, Record};
use super::claim::{self, Claim, Held};
pub use super::kept::Shape;
use super::kept::{AnswerKey, KeptAnswer};
use super::pay::{Chunk, Cursor, PayQuery, Sink, Sort};
use super::people::{self, Person};
use super::rates::{self, Part, Rate};
use super::recorder::Written;
use super::sets::{Collector, Subjects};
use super::{Db, StoreError, Tx, orgs, premise};
use crate::clock::Timestamp;
use crate::domain::{Account, Money, OrgName, Total, Username};
use crate::policy::{Allowed, Denied, Read};

/// How many rows are read at a time.
const CHUNK: i64 = 1000;
/// How often rows are read again because grants changed meanwhile.
const ATTEMPTS: usize = 5;

/// Nothing was given.
#[derive(Debug, thiserror::Error)]
pub enum Withheld {
    /// The session has ended since the caller was identified.
    #[error("the session has ended")]
    SessionEnded,
    /// The grants have ended since the caller was identified.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The cursor names no row that the caller may see.
    #[error("there is no such row to begin after")]
    NoSuchCursor,
    /// There is no such person, or the caller may not see their pay.
    #[error("there is no such person")]
    NoSuchPerson,
    /// The grants of the org kept changing while the rows were read.
    #[error("the grants kept changing")]
    KeepsChanging,
    /// The rows could not be read, or their record not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// From where a read comes, and for what.
#[derive(Clone, Debug)]
pub struct Purpose<'a> {
    /// What is done with the rows.
    pub action: Action,
    /// When.
    pub at: Timestamp,
    /// From where.
    pub origin: &'a Origin,
    /// What the record says of it beyond that.
    pub detail: Map<String, Value>,
}

/// What was asked for, whose record is durable.
#[derive(Debug)]
pub struct Disclosed {
    /// The rows.
    pub rows: Rows,
    /// Where the next page begins, if this one was limited and is not the last.
    pub next: Option<Cursor>,
    /// The number of the export, for an [`Action::ExportPay`].
    pub export: Option<i64>,
}

/// All rows, or a page of them.
#[derive(Debug)]
pub enum Rows {
    /// As text, in the shape that was asked for.
    Text(Arc<[u8]>),
    /// As they are.
    Chunk(Chunk),
    /// Too many to hold.
    Rest(Box<Rest>),
}

/// Rows that are on record and still to be read, from the snapshot in which they were found.
#[derive(Debug)]
pub struct Rest {
    snapshot: Tx,
    allowed: Held,
    asked: PayQuery,
}

impl Rest {
    /// Hands over the rows, chunk by chunk, until the sink wants no more.
    pub async fn send_to(mut self, sink: &mut impl Sink) -> Result<(), StoreError> {
        each_chunk(&mut self.snapshot, &self.allowed, &self.asked, Part::Row, sink).await
    }
}

/// A person's pay with its history.
#[derive(Debug)]
pub struct History {
    /// Who.
    pub person: Person,
    /// The rates, by day and revision.
    pub rates: Vec<Rate>,
    /// How many rates there are, whenever they were recorded: the version of the history.
    pub version: i64,
}

/// What so many people are paid together, in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub people: i64,
    /// How much.
    pub total: Total,
}

/// The pay of everybody whom the caller may see, as it was asked for; in a shape, as text, unless the
/// rows are too many.
pub async fn pay(
    db: &Db,
    claim: Claim,
    asked: PayQuery,
    purpose: &Purpose<'_>,
    shape: Option<Shape<'_>>,
) -> Result<Disclosed, Withheld> {
    let mut allowed = opened(db, claim, purpose.at).await?;
    let key = shape.as_ref().map(|shape| AnswerKey::new(&allowed, &asked, shape));
    if let Some(kept) = key.as_ref().and_then(|key| db.recording().remembered.answers.find(key)) {
        match give_again(db, &allowed, &kept, purpose).await? {
            Some(given) => return Ok(given),
            None => allowed = Box::pin(claim::renew(db, &allowed, purpose.at)).await?,
        }
    }
    // On the heap, so that an answer from memory does not move the room that this takes about.
    Box::pin(read_and_give(db, allowed, asked, key, purpose, shape)).await
}

/// What somebody may see on the day of the record. A day may have ended since they were let in.
async fn opened(db: &Db, claim: Claim, at: Timestamp) -> Result<Held, Withheld> {
    let allowed = claim.held();
    if allowed.visibility().today() == at.day() {
        return Ok(allowed);
    }
    Box::pin(claim::renew(db, &allowed, at)).await
}

/// An answer as the database has it.
async fn read_and_give(
    db: &Db,
    mut allowed: Held,
    asked: PayQuery,
    key: Option<AnswerKey>,
    purpose: &Purpose<'_>,
    shape: Option<Shape<'_>>,
) -> Result<Disclosed, Withheld> {
    for _ in 0..ATTEMPTS {
        let mut asked = asked.clone();
        // Before all that is shown: what is recorded between counts as later.
        let pay_version = match &key {
            Some(key) => pay_version(db, key.org()).await?,
            None => 0,
        };
        // Of whom the answer shows something beyond its rows.
        let shown = match find_start(db, &allowed, &mut asked).await? {
            Start::Told => None,
            Start::Found(username) => Some(username),
            Start::Missing(username) => {
                let subjects = by_name(db, &allowed, std::iter::once(username.as_str())).await?;
                match record(db, &allowed, &subjects, None, purpose).await? {
                    Recorded::Durably(_) => return Err(Withheld::NoSuchCursor),
                    Recorded::Outdated => allowed = claim::renew(db, &allowed, purpose.at).await?,
                }
                continue;
            }
            Start::Unknown => {
                refuse(db, &mut allowed, purpose.at, Withheld::NoSuchCursor).await?;
                continue;
            }
        };
        let shown = shown.as_ref().map(Username::as_str);
        let (rows, next, large) = read(db, &allowed, &asked).await?;
        let mut snapshot = None;
        let subjects = if large {
            let tx = snapshot.insert(db.snapshot().await?);
            names(db, tx, &allowed, &asked, shown).await?
        } else {
            by_name(db, &allowed, rows.usernames().chain(shown)).await?
        };
        let export = match record(db, &allowed, &subjects, None, purpose).await? {
            Recorded::Durably(export) => export,
            Recorded::Outdated => {
                allowed = claim::renew(db, &allowed, purpose.at).await?;
                continue;
            }
        };
        let rows = match (snapshot, &shape) {
            (Some(snapshot), _) => Rows::Rest(Box::new(Rest { snapshot, allowed, asked })),
            (None, None) => Rows::Chunk(rows),
            (None, Some(shape)) => {
                let text: Arc<[u8]> = (shape.render)(&rows)?.into();
                if let Some(key) = key {
                    let kept = KeptAnswer {
                        text: Arc::clone(&text),
                        next: next.clone(),
                        subjects,
                        access_version: allowed.visibility().version(),
                        pay_version,
                    };
                    let weight = kept.weight(&key);
                    db.recording().remembered.answers.keep(key, Arc::new(kept), weight);
                }
                Rows::Text(text)
            }
        };
        return Ok(Disclosed { rows, next, export });
    }
    Err(Withheld::KeepsChanging)
}

async fn pay_version(db: &Db, org: &OrgName) -> Result<i64, StoreError> {
    premise::pay_version(db.reader().await?.access(), org.as_str()).await
}

/// An answer as it was given before, if the caller's grants are still those of now, and nothing that
/// it shows has changed.
async fn give_again(
    db: &Db,
    allowed: &Held,
    kept: &KeptAnswer,
    purpose: &Purpose<'_>,
) -> Result<Option<Disclosed>, Withheld> {
    // The operator has no session, and so no proof that anything is still so.
    if kept.access_version != allowed.visibility().version()
        || allowed.principal().session_id().is_none()
    {
        return Ok(None);
    }
    match record(db, allowed, &kept.subjects, Some(kept.pay_version), purpose).await? {
        Recorded::Durably(export) => {
            let rows = Rows::Text(Arc::clone(&kept.text));
            Ok(Some(Disclosed { rows, next: kept.next.clone(), export }))
        }
        Recorded::Outdated => Ok(None),
    }
}

/// Whose rows a long answer gives.
async fn names(
    db: &Db,
    snapshot: &mut Tx,
    allowed: &Allowed<Read>,
    asked: &PayQuery,
    shown: Option<&str>,
) -> Result<Subjects, StoreError> {
    if asked.after.is_some() {
        let mut names = Names::default();
        each_chunk(snapshot, allowed, asked, Part::Name, &mut names).await?;
        let names = names.0.iter().map(String::as_str).chain(shown);
        return by_name(db, allowed, names).await;
    }
    // Without a cursor the names are the same in any order.
    let asked = PayQuery { sort: Sort::Username, descending: false, ..asked.clone() };
    let mut people = People::new(db, allowed);
    each_chunk(snapshot, allowed, &asked, Part::Name, &mut people).await?;
    people.finish().await
}

/// The people of some rows, as the record names them: by name, since another order would tell who is
/// paid more.
async fn by_name(
    db: &Db,
    allowed: &Allowed<Read>,
    names: impl Iterator<Item = &str>,
) -> Result<Subjects, StoreError> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    let mut people = Collector::new(db, allowed.account().org.as_str());
    people.take(names.into_iter()).await?;
    people.finish().await
}

#[derive(Default)]
struct Names(Vec<String>);

impl Sink for Names {
    async fn take(&mut self, chunk: Chunk) -> bool {
        self.0.extend(chunk.usernames().map(String::from));
        true
    }
}

/// Collects the people of rows that come sorted by name.
struct People<'a> {
    collector: Collector<'a>,
    failed: Option<StoreError>,
}

impl<'a> People<'a> {
    fn new(db: &'a Db, allowed: &Allowed<Read>) -> Self {
        Self { collector: Collector::new(db, allowed.account().org.as_str()), failed: None }
    }

    async fn finish(self) -> Result<Subjects, StoreError> {
        match self.failed {
            Some(error) => Err(error),
            None => self.collector.finish().await,
        }
    }
}

impl Sink for People<'_> {
    async fn take(&mut self, chunk: Chunk) -> bool {
        self.failed = self.collector.take(chunk.usernames()).await.err();
        self.failed.is_none()
    }
}

/// What everybody whom the caller may see is paid together, for each currency, in the order of
/// their codes.
pub async fn sums(
    db: &Db,
    claim: Claim,
    asked: &PayQuery,
    purpose: &Purpose<'_>,
) -> Result<Vec<Sum>, Withheld> {
    let mut allowed = opened(db, claim, purpose.at).await?;
    for _ in 0..ATTEMPTS {
        let mut totals = Totals::new(db, &allowed);
        let mut tx = db.snapshot().await?;
        each_chunk(&mut tx, &allowed, asked, Part::Row, &mut totals).await?;
        drop(tx);
        let Totals { people, sums } = totals;
        let subjects = people.finish().await?;
        match record(db, &allowed, &subjects, None, purpose).await? {
            Recorded::Durably(_) => return Ok(sums.into_values().collect()),
            Recorded::Outdated => allowed = claim::renew(db, &allowed, purpose.at).await?,
        }
    }
    Err(Withheld::KeepsChanging)
}

struct Totals<'a> {
    people: People<'a>,
    sums: BTreeMap<&'static str, Sum>,
}

impl<'a> Totals<'a> {
    fn new(db: &'a Db, allowed: &Allowed<Read>) -> Self {
        Self { people: People::new(db, allowed), sums: BTreeMap::new() }
    }

    fn add(&mut self, salary: Money) -> Result<(), StoreError> {
        let Some(sum) = self.sums.get_mut(salary.currency()) else {
            self.sums.insert(salary.currency(), Sum { people: 1, total: Total::of(salary) });
            return Ok(());
        };
        sum.people += 1;
        sum.total = sum.total.plus(salary).ok_or(StoreError::Impossible("a sum of rates"))?;
        Ok(())
    }
}

impl Sink for Totals<'_> {
    async fn take(&mut self, chunk: Chunk) -> bool {
        if let Err(error) = chunk.rows().try_for_each(|row| self.add(row?.salary)) {
            self.people.failed = Some(error);
            return false;
        }
        self.people.take(chunk).await
    }
}

/// A person's pay with its history, as far as it was known at a time or is now, if the caller may see it.
pub async fn history(
    db: &Db,
    claim: Claim,
    username: &Username,
    known_at: Option<Timestamp>,
    purpose: &Purpose<'_>,
) -> Result<History, Withheld> {
    let mut allowed = opened(db, claim, purpose.at).await?;
    let account = Account::in_org(&allowed.account().org, username);
    for _ in 0..ATTEMPTS {
        let mut reader = db.reader().await?;
        let person = people::find_reached(reader.access(), &allowed, username).await?;
        let Some(person) = person.filter(|person| person.is_employee) else {
            drop(reader);
            refuse(db, &mut allowed, purpose.at, Withheld::NoSuchPerson).await?;
            continue;
        };
        // Before the rates: whoever names this version has seen all that it counts.
        let version = rates::count(reader.access(), &account).await?;
        let rates = rates::history(reader.access(), &account, known_at).await?;
        drop(reader);
        let subjects = by_name(db, &allowed, std::iter::once(username.as_str())).await?;
        match record(db, &allowed, &subjects, None, purpose).await? {
            Recorded::Durably(_) => return Ok(History { person, rates, version }),
            Recorded::Outdated => allowed = claim::renew(db, &allowed, purpose.at).await?,
        }
    }
    Err(Withheld::KeepsChanging)
}

/// Says no, unless that was by grants of a while ago: then the caller is as they are now, and it is to be
/// tried again.
async fn refuse(db: &Db, allowed: &mut Held, at: Timestamp, no: Withheld) -> Result<(), Withheld> {
    let renewed = claim::renew(db, allowed, at).await?;
    if renewed.visibility().version() == allowed.visibility().version() {
        return Err(no);
    }
    *allowed = renewed;
    Ok(())
}

/// Where an answer begins.
enum Start {
    /// Where the question says by itself.
    Told,
    /// After the row of this person, which was looked for: what is given tells where it stands among
    /// others.
    Found(Username),
    /// After a row of this person that is not there, which tells that there is none.
    Missing(Username),
    /// After the row of nobody whom the caller may see.
    Unknown,
}

/// Finds by what the cursor's row sorts, where the cursor does not say so. A row that the caller
/// may not see is no cursor: its place among the others would tell of it.
async fn find_start(
    db: &Db,
    allowed: &Allowed<Read>,
    asked: &mut PayQuery,
) -> Result<Start, Withheld> {
    let (Some(key), Some(after)) = (asked.sort.key(), &asked.after) else {
        return Ok(Start::Told);
    };
    if after.key.is_some() {
        return Ok(Start::Told);
    }
    let username = after.username.clone();
    let mut reader = db.reader().await?;
    if people::find_reached(reader.access(), allowed, &username).await?.is_none() {
        return Ok(Start::Unknown);
    }
    let account = Account::in_org(&allowed.account().org, &username);
    let found = rates::key_of(reader.access(), &account, asked, key).await?;
    if found.is_none() {
        return Ok(Start::Missing(username));
    }
    asked.after = Some(Cursor { username: username.clone(), key: found });
    Ok(Start::Found(username))
}

/// The rows of a page, or of an answer that is not limited; and whether they are too many to hold.
async fn read(
    db: &Db,
    allowed: &Allowed<Read>,
    asked: &PayQuery,
) -> Result<(Chunk, Option<Cursor>, bool), StoreError> {
    let limit = asked.limit.map_or(CHUNK, i64::from);
    let mut reader = db.reader().await?;
    // One more, to see whether there are more.
    let rows =
        rates::page(reader.access(), allowed, asked, asked.after.as_ref(), limit + 1).await?;
    if rows.len() <= limit {
        return Ok((rows, None, false));
    }
    if asked.limit.is_none() {
        return Ok((Chunk::default(), None, true));
    }
    let rows = rows.without_last();
    let next = rows.last()?.and_then(|row| row.cursor(asked.sort));
    Ok((rows, next, false))
}

/// Every row, or, where that is all that is wanted and can be had for less, every name.
async fn each_chunk(
    snapshot: &mut Tx,
    allowed: &Allowed<Read>,
    asked: &PayQuery,
    part: Part,
    sink: &mut impl Sink,
) -> Result<(), StoreError> {
    if let Some(key) = asked.sort.key() {
        return rates::all_by_key(snapshot.access(), allowed, asked, key, CHUNK, sink).await;
    }
    let after = asked.after.as_ref().map(|cursor| cursor.username.as_str()).unwrap_or_default();
    let mut next = rates::scan(snapshot.access(), allowed, asked, part, after, CHUNK).await?;
    while let (rows, Some(last)) = next {
        // The database is asked for the next rows while these are taken.
        let (found, wants_more) = tokio::join!(
            rates::scan(snapshot.access(), allowed, asked, part, &last, CHUNK),
            sink.take(rows)
        );
        if !wants_more {
            return Ok(());
        }
        next = found?;
    }
    sink.take(next.0).await;
    Ok(())
}

enum Recorded {
    /// Durably; with the number of the export.
    Durably(Option<i64>),
    /// Not, since the caller may do something else now.
    Outdated,
}

async fn next_export(db: &Db, org: &OrgName) -> Result<i64, StoreError> {
    let mut tx = db.begin().await?;
    let number = orgs::next_export(tx.access(), org).await?;
    tx.commit().await?;
    Ok(number)
}

/// Puts a read on record, if all that it rests on still holds.
async fn record(
    db: &Db,
    allowed: &Held,
    subjects: &Subjects,
    pay_version: Option<i64>,
    purpose: &Purpose<'_>,
) -> Result<Recorded, Withheld> {
    let mut record = Record::by(allowed, purpose.action, purpose.at, purpose.origin);
    record.detail = Cow::Borrowed(&purpose.detail);
    let mut export = None;
    if purpose.action == Action::ExportPay {
        // A number that is taken stays so if the record fails: numbers may have gaps, and no two
        // exports one number.
        let number = Box::pin(next_export(db, &allowed.account().org)).await?;
        record.detail.to_mut().insert("export".into(), number.into());
        export = Some(number);
    }
    let prepared = record.prepare(subjects)?;
    let premise = claim::premise(allowed, purpose.at, pay_version);
    let recorder = &db.recording().recorder;
    let epoch = allowed.epoch().min(subjects.epoch());
    Ok(match recorder.write(prepared, premise, epoch).await? {
        Written::Durably => Recorded::Durably(export),
        Written::Outdated => Recorded::Outdated,
    })
}
