//! The feature `otlp`: what a collector receives of requests, and what it does not.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use reqwest::Method;
use serde_json::json;

use crate::support::command::run;
use crate::support::{Server, Store, on_both_stores, send, tokens};

on_both_stores!(
    a_request_is_a_span_below_its_callers_and_a_writes_queue_and_commit_are_spans_below_it,
    an_unreachable_collector_harms_no_request,
);

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// A collector on loopback: it accepts everything and keeps the bodies sent to `/v1/traces`.
struct Collector {
    address: SocketAddr,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let collector = Self { address: listener.local_addr().unwrap(), bodies: Arc::default() };
        let bodies = Arc::clone(&collector.bodies);
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let bodies = Arc::clone(&bodies);
                thread::spawn(move || take(socket, &bodies));
            }
        });
        collector
    }
}

/// Reads the requests of one connection.
fn take(socket: TcpStream, bodies: &Mutex<Vec<Vec<u8>>>) {
    let mut reader = BufReader::new(socket.try_clone().unwrap());
    let mut socket = socket;
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if reader.read_until(b'\n', &mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
        assert!(head.contains("content-type: application/x-protobuf"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        bodies.lock().unwrap().push(body);
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
        socket.write_all(answer.as_bytes()).unwrap();
    }
}

/// A field of a protobuf message (protobuf.dev, "Encoding").
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
    }
    panic!("a number of more than ten bytes");
}

/// The fields of a message, with their numbers.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let length = match tag & 7 {
            0 => {
                fields.push((tag >> 3, Field::Number(varint(&mut bytes))));
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)).unwrap(),
            5 => 4,
            kind => panic!("no field is of kind {kind}"),
        };
        let (value, rest) = bytes.split_at(length);
        fields.push((tag >> 3, Field::Bytes(value)));
        bytes = rest;
    }
    fields
}

/// The values of a repeated field.
fn all(message: &[u8], number: u64) -> Vec<&[u8]> {
    let values = fields(message).into_iter().filter_map(|(found, value)| match value {
        Field::Bytes(bytes) if found == number => Some(bytes),
        _ => None,
    });
    values.collect()
}

fn text(message: &[u8], number: u64) -> String {
    String::from_utf8(all(message, number).concat()).unwrap()
}

fn hex(message: &[u8], number: u64) -> String {
    all(message, number).concat().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn number(message: &[u8], number: u64) -> u64 {
    let found = fields(message).into_iter().find(|(found, _)| *found == number);
    match found.unwrap().1 {
        Field::Number(value) => value,
        Field::Bytes(bytes) => u64::from_le_bytes(bytes.try_into().unwrap()),
    }
}

/// Attributes, as texts: `KeyValue { key = 1, value = 2: AnyValue { string = 1, int = 3 } }`.
fn attributes(message: &[u8], place: u64) -> Vec<(String, String)> {
    let mut attributes: Vec<_> = all(message, place)
        .into_iter()
        .map(|pair| {
            let value = all(pair, 2).concat();
            let value = match fields(&value).remove(0) {
                (_, Field::Number(number)) => number.to_string(),
                (_, Field::Bytes(bytes)) => String::from_utf8(bytes.to_vec()).unwrap(),
            };
            (text(pair, 1), value)
        })
        .collect();
    attributes.sort();
    attributes
}

/// The parts of OTLP's `Span` that matter here.
#[derive(Debug)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    kind: u64,
    from: u64,
    to: u64,
    attributes: Vec<(String, String)>,
    service: Vec<(String, String)>,
}

/// The spans of an `ExportTraceServiceRequest`, opentelemetry-proto's trace/v1.
fn spans(request: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    for of_resource in all(request, 1) {
        let service = attributes(&all(of_resource, 1).concat(), 1);
        for span in all(of_resource, 2).into_iter().flat_map(|scope| all(scope, 2)) {
            spans.push(Span {
                trace: hex(span, 1),
                id: hex(span, 2),
                parent: hex(span, 4),
                name: text(span, 5),
                kind: number(span, 6),
                from: number(span, 7),
                to: number(span, 8),
                attributes: attributes(span, 9),
                service: service.clone(),
            });
        }
    }
    spans
}

