//! Opening the database: connections set up, schema brought up to date, faults in plain words.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};

use super::recorder::Place;
use super::turns::{LONGEST_LOG, Turns};
use super::{Db, Recording, StoreError, begin_chain, guards, on, silence, statements};
use crate::config::Database;
use crate::files::folder_of;

pub mod inspect;

pub(super) static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("./migrations");
pub(super) static POSTGRES_MIGRATIONS: Migrator = sqlx::migrate!("./migrations/postgres");

/// How long a statement waits for a lock that another process holds.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(8);
/// What PostgreSQL's administrator sees in `pg_stat_activity`.
const APPLICATION: &str = "stipend";
/// How many answers too long to hold are read at a time.
const LONG_READS: u32 = 2;

statements! {
    SCHEMA_VERSION = "SELECT MAX(version) FROM _sqlx_migrations";
}

/// The database cannot be used; the sentence says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct OpenError {
    place: String,
    problem: String,
}

impl Db {
    /// Connects and brings the schema up to date, which seeds an empty database.
    pub async fn open(database: &Database) -> Result<Self, OpenError> {
        let opened = match database {
            Database::Sqlite(path) => open_sqlite(path).await,
            Database::Postgres(url) => open_postgres(url.expose()).await,
        };
        opened.map_err(|fault| fault.with(database))
    }

    /// An error where a trigger of the schema is missing: what Stipend promises rests on them.
    pub async fn check_guards(&self, database: &Database) -> Result<(), OpenError> {
        let missing = async {
            let mut reader = self.reader().await?;
            guards::missing_triggers(reader.access(), i64::MAX).await
        };
        let fault = match missing.await {
            Ok(missing) if missing.is_empty() => return Ok(()),
            Ok(missing) => Fault::Unguarded(missing),
            Err(error) => Fault::of(error),
        };
        Err(fault.with(database))
    }

    /// Asks the database for its schema's version; an error unless it is this binary's own.
    pub async fn check(&self) -> Result<(), StoreError> {
        let mut reader = self.reader().await?;
        let version: Option<i64> = on!(reader.access(), connection => sqlx::query_scalar(SCHEMA_VERSION).fetch_one(connection))?;
        let newest = self.migrations().iter().map(|migration| migration.version).max();
        if version == newest { Ok(()) } else { Err(StoreError::Impossible("_sqlx_migrations")) }
    }

    fn migrations(&self) -> &'static Migrator {
        match self {
            Self::Sqlite { .. } => &SQLITE_MIGRATIONS,
            Self::Postgres { .. } => &POSTGRES_MIGRATIONS,
        }
    }
}

/// Why the database cannot be used.
enum Fault {
    File(std::io::Error),
    Damaged(String),
    Unguarded(Vec<String>),
    Sql(sqlx::Error),
    Migrate(MigrateError),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<MigrateError> for Fault {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                Self::Sql(error)
            }
            other => Self::Migrate(other),
        }
    }
}

async fn open_sqlite(path: &Path) -> Result<Db, Fault> {
    keep_private(path).map_err(Fault::File)?;
    let one_at_a_time = lock_folder(path).map_err(Fault::File)?;
    let options = sqlite_options(path).journal_mode(SqliteJournalMode::Wal);
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|connection, _| Box::pin(is_idle(connection)))
        .connect_with(options.clone())
        .await?;
    let verdict: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&writer).await?;
    if verdict != "ok" {
        return Err(Fault::Damaged(verdict.replace('\n', " ")));
    }
    SQLITE_MIGRATIONS.run(&writer).await?;
    drop(one_at_a_time);
    // The migrations may have found nothing to do: a file that cannot be written shows here.
    writer.begin_with("BEGIN IMMEDIATE").await?.rollback().await?;
    let reading = options.clone().pragma("query_only", "ON");
    let readers = SqlitePoolOptions::new()
        .max_connections(8)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .connect_with(reading.clone())
        .await?;
    let snapshots = SqlitePoolOptions::new()
        .max_connections(LONG_READS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .connect_lazy_with(reading);
    let turns = Turns::start(readers.clone());
    let recording = Recording::start(Place::Sqlite(options, Arc::clone(&turns)));
    let db = Db::Sqlite { readers, writer, snapshots, turns, recording };
    begin_chain::begin(&db).await.map_err(Fault::of)?;
    Ok(db)
}

/// How every connection to SQLite is set up; how the file is journalled is the file's own.
fn sqlite_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(LOCK_TIMEOUT)
        // NORMAL may lose the last commits at a loss of power: a record of who saw what among them.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("trusted_schema", "OFF")
        .pragma("secure_delete", "ON")
        .pragma("wal_autocheckpoint", LONGEST_LOG)
}

/// Whether a connection is outside of a transaction. Where SQLite has ended one by itself, as it
/// does when the disk is full, sqlx counts on; such a connection is given up for another.
async fn is_idle(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // A roll-back may still be on its way; this waits for it.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

/// Holds off other processes that start on the same folder: sqlx has no lock on SQLite, and two
/// that set up a new database at once would fail. Unlocked when the file is dropped.
fn lock_folder(path: &Path) -> std::io::Result<File> {
    let folder = File::open(folder_of(path))?;
    folder.lock()?;
    Ok(folder)
}

/// The file and its companions, whether they are there or not.
pub fn sqlite_files(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    })
}

/// Makes the file and its companions readable by their owner alone.
fn keep_private(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    for file in sqlite_files(path) {
        if file.exists() && file.metadata()?.permissions().mode() & 0o077 != 0 {
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600))?;
        }
    }
    Ok(())
}

