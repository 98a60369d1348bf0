use super::*;
use crate::domain::{OrgName, Username};
use crate::entropy::SystemEntropy;

fn account(org: &str, name: &str) -> Account {
    Account { org: OrgName::parse(org).unwrap(), username: Username::parse(name).unwrap() }
}

fn code(text: &str) -> Code {
    Code::parse(text).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

#[test]
fn the_vectors_of_rfc_6238_appendix_b_are_right_at_their_times() {
    let secret = SharedSecret::of(b"12345678901234567890").unwrap();
    // Their codes have eight digits, of which the last six are those of a code with six.
    for (seconds, step, digits) in [
        (59, 1, "94287082"),
        (1_111_111_109, 37_037_036, "07081804"),
        (1_111_111_111, 37_037_037, "14050471"),
        (1_234_567_890, 41_152_263, "89005924"),
        (2_000_000_000, 66_666_666, "69279037"),
        (20_000_000_000, 666_666_666, "65353130"),
    ] {
        let code = code(&digits[2..]);
        assert_eq!(secret.step_of(&code, at(seconds)), Some(step), "{digits}");
        assert_eq!(secret.step_of(&code, at(seconds + 61)), None, "{digits}, too late");
    }
}

#[test]
fn a_code_is_right_in_its_step_and_in_the_one_before_and_after() {
    let secret = SharedSecret::of(b"12345678901234567890").unwrap();
    let code = code("287082");
    let right = |seconds| secret.step_of(&code, at(seconds)) == Some(1);
    assert!(right(0) && right(30) && right(59) && right(89));
    assert!(!right(90) && !right(3_000) && !right(-1) && !right(i64::MIN / 1000));
}

#[test]
fn a_code_is_taken_as_people_type_it_and_nothing_else_is_one() {
    for text in ["287082", " 287 082 ", "287-082", "287\u{a0}082"] {
        assert_eq!(code(text).digits(), Some("287082"), "{text}");
    }
    for text in ["", "28708", "2870820", "28708a", "２８７０８２", "+87082", "000x00"] {
        assert_eq!(code(text).digits(), None, "{text}");
        assert_eq!(code(text).recovery_hash(&account("acme", "ann")), "", "{text}");
    }
    assert_eq!(Code::parse(&"1".repeat(64)).unwrap().digits(), None);
    assert!(Code::parse(&"1".repeat(65)).is_err());
}

#[test]
fn recovery_codes_are_ten_of_80_bits_each_that_people_can_type() {
    let ann = account("acme", "ann");
    let codes = RecoveryCodes::make(&ann, &SystemEntropy::new()).unwrap();
    let told: std::collections::BTreeSet<&str> =
        codes.told.iter().map(|code| code.expose().as_str()).collect();
    assert_eq!((told.len(), codes.hashes.len()), (RECOVERY_CODES, RECOVERY_CODES));
    for (text, hash) in codes.told.iter().zip(&codes.hashes) {
        let text = text.expose();
        let groups: Vec<&str> = text.split('-').collect();
        assert!(groups.len() == 4 && groups.iter().all(|group| group.len() == 4), "{text}");
        assert!(text.bytes().all(|b| b == b'-' || ALPHABET.contains(&b)), "{text}");
        let misread = text.to_uppercase().replace('0', "O").replace('1', "l").replace('-', " ");
        assert_eq!(code(&misread).recovery_hash(&ann), *hash, "{misread}");
        assert_ne!(code(text).recovery_hash(&account("acme", "bob")), *hash);
        assert_ne!(code(text).recovery_hash(&account("other", "ann")), *hash);
    }
}

#[test]
fn every_bit_of_the_randomness_is_in_a_recovery_code() {
    struct Fixed([u8; RECOVERY_BYTES]);
    impl Entropy for Fixed {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
            bytes.copy_from_slice(&self.0);
            Ok(())
        }
    }
    let first = |bytes| {
        let codes = RecoveryCodes::make(&account("acme", "ann"), &Fixed(bytes)).unwrap();
        codes.told[0].expose().clone()
    };
    assert_eq!(first([0; 10]), "0000-0000-0000-0000");
    assert_eq!(first([0xff; 10]), "zzzz-zzzz-zzzz-zzzz");
    assert_eq!(first([0, 0, 0, 0, 1, 0, 0, 0, 0, 0x21]), "0000-0001-0000-0011");
}

#[test]
fn a_sealed_secret_opens_for_its_account_alone() {
    let sealer = |key: &str| Sealer::new(&Secret::new(key.to_owned())).unwrap();
    let (ours, entropy) = (sealer("a root of thirty-two bytes and more"), SystemEntropy::new());
    let (ann, bob) = (account("acme", "ann"), account("acme", "bob"));
    let secret = SharedSecret::make(&entropy).unwrap();
    let sealed = secret.seal(&ours, &ann, &entropy).unwrap();
    assert_eq!(SharedSecret::open(&ours, &ann, &sealed).unwrap().base32(), secret.base32());
    assert!(SharedSecret::open(&ours, &bob, &sealed).is_none());
    assert!(SharedSecret::open(&sealer("another root"), &ann, &sealed).is_none());
}

#[test]
fn the_uri_is_what_authenticator_apps_read() {
    let secret = SharedSecret::of(b"12345678901234567890").unwrap();
    let base32 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    assert_eq!(secret.base32(), base32);
    for (issuer, shown) in [
        ("twil.io", "twil.io"),
        ("https://pay.example.com:8443", "pay.example.com%208443"),
        ("Pay & more", "Pay%20%26%20more"),
    ] {
        assert_eq!(
            secret.uri(issuer, &account("acme", "ann+pay@x")),
            format!(
                "otpauth://totp/{shown}:acme%2Fann%2Bpay%40x?secret={base32}&issuer={shown}\
                 &algorithm=SHA1&digits=6&period=30"
            )
        );
    }
}
