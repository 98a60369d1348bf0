//! Who is asking: sign in, identify, sign out.
//!
//! A token says who and in which session; what they may do is read from the database at every
//! request. So ending a session, a grant or a user acts on the very next one.

pub mod checkpoint;
mod crypto;
mod housekeeping;
pub mod keys;
mod password;
mod root;
mod seal;
pub mod sealing;
mod token;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use housekeeping::House;
use keys::SigningError;
use sealing::Asking;
use token::{InvalidToken, Verified};

use crate::config::{Config, ConfigError, Secret, Tokens};
use crate::domain::{Account, OrgName, Permission};
use crate::entropy::{Entropy, EntropyError, random_id};
use crate::policy::Principal;
use crate::store::audit::{self, Action, Origin, Record};
use crate::store::sessions::{NewSession, Opener};
use crate::store::{Db, OpenError, StoreError, sessions, users};

pub use housekeeping::Housekeeping;
pub use keys::Keys;
pub use password::{Gate, GateError, Verdict};
pub use root::{KeyError, Root};
pub use seal::Sealer;

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
    pub sealer: Arc<Sealer>,
    /// The keys that sign and verify.
    pub keys: Arc<Keys>,
    /// What the server does by itself.
    pub housekeeping: Arc<Housekeeping>,
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
    /// The database, once it is open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The configured key.
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
    #[error("the token could not be signed")]
    Signing,
}

impl From<SigningError> for LogInError {
    fn from(error: SigningError) -> Self {
        match error {
            SigningError::Store(error) => error.into(),
            SigningError::NoKey => Self::Signing,
        }
    }
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
    /// Reads the key, opens the database and its keys, and starts the hashing threads and the
    /// housekeeping.
    pub async fn open(config: &Config, ports: Ports) -> Result<Self, StartError> {
        let default_org = default_org(config)?;
        let root = Root::read(&config.key)?;
        let db = Db::open(&config.database).await?;
        let sealer = sealing::open(&db, &config.key, root, &ports, Asking::Server).await?;
        let keys = Arc::new(Keys::new(sealer.clone()));
        keys.read(&db, ports.clock.now()).await?;
        let gate = Gate::start(config.passwords)?;
        let (tokens, demo) = (config.tokens.clone(), config.access.demo);
        let max_sign_in_age = config.access.max_sign_in_age;
        let house = House {
            db: db.clone(),
            ports: ports.clone(),
            keys: keys.clone(),
            logged: Mutex::default(),
        };
        let housekeeping = Arc::new(Housekeeping::start(house));
        Ok(Self {
            db,
            ports,
            gate,
            sealer,
            keys,
            housekeeping,
            tokens,
            demo,
            default_org,
            max_sign_in_age,
        })
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
        let key = self.keys.signing(tx.access(), now).await?;
        let session = NewSession {
            session_id: &session_id,
            account: &account,
            opener: Opener::LogIn,
            perms: &perms,
            client: &origin.client,
            kid: key.kid(),
            second_factor: false,
            now,
            lifetime: self.tokens.ttl,
        };
        sessions::open(tx.access(), &session).await?;
        let record = Record::of(&account, Some(&session_id), Action::LogIn, now, origin);
        audit::append(tx.access(), &record).await?;
        tx.commit().await?;

        let token = token::issue(&key, &self.tokens, &account, &session_id, perms.clone(), now)
            .map_err(|_| LogInError::Signing)?;
        log_attempt("let in", Some(&account), origin);
        Ok(Issued { token: Secret::new(token), expires_in: self.tokens.ttl.as_secs(), perms })
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

    /// What a token says, by the keys in memory; they are read again for one that another node may
    /// have added just now.
    async fn verify_token(&self, token: &str, now: Timestamp) -> Result<Verified, IdentifyError> {
        let ring = self.keys.ring();
        let verified = match token::verify(&ring, &self.tokens, token, now) {
            Err(InvalidToken::UnknownKey) => {
                let ring = self.keys.read_since(&ring, &self.db, now).await?;
                token::verify(&ring, &self.tokens, token, now)
            }
            verified => verified,
        };
        verified.map_err(|_| IdentifyError::InvalidToken)
    }

    /// Who bears this token, with what the database says that they may do now.
    pub async fn identify(&self, token: &str) -> Result<Principal, IdentifyError> {
        let now = self.ports.clock.now();
        let verified = self.verify_token(token, now).await?;
        let mut reader = self.db.reader().await?;
        let session =
            sessions::find_live(reader.access(), &verified.account, &verified.session_id, now)
                .await?
                .filter(|session| self.demo || !session.is_demo)
                // A token cannot outlive what its session was opened for, whatever it says of itself.
                .filter(|session| verified.lifetime <= session.lifetime)
                // Nor can another key sign for it than the one that it was opened under.
                .filter(|session| session.kid.as_ref().is_none_or(|kid| *kid == verified.kid))
                .ok_or(IdentifyError::InvalidToken)?;
        let (account, session_id) = (verified.account, verified.session_id);
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
