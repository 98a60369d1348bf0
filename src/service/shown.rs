//! What both doors show as JSON: the members and their names are part of the contract.

use serde::Serialize;
use utoipa::ToSchema;

use super::explain::Explanation;
use super::import::Imported;
use super::payroll::superseded;
use super::schema::{self, Amount, Currency, GrantReach, Moment, PermissionName, Salary};
use super::sessions::Minted;
use crate::clock::Day;
use crate::domain::Username;
use crate::store::disclosure::{History, Sum};
use crate::store::grants::GrantRecord;
use crate::store::people::Person;
use crate::store::rates::Rate;
use crate::store::sessions::Session;

/// A person.
#[derive(Debug, Serialize, ToSchema)]
pub struct PersonBody {
    #[schema(value_type = schema::Name)]
    username: String,
    #[schema(value_type = Option<schema::Line>, required)]
    name: Option<String>,
    #[schema(value_type = Option<schema::Name>, required)]
    team: Option<String>,
    /// Whether they are paid.
    employee: bool,
    /// Whether they can have a password.
    user: bool,
    /// Whether they cannot sign in.
    disabled: bool,
}

impl From<&Person> for PersonBody {
    fn from(person: &Person) -> Self {
        Self {
            username: person.username.to_string(),
            name: person.full_name.clone(),
            team: person.team.as_ref().map(ToString::to_string),
            employee: person.is_employee,
            user: person.is_user,
            disabled: person.disabled_at.is_some(),
        }
    }
}

/// A grant with its story.
#[derive(Debug, Serialize, ToSchema)]
pub struct GrantBody {
    id: String,
    #[schema(value_type = schema::Name)]
    username: String,
    #[schema(value_type = PermissionName)]
    permission: &'static str,
    #[schema(value_type = GrantReach)]
    reach: String,
    /// The last day on which it holds; null: without end.
    #[schema(value_type = Option<schema::Day>, required)]
    until: Option<String>,
    reason: String,
    granted_by: String,
    #[schema(value_type = Moment)]
    granted_at: String,
    #[schema(required)]
    ended_by: Option<String>,
    #[schema(value_type = Option<Moment>, required)]
    ended_at: Option<String>,
    /// Whether it holds today.
    holds: bool,
}

impl GrantBody {
    /// A grant as it stands today.
    pub fn new(record: &GrantRecord, today: Day) -> Self {
        let (ended_by, ended_at) = record.ended.clone().unzip();
        Self {
            id: record.grant.grant_id.clone(),
            username: record.holder.to_string(),
            permission: record.grant.permission.name(),
            reach: record.grant.reach.to_string(),
            until: record.grant.until.map(|day| day.to_string()),
            reason: record.reason.clone(),
            granted_by: record.granted_by.clone(),
            granted_at: record.granted_at.to_string(),
            ended_by,
            ended_at: ended_at.map(|at| at.to_string()),
            holds: record.holds_on(today),
        }
    }

    /// Grants as they stand today.
    pub fn all(records: &[GrantRecord], today: Day) -> Vec<Self> {
        records.iter().map(|record| Self::new(record, today)).collect()
    }
}

/// Why somebody sees somebody's pay, and who else does.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExplanationBody {
    #[schema(value_type = schema::Name)]
    who: String,
    #[schema(value_type = schema::Name)]
    whom: String,
    sees: bool,
    /// The grants by which they do.
    by: Vec<GrantBody>,
    /// Every grant by which anybody does.
    everybody: Vec<GrantBody>,
}

impl ExplanationBody {
    /// The answer to whether `who` sees the pay of `whom` today.
    pub fn new(who: &Username, whom: &Username, found: &Explanation, today: Day) -> Self {
        Self {
            who: who.to_string(),
            whom: whom.to_string(),
            sees: !found.by.is_empty(),
            by: GrantBody::all(&found.by, today),
            everybody: GrantBody::all(&found.everybody, today),
        }
    }
}

/// A rate. One that a later revision of its day has corrected is superseded.
#[derive(Debug, Serialize, ToSchema)]
pub struct RateBody {
    #[schema(value_type = schema::Day)]
    effective_from: String,
    revision: i64,
    #[schema(value_type = Salary)]
    salary: String,
    #[schema(value_type = Amount)]
    amount: String,
    #[schema(value_type = Currency)]
    currency: &'static str,
    note: String,
    recorded_by: String,
    #[schema(value_type = Moment)]
    recorded_at: String,
    /// Told in a history.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    superseded: Option<bool>,
}

impl From<&Rate> for RateBody {
    fn from(rate: &Rate) -> Self {
        Self {
            effective_from: rate.effective_from.to_string(),
            revision: rate.revision,
            salary: rate.salary.to_string(),
            amount: rate.salary.amount(),
            currency: rate.salary.currency(),
            note: rate.note.clone(),
            recorded_by: rate.recorded_by.clone(),
            recorded_at: rate.recorded_at.to_string(),
            superseded: None,
        }
    }
}

