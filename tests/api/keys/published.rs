//! The public keys.

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use stipend::clock::Clock;
use stipend::domain::KeyAlgorithm;

use super::{Operator, kid};
use crate::support::app::{NOON, SECRET, TestApp};

const JWKS: &str = "/.well-known/jwks.json";

async fn read_keys(app: &TestApp) {
    let auth = app.auth();
    auth.keys.read(&auth.db, auth.ports.clock.now()).await.unwrap();
}

#[tokio::test]
async fn r19b_no_symmetric_key_is_published() {
    let app = TestApp::new().await;
    let operator = Operator::of(&app);
    operator.add(KeyAlgorithm::Hs256).await;
    read_keys(&app).await;
    let answer = app.anonymous().get(JWKS).send().await;
    assert_eq!((answer.status, answer.text()), (200, r#"{"keys":[]}"#));
    assert_eq!(answer.field("Content-Type"), Some("application/jwk-set+json"));
    assert_eq!(answer.field("Cache-Control"), Some("public, max-age=10"));
    for path in ["/jwks.json", "/.well-known/openid-configuration", "/.well-known/jwks.json/x"] {
        assert_eq!(app.anonymous().get(path).send().await.status, 404, "{path}");
    }
    assert_eq!(app.anonymous().get("/.well-known/jwks.json?x=1").send().await.status, 400);
}

#[tokio::test]
async fn r19b_another_service_verifies_with_what_is_published_and_that_is_public_alone() {
    let app = TestApp::new().await;
    let operator = Operator::of(&app);
    let signs = operator.rotate_to(KeyAlgorithm::EdDsa).await;
    read_keys(&app).await;
    let answer = app.anonymous().get(JWKS).send().await;
    let body = answer.json();
    let [key] = &body["keys"].as_array().unwrap()[..] else { panic!("{body}") };
    let mut members: Vec<&String> = key.as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x"]);
    assert_eq!(
        (&key["kty"], &key["crv"], &key["alg"], &key["use"]),
        (&json!("OKP"), &json!("Ed25519"), &json!("EdDSA"), &json!("sig"))
    );
    assert!(!answer.text().contains(SECRET));

    let token = app.demo_user().await.token().to_owned();
    assert_eq!(kid(&token), signs);
    let set: JwkSet = serde_json::from_value(body.clone()).unwrap();
    let jwk: &Jwk = set.find(&signs).unwrap();
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&["stipend"]);
    validation.set_issuer(&["twil.io"]);
    validation.validate_exp = false;
    let decoded =
        jsonwebtoken::decode::<Value>(&token, &DecodingKey::from_jwk(jwk).unwrap(), &validation);
    let claims = decoded.unwrap().claims;
    assert_eq!((&claims["sub"], &claims["iat"]), (&json!("twilio"), &json!(NOON + 15)));
    let mut forged = token.into_bytes();
    let at = forged.len() - 20;
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    let key = DecodingKey::from_jwk(jwk).unwrap();
    assert!(jsonwebtoken::decode::<Value>(&forged[..], &key, &validation).is_err());
}

#[tokio::test]
async fn a_retired_key_stays_published_while_it_verifies_and_a_revoked_one_does_not() {
    let app = TestApp::new().await;
    let operator = Operator::of(&app);
    let first = operator.rotate_to(KeyAlgorithm::EdDsa).await;
    let user = app.demo_user().await;
    let second = operator.rotate_to(KeyAlgorithm::EdDsa).await;
    operator.retire(&first, None).await.unwrap();
    app.clock.advance(std::time::Duration::from_secs(3600));
    read_keys(&app).await;
    let published = |answer: Value| -> Vec<String> {
        let keys = answer["keys"].as_array().unwrap().clone();
        keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    };
    let mut both = vec![first.clone(), second.clone()];
    both.sort();
    assert_eq!(published(app.anonymous().get(JWKS).send().await.json()), both);
    assert_eq!(user.delete("/jwt").send().await.status, 204);
    read_keys(&app).await;
    assert_eq!(
        published(app.anonymous().get(JWKS).send().await.json()),
        std::slice::from_ref(&second)
    );
    operator.revoke(&second, None).await.unwrap();
    read_keys(&app).await;
    let left = published(app.anonymous().get(JWKS).send().await.json());
    assert!(left.len() == 1 && left[0] != second && left[0] != first, "the one made in its place");
}

#[tokio::test]
async fn the_keys_of_checkpoints_are_published_apart_also_when_they_are_retired() {
    let app = TestApp::new().await;
    let operator = Operator::of(&app);
    let old = app.auth().keys.ring().checkpoint_key().unwrap().kid().to_owned();
    let retired = operator.revoke(&old, None).await.unwrap();
    let (new, _) = retired.heir.unwrap();
    assert!(retired.heir_is_new);
    read_keys(&app).await;
    assert_eq!(app.auth().keys.ring().checkpoint_key().unwrap().kid(), new);
    let answer = app.anonymous().get("/.well-known/checkpoint-keys.json").send().await;
    assert_eq!(answer.field("Cache-Control"), Some("public, max-age=10"));
    let body = answer.json();
    let mut kids: Vec<&str> =
        body["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap()).collect();
    kids.sort_unstable();
    // Whoever keeps them knows from when the old one's signatures are somebody else's.
    let noon = app.clock.now().as_secs();
    for key in body["keys"].as_array().unwrap() {
        let is_old = key["kid"].as_str() == Some(&old);
        let ended = is_old.then_some(noon).map_or(Value::Null, Value::from);
        assert_eq!((&key["exp"], &key["revoked"]["revoked_at"]), (&ended, &ended), "{key}");
    }
    let mut both = [old.as_str(), new.as_str()];
    both.sort_unstable();
    assert_eq!(kids, both);
    assert_eq!(app.anonymous().get(JWKS).send().await.text(), r#"{"keys":[]}"#);
}
