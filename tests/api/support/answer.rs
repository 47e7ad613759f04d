//! An answer, read whole, and the checks every test makes of one.

use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::RequestBuilder;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// An answer, read whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// Sends a request and reads its answer.
#[track_caller]
pub fn send(request: RequestBuilder) -> impl Future<Output = Answer> {
    let caller = std::panic::Location::caller();
    async move { try_send(request).await.unwrap_or_else(|error| panic!("no answer at {caller}: {error:?}")) }
}

/// Sends a request and reads its answer, or says why there is none.
pub async fn try_send(request: RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Answer { status, headers, body: response.bytes().await?.to_vec() })
}

impl Answer {
    /// Checks the status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "the answer: {}", self.text());
        self
    }

    /// The answer without the parts that differ between any two answers.
    pub fn comparable(&self) -> (u16, String, Vec<(String, String)>) {
        let headers =
            self.headers.iter().filter(|(name, _)| !matches!(name.as_str(), "date" | "server-timing"));
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        let mut headers: Vec<_> = headers.collect();
        headers.sort();
        (self.status, self.text(), headers)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert!(self.header("content-type").is_some_and(|kind| kind.contains("json")), "not JSON: {self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// A header, if it occurs once and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    }

    /// `X-Tasklane-Seq`.
    #[track_caller]
    pub fn seq(&self) -> i64 {
        let seq = self.header("x-tasklane-seq").unwrap_or_else(|| panic!("no X-Tasklane-Seq: {self:?}"));
        seq.parse().unwrap()
    }

    /// `X-Tasklane-Lineage`.
    #[track_caller]
    pub fn lineage(&self) -> &str {
        self.header("x-tasklane-lineage").unwrap_or_else(|| panic!("no X-Tasklane-Lineage: {self:?}"))
    }

    /// The tag of a task in this version, if it is the answer's user's.
    #[track_caller]
    pub fn tag(&self, version: i64) -> String {
        format!("\"{version}-{}\"", self.lineage())
    }

    /// The tag of everything else at this seq.
    #[track_caller]
    pub fn list_tag(&self, seq: i64) -> String {
        format!("W/{}", self.tag(seq))
    }

    /// The `code` of an error.
    #[track_caller]
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_else(|| panic!("no code: {}", self.text())).to_owned()
    }

    /// The names of the fields an error complains about, in alphabetical order.
    #[track_caller]
    pub fn bad_fields(&self) -> Vec<String> {
        let error = self.json();
        let details = error["error"]["details"].as_array().unwrap_or_else(|| panic!("no list: {error}"));
        let mut fields: Vec<_> = details
            .iter()
            .map(|detail| {
                assert!(
                    detail["message"].as_str().is_some_and(|text| !text.is_empty()),
                    "no message: {error}"
                );
                detail["field"].as_str().unwrap_or_else(|| panic!("no field: {error}")).to_owned()
            })
            .collect();
        fields.sort();
        fields
    }

    /// Checks everything that the contract fixes of an error, and returns it.
    #[track_caller]
    pub fn expect_error(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code().as_str()), (status, code), "the answer: {}", self.text());
        let error = self.json();
        assert_eq!(keys(&error), ["detail", "error", "message", "request_id", "status", "title", "type"]);
        assert_eq!(keys(&error["error"]), ["code", "details", "message"]);
        assert_eq!(error["type"], "about:blank");
        assert_eq!(error["status"], status);
        assert_eq!(error["detail"], error["error"]["message"]);
        assert_eq!(error["message"], error["error"]["message"]);
        for text in [&error["detail"], &error["title"], &error["request_id"]] {
            assert!(text.as_str().is_some_and(|text| !text.is_empty()), "an empty text: {error}");
        }
        assert_eq!(error["request_id"].as_str(), self.header("x-request-id"), "the answer: {self:?}");
        match code {
            "VALIDATION_ERROR" => assert!(!self.bad_fields().is_empty(), "no field is named: {error}"),
            "NOT_FOUND" | "UNAUTHORIZED" => assert!(error["error"]["details"].is_null(), "details: {error}"),
            _ => {}
        }
        if status == 401 {
            assert!(
                self.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")),
                "{self:?}"
            );
        }
        if matches!(status, 429 | 503) {
            let seconds = self.header("retry-after").unwrap_or_else(|| panic!("no Retry-After: {self:?}"));
            assert!(seconds.parse::<u32>().is_ok(), "Retry-After: {seconds}");
        }
        self
    }

    /// Checks an error and its message.
    #[track_caller]
    pub fn expect_message(self, status: u16, code: &str, message: &str) -> Self {
        let answer = self.expect_error(status, code);
        assert_eq!(answer.json()["detail"], message);
        answer
    }

    /// Checks the answer to a missing task, which another user's task gets, too.
    #[track_caller]
    pub fn expect_no_task(self) -> Self {
        self.expect_message(404, "NOT_FOUND", "Task not found")
    }
}

/// An object's keys in alphabetical order.
#[track_caller]
pub fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = object
        .as_object()
        .unwrap_or_else(|| panic!("no object: {object}"))
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

/// Reads an instant, which must have the contract's one form: microseconds and `Z`.
#[track_caller]
pub fn timestamp(value: &Value) -> DateTime<Utc> {
    let text = value.as_str().unwrap_or_else(|| panic!("no timestamp: {value}"));
    let instant =
        DateTime::parse_from_rfc3339(text).unwrap_or_else(|error| panic!("{error}: {text}")).to_utc();
    assert_eq!(instant.to_rfc3339_opts(SecondsFormat::Micros, true), text);
    instant
}
