//! Grants: who may do what, over whom.

use super::{Access, StoreError, execute, on, statements};
use crate::clock::{Day, Timestamp};
use crate::domain::{Account, OrgName, Permission, Reach, Username};
use crate::policy::{Allowed, Grant, Right};

/// Which grant reaches whom, a row `(grant_id, whom)` each: of the grants `g` that are `which`. A grant
/// over the whole org reaches everybody, and is not here.
macro_rules! reaches {
    ($($which:tt)*) => {
        concat!(
            "SELECT g.grant_id, g.username AS whom FROM grants g WHERE g.reach_kind = 'own' AND ",
            $($which)*,
            " UNION ALL SELECT g.grant_id, g.reach_name FROM grants g \
               WHERE g.reach_kind = 'user' AND ",
            $($which)*,
            " UNION ALL SELECT g.grant_id, m.username FROM grants g \
               JOIN employees m ON m.org = g.org AND m.team = g.reach_name \
               WHERE g.reach_kind = 'team' AND ",
            $($which)*,
        )
    };
}

/// That the grant `g` is of an org, of a permission, and holds on a day.
macro_rules! holds {
    ($org:literal, $today:literal, $permission:literal) => {
        concat!(
            "g.org = ",
            $org,
            " AND g.permission = ",
            $permission,
            " AND g.ended_at IS NULL AND (g.last_day IS NULL OR g.last_day >= ",
            $today,
            ")"
        )
    };
}

/// That the grant `g` is one of some of a holder's, a JSON array of their ids. (The holder is named for the
/// index on them: PostgreSQL takes any such array for a thousand ids, and would read all grants of the org.)
macro_rules! given {
    ($org:literal, $holder:literal, $grants:literal) => {
        concat!(
            "g.org = ",
            $org,
            " AND g.username = ",
            $holder,
            " AND g.grant_id IN (SELECT j.value FROM json_each(CAST(",
            $grants,
            " AS TEXT)) j)"
        )
    };
}

/// The row condition of everything that is asked on behalf of somebody: that a name is one of
/// those whom some grants reach, which [`Reached`] binds. There is no other. Where the caller may see
/// the whole org, a statement does without.
macro_rules! reached {
    ($name:literal in $org:literal, $holder:literal, $grants:literal) => {
        concat!(
            $name,
            " IN (SELECT r.whom FROM (",
            $crate::store::grants::reaches!($crate::store::grants::given!($org, $holder, $grants)),
            ") r)"
        )
    };
}

/// Binds the two parameters of [`reached!`] last to a query, where its statement has them.
macro_rules! bind_reached {
    ($query:expr, $reached:expr) => {
        match &$reached {
            Some(reached) => $query.bind(reached.holder()).bind(reached.grants()),
            None => $query,
        }
    };
}
pub(super) use {bind_reached, given, reached, reaches};

statements! {
    ADD = "INSERT INTO grants (org, grant_id, username, permission, reach_kind, reach_name, \
                               last_day, reason, granted_by, granted_at) \
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    END = "UPDATE grants SET ended_by = $4, ended_at = $5 \
           WHERE org = $1 AND username = $2 AND grant_id = $3 AND ended_at IS NULL";
    FIND = "SELECT grant_id, username, permission, reach_kind, reach_name, last_day, reason, \
                   granted_by, granted_at, ended_by, ended_at \
            FROM grants WHERE org = $1 AND username = $2 AND grant_id = $3";
    LIST = "SELECT grant_id, username, permission, reach_kind, reach_name, last_day, reason, \
                   granted_by, granted_at, ended_by, ended_at \
            FROM grants WHERE org = $1 AND username = $2 ORDER BY granted_at, grant_id";
    /// How many enabled users manage the whole org without end. (Not in the order of an index, which would
    /// have each grant looked up by it.)
    COUNT_MANAGERS = "SELECT COUNT(DISTINCT g.username || '') FROM grants g \
                      JOIN users u ON u.org = g.org AND u.username = g.username \
                      WHERE g.org = $1 AND g.permission = 'manage' AND g.reach_kind = 'org' \
                        AND g.ended_at IS NULL AND g.last_day IS NULL \
                        AND u.disabled_at IS NULL";
    /// The grants of a permission that reach a person, of users who are not disabled.
    LIST_REACHING = concat!(
        "SELECT a.grant_id, a.username, a.permission, a.reach_kind, a.reach_name, a.last_day, \
                a.reason, a.granted_by, a.granted_at, a.ended_by, a.ended_at \
         FROM grants a JOIN users u ON u.org = a.org AND u.username = a.username \
         WHERE a.org = $1 AND u.disabled_at IS NULL AND a.grant_id IN (\
             SELECT r.grant_id FROM (", reaches!(holds!("$1", "$2", "$3")), ") r \
              WHERE r.whom = $4 \
             UNION ALL SELECT g.grant_id FROM grants g WHERE g.reach_kind = 'org' AND ",
        holds!("$1", "$2", "$3"), ") ORDER BY a.username, a.grant_id");
}

