//! The keys that sign and verify tokens.
//!
//! The bytes of the key's text are the HMAC key, so that any JWT library verifies with that text.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use ring::{digest, hmac};

use super::crypto;
use crate::config::{KeySource, Secret};
use crate::entropy::Entropy;

/// An HS256 key is at least as long as its hash (RFC 7518 section 3.2).
const LEAST_BYTES: usize = 32;
/// A text of 32 random bytes has far more different characters than this, in any encoding.
const LEAST_DIFFERENT_BYTES: usize = 10;

/// Keys of 32 bytes and more that were published, as text: of RFC 7515 A.1, RFC 7520 5.9, jwt.io.
const PUBLISHED: &[&str] = &[
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg",
    "a-string-secret-at-least-256-bits-long",
    "your-256-bit-secret-your-256-bit-secret",
    "secretsecretsecretsecretsecretsecret",
    "my-32-character-ultra-secure-and-ultra-long-secret",
];

/// There is no key to start with; the sentence says what to do and never shows the key.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(String);

/// A key: the algorithm comes from it, never from a token.
pub(super) struct Key {
    kid: String,
    algorithm: Algorithm,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

/// The keys by `kid`; one signs.
pub struct Keys {
    signing: Key,
    configured: hmac::Key,
}

impl Keys {
    /// Reads the key, or generates it where the source is the default file and that is missing.
    pub fn load(source: &KeySource, entropy: &dyn Entropy) -> Result<Self, KeyError> {
        let text = match source {
            KeySource::Value(text) => text.clone(),
            KeySource::File(path) => read(path)?,
            KeySource::Generated(path) => match generate(path, entropy)? {
                Some(text) => text,
                None => read(path)?,
            },
        };
        refuse_weak(text.expose(), source)?;
        crypto::install();
        let configured = hmac::Key::new(hmac::HMAC_SHA256, text.expose().as_bytes());
        Ok(Self { signing: Key::hs256(text.expose()), configured })
    }

    /// A key for another purpose, from the configured key: whoever is told one cannot tell the
    /// other. The purpose has no `.` in it, as whatever a token's signature is made from has.
    pub(super) fn derive(&self, purpose: &str) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&self.configured, purpose.as_bytes()).as_ref())
    }

    /// The key that signs.
    pub(super) fn signing(&self) -> &Key {
        &self.signing
    }

    /// The key of exactly that id. No other is tried.
    pub(super) fn find(&self, kid: &str) -> Option<&Key> {
        Some(&self.signing).filter(|key| key.kid == kid)
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys([{}])", self.signing.kid)
    }
}

impl Key {
    fn hs256(text: &str) -> Self {
        // Names the key without telling it: the hash of 32 random bytes cannot be turned back.
        let hash = digest::digest(&digest::SHA256, text.as_bytes());
        let kid = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self {
            kid,
            algorithm: Algorithm::HS256,
            encoding: EncodingKey::from_secret(text.as_bytes()),
            decoding: DecodingKey::from_secret(text.as_bytes()),
        }
    }

    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn encoding(&self) -> &EncodingKey {
        &self.encoding
    }

    pub(super) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }
}

/// Reads a key file: its text without the line break at its end.
fn read(path: &Path) -> Result<Secret<String>, KeyError> {
    let shown = path.display();
    let mode = std::fs::metadata(path)
        .map_err(|error| KeyError(format!("the key file {shown} cannot be read ({error})")))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(KeyError(format!(
            "the key file {shown} can be read by others (mode {:03o}): chmod 600 {shown}, and if \
             others may have read it, replace the key",
            mode & 0o777
        )));
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| KeyError(format!("the key file {shown} cannot be read ({error})")))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    Ok(Secret::new(text.to_owned()))
}

/// Writes a new key into a file that is not there yet; `None` if it is.
fn generate(path: &Path, entropy: &dyn Entropy) -> Result<Option<Secret<String>>, KeyError> {
    let shown = path.display();
    let cannot = |error| KeyError(format!("the key file {shown} cannot be written ({error})"));
    // Under a name of its own first, and then linked: a start that is cut off leaves no half key,
    // and of two starts at once both use the one that was first.
    let mut bytes = [0; LEAST_BYTES];
    entropy.fill(&mut bytes).map_err(|error| KeyError(error.to_string()))?;
    if path.exists() {
        return Ok(None);
    }
    let text = BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let draft = path.with_extension(format!("{}.draft", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(cannot)?;
    writeln!(file, "{text}").and_then(|()| file.sync_all()).map_err(cannot)?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft).map_err(cannot)?;
    match linked {
        Ok(()) => Ok(Some(Secret::new(text))),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(cannot(error)),
    }
}

fn refuse_weak(text: &str, source: &KeySource) -> Result<(), KeyError> {
    let from = match source {
        KeySource::Value(_) => "the key in `jwt_secret`".to_owned(),
        KeySource::File(path) | KeySource::Generated(path) => {
            format!("the key in {}", path.display())
        }
    };
    let mut seen = text.as_bytes().to_vec();
    seen.sort_unstable();
    seen.dedup();
    let problem = if text.len() < LEAST_BYTES {
        format!("is {} bytes long and must be at least {LEAST_BYTES}", text.len())
    } else if PUBLISHED.contains(&text) {
        "is a published sample".to_owned()
    } else if seen.len() < LEAST_DIFFERENT_BYTES {
        "repeats a few characters, so it can be guessed".to_owned()
    } else {
        return Ok(());
    };
    Err(KeyError(format!(
        "{from} {problem}: make one with `head -c 32 /dev/urandom | base64`, or leave the setting \
         out to have one generated"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weak(text: &str) -> bool {
        refuse_weak(text, &KeySource::Value(Secret::new(String::new()))).is_err()
    }

    #[test]
    fn r18_r90_a_weak_key_is_refused() {
        for text in PUBLISHED {
            assert!(text.len() >= LEAST_BYTES && weak(text), "{text}");
        }
        assert!(weak("secret") && weak(&"x".repeat(64)) && weak(&"abc123".repeat(20)));
        assert!(!weak("mJ0uX3yQ7fKp2sVd9wZr4tBn6hLc8gEa1iOo5kTxYvU"));
    }

    #[test]
    fn the_error_never_shows_the_key() {
        let error = refuse_weak("hunter2", &KeySource::Value(Secret::new(String::new())));
        assert!(!error.unwrap_err().to_string().contains("hunter2"));
    }
}
