//! Sessions and machine tokens: listing them, ending them, and making a token for a script.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Act, Refused, members};
use crate::auth::Signer;
use crate::clock::Timestamp;
use crate::config::Secret;
use crate::domain::{Account, Permission, TokenName, Username};
use crate::entropy::random_id;
use crate::policy::{Allowed, Denied, InPerson, Lack, Manage, Principal, Recent};
use crate::store::audit::Action;
use crate::store::sessions::{self, NewSession, Opener, Session, SessionQuery};
use crate::store::{StoreError, Tx, orgs, people};

/// How many live machine tokens a user has at most: enough for every script, and few enough to look
/// through.
pub const MOST_TOKENS: u16 = 50;
/// How many days ahead a machine token ends at most.
const LONGEST_DAYS: u64 = 366;

/// A machine token that is asked for.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Its name, which no other live token of the user has.
    pub name: TokenName,
    /// Until when it lives.
    pub until: Timestamp,
    /// What it may do, of what its user may: never `manage`.
    pub perms: Vec<Permission>,
}

/// A machine token that was made.
#[derive(Debug)]
pub struct Minted {
    /// Its session.
    pub session: Session,
    /// The token, which is told this once and kept nowhere.
    pub token: Secret<String>,
}

/// The caller's own live sessions and machine tokens, the newest first.
pub async fn list_own(
    act: Act<'_>,
    caller: &InPerson,
    asked: SessionQuery<'_>,
) -> Result<Vec<Session>, Refused> {
    list(act, caller.account(), asked).await
}

/// The live sessions and machine tokens of somebody whom the caller manages, the newest first.
pub async fn list_of(
    act: Act<'_>,
    allowed: &Allowed<Manage>,
    username: &Username,
    asked: SessionQuery<'_>,
) -> Result<Vec<Session>, Refused> {
    let mut reader = act.db.reader().await?;
    people::find_reached(reader.access(), allowed, username).await?.ok_or(Refused::NotFound)?;
    drop(reader);
    list(act, &Account::in_org(&allowed.account().org, username), asked).await
}

async fn list(
    act: Act<'_>,
    account: &Account,
    asked: SessionQuery<'_>,
) -> Result<Vec<Session>, Refused> {
    let mut reader = act.db.reader().await?;
    if let Some(after) = asked.after
        && sessions::find(reader.access(), account, after).await?.is_none()
    {
        return Err(Refused::invalid("after", "there is no such session: begin again without it"));
    }
    Ok(sessions::list_live(reader.access(), account, asked, act.now()).await?)
}

/// Ends one of the caller's own sessions, perhaps this one; one that is over stays as it is.
pub async fn end_own(act: Act<'_>, caller: &InPerson, session_id: &str) -> Result<(), Refused> {
    let mut tx = act.db.begin().await?;
    let caller = act.renew_caller(&mut tx, caller).await?;
    if let Some(detail) = end_one(act, &mut tx, caller.account(), session_id).await? {
        act.record_own(&mut tx, &caller, Action::EndSession, detail).await?;
    }
    Ok(tx.commit().await?)
}

/// Ends all of the caller's own sessions, this one and every machine token included.
pub async fn end_all_own(act: Act<'_>, caller: &InPerson) -> Result<(), Refused> {
    let mut tx = act.db.begin().await?;
    // Of a token that is being made meanwhile, either this sees it or its maker sees this.
    orgs::lock(tx.access(), &caller.account().org).await?;
    let caller = act.renew_caller(&mut tx, caller).await?;
    let ended = sessions::end_all(tx.access(), caller.account(), act.now()).await?;
    act.record_own(&mut tx, &caller, Action::EndSessions, how_many(ended)).await?;
    Ok(tx.commit().await?)
}

