//! Heads in many forms; and what `actix-http` makes of those that are accepted.

use super::*;

use actix_codec::Decoder;
use actix_http::h1::{Codec, Message, MessageType};
use bytes::BytesMut;
use proptest::prelude::*;

use crate::http::connection::chunk_framing::ChunkFraming;

/// How a head with these lines after its first one is read.
fn scanned(first: &str, lines: &str) -> Scanned {
    scan(&mut format!("{first}\r\n{lines}\r\nthe body").into_bytes())
}

fn body_of(lines: &str) -> Option<BodyLength> {
    match scanned("PUT /a HTTP/1.1", &format!("Host: x\r\n{lines}")) {
        Scanned::Head(head) => Some(head.body),
        Scanned::Refused(_) => None,
        Scanned::Partial => panic!("{lines:?} is complete"),
    }
}

#[test]
fn a_body_has_one_length() {
    let none = Some(BodyLength::Known(0));
    for (lines, body) in [
        ("", none),
        ("Content-Length: 0\r\n", none),
        ("content-length:7\r\n", Some(BodyLength::Known(7))),
        ("CONTENT-LENGTH: \t 007 \r\n", Some(BodyLength::Known(7))),
        ("Content-Length: 18446744073709551615\r\n", Some(BodyLength::Known(u64::MAX))),
        ("Content-Length: 18446744073709551616\r\n", None),
        ("Content-Length: 7\r\nContent-Length: 7\r\n", None),
        ("Content-Length: 7, 7\r\n", None),
        ("Content-Length: +7\r\n", None),
        ("Content-Length: -7\r\n", None),
        ("Content-Length: 7 7\r\n", None),
        ("Content-Length: 0x7\r\n", None),
        ("Content-Length: 7;\r\n", None),
        ("Content-Length: \u{0667}\r\n", None),
        ("Content-Length:\r\n", None),
        ("Content-Length : 7\r\n", None),
        ("Content-Length\t: 7\r\n", None),
        ("Content_Length: 7\r\n", none),
        ("Transfer-Encoding: chunked\r\n", Some(BodyLength::Chunked)),
        ("transfer-encoding: \tCHUNKED \r\n", Some(BodyLength::Chunked)),
        ("Transfer-Encoding: chunked\r\nContent-Length: 7\r\n", None),
        ("Content-Length: 7\r\nTransfer-Encoding: chunked\r\n", None),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", None),
        ("Transfer-Encoding: chunked, chunked\r\n", None),
        ("Transfer-Encoding: identity\r\n", None),
        ("Transfer-Encoding: gzip, chunked\r\n", None),
        ("Transfer-Encoding: chunked, gzip\r\n", None),
        ("Transfer-Encoding: \"chunked\"\r\n", None),
        ("Transfer-Encoding: chunked;q=1\r\n", None),
        ("Transfer-Encoding: ,chunked\r\n", None),
        ("Transfer-Encoding: x\r\n", None),
        ("Transfer-Encoding:\r\n", None),
        ("Transfer-Encoding : chunked\r\n", None),
        ("Transfer-Encoding: \x0bchunked\r\n", None),
        ("X: y\r\n Transfer-Encoding: chunked\r\n", None),
        ("X: y\n", None),
        ("X: y\rContent-Length: 7\r\n", None),
        ("X\0: y\r\n", None),
        ("X: \0\r\n", None),
        ("X: \x7f\r\n", None),
        ("X: \u{e9}\r\n", none),
        (": y\r\n", None),
        ("X\r\n", None),
        ("Host: y\r\n", None),
    ] {
        assert_eq!(body_of(lines), body, "{lines:?}");
    }
}

#[test]
fn a_wish_to_close_or_to_keep_the_connection_is_read_in_every_form() {
    for (version, line, last) in [
        ("1.1", "", false),
        ("1.0", "", true),
        ("1.1", "Connection: close\r\n", true),
        ("1.1", "connection:CLOSE\r\n", true),
        ("1.1", "Connection: foo, close , bar\r\n", true),
        ("1.1", "Connection: foo\r\nConnection: close\r\n", true),
        ("1.1", "Connection: keep-alive, close\r\n", true),
        ("1.1", "Connection: close, upgrade\r\n", true),
        ("1.1", "Connection: closed\r\n", false),
        ("1.1", "Connection: \"close\"\r\n", false),
        ("1.1", "Proxy-Connection: close\r\n", false),
        ("1.0", "Connection: Keep-Alive\r\n", false),
        ("1.0", "Connection: upgrade, keep-alive\r\n", false),
        ("1.0", "Connection: keep-alive, close\r\n", true),
        ("1.0", "Keep-Alive: timeout=5\r\n", true),
    ] {
        match scanned(&format!("GET /a HTTP/{version}"), &format!("Host: x\r\n{line}")) {
            Scanned::Head(head) => assert_eq!(head.is_last, last, "{version} {line:?}"),
            other => panic!("{version} {line:?}: {other:?}"),
        }
    }
}

