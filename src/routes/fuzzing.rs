//! The parsers of credentials, for the targets in `fuzz/`.

use super::{guard, jwt};
use crate::auth::Credentials;
use crate::error::Error;

/// The token of the values of all `Authorization` fields.
pub fn bearer_token<'a>(fields: &[&'a str]) -> Result<&'a str, Error> {
    guard::bearer_token(fields.iter().copied())
}

/// The credentials of a login's JSON.
pub fn json_login(body: &[u8]) -> Result<Credentials, Error> {
    jwt::from_json(body)
}

/// The credentials of a login's form.
pub fn form_login(body: &[u8]) -> Result<Credentials, Error> {
    jwt::from_form(body)
}
