//! Server-sent events: a user's changes as they happen.
//!
//! A stream is pulled: the next chunk is made from the newest snapshot when the connection can take it, so
//! that nothing queues up for a slow reader. The connection of a client that reads nothing is closed
//! ([`send_timeout`](crate::http::connection::send_timeout)).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap};
use actix_web::web::Bytes;
use futures_util::stream::unfold;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use utoipa::{IntoParams, ToSchema};

use super::changes::write_event;
use super::tasks::HandlerResult;
use crate::domain::{GivenRevision, Revision, Seq};
use crate::error::Error;
use crate::http::api::Api;
use crate::http::error::refusals::{ConditionFailed, Refused};
use crate::http::error::{ApiError, ErrorBody, set_revision};
use crate::http::event_tickets::{LIFETIME, now};
use crate::http::header_names::LAST_EVENT_ID;
use crate::http::request::conditional::REVISION;
use crate::http::request::{Caller, Conditional, Parameters, UserPath};
use crate::http::response::task::found;
use crate::lane::{Snapshot, Subscription};

/// Changes in one chunk, at most …
const CHUNK: usize = 100;

/// … and bytes of their tasks, about: so much each stream keeps for a client that does not read.
const CHUNK_BYTES: usize = 16 << 10;

/// After so long without a change, a comment is sent.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Milliseconds after which a client reconnects when its stream has ended.
const RETRY: u32 = 2000;

/// How long a stream lasts, at most. A client that reconnects has its token checked again.
const MAX_DURATION: Duration = Duration::from_hours(24);

/// Where an event stream continues.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct EventsQuery {
    /// The seq of the list or of the event read last, best with its lineage, as `<seq>-<lineage>`; by default, only
    /// new changes are sent
    #[param(required = false, example = "7-mZq3nT0pXw4e")]
    since: Option<GivenRevision>,
}

/// Where an event stream continues after a reconnect.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct LastEventId {
    /// The `id` of the last event; it takes precedence over `since`
    #[param(rename = "Last-Event-ID", required = false)]
    last_event_id: Option<GivenRevision>,
}

/// Follow the changes
///
/// Server-sent events. The first one is `hello`, with the seq from which the stream continues: that of
/// `Last-Event-ID` or `since`; without either, the newest. A client that has read a list at seq 7 asks for
/// `since=7-<lineage>` and misses nothing. Each `change` has `<seq>-<lineage>` as its `id`, and one element of
/// `/changes` as its data. `resync` means that the changes before its `id` are no longer known, or that they
/// were given out for other tasks than those stored now: read the whole list; the stream continues from there.
/// A comment is sent after 15 seconds without an event. The stream ends when
/// the token expires, at a restart, and for a client that does not read. A client with a token in its header
/// reconnects with the `id` of the last event. `EventSource` cannot: it repeats its URL, whose ticket is used,
/// and gets a 401. Its page asks for a new ticket, and opens a new stream with `since`.
#[utoipa::path(
    get, path = "", tag = "sync", params(UserPath, EventsQuery, LastEventId, Conditional),
    security(("bearer" = []), ("ticket" = [])),
    responses(
        (status = 200, description = "The stream", content_type = "text/event-stream", body = String,
            example = json!("retry: 2000\nevent: hello\nid: 7-mZq3nT0pXw4e\ndata: {\"seq\":7,\"lineage\":\"mZq3nT0pXw4e\"}\n\nevent: change\nid: 8-mZq3nT0pXw4e\ndata: {\"seq\":8,\"id\":\"01958f3a-6c5e-7d2a-9b1f-3e4d5c6b7a89\",\"deleted\":true}\n\n: still here\n\n")),
        (status = 304, description = "`If-None-Match: *`: there is a stream"),
        (status = 422, description = "`since` or `Last-Event-ID` is not a seq", body = ErrorBody),
        ConditionFailed, Refused,
    )
)]
pub(crate) async fn get_events(caller: Caller) -> HandlerResult {
    let request = caller.request();
    let since = since(request.headers(), request.query_string())?;
    let stop = Api::of(request).stopping.subscribe();
    let subscription = caller.follow().await?;
    let ended = || Error::Overloaded("the user's lane has just left memory");
    let snapshot = subscription.snapshot().ok_or_else(ended)?;
    caller.make_feed(&snapshot).await?;
    let at = snapshot.revision();
    let start = match since {
        None => Start::At(at.seq),
        Some((since, _)) if since.is_of(at.lineage) => Start::At(since.seq),
        Some((_, given)) => Start::Anew(given),
    };
    let end = Instant::now() + caller.session().left().min(MAX_DURATION);
    let timeline = snapshot.timeline();
    let feed = Feed { subscription, timeline, sent: at.seq, start: Some(start), end, stop };
    let stream = unfold(feed, |mut feed| async move {
        let chunk = feed.next().await?;
        Some((Ok::<_, Infallible>(chunk), feed))
    });
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, "text/event-stream"));
    // Proxies pass on each event at once, and do not compress, for which they would collect events.
    response
        .insert_header(("x-accel-buffering", "no"))
        .insert_header((CACHE_CONTROL, "no-store, no-transform"));
    let mut response = response.streaming(stream);
    set_revision(response.headers_mut(), at);
    Ok(response)
}

/// The seq from which the stream continues, if the request says so, also as it is given. A client that reconnects may
/// repeat its URL, so the header takes precedence.
pub(crate) fn since(headers: &HeaderMap, query: &str) -> Result<Option<(GivenRevision, String)>, ApiError> {
    let last = headers.get(LAST_EVENT_ID).filter(|last| !last.is_empty());
    if let Some(last) = last {
        let last = last.to_str().ok().and_then(given_revision);
        return last.map(Some).ok_or_else(|| ApiError::wrong("Last-Event-ID", REVISION));
    }
    let mut given = Parameters::new(query);
    let since = given.read("since", REVISION, given_revision);
    given.check()?;
    Ok(since)
}

