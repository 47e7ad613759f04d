//! How many bytes a user's idempotency keys take in the store, without asking it.

use crate::domain::Timestamp;

/// Microseconds in a day.
const DAY: i64 = 86_400_000_000;

/// Days that a key may be in the store: it is purged after two, by a purge an hour.
const DAYS: usize = 3;

/// Bytes of keys by the day they were stored on, the newest first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyBytes {
    day: i64,
    bytes: [usize; DAYS],
}

impl KeyBytes {
    /// What the store says when the user is read: all of it counts as stored today.
    pub(crate) const fn of_stored(bytes: usize) -> Self {
        Self { day: 0, bytes: [bytes, 0, 0] }
    }

    pub(crate) const fn bytes(&self) -> usize {
        let [today, before, long_before] = self.bytes;
        today + before + long_before
    }

    pub(crate) fn add(&mut self, bytes: usize) {
        self.bytes[0] += bytes;
    }

    /// Moves on to the day of `now`.
    pub(crate) fn let_age(&mut self, now: Timestamp) {
        let day = now.as_micros().div_euclid(DAY);
        if self.day == 0 {
            self.day = day;
        }
        let days = usize::try_from(day - self.day).unwrap_or(0).min(DAYS);
        self.bytes.rotate_right(days % DAYS);
        self.bytes[..days].fill(0);
        self.day = self.day.max(day);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_count_until_the_store_has_purged_them() {
        let at = |day: i64| Timestamp::from_micros(20_000 * DAY + day * DAY + 5);
        let mut keys = KeyBytes::of_stored(100);
        keys.let_age(at(0));
        keys.add(10);
        assert_eq!(keys.bytes(), 110);
        keys.let_age(at(2));
        keys.add(1);
        assert_eq!(keys.bytes(), 111, "they may be in the store for two days and an hour");
        keys.let_age(at(3));
        assert_eq!(keys.bytes(), 1);
        keys.let_age(at(1));
        assert_eq!(keys.bytes(), 1, "a clock that goes back changes nothing");
        keys.let_age(at(900));
        assert_eq!(keys.bytes(), 0);
    }
}
