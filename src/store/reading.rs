//! Reading the trail: who did and saw what, newest first, for whoever may.
//!
//! As with pay, what was read is given only when the record of the reading is durable, and when the
//! reader's session and grants are still what they were. Whoever audits some people only sees the
//! records about them, and of whom those are about only them; see decision 0017.

use std::borrow::Cow;
use std::collections::hash_map::Entry as Place;
use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::archive;
use super::audit::{self, Action, Record};
use super::disclosure::{Purpose, Withheld};
use super::grants::{self, GrantRecord, Reached, bind_reached, given, reached, reaches};
use super::people::{self, Person};
use super::stored::{Stored, columns, each_name};
use super::{Access, Db, StoreError, Tx, on, sessions, statements};
use crate::clock::{Day, Timestamp};
use crate::domain::{Account, Reach, TeamName, Username};
use crate::policy::{Allowed, Audit, Oneself};

/// The newest records, below a number, of the sets that `$which` finds: of each set at most `$n`
/// and one more, which are enough for the `$n` newest of all.
macro_rules! about {
    ($($which:tt)*) => {
        concat!(
            "SELECT DISTINCT s.record_id \
               FROM (SELECT DISTINCT m.set_no FROM audit_set_members m WHERE m.org = $1 AND ",
            $($which)*,
            ") f JOIN audit_subjects s ON s.set_no = f.set_no \
              WHERE s.record_id < $2 \
                AND s.record_id >= COALESCE((SELECT x.record_id FROM audit_subjects x \
                                              WHERE x.set_no = f.set_no AND x.record_id < $2 \
                                              ORDER BY x.record_id DESC LIMIT 1 OFFSET $3), \
                                             -9223372036854775807) \
              ORDER BY s.record_id DESC LIMIT $3"
        )
    };
}

/// What is asked for of a record `r`.
macro_rules! asked {
    ($actor:literal, $action:literal, $from:literal, $to:literal) => {
        concat!(
            "(",
            $actor,
            " = '' OR r.actor = ",
            $actor,
            ") AND (",
            $action,
            " = '' OR r.action = ",
            $action,
            ") AND r.at >= ",
            $from,
            " AND r.at < ",
            $to
        )
    };
}

statements! {
    ABOUT = about!("m.username = $4");
    ABOUT_REACHED = about!("m.username = $4 AND ",
                           reached!("m.username" in "$1", "$5", "$6"));
    ABOUT_ALL_REACHED = about!(reached!("m.username" in "$1", "$4", "$5"));
    /// Those of a list of numbers that are asked for.
    OF_LIST = concat!(
        "SELECT ", columns!(), " FROM audit_records r \
          WHERE r.record_id IN (SELECT CAST(j.value AS BIGINT) FROM json_each(CAST($1 AS TEXT)) j) \
            AND r.org = $2 AND ", asked!("$3", "$4", "$5", "$6"), " ORDER BY r.record_id DESC");
    /// All of an org, and what Stipend did in none.
    PAGE = concat!(
        "SELECT ", columns!(), " FROM audit_records r \
          WHERE r.org IN ($1, '') AND r.record_id < $2 AND ", asked!("$3", "$4", "$5", "$6"),
        " ORDER BY r.record_id DESC LIMIT $7");
    NAMES = "SELECT names FROM audit_sets WHERE set_no = $1";
    REACHED = concat!("SELECT DISTINCT r.whom FROM (",
                      reaches!(given!("$1", "$2", "$3")), ") r");
}

/// How many records are read at a time.
const CHUNK: i64 = 500;
/// How many of those whom a record is about are named.
pub const NAMED: usize = 100;
/// How often a page is read again because grants changed meanwhile.
const ATTEMPTS: usize = 5;

/// The actions by which somebody's pay is always seen.
const LOOKS: [Action; 4] =
    [Action::ListPay, Action::ExportPay, Action::SumPay, Action::ReadHistory];

/// Whether somebody's pay is seen by what a record is of: also by an import whose file was compared, for
/// whoever sent it, with what is recorded.
fn is_look(record: &Stored) -> bool {
    let is_told = |detail: Map<String, Value>| detail.get("compared") == Some(&Value::Bool(true));
    LOOKS.iter().any(|look| look.name() == record.action)
        || record.action == Action::ImportPay.name()
            && serde_json::from_str(&record.detail).is_ok_and(is_told)
}

