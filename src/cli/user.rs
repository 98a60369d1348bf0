//! `stipend user`.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use super::{Failure, message};
use crate::auth::{self, Gate, Ports, StartError};
use crate::config::{Config, Secret};
use crate::domain::{Account, OrgName, Username};
use crate::entropy::random_id;
use crate::policy::{Manage, Principal};
use crate::service::orgs::{self, OPERATOR};
use crate::service::people::{self, NewPassword, NewPerson};
use crate::service::{Act, Refused};
use crate::store::Db;
use crate::store::audit::Origin;

/// Manage users
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Add a user, who may read their own pay
    ///
    /// The password comes from a hidden prompt, from standard input when that is no terminal, or
    /// from a file; never from an argument, which other users of the machine can see.
    Add {
        /// NAME in the default org, or ORG/NAME
        name: String,
        /// Read the password from this file (its text without the line break at the end)
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
}

/// At least so many characters (NIST SP 800-63B-4 section 3.1.1.2).
const SHORTEST_PASSWORD: usize = 15;
const LONGEST_PASSWORD: usize = 1024;

pub(super) async fn run(command: Command, config: &Config, ports: Ports) -> Result<(), Failure> {
    let Command::Add { name, password_file } = command;
    let Account { org, username } =
        Account::parse(&name, &auth::default_org(config)?).map_err(other)?;
    let password = read_password(password_file)?;
    let db = Db::open(&config.database).await.map_err(StartError::from)?;
    let gate = Gate::start(config.passwords).map_err(other)?;
    let entropy = ports.entropy.as_ref();
    let origin = Origin { client: "local".into(), request_id: random_id(entropy).map_err(other)? };
    let act = Act { db: &db, ports: &ports, gate: &gate, origin: &origin };
    let added = add(act, org, username, password).await;
    db.close().await;
    added
}

async fn add(
    act: Act<'_>,
    org: OrgName,
    username: Username,
    password: Secret<String>,
) -> Result<(), Failure> {
    match orgs::add(act, &org).await {
        Ok(()) | Err(Refused::Exists(_)) => {}
        Err(error) => return Err(other(error)),
    }
    let operator = Principal::operator(org.clone(), Username::parse(OPERATOR).map_err(other)?);
    let allowed = operator.allow::<Manage>(act.now().day()).map_err(other)?;
    let new = NewPerson {
        username: username.clone(),
        employee: None,
        user: Some(NewPassword::Given(password)),
    };
    people::add(act, &allowed, new).await.map_err(other)?;
    message(&format!("added {org}/{username}, who may read their own pay"));
    Ok(())
}

fn other(error: impl std::error::Error) -> Failure {
    Failure::Other(error.to_string())
}

fn read_password(file: Option<PathBuf>) -> Result<Secret<String>, Failure> {
    let text = match file {
        Some(path) => std::fs::read_to_string(&path).map_err(|error| {
            Failure::Other(format!("{} cannot be read ({error})", path.display()))
        })?,
        None if std::io::stdin().is_terminal() => prompt()?,
        None => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(other)?;
            text
        }
    };
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.chars().count() < SHORTEST_PASSWORD {
        return Err(Failure::Other(format!(
            "a password has {SHORTEST_PASSWORD} characters at least; a sentence makes a good one"
        )));
    }
    if password.len() > LONGEST_PASSWORD {
        return Err(Failure::Other(format!("a password has {LONGEST_PASSWORD} bytes at most")));
    }
    Ok(Secret::new(password.to_owned()))
}

fn prompt() -> Result<String, Failure> {
    let first = rpassword::prompt_password("Password: ").map_err(other)?;
    if rpassword::prompt_password("Again: ").map_err(other)? != first {
        return Err(Failure::Other("the two passwords differ".into()));
    }
    Ok(first)
}
