//! What somebody may see as far as is remembered, which only [`super::disclosure`] can turn into rows.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use super::disclosure::Withheld;
use super::premise::Premise;
use super::sessions;
use super::{Db, StoreError};
use crate::clock::{Day, Timestamp};
use crate::domain::Account;
use crate::policy::{Allowed, Denied, Principal, Read, Standing, Terms};

/// Sessions of somebody with more grants are not remembered, which holds them three times over: as
/// they were found, with the caller, and as what may be read.
const MOST_GRANTS: usize = 64;

/// That somebody may see pay, which may have been so a while ago and not be now. It gives nothing but
/// who asks: the record of a read is written only if all of it still holds, and rows are given only
/// after that.
#[derive(Debug)]
pub struct Claim(Held);

/// What somebody may see, as it was found in an epoch of what is remembered.
#[derive(Clone, Debug)]
pub(super) struct Held {
    allowed: Arc<Allowed<Read>>,
    epoch: u64,
}

impl Deref for Held {
    type Target = Allowed<Read>;

    fn deref(&self) -> &Allowed<Read> {
        &self.allowed
    }
}

impl Held {
    /// In which epoch.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// Whose a token is, by its text alone.
#[derive(Debug)]
pub struct Bearer {
    /// Who.
    pub account: Account,
    /// In which session.
    pub session_id: String,
    /// The permissions that the token names.
    pub perms: Vec<String>,
}

impl From<Allowed<Read>> for Claim {
    /// What was found when the process began.
    fn from(allowed: Allowed<Read>) -> Self {
        Self(Held { allowed: Arc::new(allowed), epoch: 0 })
    }
}

impl Claim {
    /// The claim of whoever bears a token: from memory where their session was seen today, else from
    /// the database. None where there is no such session, or `accepts` does not take it.
    ///
    /// That somebody may not see pay is never said from memory.
    pub async fn of(
        db: &Db,
        bearer: &Bearer,
        now: Timestamp,
        accepts: impl Fn(&Terms) -> bool,
    ) -> Result<Option<Result<Self, Denied>>, StoreError> {
        let memory = &db.recording().remembered;
        let remembered = memory.sessions.find(&bearer.session_id).filter(|remembered| {
            remembered.account == bearer.account
                && remembered.today == now.day()
                && remembered.epoch == memory.epoch()
                && accepts(&remembered.standing.terms)
        });
        if let Some(Ok(held)) = remembered.map(|remembered| remembered.allow(&bearer.perms)) {
            return Ok(Some(Ok(Self(held))));
        }
        let found = Box::pin(look_up(db, &bearer.account, &bearer.session_id, now)).await?;
        let accepted = found.filter(|found| accepts(&found.standing.terms));
        Ok(accepted.map(|found| found.allow(&bearer.perms).map(Self)))
    }

    /// Who makes it.
    pub fn account(&self) -> &Account {
        self.0.account()
    }

    /// In which session; none on the command line.
    pub fn session_id(&self) -> Option<&str> {
        self.0.principal().session_id()
    }

    /// The same, proven by the database: for whoever is to be told something other than rows.
    pub async fn confirm(self, db: &Db, now: Timestamp) -> Result<Self, Withheld> {
        renew(db, &self.0, now).await.map(Self)
    }

    /// What is claimed. To be proven.
    pub(super) fn held(self) -> Held {
        self.0
    }
}

/// A session as it was found: it may have ended since, and its user's grants changed.
#[derive(Debug)]
pub(super) struct SeenSession {
    account: Account,
    session_id: String,
    /// The day whose grants these are.
    today: Day,
    epoch: u64,
    standing: Standing,
    /// What the first token of it that was seen allows: that is the only one, as a rule.
    allowed: OnceLock<Arc<Allowed<Read>>>,
}

impl SeenSession {
    /// What a token of this session with these permissions allows.
    fn allow(&self, perms: &[String]) -> Result<Held, Denied> {
        let epoch = self.epoch;
        let same = self.allowed.get().filter(|allowed| allowed.principal().perms() == perms);
        if let Some(allowed) = same {
            return Ok(Held { allowed: Arc::clone(allowed), epoch });
        }
        let (account, session_id) = (self.account.clone(), self.session_id.clone());
        let standing = self.standing.clone();
        let caller = Principal::new(account, session_id, perms.to_vec(), standing);
        let allowed = Arc::new(caller.allow::<Read>(self.today)?);
        // Another token of the session may have been quicker, and is kept.
        let _ = self.allowed.set(Arc::clone(&allowed));
        Ok(Held { allowed, epoch })
    }
}

/// What the holder may see now, asked from the database.
pub(super) async fn renew(
    db: &Db,
    allowed: &Allowed<Read>,
    now: Timestamp,
) -> Result<Held, Withheld> {
    let Some(session_id) = allowed.principal().session_id() else {
        // The operator's command line has no session, and may always do everything.
        let epoch = db.recording().remembered.epoch();
        let standing = allowed.principal().standing().clone();
        return Ok(Held { allowed: Arc::new(allowed.renew(standing, now.day())?), epoch });
    };
    let found = look_up(db, allowed.account(), session_id, now).await?;
    let found = found.ok_or(Withheld::SessionEnded)?;
    if found.standing.terms != allowed.principal().standing().terms {
        // Their token was accepted on others: whether it is on these, the next request finds out.
        return Err(Withheld::SessionEnded);
    }
    let allowed = Arc::new(allowed.renew(found.standing.clone(), now.day())?);
    Ok(Held { allowed, epoch: found.epoch })
}

/// The session as the database has it, which is remembered.
async fn look_up(
    db: &Db,
    account: &Account,
    session_id: &str,
    now: Timestamp,
) -> Result<Option<Arc<SeenSession>>, StoreError> {
    // Before it is asked: what is found then may be gone when this one is.
    let epoch = db.recording().remembered.epoch();
    let mut reader = db.reader().await?;
    let standing = sessions::find_live(reader.access(), account, session_id, now).await?;
    drop(reader);
    let Some(standing) = standing else {
        // It is over: whoever asks again is not to be proven wrong by the recorder once more.
        db.recording().remembered.sessions.forget(&session_id.to_owned());
        return Ok(None);
    };
    let few = standing.grants.len() <= MOST_GRANTS;
    let found = Arc::new(SeenSession {
        account: account.clone(),
        session_id: session_id.to_owned(),
        today: now.day(),
        epoch,
        standing,
        allowed: OnceLock::new(),
    });
    if few {
        db.recording().remembered.sessions.keep(session_id.to_owned(), Arc::clone(&found), 1);
    }
    Ok(Some(found))
}

/// What must hold when the record of a read by this is written; nothing for the operator, who
/// has no session. An answer that was kept must also be what would be read now.
pub(super) fn premise(
    allowed: &Allowed<Read>,
    at: Timestamp,
    pay_version: Option<i64>,
) -> Option<Premise> {
    let account = allowed.account();
    let session_id = allowed.principal().session_id()?;
    let who = (account.org.as_str(), session_id, account.username.as_str());
    Some(Premise::new(who, at.as_millis(), allowed.visibility().version(), pay_version))
}
