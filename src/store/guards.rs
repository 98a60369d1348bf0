//! Whether the schema is what the migrations made it: its triggers are there, and its tables are the plain
//! tables that they were.
//!
//! Triggers keep the trail append-only, and raise the versions by which what is remembered is known to be
//! current: without one of them a promise is broken, and nothing would show it. A copy of a database that
//! was made by something other than a backup may lack them. A table under another's name, or an index that
//! lacks a row, would show some readers another trail than `verify` follows.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Connection;
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnection;

use super::open::{POSTGRES_MIGRATIONS, SQLITE_MIGRATIONS};
use super::{Access, StoreError, silence};

/// Triggers that are there and armed, as each of the two databases says it.
const ARMED_SQLITE: &str = "SELECT name FROM sqlite_master WHERE type = 'trigger'";
const ARMED_POSTGRES: &str = "\
    SELECT t.tgname::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid \
      JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND n.nspname = current_schema()";
/// What SQLite's schema is made of, but for sqlx's own table, which several versions of it make.
const PARTS: &str = "\
    SELECT name, type, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> '_sqlx_migrations'";
const INTEGRITY: &str = "PRAGMA integrity_check(1)";
/// PostgreSQL's tables that are tables and show everybody the same.
const PLAIN_TABLES: &str = "\
    SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname = current_schema() AND c.relkind = 'r' AND NOT c.relrowsecurity \
       AND NOT EXISTS (SELECT 1 FROM pg_rewrite r WHERE r.ev_class = c.oid)";
const FUNCTIONS: &str = "\
    SELECT p.proname::text, p.prosrc FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
     WHERE n.nspname = current_schema()";

