//! The JSON form of an error.

use actix_web::http::StatusCode;
use serde::Serialize;
use utoipa::openapi::schema::OneOfBuilder;
use utoipa::openapi::{Object, Ref, Type};

use super::api_error::ApiError;
use super::code::Code;
use super::details::Details;

/// The JSON form of an error.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "error": {"code": "NOT_FOUND", "message": "Task not found", "details": null},
    "type": "about:blank", "title": "Not Found", "status": 404, "detail": "Task not found",
    "message": "Task not found", "request_id": "5f0c9a2e61d4b837-1f"
}))]
pub(crate) struct ErrorBody<'a> {
    #[schema(inline)]
    error: ErrorObject<'a>,
    /// Always `about:blank` (RFC 9457): the status says what kind of problem it is.
    r#type: &'a str,
    /// The status in words.
    title: &'a str,
    /// The status.
    status: u16,
    /// The same text as `error.message`.
    detail: &'a str,
    /// The same text again, where some clients look for it.
    message: &'a str,
    /// Finds this request in the server's log; the same as the `X-Request-Id` header.
    request_id: &'a str,
}

#[derive(Serialize, utoipa::ToSchema)]
struct ErrorObject<'a> {
    code: Code,
    /// For humans.
    message: &'a str,
    #[schema(required, schema_with = details)]
    details: Option<&'a Details>,
}

/// `ErrorDetails`, which `docs/error_details.rs` documents, or null. By name, since errors do not know a
/// task's schema.
fn details() -> OneOfBuilder {
    OneOfBuilder::new().item(Ref::from_schema_name("ErrorDetails")).item(Object::with_type(Type::Null))
}

impl ApiError {
    /// The JSON body.
    pub(crate) fn body(&self, status: StatusCode, request_id: &str) -> Vec<u8> {
        let form = ErrorBody {
            error: ErrorObject { code: self.code, message: &self.message, details: self.details.as_deref() },
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: &self.message,
            message: &self.message,
            request_id,
        };
        // Strings and numbers written to memory cannot fail.
        serde_json::to_vec(&form).expect("an error is always valid JSON")
    }
}