/// How every connection to PostgreSQL is set up.
fn postgres_options(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    let options: PgConnectOptions = url.parse()?;
    Ok(options.application_name(APPLICATION).options([
        ("synchronous_commit", "on"),
        ("lock_timeout", "5s"),
        ("statement_timeout", silence::STATEMENT_TIMEOUT),
        ("idle_in_transaction_session_timeout", "30s"),
    ]))
}

async fn open_postgres(url: &str) -> Result<Db, Fault> {
    let options = postgres_options(url)?;
    // A pool would try again and again, and then say only that time is up.
    PgConnection::connect_with(&options).await?.close().await?;
    let pool = PgPoolOptions::new()
        .max_connections(16)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_release(|connection, _| Box::pin(silence::still_answers(connection)))
        .connect_with(options.clone())
        .await?;
    POSTGRES_MIGRATIONS.run(&pool).await?;
    let snapshots = PgPoolOptions::new()
        .max_connections(LONG_READS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_release(|connection, _| Box::pin(silence::still_answers(connection)))
        .connect_lazy_with(options.clone().options([("statement_timeout", silence::NO_TIMEOUT)]));
    let recorder_options = options.options([("statement_timeout", silence::RECORDER_TIMEOUT)]);
    let db = Db::Postgres {
        pool,
        snapshots,
        recording: Recording::start(Place::Postgres(recorder_options)),
    };
    begin_chain::begin(&db).await.map_err(Fault::of)?;
    Ok(db)
}

impl Fault {
    fn with(&self, database: &Database) -> OpenError {
        let place = match database {
            Database::Sqlite(path) => format!("the database {}", path.display()),
            // The URL may hold a password.
            Database::Postgres(_) => "the PostgreSQL database".to_owned(),
        };
        OpenError { place, problem: self.problem() }
    }

    fn of(error: StoreError) -> Self {
        match error {
            StoreError::Database(error) => Self::Sql(error),
            other => Self::Damaged(other.to_string()),
        }
    }

    /// What is wrong and what to do, without the URL, which may hold a password.
    fn problem(&self) -> String {
        match self {
            Self::File(error) => format!("cannot be opened for writing ({error})"),
            Self::Damaged(verdict) => format!(
                "is damaged ({verdict}): keep a copy of the file, and restore the last good backup"
            ),
            Self::Unguarded(missing) => format!(
                "lacks what keeps its trail from being altered and its answers current (the triggers \
                 {}): keep a copy of it, and restore the last good backup",
                missing.join(", ")
            ),
            Self::Migrate(MigrateError::VersionMissing(version)) => format!(
                "was set up by a newer Stipend (its schema holds version {version}, which this one \
                 does not know): run that Stipend, or restore a backup from before the upgrade"
            ),
            Self::Migrate(MigrateError::VersionMismatch(version)) => format!(
                "was set up by another build (its schema version {version} differs from this \
                 one's): run the build that made it"
            ),
            Self::Migrate(error) => format!("cannot be brought up to date ({error})"),
            Self::Sql(sqlx::Error::Database(error)) => {
                let code = error.code().unwrap_or_default();
                explain_code(&code).map_or_else(
                    || format!("refused a statement (code {code}): {}", error.message()),
                    str::to_owned,
                )
            }
            Self::Sql(sqlx::Error::Io(error)) => format!(
                "cannot be reached ({error}): check that it runs, and the host and port in \
                 database_url"
            ),
            Self::Sql(sqlx::Error::Tls(_)) => {
                "cannot be reached over TLS: check sslmode and sslrootcert in database_url".into()
            }
            Self::Sql(sqlx::Error::PoolTimedOut) => {
                "does not answer in time: check that it runs and has connections to spare".into()
            }
            Self::Sql(sqlx::Error::Configuration(_)) => {
                "has a database_url that cannot be understood: it is \
                 postgres://USER:PASSWORD@HOST:PORT/DATABASE, special characters written as %XX"
                    .into()
            }
            Self::Sql(error) => format!("failed ({error})"),
        }
    }
}

/// The codes of SQLite (sqlite.org/rescode.html; the low byte is the primary code) and PostgreSQL
/// (appendix A of its manual) that an operator can do something about.
fn explain_code(code: &str) -> Option<&'static str> {
    let primary = code.parse::<u32>().ok().filter(|_| code.len() != 5).map(|code| code & 0xff);
    Some(match (primary, code) {
        (Some(5 | 6), _) => "is locked by another process: stop it, then start again",
        (Some(8), _) => {
            "is read-only: let this user write the file and its folder, then start again"
        }
        (Some(10), _) => "cannot be read or written: check the disk",
        (Some(11), _) => "is damaged: keep a copy of the file, and restore the last good backup",
        (Some(13), _) => "cannot grow, since the disk is full: make room, then start again",
        (Some(14), _) => "cannot be opened: check that its folder exists and may be written",
        (Some(26), _) => "is not an SQLite database: check database_url",
        (_, "28P01" | "28000") => {
            "refused the user or the password: check database_url and pg_hba.conf"
        }
        (_, "3D000") => "does not exist on that server: create it with createdb",
        (_, "42501") => "does not let this user create tables: grant it CREATE on its schema",
        (_, "53100") => "cannot grow, since the disk is full: make room, then start again",
        (_, "53300") => "has no connection to spare: raise max_connections, or stop a client",
        (_, "57P03") => "is starting up or shutting down: try again in a moment",
        (_, "25006") => "is read-only, such as a standby: connect to the primary",
        _ => return None,
    })
}
