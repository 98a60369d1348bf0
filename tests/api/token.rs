//! Which tokens are taken, and which are refused.

use std::time::Duration;

use serde_json::{Value, json};

use crate::jwt::{
    Jwt, assert_accepted, assert_invalid_token, assert_refused, encode, key, segments, sign,
    sign_segments,
};
use crate::support::app::{NOON, TestApp};

#[tokio::test]
async fn r10_only_the_keys_own_algorithm_is_taken() {
    let app = TestApp::new().await;
    let jwt = Jwt::of_demo_user(&app).await;
    assert_accepted(&app, &jwt.signed(), "unchanged").await;
    for alg in [
        "none", "None", "NONE", "nOnE", "", "hs256", "HS256 ", " HS256", "HS384", "HS512", "RS256",
        "ES256", "PS256", "EdDSA", "A128KW", "dir",
    ] {
        assert_refused(&app, &jwt.header("alg", alg).signed(), alg).await;
        let [header, payload, _] = segments(&jwt.header("alg", alg).signed()).map(str::to_owned);
        assert_refused(&app, &format!("{header}.{payload}."), &format!("{alg}, unsigned")).await;
    }
    for alg in [json!(256), json!(null), json!(["HS256"]), json!(true)] {
        assert_refused(&app, &jwt.header("alg", alg.clone()).signed(), &alg.to_string()).await;
    }
    assert_refused(&app, &jwt.without_header("alg").signed(), "no alg").await;
}

#[tokio::test]
async fn r11_the_key_comes_from_the_settings_alone() {
    let app = TestApp::new().await;
    let jwt = Jwt::of_demo_user(&app).await;
    for kid in ["", "0", "../../dev/null", "' OR 1=1 --", "unknown"] {
        assert_refused(&app, &jwt.header("kid", kid).signed(), kid).await;
    }
    assert_refused(&app, &jwt.without_header("kid").signed(), "no kid").await;
    assert_refused(&app, &jwt.header("kid", 7).signed(), "a number").await;

    let foreign = b"another key, also of thirty-two bytes and more";
    assert_refused(&app, &jwt.signed_by(foreign), "another key").await;
    assert_refused(&app, &jwt.signed_by(b""), "an empty key").await;
    for (name, value) in [
        ("jwk", json!({"kty": "oct", "k": encode(foreign)})),
        ("jku", json!("http://127.0.0.1:1/keys")),
        ("x5u", json!("http://127.0.0.1:1/cert")),
        ("x5c", json!(["MIIB"])),
    ] {
        let with = jwt.header(name, value);
        assert_refused(&app, &with.signed_by(foreign), name).await;
        assert_accepted(&app, &with.signed(), &format!("{name} is not used")).await;
    }
}

#[tokio::test]
async fn r12_extensions_that_change_what_a_token_means_are_refused() {
    let app = TestApp::new().await;
    let jwt = Jwt::of_demo_user(&app).await;
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("crit", json!("exp")),
        ("crit", json!(null)),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
        ("cty", json!("JWT")),
    ] {
        assert_refused(&app, &jwt.header(name, value.clone()).signed(), &format!("{name} {value}"))
            .await;
    }
}

