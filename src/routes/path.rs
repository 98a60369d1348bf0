//! Names and identifiers in paths.

use rocket::request::FromParam;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};

use crate::domain::Username;
use crate::error::Error;
use crate::service::schema;

/// A segment of a path that may be a name. It is parsed after the caller has been asked who they
/// are: one that is no name is nobody's, like one that nobody has.
pub(super) struct Name<'r>(&'r str);

impl<'r> FromParam<'r> for Name<'r> {
    type Error = &'r str;

    fn from_param(text: &'r str) -> Result<Self, Self::Error> {
        Ok(Self(text))
    }
}

impl IntoParams for Name<'_> {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let name = ParameterBuilder::new()
            .name("name")
            .parameter_in(ParameterIn::Path)
            .required(utoipa::openapi::Required::True)
            .description(Some("The user name"))
            .schema(Some(schema::reference::<schema::Name>()));
        vec![name.build()]
    }
}

impl Name<'_> {
    /// The name.
    pub(super) fn parse(&self) -> Result<Username, Error> {
        Username::parse(self.0).map_err(|_| Error::NotFound)
    }
}

/// An identifier that the database may be asked for: PostgreSQL would fail on U+0000 rather than
/// find nothing.
pub(super) fn identifier(text: &str) -> Result<&str, Error> {
    if text.contains(char::is_control) { Err(Error::NotFound) } else { Ok(text) }
}
