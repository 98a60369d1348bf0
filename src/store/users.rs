//! Users: who signs in.

use super::{Access, StoreError, execute, on, statements};
use crate::clock::Timestamp;
use crate::domain::Account;

statements! {
    FIND = "SELECT password_hash, demo, disabled_at FROM users WHERE org = $1 AND username = $2";
    ADD_ORG = "INSERT INTO orgs (org, created_at) VALUES ($1, $2) ON CONFLICT (org) DO NOTHING";
    ADD = "INSERT INTO users (org, username, password_hash, demo, created_at) \
           VALUES ($1, $2, $3, 0, $4) ON CONFLICT (org, username) DO NOTHING";
    /// The old hash is part of the key, so that of two rehashes at once one does nothing.
    REPLACE_PASSWORD_HASH = "UPDATE users SET password_hash = $4 \
                             WHERE org = $1 AND username = $2 AND password_hash = $3";
}

/// What is needed to let a user in.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct User {
    /// A PHC string.
    pub password_hash: String,
    demo: i64,
    disabled_at: Option<i64>,
}

impl User {
    /// Whether the user is part of the demo data, with a published password.
    pub fn is_demo(&self) -> bool {
        self.demo != 0
    }

    /// Whether the user has been disabled.
    pub fn is_disabled(&self) -> bool {
        self.disabled_at.is_some()
    }
}

/// The user of that name, disabled or not.
pub async fn find(access: Access<'_>, account: &Account) -> Result<Option<User>, StoreError> {
    Ok(on!(access, connection => sqlx::query_as(FIND)
        .bind(account.org.as_str())
        .bind(account.username.as_str())
        .fetch_optional(connection))?)
}

/// Adds a user, and their org if it is new. Returns whether the name was free; if not, the user
/// of that name is unchanged.
pub async fn add(
    mut access: Access<'_>,
    account: &Account,
    password_hash: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    execute!(
        access.reborrow(),
        sqlx::query(ADD_ORG).bind(account.org.as_str()).bind(now.as_millis())
    )?;
    let added = execute!(
        access,
        sqlx::query(ADD)
            .bind(account.org.as_str())
            .bind(account.username.as_str())
            .bind(password_hash)
            .bind(now.as_millis())
    )?;
    Ok(added == 1)
}

/// Replaces a password's hash by another of the same password, unless it has changed meanwhile.
pub async fn replace_password_hash(
    access: Access<'_>,
    account: &Account,
    old: &str,
    new: &str,
) -> Result<(), StoreError> {
    execute!(
        access,
        sqlx::query(REPLACE_PASSWORD_HASH)
            .bind(account.org.as_str())
            .bind(account.username.as_str())
            .bind(old)
            .bind(new)
    )?;
    Ok(())
}
