//! `stipend key`.

use std::path::PathBuf;

use serde::Serialize;

use super::Failure;
use super::operator::Operator;
use super::output::{NOTHING, count, json, line, message, table};
use crate::auth::keys::verifies_until;
use crate::auth::{Root, StartError};
use crate::clock::Timestamp;
use crate::domain::{KeyAlgorithm, Purpose};
use crate::service::keys::{self, Retired, Shown, Status};

/// List, add, promote and retire the keys that sign
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// List every key: which one signs, which verify, which are gone
    List {
        /// Write one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Add a key, which every server verifies with from now on; writes its id
    Add(Add),
    /// Have a key sign, a few seconds after it was added: by then every server knows it
    Promote {
        /// The key's id, which `stipend key list` shows
        kid: String,
        /// Write the key as one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Have a key sign nothing any more; it verifies until its last session has ended
    Retire(Retire),
    /// Make the configured key the one under which the others are sealed; run it with the new key
    /// in the settings, then start the servers again with it
    ChangeRoot(ChangeRoot),
}

#[derive(clap::Args)]
pub(super) struct Add {
    /// hs256: who verifies could sign too. eddsa: others verify with /.well-known/jwks.json
    #[arg(long, value_enum, default_value_t = AlgorithmName::Hs256)]
    algorithm: AlgorithmName,
    /// What it signs
    #[arg(long = "for", value_name = "PURPOSE", value_enum, default_value_t = PurposeName::Tokens)]
    purpose: PurposeName,
    /// Take this HS256 key rather than a new one: a file that only its owner can read, as
    /// jwt_secret_file, so that another service can be given its text
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Write the key as one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct Retire {
    /// The key's id, which `stipend key list` shows
    kid: String,
    /// The key that is to sign in its place
    #[arg(long, value_name = "KID")]
    promote: Option<String>,
    /// In an emergency: end the key and all its sessions at once. Where it signs and --promote
    /// names no other, a new key is made and signs in its place
    #[arg(long)]
    now: bool,
    /// Write the key as one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct ChangeRoot {
    /// The old key's text, in a file that only its owner can read: nothing is lost
    #[arg(long, value_name = "FILE")]
    old_file: Option<PathBuf>,
    /// The old key is lost: so are the keys and second factors that it sealed, and every session
    #[arg(long)]
    lost: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum AlgorithmName {
    Hs256,
    Eddsa,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum PurposeName {
    Tokens,
    Checkpoints,
}

/// A key. Never its secret.
#[derive(Serialize)]
struct KeyBody {
    kid: String,
    purpose: &'static str,
    algorithm: &'static str,
    status: &'static str,
    configured: bool,
    added_at: String,
    signs_from: Option<String>,
    retired_at: Option<String>,
    verifies_until: Option<String>,
    sessions: i64,
    sessions_ended: i64,
    public_key: Option<String>,
}

impl From<Shown> for KeyBody {
    fn from(Shown { key, status, sessions, is_root }: Shown) -> Self {
        let ends = (status == Status::Retiring).then(|| verifies_until(&key)).flatten();
        Self {
            purpose: key.purpose.name(),
            algorithm: key.algorithm.name(),
            status: status.name(),
            configured: is_root,
            added_at: key.added_at.to_string(),
            signs_from: key.signs_from.map(|at| at.to_string()),
            retired_at: key.retired_at.map(|at| at.to_string()),
            verifies_until: ends.map(|at| at.to_string()),
            sessions,
            sessions_ended: key.sessions_ended,
            kid: key.kid,
            public_key: key.public_key,
        }
    }
}

pub(super) async fn run(command: Command, operator: &Operator<'_>) -> Result<(), Failure> {
    let act = operator.act;
    match command {
        Command::List { json: as_json } => {
            let shown = keys::list(act).await?;
            if as_json {
                let bodies: Vec<KeyBody> = shown.into_iter().map(KeyBody::from).collect();
                return json(&bodies);
            }
            print(&shown)
        }
        Command::Add(wanted) => add(wanted, operator).await,
        Command::Promote { kid, json: as_json } => {
            let from = keys::promote(act, &kid).await?;
            message(&format!("the key {kid} signs {}", since(from, act.now())));
            if as_json { show(&kid, operator).await } else { Ok(()) }
        }
        Command::Retire(wanted) => retire(wanted, operator).await,
        Command::ChangeRoot(wanted) => change_root(wanted, operator).await,
    }
}

async fn add(wanted: Add, operator: &Operator<'_>) -> Result<(), Failure> {
    let purpose = match wanted.purpose {
        PurposeName::Tokens => Purpose::Tokens,
        PurposeName::Checkpoints => Purpose::Checkpoints,
    };
    let algorithm = match (wanted.algorithm, purpose) {
        (AlgorithmName::Hs256, Purpose::Tokens) => KeyAlgorithm::Hs256,
        // Checkpoints are for others to verify, who must not be able to sign them.
        (AlgorithmName::Eddsa, _) | (_, Purpose::Checkpoints) => KeyAlgorithm::EdDsa,
    };
    let secret = match wanted.file {
        Some(_) if algorithm != KeyAlgorithm::Hs256 => {
            return Err(Failure::Usage(
                "--file is for HS256 keys: an EdDSA key is made here".into(),
            ));
        }
        Some(path) => Some(Root::from_file(&path).map_err(StartError::from)?.secret()),
        None => None,
    };
    let sealer = operator.sealer().await?;
    let kid = keys::add(operator.act, &sealer, purpose, algorithm, secret).await?;
    message(&format!(
        "added the {algorithm} key {kid} for {purpose}; to have it sign: stipend key promote {kid}"
    ));
    if wanted.json { show(&kid, operator).await } else { line(&kid) }
}

async fn retire(wanted: Retire, operator: &Operator<'_>) -> Result<(), Failure> {
    let (act, kid) = (operator.act, wanted.kid);
    let heir = wanted.promote.as_deref();
    let retired = if wanted.now {
        let sealer = operator.sealer().await?;
        keys::revoke(act, &sealer, &kid, heir).await?
    } else {
        keys::retire(act, &kid, heir).await?
    };
    tell(&kid, &retired, act.now());
    if wanted.now
        && keys::list(act).await?.iter().any(|shown| shown.is_root && shown.key.kid == kid)
    {
        message(
            "this is the configured key, which also seals the others: if it is known to somebody, \
             set another one and run stipend key change-root",
        );
    }
    if wanted.json { show(&kid, operator).await } else { Ok(()) }
}

fn tell(kid: &str, retired: &Retired, now: Timestamp) {
    match retired.verifies_until {
        None => message(&format!(
            "the key {kid} has ended, and with it {}",
            count(retired.sessions_ended, "session")
        )),
        Some(until) if until <= now => message(&format!("the key {kid} is gone")),
        Some(until) => message(&format!(
            "the key {kid} signs nothing {}, and verifies until its last session has ended, which \
             is {until} as things are",
            since(retired.from, now)
        )),
    }
    if let Some((heir, from)) = &retired.heir {
        let new = if retired.heir_is_new { "new " } else { "" };
        message(&format!("the {new}key {heir} signs {}", since(*from, now)));
    }
}

async fn change_root(wanted: ChangeRoot, operator: &Operator<'_>) -> Result<(), Failure> {
    let old = wanted.old_file.map(|path| Root::from_file(&path)).transpose();
    let old = old.map_err(StartError::from)?;
    let root = operator.root()?;
    let changed = keys::change_root(operator.act, old.as_ref(), &root).await?;
    message(&format!("the configured key {} seals the others now", root.kid()));
    if let Some(from) = changed.signs_from {
        message(&format!("it signs {}", since(from, operator.act.now())));
    }
    if wanted.lost {
        message(&format!("{} ended", count(changed.sessions_ended, "session")));
    }
    if changed.second_factors_lost > 0 {
        message(&format!(
            "{} lost their second factor, which must be set up again",
            count(changed.second_factors_lost, "user")
        ));
    }
    message("start every server again with this key");
    Ok(())
}

/// From when, in words.
fn since(from: Timestamp, now: Timestamp) -> String {
    if from > now { format!("from {from} on") } else { "from now on".to_owned() }
}

async fn show(kid: &str, operator: &Operator<'_>) -> Result<(), Failure> {
    let found = keys::list(operator.act).await?.into_iter().find(|shown| shown.key.kid == kid);
    let shown = found.ok_or_else(|| Failure::Other(format!("there is no key {kid}")))?;
    json(&KeyBody::from(shown))
}

fn print(shown: &[Shown]) -> Result<(), Failure> {
    let rows: Vec<[String; 7]> = shown.iter().map(row).collect();
    table(["KID", "FOR", "ALGORITHM", "STATUS", "ADDED", "SESSIONS", "NOTE"], &rows)
}

fn row(shown: &Shown) -> [String; 7] {
    let key = &shown.key;
    let mut notes = Vec::new();
    if shown.is_root {
        notes.push("the configured key".to_owned());
    }
    match shown.status {
        Status::Next(from) => notes.push(format!("signs from {from} on")),
        Status::Signing if key.retired_at.is_some() => {
            notes.extend(key.retired_at.map(|at| format!("signs until {at}")));
        }
        Status::Retiring => {
            notes.extend(verifies_until(key).map(|until| format!("verifies until {until}")));
        }
        Status::Gone => {
            notes.extend(
                key.revoked_at
                    .map(|at| format!("ended {at} with {}", count(key.sessions_ended, "session"))),
            );
        }
        Status::Signing | Status::Verifying => {}
    }
    [
        key.kid.clone(),
        key.purpose.to_string(),
        key.algorithm.to_string(),
        shown.status.name().to_owned(),
        key.added_at.to_string(),
        shown.sessions.to_string(),
        if notes.is_empty() { NOTHING.to_owned() } else { notes.join("; ") },
    ]
}
