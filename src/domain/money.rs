//! Amounts of money, exact: an integer of the currency's smallest unit.

use std::fmt;

use iso_currency::Currency;

/// An amount in an ISO 4217 currency.
///
/// Written as the contract writes it: the symbol and the amount with exactly as many decimals as
/// the currency has, `$2000.00`. A currency whose symbol is its own is written with it; every
/// other with its code and a space, `CHF 2000.00`, since `$` alone could mean twenty of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

/// The text is no amount of that currency; the sentence says what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMoney {
    /// ISO 4217 has no such code, or gives it no smallest unit.
    #[error("a currency is the three capital letters of an ISO 4217 code, such as USD")]
    Currency,
    /// Not digits, or more decimals than the currency has.
    #[error("an amount is digits, and for {currency} {}, such as {example}", decimals(*.exponent))]
    Amount {
        /// The currency's code.
        currency: &'static str,
        /// How many decimals it has.
        exponent: u16,
        /// An amount that would do.
        example: &'static str,
    },
    /// More than an amount can be.
    #[error("an amount is at most {0}")]
    TooLarge(String),
}

impl InvalidMoney {
    /// The member or column that is wrong.
    pub fn member(&self) -> &'static str {
        match self {
            Self::Currency => "currency",
            Self::Amount { .. } | Self::TooLarge(_) => "amount",
        }
    }
}

fn decimals(exponent: u16) -> String {
    match exponent {
        0 => "no decimals".to_owned(),
        1 => "at most 1 decimal after a point".to_owned(),
        n => format!("at most {n} decimals after a point"),
    }
}

impl Money {
    /// The largest amount, in the smallest unit: more than anybody is paid in any currency.
    pub const MOST: i64 = 9_000_000_000_000_000;

    /// Parses an amount in the currency of that code: digits, and after a point as many decimals
    /// as the currency has, or fewer. Nothing else: no sign, space, separator or exponent.
    pub fn parse(amount: &str, code: &str) -> Result<Self, InvalidMoney> {
        let currency = Currency::from_code(code).ok_or(InvalidMoney::Currency)?;
        let exponent = currency.exponent().ok_or(InvalidMoney::Currency)?;
        let malformed = || InvalidMoney::Amount {
            currency: currency.code(),
            exponent,
            example: if exponent == 0 { "2000" } else { "2000.5" },
        };
        let too_large = || InvalidMoney::TooLarge(Self { minor: Self::MOST, currency }.amount());
        let (whole, fraction) = match amount.split_once('.') {
            Some((_, "")) => return Err(malformed()),
            Some(parts) => parts,
            None => (amount, ""),
        };
        let is_number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
        let missing = usize::from(exponent).checked_sub(fraction.len());
        let (true, true, Some(missing)) =
            (is_number(whole) && !whole.is_empty(), is_number(fraction), missing)
        else {
            return Err(malformed());
        };
        let digits = format!("{whole}{fraction}{}", "0".repeat(missing));
        let minor = digits.parse::<i64>().ok().filter(|minor| *minor <= Self::MOST);
        Ok(Self { minor: minor.ok_or_else(too_large)?, currency })
    }

    /// The amount in the currency's smallest unit.
    pub fn minor(self) -> i64 {
        self.minor
    }

    /// The currency's ISO 4217 code.
    pub fn currency(self) -> &'static str {
        self.currency.code()
    }

    /// The amount as a number with all its decimals and nothing else: `2000.00`.
    pub fn amount(self) -> String {
        Total::of(self).amount()
    }

    /// An amount in the smallest unit of the currency of that code; `None` if ISO 4217 has no
    /// such code, or gives it no smallest unit (as to gold).
    pub fn from_minor(minor: i64, code: &str) -> Option<Self> {
        let currency = Currency::from_code(code)?;
        currency.exponent()?;
        Some(Self { minor, currency })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Total::of(*self).fmt(f)
    }
}

/// A sum of amounts in one currency, which is written like them, and has room for more than there
/// can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    minor: i128,
    currency: Currency,
}

impl Total {
    /// One amount.
    pub fn of(money: Money) -> Self {
        Self { minor: money.minor.into(), currency: money.currency }
    }