fn pairs(attributes: &[(String, String)]) -> Vec<(&str, &str)> {
    attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

async fn a_request_is_a_span_below_its_callers_and_a_writes_queue_and_commit_are_spans_below_it(
    store: Store,
) {
    const SECRETS: [&str; 3] = ["a title to be kept", "an id to be kept", "a query to be kept"];
    let collector = Collector::start();
    let endpoint = format!("http://{}", collector.address);
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_SERVICE_NAME", "tasks of a test"),
        ("OTEL_TRACES_SAMPLER", "parentbased_always_on"),
        ("LOG_REQUESTS", "all"),
    ];
    let server = Server::with(&store, &settings);
    let ann = server.user("ann");
    let create = ann.request(Method::POST, "/tasks").json(&json!({"title": SECRETS[0]}));
    let create =
        create.header("traceparent", format!("00-{TRACE}-{CALLER}-01")).header("x-request-id", "of-ann");
    send(create.header("tracestate", "vendor=x")).await.expect(201);
    // A request whose caller does not record is not recorded; without a caller's trace it begins its own.
    let silent = format!("00-{}-{CALLER}-00", "e".repeat(32));
    send(ann.request(Method::GET, "/summary").header("traceparent", silent)).await.expect(200);
    let search = format!("/tasks?search={}", SECRETS[2].replace(' ', "+"));
    send(ann.request(Method::GET, &search).header("x-request-id", SECRETS[1].replace(' ', "-")))
        .await
        .expect(200);
    let line = server.log_line(&["of-ann", TRACE]);
    assert!(line.contains("trace_id"), "{line}");
    let output = Arc::clone(server.output());
    // Pending spans are sent at the end.
    server.stop();

    let bodies = collector.bodies.lock().unwrap();
    let spans: Vec<_> = bodies.iter().flat_map(|body| spans(body)).collect();
    let find = |name: &str| {
        let mut found = spans.iter().filter(|span| span.name == name);
        let span = found.next().unwrap_or_else(|| panic!("no {name} in {spans:#?}"));
        assert!(found.next().is_none(), "{name} twice");
        span
    };
    let post = find("POST /api/{user_id}/tasks");
    assert_eq!((post.trace.as_str(), post.parent.as_str(), post.kind), (TRACE, CALLER, 2));
    let expected = [
        ("http.request.method", "POST"),
        ("http.response.status_code", "201"),
        ("http.route", "/api/{user_id}/tasks"),
    ];
    assert_eq!(pairs(&post.attributes), expected);
    let service = pairs(&post.service);
    assert!(service.contains(&("service.name", "tasks of a test")), "{service:?}");
    let (queue, commit) = (find("queue"), find("commit"));
    for part in [queue, commit] {
        assert_eq!((&part.trace, &part.parent), (&post.trace, &post.id));
        assert!(post.from <= part.from && part.to <= post.to, "{part:?} is not within {post:?}");
    }
    assert_eq!(queue.to, commit.from);
    assert!(commit.to > commit.from);
    let own = find("GET /api/{user_id}/tasks");
    assert_eq!((own.parent.as_str(), own.trace.len()), ("", 32));
    assert!(spans.iter().all(|span| span.name != "GET /api/{user_id}/summary"), "{spans:#?}");
    assert!(
        output.lines().iter().any(|line| line.text().contains(&own.trace)),
        "the log does not contain {own:?}"
    );
    for secret in SECRETS.into_iter().chain([ann.token.as_str()]) {
        for form in [secret.to_owned(), secret.replace(' ', "+"), secret.replace(' ', "-")] {
            let within = |body: &Vec<u8>| body.windows(form.len()).any(|part| part == form.as_bytes());
            assert!(!bodies.iter().any(within), "a span contains {form}");
        }
    }
}

async fn an_unreachable_collector_harms_no_request(store: Store) {
    let nobody = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let endpoint = format!("http://{nobody}");
    let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    let server = Server::with(&store, &settings);
    let ann = server.user("ann");
    for number in 0..50 {
        ann.create(&format!("{number}")).await;
        ann.get("/tasks").await.expect(200);
    }
    server.stop();
}

#[test]
fn an_invalid_collector_address_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let settings = [
        ("PORT", "0"),
        ("BETTER_AUTH_SECRET", tokens::SECRET),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://hunter2:x y"),
    ];
    let finished = run(dir.path(), &[], &settings);
    assert_ne!(finished.code, 0);
    assert!(finished.stderr.contains("OTEL_EXPORTER_OTLP_ENDPOINT must be"), "{finished:?}");
    assert!(!finished.stderr.contains("hunter2"), "{finished:?}");
}
