//! Error responses as the OpenAPI document shows them: an operation names the kinds that it can give.

#![expect(dead_code, reason = "only their schemas are used")]

use utoipa::IntoResponses;

use super::ErrorBody;

/// Errors of every operation that needs a token.
#[derive(IntoResponses)]
pub(crate) enum Refused {
    /// No token, an invalid token, or a path that names another user
    #[response(status = 401)]
    Unauthorized(ErrorBody<'static>),
    /// Too many requests; `Retry-After` says when to try again
    #[response(status = 429)]
    RateLimited(ErrorBody<'static>),
    /// A defect of the server; `request_id` finds it in the log
    #[response(status = 500)]
    Internal(ErrorBody<'static>),
    /// Not carried out (`OVERLOADED`, `STORE_UNAVAILABLE`), or perhaps carried out (`OUTCOME_UNKNOWN`);
    /// `Retry-After` says when to try again
    #[response(status = 503)]
    Unavailable(ErrorBody<'static>),
}

/// The user has no such task
#[derive(IntoResponses)]
#[response(status = 404)]
pub(crate) struct TaskMissing(ErrorBody<'static>);

/// `If-Match` or `If-None-Match` does not hold; of a task, `details` is the task as it is
#[derive(IntoResponses)]
#[response(status = 412)]
pub(crate) struct ConditionFailed(ErrorBody<'static>);

/// The changes since this seq are no longer known, or the seq lies in the future: read the whole list,
/// without asking for a seq
#[derive(IntoResponses)]
#[response(status = 410)]
pub(crate) struct ResyncRequired(ErrorBody<'static>);

/// The idempotency key is malformed, or was used for another request (`IDEMPOTENCY_KEY_REUSED`)
#[derive(IntoResponses)]
#[response(status = 422)]
pub(crate) struct KeyRefused(ErrorBody<'static>);

/// Errors of every operation that takes a body.
#[derive(IntoResponses)]
pub(crate) enum BodyRefused {
    /// The body did not arrive in time
    #[response(status = 408)]
    Timeout(ErrorBody<'static>),
    /// The body is too large
    #[response(status = 413)]
    TooLarge(ErrorBody<'static>),
    /// The body is not JSON
    #[response(status = 415)]
    MediaType(ErrorBody<'static>),
    /// Fields are wrong (`VALIDATION_ERROR`): `details` lists every one. Or the idempotency key was used for
    /// another request (`IDEMPOTENCY_KEY_REUSED`)
    #[response(status = 422)]
    Invalid(ErrorBody<'static>),
}
