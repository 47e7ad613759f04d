//! What the inside of the service counts: lanes, cache, commits, connections.
//!
//! Each metric is looked up once, here; to set one is an atomic store or two. Histograms of this
//! exporter keep every sample (16 bytes) until [`Metrics::upkeep`] sorts them into buckets, which is
//! right for commits, of which there are some thousand a second, and wrong for requests: those are
//! counted by [`Traffic`](super::Traffic).

use std::sync::OnceLock;
use std::time::Duration;

use ::metrics::{Counter, Gauge, Histogram, counter, gauge, histogram, with_local_recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper bounds of a commit's duration, in seconds.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Upper bounds of the number of users in one commit.
const USERS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

/// The process's metrics. [`metrics()`] gives the one value there is.
pub struct Metrics {
    commits: Histogram,
    commit_seconds: Histogram,
    conflicts: Counter,
    validations: Counter,
    catch_ups: Counter,
    reloads: Counter,
    hints_sent: Counter,
    hints_received: Counter,
    listening: Gauge,
    company: Gauge,
    cache_hits: Counter,
    cache_misses: Counter,
    cache_bytes: Gauge,
    lanes: Gauge,
    waiting: Gauge,
    pool_size: Gauge,
    pool_idle: Gauge,
    pool_waiting: Gauge,
    exporter: PrometheusHandle,
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
        with_local_recorder(&recorder, || {
            describe();
            Self {
                commits: histogram!("tasklane_commit_users"),
                commit_seconds: histogram!("tasklane_commit_duration_seconds"),
                conflicts: counter!("tasklane_commit_conflicts_total"),
                validations: counter!("tasklane_validation_queries_total"),
                catch_ups: counter!("tasklane_catch_ups_total"),
                reloads: counter!("tasklane_reloads_total"),
                hints_sent: counter!("tasklane_hints_sent_total"),
                hints_received: counter!("tasklane_hints_received_total"),
                listening: gauge!("tasklane_hints_listener_up"),
                company: gauge!("tasklane_other_process"),
                cache_hits: counter!("tasklane_cache_hits_total"),
                cache_misses: counter!("tasklane_cache_misses_total"),
                cache_bytes: gauge!("tasklane_cache_bytes"),
                lanes: gauge!("tasklane_lanes"),
                waiting: gauge!("tasklane_write_queue_depth"),
                pool_size: gauge!("tasklane_store_connections"),
                pool_idle: gauge!("tasklane_store_connections_idle"),
                pool_waiting: gauge!("tasklane_store_connections_awaited"),
                exporter,
            }
        })
    }

    /// Notes one commit of so many users' batches.
    pub fn commit(&self, batches: usize, took: Duration) {
        self.commits.record(float(batches));
        self.commit_seconds.record(took.as_secs_f64());
    }

    /// Notes a batch that met another process's write.
    pub fn conflict(&self) {
        self.conflicts.increment(1);
    }

    /// Notes a query that asks the store how far users are.
    pub fn validation(&self) {
        self.validations.increment(1);
    }

    /// Notes that what another process wrote was fetched.
    pub fn catch_up(&self) {
        self.catch_ups.increment(1);
    }

    /// Notes that a user in memory was read anew.
    pub fn reload(&self) {
        self.reloads.increment(1);
    }

    /// Notes that other processes were told of changes of so many users.
    pub fn hints_sent(&self, users: usize) {
        self.hints_sent.increment(users as u64);
    }

    /// Notes word of a user's change.
    pub fn hint_received(&self) {
        self.hints_received.increment(1);
    }

    /// Sets whether word of other processes is heard.
    pub fn listening(&self, up: bool) {
        self.listening.set(f64::from(u8::from(up)));
    }

    /// Sets whether a process works on the same store that is not expected to.
    pub fn company(&self, there: bool) {
        self.company.set(f64::from(u8::from(there)));
    }

    /// Notes a read served from memory.
    pub fn cache_hit(&self) {
        self.cache_hits.increment(1);
    }

    /// Notes a read that had to load its user first.
    pub fn cache_miss(&self) {
        self.cache_misses.increment(1);
    }

    /// Sets how many lanes are in memory, how many writes wait, and what the lanes weigh in bytes.
    pub fn lanes(&self, lanes: usize, waiting: usize, bytes: usize) {
        self.lanes.set(float(lanes));
        self.waiting.set(float(waiting));
        self.cache_bytes.set(float(bytes));
    }

    /// Sets how many connections to the store are open, how many of them are idle, and how many callers wait for one.
    pub fn pool(&self, size: usize, idle: usize, waiting: usize) {
        self.pool_size.set(float(size));
        self.pool_idle.set(float(idle));
        self.pool_waiting.set(float(waiting));
    }

    /// Sorts the samples gathered so far into their buckets. To be called every few seconds: until
    /// then each sample takes memory.
    pub fn upkeep(&self) {
        self.exporter.run_upkeep();
    }

    /// Everything as text in the Prometheus exposition format 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        self.exporter.render()
    }
}

/// The help texts.
fn describe() {
    use ::metrics::{describe_counter as counter, describe_gauge as gauge, describe_histogram as histogram};

    histogram!("tasklane_commit_users", "Users whose batches one commit carried.");
    histogram!("tasklane_commit_duration_seconds", "Time of one commit in the store.");
    counter!("tasklane_commit_conflicts_total", "Batches that met another process's write.");
    counter!(
        "tasklane_validation_queries_total",
        "Queries that asked how far users are, each for all who waited."
    );
    counter!("tasklane_catch_ups_total", "Times what another process wrote was added to a user in memory.");
    counter!("tasklane_reloads_total", "Times a user in memory was read anew as a whole.");
    counter!("tasklane_hints_sent_total", "Users whose changes other processes were told of.");
    counter!("tasklane_hints_received_total", "Word of a user's change, this process's own included.");
    gauge!(
        "tasklane_hints_listener_up",
        "1 while word of other processes is heard; 0 costs followers up to a second."
    );
    gauge!(
        "tasklane_other_process",
        "1 while a process works on the same database that is not expected to: see MODE."
    );
    counter!("tasklane_cache_hits_total", "Reads served from memory.");
    counter!("tasklane_cache_misses_total", "Reads that loaded their user first.");
    gauge!("tasklane_cache_bytes", "What the lanes weigh in memory, nearly.");
    gauge!("tasklane_lanes", "Users in memory.");
    gauge!("tasklane_write_queue_depth", "Writes admitted and not yet answered.");
    gauge!("tasklane_store_connections", "Open connections to the store.");
    gauge!("tasklane_store_connections_idle", "Open and idle connections to the store.");
    gauge!("tasklane_store_connections_awaited", "Callers waiting for a connection to the store.");
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
        metrics.cache_hit();
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
            "# HELP tasklane_commit_conflicts_total Batches that met another process's write.",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in:\n{text}");
        }
    }
}
