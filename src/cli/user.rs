//! `stipend user`.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use super::{Failure, message};
use crate::auth::{self, Gate, Ports, StartError};
use crate::config::{Config, Secret};
use crate::domain::{Account, Permission, Reach};
use crate::entropy::random_id;
use crate::store::audit::{self, Action, Origin, Record};
use crate::store::grants::{self, NewGrant};
use crate::store::{Db, StoreError, users};

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
    let account = Account::parse(&name, &auth::default_org(config)?).map_err(other)?;
    let password = read_password(password_file)?;
    let db = Db::open(&config.database).await.map_err(StartError::from)?;
    let gate = Gate::start(config.passwords).map_err(other)?;
    let hash = gate.hash(password, ports.entropy.as_ref()).await.map_err(other)?;
    let added = add(&db, &ports, &account, &hash).await;
    db.close().await;
    added
}

async fn add(db: &Db, ports: &Ports, account: &Account, hash: &str) -> Result<(), Failure> {
    let now = ports.clock.now();
    let entropy = ports.entropy.as_ref();
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
    let grant = NewGrant {
        grant_id: &grant_id,
        holder: account,
        permission: Permission::Read,
        reach: Reach::Own,
        reason: "every user may read their own pay",
        granted_by: OPERATOR,
        granted_at: now,
    };
    let added = async {
        let mut tx = db.begin().await?;
        if !users::add(tx.access(), account, hash, now).await? {
            return Ok(false);
        }
        grants::add(tx.access(), &grant).await?;
        audit::append(tx.access(), &record).await?;
        tx.commit().await?;
        Ok::<bool, StoreError>(true)
    };
    if !added.await.map_err(other)? {
        return Err(Failure::Other(format!("the user {account} exists already")));
    }
    message(&format!("added {account}, who may read their own pay"));
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
