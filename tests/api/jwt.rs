//! Tokens that a test takes apart, changes and signs again, with the server's key or another.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Map, Value};

use crate::support::app::{Answer, SECRET, TestApp};

/// The challenge of a request without credentials.
pub(crate) const REALM: &str = r#"Bearer realm="Access to read salaries""#;

/// A token, taken apart.
#[derive(Clone)]
pub(crate) struct Jwt {
    pub(crate) header: Map<String, Value>,
    pub(crate) claims: Map<String, Value>,
}

impl Jwt {
    /// Takes a token apart.
    pub(crate) fn read(token: &str) -> Self {
        let [header, claims, _] = segments(token);
        let object = |segment| serde_json::from_slice(&decode(segment)).unwrap();
        Self { header: object(header), claims: object(claims) }
    }

    /// A token of the demo user, taken apart.
    pub(crate) async fn of_demo_user(app: &TestApp) -> Self {
        Self::read(app.demo_user().await.token())
    }

    /// With another member in the header.
    pub(crate) fn header(&self, name: &str, value: impl Into<Value>) -> Self {
        let mut changed = self.clone();
        changed.header.insert(name.to_owned(), value.into());
        changed
    }

    /// Without a member of the header.
    pub(crate) fn without_header(&self, name: &str) -> Self {
        let mut changed = self.clone();
        changed.header.shift_remove(name).unwrap();
        changed
    }

    /// With another claim.
    pub(crate) fn claim(&self, name: &str, value: impl Into<Value>) -> Self {
        let mut changed = self.clone();
        changed.claims.insert(name.to_owned(), value.into());
        changed
    }

    /// Without a claim.
    pub(crate) fn without_claim(&self, name: &str) -> Self {
        let mut changed = self.clone();
        changed.claims.shift_remove(name).unwrap();
        changed
    }

    /// The header as JSON.
    pub(crate) fn header_text(&self) -> String {
        Value::Object(self.header.clone()).to_string()
    }

    /// The claims as JSON.
    pub(crate) fn claims_text(&self) -> String {
        Value::Object(self.claims.clone()).to_string()
    }

    /// Signed with the server's key.
    pub(crate) fn signed(&self) -> String {
        sign(self.header_text(), self.claims_text())
    }

    /// Signed with another key.
    pub(crate) fn signed_by(&self, key: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        sign_segments(&encode(self.header_text()), &encode(self.claims_text()), &key)
    }
}

/// The three segments of a token.
pub(crate) fn segments(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().unwrap()
}

pub(crate) fn decode(segment: &str) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(segment).unwrap()
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The server's key.
pub(crate) fn key() -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes())
}

/// A token of any header and payload, signed with the server's key.
pub(crate) fn sign(header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
    sign_segments(&encode(header), &encode(payload), &key())
}

/// A token of any two segments, signed over exactly these texts.
pub(crate) fn sign_segments(header: &str, payload: &str, key: &hmac::Key) -> String {
    let message = format!("{header}.{payload}");
    let signature = encode(hmac::sign(key, message.as_bytes()));
    format!("{message}.{signature}")
}

/// The token is taken: without this, a test of refusals might only show that nothing works.
pub(crate) async fn assert_accepted(app: &TestApp, token: &str, what: &str) {
    let answer = app.bearer(token).read_pay().await;
    assert_eq!(answer.status, 200, "{what}: {answer:?}");
}

/// The token is refused, by the answer that is the same for every cause.
pub(crate) async fn assert_refused(app: &TestApp, token: &str, what: &str) {
    assert_invalid_token(&app.bearer(token).read_pay().await, what);
}

/// The answer says that the token is invalid, and nothing else.
pub(crate) fn assert_invalid_token(answer: &Answer, what: &str) {
    assert_eq!((answer.status, answer.text()), (401, "Unauthorized"), "{what}: {answer:?}");
    let challenge =
        format!(r#"{REALM}, error="invalid_token", error_description="The token is not valid""#);
    assert_eq!(answer.field("WWW-Authenticate"), Some(challenge.as_str()), "{what}");
}
