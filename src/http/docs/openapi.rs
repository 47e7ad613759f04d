//! The OpenAPI 3.1 document, generated from the operations and from `schemas`.
//!
//! `tests/openapi.rs` holds it to its golden file.

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Object, PathItem, RefOr, Required, Type};
use utoipa::{Modify, OpenApi};

use super::{examples, schemas};
use crate::http::handlers::{account, batch, changes, events, health, tasks};

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
    tags((name = "tasks", description = "A user's tasks"), (name = "sync", description = "Staying in step"),
        (name = "account", description = "All of a user's data"), (name = "health", description = "Signs of life")),
    security(("bearer" = [])),
    paths(
        tasks::list_tasks, tasks::create_task, tasks::get_task, tasks::update_task, tasks::complete_task,
        tasks::delete_task, batch::create_batch, changes::get_summary, changes::list_changes, events::get_events,
        events::create_ticket, account::export_tasks, account::import_tasks, account::delete_user, health::get_test, health::get_health, health::get_ready,
    ),
    components(schemas(schemas::Status, schemas::Sort)),
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
        let ticket = ApiKeyValue::with_description(
            "ticket",
            "A ticket of `POST /events/ticket`, good once in each process.",
        );
        components.add_security_scheme("ticket", SecurityScheme::ApiKey(ApiKey::Query(ticket)));
        let complete = document.paths.paths.get_mut("/api/{user_id}/tasks/{id}/complete");
        let complete = complete.and_then(|item| item.patch.as_mut()?.request_body.as_mut());
        if let Some(RefOr::T(body)) = complete {
            body.required = Some(Required::False);
        }
        document.paths.paths.values_mut().for_each(time_writes);
        // `PUT` is `PATCH` under another name; an operation id is given once only.
        if let Some(item) = document.paths.paths.get_mut("/api/{user_id}/tasks/{id}") {
            item.put.clone_from(&item.patch);
            if let Some(put) = &mut item.put {
                put.operation_id = Some("update_task_by_put".into());
            }
        }
        examples::add(document);
    }
}

/// Every answer of a write that went through says how long it took.
fn time_writes(item: &mut PathItem) {
    let writes = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten();
    for write in writes.filter(|write| write.operation_id.as_deref() != Some("create_ticket")) {
        for (status, response) in &mut write.responses.responses {
            if let (true, RefOr::T(response)) = (status.starts_with('2'), response) {
                let header = HeaderBuilder::new().schema(Some(Object::with_type(Type::String)));
                let header = header.description(Some(
                    "`queue;dur=0.412, commit;dur=2.134`: milliseconds of waiting for its turn, and of the store's commit",
                ));
                response.headers.insert("Server-Timing".into(), RefOr::T(header.build()));
            }
        }
    }
}
