//! The body of a login, as JSON and as a form.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use stipend::fuzzing::{form_login, json_login};

fuzz_target!(|body: &[u8]| {
    match json_login(body) {
        Ok(credentials) => {
            let value: Value = serde_json::from_slice(body).expect("serde_json reads it too");
            assert_eq!(value["username"], credentials.username.as_str());
            assert_eq!(value["password"], credentials.password.expose().as_str());
            let perms = credentials.perms.map(|perms| {
                Value::from(perms.iter().map(|permission| permission.name()).collect::<Vec<_>>())
            });
            assert_eq!(perms.as_ref(), value.get("perms"));
        }
        Err(error) => is_plain(&error),
    }
    match form_login(body) {
        Ok(credentials) => {
            let of = |name: &str| -> Vec<String> {
                form_urlencoded::parse(body)
                    .filter(|(field, _)| field == name)
                    .map(|(_, value)| value.into_owned())
                    .collect()
            };
            assert_eq!(of("username"), [credentials.username]);
            assert_eq!(of("password"), [credentials.password.expose().as_str()]);
        }
        Err(error) => is_plain(&error),
    }
});

/// Whatever is wrong with a body is a 400, whose sentence is one of a few.
fn is_plain(error: &stipend::error::Error) {
    assert!(matches!(error, stipend::error::Error::BadRequest(_)), "{error:?}");
}
