//! Sessions: every token belongs to one, and is worth nothing once it has ended.

use std::time::Duration;

use super::{Access, StoreError, execute, on, statements};
use crate::clock::Timestamp;
use crate::domain::{Account, Permission, Reach};
use crate::policy::Grant;

statements! {
    OPEN = "INSERT INTO sessions (org, session_id, username, created_at, expires_at) \
            VALUES ($1, $2, $3, $4, $5)";
    END = "UPDATE sessions SET ended_at = $3 \
           WHERE org = $1 AND session_id = $2 AND ended_at IS NULL";
    /// The session, its user and the grants that hold today, in one statement: a row a grant, or
    /// one row without. No row at all: no live session of an enabled user.
    FIND_LIVE = "SELECT s.created_at, s.expires_at, u.demo, \
                        g.grant_id, g.permission, g.reach_kind, g.reach_name \
                 FROM sessions s \
                 JOIN users u ON u.org = s.org AND u.username = s.username \
                 LEFT JOIN grants g ON g.org = u.org AND g.username = u.username \
                      AND g.ended_at IS NULL AND (g.last_day IS NULL OR g.last_day >= $5) \
                 WHERE s.org = $1 AND s.session_id = $2 AND s.username = $3 \
                   AND s.ended_at IS NULL AND s.expires_at > $4 AND u.disabled_at IS NULL";
}

/// A session that has not ended, of a user who is not disabled, with their grants of today.
#[derive(Clone, Debug)]
pub struct LiveSession {
    /// How long a token of this session may live, from its `iat` to its `exp`.
    pub lifetime: Duration,
    /// Whether the user is part of the demo data.
    pub is_demo: bool,
    /// The user's grants that hold today.
    pub grants: Vec<Grant>,
}

#[derive(sqlx::FromRow)]
struct Row {
    created_at: i64,
    expires_at: i64,
    demo: i64,
    grant_id: Option<String>,
    permission: Option<String>,
    reach_kind: Option<String>,
    reach_name: Option<String>,
}

impl Row {
    /// `None` without a grant, and for one that cannot be understood: it gives nothing.
    fn into_grant(self) -> Option<Grant> {
        let (Some(grant_id), Some(permission), Some(kind)) =
            (self.grant_id, self.permission, self.reach_kind)
        else {
            return None;
        };
        let permission = Permission::parse(&permission);
        let reach = Reach::from_columns(&kind, self.reach_name.as_deref());
        match (permission, reach) {
            (Some(permission), Some(reach)) => Some(Grant { grant_id, permission, reach }),
            _ => {
                tracing::error!(grant_id, "a grant cannot be understood, so it gives nothing");
                None
            }
        }
    }
}

/// Opens a session, from `now` for `lifetime`.
pub async fn open(
    access: Access<'_>,
    session_id: &str,
    account: &Account,
    now: Timestamp,
    lifetime: Duration,
) -> Result<(), StoreError> {
    execute!(
        access,
        sqlx::query(OPEN)
            .bind(account.org.as_str())
            .bind(session_id)
            .bind(account.username.as_str())
            .bind(now.as_millis())
            .bind(now.plus(lifetime).as_millis())
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
    let is_demo = first.demo != 0;
    let grants = rows.into_iter().filter_map(Row::into_grant).collect();
    Ok(Some(LiveSession { lifetime: Duration::from_millis(lifetime), is_demo, grants }))
}