/// Which records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordQuery {
    /// Of what somebody did.
    pub actor: Option<String>,
    /// About somebody.
    pub subject: Option<Username>,
    /// Of one kind of act.
    pub action: Option<Action>,
    /// From this moment on.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub to: Option<Timestamp>,
    /// At most so many; all without it.
    pub limit: Option<u16>,
    /// Below this number.
    pub after: Option<i64>,
}

/// A record, as its reader may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The record.
    pub record: Stored,
    /// Whom it is about, as far as the reader may know: the first [`NAMED`] by name.
    pub subjects: Vec<String>,
    /// How many those are altogether.
    pub people: u64,
}

/// Some records, newest first.
#[derive(Debug, Default)]
pub struct Page {
    /// The records.
    pub entries: Vec<Entry>,
    /// Below which number the next page begins, if there is one.
    pub next: Option<i64>,
}

/// Records whose reading is on record.
#[derive(Debug)]
pub struct Read {
    /// The first of them, or all.
    pub page: Page,
    /// The others, where all are wanted and there are more.
    pub rest: Option<Rest>,
    /// Whether their reader audits the whole org.
    pub whole_org: bool,
}

/// Records that are still to be read. They never change, so they need no snapshot.
#[derive(Debug)]
pub struct Rest {
    db: Db,
    allowed: Allowed<Audit>,
    asked: RecordQuery,
    after: Option<i64>,
}

impl Rest {
    /// The next of them; none after the last.
    pub async fn next(&mut self) -> Result<Option<Vec<Entry>>, StoreError> {
        let Some(after) = self.after.take() else { return Ok(None) };
        let mut reader = self.db.reader().await?;
        let page = page(reader.access(), &self.allowed, &self.asked, after, CHUNK).await?;
        self.after = page.next;
        Ok(Some(page.entries))
    }
}

/// The records that the caller may see, as they were asked for.
pub async fn records(
    db: &Db,
    mut allowed: Allowed<Audit>,
    asked: RecordQuery,
    purpose: &Purpose<'_>,
) -> Result<Read, Withheld> {
    let limit = asked.limit.map_or(CHUNK, i64::from);
    for _ in 0..ATTEMPTS {
        let mut reader = db.reader().await?;
        let after = asked.after.unwrap_or(i64::MAX);
        let page = page(reader.access(), &allowed, &asked, after, limit).await?;
        drop(reader);
        let mut tx = db.begin().await?;
        if let Some(renewed) = renewed(&mut tx, &allowed, purpose.at).await? {
            allowed = renewed;
            continue;
        }
        let mut record = Record::by(&allowed, purpose.action, purpose.at, purpose.origin);
        record.subjects = asked.subject.iter().map(Username::as_str).collect();
        record.detail = Cow::Borrowed(&purpose.detail);
        audit::append(tx.access(), &record).await?;
        tx.commit().await?;
        let after = page.next.filter(|_| asked.limit.is_none());
        let whole_org = allowed.visibility().whole_org();
        let rest = after.map(|_| Rest { db: db.clone(), allowed, asked, after });
        return Ok(Read { page, rest, whole_org });
    }
    Err(Withheld::KeepsChanging)
}

/// The caller's proof as it is now, if it has changed.
async fn renewed(
    tx: &mut Tx,
    allowed: &Allowed<Audit>,
    now: Timestamp,
) -> Result<Option<Allowed<Audit>>, Withheld> {
    let standing = sessions::find_standing(tx.access(), allowed.principal(), now).await?;
    let standing = standing.ok_or(Withheld::SessionEnded)?;
    let visibility = allowed.visibility();
    if standing.version == visibility.version() && visibility.today() == now.day() {
        return Ok(None);
    }
    Ok(Some(allowed.renew(standing, now.day())?))
}

/// Who asks who has seen somebody's pay.
#[derive(Debug)]
pub enum Asker {
    /// That somebody.
    Oneself(Oneself),
    /// Whoever audits them.
    Auditor(Allowed<Audit>, Username),
}

