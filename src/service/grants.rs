//! Giving and ending grants.

use serde_json::{Map, Value, json};

use super::{Act, Refused, members};
use crate::clock::Day;
use crate::domain::{Account, Line, OrgName, Permission, Reach, Username};
use crate::entropy::random_id;
use crate::policy::{Allowed, Manage, Recent};
use crate::store::audit::Action;
use crate::store::grants::{self, GrantRecord, NewGrant};
use crate::store::{Tx, orgs, people};

/// A grant that is asked for.
#[derive(Clone, Debug)]
pub struct Gift {
    /// What it permits.
    pub permission: Permission,
    /// Over whom.
    pub reach: Reach,
    /// The last day on which it holds; none for no end.
    pub until: Option<Day>,
    /// Why.
    pub reason: Line,
}

/// All grants that a person ever had, the oldest first; none who does not sign in.
pub async fn list(
    act: Act<'_>,
    allowed: &Allowed<Manage>,
    holder: &Username,
) -> Result<Vec<GrantRecord>, Refused> {
    let mut reader = act.db.reader().await?;
    people::find_reached(reader.access(), allowed, holder).await?.ok_or(Refused::NotFound)?;
    Ok(grants::list(reader.access(), &Account::in_org(&allowed.account().org, holder)).await?)
}

/// Gives a user a permission over a reach. Nobody gives more than they hold: the same permission
/// over all of that reach, for as long.
pub async fn give(
    act: Act<'_>,
    allowed: &Recent<Allowed<Manage>>,
    holder: &Username,
    gift: Gift,
) -> Result<GrantRecord, Refused> {
    let now = act.now();
    if gift.until.is_some_and(|until| until < now.day()) {
        let reason = format!("a grant that begins today, {}, cannot end before it", now.day());
        return Err(Refused::invalid("until", reason));
    }
    let grant_id = random_id(act.ports.entropy.as_ref())?;
    let org = allowed.account().org.clone();
    let mut tx = act.db.begin().await?;
    orgs::lock(tx.access(), &org).await?;
    let allowed = act.renew(&mut tx, allowed).await?;
    let person = people::find_reached(tx.access(), &allowed, holder).await?;
    let person = person.ok_or(Refused::NotFound)?;
    if !person.is_user {
        return Err(Refused::invalid("user", format!("{holder} is paid, and does not sign in")));
    }
    let named = match &gift.reach {
        Reach::User(name) => people::find(tx.access(), &Account::in_org(&org, name)).await?,
        Reach::Own => Some(person),
        Reach::Team(_) | Reach::Org => None,
    };
    let team = named.as_ref().and_then(|person| person.team.as_ref());
    allowed.principal().holds(gift.permission, holder, &gift.reach, team, gift.until)?;
    if named.is_none() && matches!(gift.reach, Reach::User(_)) {
        return Err(Refused::invalid("reach", "there is no such person"));
    }
    let account = Account::in_org(&org, holder);
    let the_same = |held: &GrantRecord| {
        held.ended.is_none()
            && held.grant.permission == gift.permission
            && held.grant.reach == gift.reach
            && held.grant.until == gift.until
    };
    if grants::list(tx.access(), &account).await?.iter().any(the_same) {
        return Err(Refused::Exists("this grant".into()));
    }
    let grant = NewGrant {
        grant_id: &grant_id,
        holder: &account,
        permission: gift.permission,
        reach: gift.reach.clone(),
        until: gift.until,
        reason: gift.reason.as_str(),
        granted_by: allowed.account().username.as_str(),
        granted_at: now,
    };
    grants::add(tx.access(), &grant).await?;
    let given = grants::find(tx.access(), &account, &grant_id).await?.ok_or(Refused::NotFound)?;
    act.record(&mut tx, &allowed, Action::GiveGrant, holder, detail(&given)).await?;
    tx.commit().await?;
    Ok(given)
}

/// Ends a grant; one that has ended stays as it is. The last one that manages the org cannot be.
pub async fn end(
    act: Act<'_>,
    allowed: &Recent<Allowed<Manage>>,
    holder: &Username,
    grant_id: &str,
) -> Result<(), Refused> {
    let org = allowed.account().org.clone();
    let mut tx = act.db.begin().await?;
    orgs::lock(tx.access(), &org).await?;
    let allowed = act.renew(&mut tx, allowed).await?;
    people::find_reached(tx.access(), &allowed, holder).await?.ok_or(Refused::NotFound)?;
    let account = Account::in_org(&org, holder);
    let grant = grants::find(tx.access(), &account, grant_id).await?.ok_or(Refused::NotFound)?;
    if grant.ended.is_some() {
        return Ok(());
    }
    let managers = grants::count_managers(tx.access(), &org).await?;
    let ended_by = allowed.account().username.as_str();
    grants::end(tx.access(), &account, grant_id, ended_by, act.now()).await?;
    keep_a_manager(&mut tx, &org, managers).await?;
    act.record(&mut tx, &allowed, Action::EndGrant, holder, detail(&grant)).await?;
    Ok(tx.commit().await?)
}

/// Refuses a change that leaves an org that was managed without anybody who manages all of it for
/// good: a grant that expires would leave it so one day.
pub(super) async fn keep_a_manager(tx: &mut Tx, org: &OrgName, before: i64) -> Result<(), Refused> {
    if before > 0 && grants::count_managers(tx.access(), org).await? == 0 {
        return Err(Refused::LastManager);
    }
    Ok(())
}

fn detail(record: &GrantRecord) -> Map<String, Value> {
    let detail = json!({
        "grant": record.grant.grant_id,
        "permission": record.grant.permission.name(),
        "reach": record.grant.reach.to_string(),
        "until": record.grant.until.map(|day| day.to_string()),
    });
    members(detail)
}
