//! What must hold: the shares of docs/reliability.md, as ratios to the quiet phase of the same run, with room
//! for a busy machine of two cores.

use std::time::Duration;

use crate::run::Measured;
use crate::victim::Figures;

/// The victim's slowest hundredth may take so many times that of the quiet phase, or so long.
const SLOWER: u32 = 10;
const LATENCY_FLOOR: Duration = Duration::from_millis(150);

/// The probe's slowest answer.
const HEALTH: Duration = Duration::from_millis(1_500);

/// `CACHE_MAX_BYTES` and `WORK_MAX_BYTES` at their defaults, and what the process takes besides.
const CACHE: u64 = 256 << 20;
const WORK: u64 = 128 << 20;
const BESIDES: u64 = 100 << 20;

/// Bytes on disk for each byte sent; and what the log of SQLite and a new page of each table may take.
const DISK: u64 = 10;
const DISK_FLOOR: u64 = 24 << 20;

/// Bytes of log a second.
const LOG: f64 = 64.0 * 1024.0;

/// The most that the victim's requests may take.
pub fn latency(quiet: &Figures) -> Duration {
    (quiet.p99 * SLOWER).max(LATENCY_FLOOR)
}

/// The most resident memory with these settings.
pub fn memory(settings: &[(&str, &str)]) -> u64 {
    let cache = settings.iter().find(|(name, _)| *name == "CACHE_MAX_BYTES");
    cache.map_or(CACHE, |(_, bytes)| bytes.parse().expect("it is a number")) + WORK + BESIDES
}

/// Bytes of log a second.
#[expect(clippy::cast_precision_loss, reason = "it is far from 2^52")]
pub fn log_rate(measured: &Measured) -> f64 {
    measured.log as f64 / measured.lasted.as_secs_f64()
}

/// The most that the store may grow.
pub fn disk(measured: &Measured) -> u64 {
    (measured.sent * DISK).max(DISK_FLOOR)
}

/// The bounds that do not hold.
pub fn broken(measured: &Measured) -> Vec<String> {
    let mut broken = Vec::new();
    let mut must = |holds: bool, bound: &str| {
        if !holds {
            broken.push(bound.to_owned());
        }
    };
    let (attack, after) = (&measured.attack, &measured.after);
    must(!measured.ended && measured.memory <= measured.memory_bound, "memory");
    must(measured.runs || measured.ended, "the server runs");
    must(attack.requests > 0 && attack.p99 <= latency(&measured.quiet), "p99");
    must(attack.failures.is_empty() && after.failures.is_empty(), "no failures");
    must(attack.health <= HEALTH && attack.health_failures == 0, "health");
    must(measured.disk <= disk(measured), "disk");
    must(measured.logs_all || log_rate(measured) <= LOG, "log");
    must(measured.back.is_some(), "recovery");
    for extra in &measured.extras {
        must(extra.value <= extra.bound, extra.name);
    }
    if !measured.quiet.failures.is_empty() || measured.quiet.requests == 0 {
        broken.push(format!("a quiet phase without failures: {:?}", measured.quiet.failures));
    }
    broken
}
