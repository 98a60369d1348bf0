//! The second factor: codes of an authenticator app (TOTP, RFC 6238), and recovery codes for who
//! has lost it.
//!
//! A code counts once. What is looked at here, beside the password, decides who may go on; the use
//! of the code itself is decided by the database, in the transaction of what it is used for.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::digest::{SHA256, digest};
use totp_rs::{Builder, Totp};

use super::{Sealer, Verdict};
use crate::clock::Timestamp;
use crate::config::Secret;
use crate::domain::Account;
use crate::entropy::{Entropy, EntropyError};
use crate::store::chain::hex;
use crate::store::factors::{self, Factor};
use crate::store::users::{self, HasSecondFactor, SigningIn};
use crate::store::{Access, StoreError, Tx};

/// 160 bits, as long as the output of HMAC-SHA-1 (RFC 4226 section 4, R6).
const SECRET_BYTES: usize = 20;
/// How many digits a code has.
const DIGITS: usize = 6;
/// How many recovery codes somebody has.
pub const RECOVERY_CODES: usize = 10;
/// 80 random bits each.
const RECOVERY_BYTES: usize = 10;
/// Digits and letters that nobody takes for another (Crockford's base 32).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const RECOVERY_LETTERS: usize = RECOVERY_BYTES * 8 / 5;
/// How many letters stand together in a recovery code.
const GROUP: usize = 4;

/// The text is too long for a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a code is six digits, or a recovery code of {RECOVERY_LETTERS} letters and digits")]
pub struct InvalidCode;

/// A code as somebody gave it: six digits, a recovery code, or neither, which is never right.
#[derive(Clone, Debug)]
pub struct Code(Secret<String>);

impl Code {
    /// The longest text that is read, in bytes.
    pub const LONGEST: usize = 64;

    /// Takes a code as people type it: in any case, with spaces and hyphens wherever they like.
    pub fn parse(text: &str) -> Result<Self, InvalidCode> {
        if text.len() > Self::LONGEST {
            return Err(InvalidCode);
        }
        let plain = text.chars().filter(|c| *c != '-' && !c.is_whitespace());
        Ok(Self(Secret::new(plain.map(|c| c.to_ascii_lowercase()).collect())))
    }

    fn digits(&self) -> Option<&str> {
        let text = self.0.expose();
        let is_digits = text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
        is_digits.then_some(text.as_str())
    }

    /// The hash of a recovery code; an empty text, which is the hash of none, for anything else.
    fn recovery_hash(&self, account: &Account) -> String {
        let text = self.0.expose();
        let letters: String = text
            .chars()
            .map(|c| match c {
                'o' => '0',
                'i' | 'l' => '1',
                other => other,
            })
            .collect();
        let is_whole = letters.len() == RECOVERY_LETTERS
            && letters.bytes().all(|letter| ALPHABET.contains(&letter));
        if is_whole { hash(account, &letters) } else { String::new() }
    }
}

/// A fast hash is enough: nobody can try 2^80 codes. It holds the account, so that a list of hashes
/// serves for one account alone.
fn hash(account: &Account, letters: &str) -> String {
    let text = format!("stipend recovery code:{account}:{letters}");
    hex(digest(&SHA256, text.as_bytes()).as_ref())
}

/// New recovery codes, as they are told, once, and as they are kept.
pub(crate) struct RecoveryCodes {
    pub(crate) told: Vec<Secret<String>>,
    pub(crate) hashes: Vec<String>,
}

impl RecoveryCodes {
    /// Makes ten.
    pub(crate) fn make(account: &Account, entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut codes = Self { told: Vec::new(), hashes: Vec::new() };
        for _ in 0..RECOVERY_CODES {
            let mut bytes = [0; RECOVERY_BYTES];
            entropy.fill(&mut bytes)?;
            let number = bytes.iter().fold(0u128, |number, byte| number << 8 | u128::from(*byte));
            let letters: String = (0..RECOVERY_LETTERS)
                .rev()
                .filter_map(|n| ALPHABET.get((number >> (5 * n)) as usize % ALPHABET.len()))
                .map(|letter| char::from(*letter))
                .collect();
            codes.hashes.push(hash(account, &letters));
            let mut told = String::new();
            for (n, letter) in letters.chars().enumerate() {
                if n > 0 && n % GROUP == 0 {
                    told.push('-');
                }
                told.push(letter);
            }
            codes.told.push(Secret::new(told));
        }
        Ok(codes)
    }
}

/// The secret that an authenticator app and the server share.
pub(crate) struct SharedSecret(Totp);

impl SharedSecret {
    /// A new one, of 160 random bits.
    pub(crate) fn make(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut bytes = [0; SECRET_BYTES];
        entropy.fill(&mut bytes)?;
        Self::of(&bytes).ok_or(EntropyError)
    }

    /// SHA-1, six digits, 30 seconds, and a step either way for clocks that are not right (RFC 6238
    /// section 5.2): what every app can do, and some do whatever they are told.
    fn of(bytes: &[u8]) -> Option<Self> {
        Builder::new().with_secret(bytes).build().ok().map(Self)
    }

    /// Seals it for the database.
    pub(crate) fn seal(
        &self,
        sealer: &Sealer,
        account: &Account,
        entropy: &dyn Entropy,
    ) -> Result<String, EntropyError> {
        sealer.seal(&label(account), self.0.secret().as_bytes(), entropy)
    }

    /// What was sealed for the account; none, if it was under another key.
    pub(crate) fn open(sealer: &Sealer, account: &Account, sealed: &str) -> Option<Self> {
        sealer.open(&label(account), sealed).and_then(|bytes| Self::of(bytes.expose()))
    }

    /// As text, in base 32 (RFC 4648 section 6).
    pub(crate) fn base32(&self) -> String {
        self.0.secret().to_base32()
    }

