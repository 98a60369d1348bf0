//! PostgreSQL that says nothing any more: its host or the network is gone, and no connection ends.
//!
//! Nothing on the wire tells that from a statement that takes long. But PostgreSQL ends every statement
//! by itself (`statement_timeout`), so what has not answered a little after that will not. It is then
//! an error like any other, and the connection is not used again. The recorder has a limit of its own.
//! Long reads have none, since one statement gives all their rows; there each chunk is waited for.

use std::future::Future;
use std::io;
use std::time::Duration;

use sqlx::{Connection, Error as SqlError, PgConnection};

use super::{Access, StoreError};

/// How long PostgreSQL may work on a statement, as it is told.
pub(super) const STATEMENT_TIMEOUT: &str = "30s";
/// The same for connections and transactions whose statements may take as long as they take.
pub(super) const NO_TIMEOUT: &str = "0";
/// The same for the recorder, which gives up sooner.
pub(super) const RECORDER_TIMEOUT: &str = "10s";
const LET_TAKE_LONG: &str = "SET LOCAL statement_timeout = 0";
/// How long its answer is waited for.
const LONGEST: Duration = Duration::from_secs(33);
/// How long a connection that is not needed any more may take to say that it can be used again.
const LONGEST_TO_RETURN: Duration = Duration::from_secs(5);

/// The answer of PostgreSQL, if it comes.
pub(super) async fn in_time<T>(
    answer: impl Future<Output = Result<T, SqlError>>,
) -> Result<T, SqlError> {
    within(LONGEST, answer).await
}

/// Whether a connection can be used again. Without this, one that never answers would never be given
/// back, and in the end there would be none.
pub(super) async fn still_answers(connection: &mut PgConnection) -> Result<bool, SqlError> {
    within(LONGEST_TO_RETURN, connection.ping()).await.map(|()| true)
}

/// What the end of a transaction says: only PostgreSQL itself can say that it was rolled back.
pub(super) fn of_commit(error: SqlError) -> StoreError {
    let code = error.as_database_error().and_then(|error| error.code());
    match code {
        Some(code) if !leaves_open(&code) => error.into(),
        _ => StoreError::Unsure(error),
    }
}

/// Whether an error of that code does not say what became of the transaction: those of connections, of a
/// server that goes away, and `statement_completion_unknown` (appendix A of PostgreSQL's manual).
fn leaves_open(code: &str) -> bool {
    code.starts_with("08") || code.starts_with("57P") || code == "40003"
}

/// Whether a connection was lost by this, or lacks what this process knows to be in the database; and not
/// a statement that the database refused, such as for a lock or a full disk.
pub(super) fn is_loss(error: &StoreError) -> bool {
    let StoreError::Database(SqlError::Database(refused)) = error else { return true };
    // 23503 says that sets are missing.
    refused.code().is_some_and(|code| leaves_open(&code) || code == "23503")
}

/// Lets the statements of a transaction take as long as they take.
pub(super) async fn let_take_long(access: Access<'_>) -> Result<(), SqlError> {
    match access {
        Access::Sqlite(_) => {}
        Access::Postgres(connection) => {
            in_time(sqlx::query(LET_TAKE_LONG).execute(connection)).await?;
        }
    }
    Ok(())
}

async fn within<T>(
    longest: Duration,
    answer: impl Future<Output = Result<T, SqlError>>,
) -> Result<T, SqlError> {
    tokio::time::timeout(longest, answer).await.unwrap_or_else(|_| {
        let silent = io::Error::new(io::ErrorKind::TimedOut, "PostgreSQL says nothing any more");
        Err(SqlError::Io(silent))
    })
}

#[cfg(test)]
mod tests {
    use super::leaves_open;

    #[test]
    fn a_commit_has_failed_only_where_postgresql_says_so() {
        for code in ["08006", "08007", "40003", "57P01", "57P02"] {
            assert!(leaves_open(code), "{code}");
        }
        // A deadlock, a serialisation failure, a full disk, a deferred constraint.
        for code in ["40P01", "40001", "53100", "23503"] {
            assert!(!leaves_open(code), "{code}");
        }
    }
}
