//! Eviction: which lanes leave memory, and when.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::interval;

use super::lane_map::LaneMap;
use crate::domain::UserId;

/// How often, in seconds, all lanes are looked through for idle ones.
const IDLE_SCAN: u32 = 30;

/// Advances the map's clock and passivates lanes until the map is gone; `report` is called every second.
pub(super) async fn evict(map: Weak<LaneMap>, pressure: Arc<Notify>, report: impl Fn(&LaneMap)) {
    let mut ticks = interval(Duration::from_secs(1));
    loop {
        let tick = tokio::select! {
            _ = ticks.tick() => true,
            () = pressure.notified() => false,
        };
        let Some(map) = map.upgrade() else { return };
        if tick {
            map.clock.fetch_add(1, Ordering::Relaxed);
            report(&map);
        }
        let excess = match map.excess() {
            0 => 0,
            excess => {
                let (freed, others) = sweep_big(&map);
                // Whatever big lanes take that cannot leave now, the others keep their part.
                excess.saturating_sub(freed).min(others.saturating_sub(part_of_others(&map)))
            }
        };
        sweep(&map, excess);
    }
}

/// A lane that takes more than this part of the byte budget is a big one, if it takes a mebibyte.
const BIG: usize = 16;

/// Big lanes together may take so many eighths of the byte budget. The others keep the rest, whatever the big ones do.
const EIGHTHS_OF_BIG: usize = 5;

/// Takes big lanes out of memory, the least recently used first, until they leave the other users their part. A big
/// user's event streams keep a lane in use for as long as they like; they end, and read their user again when they
/// come back. Returns the bytes that become free, and those that the other lanes take.
fn sweep_big(map: &Arc<LaneMap>) -> (usize, usize) {
    let budget = map.byte_budget();
    let all = map.last_used_by(u32::MAX).into_iter();
    let is_big = |(_, weight, _): &(u32, usize, UserId)| *weight > (budget / BIG).max(1 << 20);
    let (mut big, others): (Vec<_>, Vec<_>) = all.partition(is_big);
    let others = others.iter().map(|(_, weight, _)| weight).sum();
    big.sort_unstable();
    let mut taken: usize = big.iter().map(|(_, weight, _)| weight).sum();
    // Big lanes make room for large writes, too.
    taken += map.rooms.load(Ordering::Relaxed);
    let before = taken;
    for (_, weight, user) in big {
        if taken <= budget - part_of_others(map) {
            break;
        }
        if map.passivate(user) || map.push_out(user) {
            taken -= weight;
        }
    }
    (before - taken, others)
}

/// What big lanes leave to the others.
fn part_of_others(map: &LaneMap) -> usize {
    let budget = map.byte_budget();
    budget - budget / 8 * EIGHTHS_OF_BIG
}

/// Passivates lanes: those idle for long, and beyond the byte budget those least recently used until a tenth of
/// the budget is free again, which is `excess` bytes away.
fn sweep(map: &LaneMap, mut excess: usize) {
    let now = map.clock.load(Ordering::Relaxed);
    if excess == 0 && !now.is_multiple_of(IDLE_SCAN) {
        return;
    }
    let idle = u32::try_from(map.context.limits.idle.as_secs()).unwrap_or(u32::MAX);
    let idle_since = now.checked_sub(idle);
    let before = if excess > 0 { Some(u32::MAX) } else { idle_since };
    let mut unused = before.map_or_else(Vec::new, |before| map.last_used_by(before));
    unused.sort_unstable();
    for (used, weight, user) in unused {
        if excess == 0 && idle_since.is_none_or(|since| used > since) {
            break;
        }
        if map.passivate(user) {
            excess = excess.saturating_sub(weight);
        }
    }
}
