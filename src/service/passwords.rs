//! Passwords: a user's own, and those that are made for them.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::{Map, json};

use super::people::holds_all_of;
use super::{Act, Refused, members};
use crate::auth::{Auth, LogInError};
use crate::clock::Timestamp;
use crate::config::Secret;
use crate::domain::{Account, BadPassword, GoodPassword, Username};
use crate::entropy::random_id;
use crate::policy::{Allowed, Manage, Principal, Recent};
use crate::store::audit::{self, Action, Record};
use crate::store::users::{HasSecondFactor, StoredPassword};
use crate::store::{orgs, people, sessions, users};

/// How long a password that was made for somebody can be signed in with: over a weekend, and not
/// for as long as it lies in a mailbox (ASVS 5.0 section 6.4.1).
pub const ONE_TIME: Duration = Duration::from_hours(72);

/// Where a new password comes from.
#[derive(Debug)]
pub enum NewPassword {
    /// Made here, told once, and to be changed before anything else.
    OneTime,
    /// This one, for good.
    Given(GoodPassword),
}

/// A password that was made here.
#[derive(Debug)]
pub struct OneTime {
    /// The password. Nothing else tells it ever again.
    pub password: Secret<String>,
    /// Until when it can be signed in with.
    pub expires_at: Timestamp,
}

/// Finds a password good for a user, who need not be there yet. A fault is named after `field`.
pub async fn check(
    act: Act<'_>,
    owner: &Account,
    password: &Secret<String>,
    field: &str,
) -> Result<GoodPassword, Refused> {
    let mut reader = act.db.reader().await?;
    let has_second_factor = users::has_second_factor(reader.access(), owner).await?;
    GoodPassword::check(password, owner, has_second_factor)
        .map_err(|bad| Refused::invalid(field, bad))
}

/// What is to be stored of a new password, and the password, if it was made here.
pub(super) async fn store(
    act: Act<'_>,
    password: NewPassword,
) -> Result<(StoredPassword, Option<OneTime>), Refused> {
    let (password, made) = match password {
        NewPassword::Given(password) => (password.into_secret(), None),
        NewPassword::OneTime => {
            let password = Secret::new(random_id(act.ports.entropy.as_ref())?);
            let expires_at = act.now().plus(ONE_TIME);
            (password.clone(), Some(OneTime { password, expires_at }))
        }
    };
    let hash = act.hash(password).await?;
    let expires_at = made.as_ref().map(|made| made.expires_at);
    Ok((StoredPassword { hash, expires_at }, made))
}

/// Gives a user another password and ends their sessions. Whoever does so could then sign in as
/// them, and so must hold all that they hold. Nobody does so to themselves: [`change_own`] asks for
/// the old password, which whoever finds a page open does not know.
pub async fn set(
    act: Act<'_>,
    allowed: &Recent<Allowed<Manage>>,
    username: &Username,
    password: NewPassword,
) -> Result<Option<OneTime>, Refused> {
    let account = Account::in_org(&allowed.account().org, username);
    if allowed.principal().is_signed_in_as(&account) {
        return Err(Refused::Hindered(
            "this is your own: PUT /me/password, which asks for the old one",
        ));
    }
    let (stored, told) = store(act, password).await?;
    let now = act.now();
    let mut tx = act.db.begin().await?;
    orgs::lock(tx.access(), &account.org).await?;
    let allowed = act.renew(&mut tx, allowed).await?;
    let person = people::find_reached(tx.access(), &allowed, username).await?;
    let person = person.filter(|person| person.is_user).ok_or(Refused::NotFound)?;
    holds_all_of(act, &mut tx, &allowed, &person).await?;
    users::set_password(tx.access(), &account, &stored).await?;
    sessions::end_all(tx.access(), &account, now).await?;
    act.record(&mut tx, &allowed, Action::SetPassword, username, Map::new()).await?;
    tx.commit().await?;
    Ok(told)
}

/// Changes the caller's own password, who knows the old one, and ends all their other sessions and
/// all that scripts of theirs have: whoever had the old password may have opened those. The session
/// that asks goes on.
pub async fn change_own(
    act: Act<'_>,
    auth: &Auth,
    caller: &Recent<Principal>,
    old: Secret<String>,
    new: &Secret<String>,
) -> Result<(), Refused> {
    let account = caller.account();
    let session_id = caller.session_id().ok_or(Refused::SessionEnded)?;
    let alone = GoodPassword::check(new, account, false);
    let new = check(act, account, new, "new").await?;
    if new.is(&old) {
        return Err(Refused::invalid("new", BadPassword::Unchanged));
    }
    let verified = auth.prove_password(caller, old, act.origin).await;
    let verified = verified.map_err(|error| match error {
        LogInError::WrongCredentials => Refused::WrongPassword,
        other => other.into(),
    })?;
    let hash = act.hash(new.into_secret()).await?;

    let now = act.now();
    let mut tx = act.db.begin().await?;
    orgs::lock(tx.access(), &account.org).await?;
    // Hashing takes a while: the session may have ended since, or the password changed.
    let live = sessions::find_live(tx.access(), account, session_id, now).await?;
    live.ok_or(Refused::SessionEnded)?;
    let held = users::hold(tx.access(), account, &verified).await?;
    let HasSecondFactor(has_second_factor) = held.ok_or(Refused::WrongPassword)?;
    // It may be off since, and the password was good beside it.
    if !has_second_factor {
        alone.map_err(|bad| Refused::invalid("new", bad))?;
    }
    let stored = StoredPassword { hash, expires_at: None };
    users::set_password(tx.access(), account, &stored).await?;
    let ended = sessions::end_others(tx.access(), account, session_id, now).await?;
    let record = Record {
        detail: Cow::Owned(members(json!({ "sessions_ended": ended }))),
        ..Record::of(account, Some(session_id), Action::ChangePassword, now, act.origin)
    };
    audit::append(tx.access(), &record).await?;
    tx.commit().await?;
    Ok(())
}
