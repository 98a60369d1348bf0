//! Money is exact: what is written is what is held, in every currency that there is.

use std::collections::BTreeMap;

use proptest::prelude::*;
use stipend::domain::{InvalidMoney, Money, Total};

/// Every three letters that are the code of a currency with a smallest unit.
fn codes() -> Vec<String> {
    let letters = || (b'A'..=b'Z').map(char::from);
    let codes = letters().flat_map(|a| {
        letters().flat_map(move |b| letters().map(move |c| [a, b, c].iter().collect::<String>()))
    });
    codes.filter(|code| Money::from_minor(0, code).is_some()).collect()
}

/// How many decimals a currency has, by ISO 4217's own list: two, but for these.
fn decimals(code: &str) -> usize {
    const NONE: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
    const THREE: &str = "BHD IQD JOD KWD LYD OMR TND";
    const FOUR: &str = "CLF UYW";
    let is_one_of = |list: &str| list.split(' ').any(|other| other == code);
    match () {
        () if is_one_of(NONE) => 0,
        () if is_one_of(THREE) => 3,
        () if is_one_of(FOUR) => 4,
        () => 2,
    }
}

/// The integer that an amount is, by its digits alone, and how many of them are decimals.
fn digits(amount: &str) -> (i128, usize) {
    let decimals = amount.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    (amount.replace('.', "").parse().unwrap(), decimals)
}

fn assert_exact(minor: i64, code: &str) {
    let money = Money::from_minor(minor, code).unwrap();
    let amount = money.amount();
    assert_eq!(digits(&amount), (minor.into(), decimals(code)), "{code} {minor}");
    assert!(!amount.starts_with('.') && !amount.starts_with("-."), "{code} {amount}");
    let (whole, _) = amount.split_once('.').unwrap_or((&amount, ""));
    let whole = whole.trim_start_matches('-');
    assert!(whole == "0" || !whole.starts_with('0'), "{code} {amount}");

    let (sign, unsigned) = match amount.strip_prefix('-') {
        Some(unsigned) => ("-", unsigned),
        None => ("", amount.as_str()),
    };
    let symbols =
        BTreeMap::from([("USD", "$"), ("EUR", "€"), ("GBP", "£"), ("JPY", "¥"), ("INR", "₹")]);
    let written = match symbols.get(code) {
        Some(symbol) => format!("{sign}{symbol}{unsigned}"),
        None => format!("{code} {amount}"),
    };
    assert_eq!(money.to_string(), written);

    let parsed = Money::parse(&amount, code);
    match minor {
        ..0 => assert!(matches!(parsed, Err(InvalidMoney::Amount { .. })), "{code} {amount}"),
        0..=Money::MOST => assert_eq!(parsed, Ok(money)),
        _ => assert!(matches!(parsed, Err(InvalidMoney::TooLarge(_))), "{code} {amount}"),
    }
}

#[test]
fn every_currency_writes_the_extremes_exactly_and_reads_them_again() {
    let codes = codes();
    assert!(codes.len() > 150, "{codes:?}");
    for code in ["USD", "EUR", "JPY", "KWD", "CLF", "CHF"] {
        assert!(codes.iter().any(|other| other == code), "{code}");
    }
    for code in &codes {
        for minor in [
            0,
            1,
            -1,
            9,
            10,
            99,
            100,
            101,
            999,
            1000,
            9999,
            10_000,
            -10_000,
            1_000_000_007,
            Money::MOST - 1,
            Money::MOST,
            Money::MOST + 1,
            i64::MAX,
            i64::MIN,
            i64::MIN + 1,
        ] {
            assert_exact(minor, code);
        }
    }
}

/// Leading zeros and trailing decimals that are zero say nothing.
fn normal(amount: &str) -> String {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    format!("{}.{}", whole.trim_start_matches('0'), fraction.trim_end_matches('0'))
}

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_amount_of_any_currency_is_written_exactly_and_read_again(
        code in prop::sample::select(codes()),
        minor in prop_oneof![any::<i64>(), 0..=Money::MOST, -1000..100_000_i64],
    ) {
        assert_exact(minor, &code);
    }

    #[test]
    fn what_is_read_is_written_back_equal_up_to_zeros_at_its_ends(
        code in prop::sample::select(codes()),
        amount in "0{0,3}[0-9]{1,17}(\\.[0-9]{0,3}0{0,2})?",
    ) {
        let too_fine = amount.split_once('.').is_some_and(|(_, it)| it.is_empty() || it.len() > decimals(&code));
        match Money::parse(&amount, &code) {
            Ok(money) => {
                prop_assert!(!too_fine);
                prop_assert_eq!(normal(&money.amount()), normal(&amount));
                prop_assert!((0..=Money::MOST).contains(&money.minor()));
                prop_assert_eq!(money.currency(), code);
            }
            Err(InvalidMoney::Amount { .. }) => prop_assert!(too_fine, "{amount} {code}"),
            Err(InvalidMoney::TooLarge(_)) => {
                let missing = decimals(&code) - digits(&amount).1;
                let minor = digits(&amount).0 * 10_i128.pow(u32::try_from(missing).unwrap());
                prop_assert!(minor > i128::from(Money::MOST), "{amount} {code}");
            }
            Err(error) => prop_assert!(false, "{amount} {code}: {error}"),
        }
    }

    #[test]
    fn what_is_no_amount_is_refused_and_nothing_else_is_accepted(
        amount in prop_oneof!["[-+0-9., eE'_٠０]{0,12}", "\\PC{0,8}"],
    ) {
        if let Ok(money) = Money::parse(&amount, "USD") {
            prop_assert!(amount.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
            prop_assert_eq!(normal(&money.amount()), normal(&amount));
        }
    }

    #[test]
    fn a_sum_is_exact_and_never_across_currencies(
        codes in prop::sample::subsequence(codes(), 2),
        amounts in prop::collection::vec(0..=Money::MOST, 1..2000),
    ) {
        let of = |minor, code: &str| Money::from_minor(minor, code).unwrap();
        let nothing = Total::of(of(0, &codes[0]));
        let sum = amounts.iter().try_fold(nothing, |sum, it| sum.plus(of(*it, &codes[0])));
        let expected: i128 = amounts.iter().map(|it| i128::from(*it)).sum();
        let told: String = sum.unwrap().amount().replace('.', "");
        prop_assert_eq!(told.parse::<i128>().unwrap(), expected);
        prop_assert_eq!(sum.unwrap().plus(of(1, &codes[1])), None);
    }
}
