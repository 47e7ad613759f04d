//! What the command line can be told to do, a file for each command.
//!
//! Beside them `greeting`, which `serve` prints in development; `open`, by which `check` and `copy` open a store; and
//! `progress`, the bar that shows how far they are.

mod backup;
mod check;
mod copy;
mod greeting;
mod migrate;
mod open;
mod openapi;
mod progress;
mod serve;
mod token;

pub use backup::backup;
pub use check::check;
pub use copy::copy;
pub use migrate::migrate;
pub use openapi::print_openapi;
pub use serve::serve;
pub use token::print_token;
