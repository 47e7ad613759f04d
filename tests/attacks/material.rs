//! Bodies of requests: tasks small and large, batches, imports.

use std::fmt::Write;

use bytes::Bytes;

use crate::site::Site;
use crate::wire::post;

/// Bytes of one import's body, at most; the service takes 64 MiB.
const IMPORT: usize = 60 << 20;

/// A task's id.
pub fn id(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

/// Text of so many characters of four bytes each, which no store can compress.
pub fn text(characters: usize) -> String {
    let mut state = 7_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from_u32(0x2_0000 + (state >> 16) % 0xa000).expect("a character of CJK extension B")
    };
    (0..characters).map(|_| next()).collect()
}

/// The fields of the largest task, about 13 KB.
pub fn large() -> String {
    let tags: Vec<String> = (0..20).map(|tag| format!("\"{tag:02}{}\"", text(48))).collect();
    format!(r#""title":"{}","description":"{}","tags":[{}]"#, text(200), text(2000), tags.join(","))
}

/// The fields of a task with this number of bytes of description.
pub fn described(number: usize, bytes: usize) -> String {
    format!(r#""title":"task {number}","description":"{}""#, "d".repeat(bytes.min(2000)))
}

/// A batch.
pub fn batch(operations: &[String]) -> String {
    format!(r#"{{"operations":[{}]}}"#, operations.join(","))
}

/// A batch that flips one task so many times.
pub fn flips(task: usize, times: usize) -> String {
    batch(&vec![format!(r#"{{"op":"complete","id":"{}"}}"#, id(task)); times])
}

/// A create with an id, as an operation of a batch.
pub fn create(task: usize, fields: &str) -> String {
    format!(r#"{{"op":"create","task":{{"id":"{}",{fields}}}}}"#, id(task))
}

/// A deletion, as an operation of a batch.
pub fn delete(task: usize) -> String {
    format!(r#"{{"op":"delete","id":"{}"}}"#, id(task))
}

/// The bodies of the imports that bring these tasks.
pub fn imports(numbers: std::ops::Range<usize>, fields: impl Fn(usize) -> String) -> Vec<String> {
    let mut bodies = Vec::new();
    let mut body = String::new();
    for number in numbers {
        let start = if body.is_empty() { r#"{"tasks":["# } else { "," };
        let at = "2026-01-01T00:00:00Z";
        let fields = fields(number);
        write!(body, r#"{start}{{"id":"{}","created_at":"{at}","updated_at":"{at}",{fields}}}"#, id(number))
            .unwrap();
        if body.len() > IMPORT {
            bodies.push(std::mem::take(&mut body) + "]}");
        }
    }
    if !body.is_empty() {
        bodies.push(body + "]}");
    }
    bodies
}

impl Site {
    /// Gives a user tasks, as far as the service takes them.
    pub async fn give(&self, token: &str, numbers: std::ops::Range<usize>, fields: impl Fn(usize) -> String) {
        for body in imports(numbers, fields) {
            let status = self.ask_once(&post("/import", token, &body)).await;
            assert!(matches!(status, 200 | 409 | 413 | 429 | 503), "an import was answered with {status}");
        }
    }

    /// Gives a user the largest task, under a number.
    pub async fn give_large(&self, token: &str, number: usize) {
        let body = format!(r#"{{"id":"{}",{}}}"#, id(number), large());
        let status = self.ask_once(&post("/tasks", token, &body)).await;
        assert_eq!(status, 201, "a large task was not made");
    }
}

/// A flip of a task.
pub fn flip(token: &str, task: usize) -> Bytes {
    crate::wire::request("PATCH", &format!("/tasks/{}/complete", id(task)), token, &[], "")
}
