//! Old records that go to a file, and what happens to that file.

use std::path::{Path, PathBuf};

use stipend::clock::{Clock, Day};
use stipend::service::integrity::{self, Evidence};
use stipend::store::archive::Done;

use crate::support::app::TestApp;
use crate::support::database::is_postgres;
use crate::tampering::{act, checkpoint, disarm, flaw, middle, migrated, origin, trail, verify};

pub(crate) async fn archive(app: &TestApp, before: Day, file: &Path) -> Option<Done> {
    integrity::archive(act(app, &origin()), &app.auth().keys, before, file).await.unwrap()
}

/// A trail of two days; and the second.
pub(crate) async fn two_days() -> (TestApp, Day) {
    let app = trail().await;
    app.clock.advance(std::time::Duration::from_secs(24 * 3600));
    let caller = app.demo_user().await;
    assert_eq!(caller.get("/pay/ann").send().await.status, 200);
    let today = app.clock.now().day();
    (app, today)
}

fn with(archives: &[&PathBuf]) -> Evidence {
    let archives = archives.iter().map(|path| (*path).clone()).collect();
    Evidence { archives, ..Evidence::default() }
}

#[tokio::test]
async fn an_archive_takes_old_records_out_and_stays_a_part_of_the_trail() {
    let (app, today) = two_days().await;
    let kept = checkpoint(&app).await;
    let count = "SELECT COUNT(*) FROM audit_records";
    let all = app.database.number(count).await;
    let file = app.database.folder.path().join("old.jsonl");
    let done = archive(&app, today, &file).await.unwrap();
    assert!(done.records >= 9, "{done:?}");
    let left = app.database.number(count).await;
    assert_eq!(u64::try_from(all + 1 - left).unwrap(), done.records);
    let orphans = "SELECT COUNT(*) FROM audit_subjects s WHERE NOT EXISTS (SELECT 1 FROM audit_records r WHERE r.record_id = s.record_id)";
    assert_eq!(app.database.number(orphans).await, 0);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    for amount in ["200000", "2000.00", "1.00"] {
        assert!(!text.contains(amount), "{amount}");
    }

    let found = flaw(&app, &Evidence::default(), "an archive that is not there").await;
    assert!(found.what.contains(&done.digest) && found.what.contains("--archive"), "{found}");
    assert_eq!(verify(&app, &with(&[&file])).await, Ok(u64::try_from(all + 1).unwrap()));
    let both = Evidence { archives: vec![file.clone()], ..kept };
    assert!(verify(&app, &both).await.is_ok(), "a checkpoint from before still holds");

    // Nothing more to move; and then a second one, which follows the first.
    let second = app.database.folder.path().join("second.jsonl");
    assert!(archive(&app, today, &second).await.is_none());
    app.clock.advance(std::time::Duration::from_secs(24 * 3600));
    let done = archive(&app, app.clock.now().day(), &second).await.unwrap();
    assert_eq!(i64::try_from(done.records).unwrap(), left);
    assert_eq!(verify(&app, &with(&[&second, &file])).await, Ok(u64::try_from(all + 2).unwrap()));
    flaw(&app, &with(&[&second]), "the first archive is missing").await;
    flaw(&app, &with(&[&file]), "the second archive is missing").await;
    flaw(&app, &with(&[&file, &file, &second]), "an archive twice").await;
}

/// The clock of the machine was set back before the second.
#[tokio::test]
async fn archives_are_read_in_the_order_in_which_they_were_made_whatever_the_clock_said() {
    let (app, today) = two_days().await;
    let folder = app.database.folder.path();
    let (first, second) = (folder.join("first.jsonl"), folder.join("first.jsonl.part"));
    std::fs::write(&second, "another file").unwrap();
    archive(&app, today, &first).await.unwrap();
    assert_eq!(std::fs::read_to_string(&second).unwrap(), "another file", "it is nobody's part");
    std::fs::remove_file(&second).unwrap();
    app.clock.set(app.clock.seconds() - 57);
    let caller = app.demo_user().await;
    assert_eq!(caller.get("/pay/ann").send().await.status, 200);
    let now = app.clock.seconds();
    app.clock.set(now + 24 * 3600);
    let tomorrow = app.clock.now().day();
    app.clock.set(now + 24 * 3600 - 60);
    assert_eq!(app.clock.now().day(), tomorrow);
    archive(&app, tomorrow, &second).await.unwrap();
    for files in [[&first, &second], [&second, &first]] {
        assert_eq!(verify(&app, &with(&files)).await.err(), None, "{files:?}");
    }
}

