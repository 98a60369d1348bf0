//! Sessions: every token belongs to one, and is worth nothing once it has ended.

use std::time::Duration;

use super::grants::GrantColumns;
use super::{Access, StoreError, execute, on, statements};
use crate::clock::Timestamp;
use crate::domain::{Account, OrgName};
use crate::policy::{Limits, Principal, Standing, Terms};

/// Which sessions are alive: those that have not ended, under a key that is not revoked, of users who
/// are not disabled. Both the look-up of a session and the premise of a read ask for just this.
macro_rules! alive {
    (from) => {
        "FROM sessions s \
         JOIN orgs o ON o.org = s.org \
         JOIN users u ON u.org = s.org AND u.username = s.username \
         LEFT JOIN keys k ON k.kid = s.kid"
    };
    (where $org:expr, $session_id:expr, $username:expr, $now:expr) => {
        concat!(
            "WHERE s.org = ",
            $org,
            " AND s.session_id = ",
            $session_id,
            " AND s.username = ",
            $username,
            " AND s.ended_at IS NULL AND s.expires_at > ",
            $now,
            " AND u.disabled_at IS NULL AND k.revoked_at IS NULL"
        )
    };
}
pub(super) use alive;

statements! {
    OPEN = "INSERT INTO sessions (org, session_id, username, created_at, expires_at, kind, name, \
                                  perms, client, kid, second_factor) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    /// An empty kind is any; without a row before, from the newest on.
    LIST = "SELECT s.session_id, s.kind, s.name, s.created_at, s.expires_at, s.ended_at, \
                   s.last_used_at, s.client, s.perms, s.second_factor \
            FROM sessions s \
            WHERE s.org = $1 AND s.username = $2 AND s.ended_at IS NULL AND s.expires_at > $3 \
              AND ($4 = '' OR s.kind = $4) \
              AND ($5 = '' OR (s.created_at, s.session_id) < \
                              (SELECT a.created_at, a.session_id FROM sessions a \
                                WHERE a.org = $1 AND a.username = $2 AND a.session_id = $5)) \
            ORDER BY s.created_at DESC, s.session_id DESC LIMIT $6";
    FIND = "SELECT s.session_id, s.kind, s.name, s.created_at, s.expires_at, s.ended_at, \
                   s.last_used_at, s.client, s.perms, s.second_factor \
            FROM sessions s WHERE s.org = $1 AND s.username = $2 AND s.session_id = $3";
    /// Each use is one text: 13 digits of milliseconds, 2 of how long the org's name is, the name,
    /// and the session's id. The later time stays, whichever node writes first.
    NOTE_USES = "UPDATE sessions SET last_used_at = n.at \
                 FROM (SELECT CAST(SUBSTR(j.value, 1, 13) AS BIGINT) AS at, \
                              SUBSTR(j.value, 16, CAST(SUBSTR(j.value, 14, 2) AS INTEGER)) AS org, \
                              SUBSTR(j.value, 16 + CAST(SUBSTR(j.value, 14, 2) AS INTEGER)) AS id \
                         FROM json_each(CAST($1 AS TEXT)) j) n \
                 WHERE sessions.org = n.org AND sessions.session_id = n.id \
                   AND (sessions.last_used_at IS NULL OR sessions.last_used_at < n.at)";
    /// So many that were over before a moment.
    PRUNE = "DELETE FROM sessions WHERE (org, session_id) IN (\
                 SELECT s.org, s.session_id FROM sessions s \
                 WHERE COALESCE(s.ended_at, s.expires_at) < $1 LIMIT $2)";
    END_ALL = "UPDATE sessions SET ended_at = $3 \
               WHERE org = $1 AND username = $2 AND ended_at IS NULL AND expires_at > $3";
    END_OTHERS = "UPDATE sessions SET ended_at = $4 \
                  WHERE org = $1 AND username = $2 AND session_id <> $3 AND ended_at IS NULL";
    END = "UPDATE sessions SET ended_at = $4 \
           WHERE org = $1 AND username = $2 AND session_id = $3 AND ended_at IS NULL";
    /// The session, its user and the grants that hold today, in one statement: a row a grant, or
    /// one row without. No row at all: no live session of an enabled user, under a key that holds.
    FIND_LIVE = concat!(
        "SELECT s.created_at, s.expires_at, s.kind, s.name, s.kid, u.demo, o.access_version, \
                u.password_expires_at, o.second_factor AS demanded, s.second_factor, \
                g.grant_id, g.permission, g.reach_kind, g.reach_name, g.last_day ",
        alive!(from),
        " LEFT JOIN grants g ON g.org = u.org AND g.username = u.username \
               AND g.ended_at IS NULL AND (g.last_day IS NULL OR g.last_day >= $5) ",
        alive!(where "$1", "$2", "$3", "$4"));
}

/// A session as its user sees it.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id, which is its token's `jti` and stands in the records. It lets nobody in.
    pub session_id: String,
    /// The name of a machine token; none for a sign-in.
    pub token_name: Option<String>,
    /// Whether it is a machine token.
    pub is_machine: bool,
    /// When it was opened.
    pub created_at: Timestamp,
    /// Until when it lives, unless it is ended before.
    pub expires_at: Timestamp,
    /// When it was ended, if it was.
    pub ended_at: Option<Timestamp>,
    /// The minute in which it was used last.
    pub last_used_at: Option<Timestamp>,
    /// The address that it was opened from.
    pub client: String,
    /// The permissions that its token names.
    pub perms: Vec<String>,
    /// Whether a second factor was given.
    pub second_factor: bool,
}

#[derive(sqlx::FromRow)]
struct SessionRow {
    session_id: String,
    kind: String,
    name: Option<String>,
    created_at: i64,
    expires_at: i64,
    ended_at: Option<i64>,
    last_used_at: Option<i64>,
    client: String,
    perms: String,
    second_factor: i64,
}

