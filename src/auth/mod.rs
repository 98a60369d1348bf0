//! Who is asking: sign in, identify, sign out.
//!
//! A token says who and in which session; what they may do is read from the database at every
//! request. So ending a session, a grant or a user acts on the very next one.

mod crypto;
mod keys;
mod last_used;
mod password;
mod seal;
mod signer;
mod token;
mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{Config, ConfigError, Secret, Tokens};
use crate::domain::{Account, OrgName, Permission};
use crate::entropy::{Entropy, EntropyError, random_id};
use crate::policy::Principal;
use crate::store::audit::{self, Action, Origin, Record};
use crate::store::sessions::{NewSession, Opener};
use crate::store::{Db, OpenError, StoreError, sessions, users};

pub use keys::{KeyError, Keys, Root};
pub use last_used::LastUsed;
pub use password::{Gate, GateError, Verdict};
pub use seal::Sealer;
pub use signer::{Signer, SigningError};
pub use upkeep::Upkeep;

/// The two ports through which time and randomness come in.
#[derive(Clone)]
pub struct Ports {
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
}

/// Everything that it takes to let somebody in.
pub struct Auth {
    /// The database.
    pub db: Db,
    /// Time and randomness.
    pub ports: Ports,
    /// Where passwords are hashed.
    pub gate: Gate,
    /// Seals what the database must keep and nobody may read in a copy of it.
    pub sealer: Sealer,
    /// When sessions were used, as far as that is not in the database yet.
    pub last_used: Arc<LastUsed>,
    keys: Keys,
    tokens: Tokens,
    demo: bool,
    default_org: OrgName,
    max_sign_in_age: Duration,
}

/// The server cannot start; the sentence says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The signing key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The hashing threads.
    #[error("the hashing threads cannot be started ({0})")]
    Threads(#[from] std::io::Error),
}

/// What somebody signs in with.
#[derive(Debug)]
pub struct Credentials {
    /// `NAME`, or `ORG/NAME`.
    pub username: String,
    /// The password, whole.
    pub password: Secret<String>,
    /// The permissions that the token is to be narrowed to; none for all that the user holds.
    pub perms: Option<Vec<Permission>>,
}

/// A new token, and what a client needs to know of it (RFC 6749 section 5.1).
#[derive(Debug)]
pub struct Issued {
    /// The JWT.
    pub token: Secret<String>,
    /// For how many seconds it is valid.
    pub expires_in: u64,
    /// The permissions that it names.
    pub perms: Vec<String>,
}

/// Nobody was let in.
#[derive(Debug, thiserror::Error)]
pub enum LogInError {
    /// No such user, a wrong password, a disabled user, a demo user outside demo mode: one answer.
    #[error("user name or password is wrong")]
    WrongCredentials,
    /// Too many are waiting for their passwords to be hashed.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// The session could not be opened or put on record.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no randomness for a session's id.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The token could not be signed.
    #[error(transparent)]
    Signing(#[from] SigningError),
}

/// Nobody was identified.
#[derive(Debug, thiserror::Error)]
pub enum IdentifyError {
    /// The token is not valid, or its session, user or key is not any more.
    #[error("the token is not valid")]
    InvalidToken,
    /// The database could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Auth {
    /// Opens the database, reads the key, and starts the hashing threads.
    pub async fn open(config: &Config, ports: Ports) -> Result<Self, StartError> {
        let default_org = default_org(config)?;
        let root = Root::load(&config.key, ports.entropy.as_ref())?;
        let (keys, sealer) = (Keys::of(&root), root.sealer()?);
        let db = Db::open(&config.database).await?;
        let gate = Gate::start(config.passwords)?;
        let (tokens, demo) = (config.tokens.clone(), config.access.demo);
        let max_sign_in_age = config.access.max_sign_in_age;
        let last_used = Arc::default();
        Ok(Self {
            db,
            ports,
            gate,
            sealer,
            last_used,
            keys,
            tokens,
            demo,
            default_org,
            max_sign_in_age,
        })
    }

    /// What signs the tokens of new sessions.
    pub fn signer(&self) -> Signer<'_> {
        Signer::new(&self.keys, &self.tokens)
    }

    /// How long ago somebody may have signed in who changes who may do what.
    pub fn max_sign_in_age(&self) -> Duration {
        self.max_sign_in_age
    }

