//! `stipend audit`.

mod integrity;

use super::Failure;
use super::operator::{Operator, nobody};
use super::output::{NOTHING, count, json, json_text, message, put, table};
use crate::auth::Keys;
use crate::clock::Timestamp;
use crate::domain::{OrgName, TypedName, Username};
use crate::policy::Audit;
use crate::service::asked;
use crate::service::audit::{self, ReadersBody, RecordBody};
use crate::store::StoreError;
use crate::store::audit::Action;
use crate::store::disclosure::Withheld;
use crate::store::reading::{Asker, Entry, RecordQuery};

/// Read, prove and archive the audit trail
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// List who did and saw what in an org, newest first; whoever reads it is on record
    List(List),
    /// Say who has seen somebody's pay, newest first; whoever asks is on record
    Readers {
        /// NAME in the default org, or ORG/NAME
        #[arg(value_parser = TypedName::parse)]
        name: TypedName,
        /// At most so many looks
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// Only those with a lower number than this record
        #[arg(long, value_name = "ID", value_parser = asked::parse_record)]
        after: Option<i64>,
        /// Write one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Write the records of an org as CSV or JSON, newest first; whoever reads them is on record
    Export(Export),
    /// Verify that no record was changed, removed, inserted or reordered; needs no secret
    ///
    /// Exit code 0: the trail is whole. 1: it is not, and the message names the first bad record.
    Verify(integrity::Verify),
    /// Write where the trail ends now, signed, as one line to be kept on another machine
    Checkpoint,
    /// Move the records from before a day to a file, which `verify --archive` reads as part of the
    /// trail
    Archive(integrity::Archive),
}

#[derive(clap::Args)]
pub(super) struct RecordFilter {
    /// The org; the default one without this
    #[arg(long, value_parser = OrgName::parse)]
    org: Option<OrgName>,
    /// Only what this one did: a user name, operator or stipend
    #[arg(long, value_name = "NAME", value_parser = asked::parse_actor)]
    actor: Option<String>,
    /// Only what is about this one
    #[arg(long, value_name = "NAME", value_parser = Username::parse)]
    subject: Option<Username>,
    /// Only acts of this kind, such as list_pay or give_grant
    #[arg(long, value_parser = asked::parse_action)]
    action: Option<Action>,
    /// From this day, or moment, on
    #[arg(long, value_name = "WHEN", value_parser = asked::parse_from)]
    from: Option<Timestamp>,
    /// Until the end of this day, or before this moment
    #[arg(long, value_name = "WHEN", value_parser = asked::parse_to)]
    to: Option<Timestamp>,
}

impl RecordFilter {
    fn query(&self, limit: Option<u16>, after: Option<i64>) -> RecordQuery {
        RecordQuery {
            actor: self.actor.clone(),
            subject: self.subject.clone(),
            action: self.action,
            from: self.from,
            to: self.to,
            limit,
            after,
        }
    }
}

#[derive(clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    asked: RecordFilter,
    /// At most so many records
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Only those with a lower number than this record
    #[arg(long, value_name = "ID", value_parser = asked::parse_record)]
    after: Option<i64>,
    /// Write one JSON array
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct Export {
    #[command(flatten)]
    asked: RecordFilter,
    /// Write one JSON array instead of CSV
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Command, operator: &Operator<'_>) -> Result<(), Failure> {
    match command {
        Command::List(asked) => list(asked, operator).await,
        Command::Readers { name, limit, after, json } => {
            readers(&name, limit, after, json, operator).await
        }
        Command::Export(asked) => export(asked, operator).await,
        Command::Verify(asked) => integrity::verify(asked, operator).await,
        Command::Checkpoint => integrity::checkpoint(operator).await,
        Command::Archive(asked) => integrity::archive(asked, operator).await,
    }
}

/// The ring, to sign with.
async fn keys(operator: &Operator<'_>) -> Result<Keys, Failure> {
    let keys = Keys::new(operator.sealer().await?);
    keys.read(operator.act.db, operator.act.now()).await?;
    Ok(keys)
}

