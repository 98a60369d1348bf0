//! What would show readers another trail than the one that verification follows: tables, indexes and sets
//! that are not what they seem. The records themselves are as they were in all of these.

use stipend::service::audit;
use stipend::service::integrity::Evidence;
use stipend::store::chain::{hash_of_set, hex};

use crate::support::app::TestApp;
use crate::support::database::is_postgres;
use crate::tampering::{act, disarm, flaw, is_whole, middle, origin, trail};

async fn found(app: &TestApp, what: &str) -> String {
    flaw(app, &Evidence::default(), what).await.what
}

/// Changes what the schema says of something while `then` is done, as SQLite lets anybody.
async fn under_another_schema(app: &TestApp, name: &str, change: (&str, &str), then: &str) {
    let text = format!("SELECT sql FROM sqlite_master WHERE name = '{name}'");
    let text = app.database.texts(&text).await.remove(0);
    let changed = text.replace(change.0, change.1);
    assert_ne!(text, changed);
    let put = |text: &str| {
        format!(
            "PRAGMA writable_schema = ON; \
             UPDATE sqlite_master SET sql = '{}' WHERE name = '{name}'; \
             PRAGMA writable_schema = RESET;",
            text.replace('\'', "''")
        )
    };
    app.database.execute(&format!("{} {then}; {}", put(&changed), put(&text))).await;
}

#[tokio::test]
async fn r82_an_index_that_leaves_a_record_out_is_found() {
    if is_postgres() {
        return; // whose indexes no statement can make wrong
    }
    let app = trail().await;
    let (id, _) = middle(&app).await;
    let elsewhere = format!("(CASE record_id WHEN {id} THEN '~' ELSE org END, record_id)");
    let change = ("(org, record_id)", elsewhere.as_str());
    under_another_schema(&app, "audit_of_org", change, "REINDEX audit_of_org").await;
    let by_index = "SELECT COUNT(*) FROM audit_records WHERE org = 'twilio' AND action = 'sum_pay'";
    assert_eq!(app.database.number(by_index).await, 0, "nobody is shown it");
    let what = found(&app, "an index").await;
    assert!(what.contains("integrity_check") && what.contains("audit_of_org"), "{what}");
    app.database.execute("REINDEX").await;
    is_whole(&app).await;
}

/// No text and an empty one are the same to whoever computes a hash, and not to whoever looks for an org.
#[tokio::test]
async fn r82_nothing_where_an_empty_text_was_is_found() {
    if is_postgres() {
        return; // which has no way around NOT NULL
    }
    let app = trail().await;
    disarm(&app).await;
    app.database.execute("INSERT INTO orgs (org, created_at) VALUES ('', 0)").await;
    let change = ("org        TEXT    NOT NULL", "org        TEXT           ");
    let then = "UPDATE audit_records SET org = NULL WHERE org = ''; \
                UPDATE audit_records SET org = NULL WHERE action = 'sum_pay'";
    under_another_schema(&app, "audit_records", change, then).await;
    let what = found(&app, "NULL").await;
    assert!(what.contains("NULL value in audit_records.org"), "{what}");
}

