//! A request's line in the log, and its spans.

use std::time::Duration;

use actix_web::http::header::HeaderValue;
use actix_web::http::{Method, StatusCode};

use super::trace_context::TraceParent;
use crate::domain::Identity;
use crate::http::log_share::LogSource;
use crate::http::route::Route;
#[cfg(feature = "otlp")]
use crate::lane::Timing;
#[cfg(feature = "otlp")]
use crate::telemetry::{self, Answered, Parent};

/// A request that takes longer is slow, and is logged.
const SLOW: Duration = Duration::from_secs(1);

/// The outcome of a request.
pub(crate) struct RequestOutcome<'a> {
    pub(crate) route: &'static Route,
    pub(crate) status: StatusCode,
    pub(crate) user: Option<&'a Identity>,
    pub(crate) source: LogSource,
    pub(crate) cause: Option<&'a str>,
    #[cfg(feature = "otlp")]
    pub(crate) timing: Option<Timing>,
}

/// A request that has its response.
pub(crate) struct AnsweredRequest<'a> {
    pub(crate) id: &'a HeaderValue,
    pub(crate) method: &'a Method,
    pub(crate) outcome: &'a RequestOutcome<'a>,
    pub(crate) took: Duration,
}

impl AnsweredRequest<'_> {
    /// Whether it is a problem. A user's 429 is none: there can be thousands, and metrics count them.
    pub(crate) fn is_notable(&self) -> bool {
        let status = self.outcome.status.as_u16();
        status == 401 || status >= 500 || self.took > SLOW || (status == 429 && self.is_strangers())
    }

    /// Whether it was refused, and had no valid token.
    pub(crate) fn is_refused_stranger(&self) -> bool {
        self.outcome.status.is_client_error() && self.is_strangers()
    }

    const fn is_strangers(&self) -> bool {
        matches!(self.outcome.source, LogSource::Address(_))
    }

    /// Exports its spans. If they began a new trace, `trace` names it from now on, for the log.
    #[cfg(feature = "otlp")]
    pub(crate) fn export(&self, trace: &mut Option<TraceParent>) {
        let parent =
            |trace: TraceParent| Parent { trace: trace.trace, span: trace.span, sampled: trace.sampled };
        let recorded = telemetry::trace(&Answered {
            route: self.outcome.route.label,
            method: self.method.as_str(),
            status: self.outcome.status.as_u16(),
            took: self.took,
            write: self.outcome.timing.map(|timing| (timing.queue, timing.commit)),
            parent: trace.map(parent),
        });
        if let (Some(recorded), None) = (recorded, *trace) {
            *trace = Some(TraceParent { trace: recorded, span: 0, sampled: true });
        }
    }

    /// Logs one line. It names the route, not the path, which may hold user input.
    #[cold]
    pub(crate) fn log(&self, trace: Option<TraceParent>) {
        let micros = u32::try_from(self.took.as_micros()).unwrap_or(u32::MAX);
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    method = %self.method,
                    route = %self.outcome.route.label,
                    status = self.outcome.status.as_u16(),
                    ms = f64::from(micros) / 1000.0,
                    request_id = %self.id.to_str().unwrap_or_default(),
                    trace_id = trace.map(display),
                    user = self.outcome.user.map(|user| display(user.user())),
                    cause = self.outcome.cause,
                    "request"
                )
            };
        }
        match self.outcome.status.as_u16() {
            500 => line!(error),
            401 | 429 | 501.. => line!(warn),
            _ if self.took > SLOW => line!(warn),
            _ => line!(info),
        }
    }
}
