//! The ring of keys, which the operator alone changes, for all orgs at once.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Act, Refused, members};
use crate::auth::keys::{self, AddError, Adding, verifies_until};
use crate::auth::sealing::record_everywhere;
use crate::auth::{Root, Sealer};
use crate::clock::Timestamp;
use crate::config::Secret;
use crate::domain::{KeyAlgorithm, OrgName, Purpose};
use crate::store::audit::Action;
use crate::store::keys::{self as key_rows, KeyRecord, SessionsOfOrg, signer};
use crate::store::{StoreError, Tx};

/// How long others may keep the published keys (RFC 9111 section 5.2.2.1).
pub const PUBLISHED_FOR: Duration = Duration::from_secs(10);
/// How long after it was added a key signs at the earliest: by then every node has read it, several
/// times over.
const LEAD: Duration = Duration::from_secs(3);

/// What a key does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It signs, and verifies.
    Signing,
    /// It verifies, and signs from then on.
    Next(Timestamp),
    /// It verifies.
    Verifying,
    /// It verifies until its last token has ended.
    Retiring,
    /// It does nothing any more.
    Gone,
}

impl Status {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signing => "signing",
            Self::Next(_) => "next",
            Self::Verifying => "verifying",
            Self::Retiring => "retiring",
            Self::Gone => "gone",
        }
    }
}

/// A key, with what it does now.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The key.
    pub key: KeyRecord,
    /// What it does.
    pub status: Status,
    /// How many live sessions have tokens of it.
    pub sessions: i64,
    /// Whether it is the configured key, under which the others are sealed.
    pub is_root: bool,
}

/// Every key that there has been, the oldest first.
pub async fn list(act: Act<'_>) -> Result<Vec<Shown>, Refused> {
    let now = act.now();
    let mut reader = act.db.reader().await?;
    let root = key_rows::find_sealing(reader.access()).await?.map(|sealing| sealing.root);
    let records = key_rows::list(reader.access()).await?;
    let mut shown = Vec::new();
    for key in &records {
        let by_org = key_rows::count_sessions(reader.access(), &key.kid, now).await?;
        shown.push(Shown {
            key: key.clone(),
            status: status(key, &records, now),
            sessions: by_org.iter().map(|org| org.sessions).sum(),
            is_root: root.as_ref() == Some(&key.kid),
        });
    }
    Ok(shown)
}

fn status(key: &KeyRecord, all: &[KeyRecord], now: Timestamp) -> Status {
    let gone = key.revoked_at.is_some()
        || !key.is_active(now) && verifies_until(key).is_some_and(|until| until <= now);
    if gone {
        Status::Gone
    } else if signer(all, key.purpose, now).is_some_and(|signing| signing.kid == key.kid) {
        Status::Signing
    } else if key.retired_at.is_some() {
        Status::Retiring
    } else {
        match key.signs_from {
            Some(from) if from > now => Status::Next(from),
            _ => Status::Verifying,
        }
    }
}

/// Adds a key, which verifies from now on and signs once it is promoted: this one, or a new one.
/// Gives its id.
pub async fn add(
    act: Act<'_>,
    sealer: &Sealer,
    purpose: Purpose,
    algorithm: KeyAlgorithm,
    secret: Option<Secret<Vec<u8>>>,
) -> Result<String, Refused> {
    let mut tx = begin(act).await?;
    let kid = add_in(act, &mut tx, sealer, (purpose, algorithm), secret, None).await?;
    tx.commit().await?;
    Ok(kid)
}

async fn add_in(
    act: Act<'_>,
    tx: &mut Tx,
    sealer: &Sealer,
    (purpose, algorithm): (Purpose, KeyAlgorithm),
    secret: Option<Secret<Vec<u8>>>,
    signs_from: Option<Timestamp>,
) -> Result<String, Refused> {
    let entropy = act.ports.entropy.as_ref();
    let secret = match secret {
        Some(secret) => secret,
        None => keys::random_secret(algorithm, entropy)?,
    };
    let adding = Adding { purpose, algorithm, added_at: act.now(), signs_from };
    let kid = keys::add(tx.access(), sealer, adding, &secret, entropy).await?;
    let detail = json!({ "kid": kid, "purpose": purpose.name(), "algorithm": algorithm.name() });
    record(act, tx, Action::AddKey, |_| members(detail.clone())).await?;
    Ok(kid)
}

