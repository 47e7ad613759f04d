//! A client that acts for one user.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::answer::try_send;
use super::{Answer, Server, send};

/// All but the characters that need no escape in a path (RFC 3986, unreserved).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A user with a token, on one server.
#[derive(Clone)]
pub struct User {
    /// The token's subject.
    pub subject: String,
    /// The token.
    pub token: String,
    base: String,
    http: reqwest::Client,
}

impl User {
    /// A user of `server`; the token may name another subject.
    pub fn new(server: &Server, subject: &str, token: String) -> Self {
        let base = format!("{}/api/{}", server.origin(), utf8_percent_encode(subject, ESCAPED));
        Self { subject: subject.to_owned(), token, base, http: server.http() }
    }

    /// A request to a path below `/api/{user_id}`, with the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token)
    }

    /// Any call; a body is sent as JSON.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.try_call(method, path, body).await.expect("no answer")
    }

    /// Any call, where the server may be stopping.
    pub async fn try_call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<Answer> {
        let request = self.request(method, path);
        try_send(match body {
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    /// POST to `/tasks`.
    pub async fn post(&self, body: &Value) -> Answer {
        send(self.request(Method::POST, "/tasks").json(body)).await
    }

    /// PUT of a task.
    pub async fn put(&self, id: &str, body: &Value) -> Answer {
        send(self.request(Method::PUT, &format!("/tasks/{id}")).json(body)).await
    }

    /// PATCH of a task.
    pub async fn patch(&self, id: &str, body: &Value) -> Answer {
        send(self.request(Method::PATCH, &format!("/tasks/{id}")).json(body)).await
    }

    /// Completes or reopens a task; without a value it flips.
    pub async fn complete(&self, id: &str, completed: Option<bool>) -> Answer {
        let request = self.request(Method::PATCH, &format!("/tasks/{id}/complete"));
        send(match completed {
            Some(completed) => request.json(&json!({"completed": completed})),
            None => request,
        })
        .await
    }

    /// DELETE of a task.
    pub async fn delete(&self, id: &str) -> Answer {
        send(self.request(Method::DELETE, &format!("/tasks/{id}"))).await
    }

    /// DELETE of all the user's data, confirmed.
    pub async fn erase(&self) -> Answer {
        send(self.request(Method::DELETE, "").header("x-confirm-delete", &self.subject)).await
    }

    /// Reads one task.
    pub async fn task(&self, id: &str) -> Answer {
        self.get(&format!("/tasks/{id}")).await
    }

    /// Creates a task, which must succeed.
    pub async fn create(&self, title: &str) -> Value {
        self.post(&json!({"title": title})).await.expect(201).json()
    }

    /// The whole list, which is checked to be consistent.
    pub async fn list(&self) -> Vec<Value> {
        let list = self.get("/tasks").await.expect(200).json();
        let tasks = list["tasks"].as_array().unwrap().clone();
        assert_eq!(list["count"], tasks.len());
        tasks
    }

    /// The user's seq.
    pub async fn seq(&self) -> i64 {
        self.get("/tasks").await.expect(200).seq()
    }
}

/// A task's id.
#[track_caller]
pub fn id(task: &Value) -> &str {
    task["id"].as_str().unwrap_or_else(|| panic!("no id: {task}"))
}
