//! Orgs: no row of one is ever seen from another.

use super::{Access, StoreError, execute, on, statements};
use crate::clock::Timestamp;
use crate::domain::OrgName;

statements! {
    ADD = "INSERT INTO orgs (org, created_at) VALUES ($1, $2) ON CONFLICT (org) DO NOTHING";
    LIST = "SELECT o.org, o.created_at, o.second_factor, \
                   (SELECT COUNT(*) FROM users u WHERE u.org = o.org) AS users, \
                   (SELECT COUNT(*) FROM employees e WHERE e.org = o.org) AS employees \
            FROM orgs o ORDER BY o.org";
    EXISTS = "SELECT COUNT(*) FROM orgs WHERE org = $1";
    /// Holds the org's row until the transaction ends, so that of two changes at once the second
    /// sees the first.
    LOCK = "UPDATE orgs SET created_at = created_at WHERE org = $1";
    RAISE = "UPDATE orgs SET access_version = access_version + 1 WHERE org = $1";
    DEMANDS = "SELECT second_factor FROM orgs WHERE org = $1";
    SET_DEMAND = "UPDATE orgs SET second_factor = $2 WHERE org = $1";
    NEXT_EXPORT = "UPDATE orgs SET exports = exports + 1 WHERE org = $1 RETURNING exports";
}

/// An org, and how many are in it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Org {
    /// Its name.
    pub org: String,
    /// When it was added, in milliseconds since 1970.
    pub created_at: i64,
    /// Who sign in.
    pub users: i64,
    /// Who are paid.
    pub employees: i64,
    second_factor: i64,
}

impl Org {
    /// Whether it demands a second factor of those who manage and record pay.
    pub fn demands_second_factor(&self) -> bool {
        self.second_factor != 0
    }
}

/// Adds an org. Returns whether the name was free.
pub async fn add(access: Access<'_>, org: &OrgName, now: Timestamp) -> Result<bool, StoreError> {
    let added = execute!(access, sqlx::query(ADD).bind(org.as_str()).bind(now.as_millis()))?;
    Ok(added == 1)
}

/// Every org, by name.
pub async fn list(access: Access<'_>) -> Result<Vec<Org>, StoreError> {
    Ok(on!(access, connection => sqlx::query_as(LIST).fetch_all(connection))?)
}

/// Whether there is such an org.
pub async fn exists(access: Access<'_>, org: &OrgName) -> Result<bool, StoreError> {
    let found: i64 = on!(access, connection => sqlx::query_scalar(EXISTS)
        .bind(org.as_str())
        .fetch_one(connection))?;
    Ok(found == 1)
}

/// Makes every other change of who may do what in the org wait until this transaction ends.
pub async fn lock(access: Access<'_>, org: &OrgName) -> Result<(), StoreError> {
    execute!(access, sqlx::query(LOCK).bind(org.as_str()))?;
    Ok(())
}

/// Has every answer read again that is on its way: what is recorded here may be what was known when
/// it was read. Locks like [`lock`].
pub async fn raise_version(access: Access<'_>, org: &OrgName) -> Result<(), StoreError> {
    execute!(access, sqlx::query(RAISE).bind(org.as_str()))?;
    Ok(())
}

/// Whether the org demands a second factor of those who manage and record pay; none, if there is no
/// such org.
pub async fn demands_second_factor(
    access: Access<'_>,
    org: &OrgName,
) -> Result<Option<bool>, StoreError> {
    let demands: Option<i64> = on!(access, connection => sqlx::query_scalar(DEMANDS)
        .bind(org.as_str())
        .fetch_optional(connection))?;
    Ok(demands.map(|demands| demands != 0))
}

/// Sets whether it does.
pub async fn set_demand(
    access: Access<'_>,
    org: &OrgName,
    second_factor: bool,
) -> Result<(), StoreError> {
    execute!(access, sqlx::query(SET_DEMAND).bind(org.as_str()).bind(i64::from(second_factor)))?;
    Ok(())
}

/// The number of the org's next export.
pub(super) async fn next_export(access: Access<'_>, org: &OrgName) -> Result<i64, StoreError> {
    Ok(on!(access, connection => sqlx::query_scalar(NEXT_EXPORT)
        .bind(org.as_str())
        .fetch_one(connection))?)
}
