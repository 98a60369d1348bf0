//! Whose turn it is to write to SQLite, and what follows from the writing: the write-ahead log is
//! copied into the database file before it grows long.
//!
//! SQLite would do that by itself, within the commit that makes the log too long, and all would wait
//! for it. Here it is done beside the commits: first all that there is, while others go on writing,
//! and then, in a turn, the little that they have added meanwhile, so that the log begins again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use sqlx::{SqliteConnection, SqlitePool};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::StoreError;

/// How long a writer waits for its turn.
const PATIENCE: Duration = Duration::from_secs(8);
/// After so many turns the log is copied: each adds a few pages.
const COPIED_EVERY: u64 = 256;
/// With more pages than this in the log, which takes large transactions, SQLite does copy it by itself.
pub(super) const LONGEST_LOG: &str = "16384";
/// Waits for no reader and no writer, and keeps none waiting.
const COPY: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// The turns of a process to write to an SQLite file: a queue is fair, a lock is not.
#[derive(Debug)]
pub struct Turns {
    one: Arc<Semaphore>,
    taken: AtomicU64,
    due: mpsc::Sender<()>,
}

impl Turns {
    /// The turns to write to a file, and the task that copies its log by one of the readers'
    /// connections. It ends with the turns or with the connections.
    pub(super) fn start(readers: SqlitePool) -> Arc<Self> {
        let (due, copying) = mpsc::channel(1);
        let turns = Arc::new(Self { one: Arc::new(Semaphore::new(1)), taken: 0.into(), due });
        tokio::spawn(copy_log(readers, Arc::downgrade(&turns), copying));
        turns
    }

    /// Waits until nobody else of this process writes.
    pub(super) async fn take(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        if self.taken.fetch_add(1, Ordering::Relaxed) % COPIED_EVERY == COPIED_EVERY - 1 {
            // Where it is full, it is due already.
            let _ = self.due.try_send(());
        }
        self.next().await
    }

    async fn next(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        match tokio::time::timeout(PATIENCE, Arc::clone(&self.one).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(sqlx::Error::PoolTimedOut.into()),
        }
    }
}

async fn copy_log(readers: SqlitePool, turns: Weak<Turns>, mut due: mpsc::Receiver<()>) {
    while due.recv().await.is_some() {
        match copy_twice(&readers, &turns).await {
            Ok(()) => {}
            Err(StoreError::Database(sqlx::Error::PoolClosed)) => return,
            // The next time may work, and until then the log grows.
            Err(error) => tracing::warn!(%error, "SQLite's write-ahead log was not copied"),
        }
    }
}

async fn copy_twice(readers: &SqlitePool, turns: &Weak<Turns>) -> Result<(), StoreError> {
    // Before the turn: whoever has that waits for nothing else.
    let mut connection = readers.acquire().await?;
    copy(&mut connection).await?;
    let Some(turns) = turns.upgrade() else { return Ok(()) };
    let _turn = turns.next().await?;
    copy(&mut connection).await
}

/// Copies what there is when it begins, and no reader still needs the log for.
async fn copy(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    sqlx::query(COPY).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::config::Database;
    use crate::store::{Db, throttle};

    #[tokio::test]
    async fn the_log_of_many_small_writes_stays_short_and_nobody_writes_out_of_turn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        let db = Db::open(&Database::Sqlite(path.clone())).await.unwrap();
        let (now, fade) = (Timestamp::from_millis(0), Duration::from_secs(60));
        let write = async |db: Db, worker: i64| {
            for n in 0..COPIED_EVERY {
                let counter = format!("{worker} {n}");
                let mut writer = db.writer().await.unwrap();
                throttle::raise(writer.access(), &counter, now, fade, fade).await.unwrap();
            }
        };
        let workers = (0..12).map(|worker| write(db.clone(), worker));
        futures_util::future::join_all(workers).await;
        let length = std::fs::metadata(path.with_extension("db-wal")).unwrap().len();
        let Db::Sqlite { readers, .. } = &db else { panic!("not SQLite") };
        let written: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM attempts").fetch_one(readers).await.unwrap();
        assert_eq!(written, 12 * 256);
        // Each write adds two pages at least: without copies that would be 24 MiB.
        assert!(length < 8 << 20, "{length} bytes");
        db.close().await;
        assert!(!path.with_extension("db-wal").exists(), "the last connection took it along");
    }
}