#[tokio::test]
async fn r13_a_token_has_exactly_one_text() {
    let app = TestApp::new().await;
    let token = Jwt::of_demo_user(&app).await.signed();
    let [header, payload, signature] = segments(&token);
    for bad in [
        String::new(),
        "abc".into(),
        "..".into(),
        format!("{header}.{payload}"),
        format!("{token}.x"),
        format!(".{token}"),
        format!("{token}."),
        format!("{token}="),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}==.{signature}"),
        format!("{header}.{payload}.{}", &signature[..20]),
        format!("{header}.{payload}.{signature}{signature}"),
        token.to_uppercase(),
        token.replacen(payload, &format!("{}%20{}", &payload[..5], &payload[5..]), 1),
        format!("{header}.{payload}.{}", signature.replace(['-', '_'], "+")) + "/",
        format!("\"{token}\""),
        format!("token={token}"),
        format!("{token},"),
        format!("{token}\u{e9}"),
    ] {
        assert_refused(&app, &bad, &bad).await;
    }
    // The last character of 43 carries two bits too many; of its four texts one is canonical.
    let last = signature.chars().last().unwrap();
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = ALPHABET.find(last).unwrap();
    assert_eq!(at % 4, 0, "canonical");
    for bits in 1..4 {
        let other = &ALPHABET[at + bits..=at + bits];
        let twin = format!("{header}.{payload}.{}{other}", &signature[..42]);
        assert_refused(&app, &twin, "left-over bits in the signature").await;
    }
    // A payload whose length leaves bits over, signed over its other text.
    let mut jwt = Jwt::read(&token);
    while encode(jwt.claims_text()).len().is_multiple_of(4) {
        let pad = jwt.claims.get("pad").and_then(Value::as_str).unwrap_or_default().to_owned();
        jwt = jwt.claim("pad", pad + "x");
    }
    let text = encode(jwt.claims_text());
    let at = ALPHABET.find(&text[text.len() - 1..]).unwrap();
    let other = format!("{}{}", &text[..text.len() - 1], &ALPHABET[at + 1..=at + 1]);
    assert_accepted(&app, &sign_segments(header, &text, &key()), "canonical").await;
    assert_refused(&app, &sign_segments(header, &other, &key()), "left-over bits").await;
}

#[tokio::test]
async fn r14_the_times_of_a_token_are_numbers_and_hold_now() {
    let app = TestApp::new().await;
    let jwt = Jwt::of_demo_user(&app).await;
    for (name, value) in [
        ("exp", json!(NOON + 5)),
        ("exp", json!(NOON as f64 + 100.5)),
        ("exp", json!(NOON + 86_400)),
        ("nbf", json!(NOON - 600)),
        ("nbf", json!(0)),
        ("iat", json!(NOON)),
    ] {
        let what = format!("{name} {value}");
        assert_accepted(&app, &jwt.claim(name, value).signed(), &what).await;
    }
    for (name, value) in [
        ("exp", json!(NOON - 60)),
        ("exp", json!(0)),
        ("exp", json!(-1)),
        ("exp", json!(null)),
        ("exp", json!(true)),
        ("exp", json!("9999999999")),
        ("exp", json!([NOON + 60])),
        ("exp", json!(9_999_999_999_i64)),
        ("exp", json!(1e300)),
        ("exp", json!(u64::MAX)),
        ("exp", json!(NOON + 86_401)),
        ("iat", json!(NOON + 3600)),
        ("iat", json!("yesterday")),
        ("iat", json!(null)),
        ("iat", json!(-1)),
        ("iat", json!(1)),
        ("nbf", json!(NOON + 600)),
        ("nbf", json!("1")),
        ("nbf", json!(null)),
        ("nbf", json!(-1)),
    ] {
        let what = format!("{name} {value}");
        assert_refused(&app, &jwt.claim(name, value).signed(), &what).await;
    }
    for name in ["exp", "iat"] {
        assert_refused(&app, &jwt.without_claim(name).signed(), &format!("no {name}")).await;
    }
    let text = jwt.claims_text();
    for number in ["NaN", "Infinity", "1e999", "01"] {
        let odd = text.replace(&format!("\"iat\":{NOON}"), &format!("\"iat\":{number}"));
        assert_ne!(odd, text);
        assert_refused(&app, &sign(jwt.header_text(), odd), number).await;
    }
    app.clock.advance(Duration::from_secs(86_400 + 6));
    assert_refused(&app, &jwt.signed(), "a day later").await;
}

