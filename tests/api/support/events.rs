//! A reader of event streams as bytes: it can disconnect anywhere, even in the middle of an event.

use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use tokio::time::timeout;

use super::answer::Answer;
use super::client::User;
use super::command::PATIENCE;

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `hello`, `change` or `resync`.
    pub name: String,
    /// The seq of its id.
    pub id: i64,
    /// Its data, without the lineage, which is its id's.
    pub data: Value,
}

/// An open stream.
pub struct Events {
    response: Response,
    unread: Vec<u8>,
    /// Bytes to read before it disconnects.
    pub budget: usize,
    /// How many comments have arrived.
    pub comments: usize,
}

impl Events {
    /// Sends the request; the answer is an error if it is not a stream.
    pub async fn open(request: RequestBuilder) -> Result<Self, Answer> {
        let response = request.send().await.expect("no answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        if status != 200 {
            let body = response.bytes().await.expect("no body").to_vec();
            return Err(Answer { status, headers, body });
        }
        assert_eq!(headers["content-type"], "text/event-stream");
        assert!(headers.contains_key("x-tasklane-seq"), "{headers:?}");
        Ok(Self::of_response(response))
    }

    /// The stream in this answer.
    pub fn of_response(response: Response) -> Self {
        Self { response, unread: Vec::new(), budget: usize::MAX, comments: 0 }
    }

    /// Follows a user from `since`, or from now on.
    pub async fn of(user: &User, since: Option<i64>) -> Self {
        let path = since.map_or_else(|| "/events".to_owned(), |since| format!("/events?since={since}"));
        Self::open(user.request(Method::GET, &path)).await.expect("no stream")
    }

    /// The next event; `None` once the stream has ended, or the byte budget is used up.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.unread.drain(..end + 2).collect();
                match parse(std::str::from_utf8(&block).unwrap()) {
                    Some(event) => return Some(event),
                    None => self.comments += 1,
                }
                continue;
            }
            let chunk = timeout(PATIENCE / 2, self.response.chunk()).await.expect("the stream is silent");
            // A broken connection is an end like any other.
            let mut chunk = chunk.ok().flatten()?;
            chunk.truncate(self.budget);
            self.budget -= chunk.len();
            self.unread.extend_from_slice(&chunk);
            if self.budget == 0 {
                return None;
            }
        }
    }

    /// The next events, which must arrive.
    #[track_caller]
    pub fn take(&mut self, count: usize) -> impl Future<Output = Vec<Event>> {
        let caller = std::panic::Location::caller();
        async move {
            let mut events = Vec::new();
            while events.len() < count {
                let event = self.next().await;
                events.push(event.unwrap_or_else(|| panic!("at {caller} the stream ended after {events:?}")));
            }
            events
        }
    }

    /// Reads to the end, which must come, and returns the events before it.
    pub async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }

    /// Waits for a comment.
    pub async fn comment(&mut self) {
        let before = self.comments;
        let waited = timeout(PATIENCE, async {
            while self.comments == before {
                assert!(self.response_chunk().await, "the stream ended");
            }
        });
        waited.await.expect("no comment came");
    }

    /// Reads one more chunk, which must contain no event.
    async fn response_chunk(&mut self) -> bool {
        let Ok(Some(chunk)) = self.response.chunk().await else { return false };
        self.unread.extend_from_slice(&chunk);
        while let Some(end) = self.unread.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = self.unread.drain(..end + 2).collect();
            assert_eq!(parse(std::str::from_utf8(&block).unwrap()), None, "nothing has changed");
            self.comments += 1;
        }
        true
    }
}

/// Parses one block as an `EventSource` does; `None` for a comment.
fn parse(block: &str) -> Option<Event> {
    let (mut name, mut id, mut data) = (None, None, None::<Value>);
    for line in block.lines().filter(|line| !line.is_empty()) {
        let (field, value) = line.split_once(": ").unwrap_or_else(|| panic!("no field: {line}"));
        let known = match field {
            "event" => name.replace(value.to_owned()).is_none(),
            "id" => {
                id.replace(value.split_once('-').unwrap_or_else(|| panic!("no lineage: {line}"))).is_none()
            }
            "data" => data.replace(serde_json::from_str(value).unwrap()).is_none(),
            "retry" => value.parse::<u32>().is_ok(),
            "" => return None,
            _ => false,
        };
        assert!(known, "{line}");
    }
    let ((seq, lineage), mut data) = (id.unwrap(), data.unwrap());
    let told = data.as_object_mut().unwrap().remove("lineage");
    assert!(told.is_none_or(|told| told == lineage), "{block}");
    Some(Event { name: name.unwrap(), id: seq.parse().unwrap(), data })
}
