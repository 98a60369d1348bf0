//! The audit trail: who did or saw what. Append-only; a record commits with what it records.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::{Map, Value};

use super::chain::{Fields, Head, hex, parse_hash};
use super::sets::{self, Subjects};
use super::{Access, StoreError, execute, on, premise, statements};
use crate::clock::Timestamp;
use crate::domain::{Account, OrgName, Permission};
use crate::policy::{Allowed, Right};

/// A column of a record `j` of a batch.
macro_rules! column {
    ($at:literal) => {
        concat!("json_extract(j.value, '$[", $at, "]')")
    };
}

/// About as many bytes as a record takes.
const USUAL: usize = 512;

statements! {
    /// The records `$1`, each a JSON array, if the chain `$3` is `$4` long and the premises `$2` hold.
    /// Both databases take the elements of an array in its order, where they are all that is read; an
    /// `ORDER BY` would have each record written and read once more. Another order would be refused by
    /// SQLite's chain, and on PostgreSQL be found by `verify`.
    APPEND = concat!(
        "INSERT INTO audit_records (chain, seq, hash, at, org, actor, session_id, token, action, \
                                    permission, grants, names, sets, detail, outcome, client, \
                                    request_id) \
         SELECT CAST($3 AS BIGINT), CAST(", column!(0), " AS BIGINT), unhex(", column!(1), "), \
                CAST(", column!(2), " AS BIGINT), ", column!(3), ", ", column!(4), ", ", column!(5),
        ", ", column!(6), ", ", column!(7), ", ", column!(8), ", ", column!(9), ", '', ",
        column!(10), ", ", column!(11), ", ", column!(12), ", ", column!(13), ", ", column!(14),
        " FROM jsonb_each(CAST($1 AS TEXT)) j \
          WHERE (SELECT c.length FROM audit_chains c WHERE c.chain = $3) = $4 \
            AND NOT EXISTS (SELECT 1 FROM ", premise::fallen!("$2"), ")");
    CHAIN_FOR_CHANGES = "SELECT chain, length, head FROM chain_for_changes";
    CHAIN_FOR_READS = "SELECT chain, length, head FROM chain_for_reads";
    ADD_CHAIN = "INSERT INTO audit_chains (kind) VALUES ($1) RETURNING chain, length, head";
}

macro_rules! actions {
    ($($(#[$doc:meta])* $action:ident = $name:literal,)+) => {
        /// What was done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Action {
            $($(#[$doc])* $action,)+
        }

        impl Action {
            /// Every one that there is.
            pub const ALL: &[Self] = &[$(Self::$action),+];

            /// The action of exactly that name.
            pub fn parse(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$action),)+
                    _ => None,
                }
            }

            /// Its name in a record.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$action => $name,)+
                }
            }
        }
    };
}

