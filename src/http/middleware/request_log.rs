//! The one middleware: every answer passes here on its way out, CORS included.
//!
//! It gives each request an id, each error the contract's form, each answer the headers all answers
//! have, and counts and logs what happened. On the path of a request that succeeds it takes no lock,
//! boxes nothing and formats nothing but the request's id.

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, ETAG, HeaderMap, HeaderValue, VARY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::{Error, HttpMessage};
use futures_util::future::LocalBoxFuture;
use tokio::time::timeout;

use super::chunked_body::ChunkedBody;
use super::cors::Gate;
use super::fast_path::FastPath;
use super::trace_context::TraceParent;
use crate::config::LogRequests;
use crate::domain::Identity;
use crate::http::Api;
use crate::http::request::header_names::{REQUEST_ID, SEQ, SERVER_TIMING, TIMING_ALLOW_ORIGIN};
use crate::http::response::error::{ApiError, Code, wants_problem};
use crate::http::routes::Route;
use crate::lane::Timing;
#[cfg(feature = "otlp")]
use crate::telemetry::{self, Answered, Parent};
use crate::telemetry::{Request, Stripe};

/// A request that takes longer is slow, and logged.
const SLOW: Duration = Duration::from_secs(1);

/// How long an answer waits for no more than the user's seq.
const LOAD: Duration = Duration::from_secs(1);

/// What metrics call the answer to a client that went away before it.
const CLIENT_GONE: u16 = 499;

/// The middleware, as the app wears it.
pub(crate) struct RequestLog {
    worker: Rc<WorkerState>,
    gate: Gate,
}

/// What one worker needs for every request.
struct WorkerState {
    api: Arc<Api>,
    stripe: Arc<Stripe>,
    /// Drawn at random for each worker: with a count it makes ids that do not repeat.
    id_prefix: [u8; 16],
    next_id: Cell<u64>,
}

impl RequestLog {
    /// The edge of one worker's app.
    pub(crate) fn new(api: Arc<Api>) -> Self {
        let mut id_prefix = [0; 16];
        let random = uuid::Uuid::new_v4().simple().to_string();
        id_prefix.copy_from_slice(&random.as_bytes()[16..]);
        let stripe = api.traffic.stripe();
        let gate = Gate::new(&api.config.allowed_origins);
        Self { worker: Rc::new(WorkerState { api, stripe, id_prefix, next_id: Cell::new(0) }), gate }
    }
}

impl<S> Transform<S, ServiceRequest> for RequestLog
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error> + 'static,
    S::Future: Unpin,
{
    type Response = ServiceResponse<EitherBody<EitherBody<BoxBody>>>;
    type Error = Error;
    type Transform = RequestLogService<<Gate as Transform<FastPath<S>, ServiceRequest>>::Transform>;
    type InitError = ();
    type Future = LocalBoxFuture<'static, Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        let worker = Rc::clone(&self.worker);
        let gate = self.gate.new_transform(FastPath::new(inner, Arc::clone(&worker.api)));
        Box::pin(async move { Ok(RequestLogService { inner: gate.await?, worker }) })
    }
}

/// The middleware at work.
pub(crate) struct RequestLogService<S> {
    inner: S,
    worker: Rc<WorkerState>,
}

impl<S, B> Service<ServiceRequest> for RequestLogService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: Unpin,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = ResponseFuture<S::Future, B>;

    forward_ready!(inner);

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let record = self.worker.begin(&mut request);
        ResponseFuture { record, inner: self.inner.call(request), loading: None }
    }
}

/// An answer being made.
pub(crate) struct ResponseFuture<F, B> {
    record: RequestRecord,
    inner: F,
    /// An answer that waits for its user's state.
    loading: Option<(Box<ServiceResponse<B>>, LocalBoxFuture<'static, ()>)>,
}

impl<F, B> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>> + Unpin,
    B: MessageBody + 'static,
{
    type Output = Result<ServiceResponse<EitherBody<B>>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some((_, loaded)) = &mut this.loading {
            std::task::ready!(loaded.as_mut().poll(cx));
        }
        if let Some((response, _)) = this.loading.take() {
            return Poll::Ready(Ok(this.record.finish(*response)));
        }
        // A handler that panicked is not polled again, and leaves nothing half done behind it: what
        // is shared changes only by messages.
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut this.inner).poll(cx)));
        let error = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(response))) => {
                if let Some(loaded) = this.record.load(&response) {
                    this.loading = Some((Box::new(response), loaded));
                    return self.poll(cx);
                }
                return Poll::Ready(Ok(this.record.finish(response)));
            }
            Ok(Poll::Ready(Err(error))) => error,
            Err(_) => {
                let message = "Internal server error";
                let error = ApiError::new(Code::InternalServerError, message);
                ApiError { cause: Some("a panic".into()), ..error }.into()
            }
        };
        Poll::Ready(Err(this.record.fail(&error)))
    }
}

