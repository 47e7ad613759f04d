//! Cross-origin requests, by `actix-cors`, kept away from requests it has nothing to do with.
//!
//! Most requests of a load test, a server-side renderer or a same-origin page carry no `Origin`, and
//! need none of its work. A request from an origin that is not listed also goes past it: it would
//! still be told that credentials are allowed.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_cors::Cors;
use actix_web::Error;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::http::Method;
use actix_web::http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use futures_util::future::LocalBoxFuture;

/// How long, in seconds, a browser may remember that a request is allowed. Chromium caps it at this.
const PREFLIGHT_LIFETIME: usize = 7200;

/// CORS, before the app starts.
pub(crate) struct Gate {
    cors: Cors,
    origins: Rc<[String]>,
}

impl Gate {
    /// Lets pages of these origins in, with credentials.
    pub(crate) fn new(origins: &[String]) -> Self {
        let cors = Cors::default()
            .allowed_methods(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
            .allowed_headers([
                "authorization",
                "content-type",
                "if-match",
                "if-none-match",
                "idempotency-key",
                "x-request-id",
                "last-event-id",
                "x-confirm-delete",
                "x-tasklane-min-seq",
                "traceparent",
                "tracestate",
            ])
            .expose_headers([
                "etag",
                "location",
                "link",
                "x-tasklane-seq",
                "x-request-id",
                "retry-after",
                "idempotent-replayed",
                "content-disposition",
                "server-timing",
            ])
            .supports_credentials()
            .max_age(PREFLIGHT_LIFETIME);
        let cors = origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin));
        Self { cors, origins: origins.into() }
    }
}

impl<S, B> Transform<S, ServiceRequest> for Gate
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    S::Future: Unpin,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = GateService<S, <Cors as Transform<Rc<S>, ServiceRequest>>::Transform>;
    type InitError = ();
    type Future = LocalBoxFuture<'static, Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        let plain = Rc::new(service);
        let cors = self.cors.new_transform(Rc::clone(&plain));
        let origins = Rc::clone(&self.origins);
        Box::pin(async move { Ok(GateService { plain, cors: cors.await?, origins }) })
    }
}

/// The middleware at work.
pub(crate) struct GateService<S, C> {
    plain: Rc<S>,
    cors: C,
    origins: Rc<[String]>,
}

impl<S, C, B> Service<ServiceRequest> for GateService<S, C>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: Unpin,
    C: Service<ServiceRequest, Response = ServiceResponse<EitherBody<B>>, Error = Error>,
    C::Future: Unpin,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = Passage<S::Future, C::Future>;

    forward_ready!(plain);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let concerned = request.headers().get(ORIGIN).is_some_and(|origin| {
            let listed = self.origins.iter().any(|listed| listed.as_bytes() == origin.as_bytes());
            let preflight = request.method() == Method::OPTIONS
                && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
            listed || preflight
        });
        if concerned {
            Passage::Cors(self.cors.call(request))
        } else {
            Passage::Plain(self.plain.call(request))
        }
    }
}

/// An answer that goes one way or the other.
pub(crate) enum Passage<P, C> {
    Plain(P),
    Cors(C),
}

impl<P, C, B> Future for Passage<P, C>
where
    P: Future<Output = Result<ServiceResponse<B>, Error>> + Unpin,
    C: Future<Output = Result<ServiceResponse<EitherBody<B>>, Error>> + Unpin,
{
    type Output = Result<ServiceResponse<EitherBody<B>>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Plain(future) => Pin::new(future).poll(cx).map_ok(ServiceResponse::map_into_left_body),
            Self::Cors(future) => Pin::new(future).poll(cx),
        }
    }
}