/// A look at somebody's pay.
#[derive(Debug)]
pub struct Look {
    /// The record.
    pub record: Stored,
    /// By which grants: those by which the reader reaches that person, as far as it can be known.
    pub grants: Vec<GrantRecord>,
    /// The ids of the record's grants, where none of them can be found any more.
    pub unknown: Vec<String>,
}

/// Looks at somebody's pay, newest first.
#[derive(Debug)]
pub struct Looks {
    /// The looks.
    pub looks: Vec<Look>,
    /// Below which number the next page begins, if there is one.
    pub next: Option<i64>,
    /// The day before which records may be in an archive, and so not here.
    pub archived_before: Option<Day>,
}

/// Who has seen somebody's pay, `limit` at most, below a number.
pub async fn looks(
    db: &Db,
    mut asker: Asker,
    after: Option<i64>,
    limit: u16,
    purpose: &Purpose<'_>,
) -> Result<Looks, Withheld> {
    for _ in 0..ATTEMPTS {
        let mut reader = db.reader().await?;
        let (account, person) = match &asker {
            Asker::Oneself(oneself) => {
                let account = oneself.account().clone();
                let person = people::find(reader.access(), &account).await?;
                (account, person)
            }
            Asker::Auditor(allowed, username) => {
                let person = people::find_reached(reader.access(), allowed, username).await?;
                (Account::in_org(&allowed.account().org, username), person)
            }
        };
        let person = person.ok_or(Withheld::NoSuchPerson)?;
        let found = find_looks(&mut reader.access(), &account, &person, after, limit).await?;
        drop(reader);

        let mut tx = db.begin().await?;
        let mut record = match &asker {
            Asker::Oneself(oneself) => {
                let session_id = oneself.session_id();
                let session =
                    sessions::find_live(tx.access(), &account, session_id, purpose.at).await?;
                oneself.renew(&session.ok_or(Withheld::SessionEnded)?)?;
                let session = Some(session_id);
                Record::of(&account, session, purpose.action, purpose.at, purpose.origin)
            }
            Asker::Auditor(allowed, username) => {
                if let Some(renewed) = renewed(&mut tx, allowed, purpose.at).await? {
                    asker = Asker::Auditor(renewed, username.clone());
                    continue;
                }
                Record::by(allowed, purpose.action, purpose.at, purpose.origin)
            }
        };
        record.subjects = vec![account.username.as_str()];
        record.detail = Cow::Borrowed(&purpose.detail);
        audit::append(tx.access(), &record).await?;
        tx.commit().await?;
        return Ok(found);
    }
    Err(Withheld::KeepsChanging)
}

async fn find_looks(
    access: &mut Access<'_>,
    account: &Account,
    person: &Person,
    after: Option<i64>,
    limit: u16,
) -> Result<Looks, StoreError> {
    let (limit, mut after) = (usize::from(limit), after.unwrap_or(i64::MAX));
    let number = i64::try_from(limit).unwrap_or(CHUNK).saturating_add(1);
    let asked = RecordQuery::default();
    let mut records: Vec<Stored> = Vec::new();
    while records.len() <= limit {
        let numbers = about(access.reborrow(), account, None, after, number).await?;
        let Some(last) = numbers.last() else { break };
        after = *last;
        let found = of_list(access.reborrow(), account.org.as_str(), &asked, &numbers).await?;
        records.extend(found.into_iter().filter(is_look));
    }
    let next = (records.len() > limit).then(|| records.get(limit - 1).map(|r| r.record_id));
    records.truncate(limit);
    let mut holders: HashMap<String, Vec<GrantRecord>> = HashMap::new();
    let mut looks = Vec::with_capacity(records.len());
    for record in records {
        let ids = record.grant_ids()?;
        if !holders.contains_key(&record.actor) {
            let held = match Username::parse(&record.actor) {
                Ok(holder) => {
                    let holder = Account::in_org(&account.org, &holder);
                    grants::list(access.reborrow(), &holder).await?
                }
                Err(_) => Vec::new(),
            };
            holders.insert(record.actor.clone(), held);
        }
        let held = holders.get(&record.actor).map(Vec::as_slice).unwrap_or_default();
        let used = held.iter().filter(|grant| ids.contains(&grant.grant.grant_id));
        let grants = reaching(used, &account.username, person.team.as_ref());
        let unknown = if grants.is_empty() { ids } else { Vec::new() };
        looks.push(Look { record, grants, unknown });
    }
    let archived_before = archive::last_day(access.reborrow()).await?;
    Ok(Looks { looks, next: next.flatten(), archived_before })
}

