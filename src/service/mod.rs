//! What is done on somebody's behalf: each act one transaction, with its record.
//!
//! Both doors, HTTP and the command line, call these functions. Each takes the proof that the
//! caller may do it, and asks for their session and grants again inside of its transaction, since
//! it may have waited for its turn.

pub mod archive_file;
pub mod asked;
pub mod audit;
pub mod explain;
pub mod export;
pub mod factors;
pub mod grants;
pub mod import;
pub mod integrity;
pub mod keys;
pub mod orgs;
pub mod passwords;
pub mod payroll;
pub mod people;
pub mod schema;
pub mod sessions;
pub mod shown;

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::auth::{Gate, GateError, LogInError, Ports, SigningError};
use crate::clock::Timestamp;
use crate::config::Secret;
use crate::domain::Username;
use crate::entropy::EntropyError;
use crate::policy::{Allowed, Denied, MoreThanHeld, Principal, Right};
use crate::store::audit::{Action, Origin, Record};
use crate::store::{self, Db, StoreError, Tx};

/// What every act needs beside its proof.
#[derive(Clone, Copy)]
pub struct Act<'a> {
    /// The database.
    pub db: &'a Db,
    /// Time, and identifiers.
    pub ports: &'a Ports,
    /// Where passwords are hashed.
    pub gate: &'a Gate,
    /// From where it comes.
    pub origin: &'a Origin,
}

/// How much of a field's name a fault tells, in characters.
const LONGEST_FIELD: usize = 40;

/// Something in what was asked for is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line of a file, counted from 1; none where there is no file.
    pub line: Option<u64>,
    /// The member, parameter or column.
    pub field: String,
    /// What would be right.
    pub reason: String,
}

impl Fault {
    /// A fault of a member or parameter.
    pub fn new(field: &str, reason: impl ToString) -> Self {
        // A name that somebody made up may be anything: the beginning says it.
        let field = field.chars().take(LONGEST_FIELD).collect();
        Self { line: None, field, reason: reason.to_string() }
    }
}

/// Nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The session has ended since the caller was identified.
    #[error("the session has ended")]
    SessionEnded,
    /// The permission is missing.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Somebody would give more than they hold.
    #[error(transparent)]
    MoreThanHeld(#[from] MoreThanHeld),
    /// There is no such thing, or the caller's grants do not reach it.
    #[error("there is no such person, grant or org")]
    NotFound,
    /// There is such a thing already.
    #[error("{0} exists already")]
    Exists(String),
    /// What was given as the caller's password is not it.
    #[error("the old password is wrong")]
    WrongPassword,
    /// The user has as many machine tokens as one may have.
    #[error(
        "there are {} live machine tokens, which is the most: end one first",
        sessions::MOST_TOKENS
    )]
    TooManyTokens,
    /// Nobody would be left to manage the org.
    #[error(
        "nobody would manage the org any more: first give somebody else `manage` over `org` \
         without end"
    )]
    LastManager,
    /// Something stands against it; the sentence says what to do first.
    #[error("{0}")]
    Hindered(&'static str),
    /// Whoever is signed in did not prove again who they are.
    #[error(transparent)]
    NotProved(#[from] LogInError),
    /// It has changed since it was read; this is its version now.
    #[error("it has changed meanwhile: read it again")]
    Stale(i64),
    /// Something in what was asked for is wrong.
    #[error("{}", sentence(.0))]
    Invalid(Vec<Fault>),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A password could not be hashed.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// There is no randomness for an identifier.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// A token could not be signed.
    #[error(transparent)]
    Signing(#[from] SigningError),
}

impl Refused {
    /// One thing is wrong in what was asked for.
    pub fn invalid(field: &str, reason: impl ToString) -> Self {
        Self::Invalid(vec![Fault::new(field, reason)])
    }
}

fn sentence(faults: &[Fault]) -> String {
    let one = |fault: &Fault| match fault.line {
        Some(line) => format!("line {line}, {}: {}", fault.field, fault.reason),
        None => format!("{}: {}", fault.field, fault.reason),
    };
    faults.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// What must be so for a change to be made (RFC 9110 section 13.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing but that it exists.
    Exists,
    /// Its version is one of these.
    Version(Vec<i64>),
}

impl Precondition {
    fn check(&self, version: i64) -> Result<(), Refused> {
        match self {
            Self::Exists => Ok(()),
            Self::Version(versions) if versions.contains(&version) => Ok(()),
            Self::Version(_) => Err(Refused::Stale(version)),
        }
    }
}

impl Act<'_> {
    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    async fn hash(&self, password: Secret<String>) -> Result<String, GateError> {
        self.gate.hash(password, self.ports.entropy.as_ref()).await
    }

    /// The proof as it is now, inside of a transaction.
    async fn renew<P: Right>(
        &self,
        tx: &mut Tx,
        allowed: &Allowed<P>,
    ) -> Result<Allowed<P>, Refused> {
        let standing =
            store::sessions::find_standing(tx.access(), allowed.principal(), self.now()).await?;
        Ok(allowed.renew(standing.ok_or(Refused::SessionEnded)?, self.now().day())?)
    }

    /// Puts on record what the caller did to somebody.
    async fn record<P: Right>(
        &self,
        tx: &mut Tx,
        allowed: &Allowed<P>,
        action: Action,
        subject: &Username,
        detail: Map<String, Value>,
    ) -> Result<(), StoreError> {
        let record = Record {
            subjects: vec![subject.as_str()],
            detail: Cow::Owned(detail),
            ..Record::by(allowed, action, self.now(), self.origin)
        };
        store::audit::append(tx.access(), &record).await
    }

    /// Puts on record what the caller did to what is their own.
    async fn record_own(
        &self,
        tx: &mut Tx,
        caller: &Principal,
        action: Action,
        detail: Map<String, Value>,
    ) -> Result<(), StoreError> {
        let (account, session_id) = (caller.account(), caller.session_id());
        let record = Record::of(account, session_id, action, self.now(), self.origin);
        let record = Record { detail: Cow::Owned(detail), ..record };
        store::audit::append(tx.access(), &record).await
    }
}

/// The members of a JSON object, as a record holds them.
fn members(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
