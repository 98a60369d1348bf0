//! Second factors: what the database keeps of them, and which code has been used.

use super::{Access, StoreError, execute, on, sessions, statements};
use crate::clock::Timestamp;
use crate::domain::Account;

statements! {
    FIND = "SELECT totp_secret, totp_confirmed_at, totp_last_step, \
                   CAST(0 AS BIGINT) AS is_recovery_code \
            FROM users WHERE org = $1 AND username = $2";
    FIND_STANDING = "SELECT u.totp_confirmed_at AS confirmed_at, o.second_factor AS demanded, \
                            (SELECT COUNT(*) FROM recovery_codes r \
                              WHERE r.org = u.org AND r.username = u.username \
                                AND r.used_at IS NULL) AS codes_left \
                       FROM users u JOIN orgs o ON o.org = u.org \
                      WHERE u.org = $1 AND u.username = $2";
    START = "UPDATE users SET totp_secret = $3, totp_last_step = NULL \
             WHERE org = $1 AND username = $2 AND totp_confirmed_at IS NULL";
    CONFIRM = "UPDATE users SET totp_confirmed_at = $5, totp_last_step = $4 \
               WHERE org = $1 AND username = $2 AND totp_secret = $3 AND totp_confirmed_at IS NULL";
    /// Changes nothing, and holds the user's row until the transaction ends.
    HOLD = "UPDATE users SET totp_confirmed_at = totp_confirmed_at \
            WHERE org = $1 AND username = $2 AND totp_confirmed_at IS NOT NULL";
    /// Decides: of two uses of one code at once, the second finds the step used.
    USE_STEP = "UPDATE users SET totp_last_step = $4 \
                WHERE org = $1 AND username = $2 AND totp_secret = $3 \
                  AND totp_confirmed_at IS NOT NULL \
                  AND (totp_last_step IS NULL OR totp_last_step < $4)";
    USE_RECOVERY_CODE = "UPDATE recovery_codes SET used_at = $4 \
                         WHERE org = $1 AND username = $2 AND code_hash = $3 AND used_at IS NULL";
    TURN_OFF = "UPDATE users SET totp_secret = NULL, totp_confirmed_at = NULL, totp_last_step = NULL \
                WHERE org = $1 AND username = $2 AND totp_confirmed_at IS NOT NULL";
    FORGET_RECOVERY_CODES = "DELETE FROM recovery_codes WHERE org = $1 AND username = $2";
    ADD_RECOVERY_CODE = "INSERT INTO recovery_codes (org, username, code_hash) VALUES ($1, $2, $3)";
    /// Of one session: a second factor was given in it.
    STRENGTHEN = "UPDATE sessions SET second_factor = 1 WHERE org = $1 AND session_id = $2";
    /// Of all sessions of a user: whatever was given does not count any more.
    WEAKEN = "UPDATE sessions SET second_factor = 0 \
              WHERE org = $1 AND username = $2 AND ended_at IS NULL AND second_factor = 1";
    ASK_FOR_PASSWORD = "UPDATE users SET password_expires_at = $3, version = version + 1 \
                        WHERE org = $1 AND username = $2 AND password_expires_at IS NULL";
}

/// What is known of a user's second factor.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Factor {
    /// The secret, sealed.
    #[sqlx(rename = "totp_secret")]
    pub secret: Option<String>,
    #[sqlx(rename = "totp_confirmed_at")]
    confirmed_at: Option<i64>,
    /// The last time step of which a code was used.
    #[sqlx(rename = "totp_last_step")]
    pub last_step: Option<i64>,
    is_recovery_code: i64,
}

impl Factor {
    /// Whether it is asked for: whether a code has confirmed it.
    pub fn is_on(&self) -> bool {
        self.confirmed_at.is_some()
    }

    /// Whether the hash that was asked about is that of a recovery code which is left.
    pub fn is_recovery_code(&self) -> bool {
        self.is_recovery_code != 0
    }
}

/// How a user stands with a second factor.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct Standing {
    /// Since when it is on, in milliseconds since 1970; none: it is off.
    pub confirmed_at: Option<i64>,
    /// How many recovery codes are left.
    pub codes_left: i64,
    demanded: i64,
}

impl Standing {
    /// Whether the org demands one of those who manage and record pay.
    pub fn is_demanded(&self) -> bool {
        self.demanded != 0
    }
}

/// A user's second factor.
pub async fn find(access: Access<'_>, account: &Account) -> Result<Option<Factor>, StoreError> {
    Ok(on!(access, connection => sqlx::query_as(FIND)
        .bind(account.org.as_str())
        .bind(account.username.as_str())
        .fetch_optional(connection))?)
}