fn migrations(access: &Access<'_>) -> &'static Migrator {
    match access {
        Access::Sqlite(_) => &SQLITE_MIGRATIONS,
        Access::Postgres(_) => &POSTGRES_MIGRATIONS,
    }
}

/// The names of the triggers that the migrations up to a version make and that are not there, or are
/// disarmed; sorted.
pub(super) async fn missing_triggers(
    access: Access<'_>,
    version: i64,
) -> Result<Vec<String>, StoreError> {
    let expected = made(migrations(&access), version, "TRIGGER");
    let armed: Vec<String> = match access {
        Access::Sqlite(connection) => {
            sqlx::query_scalar(ARMED_SQLITE).fetch_all(connection).await?
        }
        Access::Postgres(connection) => {
            silence::in_time(sqlx::query_scalar(ARMED_POSTGRES).fetch_all(connection)).await?
        }
    };
    let is_missing = |name: &&str| !armed.iter().any(|armed| armed == name);
    Ok(expected.into_iter().filter(is_missing).map(str::to_owned).collect())
}

/// What of the tables is other than the migrations made it, if anything is; the schema is of the newest
/// version. On SQLite that is also what its indexes hold.
pub(super) async fn find_alteration(access: Access<'_>) -> Result<Option<String>, StoreError> {
    match access {
        Access::Sqlite(connection) => {
            let verdict: String = sqlx::query_scalar(INTEGRITY).fetch_one(&mut *connection).await?;
            if verdict != "ok" {
                return Ok(Some(format!("integrity_check found: {verdict}")));
            }
            let mut new = SqliteConnection::connect("sqlite::memory:").await?;
            SQLITE_MIGRATIONS.run(&mut new).await.map_err(|_| StoreError::Impossible("memory"))?;
            let (expected, found) = (parts(&mut new).await?, parts(connection).await?);
            new.close().await?;
            Ok(find_difference(&expected, &found))
        }
        Access::Postgres(connection) => {
            let plain: Vec<String> =
                silence::in_time(sqlx::query_scalar(PLAIN_TABLES).fetch_all(&mut *connection))
                    .await?;
            let is_plain = |name: &str| plain.iter().any(|plain| plain == name);
            let tables = made(&POSTGRES_MIGRATIONS, i64::MAX, "TABLE");
            if let Some(name) = tables.into_iter().find(|name| !is_plain(name)) {
                return Ok(Some(format!(
                    "{name} is no plain table: it is missing, a view, or has rules or row security"
                )));
            }
            let functions: Vec<(String, String)> =
                silence::in_time(sqlx::query_as(FUNCTIONS).fetch_all(connection)).await?;
            let bodies = bodies(&POSTGRES_MIGRATIONS);
            let is_altered = |(name, body): &&(String, String)| {
                let mut own = bodies.iter().filter(|(of, _)| of.split('(').next() == Some(name));
                own.clone().next().is_some() && !own.any(|(_, own)| own == body)
            };
            let altered = functions.iter().find(is_altered);
            Ok(altered.map(|(name, _)| format!("the function {name} is not what Stipend made it")))
        }
    }
}

/// The parts of a schema by their names: their types, and the statements that make them.
type Parts = BTreeMap<String, (String, String)>;

/// What of a schema is not as expected. That a trigger is missing, [`missing_triggers`] tells: whoever has
/// taken one off has changed no record by it.
fn find_difference(expected: &Parts, found: &Parts) -> Option<String> {
    let differs = |(name, part): &(&String, &(String, String))| match found.get(*name) {
        Some(found) => found != *part,
        None => part.0 != "trigger",
    };
    if let Some((name, _)) = expected.iter().find(differs) {
        return Some(format!("{name} is not what Stipend made it"));
    }
    let is_strange = |(name, part): &(&String, &(String, String))| {
        part.0 == "trigger" && !expected.contains_key(*name)
    };
    found
        .iter()
        .find(is_strange)
        .map(|(name, _)| format!("the trigger {name} is none of Stipend's"))
}

/// Of each function, by its name and arguments, the text that migrations have given it last.
fn bodies(migrations: &Migrator) -> BTreeMap<&str, &str> {
    let mut bodies = BTreeMap::new();
    for migration in migrations.iter() {
        for text in migration.sql.as_str().split("FUNCTION ").skip(1) {
            let (Some((signature, _)), Some(body)) =
                (text.split_once(')'), text.split("$$").nth(1))
            else {
                continue;
            };
            bodies.insert(signature, body);
        }
    }
    bodies
}

/// Versions of SQLite differ in where they quote names that they have renamed.
async fn parts(connection: &mut SqliteConnection) -> Result<Parts, StoreError> {
    let parts: Vec<(String, String, String)> = sqlx::query_as(PARTS).fetch_all(connection).await?;
    let plain = |sql: String| sql.replace(|c: char| c == '"' || c.is_whitespace(), "");
    Ok(parts.into_iter().map(|(name, kind, sql)| (name, (kind, plain(sql)))).collect())
}

/// The names of what the texts of the migrations make of a kind, and neither drop nor rename again.
fn made<'a>(migrations: &'a Migrator, version: i64, kind: &str) -> BTreeSet<&'a str> {
    let name_of = |word: &'a str| word.trim_end_matches(';');
    let mut made = BTreeSet::new();
    for migration in migrations.iter().filter(|migration| migration.version <= version) {
        let words: Vec<&str> = migration.sql.as_str().split_whitespace().collect();
        for phrase in words.windows(3).filter(|phrase| phrase.get(1) == Some(&kind)) {
            match phrase {
                ["CREATE", _, name] => made.insert(name_of(name)),
                ["DROP", _, name] => made.remove(name_of(name)),
                _ => continue,
            };
        }
        for phrase in words.windows(6) {
            if let ["ALTER", altered, from, "RENAME", "TO", to] = phrase
                && *altered == kind
                && made.remove(from)
            {
                made.insert(name_of(to));
            }
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_migrations_make_is_read_from_their_texts() {
        for migrations in [&SQLITE_MIGRATIONS, &POSTGRES_MIGRATIONS] {
            let tables = made(migrations, i64::MAX, "TABLE");
            for name in ["audit_records", "grants", "keys", "sessions", "audit_archived"] {
                assert!(tables.contains(name), "{name}");
            }
            assert!(!tables.contains("audit"), "it is a view since 0007");
            assert!(made(migrations, 1, "TABLE").contains("audit"));
            assert!(
                tables.iter().all(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
            );
            for (signature, body) in bodies(migrations) {
                assert!(signature.contains('(') && body.len() > 10, "{signature}: {body}");
            }
            let triggers = made(migrations, i64::MAX, "TRIGGER");
            assert!(triggers.len() > 20, "{}", triggers.len());
            let texts = migrations
                .iter()
                .map(|migration| migration.sql.as_str().matches("CREATE TRIGGER ").count());
            let dropped = migrations
                .iter()
                .map(|migration| migration.sql.as_str().matches("DROP TRIGGER ").count());
            assert_eq!(triggers.len(), texts.sum::<usize>() - dropped.sum::<usize>());
        }
    }
}
