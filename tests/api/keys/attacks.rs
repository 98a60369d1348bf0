//! What is refused, whichever key signs.

use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::json;
use stipend::auth::checkpoint;
use stipend::domain::{KeyAlgorithm, Purpose};
use stipend::store::keys::signer;

use super::{Operator, SEED, kid, signed_by_seed};
use crate::jwt::{Jwt, assert_accepted, assert_refused, decode, encode, segments};
use crate::support::app::{SECRET, TestApp};

#[tokio::test]
async fn r10_an_ed25519_key_takes_no_other_algorithm_whatever_the_header_says() {
    let app = TestApp::new().await;
    let signs = Operator::of(&app).sign_by_seed().await;
    let jwt = Jwt::of_demo_user(&app).await;
    assert_eq!((&jwt.header["alg"], &jwt.header["kid"]), (&json!("EdDSA"), &json!(signs)));
    assert_accepted(&app, &signed_by_seed(&jwt), "unchanged").await;

    let pair = Ed25519KeyPair::from_seed_unchecked(&SEED).unwrap();
    let public = pair.public_key().as_ref();
    for alg in [
        "none", "None", "NONE", "", "HS256", "hs256", "HS384", "HS512", "RS256", "ES256", "eddsa",
        "EDDSA", "EdDSA ", "Ed25519", "ES256K",
    ] {
        let changed = jwt.header("alg", alg);
        assert_refused(&app, &signed_by_seed(&changed), &format!("{alg}, signed by Ed25519")).await;
        // The classic: the public key's bytes, which everybody has, as an HMAC key.
        for secret in [public, encode(public).as_bytes(), SECRET.as_bytes(), b""] {
            assert_refused(&app, &changed.signed_by(secret), &format!("{alg}, an HMAC")).await;
        }
        let [header, claims, _] = segments(&changed.signed_by(b"")).map(str::to_owned);
        assert_refused(&app, &format!("{header}.{claims}."), &format!("{alg}, unsigned")).await;
    }
    assert_refused(&app, &signed_by_seed(&jwt.without_header("alg")), "no alg").await;
    assert_refused(&app, &jwt.signed_by(public), "EdDSA in the header, an HMAC below").await;
}

#[tokio::test]
async fn r10_r11_the_key_that_the_token_names_is_the_only_one_that_is_tried() {
    let app = TestApp::new().await;
    let operator = Operator::of(&app);
    let before = Jwt::of_demo_user(&app).await;
    let configured = operator.configured().await;
    let seed = operator.sign_by_seed().await;
    let jwt = Jwt::of_demo_user(&app).await;
    // Each algorithm under the id of a key of the other one.
    assert_refused(&app, &signed_by_seed(&jwt.header("kid", configured.clone())), "HS256's").await;
    let swapped = jwt.header("alg", "HS256").header("kid", configured);
    assert_refused(&app, &signed_by_seed(&swapped), "all but the signature").await;
    assert_refused(&app, &swapped.signed(), "another key than that of its session").await;
    let swapped = before.header("alg", "EdDSA").header("kid", seed);
    assert_refused(&app, &signed_by_seed(&swapped), "another key than that of its session").await;
    assert_accepted(&app, &before.signed(), "the key of its session").await;

    for kid in ["", "../../dev/null", "/etc/passwd", "' OR 1=1 --", "\u{0}", "unknown"] {
        assert_refused(&app, &signed_by_seed(&jwt.header("kid", kid)), kid).await;
    }
    for odd in [json!(null), json!(7), json!([kid(&signed_by_seed(&jwt))]), json!({})] {
        assert_refused(&app, &signed_by_seed(&jwt.header("kid", odd.clone())), "odd").await;
    }
    assert_refused(&app, &signed_by_seed(&jwt.without_header("kid")), "no kid").await;
    let foreign = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
    let x = encode(foreign.public_key().as_ref());
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
    let jwt = jwt.header("jwk", jwk);
    let message = format!("{}.{}", encode(jwt.header_text()), encode(jwt.claims_text()));
    let forged = format!("{message}.{}", encode(foreign.sign(message.as_bytes())));
    assert_refused(&app, &forged, "a key that the token brings along").await;
}

