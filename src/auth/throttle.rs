//! How the guessing of passwords is slowed down (NIST SP 800-63B-4 section 3.2.2).
//!
//! Failed sign-ins are counted by account (whether or not there is one), and by network. Some are
//! free; from then on each doubles the time until the next is looked at. The counters are in the
//! database, so they hold on every node and across a restart.
//!
//! Where a user has signed in before, neither counts: only the failures of that account at that
//! network do. So nobody can lock somebody out from elsewhere, nor everybody in an office.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use ring::hmac;

use super::Sealer;
use crate::clock::{Clock, Timestamp};
use crate::domain::Account;
use crate::store::chain::hex;
use crate::store::throttle::{self, Tally};
use crate::store::{Access, Db, Reader, StoreError};

/// For how long a network is known after a sign-in.
const KNOWN_FOR: Duration = Duration::from_secs(90 * 86_400);
/// How exactly it is known when somebody signed in from a network.
const NOTED_EVERY: Duration = Duration::from_secs(86_400);
/// No delay is longer than this, and the first is one second.
const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);
/// A failure that is further ahead than nodes' clocks may differ was written by a wrong clock.
const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(60);
/// Faded counters are deleted at every so many failures; more of them than the failures between
/// can have added.
const PRUNE_EVERY: u64 = 16;
const PRUNED_AT_ONCE: i64 = 64;

/// What failures lead to.
#[derive(Debug)]
struct Limit {
    /// So many lead to nothing.
    free: u32,
    /// How long it takes until one is forgotten.
    fade: Duration,
    /// More than so many are not remembered.
    most: u32,
}

/// Of an account: at a network that is known for it, or at all others.
static ACCOUNT: Limit = Limit { free: 5, fade: Duration::from_secs(3600), most: 15 };
/// Of a network, whichever the accounts: many people may share an address.
static NETWORK: Limit = Limit { free: 20, fade: Duration::from_secs(60), most: 30 };

impl Limit {
    /// How long after the last failure nothing is looked at.
    fn delay(&self, tally: Tally) -> Duration {
        let left = tally.faded_at.since(tally.failed_at).as_millis();
        let failures = u32::try_from(left.div_ceil(self.fade.as_millis())).unwrap_or(u32::MAX);
        match failures.checked_sub(self.free) {
            None => Duration::ZERO,
            Some(doublings) => 1_u64
                .checked_shl(doublings)
                .map_or(LONGEST_DELAY, |seconds| Duration::from_secs(seconds).min(LONGEST_DELAY)),
        }
    }

    /// How long it is until the next attempt is looked at; nothing if it would be now.
    fn wait(&self, tally: Tally, now: Timestamp) -> Duration {
        if tally.failed_at > now.plus(CLOCKS_DIFFER_BY) {
            return Duration::ZERO;
        }
        tally.failed_at.plus(self.delay(tally)).since(now)
    }
}

/// There were too many failures: an attempt is looked at again after so many seconds, one at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttled {
    /// For the field `Retry-After` (RFC 9110 section 10.2.3).
    pub seconds: u32,
}

/// The counters of failed sign-ins.
pub struct Throttle {
    key: hmac::Key,
    mirror: Arc<Mirror>,
    failures: AtomicU64,
}

impl std::fmt::Debug for Throttle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Throttle")
    }
}

