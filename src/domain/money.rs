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

impl Money {
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
        let decimals = usize::from(self.currency.exponent().unwrap_or(0));
        let sign = if self.minor < 0 { "-" } else { "" };
        match self.currency {
            Currency::USD => write!(f, "{sign}$")?,
            Currency::EUR => write!(f, "{sign}€")?,
            Currency::GBP => write!(f, "{sign}£")?,
            Currency::JPY => write!(f, "{sign}¥")?,
            Currency::INR => write!(f, "{sign}₹")?,
            other => write!(f, "{} {sign}", other.code())?,
        }
        let digits = format!("{:0>width$}", self.minor.unsigned_abs(), width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        f.write_str(whole)?;
        if decimals > 0 {
            write!(f, ".{fraction}")?;
        }
        Ok(())
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
    fn what_is_no_currency_is_refused() {
        for code in ["", "usd", "US", "USDX", "ZZZ", "XAU"] {
            assert_eq!(Money::from_minor(1, code), None, "{code}");
        }
    }
}
