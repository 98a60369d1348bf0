//! `stipend org`.

use serde::Serialize;

use super::Failure;
use super::operator::Operator;
use super::output::{json, message, table};
use crate::clock::Timestamp;
use crate::domain::OrgName;
use crate::service::orgs;
use crate::store::orgs::Org;

/// Add and list orgs
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Add an org; nobody of one org ever sees another
    Add {
        /// The org's name: 1 to 64 of a-z 0-9 . _ @ + -
        #[arg(value_parser = OrgName::parse)]
        name: OrgName,
    },
    /// List every org, with how many people are in it
    List {
        /// Write one JSON array
        #[arg(long)]
        json: bool,
    },
}

/// An org.
#[derive(Serialize)]
struct OrgBody {
    org: String,
    users: i64,
    employees: i64,
    created_at: String,
}

impl From<Org> for OrgBody {
    fn from(org: Org) -> Self {
        let created_at = Timestamp::from_millis(org.created_at).to_string();
        Self { org: org.org, users: org.users, employees: org.employees, created_at }
    }
}

pub(super) async fn run(command: Command, operator: &Operator<'_>) -> Result<(), Failure> {
    match command {
        Command::Add { name } => {
            orgs::add(operator.act, &name).await?;
            message(&format!("added the org {name}"));
            Ok(())
        }
        Command::List { json: as_json } => {
            let found = orgs::list(operator.act).await?.into_iter();
            let orgs: Vec<OrgBody> = found.map(OrgBody::from).collect();
            if as_json {
                return json(&orgs);
            }
            let rows: Vec<[String; 4]> = orgs
                .into_iter()
                .map(|org| {
                    [org.org, org.users.to_string(), org.employees.to_string(), org.created_at]
                })
                .collect();
            table(["ORG", "USERS", "EMPLOYEES", "ADDED"], &rows)
        }
    }
}
