//! Traces, exported by OTLP over HTTP; compiled with the feature `otlp` only.
//!
//! A request is one span, a write's queue and commit are spans below it. They are made when the response starts,
//! from times that are measured anyway. Settings are OpenTelemetry's variables (`OTEL_*`); without an endpoint
//! no span is made.

use std::borrow::Cow;
use std::env;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
    Tracer, TracerProvider,
};
use opentelemetry::{Context, Key, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;

/// The variables that name the collector; one of them turns traces on.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Time-out of a request to the collector.
const DEADLINE: Duration = Duration::from_secs(10);

/// Methods that a span's name may hold; any other becomes `_OTHER` (OpenTelemetry's semantic conventions).
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

static TRACES: OnceLock<Traces> = OnceLock::new();

/// Exports spans.
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// The trace that a request belongs to, by its `traceparent`.
#[derive(Clone, Copy, Debug)]
pub struct Parent {
    /// The trace.
    pub trace: u128,
    /// The caller's span.
    pub span: u64,
    /// Whether the caller records it.
    pub sampled: bool,
}

/// A request whose response starts now.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The route's pattern, which holds nothing that a user typed.
    pub route: &'static str,
    /// The method.
    pub method: &'a str,
    /// The response's status.
    pub status: u16,
    /// How long it took.
    pub took: Duration,
    /// A write's time in the queue, and in the store's commit.
    pub write: Option<(Duration, Option<Duration>)>,
    /// What its `traceparent` says.
    pub parent: Option<Parent>,
}

