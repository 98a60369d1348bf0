//! What a grant says: a permission over a reach.

use std::fmt;

use super::user::{TeamName, Username};

/// What somebody may do. Nothing is implied by anything else: `manage` does not include `read`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// See pay.
    Read,
    /// Record pay.
    Write,
    /// Manage people and grants.
    Manage,
    /// Read the audit trail.
    Audit,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Manage, Self::Audit];

    /// The permission's name in tokens, grants and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Manage => "manage",
            Self::Audit => "audit",
        }
    }

    /// The permission of exactly that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.name() == name)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whom a grant covers, always within one org.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The holder alone.
    Own,
    /// One person.
    User(Username),
    /// The members of a team.
    Team(TeamName),
    /// Everybody in the org.
    Org,
}

/// The text is no reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a reach is `own`, `user:NAME`, `team:NAME` or `org`")]
pub struct InvalidReach;

impl Reach {
    /// Parses `own`, `user:NAME`, `team:NAME` or `org`.
    pub fn parse(text: &str) -> Result<Self, InvalidReach> {
        let (kind, name) = match text.split_once(':') {
            Some((kind, name)) => (kind, Some(name)),
            None => (text, None),
        };
        Self::from_columns(kind, name).ok_or(InvalidReach)
    }

    /// The two columns in which the database keeps a reach: its kind, and the name that the
    /// kinds `user` and `team` have.
    pub fn columns(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Own => ("own", None),
            Self::User(name) => ("user", Some(name.as_str())),
            Self::Team(name) => ("team", Some(name.as_str())),
            Self::Org => ("org", None),
        }
    }

    /// The inverse of [`Reach::columns`]; `None` for what the schema does not allow.
    pub fn from_columns(kind: &str, name: Option<&str>) -> Option<Self> {
        match (kind, name) {
            ("own", None) => Some(Self::Own),
            ("org", None) => Some(Self::Org),
            ("user", Some(name)) => Username::parse(name).ok().map(Self::User),
            ("team", Some(name)) => TeamName::parse(name).ok().map(Self::Team),
            _ => None,
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.columns() {
            (kind, Some(name)) => write!(f, "{kind}:{name}"),
            (kind, None) => f.write_str(kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reach_is_parsed_as_it_is_written() {
        for text in ["own", "org", "user:ann", "team:ops"] {
            assert_eq!(Reach::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "ORG", "org:x", "own:", "user", "user:", "user:Ann", "team:a:b", "all"] {
            assert_eq!(Reach::parse(text), Err(InvalidReach), "{text:?}");
        }
    }
}
