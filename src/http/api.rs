//! The state that all workers share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use actix_web::HttpRequest;
use tokio::sync::watch;

use super::connection::limit::Connections;
use super::event_tickets::Tickets;
use super::log_share::LogShare;
use super::rate_limit::RateLimits;
use crate::auth::{Signer, Verifier};
use crate::config::{Config, Environment, HttpConfig, LogRequests};
use crate::lane::Registry;
use crate::telemetry::{Traffic, metrics};

/// The state of the API. Each worker's app holds it as app data.
pub struct Api {
    pub(super) registry: Registry,
    pub(super) verifier: Arc<Verifier>,
    pub(super) config: HttpConfig,
    pub(super) log_requests: LogRequests,
    pub(super) limits: RateLimits,
    pub(super) connections: Arc<Connections>,
    pub(super) log_share: LogShare,
    /// Whether `/metrics` is a route of the main listener.
    pub(super) serves_metrics: bool,
    /// Signs the demo page's tokens, if there is a demo page.
    pub(super) demo: Option<Signer>,
    pub(super) draining: AtomicBool,
    /// True when event streams must end.
    pub(super) stopping: watch::Sender<bool>,
    pub(super) tickets: Tickets,
    pub(super) traffic: Traffic,
    /// The OpenAPI document, made for its first request.
    pub(super) document: LazyLock<String>,
}

impl Api {
    /// The API of these parts, with these settings; `labels` name the routes in the metrics.
    pub(super) fn over(
        registry: Registry,
        verifier: Arc<Verifier>,
        config: &Config,
        labels: Vec<&'static str>,
        document: fn() -> String,
    ) -> Arc<Self> {
        Arc::new(Self {
            registry,
            verifier,
            config: config.http.clone(),
            log_requests: config.telemetry.log_requests,
            limits: RateLimits::new(&config.http),
            connections: Connections::new(&config.http),
            log_share: LogShare::default(),
            serves_metrics: config.environment == Environment::Development
                && config.telemetry.metrics_listen.is_none(),
            demo: Signer::of_development(&config.auth, config.environment),
            draining: AtomicBool::new(false),
            stopping: watch::Sender::new(false),
            tickets: Tickets::new(config.auth.better_auth_secret.as_ref()),
            traffic: Traffic::new(labels),
            document: LazyLock::new(document),
        })
    }

    /// The API of a request's app.
    pub(super) fn of(request: &HttpRequest) -> &Arc<Self> {
        request.app_data().expect("`routes::configure` gives every app its API")
    }

    /// A path as a link: after `PUBLIC_URL`, if that is set.
    pub(super) fn link(&self, path: &str) -> String {
        format!("{}{path}", self.config.public_url.as_deref().unwrap_or_default())
    }

    /// From now on `/ready` is 503, every response closes its connection, and event streams end. All else is
    /// still served.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.stopping.send_replace(true);
    }

    /// Forgets the rate limits of idle callers, and says how many log lines were left out. Call it every few seconds.
    pub fn upkeep(&self) {
        self.log_share.report();
        self.limits.forget_idle();
    }

    /// Requests that have arrived and whose responses have not begun.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.traffic.in_flight()
    }

    /// All metrics, in Prometheus's text format.
    #[must_use]
    pub fn metrics(&self) -> String {
        let mut text = metrics().render();
        text.push_str(&self.traffic.render());
        text
    }
}