impl Throttle {
    /// The counters, by names that nobody can tell without the sealing key.
    pub fn new(sealer: &Sealer) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &sealer.derive("throttle"));
        Self { key, mirror: Arc::default(), failures: AtomicU64::new(0) }
    }

    /// Looks at what counts against an attempt to sign in: by the account's name, or by one that is
    /// no account's and so can never be let in. It takes the same steps for every account, existing or not.
    pub(super) async fn begin(
        &self,
        reader: &mut Reader,
        account: Option<&Account>,
        Source { network, known_at }: Source,
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<Attempt>, StoreError> {
        let is_known = known_at.is_some();
        let of_account = account.map(|account| match is_known {
            true => self.at_network(account, &network),
            false => self.elsewhere(account),
        });
        let mut counters: Vec<(String, &Limit)> = Vec::with_capacity(2);
        counters.extend(of_account.clone().map(|counter| (counter, &ACCOUNT)));
        counters.extend((!is_known).then(|| (self.network(&network), &NETWORK)));
        let attempt = Attempt {
            counters,
            of_account,
            network,
            known_at,
            failed_at: OnceLock::new(),
            mirror: self.mirror.clone(),
            clock: clock.clone(),
        };
        let began = self.mirror.enter(&attempt.counters);
        let named = |at: usize| attempt.counters.get(at).map_or("", |(name, _)| name.as_str());
        let found = throttle::find(reader.access(), [named(0), named(1)]).await?;
        self.mirror.refresh(&attempt.counters, found, began);
        Ok(Arc::new(attempt))
    }

    /// Counts a failure. When this returns, it holds on every node and survives a loss of power.
    pub(super) async fn failed(&self, db: &Db, attempt: &Attempt) -> Result<(), StoreError> {
        let now = attempt.raise();
        let mut writer = db.writer().await?;
        // Each by itself: what holds one counter waits for no other.
        for (counter, limit) in &attempt.counters {
            let most = limit.fade * limit.most;
            let raised = throttle::raise(writer.access(), counter, now, limit.fade, most).await;
            if let Err(error) = raised {
                writer.give_up();
                return Err(error);
            }
        }
        if self.failures.fetch_add(1, Ordering::Relaxed).is_multiple_of(PRUNE_EVERY)
            && let Err(error) = throttle::prune(writer.access(), now, PRUNED_AT_ONCE).await
        {
            // They count for nothing, and the next time may work.
            tracing::warn!(%error, "faded counters of failed sign-ins were not deleted");
        }
        Ok(())
    }

    /// Remembers the network, and forgets the failures of the account that counted here: not those
    /// of the network, which somebody with an account of their own could have forgotten at will,
    /// nor those from elsewhere. Part of the transaction that lets the user in.
    pub(super) async fn succeeded(
        &self,
        mut access: Access<'_>,
        attempt: &Attempt,
        account: &Account,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let is_noted =
            |at: Timestamp| now.minus(NOTED_EVERY) <= at && at <= now.plus(CLOCKS_DIFFER_BY);
        if !attempt.known_at.is_some_and(is_noted) {
            let since = known_since(now);
            throttle::know(access.reborrow(), account, &attempt.network, now, since).await?;
        }
        if let Some(counter) = attempt.of_account.as_ref().filter(|_| attempt.has_failures()) {
            throttle::clear(access, counter).await?;
        }
        Ok(())
    }

    /// Forgets the failures of an account, wherever they came from, but not those of networks.
    /// Gives whether there were any.
    pub async fn unlock(
        &self,
        mut access: Access<'_>,
        account: &Account,
    ) -> Result<bool, StoreError> {
        let known = throttle::list_known(access.reborrow(), account).await?;
        let mut counters: Vec<String> =
            known.iter().map(|network| self.at_network(account, network)).collect();
        counters.push(self.elsewhere(account));
        counters.sort_unstable();
        let mut any = false;
        for counter in &counters {
            any |= throttle::clear(access.reborrow(), counter).await?;
        }
        Ok(any)
    }

    fn at_network(&self, Account { org, username }: &Account, network: &str) -> String {
        self.counter(&format!("account at network\0{org}\0{username}\0{network}"))
    }

    fn elsewhere(&self, Account { org, username }: &Account) -> String {
        self.counter(&format!("account\0{org}\0{username}"))
    }

    fn network(&self, network: &str) -> String {
        self.counter(&format!("network\0{network}"))
    }

    /// 128 bits of the keyed hash, as 32 hexadecimal digits.
    fn counter(&self, what: &str) -> String {
        let hash = hmac::sign(&self.key, what.as_bytes());
        let mut name = hex(hash.as_ref());
        name.truncate(32);
        name
    }
}

/// From where somebody would sign in.
pub(super) struct Source {
    /// Their network, as [`network`] names it.
    pub(super) network: String,
    /// When a user of that name last signed in from it, if since [`known_since`].
    pub(super) known_at: Option<Timestamp>,
}

/// Networks are known from which somebody has signed in since this moment.
pub(super) fn known_since(now: Timestamp) -> Timestamp {
    now.minus(KNOWN_FOR)
}

/// The network of a client's address: an IPv4 address, or an IPv6 /64, which is what one customer
/// has at least. What is no address is a network of its own.
pub(super) fn network(client: &str) -> String {
    match client.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.to_string(),
        Ok(IpAddr::V6(address)) => {
            format!("{}/64", Ipv6Addr::from_bits(address.to_bits() >> 64 << 64))
        }
        Err(_) => client.to_owned(),
    }
}

/// One attempt to sign in, from when it is looked at until it is answered.
pub(super) struct Attempt {
    /// What counts here.
    counters: Vec<(String, &'static Limit)>,
    /// The one of them that is the account's.
    of_account: Option<String>,
    network: String,
    /// When the user last signed in from there.
    known_at: Option<Timestamp>,
    failed_at: OnceLock<Timestamp>,
    mirror: Arc<Mirror>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").field("is_known", &self.is_known()).finish_non_exhaustive()
    }
}