#[tokio::test]
async fn r13_an_ed25519_signature_has_exactly_one_text() {
    /// The order of the group, little-endian: S and S + L both satisfy the equation of the
    /// signature, and only the smaller is one (RFC 8032 section 5.1.7).
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let app = TestApp::new().await;
    Operator::of(&app).sign_by_seed().await;
    let token = app.demo_user().await.token().to_owned();
    assert_accepted(&app, &token, "as it was issued").await;
    let [header, claims, signature] = segments(&token);
    let genuine = decode(signature);
    let mut twin = genuine.clone();
    let mut carry = 0;
    for (byte, order) in twin[32..].iter_mut().zip(L) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert_refused(&app, &format!("{header}.{claims}.{}", encode(&twin)), "S + L").await;
    for at in 0..64 {
        let mut changed = genuine.clone();
        changed[at] ^= 1;
        assert_refused(&app, &format!("{header}.{claims}.{}", encode(&changed)), "a bit").await;
    }
    for short in [&genuine[..63], &genuine[..32], &[]] {
        assert_refused(&app, &format!("{header}.{claims}.{}", encode(short)), "short").await;
    }
    let long = [&genuine[..], &[0]].concat();
    assert_refused(&app, &format!("{header}.{claims}.{}", encode(long)), "long").await;
}

#[tokio::test]
async fn a_key_for_checkpoints_neither_signs_nor_verifies_a_token() {
    let app = TestApp::new().await;
    let operator = Operator::of(&app);
    let ring = app.auth().keys.ring();
    let checkpoint = ring.checkpoint_key().unwrap();
    let [published] = ring.checkpoint_keys()[..] else { panic!("one") };
    assert_eq!(published.kid, checkpoint.kid());

    // The claims of a good token, signed by it as it signs; and that signature under a token's header.
    let jwt = Jwt::of_demo_user(&app).await.header("alg", "EdDSA").header("kid", checkpoint.kid());
    let claims: serde_json::Value = serde_json::from_str(&jwt.claims_text()).unwrap();
    let signed = checkpoint::sign(checkpoint, checkpoint::Kind::Checkpoint, &claims).unwrap();
    assert_refused(&app, &signed, "what it signs").await;
    let (message, signature) = signed.rsplit_once('.').unwrap();
    let key =
        ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, decode(published.x));
    assert!(key.verify(message.as_bytes(), &decode(signature)).is_ok());
    let message = format!("{}.{}", encode(jwt.header_text()), encode(jwt.claims_text()));
    assert_refused(&app, &format!("{message}.{signature}"), "its own id").await;
    assert!(key.verify(message.as_bytes(), &decode(signature)).is_err(), "it is no token's");
    // Nor can it be promoted to sign tokens: what it is for stays what it is for.
    assert!(ring.token_keys().is_empty());
    operator.promote(checkpoint.kid()).await;
    assert_ne!(kid(app.demo_user().await.token()), checkpoint.kid());
    let now = operator.act().now();
    let records: Vec<_> = operator.list().await.into_iter().map(|shown| shown.key).collect();
    assert_eq!(signer(&records, Purpose::Checkpoints, now).unwrap().kid, checkpoint.kid());
}

#[tokio::test]
async fn who_writes_to_the_database_makes_no_key() {
    let app = TestApp::new().await;
    let operator = Operator::of(&app);
    let added = operator.add(KeyAlgorithm::Hs256).await;
    let public = operator.add(KeyAlgorithm::EdDsa).await;
    app.auth().keys.read(&app.auth().db, operator.act().now()).await.unwrap();
    let sealed = "SELECT sealed FROM keys WHERE sealed IS NOT NULL";
    let all = app.database.texts(sealed).await;
    assert_eq!(all.len(), 4);
    for text in &all {
        assert!(text.starts_with("v1.") && !text.contains(SECRET), "{text}");
    }
    // Another's secret in a key's row, or a public key of one's own choice.
    let swap = format!(
        "UPDATE keys SET sealed = (SELECT sealed FROM keys WHERE kid = '{added}') \
         WHERE kid = (SELECT root FROM sealing)"
    );
    app.database.execute(&swap).await;
    let own = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let own = encode(own.public_key().as_ref());
    let swap = format!("UPDATE keys SET public_key = '{own}' WHERE kid = '{public}'");
    app.database.execute(&swap).await;
    // A key for tokens in the place of one for checkpoints, whose signatures mean something else.
    let swap = format!(
        "UPDATE keys SET sealed = (SELECT sealed FROM keys WHERE kid = '{public}') \
         WHERE purpose = 'checkpoints'"
    );
    app.database.execute(&swap).await;
    // A process that has none of them in memory yet.
    let keys = stipend::auth::Keys::new(app.auth().sealer.clone());
    let ring = keys.read(&app.auth().db, operator.act().now()).await.unwrap();
    assert!(ring.checkpoint_key().is_none());
    let root = operator.configured().await;
    assert!(!format!("{ring:?}").contains(&root), "{ring:?}");
    assert!(format!("{ring:?}").contains(&added), "{ring:?}");
    assert!(ring.token_keys().iter().all(|key| key.x != own));
}
