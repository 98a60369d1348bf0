//! `stipend doctor`: whether all is well here, and what to do where it is not.
//!
//! It only looks: no file is made or changed, no schema brought up to date, and a server may run
//! beside it. A further check is a function in one of the modules below that gives findings, and a
//! line in [`examine`].

mod database;
mod exposure;
mod files;
mod host;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::output;
use super::{Failure, other};
use crate::auth::Ports;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::entropy::SystemEntropy;
use crate::store::inspect;

const AFTER_HELP: &str = "\
Nothing is made or changed, and a server may run beside it. It measures what a sign-in costs, so it \
takes a core or all of them for a moment.

Exit codes: 0 all is well, or there are warnings only; 1 there is a problem; 2 a setting is wrong.";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Doctor {
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// How it stands with one thing; the worst is last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warning,
    Problem,
}

/// What a check found.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    /// What was looked at, in a word.
    check: &'static str,
    state: State,
    found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, state: State::Ok, found: found.into(), advice: None }
    }

    fn warning(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        let (found, advice) = (found.into(), Some(advice.into()));
        Self { check, state: State::Warning, found, advice }
    }

    fn problem(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { state: State::Problem, ..Self::warning(check, found, advice) }
    }
}

/// What every check may need.
struct Look<'a> {
    config: &'a Config,
    ports: &'a Ports,
}

/// Runs the command; the exit code is that of its worst finding.
pub(super) fn run(asked: &Doctor) -> Result<ExitCode, Failure> {
    let settings = Config::load().and_then(|config| {
        crate::auth::default_org(&config)?;
        Ok(config)
    });
    let config = match settings {
        Ok(config) => config,
        Err(error) => {
            let advice = "put it right and run this again: nothing else was looked at";
            write(&[Finding::problem("settings", error.to_string(), advice)], asked.json)?;
            return Ok(ExitCode::from(2));
        }
    };
    let ports =
        Ports { clock: Arc::new(SystemClock::new()), entropy: Arc::new(SystemEntropy::new()) };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(other)?;
    let findings = runtime.block_on(examine(&Look { config: &config, ports: &ports }));
    write(&findings, asked.json)?;
    let worst = findings.iter().map(|finding| finding.state).max();
    Ok(if worst == Some(State::Problem) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Every check, in the order in which they are told.
async fn examine(look: &Look<'_>) -> Vec<Finding> {
    let inspected = inspect::inspect(&look.config.database).await;
    [
        exposure::settings(look),
        files::key(look),
        files::database(look),
        database::state(&inspected),
        database::schema(&inspected),
        exposure::demo(look, &inspected),
        exposure::address(look),
        exposure::proxies(look),
        host::serving(look),
        host::clock(look, &inspected),
        host::passwords(look).await,
        host::open_files(&inspected),
        files::disk(look),
    ]
    .concat()
}

fn write(findings: &[Finding], as_json: bool) -> Result<(), Failure> {
    if as_json {
        let worst = findings.iter().map(|finding| finding.state).max();
        return output::json(&json!({ "state": worst, "checks": findings }));
    }
    let mut text = String::new();
    for Finding { check, state, found, advice } in findings {
        let state = match state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Problem => "problem",
        };
        let advice = advice.iter().map(|advice| format!(": {advice}")).collect::<String>();
        // One finding is one line, whatever a path or a message holds.
        let line =
            format!("{state:8} {check:10} {found}{advice}").replace(char::is_control, "\u{fffd}");
        text.push_str(&line);
        text.push('\n');
    }
    output::put(text.as_bytes()).map(drop)
}
