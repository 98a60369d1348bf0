//! An authenticator app, written for the tests alone, so that they do not rest on what they test.

use ring::hmac;

/// An app that has been told a secret.
#[derive(Clone)]
pub struct Authenticator(Vec<u8>);

impl Authenticator {
    /// By a secret in base 32 (RFC 4648 section 6), without padding.
    pub fn of(base32: &str) -> Self {
        let (mut bytes, mut bits, mut held) = (Vec::new(), 0u32, 0u32);
        for letter in base32.bytes() {
            let value = match letter {
                b'A'..=b'Z' => letter - b'A',
                b'2'..=b'7' => letter - b'2' + 26,
                other => panic!("{} is not of base 32", char::from(other)),
            };
            bits = bits << 5 | u32::from(value);
            held += 5;
            if held >= 8 {
                held -= 8;
                bytes.push((bits >> held & 0xff) as u8);
            }
        }
        Self(bytes)
    }

    /// The secret.
    pub fn secret(&self) -> &[u8] {
        &self.0
    }

    /// The code at a time in seconds (RFC 6238 section 4, RFC 4226 section 5.3).
    pub fn code_at(&self, seconds: i64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = hmac::sign(&key, &(seconds / 30).to_be_bytes());
        let tag = tag.as_ref();
        let from = usize::from(tag[19] & 0xf);
        let number = u32::from_be_bytes(tag[from..from + 4].try_into().unwrap()) & 0x7fff_ffff;
        format!("{:06}", number % 1_000_000)
    }
}
