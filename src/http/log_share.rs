//! How many lines of the log one user, or one address without a token, may take.
//!
//! Whoever is refused or fails again and again gets a few lines, then one a second; all together get a bounded
//! number a second. What is left out is counted, and [`LogShare::report`] says it in one line for each source.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::UserId;
use crate::telemetry::metrics;

/// Lines of one source at once, and one more after each [`INTERVAL`].
const BURST: u32 = 10;
const INTERVAL: Duration = Duration::from_secs(1);

/// Lines of all sources at once, and one more after each [`INTERVAL_OF_ALL`].
const BURST_OF_ALL: u32 = 50;
const INTERVAL_OF_ALL: Duration = Duration::from_millis(20);

/// Sources that are remembered one by one; further ones share one count.
const MAX_SOURCES: usize = 1024;

/// Sources that a report names; the others are added up.
const MAX_NAMED: usize = 20;

/// Whose request a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LogSource {
    /// A user with a valid token.
    User(UserId),
    /// A client without one.
    Address(IpAddr),
    /// Nobody in particular.
    Others,
}

impl fmt::Display for LogSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "user {user}"),
            Self::Address(address) => write!(f, "address {address}"),
            Self::Others => f.write_str("others"),
        }
    }
}

/// The shares. Refusals without a valid token have one of their own, so that they leave room for failures.
#[derive(Default)]
pub(crate) struct LogShare {
    refusals: Mutex<Lines>,
    others: Mutex<Lines>,
}

/// The lines of one kind.
#[derive(Default)]
struct Lines {
    all: Pace,
    sources: HashMap<LogSource, Counted>,
}

#[derive(Default)]
struct Counted {
    pace: Pace,
    left_out: u64,
}

/// A rate, by the time at which what was taken so far is paid for (GCRA).
#[derive(Default)]
struct Pace(Option<Instant>);

impl Pace {
    fn admits(&mut self, now: Instant, interval: Duration, burst: u32) -> bool {
        let paid = self.0.map_or(now, |paid| paid.max(now));
        let admitted = paid - now <= interval * (burst - 1);
        if admitted {
            self.0 = Some(paid + interval);
        }
        admitted
    }

    fn is_idle(&self, now: Instant) -> bool {
        self.0.is_none_or(|paid| paid <= now)
    }
}

impl Lines {
    fn admits(&mut self, source: LogSource, now: Instant) -> bool {
        let known = self.sources.len() < MAX_SOURCES || self.sources.contains_key(&source);
        let counted = self.sources.entry(if known { source } else { LogSource::Others }).or_default();
        let admitted =
            counted.pace.admits(now, INTERVAL, BURST) && self.all.admits(now, INTERVAL_OF_ALL, BURST_OF_ALL);
        counted.left_out += u64::from(!admitted);
        admitted
    }

    /// What was left out since the last time, the most first; forgets sources that have their full share again.
    fn take(&mut self, now: Instant) -> Vec<(LogSource, u64)> {
        let counts =
            self.sources.iter_mut().map(|(source, one)| (*source, std::mem::take(&mut one.left_out)));
        let mut counts: Vec<_> = counts.filter(|(_, count)| *count > 0).collect();
        self.sources.retain(|_, one| !one.pace.is_idle(now));
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        if counts.len() > MAX_NAMED {
            let rest = counts.split_off(MAX_NAMED).into_iter().map(|(_, count)| count).sum();
            counts.push((LogSource::Others, rest));
        }
        counts
    }
}

impl LogShare {
    /// Whether a line may be written; counts it otherwise. `refused`: it is about a refusal without a valid token.
    pub(crate) fn admits(&self, source: LogSource, refused: bool) -> bool {
        let lines = if refused { &self.refusals } else { &self.others };
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = lines.admits(source, Instant::now());
        if !admitted {
            metrics().log_lines_left_out.increment(1);
        }
        admitted
    }

    /// Logs what was left out since the last call. Call it every few seconds.
    pub(crate) fn report(&self) {
        for lines in [&self.refusals, &self.others] {
            let counts = lines.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now());
            for (source, count) in counts {
                tracing::warn!(count, from = %source, "log lines left out");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn source(number: u32) -> LogSource {
        LogSource::Address(Ipv4Addr::from_bits(number).into())
    }

    fn admitted(lines: &mut Lines, sources: impl Iterator<Item = u32>, now: Instant) -> usize {
        sources.filter(|number| lines.admits(source(*number), now)).count()
    }

    #[test]
    fn a_source_gets_a_few_lines_then_one_a_second_and_the_rest_is_counted() {
        let (mut lines, now) = (Lines::default(), Instant::now());
        assert_eq!(admitted(&mut lines, std::iter::repeat_n(1, 100), now), 10);
        assert_eq!(admitted(&mut lines, std::iter::repeat_n(1, 100), now + INTERVAL), 1);
        assert_eq!(admitted(&mut lines, std::iter::once(2), now + INTERVAL), 1);
        assert_eq!(lines.take(now + INTERVAL), [(source(1), 189)]);
        assert_eq!(lines.take(now + INTERVAL), [], "a count is reported once");
        assert_eq!(admitted(&mut lines, std::iter::repeat_n(1, 100), now + INTERVAL * 60), 10);
    }

    #[test]
    fn all_sources_together_get_a_bounded_number_of_lines_and_little_memory() {
        let (mut lines, now) = (Lines::default(), Instant::now());
        assert_eq!(admitted(&mut lines, 0..5000, now), 50);
        assert_eq!(admitted(&mut lines, 0..200, now + INTERVAL), 50);
        assert!(lines.sources.len() <= MAX_SOURCES + 1, "{}", lines.sources.len());
        let counts = lines.take(now + INTERVAL);
        assert!(counts.len() <= MAX_NAMED + 1, "{}", counts.len());
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 5100);
        lines.take(now + INTERVAL * 600);
        assert!(lines.sources.is_empty(), "sources are forgotten");
    }
}