    /// As authenticator apps read it: <https://github.com/google/google-authenticator/wiki/Key-Uri-Format>.
    pub(crate) fn uri(&self, issuer: &str, account: &Account) -> String {
        const ESCAPED: &AsciiSet =
            &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
        // No `:` may stand in an issuer, and the scheme of a URL tells nobody anything.
        let issuer = issuer.split_once("://").map_or(issuer, |(_, rest)| rest).replace(':', " ");
        let issuer = utf8_percent_encode(&issuer, ESCAPED);
        let account = account.to_string();
        let account = utf8_percent_encode(&account, ESCAPED);
        let secret = self.base32();
        format!(
            "otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}\
             &algorithm=SHA1&digits={DIGITS}&period=30"
        )
    }

    /// The time step whose code this is, the one of now or one beside it. Compares in constant time.
    pub(crate) fn step_of(&self, code: &Code, now: Timestamp) -> Option<i64> {
        let seconds = u64::try_from(now.as_secs()).ok()?;
        let step = self.0.check(code.digits()?, seconds)?;
        i64::try_from(step).ok()
    }
}

fn label(account: &Account) -> String {
    format!("totp:{account}")
}

/// What a user is to prove beside their password, and what the code that they gave proves of it.
pub(super) struct Challenge {
    factor: Option<Factor>,
    code: Option<Code>,
    hash: String,
}

/// What somebody has proved beside their password. It counts when it is [spent](GivenFactor::spend).
#[derive(Debug)]
pub struct GivenFactor(Proved);

#[derive(Debug)]
enum Proved {
    /// Nothing, since they have no second factor.
    Nothing,
    /// The code of a time step.
    Step { sealed: String, step: i64 },
    /// A recovery code, by its hash.
    RecoveryCode(String),
}

impl Challenge {
    /// Asks the database for the user and what they are to prove: one statement, whoever it is and
    /// whatever they gave, and from whatever network they may be known since a moment.
    pub(super) async fn find(
        access: Access<'_>,
        account: &Account,
        code: Option<Code>,
        from: (&str, Timestamp),
    ) -> Result<(Option<SigningIn>, Self), StoreError> {
        let hash = code.as_ref().map(|code| code.recovery_hash(account)).unwrap_or_default();
        let found = users::find_to_sign_in(access, account, &hash, from).await?;
        let factor = found.as_ref().map(|found| found.factor.clone());
        Ok((found, Self { factor, code, hash }))
    }

    /// What a password's verdict is worth with the code that came with it: a right one without the
    /// right code is a wrong one. The code is looked at in any case, so that it costs the same.
    pub(super) fn judge(
        self,
        verdict: Verdict,
        account: &Account,
        sealer: &Sealer,
        now: Timestamp,
    ) -> (Verdict, GivenFactor) {
        let is_right = matches!(verdict, Verdict::Right | Verdict::RightButWeak);
        match self.proved(account, sealer, now) {
            Ok(proved) => (verdict, GivenFactor(proved)),
            Err(lack) if is_right => {
                if let Lack::Key = lack {
                    tracing::error!(
                        user = %account,
                        "the secret of a second factor does not open under this database's key, so \
                         no code is right: let them use a recovery code, or take the factor off \
                         them (stipend user reset-factor)"
                    );
                }
                (Verdict::Wrong, GivenFactor::NOTHING)
            }
            Err(_) => (verdict, GivenFactor::NOTHING),
        }
    }

    fn proved(self, account: &Account, sealer: &Sealer, now: Timestamp) -> Result<Proved, Lack> {
        let Some(factor) = self.factor.filter(Factor::is_on) else {
            return Ok(Proved::Nothing);
        };
        if factor.is_recovery_code() {
            return Ok(Proved::RecoveryCode(self.hash));
        }
        let sealed = factor.secret.ok_or(Lack::Key)?;
        let secret = SharedSecret::open(sealer, account, &sealed).ok_or(Lack::Key)?;
        let step = self.code.and_then(|code| secret.step_of(&code, now)).ok_or(Lack::Code)?;
        if factor.last_step.is_some_and(|last| step <= last) {
            return Err(Lack::Code);
        }
        Ok(Proved::Step { sealed, step })
    }
}

/// Why nothing is proved.
enum Lack {
    /// The right code.
    Code,
    /// The key under which the secret was sealed.
    Key,
}

impl GivenFactor {
    /// Of somebody who has no second factor.
    pub(super) const NOTHING: Self = Self(Proved::Nothing);

    /// Whether it is a second factor's.
    pub fn is_second_factor(&self) -> bool {
        self.name().is_some()
    }

    /// What was given, for the record.
    pub fn name(&self) -> Option<&'static str> {
        match self.0 {
            Proved::Nothing => None,
            Proved::Step { .. } => Some("totp"),
            Proved::RecoveryCode(_) => Some("recovery_code"),
        }
    }

    /// Uses the code up, in the transaction of what it is used for, and holds the user's row until
    /// that ends: what is read of the user after this stays so. False if meanwhile the code has been
    /// used, a second factor was turned on or off, or this is not the hash of the password any more.
    pub async fn spend(
        &self,
        tx: &mut Tx,
        account: &Account,
        hash: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let held = users::hold(tx.access(), account, hash).await?;
        if held != Some(HasSecondFactor(self.is_second_factor())) {
            return Ok(false);
        }
        match &self.0 {
            Proved::Nothing => Ok(true),
            Proved::Step { sealed, step } => {
                factors::use_step(tx.access(), account, sealed, *step).await
            }
            Proved::RecoveryCode(hash) => {
                factors::use_recovery_code(tx.access(), account, hash, now).await
            }
        }
    }
}

#[cfg(test)]
mod tests;
