//! Who is asking: sign in, identify, sign out.
//!
//! A token says who and in which session; what they may do is asked from the database at every
//! request, for a read of pay by the statement that puts it on record. So ending a session, a grant
//! or a user acts on the very next one.

pub mod checkpoint;
mod crypto;
#[cfg(fuzzing)]
pub mod fuzzing;
mod housekeeping;
pub mod keys;
mod last_used;
mod password;
mod root;
mod seal;
pub mod sealing;
mod second_factor;
mod signer;
mod throttle;
mod token;
pub mod trusted;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;

use housekeeping::House;
use sealing::Asking;
use throttle::{Attempt, Source};
use token::{InvalidToken, Verified, Verifier};

use crate::clock::{Clock, Timestamp};
use crate::config::{Config, ConfigError, Secret, Tokens};
use crate::domain::{Account, OrgName, Permission};
use crate::entropy::{Entropy, EntropyError, random_id};
use crate::policy::{Denied, Principal, Terms};
use crate::store::audit::{self, Action, Origin, Record};
use crate::store::sessions::{NewSession, Opener};
use crate::store::{Bearer, Claim, Db, OpenError, StoreError, sessions, users};

pub use housekeeping::{Housekeeping, prune_sessions};
pub use keys::{Keys, SigningError};
pub use last_used::LastUsed;
pub use password::{Gate, GateError, Verdict};
pub use root::{KeyError, Root};
pub use seal::Sealer;
use second_factor::Challenge;
pub use second_factor::{Code, GivenFactor, InvalidCode, RECOVERY_CODES};
pub(crate) use second_factor::{RecoveryCodes, SharedSecret};
pub use signer::{Signer, SigningKey};
pub use throttle::{Throttle, Throttled};

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
    /// What slows the guessing of passwords down.
    pub throttle: Throttle,
    /// When sessions were used, as far as that is not in the database yet.
    pub last_used: Arc<LastUsed>,
    /// The places for files that are imported, each of which takes some hundred MB of memory.
    pub imports: Arc<Semaphore>,
    verifier: Verifier,
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

/// How many imports go on at once.
const IMPORTS: usize = 2;

/// What somebody signs in with.
#[derive(Debug)]
pub struct Credentials {
    /// `NAME`, or `ORG/NAME`.
    pub username: String,
    /// The password, whole.
    pub password: Secret<String>,
    /// The permissions that the token is to be narrowed to; none for all that the user holds.
    pub perms: Option<Vec<Permission>>,
    /// A code of the second factor, if they gave one.
    pub code: Option<Code>,
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

/// Somebody whose password, and code if they need one, are right.
struct Admitted {
    account: Account,
    /// The hash that says so of the password.
    hash: String,
    /// What says so of the code.
    proof: GivenFactor,
    attempt: Arc<Attempt>,
}

/// What somebody has to know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Demand {
    /// The password, and a code, if they have a second factor.
    Both,
    /// The password: they have signed in with the code already, a short while ago.
    Password,
}

