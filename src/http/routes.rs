//! The table of routes, of which the router, the `Allow` header, the labels of the metrics, and the
//! operations of the OpenAPI document are made.

use std::sync::{Arc, LazyLock};

use actix_web::http::Method;
use actix_web::{FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, web};
use utoipa::OpenApi;

use super::api::Api;
use super::error::{ApiError, Code};
use super::handlers::{account, batch, changes, demo, events, health, pages, tasks};
use super::request::caller::count_unhandled;
use super::route::Route;

/// The methods of a route as `Allow` lists them. A route of `GET` takes `HEAD`, too, except an event stream,
/// which does not end.
macro_rules! methods {
    (GET) => { "GET, HEAD" };
    (STREAM) => { "GET" };
    ($method:ident) => { stringify!($method) };
    ($method:ident $($more:ident)+) => { concat!(methods!($method), ", ", methods!($($more)+)) };
}

/// `operations` are in the OpenAPI document, and are served with and without a slash at the end; those under a user
/// are served without the user, too, as `me` ([`implied_user`](super::middleware::implied_user)). `pages` are
/// neither; a page may be counted under another page's label (`of`), and served on a condition only (`if`).
macro_rules! routes {
    (
        operations { $($pattern:literal => $($method:ident $module:ident::$handler:ident),+;)+ }
        pages { $($page:literal $(of $owner:literal)? $(if $condition:expr)? => $verb:ident $from:ident::$get:ident;)+ }
    ) => {
        static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(|| numbered(&[
            $(($pattern, $pattern, methods!($($method)+)),)+
            $(($page, [$($owner,)? $page][0], methods!($verb)),)+
        ]));

        /// Adds every route to a worker's app. They are matched in the order of the table.
        pub(super) fn configure(app: &mut web::ServiceConfig, api: &Arc<Api>) {
            app.app_data(Arc::clone(api)).default_service(web::to(no_route));
            for slash in ["", "/"] {
                $(
                    let resource = resource_at(&format!("{}{slash}", $pattern), $pattern);
                    $(let resource = with(resource, methods!($method), &$module::$handler);)+
                    app.service(resource);
                )+
            }
            $(
                let conditions: &[fn(&Api) -> bool] = &[$($condition)?];
                if conditions.iter().all(|holds| holds(api)) {
                    app.service(with(resource_at($page, $page), methods!($verb), &$from::$get));
                }
            )+
        }

        /// Each operation's pattern, its methods, and a document of this operation only.
        pub(super) fn operations() -> Vec<(&'static str, &'static str, utoipa::openapi::OpenApi)> {
            vec![$($({
                #[derive(OpenApi)]
                #[openapi(paths($module::$handler))]
                struct Operation;
                ($pattern, methods!($method), Operation::openapi())
            },)+)+]
        }
    };
}

// Matched in this order: the routes with the most traffic first, and `/demo/token` before `/demo/{file}`.
routes! {
    operations {
        "/api/{user_id}/tasks/{id}" => GET tasks::get_task, PUT tasks::update_task, PATCH tasks::update_task,
            DELETE tasks::delete_task;
        "/api/{user_id}/tasks" => GET tasks::list_tasks, POST tasks::create_task;
        "/api/{user_id}/tasks/{id}/complete" => PATCH tasks::complete_task;
        "/api/{user_id}/changes" => GET changes::list_changes;
        "/api/{user_id}/summary" => GET changes::get_summary;
        "/api/{user_id}/batch" => POST batch::create_batch;
        "/api/{user_id}/events" => STREAM events::get_events;
        "/api/{user_id}/events/ticket" => POST events::create_ticket;
        "/api/{user_id}/export" => GET account::export_tasks;
        "/api/{user_id}/import" => POST account::import_tasks;
        "/api/{user_id}" => DELETE account::delete_user;
        "/api/{user_id}/test" => GET health::get_test;
        "/health" => GET health::get_health;
        "/ready" => GET health::get_ready;
    }
    pages {
        "/docs" => GET pages::get_docs;
        "/docs/" of "/docs" => GET pages::get_docs;
        "/docs/{file}" of "/docs" => GET pages::get_docs_file;
        "/redoc" of "/docs" => GET pages::get_redoc;
        "/redoc/" of "/docs" => GET pages::get_redoc;
        "/redoc/{file}" of "/docs" => GET pages::get_redoc_file;
        "/openapi.json" => GET pages::get_document;
        "/" if |api| api.demo.is_some() => GET demo::get_demo;
        "/demo/token" if |api| api.demo.is_some() => POST demo::create_demo_token;
        "/demo/{file}" of "/" if |api| api.demo.is_some() => GET demo::get_demo_file;
        "/metrics" if |api| api.serves_metrics => GET health::get_metrics;
    }
}

