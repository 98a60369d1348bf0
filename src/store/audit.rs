//! The audit trail: who did or saw what. Append-only; a record commits with what it records.

use serde_json::{Map, Value};

use super::{Access, StoreError, execute, statements};
use crate::clock::Timestamp;
use crate::domain::{Account, OrgName, Permission};
use crate::policy::{Allowed, Right};

statements! {
    APPEND = "INSERT INTO audit (at, org, actor, session_id, action, permission, grants, \
                                 subjects, detail, client, request_id) \
              VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A user signed in: a session was opened.
    LogIn,
    /// A user signed out: the session was ended.
    LogOut,
    /// Pay was listed: of each person what held on a day.
    ListPay,
    /// Pay was exported to a file.
    ExportPay,
    /// Pay was counted and summed up.
    SumPay,
    /// A person's pay was read with its history.
    ReadHistory,
    /// A rate was recorded.
    RecordPay,
    /// Rates of many were recorded at once.
    ImportPay,
    /// An org was added.
    AddOrg,
    /// A person was added: a user, an employee, or both.
    AddPerson,
    /// A person's name or team was changed, or they were made an employee.
    ChangePerson,
    /// A user was disabled.
    DisableUser,
    /// A user was enabled again.
    EnableUser,
    /// A user was given another password by somebody else.
    SetPassword,
    /// What failed sign-ins had counted against a user was forgotten.
    UnlockUser,
    /// A user changed their own password.
    ChangePassword,
    /// A user made a secret for a second factor, which does not count yet.
    MakeSecondFactor,
    /// A user turned their second factor on.
    TurnOnSecondFactor,
    /// A user turned their second factor off.
    TurnOffSecondFactor,
    /// A user made other recovery codes.
    MakeRecoveryCodes,
    /// A user's second factor was taken off them by somebody else.
    ResetSecondFactor,
    /// An org was made to demand a second factor, or not to.
    DemandSecondFactor,
    /// A grant was given.
    GiveGrant,
    /// A grant was ended.
    EndGrant,
    /// A key was added, which verifies from then on.
    AddKey,
    /// A key was chosen to sign.
    PromoteKey,
    /// A key was retired, perhaps with its sessions.
    RetireKey,
    /// The configured key was replaced, under which all others are sealed.
    ChangeRoot,
    /// A machine token was made: a session was opened for a script.
    AddToken,
    /// A session or a machine token was ended, other than by signing out.
    EndSession,
    /// All of a user's sessions and machine tokens were ended.
    EndSessions,
}

impl Action {
    const fn name(self) -> &'static str {
        match self {
            Self::LogIn => "log_in",
            Self::LogOut => "log_out",
            Self::ListPay => "list_pay",
            Self::ExportPay => "export_pay",
            Self::SumPay => "sum_pay",
            Self::ReadHistory => "read_history",
            Self::RecordPay => "record_pay",
            Self::ImportPay => "import_pay",
            Self::AddOrg => "add_org",
            Self::AddPerson => "add_person",
            Self::ChangePerson => "change_person",
            Self::DisableUser => "disable_user",
            Self::EnableUser => "enable_user",
            Self::SetPassword => "set_password",
            Self::UnlockUser => "unlock_user",
            Self::ChangePassword => "change_password",
            Self::MakeSecondFactor => "make_second_factor",
            Self::TurnOnSecondFactor => "turn_on_second_factor",
            Self::TurnOffSecondFactor => "turn_off_second_factor",
            Self::MakeRecoveryCodes => "make_recovery_codes",
            Self::ResetSecondFactor => "reset_second_factor",
            Self::DemandSecondFactor => "demand_second_factor",
            Self::GiveGrant => "give_grant",
            Self::EndGrant => "end_grant",
            Self::AddKey => "add_key",
            Self::PromoteKey => "promote_key",
            Self::RetireKey => "retire_key",
            Self::ChangeRoot => "change_root",
            Self::AddToken => "add_token",
            Self::EndSession => "end_session",
            Self::EndSessions => "end_sessions",
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
    /// In whose org.
    pub org: &'a str,
    /// Who did it; `operator` for the command line.
    pub actor: &'a str,
    /// In which session; none on the command line.
    pub session_id: Option<&'a str>,
    /// The name of the machine token that did it; none for a person. The detail names it as `token`.
    pub token: Option<&'a str>,
    /// What.
    pub action: Action,
    /// By which permission.
    pub permission: Option<Permission>,
    /// By which grants of that permission.
    pub grants: Vec<&'a str>,
    /// Whose rows these were.
    pub subjects: Vec<&'a str>,
    /// What there is to say beyond that.
    pub detail: Map<String, Value>,
    /// From where.
    pub origin: &'a Origin,
}

impl<'a> Record<'a> {
    /// A record of what somebody did to an org, in no session and about nobody.
    pub fn new(
        org: &'a OrgName,
        actor: &'a str,
        action: Action,
        at: Timestamp,
        origin: &'a Origin,
    ) -> Self {
        Self {
            at,
            org: org.as_str(),
            actor,
            session_id: None,
            token: None,
            action,
            permission: None,
            grants: Vec::new(),
            subjects: Vec::new(),
            detail: Map::new(),
            origin,
        }
    }

