//! The OpenAPI 3.1 document, generated from the table of routes and the types of their requests and
//! responses.
//!
//! `tests/openapi.rs` compares it with `openapi.json`.

use std::mem;

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{PathItem, RefOr, Required, Response};
use utoipa::{OpenApi, PartialSchema};

use super::{error_details, examples};
use crate::domain::{GivenRevision, Sort};
use crate::http::request::list_query::{Order, Status};
use crate::http::routes;

/// The document as pretty-printed JSON, with a newline at its end.
///
/// # Panics
/// Never: every value of the document is valid in JSON.
#[must_use]
pub fn document() -> String {
    let mut document = Document::openapi();
    for (pattern, methods, operation) in routes::operations() {
        add(&mut document, (pattern, methods), operation);
    }
    complete(&mut document);
    let mut text = document.to_pretty_json().expect("every value of the document is valid in JSON");
    text.push('\n');
    text
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tasklane",
        description = "A task backend for frontends. Every user has a `seq`, raised by exactly 1 with every change: \
            it is a task's `version`, the value of `X-Tasklane-Seq`, and part of every `ETag`, beside the lineage, \
            which says what seqs count in: one user's history in one life of the store.\n\n\
            `user_id` in a path is the token's subject, or `me`. Without it a path means `me`: `/api/tasks` is \
            `/api/me/tasks`.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT"),
    ),
    servers((url = "/", description = "This server")),
    tags((name = "tasks", description = "A user's tasks"), (name = "sync", description = "Keeping up with changes"),
        (name = "account", description = "All of a user's data"), (name = "health", description = "Health checks")),
    security(("bearer" = [])),
    components(schemas(Status, Sort, Order, GivenRevision, error_details::ErrorDetails)),
)]
struct Document;

/// Adds an operation to its route's path; `alone` is a document of this operation only.
///
/// A handler of two methods is two operations, whose ids must differ. The handler's name is the id under the
/// method that its attribute names; under another method, the method's name is added.
fn add(document: &mut utoipa::openapi::OpenApi, route: (&str, &str), mut alone: utoipa::openapi::OpenApi) {
    let (pattern, methods) = route;
    let mut item = mem::take(&mut alone.paths.paths).into_values().next().unwrap_or_default();
    document.merge(alone);
    let method = methods.split(", ").next().unwrap_or_default();
    let named = METHODS.iter().find_map(|named| Some((*named, slot(&mut item, named).take()?)));
    let Some((named, mut operation)) = named else { return };
    if named != method {
        let id = operation.operation_id.unwrap_or_default();
        operation.operation_id = Some(format!("{id}_by_{}", method.to_ascii_lowercase()));
    }
    *slot(document.paths.paths.entry(pattern.to_owned()).or_default(), method) = Some(operation);
}

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// A path's operation of this method.
fn slot<'a>(item: &'a mut PathItem, method: &str) -> &'a mut Option<Operation> {
    match method {
        "GET" => &mut item.get,
        "POST" => &mut item.post,
        "PUT" => &mut item.put,
        "PATCH" => &mut item.patch,
        _ => &mut item.delete,
    }
}

/// Adds what the attributes cannot say.
fn complete(document: &mut utoipa::openapi::OpenApi) {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    let ticket = ApiKeyValue::with_description(
        "ticket",
        "A ticket of `POST /events/ticket`, good once in each process.",
    );
    components.add_security_scheme("ticket", SecurityScheme::ApiKey(ApiKey::Query(ticket)));
    let task = serde_json::to_value(components.schemas.get("Task"));
    let task = task.map(|task| task["example"].to_string()).unwrap_or_default();
    let complete = document.paths.paths.get_mut("/api/{user_id}/tasks/{id}/complete");
    let complete = complete.and_then(|item| item.patch.as_mut()?.request_body.as_mut());
    if let Some(RefOr::T(body)) = complete {
        body.required = Some(Required::False);
    }
    for item in document.paths.paths.values_mut() {
        for method in METHODS {
            let Some(operation) = slot(item, method) else { continue };
            let id = operation.operation_id.clone().unwrap_or_default();
            let is_health = operation.tags.iter().flatten().any(|tag| tag == "health");
            for (status, response) in &mut operation.responses.responses {
                let RefOr::T(response) = response else { continue };
                examples::add(response, status, &id, &task);
                if status.starts_with('2') && !is_health && id != "create_ticket" {
                    add_headers(response, method);
                }
            }
        }
    }
}

/// Adds the headers of every successful response about a user's tasks.
fn add_headers(response: &mut Response, method: &str) {
    let mut add = |name: &str, schema, description| {
        let header = HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build();
        response.headers.insert(name.into(), RefOr::T(header));
    };
    let lineage = "What seqs and versions count in: another one means that everything has to be read again";
    add("X-Tasklane-Lineage", String::schema(), lineage);
    if method == "GET" {
        return add("X-Tasklane-Seq", i64::schema(), "The seq at which this is true");
    }
    let seq = "The seq of this write, or of its last operation; as before if nothing was written";
    add("X-Tasklane-Seq", i64::schema(), seq);
    let timing = "`queue;dur=0.412, commit;dur=2.134`: milliseconds of waiting for its turn, and of the store's commit";
    add("Server-Timing", String::schema(), timing);
}
