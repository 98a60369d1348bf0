//! Who may do what. Pure: no database, no HTTP, no clock.
//!
//! A function that touches pay or people takes an [`Allowed`] of the permission that it needs. Only
//! [`Principal::allow`] makes one, so there is no path to pay that has not been checked here.

use std::marker::PhantomData;
use std::ops::Deref;
use std::time::Duration;

use crate::clock::{Day, Timestamp};
use crate::domain::{Account, OrgName, Permission, Reach, TeamName, Username};

/// A permission, as a type, so that a function can name the one it needs.
pub trait Right: Send + Sync + 'static {
    /// The permission.
    const PERMISSION: Permission;
}

macro_rules! right {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl Right for $name {
            const PERMISSION: Permission = Permission::$name;
        }
    };
}

right! {
    /// To see pay.
    Read
}
right! {
    /// To record pay.
    Write
}
right! {
    /// To manage people and grants.
    Manage
}
right! {
    /// To read the audit trail.
    Audit
}

/// A grant that holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The grant's id, which an audit record names.
    pub grant_id: String,
    /// What it permits.
    pub permission: Permission,
    /// Over whom.
    pub reach: Reach,
    /// The last day on which it holds; none for no end.
    pub until: Option<Day>,
}

/// What a session may not do, whatever its user's grants permit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The password was made or set by somebody else: until it is changed, nothing is permitted.
    pub password_must_change: bool,
    /// The org demands a second factor, and the session was opened without: no `manage`, no `write`.
    pub lacks_second_factor: bool,
    /// It is a script's: no `manage`.
    pub is_machine: bool,
}

impl Limits {
    /// Why a permission does not count, if it does not.
    fn forbid(self, permission: Permission) -> Option<Lack> {
        let changes = matches!(permission, Permission::Manage | Permission::Write);
        if self.password_must_change {
            Some(Lack::OwnPassword)
        } else if self.is_machine && permission == Permission::Manage {
            Some(Lack::Person)
        } else if self.lacks_second_factor && changes {
            Some(Lack::SecondFactor)
        } else {
            None
        }
    }
}

/// On what terms a session was opened: a token that does not fit them is none of its.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// How long a token of it may live, from its `iat` to its `exp`.
    pub lifetime: Duration,
    /// Whether its user is part of the demo data.
    pub is_demo: bool,
    /// The key that signed its token; none for a session from before keys were noted.
    pub kid: Option<String>,
}

/// What the database says that somebody may do, and the version at which it said so.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// On what terms they are signed in.
    pub terms: Terms,
    /// The grants that hold.
    pub grants: Vec<Grant>,
    /// What their session may not do.
    pub limits: Limits,
    /// When they signed in; none for a script, which never does, and for the operator.
    pub signed_in_at: Option<Timestamp>,
    /// The name of the machine token that asks; none for a person.
    pub token_name: Option<String>,
    /// The org's `access_version` when they were read.
    pub version: i64,
}

/// A script asks for what only a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("A machine token may not do this: it needs a person who has signed in")]
pub struct NotInPerson;

/// The proof that a person asks, and no script of theirs. Made by [`Principal::in_person`] alone.
#[derive(Clone, Debug)]
pub struct InPerson(Principal);

impl Deref for InPerson {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.0
    }
}

/// Who is asking, and what the database says that they may do now.
#[derive(Clone, Debug)]
pub struct Principal {
    account: Account,
    session_id: Option<String>,
    perms: Vec<String>,
    standing: Standing,
}

/// What somebody lacks who may not do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// A grant that holds, of a permission that the token names.
    Grant,
    /// Such a grant over the whole org.
    WholeOrg,
    /// A password of their own: theirs was made or set by somebody else.
    OwnPassword,
    /// A second factor, which their org demands.
    SecondFactor,
    /// A person: it is a script that asks.
    Person,
}

/// The caller is known and may not do this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub struct Denied {
    /// The permission that is missing.
    pub needed: Permission,
    /// What is lacking for it.
    pub lack: Lack,
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.lack {
            Lack::Grant => write!(f, "This needs the permission `{}`", self.needed),
            Lack::WholeOrg => write!(f, "This needs the permission `{}` over `org`", self.needed),
            Lack::OwnPassword => f.write_str(
                "Change your password first: PUT /me/password; this one was made for you",
            ),
            Lack::SecondFactor => write!(
                f,
                "Your org demands a second factor for `{}`: turn it on, and sign in with a code",
                self.needed
            ),
            Lack::Person => write!(f, "A machine token never has the permission `{}`", self.needed),
        }
    }
}

/// The caller has to sign in again: they have not lately enough for this (RFC 9470).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this needs a sign-in of the last {} s: sign in again", .max_age.as_secs())]
pub struct SignInTooOld {
    /// How long ago it may have been.
    pub max_age: Duration,
}

