//! The conditions of reads whose answers have no tag. Seen to here, they hold for every route, whether or not its
//! handler knows of them.

use actix_web::ResponseError;
use actix_web::dev::ServiceResponse;
use actix_web::http::header::ETAG;
use actix_web::http::{Method, StatusCode};

use crate::http::error::ApiError;
use crate::http::request::conditional::{ReadCondition, read_condition};

/// Makes a response 304, or 412, whose error is returned, if the request's conditions say so.
pub(super) fn check_condition<B>(method: &Method, response: &mut ServiceResponse<B>) -> Option<ApiError> {
    let is_read = *method == Method::GET || *method == Method::HEAD;
    if !is_read || response.headers().contains_key(ETAG) || !response.status().is_success() {
        return None;
    }
    let (status, error) = match read_condition(response.request().headers(), None) {
        ReadCondition::Holds => return None,
        ReadCondition::Unmodified => (StatusCode::NOT_MODIFIED, None),
        ReadCondition::Failed => {
            let error = ApiError::condition_failed(None);
            (error.status_code(), Some(error))
        }
    };
    *response.response_mut().status_mut() = status;
    error
}
