//! The responses that operations share: a task, a list, the result of a write, 304.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, ETAG, HeaderValue, LINK, LOCATION};
use actix_web::{HttpRequest, HttpResponse, body::BoxBody};

use crate::domain::Seq;
use crate::http::api::Api;
use crate::http::error::ApiError;
use crate::http::header_names::{JSON, REPLAYED, SEQ};
use crate::http::request::{Caller, EntityTag};
use crate::lane::{Effect, ShownTask, TaskEntry, WriteReply};

impl Caller {
    /// The response that shows a task, or 304.
    pub(crate) fn task(&self, entry: &TaskEntry, seq: Seq) -> HttpResponse {
        let tag = EntityTag::strong(entry.task.version);
        unmodified(self.request(), &tag, seq)
            .unwrap_or_else(|| tagged(StatusCode::OK, seq, &tag, BoxBody::new(entry.json.clone())))
    }

    /// The response to a write of one operation.
    ///
    /// # Errors
    /// 404 for the replay of a write whose record left out a long task that is gone since.
    pub(crate) fn written(&self, reply: &WriteReply) -> Result<HttpResponse, ApiError> {
        let effect = reply.effects.first();
        let mut response = match effect.and_then(Effect::task) {
            Some(ShownTask { json: None, .. }) => return Err(ApiError::task_gone_since(reply.seq)),
            Some(ShownTask { version, json: Some(json), .. }) => {
                let created = matches!(effect, Some(Effect::Created(_)));
                let status = if created { StatusCode::CREATED } else { StatusCode::OK };
                tagged(status, reply.seq, &EntityTag::strong(*version), BoxBody::new(json.clone()))
            }
            None => nothing(StatusCode::NO_CONTENT, reply.seq),
        };
        if let Some(Effect::Created(Some(shown))) = effect {
            // With the user as in the request's path: the id, or `me`.
            let path = format!("{}/{}", self.request().uri().path().trim_end_matches('/'), shown.id);
            let location = Api::of(self.request()).link(&path);
            let location = location.try_into().expect("the path of a parsed URI is visible ASCII");
            response.headers_mut().insert(LOCATION, location);
        }
        mark_replayed(&mut response, reply);
        Ok(response)
    }
}

/// The response to a write of several operations.
pub(crate) fn written_all(reply: &WriteReply, body: BoxBody) -> HttpResponse {
    let mut response = found(StatusCode::OK, reply.seq, body);
    mark_replayed(&mut response, reply);
    response
}

/// Marks the response to a repeat under the same idempotency key.
fn mark_replayed(response: &mut HttpResponse, reply: &WriteReply) {
    if reply.replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
}

/// The response that shows a list, with its weak tag; `next` is the path of the next page.
pub(crate) fn listed(seq: Seq, body: BoxBody, next: Option<String>) -> HttpResponse {
    let mut response = tagged(StatusCode::OK, seq, &EntityTag::weak(seq), body);
    if let Some(next) = next.and_then(|next| HeaderValue::try_from(format!("<{next}>; rel=\"next\"")).ok()) {
        response.headers_mut().insert(LINK, next);
    }
    response
}

/// A response with a JSON body and its tag.
fn tagged(status: StatusCode, seq: Seq, tag: &EntityTag, body: BoxBody) -> HttpResponse {
    let mut response = found(status, seq, body);
    response.headers_mut().insert(ETAG, tag.value());
    response
}

/// A response with a JSON body.
pub(crate) fn found(status: StatusCode, seq: Seq, body: BoxBody) -> HttpResponse {
    let mut response = HttpResponse::with_body(status, body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(SEQ, HeaderValue::from(seq.get()));
    response
}

/// A response without a body.
fn nothing(status: StatusCode, seq: Seq) -> HttpResponse {
    let mut response = HttpResponse::new(status);
    response.headers_mut().insert(SEQ, HeaderValue::from(seq.get()));
    response
}

/// 304, if `If-None-Match` says that the client's copy is current.
pub(crate) fn unmodified(request: &HttpRequest, tag: &EntityTag, seq: Seq) -> Option<HttpResponse> {
    tag.is_named_in(request.headers()).then(|| {
        let mut response = nothing(StatusCode::NOT_MODIFIED, seq);
        response.headers_mut().insert(ETAG, tag.value());
        response
    })
}
