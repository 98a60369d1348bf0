//! `stipend session`.

use clap::ArgGroup;

use super::Failure;
use super::operator::{Operator, nobody};
use super::output::{NOTHING, Pages, count, message};
use crate::domain::{Account, TypedName};
use crate::policy::{Allowed, Manage};
use crate::service::shown::SessionBody;
use crate::service::{Refused, people, sessions};
use crate::store::sessions::{Session, SessionQuery};

/// List and end sessions: who is signed in, and from where
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// List a user's live sessions and machine tokens, the newest first
    List {
        /// NAME in the default org, or ORG/NAME
        #[arg(value_parser = TypedName::parse)]
        name: TypedName,
        /// Write one JSON array
        #[arg(long)]
        json: bool,
    },
    /// End a session or a machine token, or all of a user's, from the next request on
    End(End),
}

#[derive(clap::Args)]
#[command(group(ArgGroup::new("which").required(true).args(["session_id", "all"])))]
pub(super) struct End {
    /// NAME in the default org, or ORG/NAME
    #[arg(value_parser = TypedName::parse)]
    name: TypedName,
    /// The session's id, which `stipend session list` shows
    session_id: Option<String>,
    /// All of them, machine tokens too
    #[arg(long)]
    all: bool,
}

/// How many sessions are read at a time.
const PAGE: u16 = 1000;

pub(super) async fn run(command: Command, operator: &Operator<'_>) -> Result<(), Failure> {
    match command {
        Command::List { name, json } => {
            let account = name.account(&operator.default_org);
            list(&account, false, json, operator).await
        }
        Command::End(End { name, session_id, .. }) => {
            let account = name.account(&operator.default_org);
            match session_id {
                Some(id) => end(&account, &id, operator).await,
                None => end_all(&account, operator).await,
            }
        }
    }
}

async fn end(account: &Account, session_id: &str, operator: &Operator<'_>) -> Result<(), Failure> {
    let allowed = operator.allow_recent::<Manage>(&account.org).await?;
    must_sign_in(account, &allowed, operator).await?;
    match sessions::end(operator.act, &allowed, &account.username, session_id).await {
        Ok(()) => message(&format!("the session of {account} has ended")),
        Err(Refused::NotFound) => {
            let sentence = format!("{account} has no such session: stipend session list {account}");
            return Err(Failure::Other(sentence));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

async fn end_all(account: &Account, operator: &Operator<'_>) -> Result<(), Failure> {
    let allowed = operator.allow_recent::<Manage>(&account.org).await?;
    must_sign_in(account, &allowed, operator).await?;
    let ended = sessions::end_all(operator.act, &allowed, &account.username).await?;
    message(&format!("ended {} of {account}", count(ended, "session")));
    Ok(())
}

/// Fails unless there is such a user, since a name that is mistyped would look like one without
/// sessions.
pub(super) async fn must_sign_in(
    account: &Account,
    allowed: &Allowed<Manage>,
    operator: &Operator<'_>,
) -> Result<(), Failure> {
    match people::get(operator.act, allowed, &account.username).await {
        Ok(person) if person.is_user => Ok(()),
        Ok(_) | Err(Refused::NotFound) => Err(nobody("user", account)),
        Err(error) => Err(error.into()),
    }
}

/// Writes a user's live sessions, or their machine tokens alone.
pub(super) async fn list(
    account: &Account,
    machine_only: bool,
    as_json: bool,
    operator: &Operator<'_>,
) -> Result<(), Failure> {
    let allowed = operator.allow::<Manage>(&account.org).await?;
    must_sign_in(account, &allowed, operator).await?;
    let mut writer = Pages::new(COLUMNS, as_json)?;
    let mut after: Option<String> = None;
    loop {
        let asked = SessionQuery { machine_only, after: after.as_deref(), limit: PAGE };
        let page = sessions::list_of(operator.act, &allowed, &account.username, asked).await?;
        if !writer.write(&page, row, |session| SessionBody::new(session, None))? {
            return Ok(());
        }
        if page.len() < usize::from(PAGE) {
            return writer.end();
        }
        after = page.into_iter().next_back().map(|session| session.session_id);
    }
}

const COLUMNS: [&str; 8] =
    ["SESSION", "KIND", "NAME", "PERMS", "CREATED", "UNTIL", "LAST USED", "CLIENT"];

fn row(session: &Session) -> [String; 8] {
    let or_nothing = |text: Option<String>| text.unwrap_or_else(|| NOTHING.into());
    [
        session.session_id.clone(),
        if session.is_machine { "machine" } else { "login" }.into(),
        or_nothing(session.token_name.clone()),
        or_nothing((!session.perms.is_empty()).then(|| session.perms.join(","))),
        session.created_at.to_string(),
        session.expires_at.to_string(),
        or_nothing(session.last_used_at.map(|at| at.to_string())),
        session.client.clone(),
    ]
}
