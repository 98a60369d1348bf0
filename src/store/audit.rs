//! The audit trail: who did or saw what. Append-only; a record commits with what it records.

use super::{Access, StoreError, execute, statements};
use crate::clock::Timestamp;
use crate::domain::{Account, Permission};

statements! {
    APPEND = "INSERT INTO audit (at, org, actor, session_id, action, permission, grants, \
                                 subjects, client, request_id) \
              VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A user signed in: a session was opened.
    LogIn,
    /// A user signed out: the session was ended.
    LogOut,
    /// Current pay was listed.
    ListPay,
    /// A user was added.
    AddUser,
}

impl Action {
    const fn name(self) -> &'static str {
        match self {
            Self::LogIn => "log_in",
            Self::LogOut => "log_out",
            Self::ListPay => "list_pay",
            Self::AddUser => "add_user",
        }
    }
}

/// Where an act came from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The client's address; `local` for the command line.
    pub client: String,
    /// The id that the answer and the log line carry too.
    pub request_id: String,
}

/// One record. Never an amount, a password or a token.
#[derive(Debug)]
pub struct Record<'a> {
    /// When.
    pub at: Timestamp,
    /// In whose org, and who: for the operator's command line, the user whom it acted on stands
    /// in the subjects, and the actor is `operator`.
    pub org: &'a str,
    /// Who did it.
    pub actor: &'a str,
    /// In which session; none on the command line.
    pub session_id: Option<&'a str>,
    /// What.
    pub action: Action,
    /// By which permission.
    pub permission: Option<Permission>,
    /// By which grants of that permission.
    pub grants: Vec<&'a str>,
    /// Whose rows these were.
    pub subjects: Vec<&'a str>,
    /// From where.
    pub origin: &'a Origin,
}

impl<'a> Record<'a> {
    /// A record of what a user did in a session, about themselves.
    pub fn of(
        account: &'a Account,
        session_id: &'a str,
        action: Action,
        at: Timestamp,
        origin: &'a Origin,
    ) -> Self {
        Self {
            at,
            org: account.org.as_str(),
            actor: account.username.as_str(),
            session_id: Some(session_id),
            action,
            permission: None,
            grants: Vec::new(),
            subjects: vec![account.username.as_str()],
            origin,
        }
    }
}

/// Appends a record, in the transaction of what it records.
pub async fn append(access: Access<'_>, record: &Record<'_>) -> Result<(), StoreError> {
    let grants = (!record.grants.is_empty()).then(|| json_array(&record.grants));
    execute!(
        access,
        sqlx::query(APPEND)
            .bind(record.at.as_millis())
            .bind(record.org)
            .bind(record.actor)
            .bind(record.session_id)
            .bind(record.action.name())
            .bind(record.permission.map(Permission::name))
            .bind(grants.clone())
            .bind(json_array(&record.subjects))
            .bind(&record.origin.client)
            .bind(&record.origin.request_id)
    )?;
    Ok(())
}

fn json_array(names: &[&str]) -> String {
    serde_json::Value::from(names).to_string()
}
