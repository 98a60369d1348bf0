//! The audit trail: who reads it, and who is told who has seen their pay.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::export::harmless;
use super::schema::{self, Moment, PermissionName};
use super::{Act, Refused, members};
use crate::auth::Keys;
use crate::auth::checkpoint::{Checkpoint, IN_A_FIELD};
use crate::clock::Timestamp;
use crate::domain::Username;
use crate::policy::{Allowed, Audit};
use crate::store::StoreError;
use crate::store::audit::Action;
use crate::store::chain::hex;
use crate::store::disclosure::{Purpose, Withheld};
use crate::store::grants::GrantRecord;
use crate::store::reading::{self, Asker, Entry, Look, Looks, RecordQuery};

/// The records that the caller may see, as they were asked for.
pub async fn records(
    act: Act<'_>,
    allowed: Allowed<Audit>,
    asked: RecordQuery,
) -> Result<reading::Read, Withheld> {
    let purpose = Purpose {
        action: Action::ReadAudit,
        at: act.now(),
        origin: act.origin,
        detail: described(&asked),
    };
    reading::records(act.db, allowed, asked, &purpose).await
}

/// Who has seen somebody's pay.
pub async fn looks(
    act: Act<'_>,
    asker: Asker,
    after: Option<i64>,
    limit: u16,
) -> Result<Looks, Withheld> {
    let purpose = Purpose {
        action: Action::ReadReaders,
        at: act.now(),
        origin: act.origin,
        detail: Map::new(),
    };
    reading::looks(act.db, asker, after, limit, &purpose).await
}

/// What was asked for, as far as it differs from everything.
fn described(asked: &RecordQuery) -> Map<String, Value> {
    let moment = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let all = serde_json::json!({
        "actor": asked.actor,
        "subject": asked.subject.as_ref().map(Username::as_str),
        "action": asked.action.map(Action::name),
        "from": moment(asked.from),
        "to": moment(asked.to),
        "limit": asked.limit,
        "after": asked.after,
    });
    members(all).into_iter().filter(|(_, value)| !value.is_null()).collect()
}

/// Where the trail ends now, signed: to be kept where this machine cannot change it. None where no
/// key signs.
pub async fn checkpoint(act: Act<'_>, keys: &Keys) -> Result<Option<String>, StoreError> {
    let ring = keys.ring();
    let Some(key) = ring.checkpoint_key() else { return Ok(None) };
    let mut reader = act.db.reader().await?;
    Checkpoint::take(reader.access(), act.now()).await?.sign(key).map(Some)
}

/// The same as it fits into a field of a header: where there are many chains, some of them, drawn
/// anew each time, so that whoever keeps the fields has each chain before long.
pub async fn checkpoint_for_field(act: Act<'_>, keys: &Keys) -> Result<Option<String>, Refused> {
    let ring = keys.ring();
    let Some(key) = ring.checkpoint_key() else { return Ok(None) };
    let mut drawn = [0; 8];
    act.ports.entropy.fill(&mut drawn)?;
    let mut reader = act.db.reader().await?;
    let checkpoint = Checkpoint::take(reader.access(), act.now()).await?;
    Ok(Some(checkpoint.part(IN_A_FIELD, u64::from_be_bytes(drawn)).sign(key)?))
}

/// A record of the trail.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecordBody {
    /// Its number.
    id: i64,
    #[schema(value_type = Moment)]
    at: String,
    /// Who did it: a user name, `operator` for the command line, or `stipend`.
    actor: String,
    /// What they did.
    action: String,
    #[schema(value_type = Option<PermissionName>, required)]
    permission: Option<String>,
    /// The ids of the grants that gave the permission.
    grants: Vec<String>,
    /// Whom it is about, as far as the caller may know: at most 100, by name.
    #[schema(value_type = Vec<schema::Name>)]
    subjects: Vec<String>,
    /// How many those are altogether.
    people: u64,
    /// What there is to say beyond that. Never an amount.
    #[schema(value_type = Object)]
    detail: Value,
    outcome: String,
    #[schema(required)]
    session: Option<String>,
    /// What a script's session is called.
    #[schema(required)]
    token: Option<String>,
    /// The client's address; `local` for the command line.
    client: String,
    request_id: String,
    /// Its place: the chain. Told to whoever audits the whole org.
    #[schema(required)]
    chain: Option<i64>,
    /// Its number in the chain.
    #[schema(required)]
    seq: Option<i64>,
    /// The hash of all of it and of the record before it (SHA-256).
    #[schema(required)]
    hash: Option<String>,
}

