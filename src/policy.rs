//! Who may do what. Pure: no database, no HTTP, no clock.
//!
//! A function that touches pay or people takes an [`Allowed`] of the permission that it needs. Only
//! [`Principal::allow`] makes one, so there is no path to pay that has not been checked here.

use std::marker::PhantomData;

use crate::clock::Day;
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

/// What the database says that somebody may do, and the version at which it said so.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The grants that hold.
    pub grants: Vec<Grant>,
    /// The org's `access_version` when they were read.
    pub version: i64,
}

/// Who is asking, and what the database says that they may do now.
#[derive(Clone, Debug)]
pub struct Principal {
    account: Account,
    session_id: Option<String>,
    perms: Vec<String>,
    standing: Standing,
}

/// The caller is known and may not do this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this needs the permission `{needed}`")]
pub struct Denied {
    /// The permission that is missing.
    pub needed: Permission,
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
        let standing = Standing { grants: grants.to_vec(), version: 0 };
        Self::with(Account { org, username }, None, perms.to_vec(), standing)
    }

    fn with(
        account: Account,
        session_id: Option<String>,
        perms: Vec<String>,
        mut standing: Standing,
    ) -> Self {
        standing.grants.retain(|grant| perms.iter().any(|perm| perm == grant.permission.name()));
        Self { account, session_id, perms, standing }
    }

    /// The same person with these grants, whatever a token narrows them to.
    pub fn with_all(&self, grants: Vec<Grant>) -> Self {
        let perms = Permission::ALL.map(|permission| permission.name().to_owned());
        let standing = Standing { grants, version: self.standing.version };
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
        let grants: Vec<Grant> = self
            .grants()
            .iter()
            .filter(|grant| grant.permission == P::PERMISSION)
            .cloned()
            .collect();
        if grants.is_empty() {
            return Err(Denied { needed: P::PERMISSION });
        }
        let visibility = Visibility { grants, today, version: self.standing.version };
        Ok(Allowed { principal: self.clone(), visibility, right: PhantomData })
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

    /// The same proof from the holder's grants as they are now, or none, if they have ended.
    pub fn renew(&self, standing: Standing) -> Result<Self, Denied> {
        let Principal { account, session_id, perms, .. } = self.principal.clone();
        Principal::with(account, session_id, perms, standing).allow(self.visibility.today)
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
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn principal(permissions: &[Permission], perms: &[&str]) -> Principal {
        let account = Account {
            org: OrgName::parse("acme").unwrap(),
            username: Username::parse("ann").unwrap(),
        };
        let grants = permissions.iter().enumerate().map(|(i, &permission)| Grant {
            grant_id: i.to_string(),
            permission,
            reach: Reach::Org,
            until: None,
        });
        let perms: Vec<String> = perms.iter().map(ToString::to_string).collect();
        Principal::new(
            account,
            "s".into(),
            perms,
            Standing { grants: grants.collect(), version: 1 },
        )
    }

    fn reads(principal: &Principal) -> Result<Vec<String>, Denied> {
        let allowed = principal.allow::<Read>(Timestamp::from_millis(0).day())?;
        Ok(allowed.visibility().grant_ids().map(String::from).collect())
    }

    #[test]
    fn nothing_is_allowed_without_a_grant() {
        let denied = Err(Denied { needed: Permission::Read });
        assert_eq!(reads(&principal(&[], &["read"])), denied);
    }

    #[test]
    fn no_permission_implies_another() {
        let others = principal(
            &[Permission::Write, Permission::Manage, Permission::Audit],
            &["read", "write", "manage", "audit"],
        );
        assert_eq!(reads(&others), Err(Denied { needed: Permission::Read }));
    }

    #[test]
    fn a_token_only_narrows_what_the_grants_allow() {
        use Permission::{Read, Write};
        assert_eq!(reads(&principal(&[Write, Read], &["read"])), Ok(vec!["1".into()]));
        let denied = Err(Denied { needed: Read });
        assert_eq!(reads(&principal(&[Read], &["write"])), denied);
        assert_eq!(reads(&principal(&[Read], &["READ", "read ", "read,write"])), denied);
        assert_eq!(reads(&principal(&[Read], &[])), denied);
    }

    fn day(text: &str) -> Option<Day> {
        Some(Day::parse(text).unwrap())
    }

    #[test]
    fn nobody_holds_more_than_their_grants() {
        let name = |name: &str| Username::parse(name).unwrap();
        let team = |name: &str| TeamName::parse(name).unwrap();
        let account = Account { org: OrgName::parse("acme").unwrap(), username: name("ann") };
        let grant = |reach: &str, until| Grant {
            grant_id: reach.into(),
            permission: Permission::Read,
            reach: Reach::parse(reach).unwrap(),
            until,
        };
        let holds = |mine: Grant, theirs: &str, whose_team: Option<&str>, until| {
            let live = Standing { grants: vec![mine], version: 1 };
            let ann = Principal::new(account.clone(), "s".into(), vec!["read".into()], live);
            let reach = Reach::parse(theirs).unwrap();
            let whose_team = whose_team.map(team);
            ann.holds(Permission::Read, &name("bob"), &reach, whose_team.as_ref(), until).is_ok()
        };
        for reach in ["own", "user:cyd", "team:ops", "org"] {
            assert!(holds(grant("org", None), reach, None, None), "{reach}");
        }
        assert!(!holds(grant("own", None), "own", None, None), "hers is not his");
        assert!(holds(grant("own", None), "user:ann", None, None));
        assert!(holds(grant("user:bob", None), "own", None, None));
        assert!(!holds(grant("user:bob", None), "user:cyd", None, None));
        assert!(holds(grant("team:ops", None), "team:ops", None, None));
        assert!(holds(grant("team:ops", None), "user:cyd", Some("ops"), None));
        assert!(!holds(grant("team:ops", None), "user:cyd", Some("dev"), None));
        assert!(!holds(grant("team:ops", None), "user:cyd", None, None));
        assert!(!holds(grant("team:ops", None), "org", Some("ops"), None));

        let until_may = || grant("org", day("2026-05-31"));
        assert!(holds(until_may(), "org", None, day("2026-05-31")));
        assert!(!holds(until_may(), "org", None, day("2026-06-01")));
        assert!(!holds(until_may(), "org", None, None));
    }

    #[test]
    fn a_renewed_proof_is_narrowed_by_the_same_token() {
        let caller = principal(&[Permission::Read], &["read"]);
        let today = Timestamp::from_millis(0).day();
        let allowed = caller.allow::<Read>(today).unwrap();
        let grant =
            |permission| Grant { grant_id: "g".into(), permission, reach: Reach::Own, until: None };
        let grants = vec![grant(Permission::Manage), grant(Permission::Read)];
        let renewed = allowed.renew(Standing { grants, version: 2 }).unwrap();
        assert_eq!(renewed.principal().grants().len(), 1);
        assert!(!renewed.visibility().whole_org());
        assert_eq!(renewed.visibility().version(), 2);
        let ended = allowed.renew(Standing { grants: Vec::new(), version: 3 });
        assert_eq!(ended.unwrap_err(), Denied { needed: Permission::Read });
    }
}
