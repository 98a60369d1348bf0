//! What the disk itself can do here: rows committed one by one through sqlx, each durable, with
//! the settings of Stipend's own database, for the seconds of `BENCH_SECONDS`, in the file
//! `commit.db`. Prints the median commit in microseconds.
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "it measures, and prints")]

use std::time::{Duration, Instant};

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let duration = Duration::from_secs_f64(std::env::var("BENCH_SECONDS")?.parse()?);
    let mut commits = tokio::runtime::Runtime::new()?.block_on(commit_for(duration))?;
    commits.sort();
    let median = commits.get(commits.len() / 2).ok_or("no commit in that time")?;
    println!("{}", median.as_micros());
    Ok(())
}

/// Commits until the time is over; gives how long each took.
async fn commit_for(duration: Duration) -> Result<Vec<Duration>, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename("commit.db")
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
        .execute(&mut connection)
        .await?;
    let (began, mut commits) = (Instant::now(), Vec::new());
    while began.elapsed() < duration {
        let start = Instant::now();
        sqlx::query("INSERT INTO rows (text) VALUES ($1)")
            .bind("about as long as an audit record, which names people, grants and a request")
            .execute(&mut connection)
            .await?;
        commits.push(start.elapsed());
    }
    connection.close().await?;
    Ok(commits)
}
