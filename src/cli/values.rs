//! Values on the command line. What does not parse is a usage error that says what would be right.

use crate::clock::Timestamp;
use crate::service::asked;
use crate::service::export::Field;

use super::Failure;

/// Some fields. clap takes a `Vec` for an option that may stand several times, and this for a value.
pub(super) type Fields = Vec<Field>;

/// A text to search for, none where it is empty. A name of its own for the same reason.
pub(super) type Search = Option<String>;

/// The time of the option `--known-at`, which has passed.
pub(super) fn known_at(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    asked::parse_past(text, now).map_err(|error| invalid(text, "--known-at <TIME>", error))
}

/// A usage error in the words of clap's, for what only the command itself can parse.
pub(super) fn invalid(text: &str, argument: &str, error: impl ToString) -> Failure {
    Failure::Usage(format!("invalid value '{text}' for '{argument}': {}", error.to_string()))
}
