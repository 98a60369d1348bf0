//! Every column of the trail, as the database itself lists them: so one that is added and that
//! verification does not look at is found here.

use stipend::service::integrity::Evidence;

use crate::archiving::{archive, two_days};
use crate::support::app::TestApp;
use crate::support::database::is_postgres;
use crate::tampering::{TABLES, disarm, flaw, migrated, trail, verify};

/// The names and types of a table's columns.
async fn columns(app: &TestApp, table: &str) -> Vec<(String, String)> {
    let sql = if is_postgres() {
        format!(
            "SELECT column_name || ' ' || data_type FROM information_schema.columns \
             WHERE table_schema = current_schema() AND table_name = '{table}'"
        )
    } else {
        format!("SELECT name || ' ' || LOWER(type) FROM pragma_table_info('{table}')")
    };
    let texts = app.database.texts(&sql).await;
    let pair = |text: String| text.split_once(' ').map(|(name, kind)| (name.into(), kind.into()));
    let columns: Vec<(String, String)> = texts.into_iter().filter_map(pair).collect();
    assert!(columns.len() >= 2, "{table}: {columns:?}");
    columns
}

/// Executes what nothing of the database stands against, as somebody can who has its files.
async fn force(app: &TestApp, sql: &str) {
    let loose = "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;";
    let sql = if is_postgres() { sql.into() } else { format!("{loose} {sql}") };
    app.database.execute(&sql).await;
}

/// Takes away whatever the tables of the trail are guarded by.
async fn lay_open(app: &TestApp) {
    disarm(app).await;
    if !is_postgres() {
        return;
    }
    for sql in [
        "SELECT table_name || ' ALTER COLUMN ' || column_name || ' DROP IDENTITY' \
           FROM information_schema.columns \
          WHERE table_schema = current_schema() AND is_identity = 'YES' AND table_name LIKE 'audit%'",
        "SELECT r.relname || ' DROP CONSTRAINT ' || c.conname FROM pg_constraint c \
           JOIN pg_class r ON r.oid = c.conrelid \
          WHERE c.contype = 'c' AND r.relnamespace = current_schema()::regnamespace \
            AND r.relname LIKE 'audit%'",
    ] {
        for change in app.database.texts(sql).await {
            app.database.execute(&format!("ALTER TABLE {change}")).await;
        }
    }
}

/// Changes each column of one row of a table, one after the other; gives those of which verification
/// did not notice.
async fn unseen(app: &TestApp, table: &str, row: &str, evidence: &Evidence) -> Vec<String> {
    let count = format!("SELECT COUNT(*) FROM {table} WHERE {row}");
    assert_eq!(app.database.number(&count).await, 1, "{count}");
    let mut unseen = Vec::new();
    for (column, kind) in columns(app, table).await {
        let value = match kind.as_str() {
            "integer" | "bigint" => format!("COALESCE({column}, 0) + 100000"),
            "text" => format!("COALESCE('x' || SUBSTR({column}, 2), 'x')"),
            "bytea" => "decode(repeat('ab', 32), 'hex')".to_owned(),
            "blob" => format!("x'{}'", "ab".repeat(32)),
            other => panic!("{table}.{column} is of the type {other}"),
        };
        app.database.execute(&format!("CREATE TABLE kept AS SELECT * FROM {table}")).await;
        force(app, &format!("UPDATE {table} SET {column} = {value} WHERE {row}")).await;
        if verify(app, evidence).await.is_ok() {
            unseen.push(format!("{table}.{column}"));
        }
        force(app, &format!("DELETE FROM {table}")).await;
        force(app, &format!("INSERT INTO {table} SELECT * FROM kept")).await;
        app.database.execute("DROP TABLE kept").await;
        assert_eq!(verify(app, evidence).await.err(), None, "{table}.{column} is as it was");
    }
    unseen
}

