//! `stipend pay`.

mod export;
mod import;

use super::Failure;
use super::operator::{Operator, missing, nobody};
use super::output::{json, message, table};
use super::values;
use crate::clock::Day;
use crate::domain::{Line, Money, OrgName, TypedName};
use crate::policy::{Read, Write};
use crate::service::payroll::{self, superseded};
use crate::service::shown::{HistoryBody, RateBody, SumsBody};
use crate::service::{Precondition, asked};
use crate::store::disclosure::{Sum, Withheld};
use crate::store::pay::PayQuery;
use crate::store::rates::{NewRate, Rate};

/// Show, record, import, export and sum up pay
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Show an employee's pay with its history; whoever looks is on record
    Show {
        /// NAME in the default org, or ORG/NAME
        #[arg(value_parser = TypedName::parse)]
        name: TypedName,
        /// Only what was known at this time, such as 2026-03-10T12:00:00Z
        #[arg(long, value_name = "TIME")]
        known_at: Option<String>,
        /// Write one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Record an employee's pay from a day on
    ///
    /// A second rate of a day corrects the first: both stay, and the later one counts. Other users
    /// of the machine can see the arguments of a command while it runs; where that matters, give
    /// the amount by `stipend pay import -`.
    Record(Record),
    /// Record the pay of many from a CSV file: all of its lines or none
    ///
    /// The first line names the columns: username, effective_from, amount, currency, and note if
    /// there are notes. Every bad line is named on standard error. A line that says what is
    /// recorded already changes nothing, so that a file can be imported again.
    Import(import::Import),
    /// Write what everybody is paid on a day, as CSV or JSON; whoever looks is on record
    Export(export::Export),
    /// Sum up what everybody is paid on a day, for each currency
    Total {
        /// The org; the default one without this
        #[arg(long, value_parser = OrgName::parse)]
        org: Option<OrgName>,
        /// The day; today without this
        #[arg(long, value_name = "DAY", value_parser = asked::parse_day)]
        as_of: Option<Day>,
        /// Write one JSON document
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args)]
pub(super) struct Record {
    /// NAME in the default org, or ORG/NAME
    #[arg(value_parser = TypedName::parse)]
    name: TypedName,
    /// The first day on which it holds
    #[arg(long, value_name = "DAY", value_parser = asked::parse_day)]
    from: Day,
    /// How much: digits, and after a point at most as many as the currency has, such as 2100.00
    #[arg(long)]
    amount: String,
    /// The ISO 4217 code, such as USD
    #[arg(long, value_name = "CODE")]
    currency: String,
    /// Why, for whoever asks later
    #[arg(long, value_name = "TEXT", value_parser = Line::parse)]
    note: Option<Line>,
    /// Write the rate as one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Command, operator: &Operator<'_>) -> Result<(), Failure> {
    match command {
        Command::Show { name, known_at, json } => {
            show(&name, known_at.as_deref(), json, operator).await
        }
        Command::Record(new) => record(new, operator).await,
        Command::Import(asked) => import::run(asked, operator).await,
        Command::Export(asked) => export::run(asked, operator).await,
        Command::Total { org, as_of, json } => total(org, as_of, json, operator).await,
    }
}

async fn show(
    name: &TypedName,
    known_at: Option<&str>,
    as_json: bool,
    operator: &Operator<'_>,
) -> Result<(), Failure> {
    let now = operator.act.now();
    let known_at = known_at.map(|text| values::known_at(text, now)).transpose()?;
    let account = name.account(&operator.default_org);
    let allowed = operator.allow::<Read>(&account.org).await?;
    let found = payroll::history(operator.act, allowed.into(), &account.username, known_at).await;
    let history = found.map_err(|error| match error {
        Withheld::NoSuchPerson => nobody("employee", &account),
        other => other.into(),
    })?;
    if as_json {
        return json(&HistoryBody::from(&history));
    }
    let rows: Vec<[String; 6]> =
        history.rates.iter().zip(superseded(&history.rates)).map(row).collect();
    table(["FROM", "SALARY", "COUNTS", "RECORDED AT", "BY", "NOTE"], &rows)
}

fn row((rate, is_superseded): (&Rate, bool)) -> [String; 6] {
    [
        rate.effective_from.to_string(),
        rate.salary.to_string(),
        if is_superseded { "corrected" } else { "yes" }.into(),
        rate.recorded_at.to_string(),
        rate.recorded_by.clone(),
        rate.note.clone(),
    ]
}

async fn record(new: Record, operator: &Operator<'_>) -> Result<(), Failure> {
    let salary =
        Money::parse(&new.amount, &new.currency).map_err(|error| match error.member() {
            "currency" => values::invalid(&new.currency, "--currency <CODE>", error),
            _ => values::invalid(&new.amount, "--amount <AMOUNT>", error),
        })?;
    let account = new.name.account(&operator.default_org);
    let allowed = operator.allow::<Write>(&account.org).await?;
    let note = new.note.map(|note| note.to_string()).unwrap_or_default();
    let rate = NewRate { effective_from: new.from, salary, note };
    let username = &account.username;
    let recorded = payroll::record(operator.act, &allowed, username, rate, &Precondition::Exists)
        .await
        .map_err(missing("employee", &account))?;
    message(&format!("recorded the pay of {account} from {} on", new.from));
    if new.json { json(&RateBody::from(&recorded.rate)) } else { Ok(()) }
}

async fn total(
    org: Option<OrgName>,
    as_of: Option<Day>,
    as_json: bool,
    operator: &Operator<'_>,
) -> Result<(), Failure> {
    let now = operator.act.now();
    let asked = PayQuery::on(as_of.unwrap_or_else(|| now.day()));
    let allowed = operator.allow::<Read>(org.as_ref().unwrap_or(&operator.default_org)).await?;
    let sums = payroll::sums(operator.act, allowed.into(), &asked).await?;
    if as_json {
        return json(&SumsBody::new(asked.as_of, &sums));
    }
    let row = |sum: &Sum| {
        [sum.total.currency().to_owned(), sum.people.to_string(), sum.total.to_string()]
    };
    let rows: Vec<[String; 3]> = sums.iter().map(row).collect();
    table(["CURRENCY", "PEOPLE", "TOTAL"], &rows)
}
