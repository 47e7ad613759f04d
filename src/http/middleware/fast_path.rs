//! The most frequent reads, answered before routing: the whole list, or one task, of a caller whose token is
//! cached and whose tasks are in memory.
//!
//! Only requests in their simplest form are answered here, by the functions of the handlers; all others are
//! routed. So nothing but speed depends on it.

use std::future::{Ready, ready};
use std::rc::Rc;
use std::sync::Arc;

use actix_web::body::BoxBody;
use actix_web::dev::{Extensions, Service, ServiceRequest, ServiceResponse, forward_ready};
use actix_web::http::Method;
use actix_web::{Error, HttpResponse};
use futures_util::future::Either;

use super::implied_user;
use crate::domain::{Seq, TaskId};
use crate::http::api::Api;
use crate::http::error::ApiError;
use crate::http::handlers::tasks::{one_task, whole_list};
use crate::http::header_names::MIN_SEQ;
use crate::http::request::caller::{Caller, bearer};
use crate::http::routes;

/// The service of the routes, and what answers before them.
pub(crate) struct FastPath<S> {
    inner: S,
    /// None where nothing is answered before the routes.
    api: Option<Arc<Api>>,
    list: Rc<Extensions>,
    task: Rc<Extensions>,
    /// The names of the routes under a user.
    under_user: &'static [&'static str],
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
        implied_user::complete(&mut request, self.under_user);
        let Some((target, result)) = self.answer(&request) else {
            return Either::Right(self.inner.call(request));
        };
        request.add_data_container(Rc::clone(match target {
            Target::List => &self.list,
            Target::Task(_) => &self.task,
        }));
        Either::Left(ready(Ok(match result {
            Ok(response) => request.into_response(response),
            Err(error) => request.error_response(error),
        })))
    }
}

impl<S> FastPath<S> {
    /// Wraps the service of the routes. Without an API it passes on every request.
    pub(crate) fn new(inner: S, api: Option<Arc<Api>>) -> Self {
        // The app data of a resource.
        let data = |pattern| {
            let mut data = Extensions::new();
            data.insert(routes::find(pattern));
            Rc::new(data)
        };
        let (list, task) = (data("/api/{user_id}/tasks"), data("/api/{user_id}/tasks/{id}"));
        Self { inner, api, list, task, under_user: &routes::UNDER_USER }
    }

    /// What is read, and the result, if all that is needed is in memory.
    fn answer(&self, request: &ServiceRequest) -> Option<(Target, Result<HttpResponse, ApiError>)> {
        let api = self.api.as_ref()?;
        let uri = request.uri();
        if request.method() != Method::GET || uri.query().is_some() || request.headers().contains_key(MIN_SEQ)
        {
            return None;
        }
        let target = Target::of(uri.path())?;
        let session = api.verifier.cached(bearer(request.headers()).ok()?)?;
        let snapshot = api.registry.fresh(session.identity(), Seq::ZERO)?;
        let caller = Caller::new(session, request.request());
        let result = caller.and_then(|caller| match target {
            Target::List => whole_list(&caller, &snapshot),
            Target::Task(id) => one_task(&caller, &snapshot, id),
        });
        Some((target, result))
    }
}

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    List,
    Task(TaskId),
}

impl Target {
    /// Reads a path in its simplest form.
    fn of(path: &str) -> Option<Self> {
        let path = path.strip_prefix("/api/")?;
        // An empty user segment matches no route.
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
    fn only_lists_and_tasks_in_their_simplest_form_are_accepted() {
        let id = "018f0000-0000-7000-8000-000000000001";
        assert_eq!(Target::of("/api/ann/tasks"), Some(Target::List));
        assert_eq!(Target::of(&format!("/api/ann/tasks/{id}")), TaskId::parse(id).map(Target::Task));
        for path in [
            "/api/ann/tasks/",
            "/api/tasks",
            "/api//tasks",
            "/api/ann/tasksome",
            "/api/ann/summary",
            "/api/a/b/tasks",
            "/x/ann/tasks",
        ] {
            assert_eq!(Target::of(path), None, "{path}");
        }
        for rest in ["x", &format!("{id}/"), &format!("{id}/complete"), &format!("/{id}")] {
            assert_eq!(Target::of(&format!("/api/ann/tasks/{rest}")), None, "{rest}");
        }
    }
}
