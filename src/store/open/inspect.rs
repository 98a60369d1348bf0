//! Looking at the database without changing it: neither its rows, nor its schema, nor its files,
//! and none is made where there is none.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::Duration;

use rustix::process::{Flock, FlockType, fcntl_getlk};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgSslMode;
use sqlx::{Connection, PgConnection, SqliteConnection};

use super::{
    APPLICATION, Fault, OpenError, POSTGRES_MIGRATIONS, SQLITE_MIGRATIONS, postgres_options,
    sqlite_files, sqlite_options,
};
use crate::clock::Timestamp;
use crate::config::Database;
use crate::files::folder_of;
use crate::store::{Access, guards, on, statements};

statements! {
    APPLIED = "SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version";
    /// Those who could sign in if the demo were on.
    DEMO_USERS = "SELECT COUNT(*) FROM users WHERE demo = 1 AND disabled_at IS NULL";
    LATEST_RECORD = "SELECT at FROM audit ORDER BY record_id DESC LIMIT 1";
}

/// Whether the database has been set up, as each of the two says it.
const IS_SET_UP_SQLITE: &str = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations')";
const IS_SET_UP_POSTGRES: &str = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";

/// What PostgreSQL says of itself and of this connection.
const POSTGRES_SERVER: &str = "\
    SELECT current_setting('server_version') AS version, \
           current_setting('server_version_num')::int4 AS version_number, \
           current_setting('synchronous_commit') AS synchronous_commit, \
           current_setting('fsync') AS fsync, \
           current_setting('full_page_writes') AS full_page_writes, \
           host(inet_server_addr()) AS address, \
           COALESCE((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), FALSE) AS tls, \
           r.rolname::text AS role, r.rolsuper AS superuser, \
           (SELECT COUNT(*) FROM pg_stat_activity \
            WHERE datname = current_database() AND application_name = $1) AS connections \
    FROM pg_roles r WHERE r.rolname = current_user";

/// A larger file is not read as a whole.
const LARGEST_CHECKED: u64 = 1024 * 1024 * 1024;
/// How long a lock or a server that does not answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What there is to see.
#[derive(Debug)]
pub enum Inspected {
    /// Nothing: there is no such file, and the first start makes it.
    Missing,
    /// It is there and could not be looked at; the sentences say why and what to do.
    Closed {
        /// What is wrong.
        found: String,
        /// What to do.
        advice: &'static str,
    },
    /// It could not be opened, and neither could a server.
    Unusable(OpenError),
    /// This.
    Open(Box<Contents>),
}

/// What an open database shows.
#[derive(Debug)]
pub struct Contents {
    /// Of which of the two, and what only that one has.
    pub engine: Engine,
    /// How its schema stands to this binary's; none if it has never been set up.
    pub schema: Option<Schema>,
    /// How many demo users could sign in if the demo were on.
    pub demo_users: i64,
    /// When the latest act was put on record.
    pub latest_record: Option<Timestamp>,
}

/// Which database it is.
#[derive(Debug)]
pub enum Engine {
    /// SQLite.
    Sqlite {
        /// Of the library that is built in.
        version: String,
        /// Whether the file has a write-ahead log; if not, the next start gives it one.
        has_wal: bool,
        /// Settings of every connection: name, value, and whether it is the one that is needed.
        settings: Vec<(&'static str, i64, bool)>,
        /// What `quick_check` says; none if the file is too large to be read for it.
        check: Option<String>,
        /// The size of the file, in bytes.
        size: u64,
        /// The process that has the file open.
        holder: Option<i32>,
    },
    /// PostgreSQL.
    Postgres(Server),
}

/// A PostgreSQL server, seen from a connection as Stipend makes it.
#[derive(Debug, sqlx::FromRow)]
pub struct Server {
    /// Such as `17.2`.
    pub version: String,
    /// Such as 170002.
    pub version_number: i32,
    /// `on`, unless the server overrides what Stipend asks for.
    pub synchronous_commit: String,
    /// `off` loses commits with the power.
    pub fsync: String,
    /// `off` may damage the database with the power.
    pub full_page_writes: String,
    /// The server's address; none over a socket of this machine.
    pub address: Option<String>,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Whether the server's certificate and name are verified.
    #[sqlx(skip)]
    pub verified: bool,
    /// The role that Stipend has.
    pub role: String,
    /// Whether no rule of the database binds that role.
    pub superuser: bool,
    /// How many connections Stipend's servers have.
    pub connections: i64,
}

/// How a database's schema stands to the one that this binary knows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// The newest version that it has.
    pub version: i64,
    /// How many this binary would add.
    pub to_come: usize,
    /// One that this binary does not know.
    pub unknown: Option<i64>,
    /// One that was other than this binary's when it was applied.
    pub changed: Option<i64>,
    /// One that was begun and not finished.
    pub unfinished: Option<i64>,
    /// Triggers that should be there and armed, and are not.
    pub missing_triggers: Vec<String>,
}

