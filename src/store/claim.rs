//! What somebody may see as far as is remembered, which only [`super::disclosure`] can turn into rows.

use std::sync::Arc;

use super::disclosure::Withheld;
use super::proof::Proof;
use super::sessions::{self, LiveSession, Remembered};
use super::{Db, StoreError};
use crate::clock::Timestamp;
use crate::domain::Account;
use crate::policy::{Allowed, Denied, Principal, Read};

/// Sessions of somebody with more grants are not remembered.
const MOST_GRANTS: usize = 64;

/// That somebody may see pay, which may have been so a while ago and not be now. It gives nothing but
/// who asks: the record of a read is written only if all of it still holds, and rows are given only
/// after that.
#[derive(Debug)]
pub struct Claim(Allowed<Read>);

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
    fn from(allowed: Allowed<Read>) -> Self {
        Self(allowed)
    }
}

impl Claim {
    /// The claim of whoever bears a token: from memory where their session was seen today, else from
    /// the database. None where there is no such session, or `accepts` does not take it.
    ///
    /// That somebody may not see pay is never said from memory.
    pub async fn of(
        db: &Db,
        bearer: Bearer,
        now: Timestamp,
        accepts: impl Fn(&LiveSession) -> bool,
    ) -> Result<Option<Result<Self, Denied>>, StoreError> {
        let Bearer { account, session_id, perms } = bearer;
        let allowed = |session: &LiveSession| {
            let standing = session.standing.clone();
            let (account, session_id, perms) = (account.clone(), session_id.clone(), perms.clone());
            Principal::new(account, session_id, perms, standing).allow::<Read>(now.day())
        };
        let key = (account.org.to_string(), session_id.clone());
        let remembered = db.trail().sessions.find(&key).filter(|remembered| {
            remembered.username == account.username
                && remembered.today == now.day()
                && accepts(&remembered.session)
        });
        if let Some(Ok(allowed)) = remembered.map(|remembered| allowed(&remembered.session)) {
            return Ok(Some(Ok(Self(allowed))));
        }
        let found = Box::pin(look_up(db, &account, &session_id, now)).await?;
        let accepted = found.filter(|found| accepts(&found.session));
        Ok(accepted.map(|found| allowed(&found.session).map(Self)))
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
    pub(super) fn allowed(self) -> Allowed<Read> {
        self.0
    }
}

/// What the holder may see now, asked from the database.
pub(super) async fn renew(
    db: &Db,
    allowed: &Allowed<Read>,
    now: Timestamp,
) -> Result<Allowed<Read>, Withheld> {
    let Some(session_id) = allowed.principal().session_id() else {
        // The operator's command line has no session, and may always do everything.
        return Ok(allowed.renew(allowed.principal().standing().clone())?);
    };
    let found = look_up(db, allowed.account(), session_id, now).await?;
    let found = found.ok_or(Withheld::SessionEnded)?;
    Ok(allowed.renew(found.session.standing.clone())?)
}

/// The session as the database has it, which is remembered.
async fn look_up(
    db: &Db,
    account: &Account,
    session_id: &str,
    now: Timestamp,
) -> Result<Option<Arc<Remembered>>, StoreError> {
    let mut reader = db.reader().await?;
    let session = sessions::find_live(reader.access(), account, session_id, now).await?;
    drop(reader);
    let Some(session) = session else { return Ok(None) };
    let few = session.standing.grants.len() <= MOST_GRANTS;
    let username = account.username.clone();
    let found = Arc::new(Remembered { username, today: now.day(), session });
    if few {
        let key = (account.org.to_string(), session_id.to_owned());
        db.trail().sessions.keep(key, Arc::clone(&found), 1);
    }
    Ok(Some(found))
}

/// What must hold when the record of a read by this proof is written; nothing for the operator, who
/// has no session. An answer that was kept must also be what would be read now.
pub(super) fn proof(
    allowed: &Allowed<Read>,
    at: Timestamp,
    pay_version: Option<i64>,
) -> Option<Proof> {
    let account = allowed.account();
    let session_id = allowed.principal().session_id()?;
    let who = (account.org.as_str(), session_id, account.username.as_str());
    Some(Proof::new(who, at.as_millis(), allowed.visibility().version(), pay_version))
}