#[tokio::test]
async fn r15_who_and_for_whom_must_be_exactly_right() {
    let app = TestApp::new().await;
    app.add_org("acme").await;
    let jwt = Jwt::of_demo_user(&app).await;
    for name in ["sub", "iss", "org", "perms", "aud", "jti"] {
        assert_refused(&app, &jwt.without_claim(name).signed(), &format!("no {name}")).await;
        for value in [json!(null), json!(7), json!({}), json!(""), json!(true)] {
            let what = format!("{name} {value}");
            assert_refused(&app, &jwt.claim(name, value).signed(), &what).await;
        }
    }
    for (name, value) in [
        ("sub", json!("nobody")),
        ("sub", json!("Twilio")),
        ("sub", json!("jdoe")),
        ("iss", json!("twil.io ")),
        ("iss", json!(["twil.io"])),
        ("org", json!("acme")),
        ("aud", json!("another")),
        ("aud", json!(["stipend"])),
        ("jti", json!("0123456789abcdef0123456789abcdef")),
        ("perms", json!("read")),
        ("perms", json!([7])),
    ] {
        let what = format!("{name} {value}");
        assert_refused(&app, &jwt.claim(name, value).signed(), &what).await;
    }
}

#[tokio::test]
async fn r3_r15_perms_only_narrow_and_match_exactly() {
    let app = TestApp::new().await;
    let jwt = Jwt::of_demo_user(&app).await;
    // The second time the session is remembered, with what a wider token of it permits.
    for _ in 0..2 {
        for perms in [json!([]), json!(["write"]), json!(["READ"]), json!(["read "]), json!(["*"])]
        {
            let answer = app.bearer(jwt.claim("perms", perms.clone()).signed()).read_pay().await;
            assert_eq!(answer.status, 403, "{perms}");
            assert!(!answer.text().contains('$'), "{perms}");
            assert_eq!(
                answer.field("WWW-Authenticate"),
                Some(
                    r#"Bearer realm="Access to read salaries", error="insufficient_scope", scope="read""#
                ),
            );
        }
        // More than one holds gives what one holds.
        let more = jwt.claim("perms", json!(["write", "read", "manage"])).signed();
        assert_accepted(&app, &more, "more").await;
        assert_accepted(&app, &jwt.claim("perms", json!(["read"])).signed(), "read").await;
    }
}