/// The grants by which somebody may see others, who may not see the whole org: just those that a proof
/// rests on and that the record names, so that no row is given by another.
#[derive(Clone, Debug)]
pub(super) struct Reached {
    holder: Username,
    grants: String,
}

impl Reached {
    /// Those of a proof; none where it covers the whole org.
    pub(super) fn of<P: Right>(allowed: &Allowed<P>) -> Result<Option<Self>, StoreError> {
        let visibility = allowed.visibility();
        if visibility.whole_org() {
            return Ok(None);
        }
        let ids: Vec<&str> = visibility.grant_ids().collect();
        let grants = serde_json::to_string(&ids).map_err(|_| StoreError::Impossible("grants"))?;
        Ok(Some(Self { holder: allowed.account().username.clone(), grants }))
    }

    /// Whose they are.
    pub(super) fn holder(&self) -> &str {
        self.holder.as_str()
    }

    /// Their ids, as [`reached!`] takes them.
    pub(super) fn grants(&self) -> &str {
        &self.grants
    }
}

/// The columns of a grant, or of none where it was joined and there is none.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct GrantColumns {
    grant_id: Option<String>,
    permission: Option<String>,
    reach_kind: Option<String>,
    reach_name: Option<String>,
    last_day: Option<String>,
}

impl GrantColumns {
    /// `None` without a grant, and for one that cannot be understood: it gives nothing.
    pub(super) fn into_grant(self) -> Option<Grant> {
        let (Some(grant_id), Some(permission), Some(kind)) =
            (self.grant_id, self.permission, self.reach_kind)
        else {
            return None;
        };
        let permission = Permission::parse(&permission);
        let reach = Reach::from_columns(&kind, self.reach_name.as_deref());
        let until = self.last_day.map(|day| Day::parse(&day));
        match (permission, reach, until) {
            (Some(permission), Some(reach), None | Some(Some(_))) => {
                Some(Grant { grant_id, permission, reach, until: until.flatten() })
            }
            _ => {
                tracing::error!(grant_id, "a grant cannot be understood, so it gives nothing");
                None
            }
        }
    }
}

/// A grant with its story.
#[derive(Clone, Debug)]
pub struct GrantRecord {
    /// The grant.
    pub grant: Grant,
    /// Who holds it.
    pub holder: Username,
    /// Why it was given.
    pub reason: String,
    /// By whom.
    pub granted_by: String,
    /// When.
    pub granted_at: Timestamp,
    /// Who ended it and when, if somebody has.
    pub ended: Option<(String, Timestamp)>,
}

