//! The responses that operations share: a task, a list, the result of a write, 304.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, ETAG, HeaderValue, LINK, LOCATION};
use actix_web::{HttpResponse, body::BoxBody};

use crate::domain::Revision;
use crate::http::api::Api;
use crate::http::error::{ApiError, Details, TaskJson, set_revision};
use crate::http::header_names::{JSON, REPLAYED};
use crate::http::request::conditional::{ReadCondition, read_condition};
use crate::http::request::{Caller, EntityTag};
use crate::lane::{Effect, ShownTask, TaskEntry, WriteReply};

impl Caller {
    /// The response that shows a task, or 304.
    ///
    /// # Errors
    /// 412 if the request's condition does not hold.
    pub(crate) fn task(&self, entry: &TaskEntry, at: Revision) -> Result<HttpResponse, ApiError> {
        let tag = EntityTag::strong(Revision { seq: entry.task.version, ..at });
        let condition = self.condition(&tag, at);
        let unmodified =
            condition.map_err(|error| error.with(Details::Task(TaskJson(entry.json.clone()))))?;
        Ok(unmodified.unwrap_or_else(|| tagged(StatusCode::OK, at, &tag, BoxBody::new(entry.json.clone()))))
    }

    /// 304, if `If-None-Match` says that the client's copy of what has this tag is current. (The conditions of reads
    /// without a tag are the middleware `request_log`'s.)
    ///
    /// # Errors
    /// 412 if the condition of `If-Match` does not hold.
    pub(crate) fn condition(&self, tag: &EntityTag, at: Revision) -> Result<Option<HttpResponse>, ApiError> {
        match read_condition(self.request().headers(), Some(tag)) {
            ReadCondition::Holds => Ok(None),
            ReadCondition::Failed => Err(ApiError::condition_failed(Some(at))),
            ReadCondition::Unmodified => {
                let mut response = nothing(StatusCode::NOT_MODIFIED, at);
                response.headers_mut().insert(ETAG, tag.value());
                Ok(Some(response))
            }
        }
    }

    /// The response to a write of one operation.
    ///
    /// # Errors
    /// 404 for the replay of a write whose record left out a long task that is gone since.
    pub(crate) fn written(&self, reply: &WriteReply) -> Result<HttpResponse, ApiError> {
        let effect = reply.effects.first();
        let mut response = match effect.and_then(Effect::task) {
            Some(ShownTask { json: None, .. }) => return Err(ApiError::task_gone_since(reply.at())),
            Some(ShownTask { version, json: Some(json), .. }) => {
                let created = matches!(effect, Some(Effect::Created(_)));
                let status = if created { StatusCode::CREATED } else { StatusCode::OK };
                let tag = EntityTag::strong(Revision { seq: *version, ..reply.at() });
                tagged(status, reply.at(), &tag, BoxBody::new(json.clone()))
            }
            None => nothing(StatusCode::NO_CONTENT, reply.at()),
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
    let mut response = found(StatusCode::OK, reply.at(), body);
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
pub(crate) fn listed(at: Revision, body: BoxBody, next: Option<String>) -> HttpResponse {
    let mut response = tagged(StatusCode::OK, at, &EntityTag::weak(at), body);
    if let Some(next) = next.and_then(|next| HeaderValue::try_from(format!("<{next}>; rel=\"next\"")).ok()) {
        response.headers_mut().insert(LINK, next);
    }
    response
}

/// A response with a JSON body and its tag.
fn tagged(status: StatusCode, at: Revision, tag: &EntityTag, body: BoxBody) -> HttpResponse {
    let mut response = found(status, at, body);
    response.headers_mut().insert(ETAG, tag.value());
    response
}

/// A response with a JSON body.
pub(crate) fn found(status: StatusCode, at: Revision, body: BoxBody) -> HttpResponse {
    let mut response = HttpResponse::with_body(status, body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    set_revision(headers, at);
    response
}

/// A response without a body.
fn nothing(status: StatusCode, at: Revision) -> HttpResponse {
    let mut response = HttpResponse::new(status);
    set_revision(response.headers_mut(), at);
    response
}