actions! {
    /// A user signed in: a session was opened.
    LogIn = "log_in",
    /// A user signed out: the session was ended.
    LogOut = "log_out",
    /// Pay was listed: of each person what held on a day.
    ListPay = "list_pay",
    /// Pay was exported to a file.
    ExportPay = "export_pay",
    /// Pay was counted and summed up.
    SumPay = "sum_pay",
    /// A person's pay was read with its history.
    ReadHistory = "read_history",
    /// A rate was recorded.
    RecordPay = "record_pay",
    /// Rates of many were recorded at once.
    ImportPay = "import_pay",
    /// An org was added.
    AddOrg = "add_org",
    /// A person was added: a user, an employee, or both.
    AddPerson = "add_person",
    /// A person's name or team was changed, or they were made an employee.
    ChangePerson = "change_person",
    /// A user was disabled.
    DisableUser = "disable_user",
    /// A user was enabled again.
    EnableUser = "enable_user",
    /// A user was given another password by somebody else.
    SetPassword = "set_password",
    /// What failed sign-ins had counted against a user was forgotten.
    UnlockUser = "unlock_user",
    /// A user changed their own password.
    ChangePassword = "change_password",
    /// A user made a secret for a second factor, which does not count yet.
    MakeSecondFactor = "make_second_factor",
    /// A user turned their second factor on.
    TurnOnSecondFactor = "turn_on_second_factor",
    /// A user turned their second factor off.
    TurnOffSecondFactor = "turn_off_second_factor",
    /// A user made other recovery codes.
    MakeRecoveryCodes = "make_recovery_codes",
    /// A user's second factor was taken off them by somebody else.
    ResetSecondFactor = "reset_second_factor",
    /// An org was made to demand a second factor, or not to.
    DemandSecondFactor = "demand_second_factor",
    /// A grant was given.
    GiveGrant = "give_grant",
    /// A grant was ended.
    EndGrant = "end_grant",
    /// The records from before there were chains were bound into one.
    BeginChain = "begin_chain",
    /// A key was added, which verifies from then on.
    AddKey = "add_key",
    /// A key was chosen to sign.
    PromoteKey = "promote_key",
    /// A key was retired, perhaps with its sessions.
    RetireKey = "retire_key",
    /// The configured key was replaced, under which all others are sealed.
    ChangeRoot = "change_root",
    /// A machine token was made: a session was opened for a script.
    AddToken = "add_token",
    /// A session or a machine token was ended, other than by signing out.
    EndSession = "end_session",
    /// All of a user's sessions and machine tokens were ended.
    EndSessions = "end_sessions",
    /// The trail was read.
    ReadAudit = "read_audit",
    /// Somebody was told who has seen a person's pay.
    ReadReaders = "read_readers",
    /// Old records were moved to a file.
    ArchiveAudit = "archive_audit",
}

/// How every act on record ended: what failed is on the log. A column of its own, which is hashed, so that
/// there may be others one day.
const OUTCOME: &str = "done";

/// Who acts on the command line, and when a server starts, as the trail names them.
pub const OPERATOR: &str = "operator";
/// What acts by itself, as the trail names it.
const ITSELF: &str = "stipend";
/// Those who act and are no users, so that no user may be called so.
pub const ACTORS: [&str; 2] = [OPERATOR, ITSELF];

/// Where an act came from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The client's address; `local` for the command line.
    pub client: String,
    /// The id that the answer and the log line carry too.
    pub request_id: String,
}

/// One record. Never an amount, a password or a token.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// When.
    pub at: Timestamp,
    /// In whose org.
    pub org: &'a str,
    /// Who did it; `operator` for the command line.
    pub actor: &'a str,
    /// In which session; none on the command line.
    pub session_id: Option<&'a str>,
    /// What that session is called; none but for a machine token.
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
    pub detail: Cow<'a, Map<String, Value>>,
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
        Self { org: org.as_str(), actor, ..Self::by_itself(action, at, origin) }
    }

    /// A record of what Stipend did by itself, in no org.
    pub(super) fn by_itself(action: Action, at: Timestamp, origin: &'a Origin) -> Self {
        Self {
            at,
            org: "",
            actor: ITSELF,
            session_id: None,
            token: None,
            action,
            permission: None,
            grants: Vec::new(),
            subjects: Vec::new(),
            detail: Cow::default(),
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

    /// The record as it is written, about these people.
    pub(super) fn prepare(&self, subjects: &Subjects) -> Result<Prepared, StoreError> {
        let grants = (!self.grants.is_empty()).then(|| serde_json::to_string(&self.grants));
        let grants = grants.transpose().map_err(unwritable)?;
        let detail = serde_json::to_string(self.detail.as_ref()).map_err(unwritable)?;
        let permission = self.permission.map(Permission::name);
        let Origin { client, request_id } = self.origin;

        let mut content = Fields::with_capacity(USUAL);
        content
            .number(self.at.as_millis())
            .text(self.org)
            .text(self.actor)
            .maybe(self.session_id)
            .maybe(self.token)
            .text(self.action.name())
            .maybe(permission)
            .maybe(grants.as_deref())
            .hashes(subjects.hashes())
            .text(&detail)
            .text(OUTCOME)
            .text(client)
            .text(request_id);
        let columns = (
            self.at.as_millis(),
            self.org,
            self.actor,
            self.session_id,
            self.token,
            self.action.name(),
            permission,
            grants,
            subjects.numbers(),
            detail,
            OUTCOME,
            client,
            request_id,
        );
        let columns = serde_json::to_string(&columns).map_err(unwritable)?;
        Ok(Prepared { content, columns })
    }
}

fn unwritable(_: serde_json::Error) -> StoreError {
    StoreError::Impossible("a record")
}

/// A record that lacks nothing but its place in a chain.
#[derive(Debug)]
pub(super) struct Prepared {
    content: Fields,
    /// A JSON array of the columns, in the order of [`APPEND`].
    columns: String,
}

/// The next records of a chain, as [`APPEND`] takes them: a JSON array, and the head that they make.
pub(super) fn link<'a>(head: Head, records: impl Iterator<Item = &'a Prepared>) -> (String, Head) {
    let (mut rows, mut end) = (String::with_capacity(USUAL), head);
    rows.push('[');
    for record in records {
        end = end.then(record.content.as_bytes());
        let comma = if rows.len() > 1 { "," } else { "" };
        let columns = record.columns.get(1..).unwrap_or_default();
        // Writing to a text cannot fail.
        let _ = write!(rows, "{comma}[{},\"{}\",{columns}", end.length, hex(&end.hash));
    }
    rows.push(']');
    (rows, end)
}

