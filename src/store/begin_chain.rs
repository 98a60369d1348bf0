//! Where the chains begin in a database that has records from before there were any: one record says
//! how many those are, and the digest of them all, so that none can be changed from then on unseen.

use std::borrow::Cow;

use futures_util::TryStreamExt;
use serde_json::Map;

use super::audit::{self, Action, Origin, Record};
use super::chain::Digest;
use super::stored::{Stored, columns};
use super::{Access, Db, StoreError, execute, on, sets, statements};
use crate::clock::Timestamp;

statements! {
    /// Makes every other process wait that begins too.
    LOCK = "UPDATE audit_chains SET length = length";
    /// Whether there is anything to do.
    UNBOUND = "SELECT COUNT(*) FROM (SELECT 1 FROM audit_records r WHERE r.chain IS NULL LIMIT 1) r \
               WHERE NOT EXISTS (SELECT 1 FROM audit_chains c WHERE c.length > 0)";
    OLD = concat!("SELECT ", columns!(), " FROM audit_records r \
                   WHERE r.chain IS NULL AND r.record_id > $1 ORDER BY r.record_id LIMIT 1000");
    ADD_SUBJECT = "INSERT INTO audit_subjects (set_no, record_id) VALUES ($1, $2)";
}

/// Binds the records from before there were chains, once, whoever comes first.
pub(super) async fn begin(db: &Db) -> Result<(), StoreError> {
    let mut reader = db.reader().await?;
    if !is_unbound(reader.access()).await? {
        return Ok(());
    }
    drop(reader);
    let mut tx = db.begin().await?;
    execute!(tx.access(), sqlx::query(LOCK))?;
    if !is_unbound(tx.access()).await? {
        return Ok(());
    }
    let (mut digest, mut records, mut last) = (Digest::default(), 0_u64, (0, 0));
    loop {
        let old: Vec<Stored> = on!(tx.access(), connection => sqlx::query_as(OLD)
            .bind(last.0)
            .fetch(connection)
            .try_collect())?;
        let Some(end) = old.last() else { break };
        last = (end.record_id, end.at);
        for record in &old {
            digest.add(&record.old_content());
            records += 1;
            index(tx.access(), record).await?;
        }
    }
    let origin = Origin { client: "local".into(), request_id: "none".into() };
    // Of no org, and at the time of the last of them: no clock is at hand, and the order is the chain's.
    let digest = digest.finish().into();
    let detail = Map::from_iter([("records".into(), records.into()), ("digest".into(), digest)]);
    let record = Record {
        detail: Cow::Owned(detail),
        ..Record::by_itself(Action::BeginChain, Timestamp::from_millis(last.1), &origin)
    };
    audit::append(tx.access(), &record).await?;
    tx.commit().await
}

async fn is_unbound(access: Access<'_>) -> Result<bool, StoreError> {
    let found: i64 = on!(access, connection => sqlx::query_scalar(UNBOUND).fetch_one(connection))?;
    Ok(found == 1)
}

/// Lets the people whom an old record names find it.
async fn index(mut access: Access<'_>, record: &Stored) -> Result<(), StoreError> {
    let names: Vec<&str> = serde_json::from_str(&record.names)
        .map_err(|_| StoreError::Impossible("the subjects of a record"))?;
    let subjects = sets::of_names(access.reborrow(), &record.org, &names).await?;
    for number in subjects.each_number() {
        execute!(access.reborrow(), sqlx::query(ADD_SUBJECT).bind(number).bind(record.record_id))?;
    }
    Ok(())
}