/// The proof that whoever it is about has signed in lately. Made by [`Principal::recent`] and
/// [`Allowed::recent`] alone.
#[derive(Debug)]
pub struct Recent<T>(T);

impl<T> Deref for Recent<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// The proof that somebody asks about themselves, for which they need no grant. Made by
/// [`Principal::oneself`] alone.
#[derive(Clone, Debug)]
pub struct Oneself {
    principal: Principal,
    session_id: String,
}

impl Oneself {
    /// Who.
    pub fn account(&self) -> &Account {
        &self.principal.account
    }

    /// Their session.
    pub fn session_id(&self) -> &str {
        &self.session_id
    }

    /// Whether they still may, as the database says now.
    pub fn renew(&self, standing: &Standing) -> Result<(), Denied> {
        own_password(standing)
    }
}

/// A password that somebody else knows opens nothing that is about its user.
fn own_password(standing: &Standing) -> Result<(), Denied> {
    if standing.limits.password_must_change {
        return Err(Denied { needed: Permission::Read, lack: Lack::OwnPassword });
    }
    Ok(())
}

/// Somebody would give more than they hold themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "nobody gives more than they hold: this needs `{needed}` over the same people, for as long"
)]
pub struct MoreThanHeld {
    /// The permission that would be given.
    pub needed: Permission,
}

impl Principal {
    /// The holder of a live session, with the grants of theirs that hold today. A token's `perms`
    /// only narrow: a grant of a permission that the token does not name does not count.
    pub fn new(account: Account, session_id: String, perms: Vec<String>, live: Standing) -> Self {
        Self::with(account, Some(session_id), perms, live)
    }

    /// Whoever runs the command line beside the database, and so can do anything to it: every
    /// permission over one org, without a session.
    pub fn operator(org: OrgName, username: Username) -> Self {
        let grants = Permission::ALL.map(|permission| Grant {
            grant_id: "operator".into(),
            permission,
            reach: Reach::Org,
            until: None,
        });
        let perms = Permission::ALL.map(|permission| permission.name().to_owned());
        let standing = Standing { grants: grants.to_vec(), ..Standing::default() };
        Self::with(Account { org, username }, None, perms.to_vec(), standing)
    }

    fn with(
        account: Account,
        session_id: Option<String>,
        perms: Vec<String>,
        mut standing: Standing,
    ) -> Self {
        standing.grants.retain(|grant| {
            standing.limits.forbid(grant.permission).is_none()
                && perms.iter().any(|perm| perm == grant.permission.name())
        });
        Self { account, session_id, perms, standing }
    }

    /// The same person with these grants, whatever a token narrows them to: for comparing what somebody holds
    /// with what somebody else would get, and never for letting them act.
    pub fn with_all(&self, grants: Vec<Grant>) -> Self {
        let perms = Permission::ALL.map(|permission| permission.name().to_owned());
        let standing = Standing { grants, ..self.standing.clone() };
        Self::with(self.account.clone(), self.session_id.clone(), perms.to_vec(), standing)
    }

    /// Who is asking.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Their session; none on the command line.
    pub fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    /// Whether this account's own user asks; the operator of the command line is nobody's.
    pub fn is_signed_in_as(&self, account: &Account) -> bool {
        self.session_id.is_some() && self.account == *account
    }

    /// The name of the machine token that asks; none for a person.
    pub fn token_name(&self) -> Option<&str> {
        self.standing.token_name.as_deref()
    }

    /// The proof that it is a person who asks.
    pub fn in_person(self) -> Result<InPerson, NotInPerson> {
        if self.standing.limits.is_machine { Err(NotInPerson) } else { Ok(InPerson(self)) }
    }

    /// The permissions that their token names.
    pub fn perms(&self) -> &[String] {
        &self.perms
    }

    /// The same caller as the database says now, narrowed by the same token.
    pub fn renew(&self, standing: Standing) -> Self {
        Self::with(self.account.clone(), self.session_id.clone(), self.perms.clone(), standing)
    }

    /// What they may do now.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The grants that count now.
    pub fn grants(&self) -> &[Grant] {
        &self.standing.grants
    }

    /// The proof that the caller holds the permission `P` over somebody, on `today`.
    pub fn allow<P: Right>(&self, today: Day) -> Result<Allowed<P>, Denied> {
        self.has(P::PERMISSION)?;
        let holds = |grant: &&Grant| {
            grant.permission == P::PERMISSION && grant.until.is_none_or(|until| today <= until)
        };
        let grants: Vec<Grant> = self.grants().iter().filter(holds).cloned().collect();
        if grants.is_empty() {
            return Err(Denied { needed: P::PERMISSION, lack: Lack::Grant });
        }
        let visibility = Visibility { grants, today, version: self.standing.version };
        Ok(Allowed { principal: self.clone(), visibility, right: PhantomData })
    }

