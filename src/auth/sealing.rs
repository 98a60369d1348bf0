//! What seals the database's secrets, and what happens when the configured key is another one.
//!
//! The configured key seals one secret, and that seals all others. So a change of the configured
//! key is a change of one row, and whoever holds the old one can make it without losing anything.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::keys::{self, AddError, Adding};
use super::root::{KeyError, Root, random_text};
use super::seal::Sealer;
use super::{Ports, StartError};
use crate::clock::Timestamp;
use crate::config::{KeySource, Secret};
use crate::domain::{KeyAlgorithm, OrgName, Purpose};
use crate::entropy::{EntropyError, random_id};
use crate::store::audit::{self, Action, OPERATOR, Origin, Record};
use crate::store::keys::{self as key_rows, KeyRecord, Sealing};
use crate::store::{Access, Db, StoreError, orgs};

/// What the secret that seals the others is sealed as.
const LABEL: &str = "sealing";

/// Who asks for the sealer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// A server that starts: its configured key may become the root, where nothing is lost by it.
    Server,
    /// A command, which may be run with other settings than the servers by mistake.
    Command,
}

/// The sealer of a database, which begins with the first that asks, by the configured key, which is
/// made where it is the default file and not there yet. A weak key is refused.
pub async fn open(
    db: &Db,
    source: &KeySource,
    ports: &Ports,
    asking: Asking,
) -> Result<Arc<Sealer>, StartError> {
    loop {
        // The database before the key: whoever begins the ring has written the key before, so that
        // of many first starts at once none finds a ring whose key it has looked for too early.
        let found = key_rows::find_sealing(db.reader().await?.access()).await?;
        match (found, Root::read(source)?) {
            (Some(sealing), Some(root)) if sealing.root == root.kid() => {
                return Ok(Arc::new(sealer_of(&sealing, &root)?));
            }
            (Some(sealing), Some(root)) => {
                if asking == Asking::Command {
                    return Err(other_root(&sealing, &root, "").into());
                }
                return take_over(db, source, &sealing, &root, ports).await;
            }
            (Some(sealing), None) => return Err(missing(source, &sealing).into()),
            (None, _) => {
                let root = Root::read_or_generate(source, ports.entropy.as_ref())?;
                if let Some(sealer) = begin(db, &root, ports).await? {
                    return Ok(Arc::new(sealer));
                }
                // Another process was first.
            }
        }
    }
}

/// The secret that seals, by the configured key that it is sealed under.
fn secret_of(sealing: &Sealing, root: &Root) -> Result<Secret<String>, KeyError> {
    let opened = root.sealer()?.open(LABEL, &sealing.sealed);
    let text = opened.and_then(|secret| String::from_utf8(secret.expose().clone()).ok());
    text.map(Secret::new).ok_or_else(|| {
        KeyError(format!(
            "the configured key {} does not open the database's secrets, which say that it does: \
             the table `sealing` was changed; restore a backup",
            root.kid()
        ))
    })
}

fn sealer_of(sealing: &Sealing, root: &Root) -> Result<Sealer, KeyError> {
    Sealer::new(&secret_of(sealing, root)?)
}

fn other_root(sealing: &Sealing, root: &Root, lost: &str) -> KeyError {
    KeyError(format!(
        "the database's secrets are sealed under the key {}, and the configured one is {}{lost}: \
         set the right key (jwt_secret, jwt_secret_file or stipend.key); or, to change it, run \
         `stipend key change-root --old-file FILE` with the old key's text in FILE; or, if the old \
         one is lost, `stipend key change-root --lost`, which ends every session",
        sealing.root,
        root.kid()
    ))
}

fn missing(source: &KeySource, sealing: &Sealing) -> KeyError {
    let place = match source {
        KeySource::Generated(path) | KeySource::File(path) => path.display().to_string(),
        KeySource::Value(_) => "jwt_secret".to_owned(),
    };
    KeyError(format!(
        "{place} is missing, the key {} under which the database's secrets are sealed: put it back; \
         or, if it is lost, run `stipend key change-root --lost`, which makes another and ends \
         every session",
        sealing.root
    ))
}

/// Begins the ring: the configured key signs tokens, a new one checkpoints. `None` if another
/// process has begun it meanwhile.
async fn begin(db: &Db, root: &Root, ports: &Ports) -> Result<Option<Sealer>, StartError> {
    let now = ports.clock.now();
    let mut tx = db.begin().await?;
    let (sealing, sealer) = new_sealing(root, ports)?;
    if !key_rows::add_sealing(tx.access(), &sealing, now).await? {
        return Ok(None);
    }
    add_first_keys(tx.access(), &sealer, root, ports, now).await?;
    // Those from before there was a ring.
    key_rows::adopt(tx.access(), root.kid(), now).await?;
    tx.commit().await?;
    Ok(Some(sealer))
}

