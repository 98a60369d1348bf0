//! Adding and changing people.

use serde_json::{Map, Value, json};

use super::grants::keep_a_manager;
use super::passwords::{self, NewPassword, OneTime};
use super::{Act, Precondition, Refused, members};
use crate::auth::Throttle;
use crate::clock::Timestamp;
use crate::domain::{Account, Line, Permission, Reach, TeamName, Username};
use crate::entropy::random_id;
use crate::policy::{Allowed, Manage, Principal, Recent};
use crate::store::audit::{self, Action};
use crate::store::grants::{GrantRecord, NewGrant};
use crate::store::people::{Filter, Person};
use crate::store::{Tx, grants, orgs, people, sessions, users};

/// A person to be added.
#[derive(Debug)]
pub struct NewPerson {
    /// The name.
    pub username: Username,
    /// How they are paid; none for somebody who is not.
    pub employee: Option<Employee>,
    /// How they sign in; none for somebody who does not.
    pub user: Option<NewPassword>,
}

/// What is known of somebody who is paid.
#[derive(Clone, Debug)]
pub struct Employee {
    /// What they are called.
    pub full_name: Line,
    /// Their team.
    pub team: Option<TeamName>,
}

/// What is to be changed about a person; what is none stays.
#[derive(Debug, Default)]
pub struct Changes {
    /// What they are called. Makes somebody who is not paid an employee.
    pub full_name: Option<Line>,
    /// Their team, or none.
    pub team: Option<Option<TeamName>>,
    /// Whether they cannot sign in.
    pub disabled: Option<bool>,
}

/// A person who was added, and the password that was made for them.
#[derive(Debug)]
pub struct Added {
    /// The person.
    pub person: Person,
    /// The password, if it was made here.
    pub password: Option<OneTime>,
}

/// So many people whom the caller manages, after a name.
pub async fn list(
    act: Act<'_>,
    allowed: &Allowed<Manage>,
    filter: &Filter,
    after: Option<&Username>,
    limit: u16,
) -> Result<Vec<Person>, Refused> {
    let mut reader = act.db.reader().await?;
    Ok(people::list_reached(reader.access(), allowed, filter, after, limit).await?)
}

/// A person whom the caller manages.
pub async fn get(
    act: Act<'_>,
    allowed: &Allowed<Manage>,
    username: &Username,
) -> Result<Person, Refused> {
    let mut reader = act.db.reader().await?;
    let person = people::find_reached(reader.access(), allowed, username).await?;
    person.ok_or(Refused::NotFound)
}

/// The caller, as far as they know of themselves.
#[derive(Debug)]
pub struct Whoami {
    /// The caller as a person.
    pub person: Person,
    /// The grants that count for them now.
    pub held: Vec<GrantRecord>,
    /// Until when they must have changed their password, if it was made for them.
    pub password_expires_at: Option<Timestamp>,
}

/// Who the caller is.
pub async fn whoami(act: Act<'_>, caller: &Principal) -> Result<Whoami, Refused> {
    let mut reader = act.db.reader().await?;
    let person = people::find(reader.access(), caller.account()).await?;
    let mut held = grants::list(reader.access(), caller.account()).await?;
    let counts = |record: &GrantRecord| {
        caller.grants().iter().any(|grant| grant.grant_id == record.grant.grant_id)
    };
    held.retain(counts);
    let user = users::find(reader.access(), caller.account()).await?;
    let password_expires_at = user.and_then(|user| user.password_expires_at());
    Ok(Whoami { person: person.ok_or(Refused::NotFound)?, held, password_expires_at })
}

