//! Users: who signs in.

use super::{Access, StoreError, execute, on, statements};
use crate::clock::{Day, Timestamp};
use crate::domain::Account;

statements! {
    FIND = "SELECT password_hash, demo, disabled_at FROM users WHERE org = $1 AND username = $2";
    /// A row for each permission that the user holds over anybody on the day, or one without.
    FIND_WITH_PERMISSIONS = "SELECT DISTINCT u.password_hash, u.demo, u.disabled_at, g.permission \
                             FROM users u \
                             LEFT JOIN grants g ON g.org = u.org AND g.username = u.username \
                                  AND g.ended_at IS NULL \
                                  AND (g.last_day IS NULL OR g.last_day >= $3) \
                             WHERE u.org = $1 AND u.username = $2 ORDER BY g.permission";
    ADD = "INSERT INTO users (org, username, password_hash, demo, created_at) \
           VALUES ($1, $2, $3, 0, $4) ON CONFLICT (org, username) DO NOTHING";
    SET_DISABLED = "UPDATE users SET disabled_at = $3, version = version + 1 \
                    WHERE org = $1 AND username = $2";
    SET_PASSWORD_HASH = "UPDATE users SET password_hash = $3, version = version + 1 \
                         WHERE org = $1 AND username = $2";
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

#[derive(sqlx::FromRow)]
struct UserWithPermission {
    #[sqlx(flatten)]
    user: User,
    permission: Option<String>,
}

/// The user of that name, disabled or not, and the permissions that they hold over anybody on a
/// day, by name.
pub async fn find_with_permissions(
    access: Access<'_>,
    account: &Account,
    today: Day,
) -> Result<Option<(User, Vec<String>)>, StoreError> {
    let rows: Vec<UserWithPermission> = on!(access, connection => {
        sqlx::query_as(FIND_WITH_PERMISSIONS)
            .bind(account.org.as_str())
            .bind(account.username.as_str())
            .bind(today.to_string())
            .fetch_all(connection)
    })?;
    let user = rows.first().map(|row| row.user.clone());
    let permissions = rows.into_iter().filter_map(|row| row.permission).collect();
    Ok(user.map(|user| (user, permissions)))
}

/// Adds a user to an org that exists. Returns whether the name was free; if not, the user of that
/// name is unchanged.
pub async fn add(
    access: Access<'_>,
    account: &Account,
    password_hash: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
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

/// Disables a user from a moment on, or enables them again.
pub async fn set_disabled(
    access: Access<'_>,
    account: &Account,
    since: Option<Timestamp>,
) -> Result<(), StoreError> {
    execute!(
        access,
        sqlx::query(SET_DISABLED)
            .bind(account.org.as_str())
            .bind(account.username.as_str())
            .bind(since.map(Timestamp::as_millis))
    )?;
    Ok(())
}

/// Gives a user another password.
pub async fn set_password_hash(
    access: Access<'_>,
    account: &Account,
    password_hash: &str,
) -> Result<(), StoreError> {
    execute!(
        access,
        sqlx::query(SET_PASSWORD_HASH)
            .bind(account.org.as_str())
            .bind(account.username.as_str())
            .bind(password_hash)
    )?;
    Ok(())
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