/// Adds the routes of the metrics listener to its app: what monitoring asks, and nothing of any user.
pub(super) fn configure_monitoring(app: &mut web::ServiceConfig, api: &Arc<Api>) {
    app.app_data(Arc::clone(api)).default_service(web::to(nothing_here));
    app.service(with(resource_at("/metrics", "/metrics"), methods!(GET), &health::get_metrics));
    app.service(with(resource_at("/health", "/health"), methods!(GET), &health::get_health));
    app.service(with(resource_at("/ready", "/ready"), methods!(GET), &health::get_ready));
}

/// The routes of these patterns, labels and methods, and the unknown one first. Routes of one label have one
/// index.
fn numbered(table: &[(&'static str, &'static str, &'static str)]) -> Vec<Route> {
    let mut routes = vec![Route::UNKNOWN];
    for &(pattern, label, allow) in table {
        let index = routes.iter().position(|route| route.label == label).unwrap_or(routes.len());
        routes.push(Route { pattern, label, index, allow, is_stream: allow == methods!(STREAM) });
    }
    routes
}

/// The labels of the metrics, by [`Route::index`].
pub(super) fn labels() -> Vec<&'static str> {
    ROUTES.iter().map(|route| route.label).collect()
}

/// The route of this pattern.
///
/// # Panics
/// If the table has none.
pub(super) fn find(pattern: &str) -> &'static Route {
    ROUTES.iter().find(|route| route.pattern == pattern).expect("the pattern is in the table")
}

/// What may follow the user in a path: the first segment of each route under one. None is taken for a user.
pub(super) static UNDER_USER: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let under = ROUTES.iter().filter_map(|route| route.pattern.strip_prefix("/api/{user_id}/"));
    let mut names: Vec<_> = under.filter_map(|rest| rest.split('/').next()).collect();
    names.dedup();
    names
});

/// A route's resource: 405 for any method without a handler.
fn resource_at(path: &str, pattern: &str) -> Resource {
    web::resource(path).app_data(find(pattern)).default_service(web::to(wrong_method))
}

/// Adds a handler for these methods to a resource.
fn with<F, Args>(resource: Resource, methods: &str, handler: &F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    methods.split(", ").fold(resource, |resource, method| {
        let method = Method::from_bytes(method.as_bytes()).expect("the table holds methods only");
        resource.route(web::method(method).to(handler.clone()))
    })
}

/// Answers a path that no route matches, with any token or none.
async fn no_route(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    count_unhandled(&request)?;
    nothing_here().await
}

/// Answers every other path of the metrics listener.
async fn nothing_here() -> Result<HttpResponse, ApiError> {
    Err(ApiError::new(Code::NotFound, "Not Found"))
}

/// Answers a method that the route does not take, with any token or none.
async fn wrong_method(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    count_unhandled(&request)?;
    let allow = Some(Route::of(&request).allow);
    Err(ApiError { allow, ..ApiError::new(Code::MethodNotAllowed, "Method Not Allowed") })
}