#[test]
fn a_request_line_has_one_reading() {
    for line in
        ["GET / HTTP/1.1", "OPTIONS * HTTP/1.1", "GET http://x/a?b HTTP/1.1", "a!b /%FF?%zz{} HTTP/1.1"]
    {
        assert!(matches!(scanned(line, "Host: x\r\n"), Scanned::Head(_)), "{line}");
    }
    for line in [
        "",
        " ",
        "GET",
        "GET /",
        "GET / ",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET / HTTP/2.0",
        "GET / HTTP/1.2",
        "GET / http/1.1",
        "GET / HTTP/1.10",
        "GET /é HTTP/1.1",
        "GET /\0 HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET a HTTP/1.1 HTTP/1.1",
        "G(T / HTTP/1.1",
        "GÉT / HTTP/1.1",
        "GET /<> HTTP/1.1",
    ] {
        assert!(
            matches!(scanned(line, "Host: x\r\n"), Scanned::Refused(RefusedBytes::Malformed(_))),
            "{line}"
        );
    }
    assert_eq!(scanned("CONNECT x:443 HTTP/1.1", "Host: x\r\n"), Scanned::Refused(RefusedBytes::Connect));
    for host in ["", "Host: a b\r\n", "Host: a/b\r\n", "Host: a@b\r\n", "Host: \u{e9}\r\n"] {
        assert!(matches!(scanned("GET / HTTP/1.1", host), Scanned::Refused(_)), "{host}");
    }
    assert!(matches!(scanned("GET / HTTP/1.0", ""), Scanned::Head(_)));
    assert!(matches!(scanned("POST / HTTP/1.0", ""), Scanned::Refused(_)));
}

#[test]
fn what_is_too_large_is_refused_and_what_is_wrong_so_far_is_not_waited_for() {
    let long = |text: String| scan(&mut text.into_bytes());
    assert_eq!(
        long(format!("GET /{} HTTP/1.1\r\n", "a".repeat(MAX_TARGET))),
        Scanned::Refused(RefusedBytes::TargetTooLong)
    );
    let head = "GET / HTTP/1.1\r\nHost: x\r\n";
    assert_eq!(
        long(format!("{head}{}\r\n", "X: y\r\n".repeat(96))),
        Scanned::Refused(RefusedBytes::HeadTooLarge)
    );
    assert_eq!(
        long(format!("{head}{}: y\r\n", "X".repeat(MAX_NAME + 1))),
        Scanned::Refused(RefusedBytes::HeadTooLarge)
    );
    assert_eq!(
        long(format!("{head}X: {}", "y".repeat(MAX_HEAD))),
        Scanned::Refused(RefusedBytes::HeadTooLarge)
    );
    assert_eq!(long(format!("{head}X: {}", "y".repeat(MAX_HEAD - 100))), Scanned::Partial);
    for (partial, is_right) in
        [("", true), ("G", true), ("GET / HTTP/1.1\r", true), ("GET /é", false), ("\x16\x03", false)]
    {
        assert_eq!(long(partial.into()) == Scanned::Partial, is_right, "{partial:?}");
    }
}