/// Has a key sign, once every node has it. Gives from when on. Whatever was promoted before signs
/// until then.
pub async fn promote(act: Act<'_>, kid: &str) -> Result<Timestamp, Refused> {
    let mut tx = begin(act).await?;
    let from = promote_in(act, &mut tx, kid).await?;
    tx.commit().await?;
    Ok(from)
}

async fn promote_in(act: Act<'_>, tx: &mut Tx, kid: &str) -> Result<Timestamp, Refused> {
    let now = act.now();
    let all = key_rows::list(tx.access()).await?;
    let key = find(&all, kid)?;
    if key.retired_at.is_some() {
        return Err(Refused::invalid("KID", format!("{kid} is retired: add another key")));
    }
    let last = latest(&all, key.purpose);
    if let (Some(last), Some(from)) = (last, key.signs_from)
        && last.kid == key.kid
    {
        // It signs already, or will.
        return Ok(from);
    }
    let ready = key.added_at.plus(lead(key.purpose, key.algorithm));
    let after = last.and_then(|last| last.signs_from).map_or(now, next_moment);
    let from = now.max(ready).max(after);
    promote_from(act, tx, key, from).await?;
    Ok(from)
}

async fn promote_from(
    act: Act<'_>,
    tx: &mut Tx,
    key: &KeyRecord,
    from: Timestamp,
) -> Result<(), StoreError> {
    key_rows::promote(tx.access(), &key.kid, from).await?;
    let detail = json!({
        "kid": key.kid, "purpose": key.purpose.name(), "signs_from": from.to_string(),
    });
    record(act, tx, Action::PromoteKey, |_| members(detail.clone())).await
}

/// How long after it was added a key signs at the earliest. Others may have kept the published keys
/// for a while.
fn lead(purpose: Purpose, algorithm: KeyAlgorithm) -> Duration {
    match (purpose, algorithm) {
        (Purpose::Tokens, KeyAlgorithm::EdDsa) => PUBLISHED_FOR + LEAD,
        _ => LEAD,
    }
}

/// What became of a key that was retired.
#[derive(Clone, Debug)]
pub struct Retired {
    /// From when it signs nothing.
    pub from: Timestamp,
    /// Until when it verifies at most, as things are; none where it is revoked.
    pub verifies_until: Option<Timestamp>,
    /// How many sessions ended with it.
    pub sessions_ended: i64,
    /// The key that signs in its place, where it signed, and from when on.
    pub heir: Option<(String, Timestamp)>,
    /// Whether the key that signs in its place was made for it.
    pub heir_is_new: bool,
}

/// Has a key sign nothing any more; it verifies until its last token has ended. The key that signs
/// is refused, unless `heir` is promoted in its place.
pub async fn retire(act: Act<'_>, kid: &str, heir: Option<&str>) -> Result<Retired, Refused> {
    let now = act.now();
    let mut tx = begin(act).await?;
    refuse_itself(kid, heir)?;
    let all = key_rows::list(tx.access()).await?;
    let key = find(&all, kid)?.clone();
    let heir = match heir {
        Some(heir) => {
            refuse_other_purpose(find(&all, heir)?, &key)?;
            Some((heir.to_owned(), promote_in(act, &mut tx, heir).await?))
        }
        None => None,
    };
    let all = key_rows::list(tx.access()).await?;
    let from = match (key.retired_at, key.signs_from) {
        (Some(already), _) => already,
        (None, None) => now,
        (None, Some(since)) => now.max(successor(&all, &key, since).ok_or_else(|| {
            let sentence = format!(
                "{kid} signs, and no key has been promoted after it: promote another first, or say \
                 which by --promote; in an emergency --now makes one"
            );
            Refused::invalid("KID", sentence)
        })?),
    };
    if key.retired_at.is_none() {
        key_rows::retire(tx.access(), kid, from).await?;
        let detail = json!({
            "kid": kid, "purpose": key.purpose.name(), "retired_at": from.to_string(), "now": false,
        });
        record(act, &mut tx, Action::RetireKey, |_| members(detail.clone())).await?;
    }
    tx.commit().await?;
    let retired = KeyRecord { retired_at: Some(from), ..key };
    let verifies_until = verifies_until(&retired);
    Ok(Retired { from, verifies_until, sessions_ended: 0, heir, heir_is_new: false })
}

