//! What a server does by itself, beside answering: a list of duties, each at its own pace.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::checkpoint::Checkpoint;
use super::keys::{GRACE, Keys};
use super::{LastUsed, Ports};
use crate::clock::Timestamp;
use crate::store::{Db, StoreError, keys, sessions};

/// How long the duties under way may take to finish when the server stops.
const PATIENCE: Duration = Duration::from_secs(2);

/// Something to be done again and again. A further one is a variant here, with its pace and its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Duty {
    /// Notices keys that were added, promoted or retired elsewhere.
    ReadKeys,
    /// Erases the keys that nobody needs any more.
    EraseKeys,
    /// Writes checkpoints of the audit trail to the log, which is to leave the machine.
    LogCheckpoint,
    /// Writes when sessions were used.
    WriteLastUsed,
    /// Forgets the sessions that are long over.
    PruneSessions,
}

impl Duty {
    const ALL: &[Self] = &[
        Self::ReadKeys,
        Self::EraseKeys,
        Self::LogCheckpoint,
        Self::WriteLastUsed,
        Self::PruneSessions,
    ];

    /// How long after its last end it begins again.
    const fn every(self) -> Duration {
        match self {
            Self::ReadKeys => Duration::from_millis(500),
            Self::EraseKeys => Duration::from_secs(60),
            Self::LogCheckpoint => Duration::from_secs(1),
            Self::WriteLastUsed => Duration::from_secs(20),
            Self::PruneSessions => Duration::from_secs(60 * 60),
        }
    }

    async fn run(self, house: &House) -> Result<(), StoreError> {
        let now = house.ports.clock.now();
        match self {
            Self::ReadKeys => house.keys.read(&house.db, now).await.map(drop),
            Self::EraseKeys => erase_keys(&house.db, now).await,
            Self::LogCheckpoint => log_checkpoint(house, now, false).await,
            Self::WriteLastUsed => house.last_used.write_each_minute(&house.db, now).await,
            Self::PruneSessions => match prune_sessions(&house.db, now).await? {
                0 => Ok(()),
                number => {
                    tracing::info!(number, "deleted sessions that were long over");
                    Ok(())
                }
            },
        }
    }
}

/// Erases the keys whose last token has ended.
async fn erase_keys(db: &Db, now: Timestamp) -> Result<(), StoreError> {
    // A look first, so that a server with nothing to do never takes the write lock.
    let records = keys::list(db.reader().await?.access()).await?;
    let grace = i64::try_from(GRACE.as_millis()).unwrap_or(i64::MAX);
    let before = Timestamp::from_millis(now.as_millis().saturating_sub(grace));
    let is_due = |key: &keys::KeyRecord| {
        key.sealed.is_some()
            && key.retired_at.is_some_and(|at| at <= before)
            && key.last_expiry.is_none_or(|last| last <= now)
    };
    if !records.iter().any(is_due) {
        return Ok(());
    }
    let mut tx = db.begin().await?;
    let erased = keys::erase(tx.access(), before, now).await?;
    tx.commit().await?;
    tracing::info!(erased, "retired keys whose last token has ended were erased");
    Ok(())
}

/// For how long the row of a session is kept that has ended or expired. Its id stays in the records
/// for ever; the row says beside that from where and until when it was, which somebody may ask who
/// looks into what happened.
const KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How many rows one transaction deletes, so that no writer waits for long.
const AT_ONCE: u16 = 1000;

/// Deletes the rows of sessions that have been over for 90 days; gives how many. Nothing refers to them,
/// and a session without a row lets nobody in.
pub async fn prune_sessions(db: &Db, now: Timestamp) -> Result<u64, StoreError> {
    let mut deleted = 0;
    loop {
        let mut tx = db.begin().await?;
        let some = sessions::prune(tx.access(), now.minus(KEPT), AT_ONCE).await?;
        tx.commit().await?;
        deleted += some;
        if some < u64::from(AT_ONCE) {
            return Ok(deleted);
        }
    }
}

/// After so many further records a checkpoint is logged.
const RECORDS: i64 = 1000;
/// Or after this long, where there is any further record.
const PAUSE: Duration = Duration::from_secs(60);