/// One request on its way. Dropped before it has finished, it counts as given up by its client.
struct RequestRecord {
    worker: Rc<WorkerState>,
    id: HeaderValue,
    trace: Option<TraceParent>,
    method: Method,
    unread: Option<ChunkedBody>,
    started: Instant,
    finished: bool,
}

impl WorkerState {
    fn begin(self: &Rc<Self>, request: &mut ServiceRequest) -> RequestRecord {
        self.stripe.begin();
        RequestRecord {
            worker: Rc::clone(self),
            id: given_id(request.headers()).unwrap_or_else(|| self.make_id()),
            trace: TraceParent::of(request.headers()),
            method: request.method().clone(),
            unread: ChunkedBody::of(request),
            started: Instant::now(),
            finished: false,
        }
    }

    fn make_id(&self) -> HeaderValue {
        const HEX: [u8; 16] = *b"0123456789abcdef";

        let count = self.next_id.get();
        self.next_id.set(count + 1);
        let mut text = [b'-'; 33];
        text[..16].copy_from_slice(&self.id_prefix);
        // Always of one length, so that two answers differ in nothing but the digits.
        for (digits, byte) in text[17..].chunks_exact_mut(2).zip(count.to_be_bytes()) {
            digits[0] = HEX[usize::from(byte >> 4)];
            digits[1] = HEX[usize::from(byte & 15)];
        }
        HeaderValue::from_bytes(&text).expect("digits, letters and a dash are visible ASCII")
    }
}

/// The client's own request id, where it is 1 to 128 visible ASCII characters.
fn given_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(REQUEST_ID)?;
    let fits = (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
    fits.then(|| id.clone())
}

/// What became of a request, for the log.
struct RequestOutcome<'a> {
    route: Route,
    status: StatusCode,
    who: Option<&'a Identity>,
    cause: Option<&'a str>,
    #[cfg(feature = "otlp")]
    timing: Option<Timing>,
}

impl RequestRecord {
    /// Loads the state of a known user whose seq an answer does not tell, where it is not in memory: a
    /// request refused early, or one that needs no task. The answer waits for it, but not for long.
    fn load<B>(&self, response: &ServiceResponse<B>) -> Option<LocalBoxFuture<'static, ()>> {
        if response.headers().contains_key(SEQ) || response.status().is_server_error() {
            return None;
        }
        let who = response.request().extensions().get::<Arc<Identity>>().cloned()?;
        let registry = &self.worker.api.registry;
        if registry.cached(&who).is_some() {
            return None;
        }
        let registry = registry.clone();
        Some(Box::pin(async move {
            let _ = timeout(LOAD, registry.snapshot(&who)).await;
        }))
    }

    /// Makes an answer ready to go.
    fn finish<B: MessageBody + 'static>(
        &mut self,
        response: ServiceResponse<B>,
    ) -> ServiceResponse<EitherBody<B>> {
        let status = response.status();
        let (request, response) = response.into_parts();
        let route = request.app_data::<Route>().copied().unwrap_or(Route::Unknown);
        let who = request.extensions().get::<Arc<Identity>>().cloned();
        let mut cause = None;
        let mut response = if status.is_client_error() || status.is_server_error() {
            let told = ShownError::new(response.error(), status);
            let error = told.get();
            let body = error.body(status, self.id.to_str().unwrap_or_default());
            let marks = error.marks();
            cause.clone_from(&error.cause);
            let mut response = response.map_body(|_, _| EitherBody::right(BoxBody::new(body)));
            marks.set(wants_problem(request.headers()), response.headers_mut());
            response
        } else {
            response.map_into_left_body()
        };
        let api = &self.worker.api;
        let headers = response.headers_mut();
        if let Some(who) = who.as_deref()
            && !headers.contains_key(SEQ)
            && let Some(snapshot) = api.registry.cached(who)
        {
            headers.insert(SEQ, snapshot.seq().get().into());
        }
        dress(headers, &self.id);
        if self.method != Method::GET
            && let Some(timing) = request.extensions().get::<Timing>()
        {
            tell_timing(headers, timing);
        }
        api.limits.tell(&request, headers);
        // A body that was not read to its end cannot be followed by another request.
        let unread = matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT);
        if unread || api.draining.load(Ordering::Relaxed) {
            response.head_mut().set_connection_type(ConnectionType::Close);
        }
        self.note(&RequestOutcome {
            route,
            status,
            who: who.as_deref(),
            cause: cause.as_deref(),
            #[cfg(feature = "otlp")]
            timing: request.extensions().get().copied(),
        });
        if let Some(unread) = self.unread.take().filter(|unread| !unread.is_over()) {
            response = response.map_body(|_, body| EitherBody::right(unread.held_by(body)));
        }
        ServiceResponse::new(request, response)
    }

    /// Makes the answer to a request that came to nothing: a middleware's error, or a panic.
    fn fail(&mut self, error: &Error) -> Error {
        let mut response = error.error_response();
        let status = response.status();
        let told = ShownError::new(Some(error), status);
        let told = told.get();
        told.marks().set(false, response.headers_mut());
        dress(response.headers_mut(), &self.id);
        let body = told.body(status, self.id.to_str().unwrap_or_default());
        self.note(&RequestOutcome {
            route: Route::Unknown,
            status,
            who: None,
            cause: told.cause.as_deref(),
            #[cfg(feature = "otlp")]
            timing: None,
        });
        let response = response.set_body(BoxBody::new(body));
        actix_web::error::InternalError::from_response(told.to_string(), response).into()
    }

    /// Counts the request and, where it is worth a line, logs it.
    fn note(&mut self, outcome: &RequestOutcome) {
        self.finished = true;
        let took = self.started.elapsed();
        let status = outcome.status.as_u16();
        let request = Request { route: outcome.route.index(), method: self.method.as_str(), status, took };
        self.worker.stripe.end(request);
        #[cfg(feature = "otlp")]
        self.export(outcome, took);
        // Not each 429: they come by the thousand, and metrics count them.
        if status == 401 || status >= 500 || took > SLOW || self.worker.api.log_requests == LogRequests::All {
            self.log(outcome, took);
        }
    }

    /// Makes spans of it, by whose trace the log knows it from now on.
    #[cfg(feature = "otlp")]
    fn export(&mut self, outcome: &RequestOutcome, took: Duration) {
        let parent =
            |trace: TraceParent| Parent { trace: trace.trace, span: trace.span, sampled: trace.sampled };
        let recorded = telemetry::trace(&Answered {
            route: outcome.route.pattern(),
            method: self.method.as_str(),
            status: outcome.status.as_u16(),
            took,
            write: outcome.timing.map(|timing| (timing.queue, timing.commit)),
            parent: self.trace.map(parent),
        });
        if let (Some(trace), None) = (recorded, self.trace) {
            self.trace = Some(TraceParent { trace, span: 0, sampled: true });
        }
    }

    /// One line. It names the route, never the path, which may hold what a user typed.
    #[cold]
    fn log(&self, outcome: &RequestOutcome, took: Duration) {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    method = %self.method,
                    route = %outcome.route.pattern(),
                    status = outcome.status.as_u16(),
                    ms = f64::from(micros) / 1000.0,
                    request_id = %self.id.to_str().unwrap_or_default(),
                    trace_id = self.trace.map(display),
                    user = outcome.who.map(|who| display(who.user())),
                    cause = outcome.cause,
                    "request"
                )
            };
        }
        match outcome.status.as_u16() {
            500 => line!(error),
            401 | 429 | 501.. => line!(warn),
            _ if took > SLOW => line!(warn),
            _ => line!(info),
        }
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        if !self.finished {
            let (route, took) = (Route::Unknown.index(), self.started.elapsed());
            let method = self.method.as_str();
            self.worker.stripe.end(Request { route, method, status: CLIENT_GONE, took });
        }
    }
}