fn given_revision(text: &str) -> Option<(GivenRevision, String)> {
    GivenRevision::parse(text).map(|given| (given, text.to_owned()))
}

/// Where a stream begins.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Start {
    /// After this seq.
    At(Seq),
    /// With `resync`: what the client knows, up to this, is of another lineage.
    Anew(String),
}

/// What a stream is made from.
struct Feed {
    subscription: Subscription,
    /// The timeline of `sent`.
    timeline: u32,
    /// The seq up to which all changes were sent.
    sent: Seq,
    /// Until the first chunk.
    start: Option<Start>,
    end: Instant,
    stop: watch::Receiver<bool>,
}

impl Feed {
    /// The next chunk; `None` when the stream ends.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let mut chunk = Vec::new();
            match self.start.take() {
                Some(start) => self.open(start, &mut chunk)?,
                None => self.write_changes(&mut chunk)?,
            }
            if !chunk.is_empty() {
                return Some(chunk.into());
            }
            tokio::select! {
                // In this order, so that a busy stream ends, too.
                biased;
                _ = self.stop.wait_for(|stopping| *stopping) => return None,
                () = sleep_until(self.end) => return None,
                more = self.subscription.changed() => if !more { return None },
                () = sleep(HEARTBEAT) => return Some(Bytes::from_static(b": still here\n\n")),
            }
        }
    }

    /// Writes the first events; `None` when the stream ends.
    fn open(&mut self, start: Start, chunk: &mut Vec<u8>) -> Option<()> {
        let snapshot: Arc<Snapshot> = self.subscription.snapshot()?;
        let now = snapshot.revision();
        chunk.extend_from_slice(format!("retry: {RETRY}\nevent: hello\n").as_bytes());
        match start {
            Start::At(since) => {
                self.sent = since;
                let at = Revision { seq: since, ..now };
                chunk.extend_from_slice(format!("id: {at}\n").as_bytes());
                write_data(chunk, at);
                self.write_changes(chunk)
            }
            // A client that gets no more than this comes back with the same id, and not as one that knows this lineage.
            Start::Anew(given) => {
                chunk.extend_from_slice(format!("id: {given}\n").as_bytes());
                write_data(chunk, now);
                self.resync(&snapshot, chunk);
                Some(())
            }
        }
    }

    /// Writes that the whole list has to be read again.
    fn resync(&mut self, snapshot: &Snapshot, chunk: &mut Vec<u8>) {
        (self.timeline, self.sent) = (snapshot.timeline(), snapshot.seq());
        let at = snapshot.revision();
        chunk.extend_from_slice(format!("event: resync\nid: {at}\n").as_bytes());
        write_data(chunk, at);
    }

    /// Writes the changes since the last chunk; `None` when the stream ends.
    fn write_changes(&mut self, chunk: &mut Vec<u8>) -> Option<()> {
        let snapshot: Arc<Snapshot> = self.subscription.snapshot()?;
        let went_back = snapshot.timeline() != self.timeline;
        if snapshot.seq() == self.sent && !went_back {
            return Some(());
        }
        let changes = if went_back { None } else { snapshot.changes(self.sent, CHUNK, CHUNK_BYTES) };
        let Some(changes) = changes else {
            self.resync(&snapshot, chunk);
            return Some(());
        };
        let lineage = snapshot.lineage();
        for (seq, event) in &changes.events {
            chunk.extend_from_slice(format!("event: change\nid: {seq}-{lineage}\ndata: ").as_bytes());
            // In JSON line breaks are escaped: it is one line.
            write_event(chunk, *seq, event);
            chunk.extend_from_slice(b"\n\n");
        }
        self.sent = changes.seq;
        Some(())
    }
}

/// Writes an event's data and its end.
fn write_data(chunk: &mut Vec<u8>, Revision { seq, lineage }: Revision) {
    let data = format!("data: {{\"seq\":{seq},\"lineage\":\"{lineage}\"}}\n\n");
    chunk.extend_from_slice(data.as_bytes());
}

/// A ticket for the event stream.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"ticket": "uZ0e4nJ8m1tqkqk9Yb1b2AAAAYvP5Wg4AAAAAGtJ0gBhbGljZX1mK0m0uQ9mS1b7w7m6C2l8v0G3Nf5yqkqk9Yb1b2E", "expires_in": 30}))]
pub(crate) struct TicketAnswer {
    ticket: String,
    /// Seconds.
    #[schema(minimum = 1)]
    expires_in: u64,
}

/// Get a ticket for the event stream
///
/// `EventSource` cannot send an `Authorization` header, but it can open `/events?ticket=…`. A ticket is good
/// for 30 seconds, for this user, once in each process of the service: when a stream has ended, ask for another
/// one. The stream ends when the token of this request expires.
#[utoipa::path(
    post, path = "", tag = "sync", params(UserPath, Conditional),
    responses((status = 201, description = "The ticket", body = TicketAnswer), ConditionFailed, Refused)
)]
pub(crate) async fn create_ticket(caller: Caller) -> HandlerResult {
    let at = caller.snapshot().await?.revision();
    caller.check_untagged()?;
    let ticket = Api::of(caller.request()).tickets.issue(caller.session(), now())?;
    let ticket = TicketAnswer { ticket, expires_in: LIFETIME.as_secs() };
    let body = serde_json::to_vec(&ticket).expect("a string and a number are always valid JSON");
    Ok(found(StatusCode::CREATED, at, BoxBody::new(body)))
}
