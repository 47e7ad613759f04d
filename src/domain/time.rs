//! Instants in microseconds, the precision both stores keep.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

/// An instant in UTC, in microseconds since the Unix epoch. Cut to that precision before anything
/// is answered or cached, so that an answer and the stored row never differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The present instant, by the system's clock. Correctness never depends on it.
    #[must_use]
    pub fn now() -> Self {
        Self(Utc::now().timestamp_micros())
    }

    /// The instant so long before this one.
    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// An instant from microseconds since the epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// As the calendar type of `chrono`; the epoch itself if the year is beyond the calendar.
    #[must_use]
    pub fn to_datetime(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or_default()
    }

    /// RFC 3339 with six decimals and `Z`: `2026-02-08T10:30:00.123456Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        self.to_datetime().to_rfc3339_opts(SecondsFormat::Micros, true)
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(instant: DateTime<Utc>) -> Self {
        Self(instant.timestamp_micros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_with_six_decimals_and_z() {
        assert_eq!(Timestamp::from_micros(1_770_546_600_123_456).to_rfc3339(), "2026-02-08T10:30:00.123456Z");
        assert_eq!(Timestamp::from_micros(1_770_546_600_000_000).to_rfc3339(), "2026-02-08T10:30:00.000000Z");
    }
}
