//! Users: who signs in.

use super::factors::Factor;
use super::{Access, StoreError, execute, on, statements};
use crate::clock::{Day, Timestamp};
use crate::domain::Account;

statements! {
    FIND = "SELECT password_hash, demo, disabled_at, password_expires_at FROM users \
            WHERE org = $1 AND username = $2";
    /// With their second factor, whether a code by its hash is one of its recovery codes, and when they last
    /// signed in from a network: one row and one statement, whoever it is, so that nothing tells who has what.
    FIND_TO_SIGN_IN = "SELECT u.password_hash, u.demo, u.disabled_at, u.password_expires_at, \
                               u.totp_secret, u.totp_confirmed_at, u.totp_last_step, \
                               (SELECT COUNT(*) FROM recovery_codes r \
                                 WHERE r.org = u.org AND r.username = u.username \
                                   AND r.code_hash = $3 AND r.used_at IS NULL) AS is_recovery_code, \
                               (SELECT n.signed_in_at FROM known_networks n \
                                 WHERE n.org = u.org AND n.username = u.username \
                                   AND n.network = $4 AND n.signed_in_at > $5) AS known_at \
                          FROM users u WHERE u.org = $1 AND u.username = $2";
    /// A row for each permission that the user holds over anybody on the day, or one without.
    FIND_WITH_PERMISSIONS = "SELECT DISTINCT u.password_hash, u.demo, u.disabled_at, \
                                             u.password_expires_at, g.permission \
                             FROM users u \
                             LEFT JOIN grants g ON g.org = u.org AND g.username = u.username \
                                  AND g.ended_at IS NULL \
                                  AND (g.last_day IS NULL OR g.last_day >= $3) \
                             WHERE u.org = $1 AND u.username = $2 ORDER BY g.permission";
    /// Changes nothing, and holds the user's row until the transaction ends.
    HOLD = "UPDATE users SET demo = demo WHERE org = $1 AND username = $2 AND password_hash = $3 \
            RETURNING totp_confirmed_at";
    ADD = "INSERT INTO users (org, username, password_hash, password_expires_at, demo, created_at) \
           VALUES ($1, $2, $3, $4, 0, $5) ON CONFLICT (org, username) DO NOTHING";
    HAS_SECOND_FACTOR = "SELECT COUNT(*) FROM users WHERE org = $1 AND username = $2 \
                         AND totp_confirmed_at IS NOT NULL";
    SET_DISABLED = "UPDATE users SET disabled_at = $3, version = version + 1 \
                    WHERE org = $1 AND username = $2";
    SET_PASSWORD = "UPDATE users SET password_hash = $3, password_expires_at = $4, \
                                     version = version + 1 \
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
    password_expires_at: Option<i64>,
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

    /// Until when a password that was made for the user can be signed in with, and must be changed;
    /// none for one of their own.
    pub fn password_expires_at(&self) -> Option<Timestamp> {
        self.password_expires_at.map(Timestamp::from_millis)
    }

    /// Whether the password is one that was made for the user, too long ago.
    pub fn password_has_expired(&self, now: Timestamp) -> bool {
        self.password_expires_at().is_some_and(|end| end <= now)
    }
}

/// Whether a user's second factor is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HasSecondFactor(pub bool);

/// A password as it is stored.
#[derive(Clone, Debug)]
pub struct StoredPassword {
    /// A PHC string.
    pub hash: String,
    /// Until when it can be signed in with, if it was made for the user and must be changed; none
    /// for one of their own.
    pub expires_at: Option<Timestamp>,
}

/// The user of that name, disabled or not.
pub async fn find(access: Access<'_>, account: &Account) -> Result<Option<User>, StoreError> {
    Ok(on!(access, connection => sqlx::query_as(FIND)
        .bind(account.org.as_str())
        .bind(account.username.as_str())
        .fetch_optional(connection))?)
}

/// What is asked of a user before their password is looked at.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct SigningIn {
    /// Who.
    #[sqlx(flatten)]
    pub user: User,
    /// Their second factor, and in it whether a hash is that of one of their recovery codes.
    #[sqlx(flatten)]
    pub factor: Factor,
    known_at: Option<i64>,
}

impl SigningIn {
    /// When they last signed in from a network, if since a moment.
    pub fn known_at(&self) -> Option<Timestamp> {
        self.known_at.map(Timestamp::from_millis)
    }
}

/// The user of that name, disabled or not; with the code of that hash, from that network, which they may be
/// known from since that moment.
pub async fn find_to_sign_in(
    access: Access<'_>,
    account: &Account,
    code_hash: &str,
    (network, since): (&str, Timestamp),
) -> Result<Option<SigningIn>, StoreError> {
    Ok(on!(access, connection => sqlx::query_as(FIND_TO_SIGN_IN)
        .bind(account.org.as_str())
        .bind(account.username.as_str())
        .bind(code_hash)
        .bind(network)
        .bind(since.as_millis())
        .fetch_optional(connection))?)
}

/// Whether the user has confirmed a second factor.
pub async fn has_second_factor(access: Access<'_>, account: &Account) -> Result<bool, StoreError> {
    let found: i64 = on!(access, connection => sqlx::query_scalar(HAS_SECOND_FACTOR)
        .bind(account.org.as_str())
        .bind(account.username.as_str())
        .fetch_one(connection))?;
    Ok(found == 1)
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

/// Whether the user has a second factor, if this is the hash of their password still; both stay so
/// until the transaction ends. So of a sign-in and a change of the password at once, either the
/// sign-in finds the new one, or the change finds the session and ends it.
pub async fn hold(
    access: Access<'_>,
    account: &Account,
    hash: &str,
) -> Result<Option<HasSecondFactor>, StoreError> {
    let held: Option<Option<i64>> = on!(access, connection => sqlx::query_scalar(HOLD)
        .bind(account.org.as_str())
        .bind(account.username.as_str())
        .bind(hash)
        .fetch_optional(connection))?;
    Ok(held.map(|confirmed_at| HasSecondFactor(confirmed_at.is_some())))
}

/// Adds a user to an org that exists. Returns whether the name was free; if not, the user of that
/// name is unchanged.
pub async fn add(
    access: Access<'_>,
    account: &Account,
    password: &StoredPassword,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let added = execute!(
        access,
        sqlx::query(ADD)
            .bind(account.org.as_str())
            .bind(account.username.as_str())
            .bind(&password.hash)
            .bind(password.expires_at.map(Timestamp::as_millis))
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
pub async fn set_password(
    access: Access<'_>,
    account: &Account,
    password: &StoredPassword,
) -> Result<(), StoreError> {
    execute!(
        access,
        sqlx::query(SET_PASSWORD)
            .bind(account.org.as_str())
            .bind(account.username.as_str())
            .bind(&password.hash)
            .bind(password.expires_at.map(Timestamp::as_millis))
    )?;
    Ok(())
}

/// Replaces a password's hash by another of the same password; gives whether it still stood there.
pub async fn replace_password_hash(
    access: Access<'_>,
    account: &Account,
    old: &str,
    new: &str,
) -> Result<bool, StoreError> {
    let replaced = execute!(
        access,
        sqlx::query(REPLACE_PASSWORD_HASH)
            .bind(account.org.as_str())
            .bind(account.username.as_str())
            .bind(old)
            .bind(new)
    )?;
    Ok(replaced > 0)
}
