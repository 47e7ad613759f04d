//! The outermost middleware, around CORS: every response passes here.
//!
//! It gives each request an id, each error its JSON body, and each response the common headers, and counts
//! and logs the request. For a request that succeeds it takes no lock, boxes nothing and formats nothing but
//! the request's id.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, EitherBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::{Error, HttpMessage, HttpRequest, ResponseError};
use futures_util::future::LocalBoxFuture;
use tokio::time::timeout;

use super::chunked_body::{ChunkedBody, Holding};
use super::common_headers::{add_common_headers, add_server_timing};
use super::cors::Gate;
use super::fast_path::FastPath;
use super::log_line::{AnsweredRequest, RequestOutcome};
use super::request_id::RequestIds;
use super::trace_context::TraceParent;
use super::untagged::check_condition;
use crate::config::LogRequests;
use crate::domain::Identity;
use crate::http::api::Api;
use crate::http::connection::stream::Activity;
use crate::http::error::{ApiError, Code, error_type, set_revision};
use crate::http::header_names::{JSON, SEQ};
use crate::http::log_share::LogSource;
use crate::http::request::caller::Trespasser;
use crate::http::route::Route;
use crate::lane::Timing;
use crate::telemetry::{Request, Stripe};

/// How long a response waits, at most, for a user's state to be loaded, which only its seq header needs.
const LOAD_TIMEOUT: Duration = Duration::from_secs(1);

/// A response of more bytes may take several turns to send.
const LONG: u64 = 64 << 10;

/// The status in the metrics where the client closed the connection before the response.
const CLIENT_GONE: u16 = 499;

/// The middleware of one worker's app.
pub(crate) struct RequestLog {
    worker: Rc<WorkerState>,
    gate: Gate,
    serves_users: bool,
}

/// The state of one worker, for all of its requests.
struct WorkerState {
    api: Arc<Api>,
    stripe: Arc<Stripe>,
    ids: RequestIds,
}

impl RequestLog {
    /// The middleware of one worker's app. The app of the metrics listener does not serve users.
    pub(crate) fn new(api: Arc<Api>, serves_users: bool) -> Self {
        let stripe = api.traffic.stripe();
        let gate = Gate::new(&api.config.allowed_origins);
        Self { worker: Rc::new(WorkerState { api, stripe, ids: RequestIds::new() }), gate, serves_users }
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
        let api = self.serves_users.then(|| Arc::clone(&worker.api));
        let gate = self.gate.new_transform(FastPath::new(inner, api));
        Box::pin(async move { Ok(RequestLogService { inner: gate.await?, worker }) })
    }
}

/// The service that the middleware makes of the app.
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

