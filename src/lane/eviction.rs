//! Passivation: which lanes leave memory, and when.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::interval;

use super::registry::RegistryInner;
use crate::telemetry::metrics;

/// How often, in seconds, all lanes are looked through for idle ones.
const IDLE_SCAN: u32 = 30;

/// Advances the lanes' clock, and passivates lanes, until the registry is gone.
pub(super) async fn sweep(registry: Weak<RegistryInner>, pressure: Arc<Notify>) {
    let mut ticks = interval(Duration::from_secs(1));
    loop {
        let tick = tokio::select! {
            _ = ticks.tick() => true,
            () = pressure.notified() => false,
        };
        let Some(inner) = registry.upgrade() else { return };
        if tick {
            inner.clock.fetch_add(1, Ordering::Relaxed);
            inner.report();
        }
        inner.sweep();
    }
}

impl RegistryInner {
    /// Passivates lanes: those idle for long, and beyond the byte budget the longest unused ones until
    /// a tenth of the budget is free again.
    fn sweep(&self) {
        let now = self.clock.load(Ordering::Relaxed);
        let mut excess = self.cached_bytes.load(Ordering::Relaxed).saturating_sub(self.limits.cache_bytes);
        if excess > 0 {
            excess += self.limits.cache_bytes / 10;
        } else if !now.is_multiple_of(IDLE_SCAN) {
            return;
        }
        let idle = u32::try_from(self.limits.idle.as_secs()).unwrap_or(u32::MAX);
        let mut unused: Vec<_> = (self.lanes.iter())
            .filter(|lane| excess > 0 || now.saturating_sub(lane.used.load(Ordering::Relaxed)) >= idle)
            .map(|lane| {
                (
                    lane.used.load(Ordering::Relaxed),
                    lane.view.get().map_or(0, |view| view.weight()),
                    *lane.key(),
                )
            })
            .collect();
        unused.sort_unstable();
        for (used, weight, user) in unused {
            if excess == 0 && now.saturating_sub(used) < idle {
                break;
            }
            let passivated = self.lanes.remove_if(&user, |_, lane| Arc::strong_count(lane) == 1);
            if passivated.is_some() {
                excess = excess.saturating_sub(weight);
            }
        }
    }

    fn report(&self) {
        let waiting = self.limits.waiting - self.admission.available_permits();
        metrics().lanes(self.lanes.len(), waiting, self.cached_bytes.load(Ordering::Relaxed));
        metrics().pool(self.context.store.pool());
    }
}