    /// A record of what a user did, about themselves.
    pub fn of(
        account: &'a Account,
        session_id: Option<&'a str>,
        action: Action,
        at: Timestamp,
        origin: &'a Origin,
    ) -> Self {
        let username = account.username.as_str();
        Self {
            session_id,
            subjects: vec![username],
            ..Self::new(&account.org, username, action, at, origin)
        }
    }

    /// A record of what somebody did by a permission of theirs, to whom `subjects` names.
    pub fn by<P: Right>(
        allowed: &'a Allowed<P>,
        action: Action,
        at: Timestamp,
        origin: &'a Origin,
    ) -> Self {
        Self {
            permission: Some(allowed.permission()),
            grants: allowed.visibility().grant_ids().collect(),
            subjects: Vec::new(),
            token: allowed.principal().token_name(),
            ..Self::of(allowed.account(), allowed.principal().session_id(), action, at, origin)
        }
    }
}

/// The names of the people whose rows an answer holds, however many: as JSON arrays, since a
/// million names apart would take several times the memory.
#[derive(Debug, Default)]
pub struct Subjects {
    full: Vec<String>,
    last: String,
    names_in_last: usize,
}

/// How many names one record holds; a longer answer has several.
const NAMES: usize = 10_000;

impl Subjects {
    /// Adds a name, which holds nothing that JSON would escape.
    pub fn push(&mut self, name: &str) {
        if self.names_in_last == NAMES {
            self.full.push(std::mem::take(&mut self.last) + "]");
            self.names_in_last = 0;
        }
        self.last.push(if self.names_in_last == 0 { '[' } else { ',' });
        self.last.push('"');
        self.last.push_str(name);
        self.last.push('"');
        self.names_in_last += 1;
    }

    fn into_arrays(self) -> impl Iterator<Item = String> {
        let last = if self.names_in_last == 0 { "[]".to_owned() } else { self.last + "]" };
        self.full.into_iter().chain([last])
    }
}

/// Appends a record, in the transaction of what it records.
pub async fn append(access: Access<'_>, record: &Record<'_>) -> Result<(), StoreError> {
    append_one(access, record, json_array(&record.subjects)).await
}

/// Appends a record of many subjects, in the transaction of what it records: in several parts, if
/// they are too many for one.
pub async fn append_all(
    mut access: Access<'_>,
    record: &Record<'_>,
    subjects: Subjects,
) -> Result<(), StoreError> {
    for part in subjects.into_arrays() {
        append_one(access.reborrow(), record, part).await?;
    }
    Ok(())
}

async fn append_one(
    access: Access<'_>,
    record: &Record<'_>,
    subjects: String,
) -> Result<(), StoreError> {
    let grants = (!record.grants.is_empty()).then(|| json_array(&record.grants));
    let mut detail = record.detail.clone();
    if let Some(token) = record.token {
        detail.insert("token".into(), token.into());
    }
    let detail = serde_json::to_string(&detail)
        .map_err(|_| StoreError::Impossible("the detail of a record"))?;
    execute!(
        access,
        sqlx::query(APPEND)
            .bind(record.at.as_millis())
            .bind(record.org)
            .bind(record.actor)
            .bind(record.session_id)
            .bind(record.action.name())
            .bind(record.permission.map(Permission::name))
            .bind(grants)
            .bind(subjects)
            .bind(detail)
            .bind(&record.origin.client)
            .bind(&record.origin.request_id)
    )?;
    Ok(())
}

fn json_array(names: &[&str]) -> String {
    Value::from(names).to_string()
}
