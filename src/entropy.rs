//! Randomness, as a port: whoever needs it takes an [`Entropy`], so that a test can set it.

use ring::rand::SecureRandom;

/// The source of randomness failed; nothing that needs to be unguessable can be made now.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct EntropyError;

/// A cryptographically secure source of random bytes.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`, or fails and leaves them unspecified.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError>;
}

/// The operating system's generator.
#[derive(Debug)]
pub struct SystemEntropy(ring::rand::SystemRandom);

impl SystemEntropy {
    /// The operating system's generator.
    #[expect(clippy::disallowed_methods, reason = "this is the port's one real implementation")]
    pub fn new() -> Self {
        Self(ring::rand::SystemRandom::new())
    }
}

impl Default for SystemEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        self.0.fill(bytes).map_err(|_| EntropyError)
    }
}

/// A new identifier that nobody can guess or meet by chance: 128 random bits, as 32 hexadecimal
/// digits.
pub fn random_id(entropy: &dyn Entropy) -> Result<String, EntropyError> {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_have_their_full_length_and_differ() {
        let entropy = SystemEntropy::new();
        let (a, b) = (random_id(&entropy).unwrap(), random_id(&entropy).unwrap());
        assert_eq!(a.len(), 32);
        assert_ne!(a, b);
    }
}
