//! Server-sent events: a user's changes as they happen.
//!
//! A stream is pulled: the next chunk is made from the newest snapshot when the connection can take it,
//! so nothing queues up behind a slow reader but what the snapshot holds anyway. A reader that takes
//! nothing at all is cut by the connection's time-out ([`run`](crate::http::run)).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use actix_web::web::Bytes;
use futures_util::stream::unfold;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use utoipa::{IntoParams, ToSchema};

use super::changes::write_event;
use super::tasks::HandlerResult;
use crate::domain::Seq;
use crate::http::api::Api;
use crate::http::error::refusals::Refused;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::event_tickets::LIFETIME;
use crate::http::header_names::{LAST_EVENT_ID, SEQ};
use crate::http::request::caller::Caller;
use crate::http::request::list_query::seq;
use crate::http::request::path::UserPath;
use crate::http::request::query::Parameters;
use crate::http::response::task::found;
use crate::lane::{Snapshot, Subscription};

/// Changes of one chunk at most.
const CHUNK: usize = 100;

/// How long a stream is silent at most.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Milliseconds after which a client whose stream has ended is to come back.
const RETRY: u32 = 2000;

/// How long a stream lasts at most: what tells a client that comes back that its token is still good.
const LONGEST: Duration = Duration::from_hours(24);

/// Where an event stream goes on from.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct EventsQuery {
    /// The seq of the list, or of the event, read last. Without it: from now on
    #[param(minimum = 0, required = false, example = 7)]
    since: Option<i64>,
}

/// Where an event stream goes on from, as `EventSource` says it.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct LastEventId {
    /// The `id` of the last event, which `EventSource` sends when it comes back; it wins over `since`
    #[param(rename = "Last-Event-ID", minimum = 0, required = false)]
    last_event_id: Option<i64>,
}

