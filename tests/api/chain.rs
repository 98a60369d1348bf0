//! The trail is one of chains, whose every byte is what docs/decisions/0013-the-trail.md says.

use crate::support::app::{Actor, TestApp};
use crate::support::chain::{found, hex, number, rows, sha256, text, verify};
use crate::support::database::is_postgres;

#[tokio::test]
async fn r82_each_record_is_chained_to_the_one_before_as_it_is_documented() {
    let app = TestApp::new().await;
    assert_eq!(verify(&app.database).await, (0, 0));
    let caller = app.demo_user().await;
    for path in ["/bearer", "/bearer?q=jdoe", "/pay", "/pay/jdoe", "/bearer?q=nobody", "/bearer"] {
        assert_eq!(caller.get(path).send().await.status, 200, "{path}");
    }
    let csv = caller.get("/bearer").field("Accept", "text/csv").send().await;
    assert_eq!(csv.status, 200);
    caller.delete("/jwt").send().await;
    let (records, chains) = verify(&app.database).await;
    assert_eq!(records, 9);
    assert!(chains >= 1);
    // jdoe alone, and both together: so often as they were looked at.
    assert_eq!(
        app.database.number("SELECT COUNT(*) FROM audit_sets WHERE names LIKE '%jdoe%'").await,
        2
    );
    assert_eq!(found(&app.database, "twilio", "jdoe").await.len(), 6);
    assert_eq!(found(&app.database, "twilio", "mturner").await.len(), 4);
    assert_eq!(found(&app.database, "acme", "jdoe").await, [""; 0]);
}

/// Records as they were before the migration: the triggers that chain them are not yet there.
async fn add_old_records(app: &TestApp) {
    let insert = "INSERT INTO audit_records (at, org, actor, session_id, action, permission, grants, names, \
                              detail, client, request_id) VALUES \
         (5, 'twilio', 'twilio', 's', 'list_pay', 'read', '[\"demo\"]', '[\"jdoe\",\"mturner\"]', '{}', \
          '127.0.0.1', 'old-1'), \
         (6, 'twilio', 'operator', NULL, 'add_org', NULL, NULL, '[]', '{\"a\":1}', 'local', 'old-2')";
    let (off, on) = if is_postgres() {
        (
            vec!["ALTER TABLE audit_records DISABLE TRIGGER audit_moves_the_heads"],
            vec!["ALTER TABLE audit_records ENABLE TRIGGER audit_moves_the_heads".to_owned()],
        )
    } else {
        let sql = "SELECT sql FROM sqlite_master WHERE name IN ('audit_is_chained', 'audit_moves_the_head')";
        let on = app.database.texts(sql).await;
        assert_eq!(on.len(), 2);
        (vec!["DROP TRIGGER audit_is_chained", "DROP TRIGGER audit_moves_the_head"], on)
    };
    for sql in off.into_iter().chain([insert]) {
        app.database.execute(sql).await;
    }
    for sql in on {
        app.database.execute(&sql).await;
    }
}

#[tokio::test]
async fn r82_records_from_before_there_were_chains_are_bound_by_one_record_once() {
    let app = TestApp::new().await;
    add_old_records(&app).await;
    let app = app.restarted_with(rocket::figment::Figment::new()).await;
    let app = app.restarted_with(rocket::figment::Figment::new()).await;
    let old = [
        "record_id",
        "at",
        "org",
        "actor",
        "session_id",
        "action",
        "permission",
        "grants",
        "names",
        "detail",
        "client",
        "request_id",
    ];
    let mut bytes = b"stipend-records-before-chains-1".to_vec();
    for [record_id, at, fields @ ..] in
        rows(&app.database, old, "FROM audit_records WHERE chain IS NULL ORDER BY record_id").await
    {
        number(&mut bytes, &record_id);
        number(&mut bytes, &at);
        fields.iter().for_each(|field| text(&mut bytes, field));
    }
    let expected = format!(r#"{{"records":2,"digest":"{}"}}"#, hex(&sha256(&bytes)));
    let sql = "SELECT detail FROM audit WHERE action = 'begin_chain'";
    assert_eq!(app.database.texts(sql).await, [expected]);
    assert_eq!(verify(&app.database).await, (1, 1));
    assert_eq!(found(&app.database, "twilio", "mturner").await, ["old-1"]);
    let subjects = "SELECT subjects FROM audit ORDER BY record_id LIMIT 1";
    assert_eq!(app.database.texts(subjects).await, [r#"["jdoe","mturner"]"#]);
    let caller: Actor<'_> = app.demo_user().await;
    caller.read_pay().await;
    assert_eq!(verify(&app.database).await.0, 3);
}