/// Ends a key at once, with every session whose tokens it signed. Where it signs, `heir` signs in
/// its place from now on, or else the one that was promoted next, or else a new one.
pub async fn revoke(
    act: Act<'_>,
    sealer: &Sealer,
    kid: &str,
    heir: Option<&str>,
) -> Result<Retired, Refused> {
    let now = act.now();
    let mut tx = begin(act).await?;
    refuse_itself(kid, heir)?;
    let all = key_rows::list(tx.access()).await?;
    let key = find(&all, kid)?.clone();
    let heir = heir.map(|heir| find(&all, heir)).transpose()?;
    if let Some(heir) = heir {
        refuse_other_purpose(heir, &key)?;
        if heir.retired_at.is_some() {
            let sentence = format!("{} is retired: name another key", heir.kid);
            return Err(Refused::invalid("--promote", sentence));
        }
    }
    let ended = match key.revoked_at {
        Some(_) => Vec::new(),
        None => end(act, &mut tx, &key).await?,
    };
    let left = key_rows::list(tx.access()).await?;
    // Whether nobody would sign now, or from when this one was to, or one day.
    let signs = |at| signer(&left, key.purpose, at).is_some();
    let is_missed = signer(&all, key.purpose, now).is_some_and(|signing| signing.kid == kid)
        || key.signs_from.is_some_and(|from| !signs(from.max(now)))
        || latest(&left, key.purpose).is_none();
    let heir = match heir {
        Some(heir) => Some(heir.clone()),
        None if is_missed => next(&left, &key, now).cloned(),
        None => None,
    };
    let mut retired = Retired {
        from: key.retired_at.unwrap_or(now).min(now),
        verifies_until: None,
        sessions_ended: ended.iter().map(|org| org.sessions).sum(),
        heir: None,
        heir_is_new: false,
    };
    let others = left.iter().filter(|other| other.purpose == key.purpose && other.is_active(now));
    let come = others.filter_map(|other| other.signs_from).filter(|from| *from <= now).max();
    let from = come.map_or(now, |from| next_moment(from).max(now));
    if let Some(heir) = heir {
        promote_from(act, &mut tx, &heir, from).await?;
        retired.heir = Some((heir.kid, from));
    } else if is_missed {
        let kind = (key.purpose, key.algorithm);
        let new = add_in(act, &mut tx, sealer, kind, None, Some(from)).await?;
        retired.heir = Some((new, from));
        retired.heir_is_new = true;
    }
    tx.commit().await?;
    Ok(retired)
}

/// Revokes a key, on record; each org's record says how many of its own sessions ended.
async fn end(act: Act<'_>, tx: &mut Tx, key: &KeyRecord) -> Result<Vec<SessionsOfOrg>, Refused> {
    let now = act.now();
    let root = key_rows::find_sealing(tx.access()).await?;
    if root.is_some_and(|sealing| sealing.root == key.kid) {
        // Those that a server from before there was a ring has opened.
        key_rows::adopt(tx.access(), &key.kid, now).await?;
    }
    let ended = key_rows::revoke(tx.access(), &key.kid, now).await?;
    record(act, tx, Action::RetireKey, |org| {
        let sessions = ended.iter().find(|of| of.org == org.as_str()).map_or(0, |of| of.sessions);
        members(json!({
            "kid": key.kid, "purpose": key.purpose.name(), "retired_at": now.to_string(),
            "now": true, "sessions_ended": sessions,
        }))
    })
    .await?;
    Ok(ended)
}

