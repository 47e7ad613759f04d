//! The API's documentation: [`openapi`] makes the document, [`examples`] adds examples of errors,
//! [`error_details`] is a schema.

pub(crate) mod error_details;
pub(crate) mod examples;
pub mod openapi;