/// Ends a session of somebody whom the caller manages; one that is over stays as it is.
pub async fn end(
    act: Act<'_>,
    allowed: &Recent<Allowed<Manage>>,
    username: &Username,
    session_id: &str,
) -> Result<(), Refused> {
    let account = Account::in_org(&allowed.account().org, username);
    let mut tx = act.db.begin().await?;
    let allowed = act.renew(&mut tx, allowed).await?;
    people::find_reached(tx.access(), &allowed, username).await?.ok_or(Refused::NotFound)?;
    if let Some(detail) = end_one(act, &mut tx, &account, session_id).await? {
        act.record(&mut tx, &allowed, Action::EndSession, username, detail).await?;
    }
    Ok(tx.commit().await?)
}

/// Ends all sessions and machine tokens of somebody whom the caller manages; gives how many.
pub async fn end_all(
    act: Act<'_>,
    allowed: &Recent<Allowed<Manage>>,
    username: &Username,
) -> Result<u64, Refused> {
    let account = Account::in_org(&allowed.account().org, username);
    let mut tx = act.db.begin().await?;
    orgs::lock(tx.access(), &account.org).await?;
    let allowed = act.renew(&mut tx, allowed).await?;
    people::find_reached(tx.access(), &allowed, username).await?.ok_or(Refused::NotFound)?;
    let ended = sessions::end_all(tx.access(), &account, act.now()).await?;
    act.record(&mut tx, &allowed, Action::EndSessions, username, how_many(ended)).await?;
    tx.commit().await?;
    Ok(ended)
}

/// Ends a session of that account's; gives what the record says of it, or nothing if it was over.
async fn end_one(
    act: Act<'_>,
    tx: &mut Tx,
    account: &Account,
    session_id: &str,
) -> Result<Option<Map<String, Value>>, Refused> {
    let session = sessions::find(tx.access(), account, session_id).await?;
    let session = session.ok_or(Refused::NotFound)?;
    let is_over = session.expires_at <= act.now();
    if is_over || !sessions::end(tx.access(), account, session_id, act.now()).await? {
        return Ok(None);
    }
    Ok(Some(members(json!({ "session": session.session_id, "name": session.token_name }))))
}

fn how_many(ended: u64) -> Map<String, Value> {
    members(json!({ "ended": ended }))
}

/// Makes a machine token for the caller: some of the permissions that their own session gives them
/// now, and never `manage`. It signed in as they did, by a second factor or not.
pub async fn mint(
    act: Act<'_>,
    signer: Signer<'_>,
    caller: &Recent<Principal>,
    new: &NewToken,
) -> Result<Minted, Refused> {
    let mut tx = act.db.begin().await?;
    orgs::lock(tx.access(), &caller.account().org).await?;
    let caller = act.renew_caller(&mut tx, caller).await?;
    for permission in &new.perms {
        caller.has(*permission)?;
    }
    let own = match caller.session_id() {
        Some(id) => sessions::find(tx.access(), caller.account(), id).await?,
        None => None,
    };
    let own = own.ok_or(Refused::SessionEnded)?;
    let account = caller.account();
    let minted = open(act, &mut tx, signer, account, new, own.second_factor).await?;
    act.record_own(&mut tx, &caller, Action::AddToken, detail(&minted)).await?;
    tx.commit().await?;
    Ok(minted)
}

/// Makes a machine token for a user on the operator's command line, within what the user's grants
/// give. Nobody else makes one for somebody else: it acts as them.
pub async fn mint_for(
    act: Act<'_>,
    signer: Signer<'_>,
    operator: &Recent<Allowed<Manage>>,
    username: &Username,
    new: &NewToken,
) -> Result<Minted, Refused> {
    if operator.principal().session_id().is_some() {
        return Err(Denied { needed: Permission::Manage, lack: Lack::Grant }.into());
    }
    let account = Account::in_org(&operator.account().org, username);
    let mut tx = act.db.begin().await?;
    orgs::lock(tx.access(), &account.org).await?;
    let person = people::find(tx.access(), &account).await?;
    let person = person.filter(|person| person.is_user).ok_or(Refused::NotFound)?;
    if person.disabled_at.is_some() {
        return Err(Refused::invalid("user", format!("{username} is disabled")));
    }
    let minted = open(act, &mut tx, signer, &account, new, false).await;
    let minted = minted.map_err(|refused| match refused {
        Refused::Denied(denied) => Refused::invalid("perms", lacking(username, denied)),
        other => other,
    })?;
    act.record(&mut tx, operator, Action::AddToken, username, detail(&minted)).await?;
    tx.commit().await?;
    Ok(minted)
}

