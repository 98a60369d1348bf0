//! Adding and listing orgs, which only the operator does: no user of one org knows of another.

use super::{Act, Refused};
use crate::domain::OrgName;
use crate::store::audit::{self, Action, Record};
use crate::store::orgs::{self, Org};

pub use crate::auth::sealing::OPERATOR;

/// Every org, by name.
pub async fn list(act: Act<'_>) -> Result<Vec<Org>, Refused> {
    let mut reader = act.db.reader().await?;
    Ok(orgs::list(reader.access()).await?)
}

/// Whether there is such an org.
pub async fn exists(act: Act<'_>, org: &OrgName) -> Result<bool, Refused> {
    let mut reader = act.db.reader().await?;
    Ok(orgs::exists(reader.access(), org).await?)
}

/// Adds an org.
pub async fn add(act: Act<'_>, org: &OrgName) -> Result<(), Refused> {
    let now = act.now();
    let mut tx = act.db.begin().await?;
    if !orgs::add(tx.access(), org, now).await? {
        return Err(Refused::Exists(format!("the org {org}")));
    }
    let record = Record::new(org, OPERATOR, Action::AddOrg, now, act.origin);
    audit::append(tx.access(), &record).await?;
    Ok(tx.commit().await?)
}
