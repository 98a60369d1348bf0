//! The parameters of a query, each at most once, and none that nobody knows.

use rocket::Request;
use rocket::request::{FromRequest, Outcome};

use crate::error::Error;
use crate::service::Fault;

/// The parameters, taken one by one; what is wrong with them, and what nobody took, is told at the
/// end, all at once.
#[derive(Debug, Default)]
pub(super) struct Query {
    parameters: Vec<(String, String)>,
    known: Vec<&'static str>,
    faults: Vec<Fault>,
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Query {
    type Error = Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Error> {
        let text = request.uri().query().map(|query| query.as_str()).unwrap_or_default();
        Outcome::Success(Self::parse(text))
    }
}

impl Query {
    /// Parses a query as the URL Standard parses a form (section 5.1).
    fn parse(text: &str) -> Self {
        let mut query = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (form_decode(name.as_bytes()), form_decode(value.as_bytes())) {
                (Some(name), Some(value)) => {
                    if query.parameters.iter().any(|(other, _)| *other == name) {
                        query.fault(&name, "this parameter stands twice");
                    }
                    query.parameters.push((name, value));
                }
                _ => query.fault(name, "this is not UTF-8"),
            }
        }
        query
    }

    /// A parameter, parsed, if it is there.
    pub(super) fn take<T, E: ToString>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.known.push(name);
        let at = self.parameters.iter().position(|(other, _)| other == name)?;
        let (_, value) = self.parameters.swap_remove(at);
        parse(&value).map_err(|error| self.fault(name, error)).ok()
    }

    /// A parameter that must be there, parsed.
    pub(super) fn need<T, E: ToString>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if !self.parameters.iter().any(|(other, _)| other == name) {
            self.fault(name, "this parameter is missing");
        }
        self.take(name, parse)
    }

    /// Says that a parameter is wrong.
    pub(super) fn fault(&mut self, name: &str, reason: impl ToString) {
        self.faults.push(Fault::new(name, reason));
    }

    /// An error, if anything is wrong or nobody took it.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        for (name, _) in std::mem::take(&mut self.parameters) {
            if self.faults.iter().any(|fault| fault.field == name) {
                continue;
            }
            let reason = match self.known.as_slice() {
                [] => "there is no such parameter: there are none here".to_owned(),
                known => format!("there is no such parameter: there are {}", known.join(", ")),
            };
            self.fault(&name, reason);
        }
        if self.faults.is_empty() { Ok(()) } else { Err(Error::Invalid(self.faults)) }
    }
}

/// Decodes a name or value of a form; none if it is not UTF-8.
pub(super) fn form_decode(text: &[u8]) -> Option<String> {
    let spaced: Vec<u8> =
        text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    String::from_utf8(percent_encoding::percent_decode(&spaced).collect()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(query: Query) -> Vec<String> {
        let Err(Error::Invalid(faults)) = query.finish() else {
            return Vec::new();
        };
        faults.into_iter().map(|fault| format!("{}: {}", fault.field, fault.reason)).collect()
    }

    #[test]
    fn parameters_are_decoded_once_and_taken_once() {
        let mut query = Query::parse("q=a+b%2Bc&limit=5&&x=");
        assert_eq!(query.take("q", |text| Ok::<_, String>(text.to_owned())), Some("a b+c".into()));
        assert_eq!(query.take("limit", str::parse::<u8>), Some(5));
        assert_eq!(query.take("x", |text| Ok::<_, String>(text.len())), Some(0));
        assert_eq!(query.take("y", str::parse::<u8>), None);
        assert_eq!(faults(query), [""; 0]);
    }

    #[test]
    fn each_wrong_parameter_is_named() {
        let mut query = Query::parse("a=1&a=2&b=%FF&c=x&limit=x");
        query.take("a", str::parse::<u8>);
        query.take("limit", |text| text.parse::<u8>().map_err(|_| "a number"));
        query.need("z", str::parse::<u8>);
        assert_eq!(
            faults(query),
            [
                "a: this parameter stands twice",
                "b: this is not UTF-8",
                "limit: a number",
                "z: this parameter is missing",
                "c: there is no such parameter: there are a, limit, z",
            ]
        );
    }
}
