//! Grants: who may do what, over whom.

use super::{Access, StoreError, execute, statements};
use crate::clock::Timestamp;
use crate::domain::{Account, Permission, Reach};

statements! {
    ADD = "INSERT INTO grants (org, grant_id, username, permission, reach_kind, reach_name, \
                               reason, granted_by, granted_at) \
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
}

/// The condition that a row `r` of the org `$1` is visible on the day `$2`: `$3` is 1 when the
/// caller may see the whole org; `$4` is the caller and `$5` the permission. The only row
/// condition there is.
macro_rules! visible {
    () => {
        "($3 = 1 OR EXISTS (SELECT 1 FROM grants g \
            WHERE g.org = r.org AND g.username = $4 AND g.permission = $5 \
              AND g.ended_at IS NULL AND (g.last_day IS NULL OR g.last_day >= $2) \
              AND ((g.reach_kind = 'own' AND r.username = g.username) \
                OR (g.reach_kind = 'user' AND r.username = g.reach_name))))"
    };
}
pub(super) use visible;

/// A grant to be given, without end.
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
            .bind(grant.reason)
            .bind(grant.granted_by)
            .bind(grant.granted_at.as_millis())
    )?;
    Ok(())
}
