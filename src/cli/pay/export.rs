//! `stipend pay export`.

use crate::cli::Failure;
use crate::cli::operator::Operator;
use crate::cli::output::{count, message, put};
use crate::cli::values::{self, Fields, Search};
use crate::clock::Day;
use crate::domain::{OrgName, TeamName};
use crate::policy::Read;
use crate::service::export::{Field, Format, Renderer};
use crate::service::{asked, payroll};
use crate::store::StoreError;
use crate::store::disclosure::Rows;
use crate::store::pay::{Chunk, PayQuery, Sink, Sort};
use crate::store::people::Filter;

#[derive(clap::Args)]
pub(in crate::cli) struct Export {
    /// The org; the default one without this
    #[arg(long, value_parser = OrgName::parse)]
    org: Option<OrgName>,
    /// The day; today without this
    #[arg(long, value_name = "DAY", value_parser = asked::parse_day)]
    as_of: Option<Day>,
    /// Only what was known at this time, such as 2026-03-10T12:00:00Z
    #[arg(long, value_name = "TIME")]
    known_at: Option<String>,
    /// Only the members of this team
    #[arg(long, value_parser = TeamName::parse)]
    team: Option<TeamName>,
    /// Only those whose user name or full name has this in it
    #[arg(long, value_name = "TEXT", value_parser = asked::parse_search)]
    q: Option<Search>,
    /// Which columns, in this order, separated by commas; username,salary without this
    ///
    /// There are username, name, team, salary, amount, currency and effective_from.
    #[arg(long, value_parser = asked::parse_fields)]
    fields: Option<Fields>,
    /// By what to sort, with - before it for the reverse; username without this
    ///
    /// One of username, name, team, amount and effective_from.
    #[arg(long, value_parser = asked::parse_sort, allow_hyphen_values = true)]
    sort: Option<(Sort, bool)>,
    /// Write one JSON array instead of CSV
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(wanted: Export, operator: &Operator<'_>) -> Result<(), Failure> {
    let now = operator.act.now();
    let (sort, descending) = wanted.sort.unwrap_or_default();
    let known_at = wanted.known_at.as_deref().map(|text| values::known_at(text, now));
    let asked = PayQuery {
        filter: Filter { q: wanted.q.flatten(), team: wanted.team },
        sort,
        descending,
        known_at: known_at.transpose()?,
        ..PayQuery::on(wanted.as_of.unwrap_or_else(|| now.day()))
    };
    let fields = wanted.fields.unwrap_or_else(|| Field::DEFAULT.to_vec());
    let names: Vec<&str> = fields.iter().map(|field| field.name()).collect();
    let format = if wanted.json { Format::Json } else { Format::Csv };
    let org = wanted.org.as_ref().unwrap_or(&operator.default_org);
    let as_of = asked.as_of;

    let allowed = operator.allow::<Read>(org).await?;
    let found = payroll::list(operator.act, allowed.into(), asked, &names, true, None).await?;
    let mut output = Output { renderer: Renderer::new(format, fields), rows: 0, ended: None };
    output.put(output.renderer.head());
    let read = match found.rows {
        Rows::Rest(rest) if output.ended.is_none() => rest.send_to(&mut output).await,
        Rows::Rest(_) => Ok(()),
        Rows::Chunk(rows) => {
            output.take(rows).await;
            Ok(())
        }
        // Only where a shape is asked for.
        Rows::Text(_) => Err(StoreError::Impossible("rows as text")),
    };
    if let Err(error) = read {
        output.put(output.renderer.broken().to_vec());
        return Err(error.into());
    }
    let end = if wanted.json { "\n" } else { "" };
    output.put([output.renderer.tail(), end.as_bytes()].concat());
    match output.ended {
        Some(Ended::Failed(failure)) => return Err(failure),
        Some(Ended::ReaderHasGone) => {}
        None => {
            let number = found.export.map(|n| format!(" (export {n})")).unwrap_or_default();
            let rows = count(output.rows, "row");
            message(&format!("exported {rows} of {org} as of {as_of}{number}"));
        }
    }
    Ok(())
}

/// Standard output, to which rows go chunk by chunk, however many there are.
struct Output {
    renderer: Renderer,
    rows: i64,
    ended: Option<Ended>,
}

/// Why nothing more is written.
enum Ended {
    ReaderHasGone,
    Failed(Failure),
}

impl Output {
    fn put(&mut self, bytes: Vec<u8>) {
        if self.ended.is_none() {
            self.ended = match put(&bytes) {
                Ok(true) => None,
                Ok(false) => Some(Ended::ReaderHasGone),
                Err(failure) => Some(Ended::Failed(failure)),
            };
        }
    }
}

impl Sink for Output {
    async fn take(&mut self, chunk: Chunk) -> bool {
        match self.renderer.rows(&chunk) {
            Ok(text) => self.put(text),
            Err(error) => {
                self.put(self.renderer.broken().to_vec());
                self.ended = Some(Ended::Failed(error.into()));
            }
        }
        self.rows += chunk.len();
        self.ended.is_none()
    }
}
