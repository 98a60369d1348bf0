//! The command line. Data goes to standard output, messages to standard error.
//!
//! Exit codes: 0 it worked, 1 it did not, 2 the command line or a setting is wrong.

mod log;
mod migrate;
mod serve;
mod user;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};

use crate::auth::{Ports, StartError};
use crate::clock::SystemClock;
use crate::config::{Config, ConfigError};
use crate::entropy::SystemEntropy;

/// Guards pay data: who may see which salary, and who has.
#[derive(Parser)]
#[command(name = "stipend", after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER_HELP: &str = "\
Settings come from Rocket.toml and ROCKET_* variables; Rocket.toml describes them all.
Exit codes: 0 it worked, 1 it did not, 2 the command line or a setting is wrong.";

#[derive(Subcommand)]
enum Command {
    /// Serve (the default)
    Serve,
    /// Bring the database's schema up to date, and seed an empty one with the demo data
    Migrate,
    /// Manage users
    #[command(subcommand)]
    User(user::Command),
}

/// A command did not work; the sentence says what to do.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("{0}")]
    Other(String),
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Start(StartError::Config(_)) => ExitCode::from(2),
            Self::Start(_) | Self::Other(_) => ExitCode::FAILURE,
        }
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log::start();
    match run(arguments.command.unwrap_or(Command::Serve)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            message(&format!("error: {failure}"));
            failure.exit_code()
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    let config = Config::load()?;
    let ports =
        Ports { clock: Arc::new(SystemClock::new()), entropy: Arc::new(SystemEntropy::new()) };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.workers)
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(format!("the threads cannot be started ({error})")))?;
    runtime.block_on(async {
        match command {
            Command::Serve => serve::run(config, ports).await,
            Command::Migrate => migrate::run(&config).await,
            Command::User(command) => user::run(command, &config, ports).await,
        }
    })
}

/// Writes a line for people to standard error.
fn message(text: &str) {
    if let Err(error) = writeln!(std::io::stderr(), "{text}") {
        // Nobody reads them; that is no reason to stop.
        tracing::debug!(%error, "a message was not read");
    }
}

/// Writes lines to standard output, whose reader may have gone.
fn data(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{text}")
}