#[tokio::test]
async fn r82_no_column_of_the_trail_can_be_changed_unseen() {
    let (app, today) = two_days().await;
    let file = app.database.folder.path().join("old.jsonl");
    archive(&app, today, &file).await.unwrap();
    let evidence = Evidence { archives: vec![file], ..Evidence::default() };
    lay_open(&app).await;
    let mut all = Vec::new();
    for table in TABLES {
        let row = match table {
            "audit_records" => "action = 'read_history'".to_owned(),
            "audit_chains" => {
                let sql = "SELECT chain FROM audit_records WHERE action = 'read_history'";
                format!("chain = {}", app.database.number(sql).await)
            }
            "audit_sets" => "set_no = (SELECT MIN(s.set_no) FROM audit_subjects s)".to_owned(),
            "audit_set_members" => {
                "username = 'ann' AND set_no = (SELECT MIN(m.set_no) FROM audit_set_members m \
                                                 WHERE m.username = 'ann')"
                    .to_owned()
            }
            "audit_subjects" => {
                "record_id = (SELECT MAX(s.record_id) FROM audit_subjects s)".to_owned()
            }
            "audit_archived" => "chain = (SELECT MIN(a.chain) FROM audit_archived a)".to_owned(),
            _ => "before_day <> ''".to_owned(),
        };
        all.extend(unseen(&app, table, &row, &evidence).await);
    }
    // These are no part of what is on record: which chain is whose to add to, and the order in which
    // archives are listed. (SQLite's integrity_check finds a kind that there is not.)
    let unseen = ["audit_chains.kind", "audit_archives.archive_no"];
    assert_eq!(all, if is_postgres() { &unseen[..] } else { &unseen[1..] });
}

#[tokio::test]
async fn r82_no_column_of_a_record_from_before_there_were_chains_can_be_changed_unseen() {
    let app = migrated().await;
    lay_open(&app).await;
    let row = "record_id = (SELECT MIN(r.record_id) FROM audit_records r)";
    assert_eq!(unseen(&app, "audit_records", row, &Evidence::default()).await, [""; 0]);
}

/// A chain that has not begun holds no record that could tell; what it says of itself must be so.
#[tokio::test]
async fn r82_the_end_of_a_chain_that_has_not_begun_cannot_be_changed_unseen() {
    let app = TestApp::new().await;
    lay_open(&app).await;
    for (column, value) in [
        ("length", "5".to_owned()),
        (
            "head",
            if is_postgres() {
                "decode(repeat('ab', 32), 'hex')".into()
            } else {
                format!("x'{}'", "ab".repeat(32))
            },
        ),
    ] {
        app.database.execute("CREATE TABLE kept AS SELECT * FROM audit_chains").await;
        let one = "WHERE chain = (SELECT MAX(k.chain) FROM kept k)";
        app.database.execute(&format!("UPDATE audit_chains SET {column} = {value} {one}")).await;
        assert!(verify(&app, &Evidence::default()).await.is_err(), "{column}");
        app.database.execute("DELETE FROM audit_chains").await;
        app.database.execute("INSERT INTO audit_chains SELECT * FROM kept").await;
        app.database.execute("DROP TABLE kept").await;
        assert_eq!(verify(&app, &Evidence::default()).await, Ok(0));
    }
}

#[tokio::test]
async fn r82_a_look_that_was_renumbered_out_of_sight_is_found() {
    // The whole chain, or its last record, so that the order stays.
    let last = "(SELECT MAX(record_id) FROM audit_records WHERE action = 'read_history')";
    for (number, which) in [("record_id - 1000", "record_id"), ("9223372036854775807", last)] {
        let app = trail().await;
        disarm(&app).await;
        if is_postgres() {
            let loose = "ALTER TABLE audit_records ALTER record_id SET GENERATED BY DEFAULT";
            app.database.execute(loose).await;
        }
        let look = "SELECT record_id FROM audit_records WHERE chain = 2";
        for table in ["audit_subjects", "audit_records"] {
            let sql = format!(
                "UPDATE {table} SET record_id = {number} \
                  WHERE record_id = {which} AND record_id IN ({look})"
            );
            app.database.execute(&sql).await;
        }
        let found = flaw(&app, &Evidence::default(), number).await;
        assert!(found.what.contains("no record is given such a number"), "{number}: {found}");
    }
}
