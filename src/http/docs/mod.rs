//! The API's documentation: [`openapi`] makes the document, [`examples`] fills in refusals, [`pages`] serves
//! Swagger UI and Redoc.

pub(crate) mod examples;
pub mod openapi;
pub(crate) mod pages;
pub(crate) mod schemas;
pub(crate) mod sync_schemas;