/// Nobody was let in.
#[derive(Debug, thiserror::Error)]
pub enum LogInError {
    /// No such user, a wrong password, one that was made for them and has expired, a missing, wrong or
    /// used code, a disabled user, a demo user outside demo mode: one answer.
    #[error("user name or password is wrong")]
    WrongCredentials,
    /// Too many sign-ins have failed, of this name or from this network. Nobody looked at the
    /// password.
    #[error("too many sign-ins have failed")]
    Throttled(Throttled),
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

/// Nobody was identified who may see pay.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The token.
    #[error(transparent)]
    Identify(#[from] IdentifyError),
    /// The permission is missing.
    #[error(transparent)]
    Denied(#[from] Denied),
}

impl Auth {
    /// Reads the key, opens the database and its keys, and starts the hashing threads and the
    /// housekeeping.
    pub async fn open(config: &Config, ports: Ports) -> Result<Self, StartError> {
        let default_org = default_org(config)?;
        // A key that cannot be used is told before there is a database.
        Root::read(&config.key)?;
        let db = Db::open(&config.database).await?;
        db.check_guards(&config.database).await?;
        let sealer = sealing::open(&db, &config.key, &ports, Asking::Server).await?;
        let keys = Arc::new(Keys::new(sealer.clone()));
        keys.read(&db, ports.clock.now()).await?;
        let gate = Gate::start(config.passwords)?;
        let (tokens, demo) = (config.tokens.clone(), config.access.demo);
        let throttle = Throttle::new(&sealer);
        let max_sign_in_age = config.access.max_sign_in_age;
        let last_used: Arc<LastUsed> = Arc::default();
        let house = House {
            db: db.clone(),
            ports: ports.clone(),
            keys: keys.clone(),
            logged: Mutex::default(),
            last_used: Arc::clone(&last_used),
        };
        let housekeeping = Arc::new(Housekeeping::start(house));
        Ok(Self {
            db,
            ports,
            gate,
            throttle,
            sealer,
            keys,
            housekeeping,
            last_used,
            imports: Arc::new(Semaphore::new(IMPORTS)),
            verifier: Verifier::new(tokens.clone()),
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

    /// Who issues tokens, as people know it.
    pub fn issuer(&self) -> &str {
        &self.tokens.issuer
    }

    /// Lets a user in: opens a session, puts that on record, and issues its token.
    pub async fn log_in(
        &self,
        credentials: Credentials,
        origin: &Origin,
    ) -> Result<Issued, LogInError> {
        let wanted = credentials.perms.clone();
        let Admitted { account, hash, proof, attempt } =
            self.verify(credentials, Demand::Both, origin).await?;
        let now = self.ports.clock.now();
        let lifetime = self.tokens.ttl;
        let session_id = random_id(self.ports.entropy.as_ref())?;

        let mut tx = self.db.begin().await?;
        // Hashing takes a while: the password may have been changed since, or the user disabled.
        let is_proved = proof.spend(&mut tx, &account, &hash, now).await?;
        let user = users::find_with_permissions(tx.access(), &account, now.day()).await?;
        let Some((_, mut perms)) =
            user.filter(|(user, _)| is_proved && self.may_sign_in(user, now))
        else {
            drop(tx);
            return Err(self.refuse(&attempt, Some(&account), origin).await);
        };
        if let Some(wanted) = wanted {
            perms.retain(|held| wanted.iter().any(|permission| permission.name() == held));
        }
        let key = self.signer().key(tx.access(), now).await?;
        let session = NewSession {
            session_id: &session_id,
            account: &account,
            opener: Opener::LogIn,
            perms: &perms,
            client: &origin.client,
            kid: key.kid(),
            second_factor: proof.is_second_factor(),
            now,
            lifetime,
        };
        sessions::open(tx.access(), &session).await?;
        self.throttle.succeeded(tx.access(), &attempt, &account, now).await?;
        let mut record = Record::of(&account, Some(&session_id), Action::LogIn, now, origin);
        record
            .detail
            .to_mut()
            .extend(proof.name().map(|name| ("second_factor".to_owned(), name.into())));
        audit::append(tx.access(), &record).await?;
        tx.commit().await?;
        attempt.forget();

        let token = key.sign(&account, &session_id, perms.clone(), now, lifetime)?;
        log_attempt("let in", Some(&account), origin);
        Ok(Issued { token, expires_in: lifetime.as_secs(), perms })
    }

    /// The account whose password this is, and whose code. Every failure takes the same steps and
    /// the same time.
    async fn verify(
        &self,
        Credentials { username, password, code, .. }: Credentials,
        asked: Demand,
        origin: &Origin,
    ) -> Result<Admitted, LogInError> {
        let account = Account::parse(&username, &self.default_org).ok();
        let mut reader = self.db.reader().await?;
        let clock = &self.ports.clock;
        let network = throttle::network(&origin.client);
        let from = (network.as_str(), throttle::known_since(clock.now()));
        let (found, challenge) = match &account {
            Some(account) => {
                let asked = Challenge::find(reader.access(), account, code, from).await?;
                (asked.0, Some(asked.1))
            }
            None => (None, None),
        };
        let source =
            Source { known_at: found.as_ref().and_then(users::SigningIn::known_at), network };
        let attempt = self.throttle.begin(&mut reader, account.as_ref(), source, clock).await?;
        let user = found.map(|found| found.user);
        drop(reader);
        let now = clock.now();
        let stored = user.filter(|user| self.may_sign_in(user, now)).map(|user| user.password_hash);
        let known = account.zip(stored.clone());
        let verdict = match attempt.admit() {
            Ok(()) => self.gate.verify(password.clone(), stored, attempt.clone()).await?,
            Err(throttled) => Verdict::Throttled(throttled),
        };
        let (verdict, proof) = match (&known, challenge) {
            (Some((account, _)), Some(challenge)) if asked == Demand::Both => {
                challenge.judge(verdict, account, &self.sealer, now)
            }
            _ => (verdict, GivenFactor::NOTHING),
        };
        match (known, verdict) {
            (Some((account, hash)), Verdict::Right) => {
                Ok(Admitted { account, hash, proof, attempt })
            }
            (Some((account, hash)), Verdict::RightButWeak) => {
                let hash = self.rehash(&account, password, hash, &attempt).await;
                Ok(Admitted { account, hash, proof, attempt })
            }
            (known, Verdict::Throttled(throttled)) => {
                log_attempt("throttled", known.as_ref().map(|(account, _)| account), origin);
                Err(LogInError::Throttled(throttled))
            }
            (known, _) => {
                let account = known.as_ref().map(|(account, _)| account);
                Err(self.refuse(&attempt, account, origin).await)
            }
        }
    }

    /// Counts a failed attempt and says that it has failed; the account is one that exists. The
    /// answer waits until the count is durable.
    async fn refuse(
        &self,
        attempt: &Attempt,
        account: Option<&Account>,
        origin: &Origin,
    ) -> LogInError {
        let counted = self.throttle.failed(&self.db, attempt).await;
        log_attempt("refused", account, origin);
        match counted {
            Ok(()) => LogInError::WrongCredentials,
            Err(error) => error.into(),
        }
    }

    /// Whether a user may sign in at all.
    fn may_sign_in(&self, user: &users::User, now: Timestamp) -> bool {
        !user.is_disabled() && !user.password_has_expired(now) && (self.demo || !user.is_demo())
    }

    /// Replaces a hash that costs less than is asked of one now, while the password is at hand;
    /// gives the one that stands then. If that fails, the next login tries again; this one goes on.
    async fn rehash(
        &self,
        account: &Account,
        password: Secret<String>,
        old: String,
        attempt: &Arc<Attempt>,
    ) -> String {
        let replaced = async {
            let new = self.gate.hash(password.clone(), self.ports.entropy.as_ref()).await?;
            let mut tx = self.db.begin().await?;
            let replaced = users::replace_password_hash(tx.access(), account, &old, &new).await?;
            tx.commit().await?;
            if replaced {
                return Ok(Some(new));
            }
            // Another sign-in was quicker, or somebody has changed the password.
            let mut reader = self.db.reader().await?;
            let stands =
                users::find(reader.access(), account).await?.map(|user| user.password_hash);
            drop(reader);
            let verdict = self.gate.verify(password, stands.clone(), Arc::clone(attempt)).await?;
            Ok::<_, LogInError>(stands.filter(|_| verdict == Verdict::Right))
        };
        match replaced.await {
            Ok(new) => new.unwrap_or(old),
            Err(error) => {
                tracing::warn!(%error, "a weak password hash was not replaced");
                old
            }
        }
    }

    /// Has somebody who is signed in say their password again, with all that slows guessing down;
    /// gives the hash that says that it is right.
    pub async fn prove_password(
        &self,
        caller: &Principal,
        password: Secret<String>,
        origin: &Origin,
    ) -> Result<String, LogInError> {
        Ok(self.prove_again(caller, password, None, Demand::Password, origin).await?.hash)
    }

    /// The same with a code, as a sign-in has it. What was proved by that counts when it is spent.
    pub async fn prove_both(
        &self,
        caller: &Principal,
        password: Secret<String>,
        code: Code,
        origin: &Origin,
    ) -> Result<(String, GivenFactor), LogInError> {
        let proved = self.prove_again(caller, password, Some(code), Demand::Both, origin).await?;
        Ok((proved.hash, proved.proof))
    }

    async fn prove_again(
        &self,
        caller: &Principal,
        password: Secret<String>,
        code: Option<Code>,
        asked: Demand,
        origin: &Origin,
    ) -> Result<Admitted, LogInError> {
        let username = caller.account().to_string();
        self.verify(Credentials { username, password, code, perms: None }, asked, origin).await
    }

    /// What a token says, by the keys in memory; they are read again for one that another node may
    /// have added just now.
    async fn verify_token(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Arc<Verified>, IdentifyError> {
        let ring = self.keys.ring();
        let verified = match self.verifier.verify(&ring, token, now) {
            Err(InvalidToken::UnknownKey) => {
                let ring = Box::pin(self.keys.read_since(&ring, &self.db, now)).await?;
                self.verifier.verify(&ring, token, now)
            }
            verified => verified,
        };
        verified.map_err(|_| IdentifyError::InvalidToken)
    }

    /// Who bears this token, with what the database says that they may do now.
    pub async fn identify(&self, token: &str) -> Result<Principal, IdentifyError> {
        let now = self.ports.clock.now();
        let verified = self.verify_token(token, now).await?;
        self.gate.give_way();
        let mut reader = self.db.reader().await?;
        let Bearer { account, session_id, perms } = &verified.bearer;
        let standing = sessions::find_live(reader.access(), account, session_id, now)
            .await?
            .filter(|standing| self.accepts(&standing.terms, &verified))
            .ok_or(IdentifyError::InvalidToken)?;
        self.last_used.note(&account.org, session_id, now);
        let (account, session_id) = (account.clone(), session_id.clone());
        Ok(Principal::new(account, session_id, perms.clone(), standing))
    }

    /// Who bears this token, for a read of pay: what they may see may come from memory, and is proven
    /// by the record of the read.
    pub async fn claim(&self, token: &str) -> Result<Claim, ClaimError> {
        let now = self.ports.clock.now();
        let verified = self.verify_token(token, now).await?;
        self.gate.give_way();
        let accepts = |terms: &Terms| self.accepts(terms, &verified);
        let claim = Claim::of(&self.db, &verified.bearer, now, accepts)
            .await
            .map_err(IdentifyError::from)?;
        let claim = claim.ok_or(IdentifyError::InvalidToken)??;
        claim.session_id().inspect(|id| self.last_used.note(&claim.account().org, id, now));
        Ok(claim)
    }

    /// Whether a token may be one of a session on those terms, whatever the session's user may do.
    fn accepts(&self, terms: &Terms, token: &Verified) -> bool {
        (self.demo || !terms.is_demo)
            // A token cannot outlive what its session was opened for, whatever it says of itself.
            && token.lifetime <= terms.lifetime
            // Nor can another key sign for it than the one that it was opened under.
            && terms.kid.as_ref().is_none_or(|opener| *opener == token.kid)
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
        org = account.map(|account| account.org.as_str()),
        user = account.map(tracing::field::display),
        client = origin.client,
        request_id = origin.request_id,
        "login"
    );
}
