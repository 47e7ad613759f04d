//! The API's documentation: [`openapi`] makes the document, [`examples`] fills in refusals.

pub(crate) mod error_details;
pub(crate) mod examples;
pub mod openapi;
