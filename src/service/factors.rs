//! The second factor of a user: turned on, off, and taken off who has lost it.

use std::time::Duration;

use serde_json::Map;

use super::people::holds_all_of;
use super::{Act, Refused};
use crate::auth::{Auth, Code, LogInError, RecoveryCodes, SharedSecret};
use crate::config::Secret;
use crate::domain::{Account, GoodPassword, Username};
use crate::policy::{Allowed, Manage, Principal, Recent};
use crate::store::audit::Action;
use crate::store::factors::{self, Standing};
use crate::store::{Tx, orgs, people, sessions};

/// How long somebody whose factor was taken off them may take to choose another password.
const TIME_FOR_A_PASSWORD: Duration = Duration::from_secs(7 * 86_400);

const IS_ON: Refused =
    Refused::Hindered("your second factor is on: turn it off first (DELETE /me/totp)");
const IS_OFF: Refused = Refused::Hindered("your second factor is not on");

/// What an authenticator app needs to know; told once.
pub struct NewFactor {
    /// The secret in base 32, to be typed.
    pub secret: Secret<String>,
    /// The same with all else, to be scanned.
    pub uri: Secret<String>,
}

/// How the caller stands with a second factor.
pub async fn standing(act: Act<'_>, caller: &Principal) -> Result<Standing, Refused> {
    let mut reader = act.db.reader().await?;
    let standing = factors::find_standing(reader.access(), caller.account()).await?;
    standing.ok_or(Refused::NotFound)
}

/// Makes a secret. It counts once a code has confirmed it; another one that was made before and not
/// confirmed is gone.
pub async fn start(
    act: Act<'_>,
    auth: &Auth,
    caller: &Recent<Principal>,
) -> Result<NewFactor, Refused> {
    let (account, entropy) = (caller.account(), act.ports.entropy.as_ref());
    let secret = SharedSecret::make(entropy)?;
    let sealed = secret.seal(&auth.sealer, account, entropy)?;
    let mut tx = act.db.begin().await?;
    still_signed_in(act, &mut tx, caller).await?;
    if !factors::start(tx.access(), account, &sealed).await? {
        return Err(IS_ON);
    }
    act.record_own(&mut tx, caller, Action::MakeSecondFactor, Map::new()).await?;
    tx.commit().await?;
    let uri = secret.uri(auth.issuer(), account);
    Ok(NewFactor { secret: Secret::new(secret.base32()), uri: Secret::new(uri) })
}

/// Turns the second factor on whose secret was made last, by a code of it; gives the recovery
/// codes. The session in which that happens has the second factor from now on; all others of the
/// user end, since they were opened without, and so do the tokens of scripts.
pub async fn confirm(
    act: Act<'_>,
    auth: &Auth,
    caller: &Recent<Principal>,
    code: &Code,
) -> Result<Vec<Secret<String>>, Refused> {
    let (account, now) = (caller.account(), act.now());
    let codes = RecoveryCodes::make(account, act.ports.entropy.as_ref())?;
    let mut tx = act.db.begin().await?;
    // Of a token that is being made meanwhile, either this sees it or its maker sees this.
    orgs::lock(tx.access(), &account.org).await?;
    still_signed_in(act, &mut tx, caller).await?;
    let factor = factors::find(tx.access(), account).await?.ok_or(Refused::NotFound)?;
    if factor.is_on() {
        return Err(IS_ON);
    }
    let sealed = factor.secret.ok_or(Refused::Hindered("make a secret first: POST /me/totp"))?;
    let secret = SharedSecret::open(&auth.sealer, account, &sealed);
    let secret = secret.ok_or(Refused::Hindered("make another secret: POST /me/totp"))?;
    let step = secret.step_of(code, now).ok_or_else(|| {
        let reason = "this is not the code that the app shows now: type the next one, and look \
                      whether the clock of its device is right";
        Refused::invalid("code", reason)
    })?;
    if !factors::confirm(tx.access(), account, &sealed, step, now).await? {
        return Err(Refused::Hindered("another secret was made meanwhile: confirm that one"));
    }
    factors::set_recovery_codes(tx.access(), account, &codes.hashes).await?;
    if let Some(session_id) = caller.session_id() {
        factors::strengthen_alone(tx.access(), account, session_id, now).await?;
    }
    act.record_own(&mut tx, caller, Action::TurnOnSecondFactor, Map::new()).await?;
    tx.commit().await?;
    Ok(codes.told)
}

