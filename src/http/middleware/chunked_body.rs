//! Chunked request bodies that the handler did not read to the end.
//!
//! actix-http soon closes a connection whose request body was left unread, unless the body is chunked and
//! was dropped: then it reads on for as long as the client sends, without a deadline, so that clients
//! without a token could keep connections open. So such a body is not dropped before its response is sent:
//! the response's body holds it.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::HttpMessage;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::http::header::TRANSFER_ENCODING;
use actix_web::web::Bytes;
use futures_util::Stream;

/// A chunked body, shared by the handler, which may read it, and the middleware, which keeps it from being
/// dropped too soon.
#[derive(Clone)]
pub(crate) struct ChunkedBody(Rc<RefCell<ChunkedState>>);

struct ChunkedState {
    payload: Payload,
    ended: bool,
}

impl ChunkedBody {
    /// Shares the request's body with the request, if the body is chunked.
    pub(crate) fn of(request: &mut ServiceRequest) -> Option<Self> {
        request.headers().get(TRANSFER_ENCODING)?;
        let payload = request.take_payload();
        let body = Self(Rc::new(RefCell::new(ChunkedState { payload, ended: false })));
        request.set_payload(Payload::Stream { payload: Box::pin(body.clone()) });
        Some(body)
    }

    /// Whether it was read to the end.
    pub(crate) fn is_over(&self) -> bool {
        self.0.borrow().ended
    }
}

impl Stream for ChunkedBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut shared = self.0.borrow_mut();
        let polled = Pin::new(&mut shared.payload).poll_next(context);
        shared.ended |= matches!(polled, Poll::Ready(None));
        polled
    }
}

/// A response's body, and what is kept until it is sent.
pub(crate) struct Holding<T> {
    body: BoxBody,
    _kept: T,
}

impl<T: Unpin + 'static> Holding<T> {
    /// A response's body that keeps this until it is sent.
    pub(crate) fn boxed(body: impl MessageBody + 'static, kept: T) -> BoxBody {
        BoxBody::new(Self { body: body.boxed(), _kept: kept })
    }
}

impl<T: Unpin> MessageBody for Holding<T> {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}