/// Why a token for somebody else would not permit what it names.
fn lacking(username: &Username, Denied { needed, lack }: Denied) -> String {
    match lack {
        Lack::Grant => format!("{username} holds no `{needed}` today"),
        Lack::OwnPassword => {
            format!("{username} has no password of their own yet, and choosing one ends all tokens")
        }
        Lack::SecondFactor => {
            format!("the org demands a second factor for `{needed}`: {username} makes this token")
        }
        Lack::Person | Lack::WholeOrg => Denied { needed, lack }.to_string(),
    }
}

/// Opens the session of a machine token, and signs it.
async fn open(
    act: Act<'_>,
    tx: &mut Tx,
    signer: Signer<'_>,
    account: &Account,
    new: &NewToken,
    second_factor: bool,
) -> Result<Minted, Refused> {
    // A token counts in whole seconds, and its session must not be shorter than it.
    let (now, until) = (act.now(), new.until.whole_second());
    let opened = now.whole_second();
    if until <= now {
        return Err(Refused::invalid("until", "this has passed"));
    }
    let last_day = now.plus(Duration::from_secs(LONGEST_DAYS * 24 * 60 * 60)).day();
    if until > last_day.end() {
        let reason = format!("a token ends at most {LONGEST_DAYS} days ahead, on {last_day}");
        return Err(Refused::invalid("until", reason));
    }
    let asked = SessionQuery { machine_only: true, after: None, limit: MOST_TOKENS };
    let live = sessions::list_live(tx.access(), account, asked, now).await?;
    if live.iter().any(|token| token.token_name.as_deref() == Some(new.name.as_str())) {
        return Err(Refused::Exists(format!("the machine token {}", new.name)));
    }
    if live.len() >= usize::from(MOST_TOKENS) {
        return Err(Refused::TooManyTokens);
    }

    let session_id = random_id(act.ports.entropy.as_ref())?;
    let key = signer.key(tx.access(), now).await?;
    let mut perms: Vec<String> = new.perms.iter().map(ToString::to_string).collect();
    perms.sort_unstable();
    let session = NewSession {
        session_id: &session_id,
        account,
        opener: Opener::Machine(new.name.as_str()),
        perms: &perms,
        client: &act.origin.client,
        kid: key.kid(),
        second_factor,
        now: opened,
        lifetime: until.since(opened),
    };
    sessions::open(tx.access(), &session).await?;
    // What the token's first request would be told: one that permits less than it names is not made.
    let found = sessions::find_live(tx.access(), account, &session_id, now).await?;
    let standing = found.ok_or(Refused::NotFound)?;
    let bearer = Principal::new(account.clone(), session_id.clone(), perms.clone(), standing);
    for permission in &new.perms {
        bearer.has(*permission)?;
    }
    let token = key.sign(account, &session_id, perms.clone(), opened, session.lifetime)?;
    let session = sessions::find(tx.access(), account, &session_id).await?;
    Ok(Minted { session: session.ok_or(StoreError::Impossible("sessions"))?, token })
}

fn detail(minted: &Minted) -> Map<String, Value> {
    let session = &minted.session;
    members(json!({
        "session": session.session_id,
        "name": session.token_name,
        "perms": session.perms,
        "until": session.expires_at.to_string(),
    }))
}

impl Act<'_> {
    /// The caller as they are now, inside of a transaction.
    async fn renew_caller(&self, tx: &mut Tx, caller: &Principal) -> Result<Principal, Refused> {
        let id = caller.session_id().ok_or(Refused::SessionEnded)?;
        let live = sessions::find_live(tx.access(), caller.account(), id, self.now()).await?;
        Ok(caller.renew(live.ok_or(Refused::SessionEnded)?))
    }
}
