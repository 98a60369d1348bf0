use proptest::prelude::*;

use super::*;
use crate::auth::keys::ring_of;
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
    Seen::default().verify(ring, settings, token, now)
}

#[test]
fn a_token_that_was_seen_counts_for_no_longer_and_by_no_other_key() {
    for (token, key) in tokens().iter().zip(keys()) {
        let (seen, with) = (Seen::default(), ring_of([key]));
        let last = NOW.plus(settings().ttl).plus(Duration::from_secs(4));
        let over = last.plus(Duration::from_secs(1));
        for now in [NOW, NOW, last] {
            assert!(seen.verify(&with, &settings(), token, now).is_ok());
        }
        let before = NOW.minus(Duration::from_secs(6));
        for now in [before, over] {
            let refused = seen.verify(&with, &settings(), token, now).unwrap_err();
            assert_eq!(refused, InvalidToken::Refused);
        }
        let without = seen.verify(&ring_of([]), &settings(), token, NOW).unwrap_err();
        assert_eq!(without, InvalidToken::UnknownKey);
        // Nor is it looked at less closely because another was taken.
        let (message, _) = token.rsplit_once('.').unwrap();
        let (_, signature) = tokens()[1].rsplit_once('.').map(|(a, b)| (a, b.to_owned())).unwrap();
        let forged = format!("{message}.{}", signature.replace(['a', 'b'], "c"));
        assert!(seen.verify(&with, &settings(), &forged, NOW).is_err());
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
