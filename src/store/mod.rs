//! What the database holds, and the only place that speaks SQL.
//!
//! One text serves both databases: every statement is a constant with `$n` parameters, and a test
//! prepares each on both. What only one of them knows stands by its name beside them: how a connection
//! is made and looked at (`open`), how a writer begins (here), what guards a schema (`guards`). The caller owns the transaction: functions take an [`Access`],
//! never the [`Db`]. Five modules do take it: [`disclosure`] and [`reading`], which give nothing before
//! its record is durable; `claim`, which looks into memory first; `sets`, where the people of a read
//! are added before the record that names them; and `begin_chain`, once, when a database is opened.

pub mod archive;
pub mod audit;
mod begin_chain;
pub mod chain;
mod checker;
mod claim;
pub mod disclosure;
pub mod factors;
pub mod grants;
mod guards;
mod kept;
pub mod keys;
mod open;
pub mod orgs;
pub mod pay;
pub mod people;
mod premise;
pub mod rates;
pub mod reading;
mod recorder;
mod recording;
pub mod sessions;
mod sets;
mod silence;
pub mod stored;
pub mod throttle;
mod turns;
pub mod users;
pub mod verify;

use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool, Transaction};
use tokio::sync::OwnedSemaphorePermit;

pub use claim::{Bearer, Claim};
pub use open::{OpenError, inspect, sqlite_files};
pub use recording::Recording;
pub use sets::Subjects;
pub use turns::Turns;

/// The database could not do it. The text is for the log: it may name tables, never values that
/// were bound.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database did not answer, is full, or is locked: the same may work later.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The record could not be written, for a reason that is on the log: the same may work later. Where that
    /// took too long, it may have been written all the same, of what was never given.
    #[error("a record was not written: {0}")]
    Unrecorded(String),
    /// The database was lost while it made something durable, and did not say whether it did.
    #[error("the database was lost during a commit: {0}")]
    Unsure(sqlx::Error),
    /// Too many records wait to be written.
    #[error("too many records wait to be written")]
    Full,
    /// A value that the schema should have kept out.
    #[error("the database holds an impossible value in {0}")]
    Impossible(&'static str),
}

/// The database.
#[derive(Clone, Debug)]
pub enum Db {
    /// An SQLite file. One writes at a time, so that writers queue here and not on a lock.
    Sqlite {
        /// Read from by many.
        readers: SqlitePool,
        /// Written to by one at a time.
        writer: SqlitePool,
        /// Read from at length, by few.
        snapshots: SqlitePool,
        /// Who writes next.
        turns: Arc<Turns>,
        /// What the process remembers.
        recording: Arc<Recording>,
    },
    /// A PostgreSQL database, which other processes may share.
    Postgres {
        /// For everything but long reads.
        pool: PgPool,
        /// Read from at length, by few.
        snapshots: PgPool,
        /// What the process remembers.
        recording: Arc<Recording>,
    },
}

impl Db {
    fn recording(&self) -> &Recording {
        match self {
            Self::Sqlite { recording, .. } | Self::Postgres { recording, .. } => recording,
        }
    }

    /// A connection to read from.
    pub async fn reader(&self) -> Result<Reader, StoreError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => Reader::Sqlite(readers.acquire().await?),
            Self::Postgres { pool, .. } => Reader::Postgres(pool.acquire().await?),
        })
    }

    /// Begins a transaction that may write. Every change that has a record begins here. What else
    /// writes: statements that are transactions of their own ([`Db::writer`]), and the recorder of
    /// reads. On SQLite it takes the write lock at once, since a reader that turns writer can only fail.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Self::Sqlite { writer, turns, .. } => {
                let turn = turns.take().await?;
                match writer.begin_with("BEGIN IMMEDIATE").await {
                    Ok(begun) => Tx::Sqlite(begun, Some(turn)),
                    Err(error) => return Err(give_up(writer, error).await),
                }
            }
            Self::Postgres { pool, .. } => Tx::Postgres(silence::in_time(pool.begin()).await?),
        })
    }

    /// A connection for statements that write and of which each is a transaction of its own: it is
    /// durable when it is done, and takes one message to the connection where a transaction takes three.
    pub async fn writer(&self) -> Result<Writer, StoreError> {
        Ok(match self {
            Self::Sqlite { writer, turns, .. } => {
                let turn = turns.take().await?;
                Writer::Sqlite(writer.acquire().await?, turn)
            }
            Self::Postgres { pool, .. } => Writer::Postgres(pool.acquire().await?),
        })
    }

    /// Begins a transaction that reads, and sees the database as it is at its first statement until
    /// it ends. There are few of these, so that long reads leave connections for all else.
    pub async fn snapshot(&self) -> Result<Tx, StoreError> {
        const REPEATABLE: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        Ok(match self {
            Self::Sqlite { snapshots, .. } => Tx::Sqlite(snapshots.begin().await?, None),
            Self::Postgres { snapshots, .. } => {
                Tx::Postgres(silence::in_time(snapshots.begin_with(REPEATABLE)).await?)
            }
        })
    }

    /// Records all that waits to be, and no read from then on: so none is given.
    pub async fn end_recording(&self) {
        self.recording().recorder.stop().await;
    }

    /// Closes every connection, after what is under way on it, and all that waits to be recorded.
    pub async fn close(&self) {
        self.end_recording().await;
        match self {
            Self::Sqlite { readers, writer, snapshots, .. } => {
                snapshots.close().await;
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres { pool, snapshots, .. } => {
                snapshots.close().await;
                pool.close().await;
            }
        }
    }
}