/// A request whose response is not ready yet.
pub(crate) struct ResponseFuture<F, B> {
    record: RequestRecord,
    inner: F,
    /// A response that waits for its user's state.
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
        if std::mem::take(&mut this.record.yields) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(connection) = &this.record.connection {
            std::task::ready!(connection.poll_unblocked(cx));
        }
        if let Some((_, loaded)) = &mut this.loading {
            std::task::ready!(loaded.as_mut().poll(cx));
        }
        if let Some((response, _)) = this.loading.take() {
            return Poll::Ready(Ok(this.record.finish(*response)));
        }
        // A handler that panicked is not polled again, and leaves no shared state half changed: that changes
        // only by messages.
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

/// One request. If it is dropped before it has finished, its client has closed the connection.
struct RequestRecord {
    worker: Rc<WorkerState>,
    id: HeaderValue,
    trace: Option<TraceParent>,
    method: Method,
    chunked_body: Option<ChunkedBody>,
    started: Instant,
    finished: bool,
    /// Whether other connections get their turn before its response.
    yields: bool,
    /// The connection, which is not idle while the request waits for its response. Tests have none.
    connection: Option<Rc<Activity>>,
}

impl WorkerState {
    fn begin(self: &Rc<Self>, request: &mut ServiceRequest) -> RequestRecord {
        self.stripe.begin();
        let connection = request.conn_data::<Rc<Activity>>().cloned();
        let yields = connection.as_ref().is_some_and(|connection| connection.begin());
        RequestRecord {
            worker: Rc::clone(self),
            id: self.ids.of(request.headers()),
            trace: TraceParent::of(request.headers()),
            method: request.method().clone(),
            chunked_body: ChunkedBody::of(request),
            started: Instant::now(),
            finished: false,
            yields,
            connection,
        }
    }
}

impl RequestRecord {
    /// Loads the state of a known user where it is not in memory and the response has no seq yet: the
    /// request was refused early, or needs no task. The response waits for [`LOAD_TIMEOUT`], at most.
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
            let _ = timeout(LOAD_TIMEOUT, registry.snapshot(&who)).await;
        }))
    }

    /// Counts a refusal without a valid token against its address. Beyond the address's rate it becomes a 429, whose
    /// error is returned.
    fn limit_refusals<B>(&self, response: &mut ServiceResponse<B>, source: LogSource) -> Option<ApiError> {
        let LogSource::Address(client) = source else { return None };
        if !response.status().is_client_error() {
            return None;
        }
        let error = self.worker.api.limits.refused(client).err()?;
        let response = response.response_mut();
        *response.status_mut() = error.status_code();
        let headers = response.headers_mut();
        headers.remove(WWW_AUTHENTICATE);
        headers.remove(ALLOW);
        error.set_headers(headers);
        Some(error)
    }

    /// Whose request it is: a user's, or, if it failed without a valid token, an address's.
    fn source(&self, request: &HttpRequest, user: Option<&Identity>, status: StatusCode) -> LogSource {
        if let Some(user) = user {
            return LogSource::User(user.user());
        }
        if !status.is_client_error() && !status.is_server_error() {
            return LogSource::Others;
        }
        if let Some(Trespasser(user)) = request.extensions().get() {
            return LogSource::User(*user);
        }
        self.worker.api.connections.client(request).map_or(LogSource::Others, LogSource::Address)
    }

    /// Completes a response.
    fn finish<B: MessageBody + 'static>(
        &mut self,
        mut response: ServiceResponse<B>,
    ) -> ServiceResponse<EitherBody<B>> {
        // No other request can follow a body that was not read to its end.
        let mut closes =
            matches!(response.status(), StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT);
        let refused = self.connection.as_ref().and_then(|connection| connection.refused.take());
        let refused = refused.map(|refusal| refusal.replace(&mut response));
        let user = response.request().extensions().get::<Arc<Identity>>().cloned();
        let source = self.source(response.request(), user.as_deref(), response.status());
        let refused = self.limit_refusals(&mut response, source).or(refused);
        let refused = refused.or_else(|| check_condition(&self.method, &mut response));
        let status = response.status();
        let (request, response) = response.into_parts();
        let route = Route::of(&request);
        let mut cause = None;
        let mut response = if status.is_client_error() || status.is_server_error() {
            let mut other = None;
            let error = refused.as_ref();
            let error = error.unwrap_or_else(|| shown(response.error(), status, &mut other));
            let body = error.body(status, self.id.to_str().unwrap_or_default());
            cause.clone_from(&error.cause);
            let mut response = response.map_body(|_, _| EitherBody::right(BoxBody::new(body)));
            response.headers_mut().insert(CONTENT_TYPE, error_type(request.headers()));
            if let Some(other) = other {
                other.set_headers(response.headers_mut());
            }
            response
        } else if status == StatusCode::NOT_MODIFIED {
            response.map_body(|_, _| EitherBody::right(BoxBody::new(())))
        } else {
            response.map_into_left_body()
        };
        let api = &self.worker.api;
        let headers = response.headers_mut();
        if let Some(user) = user.as_deref()
            && !headers.contains_key(SEQ)
            && let Some(snapshot) = api.registry.cached(user)
        {
            set_revision(headers, snapshot.revision());
        }
        add_common_headers(headers, &self.id, api.config.is_https());
        if self.method != Method::GET
            && let Some(timing) = request.extensions().get::<Timing>()
        {
            add_server_timing(headers, timing);
        }
        api.limits.add_headers(&request, headers);
        closes |=
            refused.is_some() || self.connection.as_ref().is_some_and(|connection| connection.closes.get());
        closes |= api.draining.load(Ordering::Relaxed) || api.connections.are_crowded();
        if closes {
            response.head_mut().set_connection_type(ConnectionType::Close);
            if let Some(connection) = &self.connection {
                connection.closes.set(true);
            }
        }
        self.record(&RequestOutcome {
            route,
            status,
            user: user.as_deref(),
            source,
            cause: cause.as_deref(),
            #[cfg(feature = "otlp")]
            timing: request.extensions().get().copied(),
        });
        let held = self.chunked_body.take().filter(|body| !body.is_over());
        // A response that is made while it is sent.
        let long = match response.body().size() {
            BodySize::None => false,
            BodySize::Sized(bytes) => bytes > LONG,
            BodySize::Stream => true,
        };
        let sending = self.connection.as_ref().filter(|_| long).map(Activity::hold);
        if held.is_some() || sending.is_some() {
            let holds = (held, sending);
            response = response.map_body(|_, body| EitherBody::right(Holding::boxed(body, holds)));
        }
        ServiceResponse::new(request, response)
    }

    /// Makes the response to a middleware's error or a panic.
    fn fail(&mut self, error: &Error) -> Error {
        let mut response = error.error_response();
        let status = response.status();
        let mut other = None;
        let shown = shown(Some(error), status, &mut other);
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        shown.set_headers(response.headers_mut());
        add_common_headers(response.headers_mut(), &self.id, self.worker.api.config.is_https());
        let body = shown.body(status, self.id.to_str().unwrap_or_default());
        self.record(&RequestOutcome {
            route: &Route::UNKNOWN,
            status,
            user: None,
            source: LogSource::Others,
            cause: shown.cause.as_deref(),
            #[cfg(feature = "otlp")]
            timing: None,
        });
        let response = response.set_body(BoxBody::new(body));
        actix_web::error::InternalError::from_response(shown.to_string(), response).into()
    }

    /// Counts the request, and logs it if it is notable or all are logged.
    fn record(&mut self, outcome: &RequestOutcome) {
        self.finished = true;
        let took = self.started.elapsed();
        let status = outcome.status.as_u16();
        let request = Request { route: outcome.route.index, method: self.method.as_str(), status, took };
        self.worker.stripe.end(request);
        let answered = AnsweredRequest { id: &self.id, method: &self.method, outcome, took };
        #[cfg(feature = "otlp")]
        answered.export(&mut self.trace);
        let api = &self.worker.api;
        if api.log_requests == LogRequests::All
            || answered.is_notable() && api.log_share.admits(outcome.source, answered.is_refused_stranger())
        {
            answered.log(self.trace);
        }
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.end();
        }
        if !self.finished {
            let (route, took) = (Route::UNKNOWN.index, self.started.elapsed());
            let method = self.method.as_str();
            self.worker.stripe.end(Request { route, method, status: CLIENT_GONE, took });
        }
    }
}

/// A request's error if it is an [`ApiError`]; else one that stands for it, which is kept in `other`.
fn shown<'a>(error: Option<&'a Error>, status: StatusCode, other: &'a mut Option<ApiError>) -> &'a ApiError {
    error.and_then(Error::as_error).unwrap_or_else(|| {
        let cause = error.map(|error| error.to_string().into());
        other.insert(ApiError { cause, ..ApiError::of_status(status) })
    })
}
