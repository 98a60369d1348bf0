//! A database of its own for every test.
//!
//! An SQLite file in a temporary folder, or, with `TEST_DATABASE_URL=postgres://…` in the
//! environment, a fresh schema of that PostgreSQL database.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use tempfile::TempDir;

/// A database that nobody else uses, and the folder of whoever uses it.
pub struct TestDatabase {
    /// The setting `database_url`.
    pub url: String,
    /// Deleted with the test.
    pub folder: TempDir,
}

/// Whether the tests run on PostgreSQL.
pub fn is_postgres() -> bool {
    std::env::var_os("TEST_DATABASE_URL").is_some()
}

impl TestDatabase {
    /// An empty database.
    pub async fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("stipend-test-").tempdir().unwrap();
        let url = match std::env::var("TEST_DATABASE_URL") {
            Ok(base) => fresh_schema(&base, &folder).await,
            Err(_) => format!("sqlite:{}", folder.path().join("stipend.db").display()),
        };
        Self { url, folder }
    }

    /// Runs SQL on it, from outside of Stipend.
    pub async fn execute(&self, sql: &str) {
        if is_postgres() {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            connection.execute(AssertSqlSafe(sql)).await.unwrap();
        } else {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            connection.execute(AssertSqlSafe(sql)).await.unwrap();
        }
    }

    /// Locks what every record is written to, as another process may.
    pub async fn lock(&self) -> Lock {
        if is_postgres() {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            let sql = "BEGIN; LOCK TABLE audit_records IN ACCESS EXCLUSIVE MODE";
            connection.execute(sql).await.unwrap();
            return Lock::Postgres(connection);
        }
        let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
        connection.execute("BEGIN EXCLUSIVE").await.unwrap();
        Lock::Sqlite(connection)
    }

    /// The one number that a query gives, asked from outside of Stipend.
    pub async fn number(&self, sql: &str) -> i64 {
        if is_postgres() {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap()
        } else {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap()
        }
    }

    /// The texts of a query's first column, asked from outside of Stipend.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        if is_postgres() {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap()
        } else {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap()
        }
    }
}

/// What another process holds, until it is released or dropped.
pub enum Lock {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Lock {
    pub async fn release(self) {
        match self {
            Self::Sqlite(mut connection) => connection.execute("ROLLBACK").await.map(drop),
            Self::Postgres(mut connection) => connection.execute("ROLLBACK").await.map(drop),
        }
        .unwrap();
    }
}

async fn fresh_schema(base: &str, folder: &TempDir) -> String {
    let name = folder.path().file_name().unwrap().to_str().unwrap();
    let name = name.replace('-', "_").to_lowercase();
    let mut connection = PgConnection::connect(base).await.expect("TEST_DATABASE_URL answers");
    connection.execute(AssertSqlSafe(format!("CREATE SCHEMA {name}"))).await.unwrap();
    let separator = if base.contains('?') { '&' } else { '?' };
    format!("{base}{separator}options[search_path]={name}")
}