/// Gives the connection up on which no transaction could begin, so that the next one begins on another:
/// what SQLite opened while the file was read-only stays so when the file can be written again.
async fn give_up(writer: &SqlitePool, error: sqlx::Error) -> StoreError {
    if error.as_database_error().is_some()
        && let Ok(mut connection) = writer.acquire().await
    {
        connection.close_on_drop();
    }
    error.into()
}

/// A connection to read from.
#[derive(Debug)]
pub enum Reader {
    /// To SQLite.
    Sqlite(PoolConnection<Sqlite>),
    /// To PostgreSQL.
    Postgres(PoolConnection<Postgres>),
}

impl Reader {
    /// What data functions take.
    pub fn access(&mut self) -> Access<'_> {
        match self {
            Self::Sqlite(connection) => Access::Sqlite(connection),
            Self::Postgres(connection) => Access::Postgres(connection),
        }
    }
}

/// A connection for single statements that write.
#[derive(Debug)]
pub enum Writer {
    /// To SQLite, and the process's turn to write.
    Sqlite(PoolConnection<Sqlite>, OwnedSemaphorePermit),
    /// To PostgreSQL.
    Postgres(PoolConnection<Postgres>),
}

impl Writer {
    /// What data functions take.
    pub fn access(&mut self) -> Access<'_> {
        match self {
            Self::Sqlite(connection, _) => Access::Sqlite(connection),
            Self::Postgres(connection) => Access::Postgres(connection),
        }
    }

    /// Gives the connection up, on which a statement has failed: what SQLite opened while the file was
    /// read-only stays so.
    pub fn give_up(mut self) {
        match &mut self {
            Self::Sqlite(connection, _) => connection.close_on_drop(),
            Self::Postgres(connection) => connection.close_on_drop(),
        }
    }
}

/// A transaction that may write; dropped without [`Tx::commit`], it leaves nothing behind.
#[derive(Debug)]
pub enum Tx {
    /// On SQLite, and, where it may write, the process's turn to do so.
    Sqlite(Transaction<'static, Sqlite>, Option<OwnedSemaphorePermit>),
    /// On PostgreSQL.
    Postgres(Transaction<'static, Postgres>),
}

impl Tx {
    /// What data functions take.
    pub fn access(&mut self) -> Access<'_> {
        match self {
            Self::Sqlite(transaction, _) => Access::Sqlite(transaction),
            Self::Postgres(transaction) => Access::Postgres(transaction),
        }
    }

    /// Makes it durable: when this returns, the changes survive a loss of power. If it fails, they are
    /// not there, unless the error is [`StoreError::Unsure`].
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(transaction, _turn) => transaction.commit().await?,
            Self::Postgres(transaction) => {
                silence::in_time(transaction.commit()).await.map_err(silence::of_commit)?;
            }
        }
        Ok(())
    }
}

/// A connection or a transaction of either database.
#[derive(Debug)]
pub enum Access<'c> {
    /// SQLite.
    Sqlite(&'c mut SqliteConnection),
    /// PostgreSQL.
    Postgres(&'c mut PgConnection),
}

impl Access<'_> {
    /// The same again, for a further statement.
    pub fn reborrow(&mut self) -> Access<'_> {
        match self {
            Self::Sqlite(connection) => Access::Sqlite(connection),
            Self::Postgres(connection) => Access::Postgres(connection),
        }
    }
}

/// Fetches by one statement, on whichever database it is.
macro_rules! on {
    ($access:expr, $connection:ident => $statement:expr) => {
        match $access {
            $crate::store::Access::Sqlite($connection) => $statement.await,
            $crate::store::Access::Postgres($connection) => {
                $crate::store::silence::in_time($statement).await
            }
        }
    };
}
use on;

/// Executes one statement, on whichever database it is; gives the number of rows that it changed.
macro_rules! execute {
    ($access:expr, $query:expr) => {
        match $access {
            $crate::store::Access::Sqlite(connection) => {
                $query.execute(connection).await.map(|done| done.rows_affected())
            }
            $crate::store::Access::Postgres(connection) => {
                let done = $crate::store::silence::in_time($query.execute(connection)).await;
                done.map(|done| done.rows_affected())
            }
        }
    };
}
use execute;

/// Declares a module's statements, and lists them for the test that prepares them all.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* const $name: &str = $sql;)*
        #[cfg(test)]
        pub(in crate::store) const STATEMENTS: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}
use statements;

#[cfg(test)]
mod tests;