impl Attempt {
    /// Whether the user has signed in from this network before.
    pub(super) fn is_known(&self) -> bool {
        self.known_at.is_some()
    }

    /// Whether a failure of the account counts here, as far as is known.
    fn has_failures(&self) -> bool {
        let entries = self.mirror.entries();
        let entry = self.of_account.as_ref().and_then(|counter| entries.get(counter));
        entry.is_some_and(|entry| entry.tally.is_some())
    }

    /// Whether the password may be looked at now. Also counts the failures of other attempts in
    /// this process that are not written yet.
    pub(super) fn admit(&self) -> Result<(), Throttled> {
        let now = self.clock.now();
        let entries = self.mirror.entries();
        let waits = self.counters.iter().filter_map(|(counter, limit)| {
            Some(limit.wait(entries.get(counter)?.tally?, now)).filter(|wait| !wait.is_zero())
        });
        waits.max().map_or(Ok(()), |wait| {
            let seconds = wait.as_millis().div_ceil(1000);
            Err(Throttled { seconds: u32::try_from(seconds).unwrap_or(u32::MAX) })
        })
    }

    /// Counts the failure of this attempt, once, in this process alone; gives when it was.
    pub(super) fn raise(&self) -> Timestamp {
        *self.failed_at.get_or_init(|| {
            let now = self.clock.now();
            self.mirror.raise(&self.counters, now);
            now
        })
    }

    /// Forgets here what was forgotten in the database, once that is durable.
    pub(super) fn forget(&self) {
        if let Some(counter) = &self.of_account {
            self.mirror.forget(counter);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.mirror.leave(&self.counters, self.failed_at.get().is_some());
    }
}

/// The counters of the attempts that are under way in this process. What waits to be hashed was
/// looked at some time ago; here it is seen what has failed since then, before that is written.
#[derive(Debug, Default)]
struct Mirror {
    entries: Mutex<HashMap<String, Entry>>,
    changes: AtomicU64,
}

#[derive(Debug, Default)]
struct Entry {
    tally: Option<Tally>,
    /// How many attempts are under way.
    attempts: u32,
    /// How many of them have failed, and perhaps are not written yet.
    failures: u32,
    /// Which change was the last.
    changed: u64,
}

impl Mirror {
    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> u64 {
        self.changes.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// An attempt is under way. Gives by which change it is, for [`refresh`](Self::refresh).
    fn enter(&self, counters: &[(String, &'static Limit)]) -> u64 {
        let mut entries = self.entries();
        for (counter, _) in counters {
            entries.entry(counter.clone()).or_default().attempts += 1;
        }
        self.next()
    }

    /// Takes over what the database says, which may be that something was forgotten; but not where
    /// a failure may have been too late to be read.
    fn refresh(
        &self,
        counters: &[(String, &'static Limit)],
        found: Vec<(String, Tally)>,
        began: u64,
    ) {
        let mut entries = self.entries();
        let mut found: HashMap<String, Tally> = found.into_iter().collect();
        for (counter, _) in counters {
            let read = found.remove(counter);
            if let Some(entry) = entries.get_mut(counter) {
                let may_be_late = entry.failures > 0 || entry.changed > began;
                entry.tally = match entry.tally {
                    Some(here) if may_be_late => {
                        Some(read.filter(|read| read.faded_at > here.faded_at).unwrap_or(here))
                    }
                    _ => read,
                };
            }
        }
    }

    fn raise(&self, counters: &[(String, &'static Limit)], now: Timestamp) {
        let mut entries = self.entries();
        for (counter, limit) in counters {
            if let Some(entry) = entries.get_mut(counter) {
                let most = limit.fade * limit.most;
                entry.tally = Some(Tally::raised(entry.tally, now, limit.fade, most));
                entry.failures += 1;
                entry.changed = self.next();
            }
        }
    }

    fn forget(&self, counter: &str) {
        if let Some(entry) = self.entries().get_mut(counter) {
            entry.tally = None;
            entry.changed = self.next();
        }
    }

    /// An attempt has been answered.
    fn leave(&self, counters: &[(String, &'static Limit)], failed: bool) {
        let mut entries = self.entries();
        for (counter, _) in counters {
            if let Some(entry) = entries.get_mut(counter) {
                entry.attempts = entry.attempts.saturating_sub(1);
                if failed {
                    entry.failures = entry.failures.saturating_sub(1);
                    entry.changed = self.next();
                }
                if entry.attempts == 0 {
                    entries.remove(counter);
                }
            }
        }
    }
}
