//! Every statement is valid on both databases.

use std::io::Write;

use sqlx::{Connection, Executor, PgConnection};

use super::{
    archive, audit, begin_chain, factors, grants, inspect, keys, open, orgs, people, premise,
    rates, reading, sessions, sets, throttle, users, verify,
};
use crate::config::{Database, Secret};
use crate::store::Db;

/// The statements of every module that has any.
const MODULES: [&[(&str, &str)]; 18] = [
    archive::STATEMENTS,
    audit::STATEMENTS,
    begin_chain::STATEMENTS,
    factors::STATEMENTS,
    grants::STATEMENTS,
    keys::STATEMENTS,
    inspect::STATEMENTS,
    open::STATEMENTS,
    orgs::STATEMENTS,
    people::STATEMENTS,
    premise::STATEMENTS,
    rates::STATEMENTS,
    reading::STATEMENTS,
    sessions::STATEMENTS,
    sets::STATEMENTS,
    throttle::STATEMENTS,
    users::STATEMENTS,
    verify::STATEMENTS,
];

fn statements() -> impl Iterator<Item = (&'static str, &'static str)> {
    MODULES.concat().into_iter()
}

#[test]
fn every_module_that_has_statements_is_listed() {
    let has = |text: &str| text.lines().any(|line| line == "statements! {");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let files = [folder.clone(), folder.join("open")]
        .into_iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    let texts =
        files.filter(|path| path.is_file()).map(|path| std::fs::read_to_string(path).unwrap());
    assert_eq!(texts.filter(|text| has(text)).count(), MODULES.len());
}

#[tokio::test]
async fn every_statement_can_be_prepared_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&Database::Sqlite(folder.path().join("test.db"))).await.unwrap();
    let Db::Sqlite { writer, .. } = db else { panic!("not SQLite") };
    for (name, sql) in statements() {
        let prepared = writer.prepare(sqlx::SqlStr::from_static(sql)).await;
        assert!(prepared.is_ok(), "{name}: {}", prepared.unwrap_err());
    }
}

#[tokio::test]
async fn every_statement_can_be_prepared_on_postgresql() {
    let Ok(base) = std::env::var("TEST_DATABASE_URL") else {
        // Not by println!, which a passing test keeps to itself.
        let mut stderr = std::io::stderr();
        writeln!(stderr, "left out: PostgreSQL (TEST_DATABASE_URL is not set)").unwrap();
        return;
    };
    let mut connection = PgConnection::connect(&base).await.unwrap();
    connection.execute("CREATE SCHEMA IF NOT EXISTS every_statement").await.unwrap();
    let separator = if base.contains('?') { '&' } else { '?' };
    let url = format!("{base}{separator}options[search_path]=every_statement");
    let Db::Postgres { pool, snapshots, .. } =
        Db::open(&Database::Postgres(Secret::new(url))).await.unwrap()
    else {
        panic!("not PostgreSQL");
    };
    for (name, sql) in statements() {
        let prepared = pool.prepare(sqlx::SqlStr::from_static(sql)).await;
        assert!(prepared.is_ok(), "{name}: {}", prepared.unwrap_err());
    }
    // A long answer is one statement, for as long as its client takes.
    for (pool, longest) in [(&pool, "30s"), (&snapshots, "0")] {
        let told: String =
            sqlx::query_scalar("SHOW statement_timeout").fetch_one(pool).await.unwrap();
        assert_eq!(told, longest);
    }
}

#[tokio::test]
async fn r101_every_sqlite_connection_is_durable_and_distrustful() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&Database::Sqlite(folder.path().join("test.db"))).await.unwrap();
    let Db::Sqlite { readers, writer, snapshots, .. } = db else { panic!("not SQLite") };
    for pool in [&readers, &writer, &snapshots] {
        let mut connection = pool.acquire().await.unwrap();
        for (pragma, expected) in [
            ("PRAGMA synchronous", 2),
            ("PRAGMA foreign_keys", 1),
            ("PRAGMA busy_timeout", 5000),
            ("PRAGMA trusted_schema", 0),
            ("PRAGMA secure_delete", 1),
        ] {
            let value: i64 = sqlx::query_scalar(pragma).fetch_one(&mut *connection).await.unwrap();
            assert_eq!(value, expected, "{pragma}");
        }
        let mode: String =
            sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *connection).await.unwrap();
        assert_eq!(mode, "wal");
    }
    let written = sqlx::query("DELETE FROM orgs").execute(&readers).await;
    assert!(written.is_err(), "a reader cannot write");
}
