//! Names of orgs, users and employees.

use std::fmt;

/// The text is no name of that kind; the sentence says what a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name is 1 to 64 of the characters a-z 0-9 . _ @ + -, and begins with a letter or a digit"
)]
pub struct InvalidName;

/// The longest name, in bytes (all of them ASCII).
const LONGEST: usize = 64;

/// One normal form for all names: ASCII, lower case, no spaces or control characters. Two names
/// are the same only if their bytes are, so nothing that looks alike can pass for another.
fn parse(text: &str) -> Result<Box<str>, InvalidName> {
    let first = text.bytes().next().ok_or(InvalidName)?;
    let ok = text.len() <= LONGEST
        && (first.is_ascii_lowercase() || first.is_ascii_digit())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._@+-".contains(&b));
    if ok { Ok(text.into()) } else { Err(InvalidName) }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// Parses a name: 1 to 64 of `a-z 0-9 . _ @ + -`, the first a letter or a digit.
            pub fn parse(text: &str) -> Result<Self, InvalidName> {
                parse(text).map(Self)
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The name of a user (who signs in) or an employee (who is paid), unique within its org.
    Username
}

name! {
    /// The name of a team, unique within its org.
    TeamName
}

name! {
    /// The name of an org. No org ever sees another.
    OrgName
}

name! {
    /// The name of a machine token, unique among those of its user that live. Like every name it has
    /// one form, so that in a log or a record none can pass for another.
    TokenName
}

/// A user of an org.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    /// The org.
    pub org: OrgName,
    /// The user name within the org.
    pub username: Username,
}

impl Account {
    /// The user of that name in an org.
    pub fn in_org(org: &OrgName, username: &Username) -> Self {
        Self { org: org.clone(), username: username.clone() }
    }

    /// Parses what somebody types to sign in: `NAME` in the default org, or `ORG/NAME`.
    pub fn parse(text: &str, default_org: &OrgName) -> Result<Self, InvalidName> {
        TypedName::parse(text).map(|name| name.account(default_org))
    }
}

/// What somebody types for an account: `NAME`, or `ORG/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypedName {
    org: Option<OrgName>,
    username: Username,
}

impl TypedName {
    /// Parses a name.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let (org, name) = match text.split_once('/') {
            Some((org, name)) => (Some(OrgName::parse(org)?), name),
            None => (None, text),
        };
        Ok(Self { org, username: Username::parse(name)? })
    }

    /// The account of that name; in the default org, if it names none.
    pub fn account(&self, default_org: &OrgName) -> Account {
        Account::in_org(self.org.as_ref().unwrap_or(default_org), &self.username)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.org, self.username)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_form() {
        for good in ["a", "jdoe", "0x", "ann.lee+pay@example.com", &"n".repeat(64)] {
            assert_eq!(Username::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", " jdoe", "jdoe ", "Jdoe", "jdo\u{e9}", "a\0", "a/b", "-a", &"n".repeat(65)]
        {
            assert_eq!(Username::parse(bad), Err(InvalidName), "{bad:?}");
        }
    }

    #[test]
    fn a_user_name_may_bring_its_org() {
        let home = OrgName::parse("home").unwrap();
        let parsed = Account::parse("acme/ann", &home).unwrap();
        assert_eq!((parsed.org.as_str(), parsed.username.as_str()), ("acme", "ann"));
        assert_eq!(Account::parse("ann", &home).unwrap().org, home);
        for bad in ["/ann", "acme/", "acme/ann/x", "/"] {
            assert_eq!(Account::parse(bad, &home), Err(InvalidName), "{bad}");
        }
    }
}