/// A person's pay with its history, by day and revision.
#[derive(Debug, Serialize, ToSchema)]
pub struct HistoryBody {
    #[schema(value_type = schema::Name)]
    username: String,
    #[schema(value_type = Option<schema::Line>, required)]
    name: Option<String>,
    #[schema(value_type = Option<schema::Name>, required)]
    team: Option<String>,
    rates: Vec<RateBody>,
}

impl From<&History> for HistoryBody {
    fn from(history: &History) -> Self {
        let mut rates: Vec<RateBody> = history.rates.iter().map(RateBody::from).collect();
        for (rate, superseded) in rates.iter_mut().zip(superseded(&history.rates)) {
            rate.superseded = Some(superseded);
        }
        Self {
            username: history.person.username.to_string(),
            name: history.person.full_name.clone(),
            team: history.person.team.as_ref().map(ToString::to_string),
            rates,
        }
    }
}

/// What so many are paid together in one currency.
#[derive(Debug, Serialize, ToSchema)]
struct Total {
    #[schema(value_type = Currency)]
    currency: &'static str,
    people: i64,
    #[schema(value_type = Amount)]
    amount: String,
    #[schema(value_type = Salary)]
    salary: String,
}

/// What some people are paid together. Never across currencies.
#[derive(Debug, Serialize, ToSchema)]
pub struct SumsBody {
    #[schema(value_type = schema::Day)]
    as_of: String,
    people: i64,
    totals: Vec<Total>,
}

impl SumsBody {
    /// The sums of the rates of a day.
    pub fn new(as_of: Day, sums: &[Sum]) -> Self {
        let total = |sum: &Sum| Total {
            currency: sum.total.currency(),
            people: sum.people,
            amount: sum.total.amount(),
            salary: sum.total.to_string(),
        };
        Self {
            as_of: as_of.to_string(),
            people: sums.iter().map(|sum| sum.people).sum(),
            totals: sums.iter().map(total).collect(),
        }
    }
}

/// What came of an import.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportedBody {
    recorded: u64,
    unchanged: u64,
    dry_run: bool,
}

impl ImportedBody {
    /// What came of an import, or would have.
    pub fn new(Imported { recorded, unchanged }: Imported, dry_run: bool) -> Self {
        Self { recorded, unchanged, dry_run }
    }
}

/// A session that is alive: opened by a sign-in, or a machine token.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionBody {
    /// The `jti` of its token. It lets nobody in.
    id: String,
    /// `login` or `machine`.
    #[schema(pattern = "^(login|machine)$")]
    kind: &'static str,
    /// The name of a machine token.
    #[schema(value_type = Option<schema::Name>, required)]
    name: Option<String>,
    #[schema(value_type = Moment)]
    created_at: String,
    /// When it ends by itself.
    #[schema(value_type = Moment)]
    until: String,
    /// The minute in which it was used last.
    #[schema(value_type = Option<Moment>, required)]
    last_used_at: Option<String>,
    /// The address that it was opened from; `local` for the command line.
    client: String,
    /// The permissions that its token names. What the grants do not give, they do not add.
    #[schema(value_type = Vec<PermissionName>)]
    perms: Vec<String>,
    /// Whether it was opened with a second factor.
    second_factor: bool,
    /// Whether this very request belongs to it.
    this: bool,
}

impl SessionBody {
    /// A session, as it is shown in the session `this`.
    pub fn new(session: &Session, this: Option<&str>) -> Self {
        Self {
            id: session.session_id.clone(),
            kind: if session.is_machine { "machine" } else { "login" },
            name: session.token_name.clone(),
            created_at: session.created_at.to_string(),
            until: session.expires_at.to_string(),
            last_used_at: session.last_used_at.map(|at| at.to_string()),
            client: session.client.clone(),
            perms: session.perms.clone(),
            second_factor: session.second_factor,
            this: this == Some(session.session_id.as_str()),
        }
    }
}

/// A machine token that was made. The token is told this once.
#[derive(Debug, Serialize, ToSchema)]
pub struct MintedBody {
    access_token: String,
    #[schema(pattern = "^Bearer$")]
    token_type: &'static str,
    /// In seconds.
    expires_in: u64,
    #[serde(flatten)]
    session: SessionBody,
}

impl From<&Minted> for MintedBody {
    fn from(Minted { session, token }: &Minted) -> Self {
        Self {
            access_token: token.expose().clone(),
            token_type: "Bearer",
            expires_in: session.expires_at.since(session.created_at).as_secs(),
            session: SessionBody::new(session, None),
        }
    }
}