/// Exports spans from now on, if a collector is named; requests to it run on `runtime`.
///
/// # Errors
/// Which variable is wrong.
pub fn start_traces(runtime: Handle) -> Result<(), String> {
    let set = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let disabled = env::var("OTEL_SDK_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    let Some(named) = ENDPOINTS.iter().find(|name| set(name)).filter(|_| !disabled) else { return Ok(()) };
    let given = |name| env::var(name).ok().filter(|value| !value.is_empty());
    check_sampler(given("OTEL_TRACES_SAMPLER").as_deref(), given("OTEL_TRACES_SAMPLER_ARG").as_deref())?;
    let http = reqwest::Client::builder().timeout(DEADLINE).build().map_err(|error| error.to_string())?;
    let exporter = SpanExporter::builder().with_http().with_http_client(Sender { http, runtime });
    // The value may hold a password.
    let exporter = exporter.with_protocol(Protocol::HttpBinary).build();
    let exporter = exporter.map_err(|_| format!("{named} must be the http or https URL of a collector"))?;
    let provider =
        SdkTracerProvider::builder().with_resource(resource()).with_batch_exporter(exporter).build();
    let tracer = provider.tracer("tasklane");
    let _ = TRACES.set(Traces { provider, tracer });
    tracing::info!(setting = named, "exporting traces");
    Ok(())
}

/// Refuses what the library would replace by its default.
fn check_sampler(name: Option<&str>, ratio: Option<&str>) -> Result<(), String> {
    let whole = ["always_on", "always_off", "parentbased_always_on", "parentbased_always_off"];
    let by_ratio = ["traceidratio", "parentbased_traceidratio"];
    if let Some(name) = name.filter(|name| !whole.contains(name) && !by_ratio.contains(name)) {
        let allowed = [&whole[..], &by_ratio].concat().join(", ");
        return Err(format!(
            "OTEL_TRACES_SAMPLER is `{}`, but must be one of {allowed}",
            name.escape_debug()
        ));
    }
    let is_ratio = |text: &str| text.parse::<f64>().is_ok_and(|ratio| (0.0..=1.0).contains(&ratio));
    match ratio.filter(|text| !is_ratio(text)) {
        Some(ratio) => Err(format!(
            "OTEL_TRACES_SAMPLER_ARG is `{}`, but must be a number from 0 to 1, such as 0.01",
            ratio.escape_debug()
        )),
        None => Ok(()),
    }
}

/// Exports the spans that are left. Blocks for at most [`DEADLINE`].
pub fn stop_traces() {
    if let Some(traces) = TRACES.get()
        && let Err(error) = traces.provider.shutdown_with_timeout(DEADLINE)
    {
        tracing::warn!(%error, "the last traces were not sent");
    }
}

/// This service's attributes, by OpenTelemetry's variables; without a name there it is called `tasklane`.
fn resource() -> Resource {
    let name = Resource::builder().build().get(&Key::from_static_str("service.name"));
    let unnamed = name.is_none_or(|name| name.as_str().starts_with("unknown_service"));
    let resource =
        Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if unnamed { resource.with_service_name("tasklane").build() } else { resource.build() }
}

/// Exports a request's spans; returns the trace's id, if it is recorded.
pub fn trace(answered: &Answered) -> Option<u128> {
    TRACES.get().and_then(|traces| traces.note(answered))
}

impl Traces {
    fn note(&self, answered: &Answered) -> Option<u128> {
        let end = SystemTime::now();
        let start = end.checked_sub(answered.took)?;
        let method = METHODS.into_iter().find(|method| *method == answered.method).unwrap_or("_OTHER");
        let parent = answered.parent.map_or_else(Context::new, Parent::context);
        let mut span = self
            .tracer
            .span_builder(format!("{method} {}", answered.route))
            .with_kind(SpanKind::Server)
            .with_start_time(start)
            .with_attributes([
                KeyValue::new("http.request.method", method),
                KeyValue::new("http.route", answered.route),
                KeyValue::new("http.response.status_code", i64::from(answered.status)),
            ])
            .start_with_context(&self.tracer, &parent);
        if !span.is_recording() {
            return None;
        }
        let context = span.span_context().clone();
        if answered.status >= 500 {
            span.set_attribute(KeyValue::new("error.type", answered.status.to_string()));
            span.set_status(Status::Error { description: Cow::Borrowed("") });
        }
        if let Some((queue, commit)) = answered.write {
            let inside = parent.with_remote_span_context(context.clone());
            let part = |name: &'static str, start: SystemTime, took: Duration| {
                let part = self.tracer.span_builder(name).with_start_time(start);
                part.start_with_context(&self.tracer, &inside).end_with_timestamp(start + took);
            };
            // The commit ends shortly before the response starts; the difference is neglected.
            let began = start.max(end.checked_sub(queue + commit.unwrap_or_default())?);
            part("queue", began, queue);
            if let Some(commit) = commit {
                part("commit", began + queue, commit);
            }
        }
        span.end_with_timestamp(end);
        Some(u128::from_be_bytes(context.trace_id().to_bytes()))
    }
}

impl Parent {
    fn context(self) -> Context {
        let flags = if self.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let (trace, span) = (TraceId::from(self.trace), SpanId::from(self.span));
        Context::new().with_remote_span_context(SpanContext::new(trace, span, flags, true, TraceState::NONE))
    }
}

/// Sends the exporter's requests with an HTTP client on the service's own threads: the exporter's thread has no
/// reactor.
#[derive(Debug)]
struct Sender {
    http: reqwest::Client,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        let sent = self.runtime.spawn(async move {
            let answer = http.execute(request.try_into()?).await?;
            let mut response = Response::builder().status(answer.status());
            if let Some(headers) = response.headers_mut() {
                headers.clone_from(answer.headers());
            }
            Ok(response.body(answer.bytes().await?)?)
        });
        sent.await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sampler_that_is_none_is_refused() {
        for (name, ratio) in [(None, None), (Some("always_off"), None), (Some("traceidratio"), Some("0.5"))] {
            assert_eq!(check_sampler(name, ratio), Ok(()));
        }
        for (name, ratio) in
            [(Some("always"), None), (Some("Always_On"), None), (None, Some("50%")), (None, Some("2"))]
        {
            assert!(check_sampler(name, ratio).unwrap_err().starts_with("OTEL_TRACES_SAMPLER"));
        }
    }
}
