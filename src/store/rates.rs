//! Rates: what somebody is paid from a day on. Only [`super::disclosure`] reads them.

use super::grants::visible;
use super::{Access, StoreError, on, statements};
use crate::domain::{Money, Username};
use crate::policy::{Allowed, Read, Right};

statements! {
    /// Of each person, the latest rate that holds on the day; of several revisions, the last.
    LIST_CURRENT = concat!(
        "SELECT r.username, r.amount_minor, r.currency FROM rates r \
         WHERE r.org = $1 AND r.effective_from <= $2 \
           AND NOT EXISTS (SELECT 1 FROM rates later \
               WHERE later.org = r.org AND later.username = r.username \
                 AND later.effective_from <= $2 \
                 AND (later.effective_from, later.revision) > (r.effective_from, r.revision)) \
           AND ", visible!(), " ORDER BY r.username");
}

/// What somebody is paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pay {
    /// Who.
    pub username: Username,
    /// How much.
    pub salary: Money,
}

/// The current pay of everybody whom the caller may see, by user name.
pub(super) async fn list_current(
    access: Access<'_>,
    allowed: &Allowed<Read>,
) -> Result<Vec<Pay>, StoreError> {
    let visibility = allowed.visibility();
    let rows: Vec<(String, i64, String)> = on!(access, connection => sqlx::query_as(LIST_CURRENT)
        .bind(allowed.account().org.as_str())
        .bind(visibility.today().to_string())
        .bind(i64::from(visibility.whole_org()))
        .bind(allowed.account().username.as_str())
        .bind(Read::PERMISSION.name())
        .fetch_all(connection))?;

    rows.into_iter()
        .map(|(username, minor, currency)| {
            let username = Username::parse(&username).ok();
            let salary = Money::from_minor(minor, &currency);
            match (username, salary) {
                (Some(username), Some(salary)) => Ok(Pay { username, salary }),
                _ => Err(StoreError::Impossible("rates")),
            }
        })
        .collect()
}
