//! Refusals as the OpenAPI document shows them: an operation names the kinds that it can give.

use utoipa::IntoResponses;

use super::ErrorBody;

/// Refusals of any operation that needs a token.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) enum Refused {
    /// No token, a token that does not count, or a path that names another user
    #[response(status = 401)]
    Unauthorized(ErrorBody<'static>),
    /// Too many requests; `Retry-After` tells when to try again
    #[response(status = 429)]
    RateLimited(ErrorBody<'static>),
    /// A defect of the server; `request_id` finds it in the log
    #[response(status = 500)]
    Internal(ErrorBody<'static>),
    /// Not carried out (`OVERLOADED`, `STORE_UNAVAILABLE`), or perhaps carried out (`OUTCOME_UNKNOWN`);
    /// `Retry-After` tells when to try again
    #[response(status = 503)]
    Unavailable(ErrorBody<'static>),
}

/// Refusals of an operation on one task.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) enum TaskMissing {
    /// The user has no such task
    #[response(status = 404)]
    NotFound(ErrorBody<'static>),
}

/// Refusals by a condition.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) enum ConditionFailed {
    /// The task is not in the version that `If-Match` names; `details` is the task as it is
    #[response(status = 412)]
    PreconditionFailed(ErrorBody<'static>),
}

/// Refusals of a stale seq.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) enum ResyncRequired {
    /// What changed since then cannot be told any more, or the seq asked for lies in the future: read the whole
    /// list, without asking for a seq
    #[response(status = 410)]
    Gone(ErrorBody<'static>),
}

/// Refusals of a key, where there is no body.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) enum KeyRefused {
    /// The idempotency key is malformed, or was used for another request (`IDEMPOTENCY_KEY_REUSED`)
    #[response(status = 422)]
    Invalid(ErrorBody<'static>),
}

/// Refusals of a body.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its form is used")]
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