/// Gives other recovery codes; the old ones are worth nothing from now on.
pub async fn renew_recovery_codes(
    act: Act<'_>,
    caller: &Recent<Principal>,
) -> Result<Vec<Secret<String>>, Refused> {
    let account = caller.account();
    let codes = RecoveryCodes::make(account, act.ports.entropy.as_ref())?;
    let mut tx = act.db.begin().await?;
    still_signed_in(act, &mut tx, caller).await?;
    if !factors::hold(tx.access(), account).await? {
        return Err(IS_OFF);
    }
    factors::set_recovery_codes(tx.access(), account, &codes.hashes).await?;
    act.record_own(&mut tx, caller, Action::MakeRecoveryCodes, Map::new()).await?;
    tx.commit().await?;
    Ok(codes.told)
}

/// Turns the second factor off, for who can still prove both. The sessions go on, as ones without:
/// where the org demands one, they hold neither `manage` nor `write` any more.
pub async fn turn_off(
    act: Act<'_>,
    auth: &Auth,
    caller: &Recent<Principal>,
    password: Secret<String>,
    code: Code,
) -> Result<(), Refused> {
    let (account, now) = (caller.account(), act.now());
    let is_good_alone = GoodPassword::check(&password, account, false).is_ok();
    let (hash, proof) = auth.prove_both(caller, password, code, act.origin).await?;
    if !proof.is_second_factor() {
        return Err(IS_OFF);
    }
    if !is_good_alone {
        return Err(Refused::Hindered(
            "without a second factor a password has 15 characters at least: change yours first \
             (PUT /me/password)",
        ));
    }
    let mut tx = act.db.begin().await?;
    // Of a token that is being made meanwhile, either this sees it or its maker sees this.
    orgs::lock(tx.access(), &account.org).await?;
    // Another password may have come since, which is too short to stand alone.
    let is_proved = proof.spend(&mut tx, account, &hash, now).await?;
    still_signed_in(act, &mut tx, caller).await?;
    if !is_proved || !factors::turn_off(tx.access(), account).await? {
        return Err(Refused::NotProved(LogInError::WrongCredentials));
    }
    act.record_own(&mut tx, caller, Action::TurnOffSecondFactor, Map::new()).await?;
    Ok(tx.commit().await?)
}

/// Takes the second factor off somebody who has lost it, and ends their sessions. Whoever does so
/// comes nearer to signing in as them, and so must hold all that they hold. Their password alone
/// lets them in from now on; it may be one that is too short for that, so they choose another one
/// before anything else. Nobody does so to themselves: [`turn_off`] asks for the password and a code.
pub async fn reset(
    act: Act<'_>,
    allowed: &Recent<Allowed<Manage>>,
    username: &Username,
) -> Result<(), Refused> {
    let account = Account::in_org(&allowed.account().org, username);
    if allowed.principal().is_signed_in_as(&account) {
        return Err(Refused::Hindered(
            "this is your own: DELETE /me/totp, which asks for your password and a code",
        ));
    }
    let now = act.now();
    let mut tx = act.db.begin().await?;
    orgs::lock(tx.access(), &account.org).await?;
    let allowed = act.renew(&mut tx, allowed).await?;
    let person = people::find_reached(tx.access(), &allowed, username).await?;
    let person = person.filter(|person| person.is_user).ok_or(Refused::NotFound)?;
    holds_all_of(act, &mut tx, &allowed, &person).await?;
    if !factors::turn_off(tx.access(), &account).await? {
        return Err(Refused::Hindered("there is no second factor to be taken off them"));
    }
    factors::ask_for_password(tx.access(), &account, now.plus(TIME_FOR_A_PASSWORD)).await?;
    sessions::end_all(tx.access(), &account, now).await?;
    act.record(&mut tx, &allowed, Action::ResetSecondFactor, username, Map::new()).await?;
    Ok(tx.commit().await?)
}

/// The caller's session may have ended since they were identified. And whoever signed in with a
/// password that was made for them, which somebody else may know, chooses their own first.
async fn still_signed_in(act: Act<'_>, tx: &mut Tx, caller: &Principal) -> Result<(), Refused> {
    let session_id = caller.session_id().ok_or(Refused::SessionEnded)?;
    let live = sessions::find_live(tx.access(), caller.account(), session_id, act.now()).await?;
    let live = live.ok_or(Refused::SessionEnded)?;
    if live.limits.password_must_change {
        return Err(Refused::Hindered(
            "change your password first: PUT /me/password; this one was made for you",
        ));
    }
    Ok(())
}