impl GrantRecord {
    /// Whether it holds on a day: neither ended nor past its last day.
    pub fn holds_on(&self, today: Day) -> bool {
        self.ended.is_none() && self.grant.until.is_none_or(|until| today <= until)
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    username: String,
    reason: String,
    granted_by: String,
    granted_at: i64,
    ended_by: Option<String>,
    ended_at: Option<i64>,
    #[sqlx(flatten)]
    grant: GrantColumns,
}

impl Row {
    fn into_record(self) -> Option<GrantRecord> {
        Some(GrantRecord {
            grant: self.grant.into_grant()?,
            holder: Username::parse(&self.username).ok()?,
            reason: self.reason,
            granted_by: self.granted_by,
            granted_at: Timestamp::from_millis(self.granted_at),
            ended: self.ended_by.zip(self.ended_at.map(Timestamp::from_millis)),
        })
    }
}

/// A grant to be given.
#[derive(Debug)]
pub struct NewGrant<'a> {
    /// An id that no grant of the org has.
    pub grant_id: &'a str,
    /// Who will hold it.
    pub holder: &'a Account,
    /// What it permits.
    pub permission: Permission,
    /// Over whom.
    pub reach: Reach,
    /// The last day on which it holds; none for no end.
    pub until: Option<Day>,
    /// Why.
    pub reason: &'a str,
    /// Who gives it.
    pub granted_by: &'a str,
    /// When.
    pub granted_at: Timestamp,
}

/// Gives a user a permission over a reach.
pub async fn add(access: Access<'_>, grant: &NewGrant<'_>) -> Result<(), StoreError> {
    let (kind, name) = grant.reach.columns();
    execute!(
        access,
        sqlx::query(ADD)
            .bind(grant.holder.org.as_str())
            .bind(grant.grant_id)
            .bind(grant.holder.username.as_str())
            .bind(grant.permission.name())
            .bind(kind)
            .bind(name)
            .bind(grant.until.map(|day| day.to_string()))
            .bind(grant.reason)
            .bind(grant.granted_by)
            .bind(grant.granted_at.as_millis())
    )?;
    Ok(())
}

/// Ends a grant, unless it has ended already.
pub async fn end(
    access: Access<'_>,
    holder: &Account,
    grant_id: &str,
    ended_by: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    execute!(
        access,
        sqlx::query(END)
            .bind(holder.org.as_str())
            .bind(holder.username.as_str())
            .bind(grant_id)
            .bind(ended_by)
            .bind(now.as_millis())
    )?;
    Ok(())
}

/// A user's grant of that id, ended or not.
pub async fn find(
    access: Access<'_>,
    holder: &Account,
    grant_id: &str,
) -> Result<Option<GrantRecord>, StoreError> {
    let row: Option<Row> = on!(access, connection => sqlx::query_as(FIND)
        .bind(holder.org.as_str())
        .bind(holder.username.as_str())
        .bind(grant_id)
        .fetch_optional(connection))?;
    Ok(row.and_then(Row::into_record))
}

/// All grants that a user ever had, the oldest first.
pub async fn list(access: Access<'_>, holder: &Account) -> Result<Vec<GrantRecord>, StoreError> {
    let rows: Vec<Row> = on!(access, connection => sqlx::query_as(LIST)
        .bind(holder.org.as_str())
        .bind(holder.username.as_str())
        .fetch_all(connection))?;
    Ok(rows.into_iter().filter_map(Row::into_record).collect())
}

/// How many enabled users manage the whole org without end.
pub async fn count_managers(access: Access<'_>, org: &OrgName) -> Result<i64, StoreError> {
    Ok(on!(access, connection => sqlx::query_scalar(COUNT_MANAGERS)
        .bind(org.as_str())
        .fetch_one(connection))?)
}

/// The grants of a permission that reach a person on a day, of users who are not disabled, by
/// their holders' names.
pub async fn list_reaching(
    access: Access<'_>,
    whom: &Account,
    permission: Permission,
    today: Day,
) -> Result<Vec<GrantRecord>, StoreError> {
    let rows: Vec<Row> = on!(access, connection => sqlx::query_as(LIST_REACHING)
        .bind(whom.org.as_str())
        .bind(today.to_string())
        .bind(permission.name())
        .bind(whom.username.as_str())
        .fetch_all(connection))?;
    Ok(rows.into_iter().filter_map(Row::into_record).collect())
}
