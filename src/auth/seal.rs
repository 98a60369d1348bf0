//! Secrets at rest: what the database must keep and nobody may read in a copy of it.
//!
//! Every key here comes from the text of a secret by HKDF-SHA256 (RFC 5869), each under a label of its own,
//! so that none tells anything of another or of the secret. That is the configured key, which seals one
//! further secret, and that one, which seals all else (decision 0010).

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac::{self, HMAC_SHA256};

use super::KeyError;
use crate::config::Secret;
use crate::entropy::{Entropy, EntropyError};

/// The salt of HKDF's first step. It needs not be secret, only this program's own.
const SALT: &[u8] = b"stipend";
/// What a sealed text begins with: which key and cipher made it.
const VERSION: &str = "v1.";

/// Seals other secrets under a secret, and derives further keys from it.
pub struct Sealer {
    root: hmac::Key,
    sealing: LessSafeKey,
}

impl Sealer {
    /// The sealer of a secret, by its text, which must be one that nobody can guess.
    pub fn new(text: &Secret<String>) -> Result<Self, KeyError> {
        let extracted = hmac::sign(&hmac::Key::new(HMAC_SHA256, SALT), text.expose().as_bytes());
        let root = hmac::Key::new(HMAC_SHA256, extracted.as_ref());
        let sealing = UnboundKey::new(&AES_256_GCM, &expand(&root, "seal", VERSION))
            .map_err(|_| KeyError("no key for sealing can be made from the key".to_owned()))?;
        Ok(Self { root, sealing: LessSafeKey::new(sealing) })
    }

    /// Seals a secret by AES-256-GCM: a text that only the same root opens, and only under the same
    /// label. The label says what it is and whose, so that nobody who writes to the database can
    /// put it into another's place.
    pub fn seal(
        &self,
        label: &str,
        plain: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<String, EntropyError> {
        // Random, since processes share the root and cannot count together: under one root there
        // may be 2^32 of them (NIST SP 800-38D section 8.3).
        let mut nonce = [0; NONCE_LEN];
        entropy.fill(&mut nonce)?;
        let mut sealed = plain.to_vec();
        self.sealing
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(label.as_bytes()),
                &mut sealed,
            )
            // Only of a plain text of 64 GiB.
            .map_err(|_| EntropyError)?;
        sealed.splice(..0, nonce);
        Ok(format!("{VERSION}{}", BASE64_URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// What was sealed under that label. `None` for anything else: another root, another label, a
    /// changed text.
    pub fn open(&self, label: &str, sealed: &str) -> Option<Secret<Vec<u8>>> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(sealed.strip_prefix(VERSION)?).ok()?;
        let (nonce, rest) = bytes.split_first_chunk::<NONCE_LEN>()?;
        let mut rest = rest.to_vec();
        let plain = self.sealing.open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(label.as_bytes()),
            &mut rest,
        );
        plain.ok().map(|plain| Secret::new(plain.to_vec()))
    }

    /// A further key of 32 bytes, the same on every node and at every start, and another for every
    /// label.
    pub fn derive(&self, label: &str) -> [u8; 32] {
        expand(&self.root, "derive", label)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer([redacted])")
    }
}

/// HKDF's second step for one block (RFC 5869 section 2.3). Written out, since ring's own can fail,
/// for other lengths. The purpose has no `:` in it, so that no label meets another purpose.
fn expand(root: &hmac::Key, purpose: &str, label: &str) -> [u8; 32] {
    let mut context = hmac::Context::with_key(root);
    for part in [purpose.as_bytes(), b":", label.as_bytes(), &[1]] {
        context.update(part);
    }
    let mut key = [0; 32];
    for (byte, made) in key.iter_mut().zip(context.sign().as_ref()) {
        *byte = *made;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SystemEntropy;
    use ring::hkdf;

    fn sealer(text: &str) -> Sealer {
        Sealer::new(&Secret::new(text.to_owned())).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_under_the_same_root_and_label_alone() {
        let (root, other) = (sealer("a root of thirty-two bytes and more"), sealer("another root"));
        let entropy = SystemEntropy::new();
        for plain in [b"".as_slice(), b"a", &[7; 100]] {
            let sealed = root.seal("totp:twilio/ann", plain, &entropy).unwrap();
            let again = root.seal("totp:twilio/ann", plain, &entropy).unwrap();
            assert_ne!(sealed, again, "a nonce each");
            assert_eq!(root.open("totp:twilio/ann", &sealed).unwrap().expose(), plain);
            for label in ["", "totp:twilio/bob", "totp:twilio/ann "] {
                assert!(root.open(label, &sealed).is_none(), "{label}");
            }
            assert!(other.open("totp:twilio/ann", &sealed).is_none());
        }
    }

    #[test]
    fn a_changed_text_opens_nothing() {
        let root = sealer("a root of thirty-two bytes and more");
        let sealed = root.seal("x", b"hunter2", &SystemEntropy::new()).unwrap();
        assert!(!sealed.contains("hunter2"));
        for at in 0..sealed.len() {
            for other in ["A", "B", ""] {
                let mut changed = sealed.clone();
                changed.replace_range(at..=at, other);
                assert_eq!(root.open("x", &changed).is_some(), changed == sealed, "{at}");
            }
        }
        for odd in ["", "v1.", "v1.AAAA", "v2.AAAA", "é"] {
            assert!(root.open("x", odd).is_none(), "{odd}");
        }
    }

    #[test]
    fn keys_come_by_hkdf_and_differ_by_label_and_root() {
        struct Whole;
        impl hkdf::KeyType for Whole {
            fn len(&self) -> usize {
                32
            }
        }
        let root = "a root of thirty-two bytes and more";
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(root.as_bytes());
        let mut expected = [0; 32];
        prk.expand(&[b"derive:throttle"], Whole).unwrap().fill(&mut expected).unwrap();
        assert_eq!(sealer(root).derive("throttle"), expected);
        assert_ne!(sealer(root).derive("other"), expected);
        assert_ne!(sealer("another root").derive("throttle"), expected);
    }

    #[test]
    fn nothing_of_it_is_ever_shown() {
        assert_eq!(
            format!("{:?}", sealer("a root of thirty-two bytes and more")),
            "Sealer([redacted])"
        );
    }
}
