//! Adding and listing orgs, which only the operator does: no user of one org knows of another. And
//! what an org demands of its people.

use std::borrow::Cow;

use serde_json::json;

use super::{Act, Refused, members};
use crate::domain::{OrgName, Permission};
use crate::policy::{Allowed, Denied, Lack, Manage, Principal, Recent};
use crate::store::audit::{self, Action, Record};
use crate::store::orgs::{self, Org};

pub use crate::store::audit::OPERATOR;

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

/// Whether the caller's org demands a second factor of those who manage and record pay.
pub async fn demands_second_factor(act: Act<'_>, caller: &Principal) -> Result<bool, Refused> {
    let mut reader = act.db.reader().await?;
    let demands = orgs::demands_second_factor(reader.access(), &caller.account().org).await?;
    demands.ok_or(Refused::NotFound)
}

/// Has the caller's org demand a second factor of those who manage and record pay, or not. Whoever
/// signed in without one holds neither permission from their next request on; so that nobody locks
/// themselves out, the caller is not one of them.
pub async fn demand_second_factor(
    act: Act<'_>,
    allowed: &Recent<Allowed<Manage>>,
    demand: bool,
) -> Result<(), Refused> {
    let org = allowed.account().org.clone();
    let mut tx = act.db.begin().await?;
    orgs::lock(tx.access(), &org).await?;
    let allowed = act.renew(&mut tx, allowed).await?;
    if !allowed.visibility().whole_org() {
        return Err(Denied { needed: Permission::Manage, lack: Lack::WholeOrg }.into());
    }
    if orgs::demands_second_factor(tx.access(), &org).await? == Some(demand) {
        return Ok(());
    }
    orgs::set_demand(tx.access(), &org, demand).await?;
    match act.renew(&mut tx, &allowed).await {
        Err(Refused::Denied(Denied { lack: Lack::SecondFactor, .. })) => {
            return Err(Refused::Hindered(
                "you would lock yourself out: first turn your own second factor on \
                 (POST /me/totp)",
            ));
        }
        renewed => renewed?,
    };
    let detail = members(json!({ "second_factor": demand }));
    let record = Record {
        detail: Cow::Owned(detail),
        ..Record::by(&allowed, Action::DemandSecondFactor, act.now(), act.origin)
    };
    audit::append(tx.access(), &record).await?;
    Ok(tx.commit().await?)
}
