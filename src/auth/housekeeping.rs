//! What a server does by itself, beside answering: a list of duties, each at its own pace.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Ports;
use super::keys::{GRACE, Keys};
use crate::clock::Timestamp;
use crate::store::{Db, StoreError, keys};

/// How long the duties under way may take to finish when the server stops.
const PATIENCE: Duration = Duration::from_secs(2);

/// Something to be done again and again. A further one is a variant here, with its pace and its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Duty {
    /// Notices keys that were added, promoted or retired elsewhere.
    ReadKeys,
    /// Erases the keys that nobody needs any more.
    EraseKeys,
}

impl Duty {
    const ALL: &[Self] = &[Self::ReadKeys, Self::EraseKeys];

    /// How long after its last end it begins again.
    const fn every(self) -> Duration {
        match self {
            Self::ReadKeys => Duration::from_millis(500),
            Self::EraseKeys => Duration::from_secs(60),
        }
    }

    async fn run(self, house: &House) -> Result<(), StoreError> {
        let now = house.ports.clock.now();
        match self {
            Self::ReadKeys => house.keys.read(&house.db, now).await.map(drop),
            Self::EraseKeys => erase_keys(&house.db, now).await,
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

/// What the duties work with.
pub(super) struct House {
    pub(super) db: Db,
    pub(super) ports: Ports,
    pub(super) keys: Arc<Keys>,
}

/// The duties at work. Dropped, they end at once.
pub struct Housekeeping {
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
        Self { stop, tasks: Mutex::new(tasks) }
    }

    /// Ends every duty, after what is under way. To be called before the database is closed.
    pub async fn stop(&self) {
        // Nobody listens where all have ended already.
        self.stop.send_replace(true);
        let mut tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let all_ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(PATIENCE, all_ended).await.is_err() {
            tracing::warn!("the server's own work was cut off that did not end in time");
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
        match duty.run(&house).await {
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
