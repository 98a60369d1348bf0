//! The command line. Data goes to standard output, messages to standard error.
//!
//! Exit codes: 0 it worked, 1 it did not, 2 the command line or a setting is wrong.

mod audit;
mod doctor;
mod explain;
mod grant;
mod key;
mod log;
mod migrate;
mod operator;
mod org;
mod output;
mod password;
mod pay;
mod serve;
mod session;
mod token;
mod user;
mod values;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};

use crate::auth::{Ports, StartError};
use crate::clock::SystemClock;
use crate::config::{Config, ConfigError};
use crate::entropy::SystemEntropy;
use crate::service::Refused;
use crate::store::StoreError;
use crate::store::disclosure::Withheld;
use operator::Operator;
use output::message;

/// Guards pay data: who may see which salary, and who has.
#[derive(Parser)]
#[command(name = "stipend", version, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER_HELP: &str = "\
Whoever runs these commands beside the database may do everything, and what they do is on record \
as done by `operator`.

Data goes to standard output (with --json as one JSON document), messages to standard error.
Exit codes: 0 it worked; 1 it did not, and the message says why; 2 the command line or a \
setting is wrong.

Settings come from Rocket.toml and ROCKET_* variables; Rocket.toml describes them all.";

#[derive(Subcommand)]
enum Command {
    /// Serve (the default)
    Serve,
    /// Bring the database's schema up to date, and seed an empty one with the demo data
    Migrate,
    /// Say whether all is well here, and what to do where it is not; changes nothing
    Doctor(doctor::Doctor),
    #[command(flatten)]
    Operate(Operate),
}

/// What the operator does to the database.
#[derive(Subcommand)]
enum Operate {
    /// Add, list and set up orgs
    #[command(subcommand)]
    Org(org::Command),
    /// Add, list and change people: users, who sign in, and employees, who are paid
    #[command(subcommand)]
    User(user::Command),
    /// Give, list and end grants: who may do what, over whom
    #[command(subcommand)]
    Grant(grant::Command),
    /// List, add, promote and retire the keys that sign
    #[command(subcommand)]
    Key(key::Command),
    /// Show, record, import, export and sum up pay
    #[command(subcommand)]
    Pay(pay::Command),
    /// Read, prove and archive the audit trail: who did and saw what
    #[command(subcommand)]
    Audit(audit::Command),
    /// List and end sessions: who is signed in, and from where
    #[command(subcommand)]
    Session(session::Command),
    /// Make, list and end machine tokens: sessions of a user's scripts
    #[command(subcommand)]
    Token(token::Command),
    /// Say whether somebody sees somebody's pay and why, and who else does
    Explain(explain::Explain),
}

/// A command did not work; the sentence says what to do.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Withheld(#[from] Withheld),
    /// An argument is wrong.
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Other(String),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Start(StartError::Config(_)) | Self::Usage(_) => {
                ExitCode::from(2)
            }
            Self::Start(_) | Self::Refused(_) | Self::Withheld(_) | Self::Other(_) => {
                ExitCode::FAILURE
            }
        }
    }
}

/// A failure that says all there is to say.
fn other(error: impl std::error::Error) -> Failure {
    Failure::Other(error.to_string())
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log::start();
    match run(arguments.command.unwrap_or(Command::Serve)) {
        Ok(code) => code,
        Err(failure) => {
            message(&format!("error: {failure}"));
            failure.exit_code()
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        // Wrong settings are a finding of its, and a warning is no failure.
        Command::Doctor(asked) => return doctor::run(&asked),
        Command::Serve => work(serve::run)?,
        Command::Migrate => work(async |config, _| migrate::run(&config).await)?,
        Command::Operate(command) => work(async |config, ports| {
            operator::work(&config, ports, async |operator| operate(command, operator).await).await
        })?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a command that needs the settings, with as many threads as they say.
fn work(command: impl AsyncFnOnce(Config, Ports) -> Result<(), Failure>) -> Result<(), Failure> {
    let config = Config::load()?;
    let ports =
        Ports { clock: Arc::new(SystemClock::new()), entropy: Arc::new(SystemEntropy::new()) };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.workers)
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(format!("the threads cannot be started ({error})")))?;
    runtime.block_on(command(config, ports))
}

async fn operate(command: Operate, operator: &Operator<'_>) -> Result<(), Failure> {
    match command {
        Operate::Org(command) => org::run(command, operator).await,
        Operate::User(command) => user::run(command, operator).await,
        Operate::Grant(command) => grant::run(command, operator).await,
        Operate::Key(command) => key::run(command, operator).await,
        Operate::Pay(command) => pay::run(command, operator).await,
        Operate::Audit(command) => audit::run(command, operator).await,
        Operate::Session(command) => session::run(command, operator).await,
        Operate::Token(command) => token::run(command, operator).await,
        Operate::Explain(asked) => explain::run(asked, operator).await,
    }
}