    /// Lets a user in: opens a session, puts that on record, and issues its token.
    pub async fn log_in(
        &self,
        credentials: Credentials,
        origin: &Origin,
    ) -> Result<Issued, LogInError> {
        let wanted = credentials.perms.clone();
        let (account, verified) = self.verify(credentials, origin).await?;
        let now = self.ports.clock.now();
        let (signer, lifetime) = (self.signer(), self.tokens.ttl);
        let session_id = random_id(self.ports.entropy.as_ref())?;

        let mut tx = self.db.begin().await?;
        // Hashing takes a while: the user may have been disabled since, or the password changed.
        let user = users::find_with_permissions(tx.access(), &account, now.day()).await?;
        let Some((_, mut perms)) =
            user.filter(|(user, _)| self.may_sign_in(user) && user.password_hash == verified)
        else {
            log_attempt("refused", Some(&account), origin);
            return Err(LogInError::WrongCredentials);
        };
        if let Some(wanted) = wanted {
            perms.retain(|held| wanted.iter().any(|permission| permission.name() == held));
        }
        let session = NewSession {
            session_id: &session_id,
            account: &account,
            opener: Opener::LogIn,
            perms: &perms,
            client: &origin.client,
            kid: signer.kid(),
            second_factor: false,
            now,
            lifetime,
        };
        sessions::open(tx.access(), &session).await?;
        let record = Record::of(&account, Some(&session_id), Action::LogIn, now, origin);
        audit::append(tx.access(), &record).await?;
        tx.commit().await?;

        let token = signer.sign(&account, &session_id, perms.clone(), now, lifetime)?;
        log_attempt("let in", Some(&account), origin);
        Ok(Issued { token, expires_in: lifetime.as_secs(), perms })
    }

    /// The account whose password this is, and the hash that says so. Every failure takes the same
    /// steps and the same time.
    async fn verify(
        &self,
        Credentials { username, password, .. }: Credentials,
        origin: &Origin,
    ) -> Result<(Account, String), LogInError> {
        let account = Account::parse(&username, &self.default_org).ok();
        let user = match &account {
            Some(account) => {
                let mut reader = self.db.reader().await?;
                let user = users::find(reader.access(), account).await?;
                user.filter(|user| self.may_sign_in(user))
            }
            None => None,
        };
        let stored = user.map(|user| user.password_hash);
        let verdict = self.gate.verify(password.clone(), stored.clone()).await?;
        match (account.zip(stored), verdict) {
            (Some(verified), Verdict::Right) => Ok(verified),
            (Some((account, stored)), Verdict::RightButWeak) => {
                let stored = self.rehash(&account, password, stored).await;
                Ok((account, stored))
            }
            (known, _) => {
                log_attempt("refused", known.map(|(account, _)| account).as_ref(), origin);
                Err(LogInError::WrongCredentials)
            }
        }
    }

    /// Whether a user may sign in at all.
    fn may_sign_in(&self, user: &users::User) -> bool {
        !user.is_disabled() && (self.demo || !user.is_demo())
    }

    /// Replaces a hash that costs less than is asked of one now, while the password is at hand;
    /// gives the one that stands then. If that fails, the next login tries again; this one goes on.
    async fn rehash(&self, account: &Account, password: Secret<String>, old: String) -> String {
        let replaced = async {
            let new = self.gate.hash(password, self.ports.entropy.as_ref()).await?;
            let mut tx = self.db.begin().await?;
            users::replace_password_hash(tx.access(), account, &old, &new).await?;
            tx.commit().await?;
            Ok::<_, LogInError>(new)
        };
        match replaced.await {
            Ok(new) => new,
            Err(error) => {
                tracing::warn!(%error, "a weak password hash was not replaced");
                old
            }
        }
    }

    /// Who bears this token, with what the database says that they may do now.
    pub async fn identify(&self, token: &str) -> Result<Principal, IdentifyError> {
        let now = self.ports.clock.now();
        let verified = token::verify(&self.keys, &self.tokens, token, now)
            .map_err(|_| IdentifyError::InvalidToken)?;
        let mut reader = self.db.reader().await?;
        let session =
            sessions::find_live(reader.access(), &verified.account, &verified.session_id, now)
                .await?
                .filter(|session| self.demo || !session.is_demo)
                // A token cannot outlive what its session was opened for, whatever it says of itself.
                .filter(|session| verified.lifetime <= session.lifetime)
                .ok_or(IdentifyError::InvalidToken)?;
        let (account, session_id) = (verified.account, verified.session_id);
        self.last_used.note(&account.org, &session_id, now);
        Ok(Principal::new(account, session_id, verified.perms, session.standing))
    }

    /// Ends the caller's session, on record.
    pub async fn log_out(&self, caller: &Principal, origin: &Origin) -> Result<(), StoreError> {
        let now = self.ports.clock.now();
        let account = caller.account();
        let mut tx = self.db.begin().await?;
        if let Some(session_id) = caller.session_id() {
            sessions::end(tx.access(), account, session_id, now).await?;
        }
        let record = Record::of(account, caller.session_id(), Action::LogOut, now, origin);
        let record = Record { token: caller.token_name(), ..record };
        audit::append(tx.access(), &record).await?;
        tx.commit().await
    }
}

/// The org of a user name that is given without one.
pub fn default_org(config: &Config) -> Result<OrgName, ConfigError> {
    OrgName::parse(&config.access.default_org)
        .map_err(|error| ConfigError::new(format!("setting `default_org`: {error}")))
}

/// Logs a login. A name that is nobody's is left out: people type passwords into the wrong field.
fn log_attempt(outcome: &str, account: Option<&Account>, origin: &Origin) {
    tracing::info!(
        outcome,
        user = account.map(tracing::field::display),
        client = origin.client,
        request_id = origin.request_id,
        "login"
    );
}