/// How a user stands with a second factor.
pub async fn find_standing(
    access: Access<'_>,
    account: &Account,
) -> Result<Option<Standing>, StoreError> {
    Ok(on!(access, connection => sqlx::query_as(FIND_STANDING)
        .bind(account.org.as_str())
        .bind(account.username.as_str())
        .fetch_optional(connection))?)
}

/// Keeps a secret that does not count yet, in place of an earlier one. False if one is on.
pub async fn start(
    access: Access<'_>,
    account: &Account,
    sealed: &str,
) -> Result<bool, StoreError> {
    let started = execute!(
        access,
        sqlx::query(START).bind(account.org.as_str()).bind(account.username.as_str()).bind(sealed)
    )?;
    Ok(started == 1)
}

/// Turns a second factor on, the step of its first code used. False if it is on already, or another
/// secret has taken its place.
pub async fn confirm(
    access: Access<'_>,
    account: &Account,
    sealed: &str,
    step: i64,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let confirmed = execute!(
        access,
        sqlx::query(CONFIRM)
            .bind(account.org.as_str())
            .bind(account.username.as_str())
            .bind(sealed)
            .bind(step)
            .bind(now.as_millis())
    )?;
    Ok(confirmed == 1)
}

/// Holds the user's row until the transaction ends. False if their second factor is off.
pub async fn hold(access: Access<'_>, account: &Account) -> Result<bool, StoreError> {
    let held = execute!(
        access,
        sqlx::query(HOLD).bind(account.org.as_str()).bind(account.username.as_str())
    )?;
    Ok(held == 1)
}

/// Uses the code of a time step. False if that step or a later one has been used, or the secret is
/// not theirs any more. Holds the user's row until the transaction ends.
pub async fn use_step(
    access: Access<'_>,
    account: &Account,
    sealed: &str,
    step: i64,
) -> Result<bool, StoreError> {
    let used = execute!(
        access,
        sqlx::query(USE_STEP)
            .bind(account.org.as_str())
            .bind(account.username.as_str())
            .bind(sealed)
            .bind(step)
    )?;
    Ok(used == 1)
}

/// Uses a recovery code. False if it has been used, or is none of theirs any more.
pub async fn use_recovery_code(
    access: Access<'_>,
    account: &Account,
    code_hash: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let used = execute!(
        access,
        sqlx::query(USE_RECOVERY_CODE)
            .bind(account.org.as_str())
            .bind(account.username.as_str())
            .bind(code_hash)
            .bind(now.as_millis())
    )?;
    Ok(used == 1)
}

/// Turns a second factor off: its secret and its recovery codes are gone, and what was given of it
/// in their sessions does not count any more. False if it is not on.
pub async fn turn_off(mut access: Access<'_>, account: &Account) -> Result<bool, StoreError> {
    let (org, username) = (account.org.as_str(), account.username.as_str());
    let off = execute!(access.reborrow(), sqlx::query(TURN_OFF).bind(org).bind(username))?;
    for statement in [FORGET_RECOVERY_CODES, WEAKEN] {
        execute!(access.reborrow(), sqlx::query(statement).bind(org).bind(username))?;
    }
    Ok(off == 1)
}

/// Gives a user these recovery codes in place of all earlier ones.
pub async fn set_recovery_codes(
    mut access: Access<'_>,
    account: &Account,
    code_hashes: &[String],
) -> Result<(), StoreError> {
    let (org, username) = (account.org.as_str(), account.username.as_str());
    execute!(access.reborrow(), sqlx::query(FORGET_RECOVERY_CODES).bind(org).bind(username))?;
    for hash in code_hashes {
        execute!(
            access.reborrow(),
            sqlx::query(ADD_RECOVERY_CODE).bind(org).bind(username).bind(hash)
        )?;
    }
    Ok(())
}

/// Notes that a second factor was given in one of the user's sessions, and ends the others, in
/// which none was.
pub async fn strengthen_alone(
    mut access: Access<'_>,
    account: &Account,
    session_id: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let org = account.org.as_str();
    execute!(access.reborrow(), sqlx::query(STRENGTHEN).bind(org).bind(session_id))?;
    sessions::end_others(access, account, session_id, now).await?;
    Ok(())
}

/// Has a user choose another password before anything else, and until a moment, unless that is so
/// already.
pub async fn ask_for_password(
    access: Access<'_>,
    account: &Account,
    until: Timestamp,
) -> Result<(), StoreError> {
    execute!(
        access,
        sqlx::query(ASK_FOR_PASSWORD)
            .bind(account.org.as_str())
            .bind(account.username.as_str())
            .bind(until.as_millis())
    )?;
    Ok(())
}
