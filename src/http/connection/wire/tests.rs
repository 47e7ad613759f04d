//! Connections to a client in the same process.

use super::*;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

const GET: &str = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
const POST: &str = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKED: &str =
    "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";

fn connected() -> (Wire<DuplexStream>, DuplexStream) {
    let (server, client) = duplex(1 << 20);
    (Wire::new(server, Rc::default()), client)
}

/// What is handed on before something more has to happen.
async fn handed_on(wire: &mut Wire<DuplexStream>) -> String {
    let (mut all, mut part) = (Vec::new(), [0; 4096]);
    while let Ok(read) = timeout(Duration::from_millis(1), wire.read(&mut part)).await {
        match read.unwrap() {
            0 => {
                all.extend_from_slice(b"[end]");
                break;
            }
            count => all.extend_from_slice(&part[..count]),
        }
    }
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn a_request_is_handed_on_when_the_one_before_has_its_response() {
    let (mut wire, mut client) = connected();
    client.write_all(format!("{GET}{POST}\r\n\r\n{CHUNKED}{GET}").as_bytes()).await.unwrap();
    for request in [GET, POST, CHUNKED, GET, ""] {
        assert_eq!(handed_on(&mut wire).await, request);
        assert_eq!(handed_on(&mut wire).await, "");
        // A long response is made while it is sent.
        let sending = wire.activity.hold();
        wire.activity.end();
        assert_eq!(handed_on(&mut wire).await, "");
        drop(sending);
    }
}

#[tokio::test]
async fn bytes_that_come_one_by_one_are_the_same_requests() {
    let (mut wire, mut client) = connected();
    for request in [GET, POST, CHUNKED] {
        let mut got = String::new();
        for byte in format!("\r\n{request}").bytes() {
            client.write_all(&[byte]).await.unwrap();
            got += &handed_on(&mut wire).await;
        }
        assert_eq!(got, request);
        wire.activity.end();
    }
}

#[tokio::test]
async fn the_response_lets_the_next_request_come_without_more_bytes() {
    let (mut wire, mut client) = connected();
    client.write_all(format!("{GET}{POST}").as_bytes()).await.unwrap();
    assert_eq!(handed_on(&mut wire).await, GET);
    let activity = wire.activity();
    let mut bytes = [0; 4096];
    let (read, ()) = tokio::join!(timeout(Duration::from_secs(5), wire.read(&mut bytes)), async {
        tokio::task::yield_now().await;
        activity.end();
    });
    assert_eq!(read.unwrap().unwrap(), POST.len());
}

#[tokio::test]
async fn nothing_follows_the_last_request() {
    for last in [
        "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET /a HTTP/1.0\r\n\r\n",
        "PUT /a HTTP/1.0\r\nContent-Length: 2\r\n\r\nab",
    ] {
        let (mut wire, mut client) = connected();
        client.write_all(format!("{last}{POST}").as_bytes()).await.unwrap();
        assert_eq!(handed_on(&mut wire).await, last);
        wire.activity.end();
        assert_eq!(handed_on(&mut wire).await, "");
        drop(client);
        assert_eq!(handed_on(&mut wire).await, "[end]");
    }
    // Or one whose response says that it closes the connection.
    let (mut wire, mut client) = connected();
    client.write_all(format!("{GET}{POST}").as_bytes()).await.unwrap();
    assert_eq!(handed_on(&mut wire).await, GET);
    wire.activity.closes.set(true);
    wire.activity.end();
    assert_eq!(handed_on(&mut wire).await, "");
}

#[tokio::test]
async fn bytes_that_are_no_request_are_replaced_and_the_rest_is_never_read() {
    let substitute = str::from_utf8(REFUSED_REQUEST).unwrap();
    for wrong in [
        "GET /é HTTP/1.1\r\n",
        "GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    ] {
        let (mut wire, mut client) = connected();
        client.write_all(format!("{POST}{wrong}{POST}").as_bytes()).await.unwrap();
        assert_eq!(handed_on(&mut wire).await, POST);
        assert_eq!(wire.activity.refused.take(), None, "its turn has not come");
        wire.activity.end();
        assert_eq!(handed_on(&mut wire).await, substitute);
        assert!(matches!(wire.activity.refused.take(), Some(RefusedBytes::Malformed(_))));
        wire.activity.end();
        client.write_all(POST.as_bytes()).await.unwrap();
        assert_eq!(handed_on(&mut wire).await, "");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_ends_what_is_handed_on_and_its_response_says_so() {
    let head = "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (mut wire, mut client) = connected();
    client.write_all(format!("{head}5\r\nhello\r\nx\r\n{POST}").as_bytes()).await.unwrap();
    assert_eq!(handed_on(&mut wire).await, format!("{head}[end]"));
    assert!(wire.activity.closes.get());
    let (mut wire, mut client) = connected();
    client.write_all(&POST.as_bytes()[..POST.len() - 1]).await.unwrap();
    drop(client);
    assert_eq!(handed_on(&mut wire).await, format!("{}[end]", &POST[..POST.len() - 1]));
    assert!(wire.activity.closes.get());
}

#[tokio::test(start_paused = true)]
async fn a_head_has_a_deadline_which_begins_with_its_first_byte() {
    let substitute = str::from_utf8(REFUSED_REQUEST).unwrap();
    let mut bytes = [0; 4096];
    // The first one: with the connection.
    let (mut wire, mut client) = connected();
    client.write_all(b"G").await.unwrap();
    let count = timeout(HEAD_DEADLINE + LINGER, wire.read(&mut bytes)).await.unwrap().unwrap();
    assert_eq!(&bytes[..count], substitute.as_bytes());
    assert_eq!(wire.activity.refused.take(), Some(RefusedBytes::Late));
    // A later one.
    let (mut wire, mut client) = connected();
    client.write_all(GET.as_bytes()).await.unwrap();
    assert_eq!(wire.read(&mut bytes).await.unwrap(), GET.len());
    wire.activity.end();
    assert!(timeout(20 * HEAD_DEADLINE, wire.read(&mut bytes)).await.is_err(), "an idle connection stays");
    client.write_all(b"G").await.unwrap();
    let count = timeout(HEAD_DEADLINE + LINGER, wire.read(&mut bytes)).await.unwrap().unwrap();
    assert_eq!(&bytes[..count], substitute.as_bytes());
    // A client that sends nothing at all is not answered.
    let (mut wire, _client) = connected();
    assert_eq!(timeout(HEAD_DEADLINE + LINGER, wire.read(&mut bytes)).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn a_client_that_does_not_wait_is_read_no_further() {
    let (mut wire, mut client) = connected();
    client.write_all(GET.repeat(10_000).as_bytes()).await.unwrap();
    assert_eq!(handed_on(&mut wire).await, GET);
    assert!(wire.held.len() <= 3 * MAX_AHEAD, "{}", wire.held.len());
}
