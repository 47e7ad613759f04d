//! Instants in microseconds, the precision both stores keep.

use std::num::NonZeroU64;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

/// An instant in UTC, in microseconds since the Unix epoch. Cut to that precision before anything
/// is answered or cached, so that an answer and the stored row never differ.
///
/// The earliest of all, some 290,000 years ago, stands for none: an `Option` of one takes no more memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(NonZeroU64);

/// The sign's bit. Turned over, it makes numbers without a sign that are in the same order.
const SIGN: u64 = 1 << 63;

impl Timestamp {
    /// The present instant, by the system's clock. Correctness never depends on it.
    #[must_use]
    pub fn now() -> Self {
        Self::from(Utc::now())
    }

    /// The instant so long before this one.
    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        Self::from_micros(self.as_micros().saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// An instant from microseconds since the epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        match NonZeroU64::new(micros.cast_unsigned() ^ SIGN) {
            Some(instant) => Self(instant),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        (self.0.get() ^ SIGN).cast_signed()
    }

    /// As the calendar type of `chrono`; the epoch itself if the year is beyond the calendar.
    #[must_use]
    pub fn to_datetime(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.as_micros()).unwrap_or_default()
    }

    /// RFC 3339 with six decimals and `Z`: `2026-02-08T10:30:00.123456Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        self.to_datetime().to_rfc3339_opts(SecondsFormat::Micros, true)
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(instant: DateTime<Utc>) -> Self {
        Self::from_micros(instant.timestamp_micros())
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

    #[test]
    fn instants_are_in_the_order_of_their_microseconds() {
        let micros = [i64::MIN + 1, -1, 0, 1, i64::MAX];
        let instants = micros.map(Timestamp::from_micros);
        assert!(instants.is_sorted());
        assert_eq!(instants.map(Timestamp::as_micros), micros);
        assert_eq!(Timestamp::from_micros(i64::MIN), instants[0]);
        assert_eq!(size_of::<Option<Timestamp>>(), 8);
    }
}