/// An error of ours, or what stands for one of the framework's.
enum ShownError<'a> {
    Ours(&'a ApiError),
    Foreign(Box<ApiError>),
}

impl<'a> ShownError<'a> {
    fn new(error: Option<&'a Error>, status: StatusCode) -> Self {
        if let Some(ours) = error.and_then(Error::as_error::<ApiError>) {
            return Self::Ours(ours);
        }
        let cause = error.map(|error| error.to_string().into());
        Self::Foreign(Box::new(ApiError { cause, ..ApiError::of_status(status) }))
    }

    fn get(&self) -> &ApiError {
        match self {
            Self::Ours(error) => error,
            Self::Foreign(error) => error,
        }
    }
}

/// Says of a write what took how long, in milliseconds (W3C Server Timing); a page of another origin that may
/// read the answer may see that, too, in its Performance API.
fn tell_timing(headers: &mut HeaderMap, timing: &Timing) {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let queue = milliseconds(timing.queue);
    let text = match timing.commit.map(milliseconds) {
        Some(commit) => format!("queue;dur={queue:.3}, commit;dur={commit:.3}"),
        None => format!("queue;dur={queue:.3}"),
    };
    headers.insert(SERVER_TIMING, text.try_into().expect("names and numbers are visible ASCII"));
    if let Some(origin) = headers.get(ACCESS_CONTROL_ALLOW_ORIGIN).cloned() {
        headers.insert(TIMING_ALLOW_ORIGIN, origin);
    }
}

/// The headers every answer has.
fn dress(headers: &mut HeaderMap, id: &HeaderValue) {
    headers.insert(REQUEST_ID, id.clone());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(CACHE_CONTROL) {
        // With a tag a browser may keep a copy, if it asks each time whether it is still good.
        let keep = if headers.contains_key(ETAG) { "private, no-cache" } else { "no-store" };
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
    }
    if !headers.contains_key(VARY) {
        headers.insert(VARY, HeaderValue::from_static("Origin"));
    }
}
