//! Sessions: every token belongs to one, and is worth nothing once it has ended.

use std::time::Duration;

use super::grants::GrantColumns;
use super::{Access, StoreError, execute, on, statements};
use crate::clock::Timestamp;
use crate::domain::Account;
use crate::policy::{Limits, Standing};

statements! {
    OPEN = "INSERT INTO sessions (org, session_id, username, created_at, expires_at, kind, name, \
                                  perms, client, kid, second_factor) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    END_ALL = "UPDATE sessions SET ended_at = $3 \
               WHERE org = $1 AND username = $2 AND ended_at IS NULL";
    END_OTHERS = "UPDATE sessions SET ended_at = $4 \
                  WHERE org = $1 AND username = $2 AND session_id <> $3 AND ended_at IS NULL";
    END = "UPDATE sessions SET ended_at = $3 \
           WHERE org = $1 AND session_id = $2 AND ended_at IS NULL";
    /// The session, its user and the grants that hold today, in one statement: a row a grant, or
    /// one row without. No row at all: no live session of an enabled user, under a key that holds.
    FIND_LIVE = "SELECT s.created_at, s.expires_at, s.kind, s.name, s.kid, u.demo, o.access_version, \
                        u.password_expires_at, o.second_factor AS demanded, s.second_factor, \
                        g.grant_id, g.permission, g.reach_kind, g.reach_name, g.last_day \
                 FROM sessions s \
                 JOIN orgs o ON o.org = s.org \
                 JOIN users u ON u.org = s.org AND u.username = s.username \
                 LEFT JOIN keys k ON k.kid = s.kid \
                 LEFT JOIN grants g ON g.org = u.org AND g.username = u.username \
                      AND g.ended_at IS NULL AND (g.last_day IS NULL OR g.last_day >= $5) \
                 WHERE s.org = $1 AND s.session_id = $2 AND s.username = $3 \
                   AND s.ended_at IS NULL AND s.expires_at > $4 AND u.disabled_at IS NULL \
                   AND k.revoked_at IS NULL";
}

/// A session that has not ended, of a user who is not disabled, with their grants of today.
#[derive(Clone, Debug)]
pub struct LiveSession {
    /// How long a token of this session may live, from its `iat` to its `exp`.
    pub lifetime: Duration,
    /// Whether the user is part of the demo data.
    pub is_demo: bool,
    /// The key that signed its token; none for a session from before keys were noted.
    pub kid: Option<String>,
    /// The user's grants that hold today.
    pub standing: Standing,
}

#[derive(sqlx::FromRow)]
struct Row {
    created_at: i64,
    expires_at: i64,
    kind: String,
    name: Option<String>,
    kid: Option<String>,
    demo: i64,
    access_version: i64,
    password_expires_at: Option<i64>,
    demanded: i64,
    second_factor: i64,
    #[sqlx(flatten)]
    grant: GrantColumns,
}

/// What opened a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opener<'a> {
    /// A sign-in, perhaps with a second factor.
    LogIn,
    /// A user, for a script of theirs, under this name.
    Machine(&'a str),
}

impl Opener<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::LogIn => "login",
            Self::Machine(_) => "machine",
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::LogIn => None,
            Self::Machine(name) => Some(name),
        }
    }
}

/// A session to be opened.
#[derive(Debug)]
pub struct NewSession<'a> {
    /// Its id, which is the token's `jti`.
    pub session_id: &'a str,
    /// Whose.
    pub account: &'a Account,
    /// What opens it.
    pub opener: Opener<'a>,
    /// The permissions that its token names.
    pub perms: &'a [String],
    /// The address that it is opened from.
    pub client: &'a str,
    /// The key that signs its token.
    pub kid: &'a str,
    /// Whether a second factor was given.
    pub second_factor: bool,
    /// From when.
    pub now: Timestamp,
    /// For how long.
    pub lifetime: Duration,
}

/// Opens a session.
pub async fn open(access: Access<'_>, new: &NewSession<'_>) -> Result<(), StoreError> {
    execute!(
        access,
        sqlx::query(OPEN)
            .bind(new.account.org.as_str())
            .bind(new.session_id)
            .bind(new.account.username.as_str())
            .bind(new.now.as_millis())
            .bind(new.now.plus(new.lifetime).as_millis())
            .bind(new.opener.kind())
            .bind(new.opener.name())
            .bind(serde_json::Value::from(new.perms).to_string())
            .bind(new.client)
            .bind(new.kid)
            .bind(i64::from(new.second_factor))
    )?;
    Ok(())
}

/// Ends a session, unless it has ended already. No token of it is valid from then on.
pub async fn end(
    access: Access<'_>,
    account: &Account,
    session_id: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    execute!(
        access,
        sqlx::query(END).bind(account.org.as_str()).bind(session_id).bind(now.as_millis())
    )?;
    Ok(())
}

/// Ends all of a user's sessions.
pub async fn end_all(
    access: Access<'_>,
    account: &Account,
    now: Timestamp,
) -> Result<(), StoreError> {
    execute!(
        access,
        sqlx::query(END_ALL)
            .bind(account.org.as_str())
            .bind(account.username.as_str())
            .bind(now.as_millis())
    )?;
    Ok(())
}

/// Ends all of a user's sessions but one, those of their scripts too. Returns how many there were.
pub async fn end_others(
    access: Access<'_>,
    account: &Account,
    kept: &str,
    now: Timestamp,
) -> Result<u64, StoreError> {
    Ok(execute!(
        access,
        sqlx::query(END_OTHERS)
            .bind(account.org.as_str())
            .bind(account.username.as_str())
            .bind(kept)
            .bind(now.as_millis())
    )?)
}

/// The user's session of that id, if it is alive at `now`.
pub async fn find_live(
    access: Access<'_>,
    account: &Account,
    session_id: &str,
    now: Timestamp,
) -> Result<Option<LiveSession>, StoreError> {
    let rows: Vec<Row> = on!(access, connection => sqlx::query_as(FIND_LIVE)
        .bind(account.org.as_str())
        .bind(session_id)
        .bind(account.username.as_str())
        .bind(now.as_millis())
        .bind(now.day().to_string())
        .fetch_all(connection))?;

    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let lifetime = u64::try_from(first.expires_at.saturating_sub(first.created_at))
        .map_err(|_| StoreError::Impossible("sessions"))?;
    let (is_demo, kid, token) = (first.demo != 0, first.kid.clone(), first.name.clone());
    let is_machine = first.kind != Opener::LogIn.kind();
    let limits = Limits {
        password_must_change: first.password_expires_at.is_some(),
        lacks_second_factor: first.demanded > first.second_factor,
        is_machine,
    };
    let signed_in_at = (!is_machine).then_some(Timestamp::from_millis(first.created_at));
    let version = first.access_version;
    let grants = rows.into_iter().filter_map(|row| row.grant.into_grant()).collect();
    let standing = Standing { grants, limits, token, signed_in_at, version };
    Ok(Some(LiveSession { lifetime: Duration::from_millis(lifetime), is_demo, kid, standing }))
}
