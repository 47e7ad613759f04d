//! Every route: its pattern, its methods, its handlers.

use std::sync::Arc;

use actix_web::{Error, HttpRequest, HttpResponse, Resource, web};

use super::docs::pages;
use super::handlers::{account, batch, changes, events, health, tasks};
use super::request::caller::check_access;
use super::response::error::{ApiError, Code};
use super::{Api, demo, get_metrics};

/// A route. Each resource carries its own as app data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Tasks,
    Task,
    Complete,
    Batch,
    Summary,
    Changes,
    Events,
    Ticket,
    Export,
    Import,
    User,
    Test,
    Health,
    Ready,
    Document,
    Docs,
    Metrics,
    Demo,
    DemoToken,
    /// Any path that no route knows.
    Unknown,
}

/// The routes' patterns, in the order of [`Route`]: the labels of the metrics.
pub(super) const PATTERNS: [&str; 20] = [
    "/api/{user_id}/tasks",
    "/api/{user_id}/tasks/{id}",
    "/api/{user_id}/tasks/{id}/complete",
    "/api/{user_id}/batch",
    "/api/{user_id}/summary",
    "/api/{user_id}/changes",
    "/api/{user_id}/events",
    "/api/{user_id}/events/ticket",
    "/api/{user_id}/export",
    "/api/{user_id}/import",
    "/api/{user_id}",
    "/api/{user_id}/test",
    "/health",
    "/ready",
    "/openapi.json",
    "/docs",
    "/metrics",
    "/",
    "/demo/token",
    "unknown",
];

impl Route {
    /// Its place in [`PATTERNS`].
    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// Its path, with names in place of ids.
    pub(super) const fn pattern(self) -> &'static str {
        PATTERNS[self.index()]
    }

    /// The methods it takes, as the `Allow` header tells them.
    pub(super) const fn allow(self) -> &'static str {
        match self {
            Self::Tasks => "GET, HEAD, POST",
            Self::Task => "GET, HEAD, PUT, PATCH, DELETE",
            Self::Complete => "PATCH",
            Self::Batch | Self::Ticket | Self::Import | Self::DemoToken => "POST",
            Self::Events => "GET",
            Self::User => "DELETE",
            _ => "GET, HEAD",
        }
    }
}

/// Every route. The busiest come first, since they are tried in order.
pub fn configure(routes: &mut web::ServiceConfig, api: &Arc<Api>) {
    routes.app_data(Arc::clone(api)).default_service(web::to(no_route));
    // A slash at the end makes no difference.
    for slash in ["", "/"] {
        let path = |route: Route| format!("{}{slash}", route.pattern());
        routes
            .service(
                read(&path(Route::Task), Route::Task, tasks::get_task)
                    .route(web::put().to(tasks::update_task))
                    .route(web::patch().to(tasks::update_task))
                    .route(web::delete().to(tasks::delete_task)),
            )
            .service(
                read(&path(Route::Tasks), Route::Tasks, tasks::list_tasks)
                    .route(web::post().to(tasks::create_task)),
            )
            .service(
                resource(&path(Route::Complete), Route::Complete)
                    .route(web::patch().to(tasks::complete_task)),
            )
            .service(read(&path(Route::Changes), Route::Changes, changes::list_changes))
            .service(read(&path(Route::Summary), Route::Summary, changes::get_summary))
            .service(resource(&path(Route::Batch), Route::Batch).route(web::post().to(batch::create_batch)))
            .service(resource(&path(Route::Events), Route::Events).route(web::get().to(events::get_events)))
            .service(
                resource(&path(Route::Ticket), Route::Ticket).route(web::post().to(events::create_ticket)),
            )
            .service(read(&path(Route::Export), Route::Export, account::export_tasks))
            .service(
                resource(&path(Route::Import), Route::Import).route(web::post().to(account::import_tasks)),
            )
            .service(resource(&path(Route::User), Route::User).route(web::delete().to(account::delete_user)))
            .service(read(&path(Route::Test), Route::Test, health::get_test))
            .service(read(&path(Route::Health), Route::Health, health::get_health))
            .service(read(&path(Route::Ready), Route::Ready, health::get_ready))
            .service(read(&format!("/docs{slash}"), Route::Docs, pages::get_docs))
            .service(read(&format!("/redoc{slash}"), Route::Docs, pages::get_redoc));
    }
    routes
        .service(read("/openapi.json", Route::Document, pages::get_document))
        .service(read("/docs/{file}", Route::Docs, pages::get_docs_file))
        .service(read("/redoc/{file}", Route::Docs, pages::get_redoc_file));
    if api.demo.is_some() {
        routes
            .service(read("/", Route::Demo, demo::get_demo))
            .service(resource("/demo/token", Route::DemoToken).route(web::post().to(demo::create_demo_token)))
            .service(read("/demo/{file}", Route::Demo, demo::get_demo_file));
    }
    if api.serves_metrics {
        routes.service(read("/metrics", Route::Metrics, get_metrics));
    }
}

/// A route's resource: any method it has no handler for is a 405.
fn resource(path: &str, route: Route) -> Resource {
    web::resource(path).app_data(route).default_service(web::to(wrong_method))
}

/// A route's resource that can be read.
fn read<F, Args>(path: &str, route: Route, handler: F) -> Resource
where
    F: actix_web::Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: actix_web::Responder + 'static,
{
    let head = web::head().to(handler.clone());
    resource(path, route).route(web::get().to(handler)).route(head)
}

/// A path no route knows.
async fn no_route(request: HttpRequest) -> Result<HttpResponse, Error> {
    check_access(&request).await?;
    Err(ApiError::new(Code::NotFound, "Not Found").into())
}

/// A method the route does not take.
async fn wrong_method(request: HttpRequest) -> Result<HttpResponse, Error> {
    check_access(&request).await?;
    let allow = request.app_data::<Route>().map(|route| route.allow());
    Err(ApiError { allow, ..ApiError::new(Code::MethodNotAllowed, "Method Not Allowed") }.into())
}
