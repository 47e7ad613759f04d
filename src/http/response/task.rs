//! The answers all operations share: a task, a list, what came of a write, an unchanged copy.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, ETAG, HeaderValue, LINK, LOCATION};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, body::BoxBody};

use crate::domain::Seq;
use crate::http::header_names::{JSON, REPLAYED, SEQ};
use crate::http::request::caller::Caller;
use crate::http::request::conditional::EntityTag;
use crate::lane::{Effect, ShownTask, TaskEntry, WriteReply};

impl Caller {
    /// A task's answer.
    pub(crate) fn task(&self, entry: &TaskEntry, seq: Seq) -> HttpResponse {
        let tag = EntityTag::strong(entry.task.version);
        unmodified(self.request(), &tag, seq).unwrap_or_else(|| {
            let mut response = found(StatusCode::OK, seq, entry.json.clone());
            response.headers_mut().insert(ETAG, tag.value());
            response
        })
    }

    /// What came of a write of one operation.
    pub(crate) fn written(&self, answer: &WriteReply) -> HttpResponse {
        let mut response = match answer.effects.first() {
            Some(Effect::Created(shown)) => {
                let mut response = shown_as(StatusCode::CREATED, shown, answer.seq);
                // In the form the client gave the path: its own user id, or `me`.
                let location = format!("{}/{}", self.request().uri().path().trim_end_matches('/'), shown.id);
                // A path that was parsed as a URI's is visible ASCII.
                let location = location.try_into().expect("a URI's path fits a header");
                response.headers_mut().insert(LOCATION, location);
                response
            }
            Some(Effect::Exists(shown) | Effect::Updated(shown)) => {
                shown_as(StatusCode::OK, shown, answer.seq)
            }
            Some(Effect::Deleted | Effect::Imported) | None => nothing(StatusCode::NO_CONTENT, answer.seq),
        };
        mark_replayed(&mut response, answer);
        response
    }
}

fn shown_as(status: StatusCode, shown: &ShownTask, seq: Seq) -> HttpResponse {
    let mut response = found(status, seq, shown.json.clone());
    response.headers_mut().insert(ETAG, EntityTag::strong(shown.version).value());
    response
}

/// Says of an answer that it is the one from then, where it is.
pub(crate) fn mark_replayed(response: &mut HttpResponse, answer: &WriteReply) {
    if answer.replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
}

/// A list's answer, by its weak tag; `next` is the path of the next page.
pub(crate) fn listed(seq: Seq, body: Bytes, next: Option<String>) -> HttpResponse {
    let mut response = found(StatusCode::OK, seq, body);
    response.headers_mut().insert(ETAG, EntityTag::weak(seq).value());
    if let Some(next) = next.and_then(|next| HeaderValue::try_from(format!("<{next}>; rel=\"next\"")).ok()) {
        response.headers_mut().insert(LINK, next);
    }
    response
}

/// An answer with a body of JSON.
pub(crate) fn found(status: StatusCode, seq: Seq, body: Bytes) -> HttpResponse {
    let mut response = HttpResponse::with_body(status, BoxBody::new(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(SEQ, HeaderValue::from(seq.get()));
    response
}

/// An answer without a body.
fn nothing(status: StatusCode, seq: Seq) -> HttpResponse {
    let mut response = HttpResponse::new(status);
    response.headers_mut().insert(SEQ, HeaderValue::from(seq.get()));
    response
}

/// The answer to a client whose copy is still good, if it is.
pub(crate) fn unmodified(request: &HttpRequest, tag: &EntityTag, seq: Seq) -> Option<HttpResponse> {
    tag.is_named_in(request.headers()).then(|| {
        let mut response = nothing(StatusCode::NOT_MODIFIED, seq);
        response.headers_mut().insert(ETAG, tag.value());
        response
    })
}
