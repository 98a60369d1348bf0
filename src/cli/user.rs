//! `stipend user`.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use super::{Failure, message};
use crate::auth::{Auth, Ports};
use crate::config::{Config, Secret};
use crate::domain::{Permission, Reach};
use crate::entropy::random_id;
use crate::store::audit::{self, Action, Origin, Record};
use crate::store::{StoreError, grants, users};

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
/// Who acts on the command line.
const OPERATOR: &str = "operator";

pub(super) async fn run(command: Command, config: &Config, ports: Ports) -> Result<(), Failure> {
    let Command::Add { name, password_file } = command;
    let auth = Auth::open(config, ports).await?;
    let added = add(&auth, &name, password_file).await;
    auth.db.close().await;
    added
}

async fn add(auth: &Auth, name: &str, password_file: Option<PathBuf>) -> Result<(), Failure> {
    let account = auth.account(name).map_err(|error| Failure::Other(error.to_string()))?;
    let password = read_password(password_file)?;
    let hash = auth.hash_password(password).await.map_err(other)?;
    let now = auth.ports.clock.now();
    let entropy = auth.ports.entropy.as_ref();
    let origin = Origin { client: "local".into(), request_id: random_id(entropy).map_err(other)? };
    let grant_id = random_id(entropy).map_err(other)?;
    let record = Record {
        at: now,
        org: account.org.as_str(),
        actor: OPERATOR,
        session_id: None,
        action: Action::AddUser,
        permission: None,
        grants: Vec::new(),
        subjects: vec![account.username.as_str()],
        origin: &origin,
    };
    let added = async {
        let mut tx = auth.db.begin().await?;
        if !users::add(tx.access(), &account, &hash, now).await? {
            return Ok(false);
        }
        let reason = "every user may read their own pay";
        grants::add(
            tx.access(),
            &grant_id,
            &account,
            Permission::Read,
            &Reach::Own,
            reason,
            OPERATOR,
            now,
        )
        .await?;
        audit::append(tx.access(), &record).await?;
        tx.commit().await?;
        Ok::<bool, StoreError>(true)
    };
    if !added.await.map_err(other)? {
        return Err(Failure::Other(format!("the user {account} exists already")));
    }
    message(&format!("added {}/{}, who may read their own pay", account.org, account.username));
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
