//! `stipend grant`.

use super::Failure;
use super::operator::{Operator, missing, nobody};
use super::output::{NOTHING, json, line, message, table};
use crate::clock::Day;
use crate::domain::{Account, Line, Permission, Reach, TypedName};
use crate::policy::Manage;
use crate::service::grants::{self, Gift};
use crate::service::shown::GrantBody;
use crate::service::{Refused, asked, people};
use crate::store::grants::GrantRecord;

/// Give, list and end grants: who may do what, over whom
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Give a user a permission over some people; writes the id of the grant
    Give(Give),
    /// List every grant that a user has had, the oldest first
    List {
        /// NAME in the default org, or ORG/NAME
        #[arg(value_parser = TypedName::parse)]
        name: TypedName,
        /// Write one JSON array
        #[arg(long)]
        json: bool,
    },
    /// End a grant, from the next request on
    End {
        /// NAME in the default org, or ORG/NAME
        #[arg(value_parser = TypedName::parse)]
        name: TypedName,
        /// The grant's id, which `stipend grant list` shows
        grant_id: String,
    },
}

#[derive(clap::Args)]
pub(super) struct Give {
    /// NAME in the default org, or ORG/NAME
    #[arg(value_parser = TypedName::parse)]
    name: TypedName,
    /// What it permits: read (see pay), write (record pay), manage (people and grants) or audit
    /// (read the trail); none implies another
    #[arg(value_parser = asked::parse_permission)]
    permission: Permission,
    /// Over whom: own, user:NAME, team:NAME or org
    #[arg(value_parser = Reach::parse)]
    reach: Reach,
    /// Why, for whoever asks later
    #[arg(long, value_name = "TEXT", value_parser = Line::parse)]
    reason: Line,
    /// The last day on which it holds; without this it has no end
    #[arg(long, value_name = "DAY", value_parser = asked::parse_day)]
    until: Option<Day>,
    /// Write the grant as one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Command, operator: &Operator<'_>) -> Result<(), Failure> {
    let act = operator.act;
    match command {
        Command::Give(wanted) => give(wanted, operator).await,
        Command::List { name, json: as_json } => {
            let account = name.account(&operator.default_org);
            let allowed = operator.allow::<Manage>(&account.org).await?;
            let person = people::get(act, &allowed, &account.username).await;
            if !person.map_err(missing("user", &account))?.is_user {
                return Err(nobody("user", &account));
            }
            let found = grants::list(act, &allowed, &account.username).await?;
            let today = act.now().day();
            if as_json { json(&GrantBody::all(&found, today)) } else { print(&found, today) }
        }
        Command::End { name, grant_id } => {
            end(&name.account(&operator.default_org), &grant_id, operator).await
        }
    }
}

async fn give(wanted: Give, operator: &Operator<'_>) -> Result<(), Failure> {
    let account = wanted.name.account(&operator.default_org);
    let allowed = operator.allow_recent::<Manage>(&account.org).await?;
    let Give { permission, reach, until, reason, .. } = wanted;
    let gift = Gift { permission, reach, until, reason };
    let given = grants::give(operator.act, &allowed, &account.username, gift)
        .await
        .map_err(missing("user", &account))?;
    let (grant, until) = (&given.grant, until_text(&given));
    message(&format!("gave {account} `{permission}` over {}, {until}", grant.reach));
    if wanted.json {
        return json(&GrantBody::new(&given, operator.act.now().day()));
    }
    line(&grant.grant_id)
}

async fn end(holder: &Account, grant_id: &str, operator: &Operator<'_>) -> Result<(), Failure> {
    let allowed = operator.allow_recent::<Manage>(&holder.org).await?;
    let person = people::get(operator.act, &allowed, &holder.username).await;
    person.map_err(missing("user", holder))?;
    match grants::end(operator.act, &allowed, &holder.username, grant_id).await {
        Ok(()) => message(&format!("the grant of {holder} has ended")),
        Err(Refused::NotFound) => {
            let sentence = format!("{holder} has no such grant: stipend grant list {holder}");
            return Err(Failure::Other(sentence));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Until when a grant holds, in words.
pub(super) fn until_text(record: &GrantRecord) -> String {
    record.grant.until.map_or_else(|| "without end".to_owned(), |until| format!("until {until}"))
}

/// Writes a table of one user's grants.
pub(super) fn print(records: &[GrantRecord], today: Day) -> Result<(), Failure> {
    let rows: Vec<[String; 7]> = records.iter().map(|record| row(record, today)).collect();
    table(["GRANT", "PERMISSION", "REACH", "UNTIL", "GIVEN", "HOLDS", "REASON"], &rows)
}

fn row(record: &GrantRecord, today: Day) -> [String; 7] {
    let holds = match &record.ended {
        Some((by, at)) => format!("ended {} by {by}", at.day()),
        None if record.holds_on(today) => "yes".into(),
        None => "expired".into(),
    };
    [
        record.grant.grant_id.clone(),
        record.grant.permission.to_string(),
        record.grant.reach.to_string(),
        record.grant.until.map_or_else(|| NOTHING.into(), |until| until.to_string()),
        format!("{} by {}", record.granted_at.day(), record.granted_by),
        holds,
        record.reason.clone(),
    ]
}
