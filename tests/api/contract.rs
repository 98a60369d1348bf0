//! The contract, byte for byte: clients written for it exist.

use rocket::figment::Figment;
use rocket::http::Method;
use serde_json::json;

use crate::jwt::{Jwt, REALM, decode, key, segments};
use crate::support::app::{DEMO_PAY, NOON, TestApp};

const DAY: i64 = 86_400;

#[tokio::test]
async fn a_login_by_json_is_answered_ok_with_the_token_in_a_header_field() {
    let app = TestApp::new().await;
    let body = r#"{"username":"twilio","password":"ahoy"}"#;
    let answer = app.anonymous().post("/jwt").json(body).send().await;
    assert_eq!((answer.status, answer.text()), (200, "OK"));
    assert_eq!(answer.length, Some(2));
    assert_eq!(answer.field("Content-Type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.field("WWW-Authenticate"), None);
    let token = answer.field("access_token").unwrap();
    assert_eq!(app.bearer(token).read_pay().await.text(), DEMO_PAY);
}

#[tokio::test]
async fn a_login_by_form_is_answered_as_one_by_json() {
    let app = TestApp::new().await;
    for body in [
        "username=twilio&password=ahoy",
        "password=ahoy&username=twilio",
        "username=%74wilio&password=%61%68oy&remember=on",
        "&username=twilio&&password=ahoy&",
    ] {
        let answer = app.anonymous().post("/jwt").form(body).send().await;
        assert_eq!((answer.status, answer.text()), (200, "OK"), "{body}");
        let token = answer.field("access_token").unwrap();
        assert_eq!(app.bearer(token).read_pay().await.text(), DEMO_PAY, "{body}");
    }
}

#[tokio::test]
async fn r8_a_failed_login_says_so_in_33_bytes_and_asks_for_no_dialogue() {
    let app = TestApp::new().await;
    for (username, password) in [("twilio", "ahoj"), ("nobody", "ahoy"), ("", ""), ("twilio", "")] {
        let answer = app.anonymous().log_in(username, password).await;
        assert_eq!(answer.status, 401, "{username}");
        assert_eq!(answer.text(), "Username or password is incorrect", "{username}");
        assert_eq!(answer.length, Some(33), "{username}");
        assert_eq!(answer.field("Content-Type"), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.field("WWW-Authenticate"), Some(REALM), "{username}");
        assert_eq!(answer.field("access_token"), None, "{username}");
    }
}

#[tokio::test]
async fn r1_without_credentials_the_challenge_has_no_error_code() {
    let app = TestApp::new().await;
    for method in [Method::Get, Method::Post] {
        let answer = app.anonymous().ask(method, "/bearer").send().await;
        assert_eq!((answer.status, answer.text()), (401, "Unauthorized"), "{method}");
        assert_eq!(answer.length, Some(12), "{method}");
        assert_eq!(answer.field("Content-Type"), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.field("WWW-Authenticate"), Some(REALM), "{method}");
    }
}

#[tokio::test]
async fn pay_is_read_by_get_and_post_as_compact_json_in_the_contracts_order() {
    let app = TestApp::new().await;
    let twilio = app.demo_user().await;
    for method in [Method::Get, Method::Post] {
        let answer = twilio.ask(method, "/bearer").send().await;
        assert_eq!((answer.status, answer.text()), (200, DEMO_PAY), "{method}");
        let content_type = answer.field("Content-Type").unwrap();
        assert_eq!(content_type.split(';').next(), Some("application/json"), "{method}");
        assert_eq!(answer.length, Some(DEMO_PAY.len()), "{method}");
    }
}

#[tokio::test]
async fn the_token_holds_the_claims_in_the_contracts_order() {
    let app = TestApp::new().await;
    let token = app.demo_user().await.token().to_owned();
    let [header, payload, _] = segments(&token).map(decode).map(String::from_utf8);
    let (header, payload) = (header.unwrap_or_default(), payload.unwrap_or_default());
    let jwt = Jwt::read(&token);
    let (jti, kid) = (jwt.claims["jti"].as_str().unwrap(), jwt.header["kid"].as_str().unwrap());
    let exp = NOON + DAY;
    assert_eq!(
        payload,
        format!(
            r#"{{"sub":"twilio","iss":"twil.io","org":"twilio","perms":["read"],"iat":{NOON},"exp":{exp},"aud":"stipend","jti":"{jti}"}}"#
        )
    );
    assert_eq!(header, format!(r#"{{"typ":"JWT","alg":"HS256","kid":"{kid}"}}"#));
    assert_eq!(jti.len(), 32);
    let of_session = format!("SELECT COUNT(*) FROM sessions WHERE session_id = '{jti}'");
    assert_eq!(app.database.number(&of_session).await, 1);
}

#[tokio::test]
async fn each_login_has_a_session_of_its_own_under_the_same_key() {
    let app = TestApp::new().await;
    let (one, other) = (Jwt::of_demo_user(&app).await, Jwt::of_demo_user(&app).await);
    assert_ne!(one.claims["jti"], other.claims["jti"]);
    assert_eq!(one.header["kid"], other.header["kid"]);
    assert_eq!(app.database.number("SELECT COUNT(*) FROM sessions").await, 2);
}

#[tokio::test]
async fn any_jwt_library_verifies_a_token_with_the_bytes_of_the_keys_text() {
    let app = TestApp::new().await;
    let token = app.demo_user().await.token().to_owned();
    let (message, signature) = token.rsplit_once('.').unwrap();
    assert!(ring::hmac::verify(&key(), message.as_bytes(), &decode(signature)).is_ok());
}

#[tokio::test]
async fn what_tokens_say_and_how_long_they_live_is_a_setting() {
    let settings = Figment::new()
        .merge(("issuer", "https://pay.example.com"))
        .merge(("audience", "pay"))
        .merge(("token_ttl", "30m"));
    let app = TestApp::with(settings).await;
    let ask = app.anonymous().post("/jwt").field("Accept", "application/json");
    let answer = ask.json(r#"{"username":"twilio","password":"ahoy"}"#).send().await.json();
    assert_eq!(answer["expires_in"], 1800);
    let claims = Jwt::read(answer["access_token"].as_str().unwrap()).claims;
    assert_eq!(claims["iss"], "https://pay.example.com");
    assert_eq!(claims["aud"], "pay");
    assert_eq!(claims["exp"], NOON + 1800);
}

#[tokio::test]
async fn perms_are_the_permissions_that_the_user_holds() {
    let app = TestApp::new().await;
    app.add_user("twilio", "ann").await;
    assert_eq!(Jwt::read(app.user("ann").await.token()).claims["perms"], json!([]));
    for (permission, reach) in [("write", "own"), ("read", "own"), ("read", "user:jdoe")] {
        app.add_grant("twilio", "ann", permission, reach).await;
    }
    let claims = Jwt::read(app.user("ann").await.token()).claims;
    assert_eq!(claims["perms"], json!(["read", "write"]));
}

#[tokio::test]
async fn logging_out_is_answered_without_content() {
    let app = TestApp::new().await;
    let twilio = app.demo_user().await;
    let answer = twilio.delete("/jwt").send().await;
    assert_eq!((answer.status, answer.text()), (204, ""));
    assert_eq!(twilio.read_pay().await.status, 401);
}
