//! The usual reads, answered before a route is looked for: the whole list, or one task, of a caller whose
//! token is remembered and whose tasks are in memory.
//!
//! It takes none but the plainest requests, and answers them by the handlers' own functions; every other
//! request goes by way of the routes. So nothing but time depends on it.

use std::future::{Ready, ready};
use std::rc::Rc;
use std::sync::Arc;

use actix_web::body::BoxBody;
use actix_web::dev::{Extensions, Service, ServiceRequest, ServiceResponse, forward_ready};
use actix_web::http::Method;
use actix_web::{Error, HttpResponse};
use futures_util::future::Either;

use crate::domain::{Seq, TaskId};
use crate::http::api::Api;
use crate::http::error::ApiError;
use crate::http::handlers::tasks::{one_task, whole_list};
use crate::http::header_names::MIN_SEQ;
use crate::http::request::caller::{Caller, bearer};
use crate::http::routes;

/// The routes, and what is answered before them.
pub(crate) struct FastPath<S> {
    inner: S,
    api: Arc<Api>,
    list: Rc<Extensions>,
    task: Rc<Extensions>,
}

impl<S> Service<ServiceRequest> for FastPath<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error>,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Future = Either<Ready<Result<Self::Response, Error>>, S::Future>;

    forward_ready!(inner);

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let Some((what, answer)) = self.answer(&request) else {
            return Either::Right(self.inner.call(request));
        };
        request.add_data_container(Rc::clone(match what {
            What::List => &self.list,
            What::Task(_) => &self.task,
        }));
        Either::Left(ready(Ok(match answer {
            Ok(response) => request.into_response(response),
            Err(error) => request.error_response(error),
        })))
    }
}

impl<S> FastPath<S> {
    /// In front of these routes.
    pub(crate) fn new(inner: S, api: Arc<Api>) -> Self {
        // What a resource has as its app data.
        let data = |pattern| {
            let mut data = Extensions::new();
            data.insert(routes::find(pattern));
            Rc::new(data)
        };
        let (list, task) = (data("/api/{user_id}/tasks"), data("/api/{user_id}/tasks/{id}"));
        Self { inner, api, list, task }
    }

    /// The answer, if it is to be had at once.
    fn answer(&self, request: &ServiceRequest) -> Option<(What, Result<HttpResponse, ApiError>)> {
        let uri = request.uri();
        if request.method() != Method::GET || uri.query().is_some() || request.headers().contains_key(MIN_SEQ)
        {
            return None;
        }
        let what = What::of(uri.path())?;
        let session = self.api.verifier.cached(bearer(request.headers()).ok()?)?;
        let snapshot = self.api.registry.fresh(session.identity(), Seq::ZERO)?;
        let caller = Caller::new(session, request.request());
        let answer = caller.and_then(|caller| match what {
            What::List => Ok(whole_list(caller.request(), &snapshot)),
            What::Task(id) => one_task(&caller, &snapshot, id),
        });
        Some((what, answer))
    }
}

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    List,
    Task(TaskId),
}

impl What {
    /// By a path in its plainest form.
    fn of(path: &str) -> Option<Self> {
        let path = path.strip_prefix("/api/")?;
        // No user is no route's.
        let slash = path.bytes().position(|byte| byte == b'/').filter(|end| *end > 0)?;
        match path[slash + 1..].strip_prefix("tasks")? {
            "" => Some(Self::List),
            id => TaskId::parse(id.strip_prefix('/')?).map(Self::Task),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lists_and_tasks_in_their_plainest_form_are_taken() {
        let id = "018f0000-0000-7000-8000-000000000001";
        assert_eq!(What::of("/api/ann/tasks"), Some(What::List));
        assert_eq!(What::of(&format!("/api/ann/tasks/{id}")), TaskId::parse(id).map(What::Task));
        for path in [
            "/api/ann/tasks/",
            "/api/tasks",
            "/api//tasks",
            "/api/ann/tasksome",
            "/api/ann/summary",
            "/api/a/b/tasks",
            "/x/ann/tasks",
        ] {
            assert_eq!(What::of(path), None, "{path}");
        }
        for rest in ["x", &format!("{id}/"), &format!("{id}/complete"), &format!("/{id}")] {
            assert_eq!(What::of(&format!("/api/ann/tasks/{rest}")), None, "{rest}");
        }
    }
}
