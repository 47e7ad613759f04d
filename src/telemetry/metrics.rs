//! What the inside of the service counts: lanes, cache, commits, connections.
//!
//! Each metric is looked up once, here; setting one then costs one or two atomic stores. This exporter's
//! histograms keep every sample (16 bytes) until [`Metrics::upkeep`] sorts them into buckets. That is cheap
//! enough for some thousand commits a second, but not for requests: [`Traffic`](super::Traffic) counts those.

use std::sync::OnceLock;
use std::time::Duration;

use ::metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram, with_local_recorder,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper bounds of a commit's duration, in seconds.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Upper bounds of the number of users in one commit.
const USERS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

/// Makes the struct of these metrics; a metric's comment is its help.
macro_rules! metrics {
    ($(#[doc = $help:literal] $visible:vis $field:ident: $kind:ident = $find:ident($name:literal),)+) => {
        /// The process's metrics. [`metrics()`] gives the one value there is.
        pub struct Metrics {
            $(#[doc = $help] $visible $field: $kind,)+
            exporter: PrometheusHandle,
        }

        impl Metrics {
            fn of(exporter: PrometheusHandle) -> Self {
                Self { $($field: $find($name, $help.trim_start()),)+ exporter }
            }
        }
    };
}

metrics! {
    /// Users whose changes one commit wrote.
    commit_users: Histogram = histogram("tasklane_commit_users"),
    /// Duration of one commit in the store.
    commit_seconds: Histogram = histogram("tasklane_commit_duration_seconds"),
    /// Batches refused because another process wrote first.
    pub(crate) conflicts: Counter = counter("tasklane_commit_conflicts_total"),
    /// Queries for users' seqs, each for all reads that waited.
    pub(crate) validations: Counter = counter("tasklane_validation_queries_total"),
    /// Times that another process's changes were added to a user in memory.
    pub(crate) catch_ups: Counter = counter("tasklane_catch_ups_total"),
    /// Times that a user in memory was read again as a whole.
    pub(crate) reloads: Counter = counter("tasklane_reloads_total"),
    /// Users whose changes were announced to other processes.
    pub(crate) hints_sent: Counter = counter("tasklane_hints_sent_total"),
    /// Announcements of a user's change, this process's own included.
    pub(crate) hints_received: Counter = counter("tasklane_hints_received_total"),
    /// 1 while other processes' announcements arrive; at 0 event streams lag up to a second.
    pub(crate) listening: Gauge = gauge("tasklane_hints_listener_up"),
    /// 1 while an unexpected process uses the same database: see MODE.
    pub(crate) unexpected_peer: Gauge = gauge("tasklane_other_process"),
    /// Reads served from memory.
    pub(crate) cache_hits: Counter = counter("tasklane_cache_hits_total"),
    /// Reads that loaded their user first.
    pub(crate) cache_misses: Counter = counter("tasklane_cache_misses_total"),
    /// Approximate size of the lanes in memory.
    cache_bytes: Gauge = gauge("tasklane_cache_bytes"),
    /// Users in memory.
    lanes: Gauge = gauge("tasklane_lanes"),
    /// Writes admitted and not yet answered.
    waiting: Gauge = gauge("tasklane_write_queue_depth"),
    /// Bytes that requests under way hold: bodies, waiting writes, large answers (of `WORK_MAX_BYTES`).
    work_bytes: Gauge = gauge("tasklane_work_bytes"),
    /// Requests refused with 429 because their user had too much under way.
    pub(crate) work_over_share: Counter = counter("tasklane_work_over_share_total"),
    /// Requests refused with 503 because all users together had too much under way.
    pub(crate) work_overloaded: Counter = counter("tasklane_work_overloaded_total"),
    /// Open connections to the store.
    pool_size: Gauge = gauge("tasklane_store_connections"),
    /// Open and idle connections to the store.
    pool_idle: Gauge = gauge("tasklane_store_connections_idle"),
    /// Callers waiting for a connection to the store.
    pool_waiting: Gauge = gauge("tasklane_store_connections_awaited"),
    /// Log lines lost because the log was not read or could not be written.
    pub(crate) log_lines_dropped: Counter = counter("tasklane_log_lines_dropped_total"),
    /// Log lines left out because one user or address, or all together, would have had too many.
    pub(crate) log_lines_left_out: Counter = counter("tasklane_log_lines_left_out_total"),
    /// Open connections of clients.
    pub(crate) connections: Gauge = gauge("tasklane_connections"),
    /// Connections closed because their address had too many.
    pub(crate) connections_refused: Counter = counter("tasklane_connections_refused_total"),
}

/// The metrics of this process.
#[must_use]
pub fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(Metrics::new)
}

impl Metrics {
    fn new() -> Self {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_users".into()), &USERS));
        let recorder = builder.expect("no list of buckets is empty").build_recorder();
        let exporter = recorder.handle();
        with_local_recorder(&recorder, || Self::of(exporter))
    }

    /// Notes one commit of `users` users' batches.
    pub fn commit(&self, users: usize, took: Duration) {
        self.commit_users.record(float(users));
        self.commit_seconds.record(took.as_secs_f64());
    }

    /// Sets how many lanes are in memory, how many writes wait, and the lanes' approximate size in bytes.
    pub fn lanes(&self, lanes: usize, waiting: usize, bytes: usize) {
        self.lanes.set(float(lanes));
        self.waiting.set(float(waiting));
        self.cache_bytes.set(float(bytes));
    }

    /// Sets how many bytes requests under way hold.
    pub fn work(&self, bytes: usize) {
        self.work_bytes.set(float(bytes));
    }

    /// Sets how many connections to the store are open, how many of them are idle, and how many callers wait for one.
    pub fn pool(&self, size: usize, idle: usize, waiting: usize) {
        self.pool_size.set(float(size));
        self.pool_idle.set(float(idle));
        self.pool_waiting.set(float(waiting));
    }

    /// Sorts the samples gathered so far into their buckets. Call it every few seconds: until then each
    /// sample takes memory.
    pub fn upkeep(&self) {
        self.exporter.run_upkeep();
    }

    /// Everything as text in the Prometheus exposition format 0.0.4.
    pub(crate) fn render(&self) -> String {
        self.exporter.render()
    }
}

fn counter(name: &'static str, help: &'static str) -> Counter {
    describe_counter!(name, help);
    counter!(name)
}

fn gauge(name: &'static str, help: &'static str) -> Gauge {
    describe_gauge!(name, help);
    gauge!(name)
}

fn histogram(name: &'static str, help: &'static str) -> Histogram {
    describe_histogram!(name, help);
    histogram!(name)
}

#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 a metric may be off by one")]
fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_rendered_with_explicit_buckets() {
        let metrics = Metrics::new();
        metrics.commit(3, Duration::from_millis(4));
        metrics.lanes(7, 2, 4096);
        metrics.pool(5, 4, 1);
        metrics.cache_hits.increment(1);
        metrics.upkeep();
        let text = metrics.render();
        for line in [
            "tasklane_commit_users_bucket{le=\"2\"} 0",
            "tasklane_commit_users_bucket{le=\"5\"} 1",
            "tasklane_commit_duration_seconds_bucket{le=\"0.002\"} 0",
            "tasklane_commit_duration_seconds_bucket{le=\"0.005\"} 1",
            "tasklane_lanes 7",
            "tasklane_write_queue_depth 2",
            "tasklane_cache_bytes 4096",
            "tasklane_cache_hits_total 1",
            "tasklane_cache_misses_total 0",
            "tasklane_store_connections_idle 4",
            "# HELP tasklane_commit_conflicts_total Batches refused because another process wrote first.",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in:\n{text}");
        }
    }
}