    /// The proof that the caller asks about themselves; the operator is nobody whom pay is about, and
    /// a script asks for what its token names and nothing beside.
    pub fn oneself(&self) -> Result<Oneself, Denied> {
        own_password(&self.standing)?;
        if self.standing.limits.is_machine {
            return Err(Denied { needed: Permission::Read, lack: Lack::Person });
        }
        let lacking = Denied { needed: Permission::Read, lack: Lack::Grant };
        let session_id = self.session_id.clone().ok_or(lacking)?;
        Ok(Oneself { principal: self.clone(), session_id })
    }

    /// Whether the caller holds a permission over anybody.
    pub fn has(&self, permission: Permission) -> Result<(), Denied> {
        if self.grants().iter().any(|grant| grant.permission == permission) {
            return Ok(());
        }
        let lack = self.standing.limits.forbid(permission).unwrap_or(Lack::Grant);
        Err(Denied { needed: permission, lack })
    }

    /// The proof that the caller signed in at most so long ago. The operator need not.
    pub fn recent(self, now: Timestamp, max_age: Duration) -> Result<Recent<Self>, SignInTooOld> {
        self.signed_in_within(now, max_age)?;
        Ok(Recent(self))
    }

    fn signed_in_within(&self, now: Timestamp, max_age: Duration) -> Result<(), SignInTooOld> {
        let recent = match (&self.session_id, self.standing.signed_in_at) {
            (None, _) => true,
            (Some(_), at) => at.is_some_and(|at| now <= at.plus(max_age)),
        };
        if recent { Ok(()) } else { Err(SignInTooOld { max_age }) }
    }

    /// Whether the caller holds a permission over all that a reach of `holder` covers, at least
    /// until a day. `team` is the team of the person whom the reach names, if it names one.
    pub fn holds(
        &self,
        permission: Permission,
        holder: &Username,
        reach: &Reach,
        team: Option<&TeamName>,
        until: Option<Day>,
    ) -> Result<(), MoreThanHeld> {
        let wanted = resolved(reach, holder);
        let covers = |grant: &&Grant| {
            grant.permission == permission
                && covers(&resolved(&grant.reach, &self.account.username), &wanted, team)
                && grant.until.is_none_or(|mine| until.is_some_and(|theirs| theirs <= mine))
        };
        match self.grants().iter().find(covers) {
            Some(_) => Ok(()),
            None => Err(MoreThanHeld { needed: permission }),
        }
    }
}

/// A reach that does not depend on who holds it.
fn resolved(reach: &Reach, holder: &Username) -> Reach {
    match reach {
        Reach::Own => Reach::User(holder.clone()),
        other => other.clone(),
    }
}

fn covers(mine: &Reach, theirs: &Reach, team_of_theirs: Option<&TeamName>) -> bool {
    match (mine, theirs) {
        (Reach::Org, _) => true,
        (Reach::Team(team), Reach::User(_)) => team_of_theirs == Some(team),
        _ => mine == theirs,
    }
}

/// The proof that somebody holds the permission `P`, and over whom. Made by [`Principal::allow`]
/// alone.
#[derive(Debug)]
pub struct Allowed<P> {
    principal: Principal,
    visibility: Visibility,
    right: PhantomData<fn() -> P>,
}

impl<P: Right> Allowed<P> {
    /// Who is allowed, with all else that they hold.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Who is allowed.
    pub fn account(&self) -> &Account {
        &self.principal.account
    }

    /// Over whom: the condition on every row.
    pub fn visibility(&self) -> &Visibility {
        &self.visibility
    }

    /// The same proof from the holder's grants as they are on a day, which may have begun since; or none,
    /// if they have ended.
    pub fn renew(&self, standing: Standing, today: Day) -> Result<Self, Denied> {
        self.principal.renew(standing).allow(today)
    }

    /// The same proof, with that of a sign-in at most so long ago.
    pub fn recent(self, now: Timestamp, max_age: Duration) -> Result<Recent<Self>, SignInTooOld> {
        self.principal.signed_in_within(now, max_age)?;
        Ok(Recent(self))
    }

    /// The permission that was checked.
    pub fn permission(&self) -> Permission {
        P::PERMISSION
    }
}

/// Whose rows may be seen: the reach of the caller's grants of one permission, on one day.
/// Never empty, since nobody is [`Allowed`] without a grant.
#[derive(Clone, Debug)]
pub struct Visibility {
    grants: Vec<Grant>,
    today: Day,
    version: i64,
}

impl Visibility {
    /// The day on which it was asked.
    pub fn today(&self) -> Day {
        self.today
    }

    /// The org's `access_version` at which it was found.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// Whether it is everybody in the org.
    pub fn whole_org(&self) -> bool {
        self.grants.iter().any(|grant| grant.reach == Reach::Org)
    }

    /// The ids of the grants that give it.
    pub fn grant_ids(&self) -> impl Iterator<Item = &str> {
        self.grants.iter().map(|grant| grant.grant_id.as_str())
    }
}

#[cfg(test)]
mod tests;
