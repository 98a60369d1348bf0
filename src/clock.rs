//! Time, as a port: whoever needs it takes a [`Clock`], so that a test can set it.

use std::time::Duration;

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

/// A moment: milliseconds since 1970-01-01T00:00:00 UTC, as the database keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment that many milliseconds after 1970-01-01T00:00:00 UTC.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01T00:00:00 UTC.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970-01-01T00:00:00 UTC: a JWT's NumericDate (RFC 7519 section 2).
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The moment this much later; the end of time if there is none.
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// The moment this much earlier; the beginning of time if there is none.
    pub fn minus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(millis))
    }

    /// The beginning of its second.
    pub const fn whole_second(self) -> Self {
        Self(self.as_secs().saturating_mul(1000))
    }

    /// The beginning of its minute.
    pub const fn whole_minute(self) -> Self {
        Self(self.0.div_euclid(60_000).saturating_mul(60_000))
    }

    /// How long it is since an earlier moment; nothing if that is a later one.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Parses a moment as RFC 3339 writes it, such as `2026-03-10T12:00:00Z`; what is finer than a
    /// millisecond is dropped.
    pub fn parse(text: &str) -> Option<Self> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        i64::try_from(moment.unix_timestamp_nanos().div_euclid(1_000_000)).ok().map(Self)
    }

    /// The UTC day that holds this moment.
    pub fn day(self) -> Day {
        let moment = OffsetDateTime::from_unix_timestamp(self.as_secs());
        Day(moment.map_or(Date::MAX, OffsetDateTime::date))
    }
}

/// As RFC 3339 writes it, in UTC with milliseconds: `2026-03-10T12:00:00.000Z`.
impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000);
        let written = moment.unwrap_or(OffsetDateTime::UNIX_EPOCH).format(format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        ));
        f.write_str(&written.map_err(|_| std::fmt::Error)?)
    }
}

/// A calendar day, in UTC; written `YYYY-MM-DD`, which sorts as text in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(Date);

impl Day {
    /// Parses a day of the years 0000 to 9999 that exists, written `YYYY-MM-DD`.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let date = Date::parse(text, format_description!("[year]-[month]-[day]"));
        date.ok().filter(|_| plain).map(Self)
    }

    /// The moment at which it begins.
    pub fn start(self) -> Timestamp {
        Timestamp(self.0.midnight().assume_utc().unix_timestamp().saturating_mul(1000))
    }

    /// The moment at which it is over: the midnight after it.
    pub fn end(self) -> Timestamp {
        let midnight = self.0.midnight().assume_utc().unix_timestamp();
        Timestamp(midnight.saturating_mul(1000)).plus(Duration::from_secs(24 * 60 * 60))
    }
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.0.format(format_description!("[year]-[month]-[day]"));
        f.write_str(&text.map_err(|_| std::fmt::Error)?)
    }
}

/// What time it is.
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment; never goes back. For measuring how long something took.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    started: std::time::Instant,
}

impl SystemClock {
    /// A clock whose [`monotonic`](Clock::monotonic) time begins now.
    #[expect(clippy::disallowed_methods, reason = "this is the port's one real implementation")]
    pub fn new() -> Self {
        Self { started: std::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the port's one real implementation")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp(0).plus(since.unwrap_or_default())
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_as_sortable_text() {
        assert_eq!(Timestamp::from_millis(0).day().to_string(), "1970-01-01");
        assert_eq!(Timestamp::from_millis(1_709_251_199_999).day().to_string(), "2024-02-29");
        assert_eq!(Timestamp::from_millis(1_709_251_200_000).day().to_string(), "2024-03-01");
    }

    #[test]
    fn a_day_is_over_at_the_midnight_after_it() {
        let end = |day| Day::parse(day).unwrap().end().to_string();
        assert_eq!(end("2024-02-28"), "2024-02-29T00:00:00.000Z");
        assert_eq!(end("2026-12-31"), "2027-01-01T00:00:00.000Z");
        assert!(
            Day::parse("9999-12-31").unwrap().end() > Timestamp::from_millis(253_402_300_799_000)
        );
    }

    #[test]
    fn a_moment_has_its_second_and_its_minute_and_a_distance() {
        let moment = Timestamp::from_millis(1_773_144_061_999);
        assert_eq!(moment.whole_second().to_string(), "2026-03-10T12:01:01.000Z");
        assert_eq!(moment.whole_minute().to_string(), "2026-03-10T12:01:00.000Z");
        assert_eq!(moment.since(moment.whole_second()), Duration::from_millis(999));
        assert_eq!(moment.whole_second().since(moment), Duration::ZERO);
    }

    #[test]
    fn only_days_that_exist_are_parsed() {
        for day in ["2024-02-29", "1970-01-01", "9999-12-31"] {
            assert_eq!(Day::parse(day).unwrap().to_string(), day);
        }
        for text in
            ["2023-02-29", "2024-13-01", "2024-1-1", "24-01-01", "+2024-01-01", "", " 2024-01-01"]
        {
            assert_eq!(Day::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_moment_is_parsed_as_it_is_written() {
        let moment = Timestamp::from_millis(1_773_144_000_123);
        assert_eq!(moment.to_string(), "2026-03-10T12:00:00.123Z");
        assert_eq!(Timestamp::parse("2026-03-10T12:00:00.123Z"), Some(moment));
        assert_eq!(Timestamp::parse("2026-03-10T13:00:00.1239+01:00"), Some(moment));
        for text in ["", "2026-03-10", "2026-03-10T25:00:00Z", "1773144000"] {
            assert_eq!(Timestamp::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn time_never_overflows() {
        assert_eq!(Timestamp(i64::MAX).plus(Duration::from_secs(1)), Timestamp(i64::MAX));
        assert_eq!(Timestamp(i64::MIN).minus(Duration::from_secs(1)), Timestamp(i64::MIN));
        assert_eq!(Timestamp(1500).since(Timestamp(500)), Duration::from_secs(1));
        assert_eq!(Timestamp(500).since(Timestamp(1500)), Duration::ZERO);
        assert_eq!(Timestamp(-1).as_secs(), -1);
    }
}
