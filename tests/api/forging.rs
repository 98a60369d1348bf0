//! Records that somebody writes afterwards, with every hash as it should be: no chain by itself tells
//! them from others.

use crate::support::app::TestApp;
use crate::support::database::is_postgres;
use crate::tampering::{
    checkpoint, disarm, flaw, is_whole, middle, migrated, migrated_with, recompute, trail, verify,
};
use stipend::service::integrity::Evidence;

/// A column's value in a copy of a record.
const COLUMNS: &str =
    "org, actor, session_id, token, permission, grants, names, sets, outcome, client, request_id";

/// Writes a record like another into a chain, as whoever has disarmed the triggers can, who then
/// computes all hashes anew.
async fn forge(app: &TestApp, like: &str, place: (i64, i64), other: &[(&str, String)]) {
    let (chain, seq) = place;
    let (names, values): (Vec<&str>, Vec<&str>) =
        other.iter().map(|(name, value)| (*name, value.as_str())).unzip();
    let overriding = if is_postgres() { "OVERRIDING SYSTEM VALUE" } else { "" };
    app.database
        .execute(&format!(
            "INSERT INTO audit_records (chain, seq, hash, {COLUMNS}, {}) {overriding} \
             SELECT {chain}, {seq}, hash, {COLUMNS}, {} FROM audit_records WHERE {like}",
            names.join(", "),
            values.join(", ")
        ))
        .await;
    let id = format!("(SELECT record_id FROM audit_records WHERE chain = {chain} AND seq = {seq})");
    let original = format!("(SELECT MIN(record_id) FROM audit_records WHERE {like})");
    for sql in [
        format!(
            "INSERT INTO audit_subjects SELECT set_no, {id} FROM audit_subjects \
             WHERE record_id = {original}"
        ),
        format!("UPDATE audit_chains SET length = {seq} WHERE chain = {chain}"),
    ] {
        app.database.execute(&sql).await;
    }
    recompute(app).await;
}

async fn new_chain(app: &TestApp) -> i64 {
    app.database.execute("INSERT INTO audit_chains (kind) VALUES ('changes')").await;
    app.database.number("SELECT MAX(chain) FROM audit_chains").await
}

#[tokio::test]
async fn r82_a_record_that_was_written_afterwards_is_found_against_a_kept_checkpoint() {
    for is_new in [true, false] {
        let app = trail().await;
        let kept = checkpoint(&app).await;
        disarm(&app).await;
        let (id, _) = middle(&app).await;
        let of_id = |what: &str| format!("SELECT {what} FROM audit_records WHERE record_id = {id}");
        let place = if is_new {
            (new_chain(&app).await, 1)
        } else {
            let chain = app.database.number(&of_id("chain")).await;
            let length = format!("SELECT length FROM audit_chains WHERE chain = {chain}");
            (chain, app.database.number(&length).await + 1)
        };
        let now = app.database.number(&of_id("at")).await;
        let like = format!("record_id = {id}");
        let of = |at: i64| {
            ["action", "detail"]
                .map(|column| (column, column.to_owned()))
                .into_iter()
                .chain([("at", at.to_string())])
                .collect::<Vec<_>>()
        };
        // One that says when it was written is as good as any that Stipend writes.
        forge(&app, &like, place, &of(now)).await;
        assert!(verify(&app, &kept).await.is_ok(), "{place:?}");
        let (chain, seq) = place;
        let one = format!("WHERE chain = {chain} AND seq = {seq}");
        for (earlier, is_found) in [(9, false), (11, true), (60 * 24 * 90, true)] {
            let at = now - earlier * 60_000;
            app.database.execute(&format!("UPDATE audit_records SET at = {at} {one}")).await;
            recompute(&app).await;
            is_whole(&app).await;
            if !is_found {
                assert!(verify(&app, &kept).await.is_ok(), "{earlier} minutes");
                continue;
            }
            let found = flaw(&app, &kept, "a record of a time that was over").await;
            assert_eq!((found.chain, found.seq), (Some(chain), Some(seq)), "{found}");
            assert!(found.what.contains("written afterwards"), "{found}");
            assert!(found.what.contains("kept:1"), "{found}");
        }
    }
}

#[tokio::test]
async fn r82_records_from_before_chains_are_bound_once_and_nowhere_else() {
    let app = migrated().await;
    app.demo_user().await.read_pay().await;
    is_whole(&app).await;
    let kept = checkpoint(&app).await;
    // What two of the three would have been bound by.
    let two = migrated_with(&["[\"jdoe\",\"mturner\"]", "[\"jdoe\"]"]).await;
    let bound = "SELECT detail FROM audit_records WHERE action = 'begin_chain'";
    let detail = two.database.texts(bound).await.remove(0);
    disarm(&app).await;
    let last =
        app.database.number("SELECT MAX(record_id) FROM audit_records WHERE chain IS NULL").await;
    app.database.execute(&format!("DELETE FROM audit_records WHERE record_id = {last}")).await;
    let chain = new_chain(&app).await;
    let other = [
        ("record_id", last.to_string()),
        ("at", "(SELECT MAX(at) FROM audit_records)".to_owned()),
        ("action", "action".to_owned()),
        ("detail", format!("'{detail}'")),
    ];
    forge(&app, "action = 'begin_chain'", (chain, 1), &other).await;
    for evidence in [kept, Evidence::default()] {
        let found = flaw(&app, &evidence, "another beginning").await;
        assert_eq!(found.record_id, Some(last), "{found}");
        assert!(found.what.contains("only the first record of the first chain"), "{found}");
    }
}
