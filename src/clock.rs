//! Time, as a port: whoever needs it takes a [`Clock`], so that a test can set it.

use std::time::Duration;

use time::macros::format_description;
use time::{Date, OffsetDateTime};

/// A moment: milliseconds since 1970-01-01T00:00:00 UTC, as the database keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

    /// The UTC day that holds this moment.
    pub fn day(self) -> Day {
        let moment = OffsetDateTime::from_unix_timestamp(self.as_secs());
        Day(moment.map_or(Date::MAX, OffsetDateTime::date))
    }
}

/// A calendar day, in UTC; written `YYYY-MM-DD`, which sorts as text in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(Date);

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
    fn time_never_overflows() {
        assert_eq!(Timestamp(i64::MAX).plus(Duration::from_secs(1)), Timestamp(i64::MAX));
        assert_eq!(Timestamp(-1).as_secs(), -1);
    }
}