#[derive(sqlx::FromRow)]
struct Applied {
    version: i64,
    success: bool,
    checksum: Vec<u8>,
}

impl Schema {
    fn of(applied: &[Applied], known: &Migrator) -> Self {
        let own = |row: &Applied| known.iter().find(|own| own.version == row.version);
        let first = |is: &dyn Fn(&Applied) -> bool| {
            applied.iter().find(|row| is(row)).map(|row| row.version)
        };
        let has = |version| applied.iter().any(|row| row.version == version);
        Self {
            version: applied.iter().map(|row| row.version).max().unwrap_or(0),
            to_come: known.iter().filter(|own| !has(own.version)).count(),
            unknown: first(&|row| own(row).is_none()),
            changed: first(&|row| own(row).is_some_and(|own| *own.checksum != *row.checksum)),
            unfinished: first(&|row| !row.success),
            missing_triggers: Vec::new(),
        }
    }
}

/// Looks at a database, beside a server that may be running on it.
pub async fn inspect(database: &Database) -> Inspected {
    let inspected = match database {
        Database::Sqlite(path) => inspect_sqlite(path).await,
        Database::Postgres(url) => inspect_postgres(url.expose()).await,
    };
    inspected.unwrap_or_else(|fault| Inspected::Unusable(fault.with(database)))
}

async fn inspect_sqlite(path: &Path) -> Result<Inspected, Fault> {
    let file = match look_at_file(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Inspected::Missing),
        Err(error) => {
            return Ok(Inspected::Closed {
                found: format!("{} cannot be read ({error})", path.display()),
                advice: "run this as the user that the server runs as",
            });
        }
    };
    let [_, wal, index] = sqlite_files(path);
    let mut options = sqlite_options(path).read_only(true).busy_timeout(PATIENCE);
    // A connection makes what the write-ahead log needs where that is missing, and one that only
    // reads leaves it behind.
    let _no_start_meanwhile;
    if file.has_wal && file.holder.is_none() && !wal.exists() {
        let folder = File::open(folder_of(path)).map_err(Fault::File)?;
        match folder.try_lock_shared() {
            Ok(()) => _no_start_meanwhile = folder,
            Err(TryLockError::Error(error)) => return Err(Fault::File(error)),
            Err(TryLockError::WouldBlock) => {
                return Ok(Inspected::Closed {
                    found: format!("{} is being opened by another process", path.display()),
                    advice: "try again in a moment",
                });
            }
        }
        // Nobody has it open, so nobody changes it.
        options = options.immutable(true);
    } else if file.has_wal && file.holder.is_none() && !index.exists() {
        return Ok(Inspected::Closed {
            found: format!(
                "{} has a write-ahead log and no {}: it was copied, or cut off",
                path.display(),
                index.display()
            ),
            advice: "start Stipend, which puts that right, and run this again",
        });
    }
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let contents = read_sqlite(&mut connection, file).await;
    connection.close().await?;
    contents.map(Inspected::from)
}

impl From<Contents> for Inspected {
    fn from(contents: Contents) -> Self {
        Self::Open(Box::new(contents))
    }
}

/// What the file itself shows, before SQLite opens it.
struct FileFacts {
    size: u64,
    has_wal: bool,
    holder: Option<i32>,
}

fn look_at_file(path: &Path) -> std::io::Result<FileFacts> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    // "File format version numbers" (sqlite.org/fileformat2.html, section 1.3.3): 2 is WAL.
    let mut head = Vec::new();
    file.by_ref().take(20).read_to_end(&mut head)?;
    let has_wal = head.get(18) == Some(&2);
    // Every connection holds a lock on these bytes while it is open on a write-ahead log (os.h,
    // SHARED_FIRST). Asked before SQLite has opened the file, since closing a file ends all locks
    // that the same process has on it.
    let shared = Flock { start: 0x4000_0002, length: 510, ..FlockType::WriteLock.into() };
    let lock = fcntl_getlk(&file, &shared)?;
    let holder = lock.and_then(|lock| lock.pid).map(|pid| pid.as_raw_nonzero().get());
    Ok(FileFacts { size, has_wal, holder })
}