#[tokio::test]
async fn an_archive_that_was_changed_is_found() {
    let (app, today) = two_days().await;
    let file = app.database.folder.path().join("old.jsonl");
    let done = archive(&app, today, &file).await.unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let changed = app.database.folder.path().join("changed.jsonl");
    let join = |lines: Vec<&str>| lines.join("\n") + "\n";
    let mut without_one = lines.clone();
    without_one.remove(lines.len() / 2 + 1);
    let mut swapped = lines.clone();
    swapped.swap(lines.len() - 2, lines.len() - 3);
    for (bad, what) in [
        (text.replacen("\"actor\":\"twilio\"", "\"actor\":\"somebody\"", 1), "an actor"),
        (text.replacen("\"ann\"", "\"anna\"", 1), "a name in a set"),
        (text.replacen(&today.to_string(), "2020-01-01", 1), "the day in the first line"),
        (join(without_one), "a line removed"),
        (join(swapped), "two lines swapped"),
        (join(lines[..lines.len() - 1].to_vec()), "the end removed"),
        (format!("{text}{{}}\n"), "something added"),
        (text.replace(&text[text.len() - 12..text.len() - 8], "AAAA"), "the signature"),
        (join(lines[..1].to_vec()), "only the beginning"),
    ] {
        assert_ne!(bad, text, "{what}");
        std::fs::write(&changed, bad).unwrap();
        let found = flaw(&app, &with(&[&changed]), what).await;
        if what == "the day in the first line" {
            assert!(found.what.contains("it was changed"), "{found}");
        }
    }
    // The database says that another file was the archive, or that there is a further one.
    disarm(&app).await;
    for sql in [
        format!("UPDATE audit_archived SET digest = '{}'", "0".repeat(64)),
        "DELETE FROM audit_archived".to_owned(),
    ] {
        let (digest, chain, through) = (&done.digest, "chain", "through");
        app.database.execute("CREATE TABLE kept AS SELECT * FROM audit_archived").await;
        if !is_postgres() {
            app.database.execute("PRAGMA foreign_keys = OFF").await;
        }
        let executed = app.try_execute(&format!("PRAGMA foreign_keys = OFF; {sql}")).await;
        let executed = if is_postgres() { app.try_execute(&sql).await } else { executed };
        assert!(executed.is_ok(), "{sql}: {executed:?}");
        flaw(&app, &with(&[&file]), &sql).await;
        app.database.execute("DELETE FROM audit_archived").await;
        app.database
            .execute(&format!("INSERT INTO audit_archived ({chain}, {through}, head, digest) SELECT {chain}, {through}, head, '{digest}' FROM kept"))
            .await;
        app.database.execute("DROP TABLE kept").await;
        assert!(verify(&app, &with(&[&file])).await.is_ok());
    }
    // The database says something else of the archive than the record that names it.
    app.database.execute("CREATE TABLE kept AS SELECT * FROM audit_archived").await;
    let one = "WHERE chain = (SELECT MIN(k.chain) FROM kept k)";
    let back = "UPDATE audit_archived SET through = \
                (SELECT k.through FROM kept k WHERE k.chain = audit_archived.chain)";
    for (sql, undone) in [
        (
            "UPDATE audit_archives SET before_day = '1970-01-01'".to_owned(),
            format!("UPDATE audit_archives SET before_day = '{today}'"),
        ),
        (format!("UPDATE audit_archived SET through = through + 1000 {one}"), back.to_owned()),
        (
            format!("DELETE FROM audit_archived {one}"),
            format!("INSERT INTO audit_archived SELECT * FROM kept {one}"),
        ),
        (
            "INSERT INTO audit_archives (digest, before_day, archived_at) VALUES \
          ('2222222222222222222222222222222222222222222222222222222222222222', '1970-01-01', 0)"
                .to_owned(),
            "DELETE FROM audit_archives WHERE before_day = '1970-01-01'".to_owned(),
        ),
    ] {
        app.database.execute(&sql).await;
        flaw(&app, &with(&[&file]), &sql).await;
        app.database.execute(&undone).await;
        assert_eq!(verify(&app, &with(&[&file])).await.err(), None, "{undone}");
    }
    let more = format!(
        "INSERT INTO audit_archives (digest, before_day, archived_at) VALUES ('{}', '2026-01-01', 0)",
        "1".repeat(64)
    );
    app.database.execute(&more).await;
    app.database.execute(&format!("INSERT INTO audit_archived (chain, through, head, digest) SELECT chain, through + 1, head, '{}' FROM audit_archived LIMIT 1", "1".repeat(64))).await;
    let found = flaw(&app, &with(&[&file]), "an archive that no record names").await;
    assert!(found.what.contains("which no record names"), "{found}");
}