/// Those of the grants used for a look that reach a person: the others tell of somebody else. Which
/// team somebody was in is not kept, so a grant over a team counts if it is theirs today, or if
/// nothing else can have given the look.
fn reaching<'g>(
    used: impl Iterator<Item = &'g GrantRecord>,
    whom: &Username,
    team: Option<&TeamName>,
) -> Vec<GrantRecord> {
    let (mut surely, mut perhaps) = (Vec::new(), Vec::new());
    for record in used {
        match &record.grant.reach {
            Reach::Org => surely.push(record.clone()),
            Reach::Own if record.holder == *whom => surely.push(record.clone()),
            Reach::User(name) if name == whom => surely.push(record.clone()),
            Reach::Team(name) if Some(name) == team => surely.push(record.clone()),
            Reach::Team(_) => perhaps.push(record.clone()),
            Reach::Own | Reach::User(_) => {}
        }
    }
    if surely.is_empty() { perhaps } else { surely }
}

/// The numbers of the newest records about somebody, below a number.
async fn about(
    access: Access<'_>,
    account: &Account,
    reached: Option<&Reached>,
    after: i64,
    limit: i64,
) -> Result<Vec<i64>, StoreError> {
    let statement = if reached.is_some() { ABOUT_REACHED } else { ABOUT };
    Ok(on!(access, connection => {
        let query = sqlx::query_scalar(statement)
            .bind(account.org.as_str())
            .bind(after)
            .bind(limit)
            .bind(account.username.as_str());
        bind_reached!(query, reached).fetch_all(connection)
    })?)
}

/// The same of everybody whom an auditor's grants reach.
async fn about_reached(
    access: Access<'_>,
    org: &str,
    reached: &Reached,
    after: i64,
    limit: i64,
) -> Result<Vec<i64>, StoreError> {
    let reached = Some(reached);
    Ok(on!(access, connection => {
        let query = sqlx::query_scalar(ABOUT_ALL_REACHED).bind(org).bind(after).bind(limit);
        bind_reached!(query, reached).fetch_all(connection)
    })?)
}

/// Binds what is asked for of a record.
macro_rules! bind_asked {
    ($query:expr, $asked:expr) => {
        $query
            .bind($asked.actor.as_deref().unwrap_or_default())
            .bind($asked.action.map(Action::name).unwrap_or_default())
            .bind($asked.from.map_or(i64::MIN, Timestamp::as_millis))
            .bind($asked.to.map_or(i64::MAX, Timestamp::as_millis))
    };
}

async fn of_list(
    access: Access<'_>,
    org: &str,
    asked: &RecordQuery,
    numbers: &[i64],
) -> Result<Vec<Stored>, StoreError> {
    let numbers = serde_json::to_string(numbers).map_err(|_| StoreError::Impossible("a list"))?;
    Ok(on!(access, connection => {
        let query = sqlx::query_as(OF_LIST).bind(&numbers).bind(org);
        bind_asked!(query, asked).fetch_all(connection)
    })?)
}

