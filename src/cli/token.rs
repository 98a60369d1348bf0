//! `stipend token`.

use super::Failure;
use super::operator::{Operator, missing};
use super::output::{json, line, message};
use super::session::{self, must_sign_in};
use crate::auth::Signer;
use crate::clock::Timestamp;
use crate::domain::{Account, Permission, TokenName, TypedName};
use crate::policy::Manage;
use crate::service::sessions::{self, MOST_TOKENS, NewToken};
use crate::service::shown::MintedBody;
use crate::service::{Refused, asked};
use crate::store::sessions::SessionQuery;

/// Make, list and end machine tokens: sessions of a user's scripts
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make a machine token for a user, within what their grants give; writes the token, once
    Add(Add),
    /// List a user's live machine tokens, the newest first
    List {
        /// NAME in the default org, or ORG/NAME
        #[arg(value_parser = TypedName::parse)]
        user: TypedName,
        /// Write one JSON array
        #[arg(long)]
        json: bool,
    },
    /// End a machine token, from the next request on
    End {
        /// NAME in the default org, or ORG/NAME
        #[arg(value_parser = TypedName::parse)]
        user: TypedName,
        /// Its id, which `stipend token list` shows, or its name
        #[arg(value_name = "ID|NAME")]
        token: String,
    },
}

#[derive(clap::Args)]
pub(super) struct Add {
    /// What the token is called: no other live token of the user has that name
    #[arg(value_parser = TokenName::parse)]
    name: TokenName,
    /// Whose: NAME in the default org, or ORG/NAME
    #[arg(long, value_name = "NAME", value_parser = TypedName::parse)]
    user: TypedName,
    /// What it may do, with commas between: read, write, audit; never manage
    #[arg(long, required = true, value_delimiter = ',',
          value_parser = asked::parse_token_permission)]
    perms: Vec<Permission>,
    /// The last day on which it is valid, or the time from which it is not; at most 366 days ahead
    #[arg(long, value_name = "DAY|TIME", value_parser = asked::parse_end)]
    until: Timestamp,
    /// Write the token and what it is as one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Command, operator: &Operator<'_>) -> Result<(), Failure> {
    match command {
        Command::Add(wanted) => add(wanted, operator).await,
        Command::List { user, json } => {
            session::list(&user.account(&operator.default_org), true, json, operator).await
        }
        Command::End { user, token } => {
            end(&user.account(&operator.default_org), &token, operator).await
        }
    }
}

async fn add(wanted: Add, operator: &Operator<'_>) -> Result<(), Failure> {
    let account = wanted.user.account(&operator.default_org);
    let allowed = operator.allow_recent::<Manage>(&account.org).await?;
    let Add { name, mut perms, until, .. } = wanted;
    perms.sort_unstable();
    perms.dedup();
    let new = NewToken { name, until, perms };
    let keys = operator.keys().await?;
    let signer = Signer::new(&keys, operator.tokens);
    let minted = sessions::mint_for(operator.act, signer, &allowed, &account.username, &new)
        .await
        .map_err(missing("user", &account))?;
    message(&format!(
        "made the machine token {} of {account}, until {}; it is told this once",
        new.name, minted.session.expires_at
    ));
    if wanted.json {
        return json(&MintedBody::from(&minted));
    }
    line(minted.token.expose())
}

async fn end(account: &Account, token: &str, operator: &Operator<'_>) -> Result<(), Failure> {
    let allowed = operator.allow_recent::<Manage>(&account.org).await?;
    must_sign_in(account, &allowed, operator).await?;
    let asked = SessionQuery { machine_only: true, after: None, limit: MOST_TOKENS };
    let live = sessions::list_of(operator.act, &allowed, &account.username, asked).await?;
    let by_id = live.iter().find(|session| session.session_id == token);
    let by_name = live.iter().find(|session| session.token_name.as_deref() == Some(token));
    let missing = || {
        let sentence = format!("{account} has no such token: stipend token list {account}");
        Failure::Other(sentence)
    };
    let session = by_id.or(by_name).ok_or_else(missing)?;
    match sessions::end(operator.act, &allowed, &account.username, &session.session_id).await {
        Ok(()) => message(&format!("the machine token {token} of {account} has ended")),
        Err(Refused::NotFound) => return Err(missing()),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
