//! What a running server does about sessions beside answering: writes when they were used, and forgets
//! those that are long over.

use std::sync::Arc;
use std::time::Duration;

use super::{LastUsed, Ports};
use crate::clock::{Clock, Day};
use crate::store::{Db, StoreError, sessions};

/// For how long the row of a session is kept that has ended or expired. Its id stays in the records
/// for ever; the row says beside that from where and until when it was, which somebody may ask who
/// looks into what happened.
const KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How many rows one transaction deletes, so that no writer waits for long.
const AT_ONCE: u16 = 1000;

/// The duties. Each is called as often as one likes, and does its work when it is due.
pub struct Upkeep {
    db: Db,
    clock: Arc<dyn Clock>,
    last_used: Arc<LastUsed>,
    pruned_on: Option<Day>,
}

impl Upkeep {
    /// The duties of a server.
    pub fn new(db: &Db, ports: &Ports, last_used: &Arc<LastUsed>) -> Self {
        let (db, clock) = (db.clone(), ports.clock.clone());
        Self { db, clock, last_used: last_used.clone(), pruned_on: None }
    }

    /// Does what is due. What fails is logged and tried again the next time.
    pub async fn run(&mut self) {
        if let Err(error) = self.last_used.write_each_minute(&self.db, self.clock.now()).await {
            tracing::warn!(%error, "when sessions were used could not be written");
        }
        match self.prune_sessions().await {
            Ok(0) => {}
            Ok(number) => tracing::info!(number, "deleted sessions that were long over"),
            Err(error) => tracing::warn!(%error, "old sessions could not be deleted"),
        }
    }

    /// Does what may not wait for another time, after the last request.
    pub async fn finish(&self) {
        if let Err(error) = self.last_used.write(&self.db, self.clock.now()).await {
            tracing::warn!(%error, "when sessions were used could not be written");
        }
    }

    /// Once a day, deletes the rows of sessions that have been over for 90 days; gives how many.
    /// Nothing refers to them, and a session without a row lets nobody in.
    pub async fn prune_sessions(&mut self) -> Result<u64, StoreError> {
        let now = self.clock.now();
        if self.pruned_on == Some(now.day()) {
            return Ok(0);
        }
        let mut deleted = 0;
        loop {
            let mut tx = self.db.begin().await?;
            let some = sessions::prune(tx.access(), now.minus(KEPT), AT_ONCE).await?;
            tx.commit().await?;
            deleted += some;
            if some < u64::from(AT_ONCE) {
                self.pruned_on = Some(now.day());
                return Ok(deleted);
            }
        }
    }
}