/// Follow the changes
///
/// Server-sent events. The first one is `hello`, whose `id` is the seq the stream goes on from: with
/// `Last-Event-ID` or `since`, that seq; without either, the newest. A client that has read a list at seq
/// 7 asks for `since=7` and misses nothing. Each `change` has the seq as its `id` and the form of one of
/// `/changes` as its data. `resync` means that what changed before its `id` cannot be told: read the whole
/// list; the stream goes on from there. A comment comes every 15 seconds. The stream ends with the token,
/// at a restart, and for a client that does not read; `EventSource` comes back by itself.
#[utoipa::path(
    get, path = "", tag = "sync", params(UserPath, EventsQuery, LastEventId),
    security(("bearer" = []), ("ticket" = [])),
    responses(
        (status = 200, description = "The stream", content_type = "text/event-stream", body = String,
            headers(("X-Tasklane-Seq" = i64, description = "The newest seq")),
            example = json!("retry: 2000\nevent: hello\nid: 7\ndata: {\"seq\":7}\n\nevent: change\nid: 8\ndata: {\"seq\":8,\"id\":\"01958f3a-6c5e-7d2a-9b1f-3e4d5c6b7a89\",\"deleted\":true}\n\n: still here\n\n")),
        (status = 422, description = "`since` or `Last-Event-ID` is no seq", body = ErrorBody),
        Refused,
    )
)]
pub(crate) async fn get_events(caller: Caller) -> HandlerResult {
    let request = caller.request();
    let since = since(request.headers(), request.query_string())?;
    let stop = Api::of(request).stopping.subscribe();
    let subscription = caller.follow().await?;
    let snapshot = subscription.snapshot();
    let sent = since.unwrap_or(snapshot.seq());
    let end = Instant::now() + caller.session().left().min(LONGEST);
    let timeline = snapshot.timeline();
    let feed = Feed { subscription, timeline, sent, opened: false, end, stop };
    let stream = unfold(feed, |mut feed| async move {
        let chunk = feed.next().await?;
        Some((Ok::<_, Infallible>(chunk), feed))
    });
    let mut response = HttpResponse::build(StatusCode::OK);
    response.insert_header((CONTENT_TYPE, HeaderValue::from_static("text/event-stream")));
    response.insert_header((SEQ, snapshot.seq().get()));
    // A proxy that understands this passes each event on at once.
    response.insert_header((HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")));
    Ok(response.streaming(stream))
}

/// Where a client's knowledge ends. A reconnecting `EventSource` repeats its URL, so the header counts.
pub(crate) fn since(headers: &HeaderMap, query: &str) -> Result<Option<Seq>, ApiError> {
    let last = headers.get(LAST_EVENT_ID).filter(|last| !last.is_empty());
    if let Some(last) = last {
        let last = last.to_str().ok().and_then(seq);
        return last.map(Some).ok_or_else(|| ApiError::wrong("Last-Event-ID", "must be a seq"));
    }
    let mut given = Parameters::new(query);
    let since = given.read("since", "must be a seq", seq);
    given.check()?;
    Ok(since)
}

/// A stream in the making.
struct Feed {
    subscription: Subscription,
    /// The timeline that `sent` is of.
    timeline: u32,
    /// The seq up to which everything was sent.
    sent: Seq,
    opened: bool,
    end: Instant,
    stop: watch::Receiver<bool>,
}

impl Feed {
    /// The next chunk; `None` when the stream ends.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let mut chunk = Vec::new();
            if !self.opened {
                self.opened = true;
                chunk.extend_from_slice(format!("retry: {RETRY}\n").as_bytes());
                write_seq(&mut chunk, "hello", self.sent);
            }
            self.write_news(&mut chunk);
            if !chunk.is_empty() {
                return Some(chunk.into());
            }
            tokio::select! {
                // Before anything else, so that a busy stream ends as well.
                biased;
                _ = self.stop.wait_for(|stopping| *stopping) => return None,
                () = sleep_until(self.end) => return None,
                more = self.subscription.changed() => if !more { return None },
                () = sleep(HEARTBEAT) => return Some(Bytes::from_static(b": still here\n\n")),
            }
        }
    }

    /// Writes what has happened since the last chunk.
    fn write_news(&mut self, chunk: &mut Vec<u8>) {
        let snapshot: Arc<Snapshot> = self.subscription.snapshot();
        let went_back = snapshot.timeline() != self.timeline;
        if snapshot.seq() == self.sent && !went_back {
            return;
        }
        let changes = if went_back { None } else { snapshot.changes(self.sent, CHUNK) };
        let Some(changes) = changes else {
            (self.timeline, self.sent) = (snapshot.timeline(), snapshot.seq());
            write_seq(chunk, "resync", self.sent);
            return;
        };
        for (seq, event) in &changes.events {
            chunk.extend_from_slice(format!("event: change\nid: {seq}\ndata: ").as_bytes());
            // JSON has its line ends escaped, so it is one line.
            write_event(chunk, *seq, event);
            chunk.extend_from_slice(b"\n\n");
        }
        self.sent = changes.seq;
    }
}

/// Writes an event that tells a seq.
fn write_seq(chunk: &mut Vec<u8>, event: &str, seq: Seq) {
    chunk.extend_from_slice(format!("event: {event}\nid: {seq}\ndata: {{\"seq\":{seq}}}\n\n").as_bytes());
}

/// A pass to the event stream.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"ticket": "uZ0e4nJ8m1tqkqk9Yb1b2AAAAYvP5Wg4AAAAAGtJ0gBhbGljZX1mK0m0uQ9mS1b7w7m6C2l8v0G3Nf5yqkqk9Yb1b2E", "expires_in": 30}))]
pub(crate) struct TicketAnswer {
    ticket: String,
    /// Seconds.
    #[schema(value_type = i64, minimum = 1)]
    expires_in: u64,
}

/// Get a ticket for the event stream
///
/// `EventSource` cannot send an `Authorization` header. It can open `/events?ticket=…`: good within 30 seconds,
/// for this user, once in each process of the service. The stream still ends when the token does that this request was sent with.
#[utoipa::path(
    post, path = "", tag = "sync", params(UserPath),
    responses((status = 201, description = "The ticket", body = TicketAnswer), Refused)
)]
pub(crate) async fn create_ticket(caller: Caller) -> HandlerResult {
    let seq = caller.snapshot().await?.seq();
    let ticket = Api::of(caller.request()).tickets.issue(caller.session())?;
    let ticket = TicketAnswer { ticket, expires_in: LIFETIME.as_secs() };
    let body = serde_json::to_vec(&ticket).expect("a text and a number are always valid JSON");
    Ok(found(StatusCode::CREATED, seq, body.into()))
}