async fn read_sqlite(
    connection: &mut SqliteConnection,
    file: FileFacts,
) -> Result<Contents, Fault> {
    let version = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut *connection).await?;
    let mut settings = Vec::new();
    for (name, pragma, wanted) in [
        ("synchronous", "PRAGMA synchronous", 2),
        ("foreign_keys", "PRAGMA foreign_keys", 1),
        ("trusted_schema", "PRAGMA trusted_schema", 0),
        ("secure_delete", "PRAGMA secure_delete", 1),
    ] {
        let value: i64 = sqlx::query_scalar(pragma).fetch_one(&mut *connection).await?;
        settings.push((name, value, value == wanted));
    }
    let mut check: Option<String> = None;
    if file.size <= LARGEST_CHECKED {
        let verdict: String =
            sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut *connection).await?;
        check = Some(verdict.replace('\n', " "));
    }
    let is_set_up = sqlx::query_scalar(IS_SET_UP_SQLITE).fetch_one(&mut *connection).await?;
    let engine = Engine::Sqlite {
        version,
        has_wal: file.has_wal,
        settings,
        check,
        size: file.size,
        holder: file.holder,
    };
    read(Access::Sqlite(connection), engine, is_set_up, &SQLITE_MIGRATIONS).await
}

async fn inspect_postgres(url: &str) -> Result<Inspected, Fault> {
    let options = postgres_options(url)?
        .application_name("stipend doctor")
        .options([("default_transaction_read_only", "on")]);
    let verified = matches!(options.get_ssl_mode(), PgSslMode::VerifyFull);
    let connected = tokio::time::timeout(PATIENCE, PgConnection::connect_with(&options)).await;
    let mut connection = connected.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
    let contents = read_postgres(&mut connection, verified).await;
    connection.close().await?;
    contents.map(Inspected::from)
}

async fn read_postgres(connection: &mut PgConnection, verified: bool) -> Result<Contents, Fault> {
    let server: Server =
        sqlx::query_as(POSTGRES_SERVER).bind(APPLICATION).fetch_one(&mut *connection).await?;
    let is_set_up = sqlx::query_scalar(IS_SET_UP_POSTGRES).fetch_one(&mut *connection).await?;
    let engine = Engine::Postgres(Server { verified, ..server });
    read(Access::Postgres(connection), engine, is_set_up, &POSTGRES_MIGRATIONS).await
}

/// What both databases are asked in the same words.
async fn read(
    mut access: Access<'_>,
    engine: Engine,
    is_set_up: bool,
    known: &Migrator,
) -> Result<Contents, Fault> {
    let mut contents = Contents { engine, schema: None, demo_users: 0, latest_record: None };
    if !is_set_up {
        return Ok(contents);
    }
    let applied: Vec<Applied> = on!(access.reborrow(), connection => {
        sqlx::query_as(APPLIED).fetch_all(connection)
    })?;
    let mut schema = Schema::of(&applied, known);
    schema.missing_triggers =
        guards::missing_triggers(access.reborrow(), schema.version).await.map_err(Fault::of)?;
    contents.schema = Some(schema);
    // The tables are those of the first version.
    if applied.iter().any(|row| row.version == 1 && row.success) {
        contents.demo_users = on!(access.reborrow(), connection => {
            sqlx::query_scalar(DEMO_USERS).fetch_one(connection)
        })?;
        let at: Option<i64> = on!(access, connection => {
            sqlx::query_scalar(LATEST_RECORD).fetch_optional(connection)
        })?;
        contents.latest_record = at.map(Timestamp::from_millis);
    }
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(known: &Migrator) -> Vec<Applied> {
        let row = |own: &sqlx::migrate::Migration| Applied {
            version: own.version,
            success: true,
            checksum: own.checksum.to_vec(),
        };
        known.iter().map(row).collect()
    }

    #[test]
    fn a_schema_is_compared_version_by_version() {
        let known = &SQLITE_MIGRATIONS;
        let mut versions: Vec<i64> = known.iter().map(|own| own.version).collect();
        versions.sort_unstable();
        let [.., before, newest] = versions[..] else { panic!("two at least") };
        let schema = |change: fn(&mut Vec<Applied>)| {
            let mut rows = applied(known);
            change(&mut rows);
            Schema::of(&rows, known)
        };
        let whole = Schema { version: newest, ..Schema::default() };
        assert_eq!(schema(|_| ()), whole);
        let behind = Schema { version: before, to_come: 1, ..Schema::default() };
        assert_eq!(schema(|rows| drop(rows.pop())), behind);
        assert_eq!(schema(|rows| rows[1].checksum = vec![0]).changed, Some(2));
        assert_eq!(schema(|rows| rows[2].success = false).unfinished, Some(3));
        let newer = schema(|rows| rows[0].version = 9999);
        assert_eq!((newer.unknown, newer.to_come, newer.version), (Some(9999), 1, 9999));
    }
}
