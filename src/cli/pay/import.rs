//! `stipend pay import`.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::operator::Operator;
use crate::cli::output::{count, json, message};
use crate::cli::{Failure, other};
use crate::domain::OrgName;
use crate::policy::Write;
use crate::service::import::{self, Imported, LARGEST};
use crate::service::shown::ImportedBody;
use crate::service::{Fault, Refused};

#[derive(clap::Args)]
pub(in crate::cli) struct Import {
    /// The file: CSV in UTF-8, of 16 MiB at most; - is standard input
    file: PathBuf,
    /// The org; the default one without this
    #[arg(long, value_parser = OrgName::parse)]
    org: Option<OrgName>,
    /// Check everything and record nothing
    #[arg(long)]
    dry_run: bool,
    /// Write what came of it as one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(asked: Import, operator: &Operator<'_>) -> Result<(), Failure> {
    let org = asked.org.as_ref().unwrap_or(&operator.default_org);
    let allowed = operator.allow::<Write>(org).await?;
    let name = asked.file.display().to_string();
    let file = read(&asked.file, &name)?;
    let bar = progress_bar()?;
    let mut progress = |done: usize, of: usize| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    };
    let imported = import::import(operator.act, &allowed, file, asked.dry_run, &mut progress).await;
    bar.finish_and_clear();
    let imported = imported.map_err(|error| explained(error, &name))?;
    let Imported { recorded, unchanged } = imported;
    let done = if asked.dry_run { "would record" } else { "recorded" };
    let (rates, lines) = (count(recorded, "rate"), count(unchanged, "line"));
    message(&format!("{done} {rates} of {org}; {lines} said what was recorded already"));
    if asked.json { json(&ImportedBody::new(imported, asked.dry_run)) } else { Ok(()) }
}

/// The file's bytes, if there are not too many; of one that is too large, no more than shows it.
fn read(path: &Path, name: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::Other(format!("{name} cannot be read ({error})")))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Failure::Other(format!(
            "{name} is larger than {} MiB: split it into several files, each with the first line, \
             which names the columns",
            LARGEST / (1024 * 1024)
        )));
    }
    Ok(bytes)
}

/// A bar on standard error, if that is a terminal.
fn progress_bar() -> Result<ProgressBar, Failure> {
    if !std::io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len}").map_err(other)?;
    Ok(ProgressBar::new(0).with_style(style))
}

/// Names every bad line on standard error; the failure that is left says how many there are.
fn explained(error: Refused, name: &str) -> Failure {
    let Refused::Invalid(faults) = error else {
        return error.into();
    };
    let lines: Vec<String> = faults.iter().map(|fault| named(fault, name)).collect();
    message(&lines.join("\n"));
    let faults = count(u32::try_from(faults.len()).unwrap_or(u32::MAX), "fault");
    Failure::Other(format!("{faults} in {name}, so nothing was recorded"))
}

fn named(fault: &Fault, name: &str) -> String {
    let Fault { line, field, reason } = fault;
    match line {
        Some(line) => format!("{name}:{line}: {field}: {reason}"),
        None => format!("{name}: {field}: {reason}"),
    }
}
