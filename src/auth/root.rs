//! The configured key: an HS256 key, and the root under which the database's secrets are sealed.
//!
//! The bytes of the key's text are the HMAC key, so that any JWT library verifies with that text.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::keys::Key;
use super::seal::Sealer;
use crate::config::{KeySource, Secret};
use crate::domain::KeyAlgorithm;
use crate::entropy::{Entropy, EntropyError};
use crate::files;

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
pub struct KeyError(pub(super) String);

/// The configured key's text: an HS256 key, and the root that seals what the database keeps.
pub struct Root {
    kid: String,
    text: Secret<String>,
}

impl Root {
    /// Reads the configured key; `None` if it is the default file and that is not there yet. A weak
    /// one is refused.
    pub fn read(source: &KeySource) -> Result<Option<Self>, KeyError> {
        let text = match source {
            KeySource::Value(text) => text.clone(),
            KeySource::File(path) => read(path)?,
            KeySource::Generated(path) if !path.exists() => return Ok(None),
            KeySource::Generated(path) => read(path)?,
        };
        Self::of(text, &describe(source)).map(Some)
    }

    /// Reads the configured key, or generates it where it is the default file and not there yet.
    pub fn read_or_generate(source: &KeySource, entropy: &dyn Entropy) -> Result<Self, KeyError> {
        match (Self::read(source)?, source) {
            (Some(root), _) => Ok(root),
            (None, KeySource::Generated(path)) => Self::generate(path, entropy),
            (None, _) => Err(KeyError("no key is configured".to_owned())),
        }
    }

    /// Generates the key into the default file. Of two starts at once both use the one that was
    /// first.
    fn generate(path: &Path, entropy: &dyn Entropy) -> Result<Self, KeyError> {
        let text = match generate(path, entropy)? {
            Some(text) => text,
            None => read(path)?,
        };
        Self::of(text, &format!("the key in {}", path.display()))
    }

    /// Reads the key in a file that nobody but its owner can read. A weak one is refused.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        Self::of(read(path)?, &format!("the key in {}", path.display()))
    }

    fn of(text: Secret<String>, what: &str) -> Result<Self, KeyError> {
        refuse_weak(text.expose(), what)?;
        let kid = Key::from_secret(KeyAlgorithm::Hs256, text.expose().as_bytes())
            .map(|key| key.kid().to_owned())
            .ok_or_else(|| KeyError(format!("{what} cannot be used")))?;
        Ok(Self { kid, text })
    }

    /// The id under which tokens name it, which tells nothing of it.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The key itself, as the ring keeps it.
    pub fn secret(&self) -> Secret<Vec<u8>> {
        Secret::new(self.text.expose().as_bytes().to_vec())
    }

    /// What seals under this key.
    pub(super) fn sealer(&self) -> Result<Sealer, KeyError> {
        Sealer::new(&self.text)
    }
}

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Root({})", self.kid)
    }
}

/// A new secret of 32 random bytes, as text, which is how every HS256 key and the sealing secret is
/// made.
pub(super) fn random_text(entropy: &dyn Entropy) -> Result<Secret<String>, EntropyError> {
    let mut bytes = [0; LEAST_BYTES];
    entropy.fill(&mut bytes)?;
    Ok(Secret::new(BASE64_URL_SAFE_NO_PAD.encode(bytes)))
}

fn describe(source: &KeySource) -> String {
    match source {
        KeySource::Value(_) => "the key in `jwt_secret`".to_owned(),
        KeySource::File(path) | KeySource::Generated(path) => {
            format!("the key in {}", path.display())
        }
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
    if path.exists() {
        return Ok(None);
    }
    let text = random_text(entropy).map_err(|error| KeyError(error.to_string()))?;
    let draft = path.with_extension(format!("{}.draft", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(cannot)?;
    writeln!(file, "{}", text.expose()).and_then(|()| file.sync_all()).map_err(cannot)?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft).map_err(cannot)?;
    match linked {
        Ok(()) => {
            // Nothing may be sealed under it before it is durable.
            files::sync_folder_of(path).map_err(cannot)?;
            Ok(Some(text))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(cannot(error)),
    }
}

fn refuse_weak(text: &str, what: &str) -> Result<(), KeyError> {
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
        "{what} {problem}: make one with `head -c 32 /dev/urandom | base64`, or leave the setting \
         out to have one generated"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weak(text: &str) -> bool {
        refuse_weak(text, "the key").is_err()
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
        let error = refuse_weak("hunter2", "the key");
        assert!(!error.unwrap_err().to_string().contains("hunter2"));
    }
}