/// Logs a checkpoint, if it is time for one. The first comes when the server starts: whoever keeps
/// the log sees at once that a database was restored from an older backup. The last comes when it
/// stops: a tail that is cut off while it is down is missed as well.
async fn log_checkpoint(house: &House, now: Timestamp, is_last: bool) -> Result<(), StoreError> {
    let ring = house.keys.ring();
    // The log has told of a key that is missing.
    let Some(key) = ring.checkpoint_key() else { return Ok(()) };
    let checkpoint = Checkpoint::take(house.db.reader().await?.access(), now).await?;
    let since = house.ports.clock.monotonic();
    let last = *house.logged.lock().unwrap_or_else(PoisonError::into_inner);
    if !last.is_none_or(|last| last.is_past(checkpoint.records, since, is_last)) {
        return Ok(());
    }
    let (records, line) = (checkpoint.records, checkpoint.sign(key)?);
    tracing::info!(records, checkpoint = line, "a checkpoint of the audit trail");
    *house.logged.lock().unwrap_or_else(PoisonError::into_inner) = Some(Logged { records, since });
    Ok(())
}

/// The last checkpoint in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Logged {
    records: i64,
    since: Duration,
}

impl Logged {
    /// Whether it is time for another; the last one waits for nothing but a further record.
    fn is_past(self, records: i64, now: Duration, is_last: bool) -> bool {
        let further = records != self.records;
        records.saturating_sub(self.records) >= RECORDS
            || (further && (is_last || now.saturating_sub(self.since) >= PAUSE))
    }
}

/// What the duties work with.
pub(super) struct House {
    pub(super) db: Db,
    pub(super) ports: Ports,
    pub(super) keys: Arc<Keys>,
    pub(super) logged: Mutex<Option<Logged>>,
    pub(super) last_used: Arc<LastUsed>,
}

/// The duties at work. Dropped, they end at once.
pub struct Housekeeping {
    house: Arc<House>,
    stop: watch::Sender<bool>,
    tasks: Mutex<JoinSet<()>>,
}

impl Housekeeping {
    /// Sets every duty to work, each for itself: a slow one holds up no other.
    pub(super) fn start(house: House) -> Self {
        let (stop, stopped) = watch::channel(false);
        let house = Arc::new(house);
        let mut tasks = JoinSet::new();
        for duty in Duty::ALL {
            tasks.spawn(repeat(*duty, house.clone(), stopped.clone()));
        }
        Self { house, stop, tasks: Mutex::new(tasks) }
    }

    /// Ends every duty, after what is under way, and the recording of reads, and logs where the trail
    /// ends. To be called when no request is under way any more, before the database is closed.
    pub async fn stop(&self) {
        // Nobody listens where all have ended already.
        self.stop.send_replace(true);
        let mut tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let all_ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(PATIENCE, all_ended).await.is_err() {
            tracing::warn!("the server's own work was cut off that did not end in time");
        }
        // What the last requests left to be written.
        let last = self.house.last_used.write(&self.house.db, self.house.ports.clock.now());
        match tokio::time::timeout(PATIENCE, last).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "when sessions were used was not written"),
            Err(_) => tracing::warn!("when sessions were used could not be written in time"),
        }
        // What comes after this is in no checkpoint of this server.
        self.house.db.end_recording().await;
        let now = self.house.ports.clock.now();
        let last = tokio::time::timeout(PATIENCE, log_checkpoint(&self.house, now, true)).await;
        match last {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the last checkpoint could not be made"),
            Err(_) => tracing::error!("the last checkpoint could not be made in time"),
        }
    }
}

/// Does a duty until it is to stop. One that fails is tried again at its pace; the log says so
/// when it begins to fail and when it works again.
async fn repeat(duty: Duty, house: Arc<House>, mut stopped: watch::Receiver<bool>) {
    let mut fails = false;
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            () = tokio::time::sleep(duty.every()) => {}
        }
        // A panic has its own line on the log, and ends no duty.
        let Ok(done) = AssertUnwindSafe(duty.run(&house)).catch_unwind().await else { continue };
        match done {
            Ok(()) if fails => {
                tracing::info!(?duty, "this works again");
                fails = false;
            }
            Ok(()) => {}
            Err(error) if !fails => {
                tracing::error!(?duty, %error, "this failed, and is tried again");
                fails = true;
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_logged_after_a_thousand_records_or_a_minute_with_one() {
        let second = Duration::from_secs;
        let last = Logged { records: 5, since: second(100) };
        assert!(!last.is_past(5, second(1000), false), "nothing happened");
        assert!(!last.is_past(1004, second(159), false));
        assert!(last.is_past(1005, second(100), false) && last.is_past(6, second(160), false));
        assert!(last.is_past(6, second(100), true) && !last.is_past(5, second(1000), true));
    }
}
