//! `tasklane openapi`: prints the OpenAPI document.

use std::io::{self, Write};

use crate::http::docs::openapi;

/// Prints the OpenAPI document.
///
/// # Errors
/// When stdout cannot be written to.
pub fn print_openapi() -> io::Result<()> {
    writeln!(io::stdout(), "{}", openapi::document())
}