impl RecordBody {
    /// A record as its reader may see it.
    pub fn new(entry: Entry) -> Result<Self, StoreError> {
        let Entry { record, subjects, people } = entry;
        Ok(Self {
            id: record.record_id,
            at: Timestamp::from_millis(record.at).to_string(),
            grants: record.grant_ids()?,
            actor: record.actor,
            action: record.action,
            permission: record.permission,
            subjects,
            people,
            detail: object(&record.detail)?.into(),
            outcome: record.outcome,
            session: record.session_id,
            token: record.token,
            client: record.client,
            request_id: record.request_id,
            chain: record.chain,
            seq: record.seq,
            hash: record.hash.as_deref().map(hex),
        })
    }

    /// Its number.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// The cells of the columns of [`COLUMNS`].
    pub fn cells(&self) -> [String; COLUMNS.len()] {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let number = |number: Option<i64>| number.map(|n| n.to_string()).unwrap_or_default();
        [
            self.id.to_string(),
            self.at.clone(),
            self.actor.clone(),
            self.action.clone(),
            text(&self.permission),
            self.grants.join(" "),
            self.subjects.join(" "),
            self.people.to_string(),
            self.detail.to_string(),
            self.outcome.clone(),
            text(&self.session),
            text(&self.token),
            self.client.clone(),
            self.request_id.clone(),
            number(self.chain),
            number(self.seq),
            text(&self.hash),
        ]
    }
}

/// The columns of a file of records.
pub const COLUMNS: [&str; 17] = [
    "id",
    "at",
    "actor",
    "action",
    "permission",
    "grants",
    "subjects",
    "people",
    "detail",
    "outcome",
    "session",
    "token",
    "client",
    "request_id",
    "chain",
    "seq",
    "hash",
];

/// The first line of a file of records.
pub fn csv_head() -> String {
    COLUMNS.join(",") + "\r\n"
}

/// Records as lines of CSV (RFC 4180), in which no cell is a formula.
pub fn csv(records: &[RecordBody]) -> Result<Vec<u8>, StoreError> {
    let unwritable = |_| StoreError::Impossible("a record that cannot be written");
    let mut lines = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::with_capacity(records.len() * 256));
    for record in records {
        lines.write_record(record.cells().map(|cell| harmless(&cell))).map_err(unwritable)?;
    }
    lines.into_inner().map_err(|_| StoreError::Impossible("a record that cannot be written"))
}

fn object(text: &str) -> Result<Map<String, Value>, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Impossible("audit_records.detail"))
}

/// A grant by which somebody looked.
#[derive(Debug, Serialize, ToSchema)]
struct UsedGrant {
    id: String,
    /// Over whom; null where the grant is not to be found, as the operator's is not.
    #[schema(value_type = Option<schema::GrantReach>, required)]
    reach: Option<String>,
    /// Why it was given.
    #[schema(required)]
    reason: Option<String>,
}

impl From<GrantRecord> for UsedGrant {
    fn from(record: GrantRecord) -> Self {
        let reach = Some(record.grant.reach.to_string());
        Self { id: record.grant.grant_id, reach, reason: Some(record.reason) }
    }
}

