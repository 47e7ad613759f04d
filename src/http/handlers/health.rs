//! Whether the service lives, whether it can serve, and whether a token works; its metrics.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::web::Json;
use actix_web::{HttpRequest, HttpResponse};

use crate::domain::Timestamp;
use crate::http::api::Api;
use crate::http::error::refusals::Refused;
use crate::http::error::{ApiError, Code, Details, ErrorBody, FieldError};
use crate::http::request::caller::Caller;
use crate::http::request::path::UserPath;

/// A sign of life.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Health {
    #[schema(example = "healthy")]
    status: &'static str,
    /// The server's clock.
    #[schema(format = DateTime)]
    timestamp: String,
    /// The server's version.
    version: &'static str,
}

/// Say whether the service lives
///
/// It does if it answers. For a load balancer, ask `/ready`.
#[utoipa::path(
    get, path = "", tag = "health", security(()),
    responses((status = 200, description = "The service lives", body = Health))
)]
pub(crate) async fn get_health() -> Json<Health> {
    let timestamp = Timestamp::now().to_rfc3339();
    Json(Health { status: "healthy", timestamp, version: env!("CARGO_PKG_VERSION") })
}

/// Readiness.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Readiness {
    #[schema(example = "ready")]
    status: &'static str,
}

/// Say whether the service can serve
///
/// Asks the store. While the service is stopping the answer is 503, too.
#[utoipa::path(
    get, path = "", tag = "health", security(()),
    responses(
        (status = 200, description = "The service can serve", body = Readiness),
        (status = 503, description = "It cannot; `details` names what is down", body = ErrorBody),
    )
)]
pub(crate) async fn get_ready(request: HttpRequest) -> Result<Json<Readiness>, ApiError> {
    let api = Api::of(&request);
    if api.draining.load(Ordering::Relaxed) {
        let details = Details::Fields(vec![FieldError::new("server", "is stopping")]);
        return Err(ApiError::new(Code::Overloaded, "The service is stopping").with(details));
    }
    api.registry.ping().await.map_err(|error| {
        let details = Details::Fields(vec![FieldError::new("store", "is not available")]);
        ApiError::from(error).with(details)
    })?;
    Ok(Json(Readiness { status: "ready" }))
}

/// Who a token speaks for.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub(crate) struct TokenTest {
    /// For people.
    #[schema(example = "The token is valid")]
    message: &'static str,
    #[schema(inline)]
    user: TokenUser,
}

#[derive(serde::Serialize, utoipa::ToSchema)]
struct TokenUser {
    /// The token's subject.
    #[schema(value_type = String)]
    id: Arc<str>,
    /// The token's e-mail address, if it has one.
    #[schema(value_type = Option<String>, required)]
    email: Option<Arc<str>>,
}

/// Check a token
#[utoipa::path(
    get, path = "", tag = "health", params(UserPath),
    responses((status = 200, description = "The token is valid", body = TokenTest), Refused)
)]
pub(crate) async fn get_test(caller: Caller) -> Json<TokenTest> {
    let (id, email) = (Arc::clone(caller.who().subject()), caller.who().email().cloned());
    Json(TokenTest { message: "The token is valid", user: TokenUser { id, email } })
}

/// Every metric.
pub(crate) async fn get_metrics(request: HttpRequest) -> HttpResponse {
    let exposition = "text/plain; version=0.0.4; charset=utf-8";
    HttpResponse::Ok().content_type(exposition).body(Api::of(&request).metrics())
}