fn bodies(entries: Vec<Entry>) -> Result<Vec<RecordBody>, StoreError> {
    entries.into_iter().map(RecordBody::new).collect()
}

async fn list(asked: List, operator: &Operator<'_>) -> Result<(), Failure> {
    let org = asked.asked.org.as_ref().unwrap_or(&operator.default_org);
    let allowed = operator.allow::<Audit>(org).await?;
    let query = asked.asked.query(Some(asked.limit), asked.after);
    let found = audit::records(operator.act, allowed, query).await?;
    let records = bodies(found.page.entries)?;
    if asked.json {
        json(&records)?;
    } else {
        let rows: Vec<[String; 7]> = records.iter().map(row).collect();
        table(["ID", "AT", "ACTOR", "ACTION", "ABOUT", "BY", "REQUEST"], &rows)?;
    }
    if let Some(next) = found.page.next {
        message(&format!("there are more: --after {next}"));
    }
    Ok(())
}

fn row(record: &RecordBody) -> [String; 7] {
    let [id, at, actor, action, permission, grants, subjects, people, _, _, _, _, _, request, ..] =
        record.cells();
    let named: Vec<&str> = subjects.split(' ').take(3).collect();
    let about = match people.as_str() {
        "0" => NOTHING.to_owned(),
        "1" | "2" | "3" => subjects.clone(),
        _ => format!("{}… ({people})", named.join(" ")),
    };
    let by =
        if permission.is_empty() { NOTHING.into() } else { format!("{permission} ({grants})") };
    [id, at, actor, action, about, by, request]
}

async fn readers(
    name: &TypedName,
    limit: u16,
    after: Option<i64>,
    as_json: bool,
    operator: &Operator<'_>,
) -> Result<(), Failure> {
    let account = name.account(&operator.default_org);
    let allowed = operator.allow::<Audit>(&account.org).await?;
    let asker = Asker::Auditor(allowed, account.username.clone());
    let found = audit::looks(operator.act, asker, after, limit).await;
    let found = found.map_err(|error| match error {
        Withheld::NoSuchPerson => nobody("person", &account),
        other => other.into(),
    })?;
    let (next, archived) = (found.next, found.archived_before);
    let body = ReadersBody::new(&account.username, found, true)?;
    if as_json {
        json(&body)?;
    } else {
        let rows: Vec<[String; 5]> = body.readers().iter().map(|look| look.cells()).collect();
        table(["AT", "WHO", "AS", "BY", "REQUEST"], &rows)?;
    }
    if let Some(next) = next {
        message(&format!("there are more: --after {next}"));
    }
    if let Some(day) = archived {
        message(&format!("looks from before {day} may be in an archive, and so not here"));
    }
    Ok(())
}

async fn export(asked: Export, operator: &Operator<'_>) -> Result<(), Failure> {
    let org = asked.asked.org.as_ref().unwrap_or(&operator.default_org);
    let allowed = operator.allow::<Audit>(org).await?;
    let found = audit::records(operator.act, allowed, asked.asked.query(None, None)).await?;
    let head = if asked.json { "[".to_owned() } else { audit::csv_head() };
    if !put(head.as_bytes())? {
        return Ok(());
    }
    let (mut records, mut rest) = (bodies(found.page.entries)?, found.rest);
    let mut written = 0_u64;
    loop {
        let text = if asked.json {
            let mut text = String::new();
            for record in &records {
                text.push_str(if written == 0 { "" } else { "," });
                text.push_str(&json_text(record)?);
                written += 1;
            }
            text.into_bytes()
        } else {
            written += records.len() as u64;
            audit::csv(&records)?
        };
        if !put(&text)? {
            return Ok(());
        }
        let next = match &mut rest {
            Some(rest) => rest.next().await?,
            None => None,
        };
        match next {
            Some(entries) => records = bodies(entries)?,
            None => break,
        }
    }
    if asked.json {
        put(b"]\n")?;
    }
    message(&format!("exported {} of {org}", count(written, "record")));
    Ok(())
}
