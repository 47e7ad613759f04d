//! Instants in microseconds, the precision both stores keep.

use std::num::NonZeroU64;
use std::time::Duration;

use chrono::{DateTime, Datelike, SecondsFormat, Timelike, Utc};

use super::rfc3339::date_time;

/// An instant in UTC, in microseconds since the Unix epoch. Cut to that precision before anything
/// is answered or cached, so that an answer and the stored row never differ.
///
/// The earliest of all, some 290,000 years ago, stands for none: an `Option` of one takes no more memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(NonZeroU64);

/// The sign bit. Flipped, it maps signed numbers to unsigned ones in the same order.
const SIGN: u64 = 1 << 63;

impl Timestamp {
    /// Now, by the system's clock. Correctness never depends on it.
    #[must_use]
    pub fn now() -> Self {
        Self::from(Utc::now())
    }

    /// Reads an RFC 3339 `date-time` that is in the years 1 to 9999 of UTC as well: it is written in UTC.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        date_time(text.as_bytes()).filter(|instant| (1..=9999).contains(&instant.year())).map(Self::from)
    }

    /// The instant `time` before this one.
    pub(crate) fn before(self, by: Duration) -> Self {
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
    pub(crate) fn to_datetime(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.as_micros()).unwrap_or_default()
    }

    /// RFC 3339 with six decimals and `Z`: `2026-02-08T10:30:00.123456Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        self.to_datetime().to_rfc3339_opts(SecondsFormat::Micros, true)
    }

    /// Writes [`Timestamp::to_rfc3339`] at the end of `text`. Every task has two instants at the least, and this is
    /// several times as fast.
    pub fn write_rfc3339(self, text: &mut Vec<u8>) {
        let at = self.to_datetime();
        let Some(year) = u32::try_from(at.year()).ok().filter(|year| *year <= 9999) else {
            // It takes more digits, or a sign.
            return text.extend_from_slice(self.to_rfc3339().as_bytes());
        };
        let mut form = *b"0000-00-00T00:00:00.000000Z";
        let parts = [
            (0..4, year),
            (5..7, at.month()),
            (8..10, at.day()),
            (11..13, at.hour()),
            (14..16, at.minute()),
            (17..19, at.second()),
            (20..26, at.timestamp_subsec_micros()),
        ];
        for (place, mut value) in parts {
            for digit in form[place].iter_mut().rev() {
                *digit += u8::try_from(value % 10).unwrap_or(0);
                value /= 10;
            }
        }
        text.extend_from_slice(&form);
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
