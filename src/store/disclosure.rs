//! The one door through which pay leaves: a read and its audit record belong together.
//!
//! Rows are given only after the transaction that holds their record has committed durably. If it
//! cannot, nothing is given. A read may have waited for its turn to write: so the transaction asks
//! for the session and its grants again, and what has ended meanwhile has ended.

use super::audit::{self, Action, Origin, Record};
use super::{Db, StoreError, rates, sessions};
use crate::clock::Timestamp;
use crate::policy::{Allowed, Denied, Read};

pub use super::rates::Pay;

/// Nothing was given.
#[derive(Debug, thiserror::Error)]
pub enum Withheld {
    /// The session has ended since the caller was identified.
    #[error("the session has ended")]
    SessionEnded,
    /// The grants have ended since the caller was identified.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The rows could not be read, or their record not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The current pay of everybody whom the caller may see, by user name; each look is on record
/// before this returns.
pub async fn current_pay(
    db: &Db,
    allowed: &Allowed<Read>,
    at: Timestamp,
    origin: &Origin,
) -> Result<Vec<Pay>, Withheld> {
    let account = allowed.account();
    let mut tx = db.begin().await?;
    let session = sessions::find_live(tx.access(), account, allowed.session_id(), at).await?;
    let allowed = allowed.renew(session.ok_or(Withheld::SessionEnded)?.grants)?;
    let pay = rates::list_current(tx.access(), &allowed).await?;
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