/// Adds a person: an employee, a user, or both; or the half that is missing of one who is there.
/// A new user may read their own pay.
pub async fn add(
    act: Act<'_>,
    allowed: &Recent<Allowed<Manage>>,
    new: NewPerson,
) -> Result<Added, Refused> {
    if new.user.is_none() && new.employee.is_none() {
        return Err(Refused::invalid("user", "a person is paid, signs in, or both"));
    }
    if audit::ACTORS.contains(&new.username.as_str()) {
        let reason =
            "the trail names by it what is done on the command line or by the server itself";
        return Err(Refused::invalid("username", reason));
    }
    let (stored, password) = match new.user {
        None => (None, None),
        Some(password) => {
            let (stored, told) = passwords::store(act, password).await?;
            (Some(stored), told)
        }
    };
    let now = act.now();
    let account = Account::in_org(&allowed.account().org, &new.username);
    let mut tx = act.db.begin().await?;
    orgs::lock(tx.access(), &account.org).await?;
    let allowed = act.renew(&mut tx, allowed).await?;

    let there = people::find(tx.access(), &account).await?;
    let team = match (&there, &new.employee) {
        (Some(person), _) => person.team.as_ref(),
        (None, Some(employee)) => employee.team.as_ref(),
        (None, None) => None,
    };
    let one = Reach::User(new.username.clone());
    let today = Some(now.day());
    allowed.principal().holds(Permission::Manage, &new.username, &one, team, today)?;
    if stored.is_some() && there.as_ref().is_some_and(|person| person.is_employee) {
        // The user will read their own pay, and whoever is told the password could sign in as them.
        allowed.principal().holds(Permission::Read, &new.username, &one, team, None)?;
    }
    if let Some(Employee { full_name, team }) = &new.employee {
        enter_team(act, &mut tx, &allowed, &account, None, team.as_ref()).await?;
        if !people::add_employee(tx.access(), &account, full_name, team.as_ref(), now).await? {
            return Err(Refused::Exists(format!("the employee {}", new.username)));
        }
    }
    if let Some(stored) = &stored {
        if !users::add(tx.access(), &account, stored, now).await? {
            return Err(Refused::Exists(format!("the user {}", new.username)));
        }
        let grant_id = random_id(act.ports.entropy.as_ref())?;
        let grant = NewGrant {
            grant_id: &grant_id,
            holder: &account,
            permission: Permission::Read,
            reach: Reach::Own,
            until: None,
            reason: "every user may read their own pay",
            granted_by: allowed.account().username.as_str(),
            granted_at: now,
        };
        grants::add(tx.access(), &grant).await?;
    }
    let detail = json!({
        "employee": new.employee.is_some(),
        "user": stored.is_some(),
        "team": new.employee.and_then(|employee| employee.team).map(|team| team.to_string()),
    });
    let detail = members(detail);
    act.record(&mut tx, &allowed, Action::AddPerson, &new.username, detail).await?;
    let person = people::find(tx.access(), &account).await?.ok_or(Refused::NotFound)?;
    tx.commit().await?;
    Ok(Added { person, password })
}

/// Changes a person whom the caller manages.
pub async fn change(
    act: Act<'_>,
    allowed: &Recent<Allowed<Manage>>,
    username: &Username,
    changes: Changes,
    precondition: &Precondition,
) -> Result<Person, Refused> {
    let account = Account::in_org(&allowed.account().org, username);
    let mut tx = act.db.begin().await?;
    orgs::lock(tx.access(), &account.org).await?;
    let allowed = act.renew(&mut tx, allowed).await?;
    let person = people::find_reached(tx.access(), &allowed, username).await?;
    let person = person.ok_or(Refused::NotFound)?;
    precondition.check(person.version)?;

    change_employee(act, &mut tx, &allowed, &account, &person, &changes).await?;
    if let Some(disable) = changes.disabled {
        if !person.is_user {
            return Err(Refused::invalid("disabled", format!("{username} does not sign in")));
        }
        if !disable {
            holds_all_of(act, &mut tx, &allowed, &person).await?;
        }
        if disable != person.disabled_at.is_some() {
            set_disabled(act, &mut tx, &allowed, &account, disable).await?;
        }
    }
    let person = people::find(tx.access(), &account).await?.ok_or(Refused::NotFound)?;
    tx.commit().await?;
    Ok(person)
}

async fn change_employee(
    act: Act<'_>,
    tx: &mut Tx,
    allowed: &Allowed<Manage>,
    account: &Account,
    person: &Person,
    changes: &Changes,
) -> Result<(), Refused> {
    if changes.full_name.is_none() && changes.team.is_none() {
        return Ok(());
    }
    let now = act.now();
    let team = changes.team.clone().unwrap_or_else(|| person.team.clone());
    let employee = person.is_employee.then_some(person);
    enter_team(act, tx, allowed, account, employee, team.as_ref()).await?;
    match (&changes.full_name, &person.full_name) {
        (Some(name), None) => {
            people::add_employee(tx.access(), account, name, team.as_ref(), now).await?;
        }
        (Some(name), Some(_)) => {
            people::set_employee(tx.access(), account, name.as_str(), team.as_ref()).await?;
        }
        (None, Some(name)) => {
            people::set_employee(tx.access(), account, name, team.as_ref()).await?;
        }
        (None, None) => {
            let reason = format!("only who is paid has a team: give {} a name", person.username);
            return Err(Refused::invalid("team", reason));
        }
    }
    let mut detail = Map::new();
    if team != person.team {
        let name = |team: &Option<TeamName>| Value::from(team.as_ref().map(TeamName::as_str));
        detail.insert("team".into(), json!({ "from": name(&person.team), "to": name(&team) }));
    }
    act.record(tx, allowed, Action::ChangePerson, &person.username, detail).await?;
    Ok(())
}