fn new_sealing(root: &Root, ports: &Ports) -> Result<(Sealing, Sealer), StartError> {
    let entropy = ports.entropy.as_ref();
    let secret = random_text(entropy)?;
    let sealed = root.sealer()?.seal(LABEL, secret.expose().as_bytes(), entropy)?;
    Ok((Sealing { root: root.kid().to_owned(), sealed }, Sealer::new(&secret)?))
}

async fn add_first_keys(
    mut access: Access<'_>,
    sealer: &Sealer,
    root: &Root,
    ports: &Ports,
    now: Timestamp,
) -> Result<(), StartError> {
    let entropy = ports.entropy.as_ref();
    let (added_at, signs_from) = (now, Some(now));
    let (purpose, algorithm) = (Purpose::Tokens, KeyAlgorithm::Hs256);
    let tokens = Adding { purpose, algorithm, added_at, signs_from };
    keys::add(access.reborrow(), sealer, tokens, &root.secret(), entropy).await.map_err(used)?;
    let (purpose, algorithm) = (Purpose::Checkpoints, KeyAlgorithm::EdDsa);
    let checkpoints = Adding { purpose, algorithm, added_at, signs_from };
    let seed = keys::random_secret(algorithm, entropy)?;
    keys::add(access, sealer, checkpoints, &seed, entropy).await.map_err(used)?;
    Ok(())
}

/// A configured key that was in the ring before may be known to somebody.
fn used(error: AddError) -> StartError {
    match error {
        AddError::Exists(kid) => KeyError(format!(
            "the configured key {kid} was in use before, and is retired: set one that is new"
        ))
        .into(),
        AddError::Store(error) => error.into(),
        AddError::Entropy(error) => error.into(),
    }
}

/// Takes a newly configured key as the root where the old one sealed nothing that would be missed.
async fn take_over(
    db: &Db,
    source: &KeySource,
    sealing: &Sealing,
    root: &Root,
    ports: &Ports,
) -> Result<Arc<Sealer>, StartError> {
    if matches!(source, KeySource::Generated(_)) {
        // Nobody has chosen it.
        return Err(other_root(sealing, root, "").into());
    }
    let mut tx = db.begin().await?;
    key_rows::lock(tx.access()).await?;
    let records = key_rows::list(tx.access()).await?;
    let kept = |key: &&KeyRecord| {
        key.purpose == Purpose::Tokens && key.kid != sealing.root && key.sealed.is_some()
    };
    let kept: Vec<&str> = records.iter().filter(kept).map(|key| key.kid.as_str()).collect();
    let second_factors = key_rows::count_second_factors(tx.access()).await?;
    if !kept.is_empty() || second_factors > 0 {
        let mut lost = String::from(", which cannot open");
        if !kept.is_empty() {
            lost.push_str(&format!(" the keys {}", kept.join(", ")));
        }
        if second_factors > 0 {
            let and = if kept.is_empty() { "" } else { " and" };
            lost.push_str(&format!("{and} the second factors of users ({second_factors})"));
        }
        return Err(other_root(sealing, root, &lost).into());
    }
    let request_id = random_id(ports.entropy.as_ref())?;
    let origin = Origin { client: "local".into(), request_id };
    let (sealer, ended) = replace(tx.access(), root, ports, &origin).await?;
    tx.commit().await?;
    tracing::warn!(
        old = sealing.root,
        new = root.kid(),
        sessions = ended,
        "the configured key is another one: the old one and its sessions have ended"
    );
    Ok(Arc::new(sealer))
}

/// Begins the ring again under another root, without the old one: what was sealed is lost, and
/// every key and session ends. On record in every org. Gives how many sessions ended.
async fn replace(
    mut access: Access<'_>,
    root: &Root,
    ports: &Ports,
    origin: &Origin,
) -> Result<(Sealer, i64), StartError> {
    let now = ports.clock.now();
    let old = root_of(access.reborrow(), root).await?.root;
    let mut ended = 0;
    for key in key_rows::list(access.reborrow()).await? {
        match key.purpose {
            Purpose::Tokens => {
                if old == key.kid {
                    key_rows::adopt(access.reborrow(), &key.kid, now).await?;
                }
                let by_org = key_rows::revoke(access.reborrow(), &key.kid, now).await?;
                ended += by_org.iter().map(|org| org.sessions).sum::<i64>();
            }
            Purpose::Checkpoints if key.is_active(now) => {
                key_rows::retire(access.reborrow(), &key.kid, now).await?;
            }
            Purpose::Checkpoints => {}
        }
    }
    let (sealing, sealer) = new_sealing(root, ports)?;
    key_rows::change_sealing(access.reborrow(), &sealing, now).await?;
    add_first_keys(access.reborrow(), &sealer, root, ports, now).await?;
    let detail = |_: &OrgName| -> Map<String, Value> {
        [("old", old.as_str().into()), ("new", Value::from(root.kid())), ("lost", true.into())]
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect()
    };
    record_everywhere(access, Action::ChangeRoot, now, origin, detail).await?;
    Ok((sealer, ended))
}

