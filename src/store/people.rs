//! People: everybody of an org, whether they are paid (employees), sign in (users), or both.

use super::grants::{Reached, bind_reached, reached};
use super::{Access, StoreError, execute, on, statements};
use crate::clock::Timestamp;
use crate::domain::{Account, Line, TeamName, Username};
use crate::policy::{Allowed, Right};

/// The columns of a person, from an employee `e` and, where there is one, the user `u`.
macro_rules! employee {
    () => {
        "SELECT e.username, e.full_name, e.team, CAST(1 AS BIGINT) AS is_employee, \
                CAST(CASE WHEN u.username IS NULL THEN 0 ELSE 1 END AS BIGINT) AS is_user, \
                u.disabled_at, e.version + COALESCE(u.version, 0) AS version \
           FROM employees e LEFT JOIN users u ON u.org = e.org AND u.username = e.username \
          WHERE e.org = $1"
    };
}

/// The same from a user `e` who is no employee.
macro_rules! user_alone {
    () => {
        "SELECT e.username, NULL, NULL, CAST(0 AS BIGINT), CAST(1 AS BIGINT), e.disabled_at, \
                e.version \
           FROM users e \
          WHERE e.org = $1 AND NOT EXISTS (SELECT 1 FROM employees x \
                                            WHERE x.org = e.org AND x.username = e.username)"
    };
}

/// A page of people after a name, who satisfy a condition.
macro_rules! page {
    ($($condition:tt)*) => {
        concat!(
            employee!(), " AND ($2 = '' OR e.username LIKE $2 ESCAPE '\\' \
                                 OR LOWER(e.full_name) LIKE $2 ESCAPE '\\') \
                           AND ($3 = '' OR e.team = $3) AND ", $($condition)*,
            " UNION ALL ",
            user_alone!(), " AND ($2 = '' OR e.username LIKE $2 ESCAPE '\\') \
                             AND $3 = '' AND ", $($condition)*,
            " ORDER BY 1 LIMIT $5"
        )
    };
}

statements! {
    FIND = concat!(employee!(), " AND e.username = $2 UNION ALL ",
                   user_alone!(), " AND e.username = $2");
    LIST = page!("e.username > $4");
    LIST_REACHED = page!("e.username > $4 AND ", reached!("e.username" in "$1", "$6", "$7"));
    IS_REACHED = concat!("SELECT CAST(CASE WHEN ", reached!("$2" in "$1", "$3", "$4"),
                         " THEN 1 ELSE 0 END AS BIGINT)");
    ADD_EMPLOYEE = "INSERT INTO employees (org, username, full_name, team, created_at) \
                    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (org, username) DO NOTHING";
    SET_EMPLOYEE = "UPDATE employees SET full_name = $3, team = $4, version = version + 1 \
                    WHERE org = $1 AND username = $2";
}

/// A person.
#[derive(Clone, Debug)]
pub struct Person {
    /// The name that the employee and the user share.
    pub username: Username,
    /// What the person is called; none who is no employee.
    pub full_name: Option<String>,
    /// The team; none who is no employee.
    pub team: Option<TeamName>,
    /// Whether the person is paid.
    pub is_employee: bool,
    /// Whether the person signs in.
    pub is_user: bool,
    /// When the user was disabled, if they are.
    pub disabled_at: Option<Timestamp>,
    /// Rises with every change of the person.
    pub version: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    username: String,
    full_name: Option<String>,
    team: Option<String>,
    is_employee: i64,
    is_user: i64,
    disabled_at: Option<i64>,
    version: i64,
}

impl Row {
    fn into_person(self) -> Result<Person, StoreError> {
        let impossible = || StoreError::Impossible("employees or users");
        Ok(Person {
            username: Username::parse(&self.username).map_err(|_| impossible())?,
            full_name: self.full_name,
            team: match self.team {
                Some(team) => Some(TeamName::parse(&team).map_err(|_| impossible())?),
                None => None,
            },
            is_employee: self.is_employee != 0,
            is_user: self.is_user != 0,
            disabled_at: self.disabled_at.map(Timestamp::from_millis),
            version: self.version,
        })
    }
}