/// Who moves somebody into a team manages that team, and does not come to hold by it what they do
/// not hold: a team is a reach. Over who becomes an employee now, there is nothing to hold yet.
async fn enter_team(
    act: Act<'_>,
    tx: &mut Tx,
    allowed: &Allowed<Manage>,
    moved: &Account,
    employee: Option<&Person>,
    to: Option<&TeamName>,
) -> Result<(), Refused> {
    let (mover, today) = (allowed.principal(), act.now().day());
    let from = employee.and_then(|employee| employee.team.as_ref());
    let Some(to) = to.filter(|to| from != Some(*to)) else {
        return Ok(());
    };
    let (team, one) = (Reach::Team(to.clone()), Reach::User(moved.username.clone()));
    mover.holds(Permission::Manage, &moved.username, &team, None, Some(today))?;
    if employee.is_none() {
        return Ok(());
    }
    // All that they hold, also what the token of this request leaves out.
    let held = grants::list(tx.access(), mover.account()).await?;
    let held = held.into_iter().filter(|record| record.holds_on(today)).map(|record| record.grant);
    let mover = mover.with_all(held.collect());
    for grant in mover.grants().iter().filter(|grant| grant.reach == team) {
        mover.holds(grant.permission, &moved.username, &one, from, grant.until)?;
    }
    Ok(())
}

async fn set_disabled(
    act: Act<'_>,
    tx: &mut Tx,
    allowed: &Allowed<Manage>,
    account: &Account,
    disable: bool,
) -> Result<(), Refused> {
    let now = act.now();
    let managers = grants::count_managers(tx.access(), &account.org).await?;
    users::set_disabled(tx.access(), account, disable.then_some(now)).await?;
    let action = if disable { Action::DisableUser } else { Action::EnableUser };
    if disable {
        sessions::end_all(tx.access(), account, now).await?;
        keep_a_manager(tx, &account.org, managers).await?;
    }
    act.record(tx, allowed, action, &account.username, Map::new()).await?;
    Ok(())
}

/// Forgets what failed sign-ins have counted against a user; gives whether that was anything.
pub async fn unlock(
    act: Act<'_>,
    throttle: &Throttle,
    allowed: &Recent<Allowed<Manage>>,
    username: &Username,
) -> Result<bool, Refused> {
    let account = Account::in_org(&allowed.account().org, username);
    let mut tx = act.db.begin().await?;
    orgs::lock(tx.access(), &account.org).await?;
    let allowed = act.renew(&mut tx, allowed).await?;
    let person = people::find_reached(tx.access(), &allowed, username).await?;
    person.filter(|person| person.is_user).ok_or(Refused::NotFound)?;
    let any = throttle.unlock(tx.access(), &account).await?;
    act.record(&mut tx, &allowed, Action::UnlockUser, username, Map::new()).await?;
    tx.commit().await?;
    Ok(any)
}

/// Refuses what would let the caller do, or have done, all that somebody's grants permit, unless
/// the caller holds it too.
pub(super) async fn holds_all_of(
    act: Act<'_>,
    tx: &mut Tx,
    allowed: &Allowed<Manage>,
    person: &Person,
) -> Result<(), Refused> {
    let account = Account::in_org(&allowed.account().org, &person.username);
    let held = grants::list(tx.access(), &account).await?;
    for record in held.iter().filter(|record| record.holds_on(act.now().day())) {
        let grant = &record.grant;
        // Every user has this one, so that without it nobody could help who has forgotten theirs;
        // and a user whose password has been set by another notices, as does the trail.
        if (grant.permission, &grant.reach) == (Permission::Read, &Reach::Own) {
            continue;
        }
        let named = match &grant.reach {
            Reach::User(name) => {
                people::find(tx.access(), &Account::in_org(&account.org, name)).await?
            }
            Reach::Own => Some(person.clone()),
            Reach::Team(_) | Reach::Org => None,
        };
        let (team, until) = (named.as_ref().and_then(|person| person.team.as_ref()), grant.until);
        allowed.principal().holds(grant.permission, &person.username, &grant.reach, team, until)?;
    }
    Ok(())
}
