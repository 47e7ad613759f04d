//! Every setting, read once from flags, the environment and `.env`, and checked before anything starts.
//!
//! A setting is one field: its name is the flag and the variable, its comment the help, beside them its default and
//! its check. Each component has a struct in a file of its own: `http`, `auth`, `lane`, `store` and `telemetry`.
//!
//! - `settings`: where they come from, and how they appear in the help
//! - `dotenv`: `.env`, and files that hold a secret
//! - `check`: parsers, and the error that names a wrong setting

mod auth;
mod check;
mod dotenv;
mod environment;
mod http;
mod lane;
mod network;
mod rate;
mod settings;
mod store;
mod telemetry;

pub(crate) use auth::is_on_loopback;
pub use auth::{AuthConfig, Expected, Secret};
pub use check::ConfigError;
pub use dotenv::Sources;
pub use environment::Environment;
pub use http::HttpConfig;
pub use lane::{LaneConfig, Mode};
pub use network::Network;
pub use rate::Rate;
pub use settings::{Config, Settings, read_files};
pub use store::{StoreConfig, StoreUrl};
pub use telemetry::{LogRequests, TelemetryConfig};