/// A look at somebody's pay.
#[derive(Debug, Serialize, ToSchema)]
pub struct LookBody {
    /// The number of its record.
    id: i64,
    #[schema(value_type = Moment)]
    at: String,
    /// Who looked: a user name, or `operator` for the command line.
    actor: String,
    /// What they were shown: `list`, `history`, `sum` or `export`; or `import`, how many of the rates in
    /// their file are recorded already.
    seen_as: &'static str,
    #[schema(value_type = Option<PermissionName>, required)]
    permission: Option<String>,
    /// The grants by which the reader reached this person.
    grants: Vec<UsedGrant>,
    /// Which columns they were shown.
    fields: Vec<String>,
    /// By what the rows were sorted, where that was not the user name: their order tells of it too.
    #[schema(required)]
    sort: Option<String>,
    /// Of which day the pay was.
    #[schema(value_type = Option<schema::Day>, required)]
    as_of: Option<String>,
    /// As it was known at this moment.
    #[schema(value_type = Option<Moment>, required)]
    known_at: Option<String>,
    /// What the session was called, where a script looked.
    #[schema(required)]
    token: Option<String>,
    request_id: String,
    /// From where; told to whoever audits.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    /// In which session; told to whoever audits.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
}

impl LookBody {
    fn new(look: Look, to_auditor: bool) -> Result<Self, StoreError> {
        let Look { record, grants, unknown } = look;
        let detail = object(&record.detail)?;
        let text = |name: &str| detail.get(name).and_then(Value::as_str).map(String::from);
        let fields = detail.get("fields").and_then(Value::as_array).into_iter().flatten();
        let unknown = unknown.into_iter().map(|id| UsedGrant { id, reach: None, reason: None });
        Ok(Self {
            id: record.record_id,
            at: Timestamp::from_millis(record.at).to_string(),
            seen_as: match Action::parse(&record.action) {
                Some(Action::ListPay) => "list",
                Some(Action::ExportPay) => "export",
                Some(Action::SumPay) => "sum",
                Some(Action::ImportPay) => "import",
                Some(Action::ReadHistory) => "history",
                _ => return Err(StoreError::Impossible("a look at pay")),
            },
            actor: record.actor,
            permission: record.permission,
            grants: grants.into_iter().map(UsedGrant::from).chain(unknown).collect(),
            fields: fields.filter_map(Value::as_str).map(String::from).collect(),
            sort: text("sort"),
            as_of: text("as_of"),
            known_at: text("known_at"),
            token: record.token,
            request_id: record.request_id,
            client: to_auditor.then_some(record.client),
            session: record.session_id.filter(|_| to_auditor),
        })
    }

    /// When, who, as what, by which grants: for a table.
    pub fn cells(&self) -> [String; 5] {
        let grant = |grant: &UsedGrant| match &grant.reach {
            Some(reach) => format!("{} over {reach}", grant.id),
            None => grant.id.clone(),
        };
        [
            self.at.clone(),
            self.actor.clone(),
            self.seen_as.to_owned(),
            self.grants.iter().map(grant).collect::<Vec<_>>().join(", "),
            self.request_id.clone(),
        ]
    }
}

/// Who has seen somebody's pay, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReadersBody {
    #[schema(value_type = schema::Name)]
    username: String,
    /// Looks from before this day may be in an archive, and so not be told here; null: all are.
    #[schema(value_type = Option<schema::Day>, required)]
    archived_before: Option<String>,
    readers: Vec<LookBody>,
}

impl ReadersBody {
    /// The looks at one person's pay. Whoever audits is told more of where a look came from.
    pub fn new(username: &Username, found: Looks, to_auditor: bool) -> Result<Self, StoreError> {
        let looks = found.looks.into_iter().map(|look| LookBody::new(look, to_auditor));
        Ok(Self {
            username: username.to_string(),
            archived_before: found.archived_before.map(|day| day.to_string()),
            readers: looks.collect::<Result<_, _>>()?,
        })
    }

    /// The looks.
    pub fn readers(&self) -> &[LookBody] {
        &self.readers
    }
}
