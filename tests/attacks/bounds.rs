//! What must hold: the shares of docs/reliability.md, as ratios to the quiet phase of the same run, with room
//! for a busy machine of two cores.

use std::time::Duration;

use crate::run::Measured;
use crate::units::{bytes, rate, time};
use crate::victim::Figures;

/// The victim's slowest hundredth may take so many times that of the quiet phase, or so long: attackers, server and
/// victim share two cores here, and the quick form has some two hundred requests of the victim.
const SLOWER: u32 = 10;
const LATENCY_FLOOR: Duration = Duration::from_millis(200);

/// The probe's slowest answer.
const HEALTH: Duration = Duration::from_secs(1);

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

/// The bounds that do not hold, with their figures.
pub fn broken(measured: &Measured) -> Vec<String> {
    let (quiet, attack, after) = (&measured.quiet, &measured.attack, &measured.after);
    let mut broken = Vec::new();
    let mut must = |holds: bool, figure: String| {
        if !holds {
            broken.push(figure);
        }
    };
    let memory =
        format!("{} resident{}", bytes(measured.memory), if measured.ended { ", ended" } else { "" });
    must(!measured.ended && measured.memory <= measured.memory_bound, memory);
    must(measured.runs || measured.ended, "the server has ended".to_owned());
    must(attack.requests > 0, "no request was begun".to_owned());
    must(attack.p99 <= latency(quiet), format!("p99 {}, alone {}", time(attack.p99), time(quiet.p99)));
    let failures = [attack, after].map(|seen| seen.failures.values().sum::<usize>());
    must(failures == [0, 0], format!("failed requests: {}", failures[0] + failures[1]));
    let health = if attack.health_failures == 0 { time(attack.health) } else { "unanswered".to_owned() };
    must(attack.health <= HEALTH && attack.health_failures == 0, format!("`/health` {health}"));
    let disk = format!("{} on disk of {} sent", bytes(measured.disk), bytes(measured.sent));
    must(measured.disk <= (measured.sent * DISK).max(DISK_FLOOR), disk);
    let log = format!("{} of log a second", rate(log_rate(measured)));
    must(measured.logs_all || log_rate(measured) <= LOG, log);
    must(measured.back.is_some() || measured.ended, "not well again".to_owned());
    for extra in &measured.extras {
        must(extra.value <= extra.bound, format!("{} {:.1}", extra.name, extra.value));
    }
    must(
        quiet.failures.is_empty() && quiet.requests > 0,
        format!("{} requests alone, {} failed", quiet.requests, quiet.failures.values().sum::<usize>()),
    );
    broken
}