/// Which people to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// A part of their user name or full name; ASCII letters in any case.
    pub q: Option<String>,
    /// Their team.
    pub team: Option<TeamName>,
}

impl Filter {
    /// The parameters of a statement: a pattern for LIKE with `\` as escape, and a team; each empty
    /// where nothing is asked for.
    pub(super) fn parameters(&self) -> (String, String) {
        let pattern = self.q.as_deref().unwrap_or_default().to_ascii_lowercase();
        let mut escaped = String::with_capacity(pattern.len() + 2);
        for c in pattern.chars() {
            if matches!(c, '%' | '_' | '\\') {
                escaped.push('\\');
            }
            escaped.push(c);
        }
        let pattern = if escaped.is_empty() { escaped } else { format!("%{escaped}%") };
        (pattern, self.team.as_ref().map(ToString::to_string).unwrap_or_default())
    }
}

/// The person of that name.
pub async fn find(access: Access<'_>, account: &Account) -> Result<Option<Person>, StoreError> {
    let row: Option<Row> = on!(access, connection => sqlx::query_as(FIND)
        .bind(account.org.as_str())
        .bind(account.username.as_str())
        .fetch_optional(connection))?;
    row.map(Row::into_person).transpose()
}

/// The person of that name in the caller's org, if the caller's grants of `P` reach them.
pub async fn find_reached<P: Right>(
    mut access: Access<'_>,
    allowed: &Allowed<P>,
    username: &Username,
) -> Result<Option<Person>, StoreError> {
    let org = &allowed.account().org;
    if let Some(reached) = Reached::of(allowed)? {
        let is_reached: i64 = on!(access.reborrow(), connection => sqlx::query_scalar(IS_REACHED)
            .bind(org.as_str())
            .bind(username.as_str())
            .bind(reached.holder())
            .bind(reached.grants())
            .fetch_one(connection))?;
        if is_reached == 0 {
            return Ok(None);
        }
    }
    find(access, &Account::in_org(org, username)).await
}

/// So many people of the caller's org whom the caller's grants of `P` reach, after a name, by name.
pub async fn list_reached<P: Right>(
    access: Access<'_>,
    allowed: &Allowed<P>,
    filter: &Filter,
    after: Option<&Username>,
    limit: u16,
) -> Result<Vec<Person>, StoreError> {
    let reached = Reached::of(allowed)?;
    let (q, team) = filter.parameters();
    let statement = if reached.is_some() { LIST_REACHED } else { LIST };
    let rows: Vec<Row> = on!(access, connection => {
        let query = sqlx::query_as(statement)
            .bind(allowed.account().org.as_str())
            .bind(&q)
            .bind(&team)
            .bind(after.map(Username::as_str).unwrap_or_default())
            .bind(i64::from(limit));
        bind_reached!(query, reached).fetch_all(connection)
    })?;
    rows.into_iter().map(Row::into_person).collect()
}

/// Adds an employee. Returns whether the name was free among employees.
pub async fn add_employee(
    access: Access<'_>,
    account: &Account,
    full_name: &Line,
    team: Option<&TeamName>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let added = execute!(
        access,
        sqlx::query(ADD_EMPLOYEE)
            .bind(account.org.as_str())
            .bind(account.username.as_str())
            .bind(full_name.as_str())
            .bind(team.map(TeamName::as_str))
            .bind(now.as_millis())
    )?;
    Ok(added == 1)
}

/// Sets an employee's name and team.
pub async fn set_employee(
    access: Access<'_>,
    account: &Account,
    full_name: &str,
    team: Option<&TeamName>,
) -> Result<(), StoreError> {
    execute!(
        access,
        sqlx::query(SET_EMPLOYEE)
            .bind(account.org.as_str())
            .bind(account.username.as_str())
            .bind(full_name)
            .bind(team.map(TeamName::as_str))
    )?;
    Ok(())
}
