//! The one door through which pay leaves: a read and its audit record belong together.
//!
//! Rows are given only after the transaction that holds their record has committed durably. If it
//! cannot, nothing is given.

use super::audit::{self, Action, Origin, Record};
use super::{Db, StoreError, rates};
use crate::clock::Timestamp;
use crate::policy::{Allowed, Read};

pub use super::rates::Pay;

/// The current pay of everybody whom the caller may see, by user name; each look is on record
/// before this returns.
pub async fn current_pay(
    db: &Db,
    allowed: &Allowed<Read>,
    at: Timestamp,
    origin: &Origin,
) -> Result<Vec<Pay>, StoreError> {
    let mut tx = db.begin().await?;
    let pay = rates::list_current(tx.access(), allowed).await?;
    let account = allowed.account();
    let record = Record {
        permission: Some(allowed.permission()),
        grants: allowed.visibility().grant_ids().collect(),
        subjects: pay.iter().map(|row| row.username.as_str()).collect(),
        ..Record::of(account, allowed.session_id(), Action::ListPay, at, origin)
    };
    audit::append(tx.access(), &record).await?;
    tx.commit().await?;
    Ok(pay)
}