#[tokio::test]
async fn r82_a_table_that_is_none_any_more_is_found() {
    let app = trail().await;
    disarm(&app).await;
    let (id, _) = middle(&app).await;
    let changes = if is_postgres() {
        vec![
            (
                format!(
                    "ALTER TABLE audit_records ENABLE ROW LEVEL SECURITY; \
                     CREATE POLICY hide ON audit_records USING (record_id <> {id})"
                ),
                "DROP POLICY hide ON audit_records; \
                 ALTER TABLE audit_records DISABLE ROW LEVEL SECURITY"
                    .to_owned(),
                "audit_records is no plain table",
            ),
            (
                format!(
                    "ALTER TABLE audit_subjects RENAME TO hidden; CREATE VIEW audit_subjects AS \
                     SELECT * FROM hidden WHERE record_id <> {id} OR now() < '2000-01-01'"
                ),
                "DROP VIEW audit_subjects; ALTER TABLE hidden RENAME TO audit_subjects".to_owned(),
                "audit_subjects is no plain table",
            ),
            (
                "CREATE OR REPLACE FUNCTION raise_access_version() RETURNS TRIGGER LANGUAGE plpgsql AS \
                 $$ BEGIN RETURN NULL; END $$"
                    .to_owned(),
                String::new(),
                "the function raise_access_version is not what Stipend made it",
            ),
        ]
    } else {
        vec![
            (
                format!(
                    "ALTER TABLE audit_subjects RENAME TO hidden; CREATE VIEW audit_subjects AS \
                     SELECT * FROM hidden WHERE record_id <> {id} OR unixepoch() < 0"
                ),
                "DROP VIEW audit_subjects; ALTER TABLE hidden RENAME TO audit_subjects".to_owned(),
                "audit_subjects is not what Stipend made it",
            ),
            (
                "DROP TRIGGER grants_changed_raise_the_version; \
                 CREATE TRIGGER grants_changed_raise_the_version AFTER UPDATE ON grants \
                 BEGIN SELECT 1; END"
                    .to_owned(),
                "DROP TRIGGER grants_changed_raise_the_version".to_owned(),
                "grants_changed_raise_the_version is not what Stipend made it",
            ),
            (
                "CREATE TRIGGER quiet AFTER INSERT ON audit_subjects BEGIN SELECT 1; END".to_owned(),
                "DROP TRIGGER quiet".to_owned(),
                "the trigger quiet is none of Stipend's",
            ),
            (
                "DROP INDEX audit_of_org; CREATE INDEX audit_of_org ON audit_records (org, record_id) \
                 WHERE record_id > 3"
                    .to_owned(),
                String::new(),
                "audit_of_org is not what Stipend made it",
            ),
        ]
    };
    for (change, back, says) in changes {
        app.database.execute(&change).await;
        let what = found(&app, &change).await;
        assert!(what.contains(says), "{change}: {what}");
        if !back.is_empty() {
            app.database.execute(&back).await;
            is_whole(&app).await;
        }
    }
}

/// Both indexes are as long as they should be, and one says what it should not.
#[tokio::test]
async fn r82_a_false_look_is_found_also_where_the_counts_come_out_right() {
    let app = trail().await;
    disarm(&app).await;
    let names = r#"["zz","zz"]"#;
    let hash = hex(&hash_of_set("twilio", names));
    let hash = if is_postgres() { format!("'\\x{hash}'") } else { format!("x'{hash}'") };
    let set = "SELECT MIN(set_no) FROM audit_set_members WHERE username = 'mturner'";
    let set = app.database.number(set).await;
    for sql in [
        format!("INSERT INTO audit_sets (org, hash, names) VALUES ('twilio', {hash}, '{names}')"),
        "INSERT INTO audit_set_members SELECT org, 'zz', set_no FROM audit_sets \
          WHERE names LIKE '%zz%'"
            .to_owned(),
        format!("INSERT INTO audit_set_members VALUES ('twilio', 'eve', {set})"),
    ] {
        app.database.execute(&sql).await;
    }
    let what = found(&app, "a set that holds somebody twice").await;
    assert!(what.contains("is no list of names in their order"), "{what}");
}

#[tokio::test]
async fn r82_an_archive_that_nothing_names_lets_nothing_go_unseen() {
    let app = trail().await;
    disarm(&app).await;
    let loose = if is_postgres() {
        "ALTER TABLE audit_archived DROP CONSTRAINT audit_archived_digest_fkey"
    } else {
        "PRAGMA foreign_keys = OFF"
    };
    let digest = "ab".repeat(32);
    app.database
        .execute(&format!(
            "{loose}; INSERT INTO audit_archived (chain, through, head, digest) \
             SELECT chain, length, head, '{digest}' FROM audit_chains WHERE length > 0"
        ))
        .await;
    let what = found(&app, "an archive that there is not").await;
    assert!(what.contains(&digest) && what.contains("which is no archive"), "{what}");
}

#[tokio::test]
async fn a_chain_of_an_impossible_length_is_an_error_and_no_panic() {
    let app = trail().await;
    disarm(&app).await;
    app.database.execute("UPDATE audit_chains SET length = 9223372036854775807").await;
    let taken = audit::checkpoint(act(&app, &origin()), &app.auth().keys).await;
    assert!(taken.is_err(), "{taken:?}");
    assert!(!found(&app, "an impossible length").await.is_empty());
}
