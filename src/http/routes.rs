//! The table of routes: what stands here once makes the router, the `Allow` header, the labels of the
//! metrics, and the operations of the OpenAPI document.

use std::sync::{Arc, LazyLock};

use actix_web::http::Method;
use actix_web::{Error, FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, web};
use utoipa::OpenApi;

use super::api::Api;
use super::error::{ApiError, Code};
use super::handlers::{account, batch, changes, demo, events, health, pages, tasks};
use super::request::caller::check_access;
use super::route::Route;

/// The methods of a route as `Allow` lists them. `HEAD` follows `GET`, but for an event stream, which does
/// not end.
macro_rules! methods {
    (GET) => { "GET, HEAD" };
    (STREAM) => { "GET" };
    ($method:ident) => { stringify!($method) };
    ($method:ident $($more:ident)+) => { concat!(methods!($method), ", ", methods!($($more)+)) };
}

/// `operations` are documented, and a slash at their end makes no difference. `pages` are neither; one that
/// belongs to another page is counted as that (`of`), and some are not always served (`if`).
macro_rules! routes {
    (
        operations { $($pattern:literal => $($method:ident $module:ident::$handler:ident),+;)+ }
        pages { $($page:literal $(of $owner:literal)? $(if $condition:path)? => $verb:ident $file:ident::$get:ident;)+ }
    ) => {
        static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(|| numbered(vec![
            Route::UNKNOWN,
            $(Route {
                pattern: $pattern,
                label: $pattern,
                index: 0,
                allow: methods!($($method)+),
                is_stream: stringify!($($method)+) == "STREAM",
            },)+
            $(Route {
                pattern: $page,
                label: [$($owner,)? $page][0],
                index: 0,
                allow: methods!($verb),
                is_stream: false,
            },)+
        ]));

        /// Every route. They are tried in their order.
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
                    app.service(with(resource_at($page, $page), methods!($verb), &$file::$get));
                }
            )+
        }

        /// Each operation's pattern, its methods, and a document of nothing else.
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

// They are tried in this order, so the busiest come first, and `/demo/token` before `/demo/{file}`.
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
        "/" if Api::has_demo => GET demo::get_demo;
        "/demo/token" if Api::has_demo => POST demo::create_demo_token;
        "/demo/{file}" of "/" if Api::has_demo => GET demo::get_demo_file;
        "/metrics" if Api::serves_metrics => GET health::get_metrics;
    }
}

/// Gives each label an index: that of its first route.
fn numbered(mut routes: Vec<Route>) -> Vec<Route> {
    for index in 0..routes.len() {
        let label = routes[index].label;
        routes[index].index = routes.iter().position(|route| route.label == label).unwrap_or(index);
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
    ROUTES.iter().find(|route| route.pattern == pattern).expect("the pattern stands in the table")
}

/// A route's resource: any method it has no handler for is a 405.
fn resource_at(path: &str, pattern: &str) -> Resource {
    web::resource(path).app_data(find(pattern)).default_service(web::to(wrong_method))
}

/// The resource with a handler for these methods.
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

/// A path no route knows.
async fn no_route(request: HttpRequest) -> Result<HttpResponse, Error> {
    check_access(&request).await?;
    Err(ApiError::new(Code::NotFound, "Not Found").into())
}

/// A method the route does not take.
async fn wrong_method(request: HttpRequest) -> Result<HttpResponse, Error> {
    check_access(&request).await?;
    let allow = Some(Route::of(&request).allow);
    Err(ApiError { allow, ..ApiError::new(Code::MethodNotAllowed, "Method Not Allowed") }.into())
}