    /// The sum; none if the currencies differ.
    pub fn plus(self, money: Money) -> Option<Self> {
        let minor = self.minor.checked_add(money.minor.into())?;
        (self.currency == money.currency).then_some(Self { minor, ..self })
    }

    /// The currency's ISO 4217 code.
    pub fn currency(self) -> &'static str {
        self.currency.code()
    }

    /// The sum as a number with all its decimals and nothing else: `2000.00`.
    pub fn amount(self) -> String {
        let sign = if self.minor < 0 { "-" } else { "" };
        format!("{sign}{}", self.digits())
    }

    fn digits(self) -> String {
        let decimals = usize::from(self.currency.exponent().unwrap_or(0));
        let mut digits = format!("{:0>width$}", self.minor.unsigned_abs(), width = decimals + 1);
        if decimals > 0 {
            digits.insert(digits.len() - decimals, '.');
        }
        digits
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.minor < 0 { "-" } else { "" };
        match self.currency {
            Currency::USD => write!(f, "{sign}$")?,
            Currency::EUR => write!(f, "{sign}€")?,
            Currency::GBP => write!(f, "{sign}£")?,
            Currency::JPY => write!(f, "{sign}¥")?,
            Currency::INR => write!(f, "{sign}₹")?,
            other => write!(f, "{} {sign}", other.code())?,
        }
        f.write_str(&self.digits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(minor: i64, code: &str) -> String {
        Money::from_minor(minor, code).unwrap().to_string()
    }

    #[test]
    fn an_amount_is_written_with_the_decimals_of_its_currency() {
        assert_eq!(written(200_000, "USD"), "$2000.00");
        assert_eq!(written(5, "USD"), "$0.05");
        assert_eq!(written(-5, "USD"), "-$0.05");
        assert_eq!(written(0, "EUR"), "€0.00");
        assert_eq!(written(300_000, "JPY"), "¥300000");
        assert_eq!(written(1_200_500, "KWD"), "KWD 1200.500");
        assert_eq!(written(12_345, "CLF"), "CLF 1.2345");
        assert_eq!(written(-200_000, "CHF"), "CHF -2000.00");
    }

    #[test]
    fn the_extremes_are_written_exactly() {
        assert_eq!(written(i64::MAX, "USD"), "$92233720368547758.07");
        assert_eq!(written(i64::MIN, "USD"), "-$92233720368547758.08");
    }

    #[test]
    fn an_amount_is_parsed_exactly_or_not_at_all() {
        let minor = |amount, code| Money::parse(amount, code).map(Money::minor);
        assert_eq!(minor("2000.00", "USD"), Ok(200_000));
        assert_eq!(minor("2000", "USD"), Ok(200_000));
        assert_eq!(minor("0.1", "USD"), Ok(10));
        assert_eq!(minor("007", "JPY"), Ok(7));
        assert_eq!(minor("1.2345", "CLF"), Ok(12_345));
        assert_eq!(minor("90000000000000.00", "USD"), Ok(Money::MOST));
        for amount in ["90000000000000.01", "99999999999999999999999999"] {
            assert!(matches!(minor(amount, "USD"), Err(InvalidMoney::TooLarge(_))), "{amount}");
        }
        for amount in [
            "", ".", "1.", ".5", "-1", "+1", " 1", "1 ", "1,000", "1e3", "0x1", "NaN", "1.005",
            "１",
        ] {
            let refused = minor(amount, "USD");
            assert!(matches!(refused, Err(InvalidMoney::Amount { .. })), "{amount:?}");
        }
        assert_eq!(
            minor("1.5", "JPY").unwrap_err().to_string(),
            "an amount is digits, and for JPY no decimals, such as 2000"
        );
        for code in ["", "usd", "XAU", "ZZZ", "USD "] {
            assert_eq!(minor("1", code), Err(InvalidMoney::Currency), "{code:?}");
        }
    }

    #[test]
    fn what_is_no_currency_is_refused() {
        for code in ["", "usd", "US", "USDX", "ZZZ", "XAU"] {
            assert_eq!(Money::from_minor(1, code), None, "{code}");
        }
    }
}
