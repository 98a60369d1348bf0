//! Names in paths.

use rocket::request::FromParam;

use crate::domain::Username;
use crate::error::Error;

/// A segment of a path that may be a name. It is parsed after the caller has been asked who they
/// are: one that is no name is nobody's, like one that nobody has.
pub(super) struct Name<'r>(&'r str);

impl<'r> FromParam<'r> for Name<'r> {
    type Error = &'r str;

    fn from_param(text: &'r str) -> Result<Self, Self::Error> {
        Ok(Self(text))
    }
}

impl Name<'_> {
    /// The name.
    pub(super) fn parse(&self) -> Result<Username, Error> {
        Username::parse(self.0).map_err(|_| Error::NotFound)
    }
}
