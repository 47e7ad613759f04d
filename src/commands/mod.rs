//! The commands, a file for each.
//!
//! Beside them `greeting`, which `serve` prints in development; `open`, by which the other commands open a store;
//! and `progress`, their progress bar.

mod backup;
mod check;
mod copy;
mod greeting;
mod migrate;
mod open;
mod progress;
mod serve;
mod token;

pub use backup::backup;
pub use check::check;
pub use copy::copy;
pub use migrate::migrate;
pub use serve::serve;
pub use token::print_token;
