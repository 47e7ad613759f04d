//! What an operator sees and sets.
//!
//! - `health`: `/health` and `/ready`
//! - `metrics`: `/metrics`
//! - `logs`: what a log line contains, and what none contains
//! - `log_trouble`: a log that nobody reads, or that cannot be written
//! - `server_timing`: `Server-Timing` on answers to writes
//! - `tracing`: what a collector receives (feature `otlp`)
//! - `cors`: calls from other origins
//! - `public_url`: links behind a proxy that strips a part of the path
//! - `tls`: HTTPS without a proxy
//! - `configuration`: settings, right and wrong
//! - `env_file`: `.env`, and secrets in files
//! - `role_and_pooler`: what stands between the service and PostgreSQL's tables
//! - `commands`: the command line
//! - `backup_and_check`: `tasklane backup` and `tasklane check`
//! - `copy`: `tasklane copy`

mod backup_and_check;
mod commands;
mod configuration;
mod copy;
mod cors;
mod env_file;
mod health;
mod log_trouble;
mod logs;
mod metrics;
mod public_url;
mod role_and_pooler;
mod server_timing;
mod tls;
#[cfg(feature = "otlp")]
mod tracing;
