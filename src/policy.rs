//! Who may do what. Pure: no database, no HTTP, no clock.
//!
//! A function that touches pay takes an [`Allowed`] of the permission that it needs. Only
//! [`Principal::allow`] makes one, so there is no path to pay that has not been checked here.

use std::marker::PhantomData;

use crate::clock::Day;
use crate::domain::{Account, Permission, Reach};

/// A permission, as a type, so that a function can name the one it needs.
pub trait Right: Send + Sync + 'static {
    /// The permission.
    const PERMISSION: Permission;
}

/// To see pay.
#[derive(Debug)]
pub struct Read;

impl Right for Read {
    const PERMISSION: Permission = Permission::Read;
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
}

/// Who is asking, and what the database says that they may do now.
#[derive(Clone, Debug)]
pub struct Principal {
    account: Account,
    session_id: String,
    grants: Vec<Grant>,
}

/// The caller is known and may not do this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this needs the permission `{needed}`")]
pub struct Denied {
    /// The permission that is missing.
    pub needed: Permission,
}

impl Principal {
    /// The holder of a live session, with the grants of theirs that hold today. A token's `perms`
    /// only narrow: a grant of a permission that the token does not name does not count.
    pub fn new(account: Account, session_id: String, grants: Vec<Grant>, perms: &[String]) -> Self {
        let named = |grant: &Grant| perms.iter().any(|perm| perm == grant.permission.name());
        let grants = grants.into_iter().filter(named).collect();
        Self { account, session_id, grants }
    }

    /// Who is asking.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Their session.
    pub fn session_id(&self) -> &str {
        &self.session_id
    }

    /// The proof that the caller holds the permission `P` over somebody, on `today`.
    pub fn allow<P: Right>(&self, today: Day) -> Result<Allowed<P>, Denied> {
        let nothing_yet = Allowed {
            account: self.account.clone(),
            session_id: self.session_id.clone(),
            visibility: Visibility { grants: Vec::new(), today },
            right: PhantomData,
        };
        nothing_yet.renew(self.grants.clone())
    }
}

/// The proof that somebody holds the permission `P`, and over whom. Made by [`Principal::allow`]
/// alone.
#[derive(Debug)]
pub struct Allowed<P> {
    account: Account,
    session_id: String,
    visibility: Visibility,
    right: PhantomData<fn() -> P>,
}

impl<P: Right> Allowed<P> {
    /// Who is allowed.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// In which session.
    pub fn session_id(&self) -> &str {
        &self.session_id
    }

    /// Over whom: the condition on every row.
    pub fn visibility(&self) -> &Visibility {
        &self.visibility
    }

    /// The same proof from the holder's grants as they are now, or none, if they have ended.
    pub fn renew(&self, mut grants: Vec<Grant>) -> Result<Self, Denied> {
        grants.retain(|grant| grant.permission == P::PERMISSION);
        if grants.is_empty() {
            return Err(Denied { needed: P::PERMISSION });
        }
        Ok(Self {
            account: self.account.clone(),
            session_id: self.session_id.clone(),
            visibility: Visibility { grants, today: self.visibility.today },
            right: PhantomData,
        })
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
}

impl Visibility {
    /// The day on which it was asked.
    pub fn today(&self) -> Day {
        self.today
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
    use crate::domain::{OrgName, Username};

    fn principal(permissions: &[Permission], perms: &[&str]) -> Principal {
        let account = Account {
            org: OrgName::parse("acme").unwrap(),
            username: Username::parse("ann").unwrap(),
        };
        let grants = permissions.iter().enumerate().map(|(i, &permission)| Grant {
            grant_id: i.to_string(),
            permission,
            reach: Reach::Org,
        });
        let perms: Vec<String> = perms.iter().map(ToString::to_string).collect();
        Principal::new(account, "s".into(), grants.collect(), &perms)
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
}