/// At most `limit` records below a number.
async fn page(
    mut access: Access<'_>,
    allowed: &Allowed<Audit>,
    asked: &RecordQuery,
    after: i64,
    limit: i64,
) -> Result<Page, StoreError> {
    let org = allowed.account().org.as_str();
    let reached = Reached::of(allowed)?;
    let wanted = usize::try_from(limit).unwrap_or(0);
    let mut records: Vec<Stored> = Vec::new();
    if reached.is_none() && asked.subject.is_none() {
        records = on!(access.reborrow(), connection => {
            let query = sqlx::query_as(PAGE).bind(org).bind(after);
            bind_asked!(query, asked).bind(limit.saturating_add(1)).fetch_all(connection)
        })?;
    } else {
        let mut below = after;
        while records.len() <= wanted {
            let size = limit.saturating_add(1).max(CHUNK);
            let numbers = match (&asked.subject, &reached) {
                (Some(subject), reached) => {
                    let account = Account::in_org(&allowed.account().org, subject);
                    about(access.reborrow(), &account, reached.as_ref(), below, size).await?
                }
                (None, Some(reached)) => {
                    about_reached(access.reborrow(), org, reached, below, size).await?
                }
                (None, None) => Vec::new(),
            };
            let Some(last) = numbers.last() else { break };
            below = *last;
            records.extend(of_list(access.reborrow(), org, asked, &numbers).await?);
        }
    }
    let next = (records.len() > wanted)
        .then(|| wanted.checked_sub(1).and_then(|last| records.get(last)).map(|r| r.record_id));
    records.truncate(wanted);
    let within = match &reached {
        Some(reached) => Some(names_reached(access.reborrow(), org, reached).await?),
        None => None,
    };
    let mut sets = HashMap::new();
    let mut entries = Vec::with_capacity(records.len());
    for record in records {
        let entry = entry(&mut access, record, within.as_ref(), &mut sets).await?;
        entries.push(match &within {
            Some(within) => narrowed(entry, within)?,
            None => entry,
        });
    }
    Ok(Page { entries, next: next.flatten() })
}

/// Everybody whom somebody's grants reach.
async fn names_reached(
    access: Access<'_>,
    org: &str,
    reached: &Reached,
) -> Result<HashSet<String>, StoreError> {
    let names: Vec<String> = on!(access, connection => sqlx::query_scalar(REACHED)
        .bind(org)
        .bind(reached.holder())
            .bind(reached.grants())
        .fetch_all(connection))?;
    Ok(names.into_iter().collect())
}

/// Of a set those who may be named: the first of them, and how many they are.
#[derive(Clone, Default)]
struct Shown {
    names: Vec<String>,
    people: u64,
}

impl Shown {
    fn of(names: &str, within: Option<&HashSet<String>>) -> Self {
        let mut shown = Self::default();
        for name in each_name(names) {
            if within.is_none_or(|within| within.contains(name)) {
                shown.people += 1;
                if shown.names.len() < NAMED {
                    shown.names.push(name.to_owned());
                }
            }
        }
        shown
    }
}

/// A record with whom it is about. A set is read once, however many records name it.
async fn entry(
    access: &mut Access<'_>,
    record: Stored,
    within: Option<&HashSet<String>>,
    sets: &mut HashMap<i64, Shown>,
) -> Result<Entry, StoreError> {
    let mut shown = Shown::default();
    if record.chain.is_none() {
        shown = Shown::of(&record.names, within);
    }
    for number in record.set_numbers()? {
        let set = match sets.entry(number) {
            Place::Occupied(known) => known.into_mut(),
            Place::Vacant(place) => {
                let names: String = on!(access.reborrow(), connection => sqlx::query_scalar(NAMES)
                    .bind(number)
                    .fetch_one(connection))?;
                place.insert(Shown::of(&names, within))
            }
        };
        shown.people += set.people;
        let room = NAMED.saturating_sub(shown.names.len());
        shown.names.extend(set.names.iter().take(room).cloned());
    }
    Ok(Entry { record, subjects: shown.names, people: shown.people })
}

/// Without what would tell of others: the text that was searched for, of how many an import was, the
/// names of those beyond reach, and the place in the chain with its hash, from which the rest of a
/// record could be guessed and tried.
fn narrowed(mut entry: Entry, within: &HashSet<String>) -> Result<Entry, StoreError> {
    let record = &mut entry.record;
    let mut detail: Map<String, Value> = serde_json::from_str(&record.detail)
        .map_err(|_| StoreError::Impossible("audit_records.detail"))?;
    let is_beyond = |name: Option<&str>| name.is_some_and(|name| !within.contains(name));
    detail.retain(|member, value| match member.as_str() {
        "q" | "recorded" | "unchanged" => false,
        "actor" => !is_beyond(value.as_str()),
        "reach" => !is_beyond(value.as_str().and_then(|reach| reach.strip_prefix("user:"))),
        _ => true,
    });
    record.detail = Value::from(detail).to_string();
    (record.chain, record.seq, record.hash) = (None, None, None);
    Ok(entry)
}
