//! `stipend explain`.

use super::Failure;
use super::grant::until_text;
use super::operator::{Operator, missing};
use super::output::{NOTHING, json, line, table};
use super::values::invalid;
use crate::domain::{Account, TypedName};
use crate::policy::Manage;
use crate::service::explain::explain;
use crate::service::people;
use crate::service::shown::ExplanationBody;
use crate::store::grants::GrantRecord;
use crate::store::people::Person;

#[derive(clap::Args)]
pub(super) struct Explain {
    /// Who sees, or does not: NAME in the default org, or ORG/NAME
    #[arg(value_parser = TypedName::parse)]
    who: TypedName,
    /// Whose pay: NAME in the default org, or ORG/NAME
    #[arg(value_parser = TypedName::parse)]
    whom: TypedName,
    /// Write one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(asked: Explain, operator: &Operator<'_>) -> Result<(), Failure> {
    let who = asked.who.account(&operator.default_org);
    let whom = asked.whom.account(&operator.default_org);
    if who.org != whom.org {
        let reason = format!("{who} is in another org, and no org ever sees another");
        return Err(invalid(&whom.to_string(), "<WHOM>", reason));
    }
    let act = operator.act;
    let caller = operator.in_org(&who.org).await?;
    let allowed = operator.allow::<Manage>(&who.org).await?;
    let viewer = people::get(act, &allowed, &who.username).await;
    let viewer = viewer.map_err(missing("person", &who))?;
    let seen = people::get(act, &allowed, &whom.username).await;
    let seen = seen.map_err(missing("person", &whom))?;
    let found = explain(act, &caller, &who.username, &whom.username).await?;
    if asked.json {
        let (who, whom) = (&who.username, &whom.username);
        return json(&ExplanationBody::new(who, whom, &found, act.now().day()));
    }
    line(&answer(&who, &viewer, &whom, &found.by))?;
    if !seen.is_employee {
        line(&format!("{whom} is no employee, so there is no pay to see yet."))?;
    }
    if found.everybody.is_empty() {
        return line(&format!("\nNobody may see the pay of {whom}."));
    }
    line(&format!("\nEverybody who may see the pay of {whom}:"))?;
    let rows: Vec<[String; 6]> = found.everybody.iter().map(row).collect();
    table(["USERNAME", "REACH", "UNTIL", "GIVEN", "GRANT", "REASON"], &rows)
}

/// Yes or no, and by which grants.
fn answer(who: &Account, viewer: &Person, whom: &Account, by: &[GrantRecord]) -> String {
    let grants: Vec<String> = by.iter().map(told).collect();
    if !grants.is_empty() {
        return format!("Yes: {who} may see the pay of {whom}, by {}.", grants.join("; and by "));
    }
    let why = match (viewer.is_user, viewer.disabled_at) {
        (false, _) => "does not sign in".to_owned(),
        (true, Some(since)) => format!("has been disabled since {}", since.day()),
        (true, None) => "holds no grant of `read` that reaches them today".to_owned(),
    };
    format!("No: {who} may not see the pay of {whom}, since {} {why}.", who.username)
}

fn told(record: &GrantRecord) -> String {
    format!(
        "the grant {}: `{}` over {}, given by {} on {}, {}",
        record.grant.grant_id,
        record.grant.permission,
        record.grant.reach,
        record.granted_by,
        record.granted_at.day(),
        until_text(record),
    )
}

fn row(record: &GrantRecord) -> [String; 6] {
    [
        record.holder.to_string(),
        record.grant.reach.to_string(),
        record.grant.until.map_or_else(|| NOTHING.into(), |until| until.to_string()),
        format!("{} by {}", record.granted_at.day(), record.granted_by),
        record.grant.grant_id.clone(),
        record.reason.clone(),
    ]
}
