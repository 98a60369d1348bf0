//! When each session was used last, to the minute, without a write for each request: noted in memory,
//! and written by one statement once a minute at most.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::Timestamp;
use crate::domain::OrgName;
use crate::store::sessions::{self, Use};
use crate::store::{Db, StoreError};

/// How many sessions are noted between two writes. One that finds no room is noted when it is used
/// again after the next write.
const MOST: usize = 16_384;

/// What has been noted and is not written yet. What is lost with the process is a minute of it.
#[derive(Debug, Default)]
pub struct LastUsed(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    /// By session id, which is unique over all orgs.
    uses: HashMap<String, (OrgName, Timestamp)>,
    /// The minute in which it was written last.
    written: Option<Timestamp>,
}

impl LastUsed {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        // Nothing that holds the lock can leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a session was used.
    pub(super) fn note(&self, org: &OrgName, session_id: &str, now: Timestamp) {
        let minute = now.whole_minute();
        let mut noted = self.noted();
        // Most requests are of a session that is noted already: those allocate nothing.
        if let Some((_, at)) = noted.uses.get_mut(session_id) {
            *at = minute.max(*at);
        } else if noted.uses.len() < MOST {
            noted.uses.insert(session_id.to_owned(), (org.clone(), minute));
        }
    }

    /// When a session was used last as far as is known here and not yet in the database.
    pub fn of(&self, session_id: &str) -> Option<Timestamp> {
        self.noted().uses.get(session_id).map(|(_, at)| *at)
    }

    /// Writes what has been noted, unless that was done within this minute. If it cannot be
    /// written it stays noted, for the next time.
    pub async fn write_each_minute(&self, db: &Db, now: Timestamp) -> Result<(), StoreError> {
        let is_due = self.noted().written.is_none_or(|written| written < now.whole_minute());
        if is_due { self.write(db, now).await } else { Ok(()) }
    }

    /// Writes what has been noted, now: before the process ends.
    pub async fn write(&self, db: &Db, now: Timestamp) -> Result<(), StoreError> {
        let uses = {
            let mut noted = self.noted();
            noted.written = Some(now.whole_minute());
            std::mem::take(&mut noted.uses)
        };
        if uses.is_empty() {
            return Ok(());
        }
        let written = write(db, &uses).await;
        if written.is_err() {
            self.put_back(uses);
        }
        written
    }

    fn put_back(&self, uses: HashMap<String, (OrgName, Timestamp)>) {
        let mut noted = self.noted();
        for (session_id, (org, at)) in uses {
            let has_room = noted.uses.len() < MOST;
            match noted.uses.entry(session_id) {
                Entry::Occupied(mut later) => later.get_mut().1 = at.max(later.get().1),
                Entry::Vacant(gone) if has_room => {
                    gone.insert((org, at));
                }
                Entry::Vacant(_) => {}
            }
        }
    }
}

async fn write(db: &Db, uses: &HashMap<String, (OrgName, Timestamp)>) -> Result<(), StoreError> {
    let mut uses: Vec<Use<'_>> =
        uses.iter().map(|(session_id, (org, at))| Use { org, session_id, at: *at }).collect();
    // In one order on every node, so that two that write at once wait for each other and no more.
    uses.sort_unstable_by_key(|one| one.session_id);
    let mut tx = db.begin().await?;
    sessions::note_uses(tx.access(), &uses).await?;
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_minute_counts_and_there_is_an_end_to_what_is_noted() {
        let (noted, org) = (LastUsed::default(), OrgName::parse("acme").unwrap());
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        noted.note(&org, "a", at(185));
        assert_eq!(noted.of("a"), Some(at(180)));
        noted.note(&org, "a", at(60));
        assert_eq!(noted.of("a"), Some(at(180)), "a clock that goes back takes nothing back");
        for n in 0..MOST {
            noted.note(&org, &n.to_string(), at(0));
        }
        assert_eq!(noted.of(&(MOST - 1).to_string()), None, "there was no room left");
        noted.note(&org, "a", at(240));
        assert_eq!(noted.of("a"), Some(at(240)));

        noted.put_back(HashMap::from([
            ("a".to_owned(), (org.clone(), at(60))),
            ("b".to_owned(), (org.clone(), at(60))),
        ]));
        assert_eq!((noted.of("a"), noted.of("b")), (Some(at(240)), None));
        noted.noted().uses.clear();
        noted.put_back(HashMap::from([("b".to_owned(), (org, at(60)))]));
        assert_eq!(noted.of("b"), Some(at(60)));
    }
}
