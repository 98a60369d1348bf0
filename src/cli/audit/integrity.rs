//! `stipend audit verify`, `checkpoint` and `archive`.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::keys;
use crate::auth::checkpoint::ChainEnd;
use crate::cli::operator::Operator;
use crate::cli::output::{count, json, line, message};
use crate::cli::values::invalid;
use crate::cli::{Failure, other};
use crate::clock::Day;
use crate::service::asked;
use crate::service::audit;
use crate::service::integrity::{self, Evidence, NotArchived, NotVerified, Verified};
use crate::store::chain::{Head, hex};
use crate::store::verify::Flaw;

#[derive(clap::Args)]
pub(in crate::cli) struct Verify {
    /// Also verify that kept checkpoints still hold: a file with one a line, or of the server's
    /// log; - is standard input
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Believe checkpoints and archives by these public keys alone, kept elsewhere as
    /// /.well-known/checkpoint-keys.json gave them; without this, by those of the database
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// An archive, which is read as part of the trail; give every one that there is
    #[arg(long, value_name = "FILE")]
    archive: Vec<PathBuf>,
    /// Write what came of it as one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(in crate::cli) struct Archive {
    /// Records from before this day go to the file, as far as they are the beginning of their chain
    #[arg(long, value_name = "DAY", value_parser = asked::parse_day)]
    before: Day,
    /// The file, which must not be there yet
    file: PathBuf,
    /// Write what came of it as one JSON document
    #[arg(long)]
    json: bool,
}

/// What came of a verification.
#[derive(Serialize)]
struct Verdict {
    whole: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    flaw: Option<FlawBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sets: Option<u64>,
    chains: Vec<ChainEnd>,
    /// The keys that signed what it was verified against.
    keys: Vec<KeyBody>,
    /// Keys of the database that the kept set does not hold.
    keys_not_kept: Vec<String>,
}

/// A key that was believed, and why.
#[derive(Serialize)]
struct KeyBody {
    kid: String,
    /// The file that holds it, or `the database`.
    from: String,
}

#[derive(Serialize)]
struct FlawBody {
    record: Option<i64>,
    chain: Option<i64>,
    seq: Option<i64>,
    what: String,
}

impl From<&Flaw> for FlawBody {
    fn from(flaw: &Flaw) -> Self {
        let Flaw { record_id, chain, seq, what } = flaw.clone();
        Self { record: record_id, chain, seq, what }
    }
}

pub(super) async fn verify(asked: Verify, operator: &Operator<'_>) -> Result<(), Failure> {
    let named = |path: &PathBuf| Ok::<_, Failure>((path.display().to_string(), read(path)?));
    let kept = asked.against.as_ref().map(named).transpose()?;
    let keys = asked.keys.as_ref().map(named).transpose()?;
    let from = keys.as_ref().map_or("the database".to_owned(), |(name, _)| name.clone());
    let evidence = Evidence { kept, keys, archives: asked.archive };
    let bar = if std::io::stderr().is_terminal() {
        let style = ProgressStyle::with_template("{spinner} {pos} records").map_err(other)?;
        ProgressBar::no_length().with_style(style)
    } else {
        ProgressBar::hidden()
    };
    let found =
        integrity::verify(operator.act, &evidence, |records| bar.set_position(records)).await;
    bar.finish_and_clear();
    let Verified { found, signers, keys_not_kept } = match found {
        Ok(verified) => verified,
        Err(NotVerified::Flaw(flaw)) => {
            if asked.json {
                json(&Verdict {
                    whole: false,
                    flaw: Some((&flaw).into()),
                    records: None,
                    sets: None,
                    chains: Vec::new(),
                    keys: Vec::new(),
                    keys_not_kept: Vec::new(),
                })?;
            }
            return Err(Failure::Other(format!("the audit trail is not whole: {flaw}")));
        }
        Err(NotVerified::NoEvidence(what)) => return Err(Failure::Usage(what)),
        Err(NotVerified::Store(error)) => return Err(error.into()),
        Err(error @ NotVerified::File(_)) => return Err(other(error)),
    };
    if asked.json {
        return json(&Verdict {
            whole: true,
            flaw: None,
            records: Some(found.records),
            sets: Some(found.sets),
            chains: found.heads.iter().map(ChainEnd::from).collect(),
            keys: signers.into_iter().map(|kid| KeyBody { kid, from: from.clone() }).collect(),
            keys_not_kept,
        });
    }
    let against =
        if asked.against.is_some() { ", and as it was at every kept checkpoint" } else { "" };
    line(&format!("The audit trail is whole{against}: {}.", count(found.records, "record")))?;
    for head in &found.heads {
        let Head { chain, length, hash } = head;
        line(&format!("chain {chain}: {length} {}", hex(hash)))?;
    }
    for kid in &signers {
        line(&format!("key {kid}: believed, since it is in {from}"))?;
    }
    for kid in keys_not_kept {
        message(&format!(
            "the database has the key {kid} for checkpoints, and {from} has not: if nobody here has \
             added it, somebody else has; else keep the set of keys anew"
        ));
    }
    if asked.keys.is_none() && !signers.is_empty() {
        message(
            "whoever can rewrite the trail can put a key into the database too: keep what \
             /.well-known/checkpoint-keys.json answers elsewhere, and give it by --keys FILE",
        );
    }
    if asked.against.is_none() {
        message(
            "whether records are missing from the end, only a checkpoint shows that was kept \
             elsewhere: --against FILE",
        );
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(path).map(|read| text = read)
    };
    let path = path.display();
    read.map_err(|error| Failure::Usage(format!("{path} cannot be read ({error})")))?;
    Ok(text)
}

pub(super) async fn checkpoint(operator: &Operator<'_>) -> Result<(), Failure> {
    let keys = keys(operator).await?;
    let checkpoint = audit::checkpoint(operator.act, &keys).await?;
    line(&checkpoint.ok_or_else(|| other(NotArchived::NoKey))?)
}

/// What came of an archive.
#[derive(Serialize)]
struct ArchivedBody {
    file: Option<String>,
    digest: Option<String>,
    records: u64,
    chains: Vec<ChainEnd>,
}

pub(super) async fn archive(asked: Archive, operator: &Operator<'_>) -> Result<(), Failure> {
    let keys = keys(operator).await?;
    let name = asked.file.display().to_string();
    let done = integrity::archive(operator.act, &keys, asked.before, &asked.file).await;
    let done = done.map_err(|error| match error {
        NotArchived::TooLate(_) => invalid(&asked.before.to_string(), "--before <DAY>", error),
        NotArchived::Exists(_) => invalid(&name, "<FILE>", error),
        NotArchived::Store(error) => error.into(),
        NotArchived::Flaw(flaw) => {
            Failure::Other(format!("nothing was removed, since something is not whole: {flaw}"))
        }
        error => other(error),
    })?;
    let Some(done) = done else {
        message(&format!("there is no record from before {} that is not archived", asked.before));
        let nothing = ArchivedBody { file: None, digest: None, records: 0, chains: Vec::new() };
        return if asked.json { json(&nothing) } else { Ok(()) };
    };
    message(&format!(
        "moved {} from before {} to {name}: keep it, and give it to stipend audit verify --archive",
        count(done.records, "record"),
        asked.before
    ));
    if asked.json {
        return json(&ArchivedBody {
            file: Some(name),
            digest: Some(done.digest),
            records: done.records,
            chains: done.range.heads().map(ChainEnd::from).collect(),
        });
    }
    Ok(())
}