#[tokio::test]
async fn records_go_only_where_an_archive_says_that_it_holds_them() {
    let (app, today) = two_days().await;
    let file = app.database.folder.path().join("old.jsonl");
    let digest = "0".repeat(64);
    assert!(app.try_execute("DELETE FROM audit_records").await.is_err());
    let archive_row = format!(
        "INSERT INTO audit_archives (digest, before_day, archived_at) VALUES ('{digest}', '2026-01-01', 0)"
    );
    assert!(app.try_execute(&archive_row).await.is_ok());
    // Only up to a record that is there, with its own hash.
    for part in ["chain, 1000, head", "chain, length - 1, head", "chain + 1000, length, head"] {
        let sql = format!(
            "INSERT INTO audit_archived (chain, through, head, digest) SELECT {part}, '{digest}' FROM audit_chains WHERE length > 0"
        );
        assert!(app.try_execute(&sql).await.is_err(), "{part}");
    }
    // Whoever says so and removes records has left that on record, and verification asks for the file.
    let sql = format!(
        "INSERT INTO audit_archived (chain, through, head, digest) SELECT chain, length, head, '{digest}' FROM audit_chains WHERE length > 0"
    );
    app.database.execute(&sql).await;
    app.database.execute("DELETE FROM audit_records").await;
    app.database.execute("DELETE FROM audit_subjects").await;
    let found = flaw(&app, &Evidence::default(), "an archive that was only claimed").await;
    assert!(found.what.contains(&digest), "{found}");
    for sql in [
        "UPDATE audit_archives SET archived_at = 1",
        "DELETE FROM audit_archived",
        "DELETE FROM audit_archives",
        "UPDATE audit_archived SET through = 1",
    ] {
        assert!(app.try_execute(sql).await.is_err(), "{sql}");
    }
    drop((today, file));
}

#[tokio::test]
async fn what_is_not_whole_is_not_archived_and_a_file_is_never_overwritten() {
    let (app, today) = two_days().await;
    let file = app.database.folder.path().join("old.jsonl");
    let try_archive = async |day: Day, file: &Path| {
        integrity::archive(act(&app, &origin()), &app.auth().keys, day, file)
            .await
            .err()
            .map(|e| e.to_string())
    };
    std::fs::write(&file, "precious").unwrap();
    assert!(try_archive(today, &file).await.unwrap().contains("is there already"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    std::fs::remove_file(&file).unwrap();
    let later = Day::parse("2026-12-31").unwrap();
    assert!(try_archive(later, &file).await.unwrap().contains("today"));
    assert!(
        try_archive(today, Path::new("/nowhere/old.jsonl"))
            .await
            .unwrap()
            .contains("cannot be written")
    );
    disarm(&app).await;
    let (id, _) = middle(&app).await;
    app.database
        .execute(&format!("UPDATE audit_records SET actor = 'x' WHERE record_id = {id}"))
        .await;
    let before = app.database.number("SELECT COUNT(*) FROM audit_records").await;
    assert!(try_archive(today, &file).await.unwrap().contains(&format!("record {id}")));
    assert!(!file.exists());
    assert_eq!(app.database.number("SELECT COUNT(*) FROM audit_records").await, before);
}

/// They are told to whom they are about, and go to an archive together.
#[tokio::test]
async fn records_from_before_there_were_chains_are_read_and_archived() {
    let app = migrated().await;
    app.add_grant("twilio", "twilio", "audit", "org").await;
    let caller = app.demo_user().await;
    let told = caller.get("/pay/jdoe/readers").send().await.json();
    assert_eq!(told["readers"].as_array().unwrap().len(), 2);
    let file = app.database.folder.path().join("old.jsonl");
    let day = Day::parse("2026-01-01").unwrap();
    let done = archive(&app, day, &file).await.unwrap();
    assert_eq!(done.records, 4, "three, and the record that binds them");
    let told = caller.get("/pay/jdoe/readers").send().await.json();
    assert_eq!(told["readers"].as_array().unwrap().len(), 0);
    assert_eq!(told["archived_before"], serde_json::json!("2026-01-01"));
    let archived = Evidence { archives: vec![file], ..Evidence::default() };
    assert!(verify(&app, &archived).await.is_ok());
    flaw(&app, &Evidence::default(), "the archive is missing").await;
}

#[tokio::test]
async fn what_was_changed_before_there_were_chains_is_not_archived() {
    let app = migrated().await;
    disarm(&app).await;
    app.database.execute("UPDATE audit_records SET actor = 'eve' WHERE record_id = 1").await;
    let file = app.database.folder.path().join("old.jsonl");
    let day = Day::parse("2026-01-01").unwrap();
    let refused = integrity::archive(act(&app, &origin()), &app.auth().keys, day, &file).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("a record from before there were chains was changed"), "{refused}");
    assert!(!file.exists(), "nothing is left of it");
    assert_eq!(
        app.database.number("SELECT COUNT(*) FROM audit_records WHERE chain IS NULL").await,
        3
    );
}

/// A clock that went back can leave one that is younger than what bound it.
#[tokio::test]
async fn records_from_before_there_were_chains_and_what_binds_them_wait_for_each_other() {
    let app = migrated().await;
    disarm(&app).await;
    let later = Day::parse("2026-02-01").unwrap().start().as_millis();
    app.database
        .execute(&format!("UPDATE audit_records SET at = {later} WHERE record_id = 1"))
        .await;
    let file = app.database.folder.path().join("old.jsonl");
    let day = Day::parse("2026-01-01").unwrap();
    assert!(archive(&app, day, &file).await.is_none(), "none of them went");
}
