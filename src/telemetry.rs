//! Logs and metrics (placeholder, replaced in the next step).
use std::time::Duration;
/// m
pub struct Metrics;
/// m
pub fn metrics() -> &'static Metrics {
    &Metrics
}
impl Metrics {
    /// m
    pub fn commit(&self, _b: usize, _t: Duration) {}
    /// m
    pub fn conflict(&self) {}
    /// m
    pub fn cache_hit(&self) {}
    /// m
    pub fn cache_miss(&self) {}
    /// m
    pub fn lanes(&self, _l: usize, _w: usize, _b: usize) {}
    /// m
    pub fn pool(&self, _p: crate::store::PoolState) {}
}