impl SessionRow {
    fn into_session(self) -> Result<Session, StoreError> {
        let perms = serde_json::from_str(&self.perms);
        Ok(Session {
            session_id: self.session_id,
            is_machine: self.kind != Opener::LogIn.kind(),
            token_name: self.name,
            created_at: Timestamp::from_millis(self.created_at),
            expires_at: Timestamp::from_millis(self.expires_at),
            ended_at: self.ended_at.map(Timestamp::from_millis),
            last_used_at: self.last_used_at.map(Timestamp::from_millis),
            client: self.client,
            perms: perms.map_err(|_| StoreError::Impossible("sessions"))?,
            second_factor: self.second_factor != 0,
        })
    }
}

/// Which of a user's live sessions are asked for.
#[derive(Clone, Copy, Debug)]
pub struct SessionQuery<'a> {
    /// Machine tokens alone.
    pub machine_only: bool,
    /// Those after this one.
    pub after: Option<&'a str>,
    /// At most so many.
    pub limit: u16,
}

/// That a session was used.
#[derive(Clone, Copy, Debug)]
pub struct Use<'a> {
    /// The org.
    pub org: &'a OrgName,
    /// The session.
    pub session_id: &'a str,
    /// In which minute.
    pub at: Timestamp,
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

/// Ends a session of a user's, unless it has ended already; gives whether it did. No token of it is
/// valid from then on.
pub async fn end(
    access: Access<'_>,
    account: &Account,
    session_id: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let ended = execute!(
        access,
        sqlx::query(END)
            .bind(account.org.as_str())
            .bind(account.username.as_str())
            .bind(session_id)
            .bind(now.as_millis())
    )?;
    Ok(ended == 1)
}

/// Ends all of a user's sessions, machine tokens included; gives how many that were.
pub async fn end_all(
    access: Access<'_>,
    account: &Account,
    now: Timestamp,
) -> Result<u64, StoreError> {
    Ok(execute!(
        access,
        sqlx::query(END_ALL)
            .bind(account.org.as_str())
            .bind(account.username.as_str())
            .bind(now.as_millis())
    )?)
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

/// What a user may do in their session of that id, if it is alive at `now`.
pub async fn find_live(
    access: Access<'_>,
    account: &Account,
    session_id: &str,
    now: Timestamp,
) -> Result<Option<Standing>, StoreError> {
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
    let lifetime = Duration::from_millis(lifetime);
    let terms = Terms { lifetime, is_demo: first.demo != 0, kid: first.kid.clone() };
    let is_machine = first.kind != Opener::LogIn.kind();
    let limits = Limits {
        password_must_change: first.password_expires_at.is_some(),
        lacks_second_factor: first.demanded > first.second_factor,
        is_machine,
    };
    let signed_in_at = (!is_machine).then_some(Timestamp::from_millis(first.created_at));
    let (token_name, version) = (first.name.clone(), first.access_version);
    let grants = rows.into_iter().filter_map(|row| row.grant.into_grant()).collect();
    Ok(Some(Standing { terms, grants, limits, signed_in_at, token_name, version }))
}

/// What whoever asked may do now; none where their session is over. The operator's command line has no
/// session, and may always do everything.
pub async fn find_standing(
    access: Access<'_>,
    principal: &Principal,
    now: Timestamp,
) -> Result<Option<Standing>, StoreError> {
    let Some(session_id) = principal.session_id() else {
        return Ok(Some(principal.standing().clone()));
    };
    find_live(access, principal.account(), session_id, now).await
}

/// A user's sessions that are alive at `now`, the newest first. None after one that is not theirs.
pub async fn list_live(
    access: Access<'_>,
    account: &Account,
    asked: SessionQuery<'_>,
    now: Timestamp,
) -> Result<Vec<Session>, StoreError> {
    let kind = if asked.machine_only { Opener::Machine("").kind() } else { "" };
    let rows: Vec<SessionRow> = on!(access, connection => sqlx::query_as(LIST)
        .bind(account.org.as_str())
        .bind(account.username.as_str())
        .bind(now.as_millis())
        .bind(kind)
        .bind(asked.after.unwrap_or_default())
        .bind(i64::from(asked.limit))
        .fetch_all(connection))?;
    rows.into_iter().map(SessionRow::into_session).collect()
}

/// The user's session of that id, alive or not.
pub async fn find(
    access: Access<'_>,
    account: &Account,
    session_id: &str,
) -> Result<Option<Session>, StoreError> {
    let row: Option<SessionRow> = on!(access, connection => sqlx::query_as(FIND)
        .bind(account.org.as_str())
        .bind(account.username.as_str())
        .bind(session_id)
        .fetch_optional(connection))?;
    row.map(SessionRow::into_session).transpose()
}

/// Writes when sessions were used last, all in one statement; of two times the later one stays.
pub async fn note_uses(access: Access<'_>, uses: &[Use<'_>]) -> Result<(), StoreError> {
    let text = |one: &Use<'_>| {
        let org = one.org.as_str();
        format!("{:013}{:02}{org}{}", one.at.as_millis(), org.len(), one.session_id)
    };
    let uses: Vec<String> = uses.iter().map(text).collect();
    execute!(access, sqlx::query(NOTE_USES).bind(serde_json::Value::from(uses).to_string()))?;
    Ok(())
}

/// Deletes so many sessions at most that ended or expired before a moment; gives how many that were.
pub async fn prune(access: Access<'_>, before: Timestamp, most: u16) -> Result<u64, StoreError> {
    Ok(execute!(access, sqlx::query(PRUNE).bind(before.as_millis()).bind(i64::from(most)))?)
}
