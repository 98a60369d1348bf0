//! The `Authorization` field. Input: the values of the fields, one a line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stipend::error::Error;
use stipend::fuzzing::bearer_token;

fuzz_target!(|input: &str| {
    let fields: Vec<&str> =
        if input.is_empty() { Vec::new() } else { input.split('\n').collect() };
    match bearer_token(&fields) {
        Ok(token) => {
            let [field] = fields[..] else { panic!("a token out of {} fields", fields.len()) };
            let trimmed = field.trim_matches([' ', '\t']);
            assert!(trimmed[..6].eq_ignore_ascii_case("bearer"), "{field:?}");
            assert!(trimmed.ends_with(token) && !token.starts_with(' '), "{field:?}: {token:?}");
            let between = &trimmed[6..trimmed.len() - token.len()];
            assert!(between.bytes().all(|byte| byte == b' '), "{field:?}: {token:?}");
            assert!(token.is_empty() || !between.is_empty(), "{field:?}: {token:?}");
        }
        Err(Error::Unauthenticated) => {
            let scheme = fields.first().map(|field| field.trim_matches([' ', '\t']));
            let scheme = scheme.and_then(|field| field.split(' ').next());
            assert!(!scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer")));
        }
        Err(Error::AmbiguousCredentials) => assert!(fields.len() > 1),
        Err(other) => panic!("{other:?}"),
    }
});