#[tokio::test]
async fn r16_only_one_object_without_repeated_names_is_taken() {
    let app = TestApp::new().await;
    let jwt = Jwt::of_demo_user(&app).await;
    let (header, claims) = (jwt.header_text(), jwt.claims_text());
    for bad in ["", "[]", "5", "\"hello\"", "hello", "null", "{}", "\u{feff}{}"] {
        assert_refused(&app, &sign(bad, &claims), &format!("header {bad:?}")).await;
        assert_refused(&app, &sign(&header, bad), &format!("claims {bad:?}")).await;
    }
    let twice = |text: &str, member: &str| format!("{{{member},{}", &text[1..]);
    for member in [r#""alg":"HS256""#, r#""\u0061lg":"none""#, r#""kid":"x""#] {
        assert_refused(&app, &sign(twice(&header, member), &claims), member).await;
    }
    for member in [r#""exp":5"#, r#""sub":"twilio""#, r#""perms":[]"#] {
        assert_refused(&app, &sign(&header, twice(&claims, member)), member).await;
    }
    assert_refused(&app, &sign(&header, twice(&claims, r#""x":1,"x":2"#)), "any name").await;
    assert_refused(&app, &sign(format!("{header}x"), &claims), "trailing data").await;
    let mut invalid = twice(&claims, r#""x":"?""#).into_bytes();
    let at = invalid.iter().position(|byte| *byte == b'?').unwrap();
    invalid[at] = 0xff;
    assert_refused(&app, &sign(&header, invalid), "invalid UTF-8").await;
    assert_accepted(&app, &sign(&header, twice(&claims, r#""x":"y""#)), "one more").await;
}

#[tokio::test]
async fn r19_a_token_for_another_purpose_is_refused() {
    let app = TestApp::new().await;
    let jwt = Jwt::of_demo_user(&app).await;
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt"] {
        assert_accepted(&app, &jwt.header("typ", typ).signed(), typ).await;
    }
    assert_accepted(&app, &jwt.without_header("typ").signed(), "no typ").await;
    for typ in ["refresh+jwt", "logout+jwt", "dpop+jwt", "JOSE", ""] {
        assert_refused(&app, &jwt.header("typ", typ).signed(), typ).await;
    }
    assert_refused(&app, &jwt.header("typ", 7).signed(), "a number").await;
}

#[tokio::test]
async fn r19a_a_token_is_short_and_says_nothing_of_pay() {
    let app = TestApp::new().await;
    let jwt = Jwt::of_demo_user(&app).await;
    assert_accepted(&app, &jwt.claim("pad", "x".repeat(3000)).signed(), "4 KiB").await;
    assert_refused(&app, &jwt.claim("pad", "x".repeat(8192)).signed(), "over 8 KiB").await;
    // A random id may hold any digits.
    assert!(!jwt.without_claim("jti").claims_text().contains("2000"));
}

#[tokio::test]
async fn r19c_every_token_has_an_id_of_128_random_bits() {
    let app = TestApp::new().await;
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..8 {
        let claims: Value =
            serde_json::from_str(&Jwt::of_demo_user(&app).await.claims_text()).unwrap();
        let id = claims["jti"].as_str().unwrap().to_owned();
        assert!(id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{id}");
        ids.insert(id);
    }
    assert_eq!(ids.len(), 8);
}

#[tokio::test]
async fn r2_every_cause_has_the_same_answer() {
    let app = TestApp::new().await;
    let jwt = Jwt::of_demo_user(&app).await;
    let causes = [
        jwt.claim("exp", NOON - 60).signed(),
        jwt.claim("iss", "other").signed(),
        jwt.signed_by(b"another key, also of thirty-two bytes and more"),
        "abc".to_owned(),
    ];
    for token in causes {
        assert_invalid_token(&app.bearer(token.clone()).read_pay().await, &token);
    }
}

#[tokio::test]
async fn r4_r5_r6_r7_a_token_comes_in_one_authorization_field_alone() {
    let app = TestApp::new().await;
    let token = app.demo_user().await.token().to_owned();
    let anonymous = app.anonymous();
    for good in [
        format!("Bearer {token}"),
        format!("bearer {token}"),
        format!("BEARER    {token}"),
        format!("Bearer {token}   "),
    ] {
        let answer = anonymous.get("/bearer").field("authorization", &good).send().await;
        assert_eq!(answer.status, 200, "{good}");
    }
    for other in ["", "Basic dHdpbGlvOmFob3k=", "Token x", "Bearers x", "Bearer: x", "Bearer=x"] {
        let answer = anonymous.get("/bearer").field("Authorization", other).send().await;
        assert_eq!(answer.status, 401, "{other}");
        let challenge = answer.field("WWW-Authenticate");
        assert_eq!(challenge, Some(r#"Bearer realm="Access to read salaries""#), "{other}");
    }
    for bad in
        ["Bearer", "Bearer ", &format!("Bearer {token} junk"), &format!("Bearer {token}, Basic x")]
    {
        let answer = anonymous.get("/bearer").field("Authorization", bad).send().await;
        assert_invalid_token(&answer, bad);
    }
    let good = format!("Bearer {token}");
    for first in [good.as_str(), "", "Basic x", "Bearer abc"] {
        let two = anonymous.get("/bearer").field("Authorization", first);
        let answer = two.field("Authorization", &good).send().await;
        assert_eq!(answer.status, 400, "{first}");
        assert!(answer.field("WWW-Authenticate").unwrap().contains(r#"error="invalid_request""#));
    }
    for field in
        ["access_token", "X-Authorization", "Proxy-Authorization", "Cookie", "X-Access-Token"]
    {
        let answer = anonymous.post("/bearer").field(field, &good).send().await;
        assert_eq!(answer.status, 401, "{field}");
    }
    let path = format!("/bearer?access_token={token}&token={token}");
    assert_eq!(anonymous.get(&path).send().await.status, 401);
    let body = format!("access_token={token}");
    assert_eq!(anonymous.post("/bearer").form(&body).send().await.status, 401);

    use rocket::http::Method::Head;
    assert_eq!(anonymous.ask(Head, "/bearer").send().await.status, 401);
    let caller = app.bearer(token);
    let (get, head) = (caller.read_pay().await, caller.ask(Head, "/bearer").send().await);
    assert_eq!((head.status, head.body.len(), head.length), (200, 0, get.length));
    assert_eq!(head.field_names(), get.field_names());
}
