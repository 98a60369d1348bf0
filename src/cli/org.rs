//! `stipend org`.

use clap::ValueEnum;
use serde::Serialize;

use super::Failure;
use super::operator::Operator;
use super::output::{json, message, table};
use crate::clock::Timestamp;
use crate::domain::OrgName;
use crate::policy::Manage;
use crate::service::orgs;
use crate::store::orgs::Org;

/// Add, list and set up orgs
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
    /// Set what an org demands of its people; it acts on their next request
    Set {
        /// The org's name
        #[arg(value_parser = OrgName::parse)]
        name: OrgName,
        /// Whether `manage` and `write` count only for who signed in with a second factor
        #[arg(long, value_name = "ON|OFF")]
        second_factor: Switch,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Switch {
    On,
    Off,
}

/// An org.
#[derive(Serialize)]
struct OrgBody {
    org: String,
    users: i64,
    employees: i64,
    second_factor: bool,
    created_at: String,
}

impl From<Org> for OrgBody {
    fn from(org: Org) -> Self {
        let created_at = Timestamp::from_millis(org.created_at).to_string();
        let second_factor = org.demands_second_factor();
        let Org { org, users, employees, .. } = org;
        Self { org, users, employees, second_factor, created_at }
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
            let row = |org: OrgBody| {
                let demand = if org.second_factor { "demanded" } else { "optional" }.to_owned();
                let (users, employees) = (org.users.to_string(), org.employees.to_string());
                [org.org, users, employees, demand, org.created_at]
            };
            let rows: Vec<[String; 5]> = orgs.into_iter().map(row).collect();
            table(["ORG", "USERS", "EMPLOYEES", "SECOND FACTOR", "ADDED"], &rows)
        }
        Command::Set { name, second_factor } => {
            let allowed = operator.allow_recent::<Manage>(&name).await?;
            let demand = second_factor == Switch::On;
            orgs::demand_second_factor(operator.act, &allowed, demand).await?;
            message(&match demand {
                true => format!(
                    "{name} demands a second factor: who signed in without one can read, and turn \
                     theirs on, and neither manage nor record pay"
                ),
                false => format!("{name} demands no second factor"),
            });
            Ok(())
        }
    }
}
