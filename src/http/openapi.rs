//! The OpenAPI 3.1 document, generated from the operations and the types below.
//!
//! These types say what bodies look like on the wire. Requests are read by `forms`, which lists every
//! fault, and tasks are rendered by the lanes; `tests/openapi.rs` holds the document to its golden file.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{RefOr, Required};
use utoipa::{IntoParams, IntoResponses, Modify, OpenApi, ToSchema};
use uuid::Uuid;

use super::error::ErrorBody;
use super::{health, tasks};

/// The document as pretty-printed JSON, with a newline at its end.
///
/// # Panics
/// Never: the document holds nothing that JSON cannot say.
#[must_use]
pub fn document() -> String {
    let mut text =
        Document::openapi().to_pretty_json().expect("the document holds nothing that JSON cannot say");
    text.push('\n');
    text
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tasklane",
        description = "A task backend for frontends. Every user has a `seq`, raised by exactly 1 with every change: \
            it is the list's `ETag`, a task's `version`, and the value of `X-Tasklane-Seq`.\n\n\
            `user_id` in a path is the token's subject, or `me`.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT"),
    ),
    servers((url = "/", description = "This server")),
    tags((name = "tasks", description = "A user's tasks"), (name = "health", description = "Signs of life")),
    security(("bearer" = [])),
    paths(
        tasks::list_tasks, tasks::create_task, tasks::get_task, tasks::update_task, tasks::complete_task,
        tasks::delete_task, health::get_test, health::get_health, health::get_ready,
    ),
    modifiers(&Finish),
)]
struct Document;

/// What the attributes cannot say.
struct Finish;

impl Modify for Finish {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let complete = document.paths.paths.get_mut("/api/{user_id}/tasks/{id}/complete");
        let complete = complete.and_then(|item| item.patch.as_mut()?.request_body.as_mut());
        if let Some(RefOr::T(body)) = complete {
            body.required = Some(Required::False);
        }
        // `PUT` is `PATCH` under another name; an operation id is given once only.
        if let Some(item) = document.paths.paths.get_mut("/api/{user_id}/tasks/{id}") {
            item.put.clone_from(&item.patch);
            if let Some(put) = &mut item.put {
                put.operation_id = Some("update_task_by_put".into());
            }
        }
    }
}

/// A path's user.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its form is used")]
pub(super) struct UserPath {
    /// The token's subject, percent-encoded where need be, or `me`
    #[param(example = "me")]
    user_id: String,
}

/// A path's user and task.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its form is used")]
pub(super) struct TaskPath {
    /// The token's subject, percent-encoded where need be, or `me`
    #[param(example = "me")]
    user_id: String,
    /// The task's id
    id: Uuid,
}

/// A list's query.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its form is used")]
pub(super) struct TaskQuery {
    /// Only so many of the newest tasks
    #[param(minimum = 1, maximum = 500, required = false)]
    limit: Option<u32>,
}

/// A task.
#[derive(ToSchema)]
#[schema(example = json!({
    "id": "01958f3a-6c5e-7d2a-9b1f-3e4d5c6b7a89", "user_id": "kXf2mPq8RtYvW3zAbC5dEfGhJ7nL9sU1",
    "title": "Buy milk", "description": null, "completed": false,
    "created_at": "2026-02-08T10:30:00.123456Z", "updated_at": "2026-02-08T10:30:00.123456Z", "version": 1
}))]
#[expect(dead_code, reason = "only its form is used")]
pub(super) struct Task {
    id: Uuid,
    /// The owner: the token's subject.
    user_id: String,
    #[schema(min_length = 1, max_length = 200)]
    title: String,
    #[schema(max_length = 2000, required)]
    description: Option<String>,
    completed: bool,
    /// In UTC, with six decimals.
    #[schema(format = DateTime)]
    created_at: String,
    /// In UTC, with six decimals. Raised by every accepted change, even one that changes nothing.
    #[schema(format = DateTime)]
    updated_at: String,
    /// The owner's seq at the task's last change.
    #[schema(minimum = 1)]
    version: i64,
}

/// Tasks, newest first.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its form is used")]
pub(super) struct TaskList {
    tasks: Vec<Task>,
    /// How many tasks are in this answer.
    #[schema(minimum = 0)]
    count: i64,
}

/// A task to be made.
#[derive(ToSchema)]
#[schema(example = json!({"title": "Buy milk", "description": "Two litres"}))]
#[expect(dead_code, reason = "only its form is used")]
pub(super) struct CreateTask {
    /// Chosen by the client, so that the request can be sent again; else by the server.
    id: Option<Uuid>,
    /// Trimmed of white space, then 1 to 200 characters.
    #[schema(min_length = 1)]
    title: String,
    #[schema(max_length = 2000)]
    description: Option<String>,
    #[schema(default = false, required = false)]
    completed: bool,
}

/// What is to change; at least one field.
#[derive(ToSchema)]
#[schema(min_properties = 1, example = json!({"title": "Buy oat milk"}))]
#[expect(dead_code, reason = "only its form is used")]
pub(super) struct UpdateTask {
    /// Trimmed of white space, then 1 to 200 characters.
    #[schema(min_length = 1, required = false)]
    title: String,
    /// `null` clears it.
    #[schema(max_length = 2000)]
    description: Option<String>,
    #[schema(required = false)]
    completed: bool,
}

/// The state to set.
#[derive(ToSchema)]
#[schema(example = json!({"completed": true}))]
#[expect(dead_code, reason = "only its form is used")]
pub(super) struct CompleteTask {
    completed: bool,
}

/// Refusals of any operation that needs a token.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its form is used")]
pub(super) enum Refused {
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
pub(super) enum TaskMissing {
    /// The user has no such task
    #[response(status = 404)]
    NotFound(ErrorBody<'static>),
}

/// Refusals of a body.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its form is used")]
pub(super) enum BodyRefused {
    /// The body did not arrive in time
    #[response(status = 408)]
    Timeout(ErrorBody<'static>),
    /// The body is too large
    #[response(status = 413)]
    TooLarge(ErrorBody<'static>),
    /// The body is not JSON
    #[response(status = 415)]
    MediaType(ErrorBody<'static>),
    /// Fields are wrong; `details` lists every one
    #[response(status = 422)]
    Invalid(ErrorBody<'static>),
}
