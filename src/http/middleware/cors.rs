//! Cross-origin requests, handled by `actix-cors`. All other requests bypass it.
//!
//! Requests of servers and of same-origin pages mostly have no `Origin`, and need none of its work. A
//! request from an origin that is not listed bypasses it, too: `actix-cors` would still add that credentials
//! are allowed.

use std::rc::Rc;

use actix_cors::Cors;
use actix_web::Error;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN,
};
use futures_util::TryFutureExt;
use futures_util::future::{Either, LocalBoxFuture, MapOk};

use crate::http::header_names::is_token;

/// Seconds for which a browser may cache that a request is allowed. Chromium's maximum.
const PREFLIGHT_LIFETIME: usize = 7200;

/// Bytes of the list of headers that a page asks for, at most.
const MAX_REQUESTED_HEADERS: usize = 8 << 10;

/// The headers of a response that a page may read.
const EXPOSED_HEADERS: &str = "etag, location, link, x-tasklane-seq, x-tasklane-lineage, x-request-id, retry-after, \
    idempotent-replayed, content-disposition, server-timing";

/// The middleware of one worker's app.
pub(crate) struct Gate {
    cors: Cors,
    origins: Rc<[String]>,
}

impl Gate {
    /// Allows requests of pages from these origins, with credentials.
    pub(crate) fn new(origins: &[String]) -> Self {
        let cors = Cors::default()
            .allowed_methods(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
            // What is asked for is granted: tools of a page add headers of their own to each of its requests, and
            // without cookies a header gives it no more than it has.
            .allow_any_header()
            .expose_headers(EXPOSED_HEADERS.split(", "))
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
    type Future = Either<MapOk<S::Future, fn(ServiceResponse<B>) -> Self::Response>, C::Future>;

    forward_ready!(plain);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let headers = request.headers();
        let concerned = headers.get(ORIGIN).is_some_and(|origin| {
            let listed = self.origins.iter().any(|listed| listed.as_bytes() == origin.as_bytes());
            let preflight =
                request.method() == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
            if preflight {
                headers.get(ACCESS_CONTROL_REQUEST_HEADERS).is_none_or(names_headers)
            } else {
                listed
            }
        });
        if concerned {
            Either::Right(self.cors.call(request))
        } else {
            Either::Left(self.plain.call(request).map_ok(ServiceResponse::map_into_left_body))
        }
    }
}

/// Whether it is a list of names of headers, which the response to a preflight repeats.
fn names_headers(list: &HeaderValue) -> bool {
    let list = list.as_bytes();
    list.len() <= MAX_REQUESTED_HEADERS
        && list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).all(|name| {
            // RFC 9110, section 5.6.1: empty elements are allowed.
            name.is_empty() || is_token(name)
        })
}