/// What a change of the configured key came to.
#[derive(Clone, Debug)]
pub struct RootChange {
    /// From when the new key signs; none where the old one did not.
    pub signs_from: Option<Timestamp>,
    /// How many sessions ended.
    pub sessions_ended: i64,
    /// How many users have lost their second factor.
    pub second_factors_lost: i64,
}

/// Makes the configured key the root in place of the old one; without that, what it sealed is lost.
pub async fn change_root(
    act: Act<'_>,
    old: Option<&Root>,
    new: &Root,
) -> Result<RootChange, crate::auth::StartError> {
    use crate::auth::sealing::{replace_known, replace_lost};
    match old {
        Some(old) => {
            let signs_from = replace_known(act.db, old, new, act.ports, act.origin, LEAD).await?;
            Ok(RootChange { signs_from, sessions_ended: 0, second_factors_lost: 0 })
        }
        None => {
            let (sessions_ended, second_factors_lost) =
                replace_lost(act.db, new, act.ports, act.origin).await?;
            Ok(RootChange { signs_from: Some(act.now()), sessions_ended, second_factors_lost })
        }
    }
}

/// Begins a change of the ring, which waits for any other.
async fn begin(act: Act<'_>) -> Result<Tx, Refused> {
    let mut tx = act.db.begin().await?;
    key_rows::lock(tx.access()).await?;
    Ok(tx)
}

async fn record(
    act: Act<'_>,
    tx: &mut Tx,
    action: Action,
    detail: impl Fn(&OrgName) -> Map<String, Value>,
) -> Result<(), StoreError> {
    record_everywhere(tx.access(), action, act.now(), act.origin, detail).await
}

fn find<'k>(all: &'k [KeyRecord], kid: &str) -> Result<&'k KeyRecord, Refused> {
    all.iter()
        .find(|key| key.kid == kid)
        .ok_or_else(|| Refused::invalid("KID", "there is no such key: stipend key list"))
}

fn refuse_itself(kid: &str, heir: Option<&str>) -> Result<(), Refused> {
    if heir == Some(kid) {
        return Err(Refused::invalid("--promote", "this is the key that is to be retired"));
    }
    Ok(())
}

fn refuse_other_purpose(heir: &KeyRecord, key: &KeyRecord) -> Result<(), Refused> {
    if heir.purpose != key.purpose {
        let sentence = format!("{} is for {}, not for {}", heir.kid, heir.purpose, key.purpose);
        return Err(Refused::invalid("--promote", sentence));
    }
    Ok(())
}

/// Of the keys that are to stay, the one that was promoted last: it signs without end.
fn latest(all: &[KeyRecord], purpose: Purpose) -> Option<&KeyRecord> {
    all.iter()
        .filter(|key| key.purpose == purpose && key.retired_at.is_none())
        .filter(|key| key.signs_from.is_some())
        .max_by_key(|key| key.signs_from)
}

/// From when another key signs after one that does since `since`.
fn successor(all: &[KeyRecord], key: &KeyRecord, since: Timestamp) -> Option<Timestamp> {
    all.iter()
        .filter(|other| other.purpose == key.purpose && other.retired_at.is_none())
        .filter_map(|other| other.signs_from)
        .filter(|from| *from > since)
        .min()
}

/// The key that was promoted to sign next.
fn next<'k>(all: &'k [KeyRecord], key: &KeyRecord, now: Timestamp) -> Option<&'k KeyRecord> {
    all.iter()
        .filter(|other| other.purpose == key.purpose && other.retired_at.is_none())
        .filter(|other| other.signs_from.is_some_and(|from| from > now))
        .min_by_key(|other| other.signs_from)
}

fn next_moment(after: Timestamp) -> Timestamp {
    after.plus(Duration::from_millis(1))
}

impl From<AddError> for Refused {
    fn from(error: AddError) -> Self {
        match error {
            AddError::Exists(kid) => Self::Exists(format!("the key {kid}")),
            AddError::Store(error) => error.into(),
            AddError::Entropy(error) => error.into(),
        }
    }
}
