//! Liveness, readiness, the check of a token, metrics.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::web::Json;
use actix_web::{HttpRequest, HttpResponse};

use crate::domain::Timestamp;
use crate::http::api::Api;
use crate::http::error::refusals::{ConditionFailed, Refused};
use crate::http::error::{ApiError, Code, ErrorBody};
use crate::http::request::{Caller, Conditional, UserPath};

/// The service is alive.
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

/// Liveness
///
/// Any response means that the service is alive. Load balancers should ask `/ready`.
#[utoipa::path(
    get, path = "", tag = "health", security(()),
    responses((status = 200, description = "The service is alive", body = Health))
)]
pub(crate) async fn get_health() -> Json<Health> {
    let timestamp = Timestamp::now().to_rfc3339();
    Json(Health { status: "healthy", timestamp, version: env!("CARGO_PKG_VERSION") })
}

/// The service is ready.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Readiness {
    #[schema(example = "ready")]
    status: &'static str,
}

/// Readiness
///
/// Whether the service can answer requests: it asks the store. While the service is stopping the response is
/// 503, too.
#[utoipa::path(
    get, path = "", tag = "health", security(()),
    responses(
        (status = 200, description = "The service is ready", body = Readiness),
        (status = 503, description = "The service is not ready; `details` names what is unavailable", body = ErrorBody),
    )
)]
pub(crate) async fn get_ready(request: HttpRequest) -> Result<Json<Readiness>, ApiError> {
    let api = Api::of(&request);
    if api.draining.load(Ordering::Relaxed) {
        return Err(ApiError::new(Code::Overloaded, "The service is stopping").about("server", "is stopping"));
    }
    let ping = api.registry.ping().await;
    ping.map_err(|error| ApiError::from(error).about("store", "is not available"))?;
    Ok(Json(Readiness { status: "ready" }))
}

/// The user of a token.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub(crate) struct TokenTest {
    /// For humans.
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
    get, path = "", tag = "health", params(UserPath, Conditional),
    responses(
        (status = 200, description = "The token is valid", body = TokenTest),
        (status = 304, description = "`If-None-Match: *`: there is an answer"),
        ConditionFailed, Refused,
    )
)]
pub(crate) async fn get_test(caller: Caller) -> Json<TokenTest> {
    let (id, email) = (Arc::clone(caller.who().subject()), caller.who().email().cloned());
    Json(TokenTest { message: "The token is valid", user: TokenUser { id, email } })
}

/// All metrics, for Prometheus.
pub(crate) async fn get_metrics(request: HttpRequest) -> HttpResponse {
    let exposition = "text/plain; version=0.0.4; charset=utf-8";
    HttpResponse::Ok().content_type(exposition).body(Api::of(&request).metrics())
}