/// What seals now, which another root than this one does.
async fn root_of(access: Access<'_>, root: &Root) -> Result<Sealing, StartError> {
    let sealing = key_rows::find_sealing(access).await?;
    let sealing = sealing.ok_or_else(|| {
        KeyError("nothing is sealed yet: a server that starts takes the configured key".to_owned())
    })?;
    if sealing.root == root.kid() {
        let sentence = format!("the configured key {} is the root already", root.kid());
        return Err(KeyError(format!("{sentence}: set the new key first")).into());
    }
    Ok(sealing)
}

/// Replaces a root that is lost. What it sealed is lost too, and every session ends. Gives how many
/// did, and how many users have lost their second factor.
pub async fn replace_lost(
    db: &Db,
    root: &Root,
    ports: &Ports,
    origin: &Origin,
) -> Result<(i64, i64), StartError> {
    let mut tx = db.begin().await?;
    key_rows::lock(tx.access()).await?;
    let (_, ended) = replace(tx.access(), root, ports, origin).await?;
    let second_factors = key_rows::count_second_factors(tx.access()).await?;
    tx.commit().await?;
    Ok((ended, second_factors))
}

/// Replaces the root by another with the old one at hand: nothing is lost. The new one is added to
/// the ring, and signs once `lead` is over where the old one does now.
pub async fn replace_known(
    db: &Db,
    old: &Root,
    root: &Root,
    ports: &Ports,
    origin: &Origin,
    lead: std::time::Duration,
) -> Result<Option<Timestamp>, StartError> {
    let (now, entropy) = (ports.clock.now(), ports.entropy.as_ref());
    let mut tx = db.begin().await?;
    key_rows::lock(tx.access()).await?;
    let sealing = root_of(tx.access(), root).await?;
    if sealing.root != old.kid() {
        return Err(KeyError(format!(
            "the old key is {}, and the database's secrets are sealed under the key {}",
            old.kid(),
            sealing.root
        ))
        .into());
    }
    let secret = secret_of(&sealing, old)?;
    let sealer = Sealer::new(&secret)?;
    let sealed = root.sealer()?.seal(LABEL, secret.expose().as_bytes(), entropy)?;
    let sealing = Sealing { root: root.kid().to_owned(), sealed };
    key_rows::change_sealing(tx.access(), &sealing, now).await?;

    let records = key_rows::list(tx.access()).await?;
    let signs =
        key_rows::signer(&records, Purpose::Tokens, now).is_some_and(|k| k.kid == old.kid());
    let promoted = records.iter().filter_map(|key| key.signs_from).max();
    let signs_from = signs.then(|| {
        now.plus(lead).max(promoted.map_or(now, |at| at.plus(std::time::Duration::from_millis(1))))
    });
    let known = records.iter().find(|key| key.kid == root.kid() && key.retired_at.is_none());
    if known.is_none() {
        let (purpose, algorithm) = (Purpose::Tokens, KeyAlgorithm::Hs256);
        let adding = Adding { purpose, algorithm, added_at: now, signs_from };
        keys::add(tx.access(), &sealer, adding, &root.secret(), entropy).await.map_err(used)?;
    } else if let Some(from) = signs_from {
        key_rows::promote(tx.access(), root.kid(), from).await?;
    }
    let detail = |_: &OrgName| -> Map<String, Value> {
        [("old", old.kid()), ("new", root.kid())]
            .map(|(name, value)| (name.to_owned(), value.into()))
            .into_iter()
            .collect()
    };
    record_everywhere(tx.access(), Action::ChangeRoot, now, origin, detail).await?;
    tx.commit().await?;
    Ok(signs_from)
}

/// Puts on record in every org what the operator did to the ring, which all of them share.
pub async fn record_everywhere(
    mut access: Access<'_>,
    action: Action,
    at: Timestamp,
    origin: &Origin,
    detail: impl Fn(&OrgName) -> Map<String, Value>,
) -> Result<(), StoreError> {
    for org in orgs::list(access.reborrow()).await? {
        let org = OrgName::parse(&org.org).map_err(|_| StoreError::Impossible("orgs"))?;
        let record = Record {
            detail: Cow::Owned(detail(&org)),
            ..Record::new(&org, OPERATOR, action, at, origin)
        };
        audit::append(access.reborrow(), &record).await?;
    }
    Ok(())
}

impl From<EntropyError> for StartError {
    fn from(error: EntropyError) -> Self {
        KeyError(error.to_string()).into()
    }
}