/// Appends records to a chain, if it ends where it is said to end and all that was read under these
/// [`super::premise`]s still holds: all of them, or none. Returns how many.
pub(super) async fn append_linked(
    access: Access<'_>,
    head: Head,
    rows: &str,
    premises: &str,
) -> Result<u64, StoreError> {
    Ok(execute!(
        access,
        sqlx::query(APPEND).bind(rows).bind(premises).bind(head.chain).bind(head.length)
    )?)
}

/// Appends a record, in the transaction of what it records.
pub async fn append(mut access: Access<'_>, record: &Record<'_>) -> Result<(), StoreError> {
    let subjects = sets::of_names(access.reborrow(), record.org, &record.subjects).await?;
    append_about(access, record, &subjects).await
}

/// Appends a record about people whose sets are in the database.
pub(super) async fn append_about(
    mut access: Access<'_>,
    record: &Record<'_>,
    subjects: &Subjects,
) -> Result<(), StoreError> {
    let prepared = record.prepare(subjects)?;
    let head = take_chain(access.reborrow()).await?;
    let (rows, _) = link(head, std::iter::once(&prepared));
    match append_linked(access, head, &rows, "[]").await? {
        1 => Ok(()),
        _ => Err(StoreError::Impossible("audit_chains")),
    }
}

/// A chain for the records of changes that nobody else appends to until this transaction ends.
async fn take_chain(mut access: Access<'_>) -> Result<Head, StoreError> {
    let found: Option<(i64, i64, Vec<u8>)> = on!(access.reborrow(), connection =>
        sqlx::query_as(CHAIN_FOR_CHANGES).fetch_optional(connection))?;
    let (chain, length, head) = match found {
        Some(found) => found,
        None => on!(access, connection => sqlx::query_as(ADD_CHAIN)
            .bind("changes")
            .fetch_one(connection))?,
    };
    Ok(Head { chain, length, hash: parse_hash(&head)? })
}

/// Where a chain for the records of reads ends, which on PostgreSQL no other process takes as long as
/// this connection is there.
pub(super) async fn take_chain_for_reads(mut access: Access<'_>) -> Result<Head, StoreError> {
    for _ in 0..2 {
        let found: Option<(i64, i64, Vec<u8>)> = on!(access.reborrow(), connection =>
            sqlx::query_as(CHAIN_FOR_READS).fetch_optional(connection))?;
        if let Some((chain, length, head)) = found {
            return Ok(Head { chain, length, hash: parse_hash(&head)? });
        }
        execute!(access.reborrow(), sqlx::query(ADD_CHAIN).bind("reads"))?;
    }
    Err(StoreError::Impossible("audit_chains"))
}
