//! The token parser. Input: a token, or `header LF payload`, which is signed first, so that what
//! comes after the signature is reached too.

#![no_main]

use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use stipend::fuzzing::TokenReader;

static READER: LazyLock<TokenReader> = LazyLock::new(|| TokenReader::new().expect("a key"));
/// 2026-03-10T12:00:00Z.
const NOW: i64 = 1_773_144_000;

fuzz_target!(|input: &[u8]| {
    if let Ok(token) = std::str::from_utf8(input) {
        check(token);
    }
    if let Some(at) = input.iter().position(|byte| *byte == b'\n') {
        let (header, payload) = (&input[..at], &input[at + 1..]);
        let token = READER.sign(header, payload);
        check(&token);
        // A signature is for one text.
        if READER.verify(&token, NOW).is_some() {
            assert!(READER.verify(&format!("{token}="), NOW).is_none());
            assert!(READER.verify(&format!(" {token}"), NOW).is_none());
            assert!(READER.verify(&token.replacen('.', "..", 1), NOW).is_none());
        }
    }
});

/// Whatever verifies is exactly what another reader would take it for.
fn check(token: &str) {
    let Some(claims) = READER.verify(token, NOW) else {
        return;
    };
    let segments: Vec<&str> = token.split('.').collect();
    let decoded: Vec<Vec<u8>> =
        segments.iter().map(|text| BASE64_URL_SAFE_NO_PAD.decode(text).expect("base64url")).collect();
    let [header, payload, signature] = &decoded[..] else { panic!("three segments") };
    let again: Vec<String> = decoded.iter().map(|bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes)).collect();
    assert_eq!(again.join("."), token, "one token has one text");
    assert_eq!(signature.len(), 32);
    assert_eq!(READER.sign(header, payload), token, "it is signed by the key");

    let header: Value = serde_json::from_slice(header).expect("a header in JSON");
    assert_eq!(header["alg"], "HS256");
    assert_eq!(header["kid"], READER.kid());
    for name in ["crit", "b64", "zip", "enc", "cty"] {
        assert!(header.get(name).is_none(), "{name} changes what a token means");
    }
    let payload: Value = serde_json::from_slice(payload).expect("claims in JSON");
    assert_eq!(payload["iss"], "twil.io");
    assert_eq!(payload["aud"], "stipend");
    let account = format!("{}/{}", payload["org"].as_str().unwrap(), payload["sub"].as_str().unwrap());
    assert_eq!(claims.account, account);
    assert_eq!(claims.session_id, payload["jti"].as_str().unwrap());
    assert_eq!(Value::from(claims.perms), payload["perms"]);
    let seconds = |name: &str| payload[name].as_f64().expect("a number");
    let (issued, expires, now) = (seconds("iat"), seconds("exp"), NOW as f64);
    assert!(issued >= 0.0 && issued <= now + 60.0 && expires > now - 60.0, "{issued} {expires}");
    if payload.get("nbf").is_some() {
        assert!(seconds("nbf") <= now + 60.0);
    }
    assert!((claims.lifetime.as_secs_f64() - (expires - issued)).abs() <= 1e-3 * expires.max(1.0));
}
