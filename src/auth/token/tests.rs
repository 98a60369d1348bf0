use proptest::prelude::*;

use super::*;
use crate::auth::keys::{renamed, ring_of};
use crate::domain::KeyAlgorithm;

const NOW: Timestamp = Timestamp::from_millis(1_773_144_000_000);

fn settings() -> Tokens {
    Tokens { issuer: "twil.io".into(), audience: "stipend".into(), ttl: Duration::from_secs(3600) }
}

fn keys() -> [Key; 2] {
    [
        (KeyAlgorithm::Hs256, "vX9-tests-only-qL3mZ8rT1kW6yB4nH7cJ2sP5"),
        (KeyAlgorithm::EdDsa, "a seed of exactly thirty-two byt"),
    ]
    .map(|(algorithm, secret)| Key::from_secret(algorithm, secret.as_bytes()).unwrap())
}

fn tokens() -> [String; 2] {
    let account = Account {
        org: OrgName::parse("twilio").unwrap(),
        username: Username::parse("ann").unwrap(),
    };
    keys().map(|key| {
        let perms = vec!["read".into()];
        issue(&key, &settings(), &account, "session", perms, NOW, settings().ttl).unwrap()
    })
}

fn verify(
    ring: &Ring,
    settings: &Tokens,
    token: &str,
    now: Timestamp,
) -> Result<Arc<Verified>, InvalidToken> {
    Verifier::new(settings.clone()).verify(ring, token, now)
}

#[test]
fn a_token_that_is_remembered_counts_for_no_longer_and_by_no_other_key() {
    for (token, key) in tokens().iter().zip(keys()) {
        let (verifier, with) = (Verifier::new(settings()), ring_of([key]));
        let last = NOW.plus(settings().ttl).plus(Duration::from_secs(4));
        let over = last.plus(Duration::from_secs(1));
        for now in [NOW, NOW, last] {
            assert!(verifier.verify(&with, token, now).is_ok());
        }
        let before = NOW.minus(Duration::from_secs(6));
        for now in [before, over] {
            let refused = verifier.verify(&with, token, now).unwrap_err();
            assert_eq!(refused, InvalidToken::Refused);
        }
        let without = verifier.verify(&ring_of([]), token, NOW).unwrap_err();
        assert_eq!(without, InvalidToken::UnknownKey);
        let kid = verifier.verify(&with, token, NOW).unwrap().kid.clone();
        let algorithm =
            if token == &tokens()[0] { KeyAlgorithm::Hs256 } else { KeyAlgorithm::EdDsa };
        let other = Key::from_secret(algorithm, b"another seed of thirty-two bytes").unwrap();
        let replaced = verifier.verify(&ring_of([renamed(other, &kid)]), token, NOW);
        assert_eq!(replaced.unwrap_err(), InvalidToken::Refused);
    }
}

#[test]
fn a_token_of_each_algorithm_is_taken() {
    for (token, key) in tokens().iter().zip(keys()) {
        let verified = verify(&ring_of(keys()), &settings(), token, NOW).unwrap();
        let session_id = verified.bearer.session_id.as_str();
        assert_eq!((verified.kid.as_str(), session_id), (key.kid(), "session"));
        assert_eq!(
            verify(&ring_of([]), &settings(), token, NOW).unwrap_err(),
            InvalidToken::UnknownKey
        );
    }
}

proptest! {
    #[test]
    fn no_text_at_all_makes_it_panic(text in ".{0,200}", segments in "[A-Za-z0-9_-]{0,60}(\\.[A-Za-z0-9_-]{0,60}){0,4}") {
        let ring = ring_of(keys());
        prop_assert!(verify(&ring, &settings(), &text, NOW).is_err());
        prop_assert!(verify(&ring, &settings(), &segments, NOW).is_err());
    }

    #[test]
    fn no_change_of_a_token_is_taken(which in 0..2_usize, at in any::<prop::sample::Index>(), with in ".{0,3}") {
        let token = &tokens()[which];
        let at = at.index(token.len());
        let changed = format!("{}{with}{}", &token[..at], &token[at + 1..]);
        let verified = verify(&ring_of(keys()), &settings(), &changed, NOW);
        prop_assert_eq!(verified.is_ok(), &changed == token);
    }

    #[test]
    fn no_header_makes_it_panic_or_takes_another_signature(
        which in 0..2_usize,
        alg in "none|HS256|EdDSA|RS256|[ -~]{0,8}",
        other in any::<bool>(),
        extra in "[a-z0-9]{0,4}",
    ) {
        let [hs256, eddsa] = keys();
        let kid = if other == (which == 0) { eddsa.kid() } else { hs256.kid() };
        let header = serde_json::json!({ "alg": alg, "kid": kid, "typ": "JWT", "x": extra }).to_string();
        let token = &tokens()[which];
        let rest = token.split_once('.').unwrap().1;
        let forged = format!("{}.{rest}", BASE64_URL_SAFE_NO_PAD.encode(header));
        prop_assert!(verify(&ring_of(keys()), &settings(), &forged, NOW).is_err());
    }
}
