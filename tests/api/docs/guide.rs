//! `docs/api.md` is correct: its commands run unchanged, from top to bottom, and answer as described.

use std::process::Command;

use crate::support::{Server, Store, on_both_stores, tokens};

on_both_stores!(the_guides_calls_answer_as_described);

/// The status of every call of the guide, in order.
const STATUSES: [u16; 19] = [
    201, 200, 200, 200, 200, // tasks
    200, 412, 304, // conditions
    200, 200, // lists
    201, 201, // retries
    200, // many at once
    204, 200, 200, 201, // staying in step
    200, 204,
];

/// What some answers contain, by the number of the call.
const HOLD: [(usize, &str); 10] = [
    (0, r#""priority":"high","tags":["home"],"due_date":"2026-12-01""#),
    (3, r#""completed":true"#),
    (6, r#""code":"PRECONDITION_FAILED""#),
    (7, r#"etag: W/"5-"#),
    (8, r#""count":1,"total":1,"next_cursor":null"#),
    (9, r#""open":1"#),
    (11, "idempotent-replayed: true"),
    (12, r#""seq":9"#),
    (14, r#""deleted":true"#),
    (15, "event: change"),
];

async fn the_guides_calls_answer_as_described(store: Store) {
    needs!(Curl);
    let server = Server::start(&store);
    let guide = include_str!("../../../docs/api.md");
    let blocks = guide.split("\n```sh\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
    let script: String = blocks.flat_map(|block| [block, "\n"]).collect();
    let script = script.replace("http://127.0.0.1:8000", server.origin());
    // Appends the status to each answer; curl's exit status stays as it is.
    let curl = r#"curl() { command curl -w '\n<%{http_code}>\n' "$@"; }"#;
    let script = format!("set -eu\nTOKEN={}\n{curl}\n{script}", tokens::of("demo"));
    let folder = tempfile::tempdir().unwrap();
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).current_dir(folder.path());
    let output = tokio::task::spawn_blocking(move || bash.output().unwrap()).await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{complaint}\n{said}");
    let answers: Vec<_> = said.split(">\n").filter_map(|answer| answer.rsplit_once('<')).collect();
    let statuses: Vec<u16> = answers.iter().map(|(_, status)| status.parse().unwrap()).collect();
    assert_eq!(statuses[..STATUSES.len()], STATUSES, "{said}");
    assert_eq!(statuses.len(), STATUSES.len() + 1, "{said}");
    assert_eq!(statuses.last(), Some(&200), "the import: {said}");
    for (call, part) in HOLD {
        assert!(answers[call].0.contains(part), "call {call} lacks {part}:\n{}", answers[call].0);
    }
}
