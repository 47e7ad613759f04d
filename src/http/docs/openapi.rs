//! The OpenAPI 3.1 document, generated from the table of routes, and the types that they read and answer
//! with.
//!
//! `tests/openapi.rs` holds it to its golden file.

use std::mem;

use utoipa::OpenApi;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Object, PathItem, RefOr, Required, Type};

use super::{error_details, examples};
use crate::domain::Sort;
use crate::http::request::list_query::Status;
use crate::http::routes;

/// The document as pretty-printed JSON, with a newline at its end.
///
/// # Panics
/// Never: the document holds nothing that JSON cannot say.
#[must_use]
pub fn document() -> String {
    let mut document = Document::openapi();
    for (pattern, methods, operation) in routes::operations() {
        add(&mut document, (pattern, methods), operation);
    }
    complete(&mut document);
    let mut text = document.to_pretty_json().expect("the document holds nothing that JSON cannot say");
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
    components(schemas(Status, Sort, error_details::ErrorDetails)),
)]
struct Document;

/// Adds an operation to its route's path; `alone` is a document of nothing else.
///
/// A handler of two methods is two operations, whose ids must differ: the handler's name is the id under the
/// method that the attribute names.
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

/// Where a path's operation of this method stands.
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
    let complete = document.paths.paths.get_mut("/api/{user_id}/tasks/{id}/complete");
    let complete = complete.and_then(|item| item.patch.as_mut()?.request_body.as_mut());
    if let Some(RefOr::T(body)) = complete {
        body.required = Some(Required::False);
    }
    document.paths.paths.values_mut().for_each(time_writes);
    examples::add(document);
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