/// The head that is handed on in place of this one.
fn handed_on(head: &str) -> String {
    let mut bytes = head.as_bytes().to_vec();
    assert!(matches!(scan(&mut bytes), Scanned::Head(_)), "{head}");
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_wish_for_another_protocol_is_overwritten_in_every_form() {
    let head = |lines: &str| format!("GET /upgrade HTTP/1.1\r\nHost: x\r\n{lines}\r\nupgrade: the body");
    for (given, left) in [
        ("Connection: upgrade\r\n", "Connection: ignored\r\n"),
        ("connection:Upgrade\r\n", "connection:ignored\r\n"),
        ("CONNECTION: keep-alive,UPGRADE\r\n", "CONNECTION: keep-alive,ignored\r\n"),
        ("Connection: upgrade, HTTP2-Settings \r\n", "Connection: ignored, HTTP2-Settings \r\n"),
        ("Connection: x\r\nConnection:\tupgrade\t,y\r\n", "Connection: x\r\nConnection:\tignored\t,y\r\n"),
        ("Upgrade: websocket\r\n", "ignored: websocket\r\n"),
        ("uPGRADE: h2c, websocket\r\nUpgrade:\r\n", "ignored: h2c, websocket\r\nignored:\r\n"),
        ("Connection: upgraded\r\nX: upgrade\r\n", "Connection: upgraded\r\nX: upgrade\r\n"),
        ("X-Upgrade: 1\r\nUpgrades: 1\r\n", "X-Upgrade: 1\r\nUpgrades: 1\r\n"),
    ] {
        assert_eq!(handed_on(&head(given)), head(left));
    }
}

thread_local! {
    /// A codec of actix-http needs it, for the `Date` of responses.
    static SYSTEM: actix_rt::SystemRunner = actix_rt::System::new();
}

/// How many of these bytes are one request to actix-http; `None` if it would stop to read HTTP after it.
fn as_actix_reads(bytes: &[u8]) -> Option<usize> {
    let mut codec = SYSTEM.with(|system| system.block_on(async { Codec::default() }));
    let mut rest = BytesMut::from(bytes);
    let is_accepted = matches!(codec.decode(&mut rest), Ok(Some(Message::Item(_))));
    assert!(is_accepted, "actix-http refuses {:?}", String::from_utf8_lossy(bytes));
    if codec.upgrade() || matches!(codec.message_type(), MessageType::Stream) {
        return None;
    }
    if matches!(codec.message_type(), MessageType::Payload) {
        while let Some(Message::Chunk(Some(_))) = codec.decode(&mut rest).unwrap() {}
    }
    Some(bytes.len() - rest.len())
}

/// Lines, mostly right ones, and ones that servers have misunderstood.
fn line() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec![
        "Content-Length",
        "content-length",
        "Content-Length ",
        "Transfer-Encoding",
        "transfer-encoding",
        "Connection",
        "connection",
        "Upgrade",
        "upgrade",
        "Host",
        "X",
        "Expect",
        "TE",
        "Trailer",
        "Keep-Alive",
        " X",
        "Proxy-Connection",
    ]);
    let values = prop::sample::select(vec![
        "5",
        "0",
        "+5",
        "5, 5",
        "0x5",
        "",
        " 5 ",
        "chunked",
        "Chunked ",
        "chunked, chunked",
        "identity",
        "gzip, chunked",
        "upgrade",
        "close",
        "keep-alive, Upgrade",
        "websocket",
        "h2c",
        "x",
        "100-continue",
        "trailers",
        "\"",
        "a\u{1}b",
        "\u{e9}",
        "a\rb",
    ]);
    let ends = prop::sample::select(vec![
        "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r\r\n", "\r\n ", "",
    ]);
    (names, prop::sample::select(vec![": ", ":", ":\t"]), values, ends)
        .prop_map(|(n, c, v, e)| format!("{n}{c}{v}{e}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    /// What is accepted here, actix-http accepts, too, and finds the same end of the request.
    #[test]
    fn both_readers_find_the_same_request(
        first in prop::sample::select(vec![
            "GET / HTTP/1.1\r\n", "POST /a HTTP/1.1\r\n", "PUT /a HTTP/1.0\r\n", "HEAD /a?b HTTP/1.1\r\n",
            "GET /é HTTP/1.1\r\n", "GET  / HTTP/1.1\r\n", "CONNECT x:1 HTTP/1.1\r\n", "OPTIONS * HTTP/1.1\r\n",
        ]),
        lines in prop::collection::vec(line(), 0..5),
        body in prop::sample::select(vec![
            "hello", "5\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n", "05\r\nhello\r\n00\r\n\r\n", "",
        ]),
    ) {
        let mut bytes = format!("{first}Host: x\r\n{}\r\n{body}GET /next HTTP/1.1\r\n\r\n", lines.concat()).into_bytes();
        if let Scanned::Head(head) = scan(&mut bytes) {
            let (end, is_whole) = match head.body {
                BodyLength::Known(length) => (head.length + usize::try_from(length).unwrap(), true),
                BodyLength::Chunked => match ChunkFraming::new().read(&bytes[head.length..]) {
                    Ok((part, ended)) => (head.length + part, ended),
                    Err(_) => (0, false),
                },
            };
            if is_whole {
                prop_assert_eq!(as_actix_reads(&bytes[..end]), Some(end));
            }
        }
    }

    #[test]
    fn both_readers_find_the_same_end_of_a_chunked_body(
        parts in prop::collection::vec(prop::sample::select(vec![
            "5\r\nhello\r\n", "1;a=\"b\"\r\nx\r\n", "A\r\n0123456789\r\n", "0\r\n", "0\r\n\r\n", "X: y\r\n", "\r\n", "5 \r\n",
            "5\nhello\r\n", "-1\r\n", "ffffffffffffffff\r\n", "10000000000000000\r\n", ";\r\n", "2\r\nab", " X: y\r\n", "00;x\r\n",
        ]), 1..6),
        split in any::<prop::sample::Index>(),
    ) {
        let head = "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        let bytes = parts.concat().into_bytes();
        let mut whole = ChunkFraming::new();
        let read = whole.read(&bytes);
        // In two parts it is the same.
        let (mut halves, at) = (ChunkFraming::new(), split.index(bytes.len()));
        let twice = match halves.read(&bytes[..at]) {
            Ok((part, false)) => halves.read(&bytes[at..]).map(|(more, ended)| (part + more, ended)),
            other => other,
        };
        prop_assert_eq!(&read, &twice);
        if let Ok((end, true)) = read {
            let found = as_actix_reads(&[head.as_bytes(), &bytes[..end]].concat());
            prop_assert_eq!(found, Some(head.len() + end));
        }
    }
}
