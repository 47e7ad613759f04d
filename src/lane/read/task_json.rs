//! A task's JSON object.
//!
//! It is written by hand, since every write and every load of a user makes it: names and punctuation are constants,
//! and most texts hold nothing to escape. A serializer looks at each of these bytes, which was two fifths of a cold
//! read's instructions (`loadtest/PROFILES.md`).

use uuid::Uuid;

use crate::domain::{Description, DueDate, Position, Priority, Task, Timestamp};

/// Writes a task, owned by `subject`, as every response shows it. Only this function fixes the fields' names
/// and their order.
pub(crate) fn render(json: &mut Vec<u8>, task: &Task, subject: &str) {
    json.extend_from_slice(br#"{"id":""#);
    let mut id = Uuid::encode_buffer();
    json.extend_from_slice(task.id.as_uuid().hyphenated().encode_lower(&mut id).as_bytes());
    json.extend_from_slice(br#"","user_id":"#);
    text(json, subject);
    json.extend_from_slice(br#","title":"#);
    text(json, task.content.title.as_str());
    json.extend_from_slice(br#","description":"#);
    or_null(json, task.content.description.as_ref().map(Description::as_str), text);
    json.extend_from_slice(br#","completed":"#);
    json.extend_from_slice(if task.content.completed { b"true" } else { b"false" });
    json.extend_from_slice(br#","priority":"#);
    or_null(json, task.content.priority.map(Priority::as_str), text);
    json.extend_from_slice(br#","tags":["#);
    for (index, tag) in task.content.tags.as_slice().iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        text(json, tag);
    }
    json.extend_from_slice(br#"],"due_date":"#);
    or_null(json, task.content.due_date.as_ref().map(DueDate::as_str), text);
    json.extend_from_slice(br#","completed_at":"#);
    or_null(json, task.completed_at, instant);
    json.extend_from_slice(br#","position":"#);
    or_null(json, task.content.position.as_ref().map(Position::as_str), text);
    json.extend_from_slice(br#","created_at":"#);
    instant(json, task.created_at);
    json.extend_from_slice(br#","updated_at":"#);
    instant(json, task.updated_at);
    json.extend_from_slice(br#","version":"#);
    json.extend_from_slice(itoa::Buffer::new().format(task.version.get()).as_bytes());
    json.push(b'}');
}

fn or_null<T>(json: &mut Vec<u8>, value: Option<T>, write: fn(&mut Vec<u8>, T)) {
    match value {
        Some(value) => write(json, value),
        None => json.extend_from_slice(b"null"),
    }
}

fn instant(json: &mut Vec<u8>, instant: Timestamp) {
    json.push(b'"');
    instant.write_rfc3339(json);
    json.push(b'"');
}

fn text(json: &mut Vec<u8>, text: &str) {
    // It does not stop at the first hit, so that the compiler can look at many bytes at once.
    let escaped = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    if text.bytes().fold(false, |found, byte| found | escaped(byte)) {
        return serde_json::to_writer(json, text).expect("a text is always valid JSON");
    }
    json.push(b'"');
    json.extend_from_slice(text.as_bytes());
    json.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Serialize;

    use super::*;
    use crate::domain::{Seq, Tags, TaskContent, TaskId, Title};

    /// The same by the library.
    #[derive(Serialize)]
    struct TaskJson<'a> {
        id: Uuid,
        user_id: &'a str,
        title: &'a str,
        description: Option<&'a str>,
        completed: bool,
        priority: Option<&'a str>,
        tags: &'a [Box<str>],
        due_date: Option<&'a str>,
        completed_at: Option<String>,
        position: Option<&'a str>,
        created_at: String,
        updated_at: String,
        version: i64,
    }

    /// Texts with all that JSON escapes, and much that it need not.
    fn any_text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[ -~]{1,40}",
            "[\u{1}-\u{1f}\"\\\\/\u{7f}\u{80}\u{2028}ä€😀x]{1,40}",
            any::<String>().prop_map(|text| text.replace('\0', "")),
        ]
    }

    proptest! {
        #[test]
        fn a_task_is_written_as_the_library_would_write_it(
            (subject, title, description) in (any_text(), any_text(), proptest::option::of(any_text())),
            tags in proptest::collection::vec(any_text(), 0..4),
            (completed, priority) in (any::<bool>(), 0..4_usize),
            due in proptest::option::of(Just("2026-01-02T03:04:05+01:00")),
            (position, id) in (proptest::option::of("[!-~]{1,64}"), any::<u128>()),
            (version, micros) in (0..i64::MAX, prop_oneof![0..4_102_444_800_000_000_i64, any::<i64>()]),
        ) {
            let title = format!("x{title}").chars().take(200).collect::<String>();
            let content = TaskContent {
                title: Title::from_store(title),
                description: description.map(Description::from_store),
                completed,
                priority: ["low", "medium", "high"].get(priority).and_then(|name| Priority::parse(name)),
                tags: Tags::from_store(tags),
                due_date: due.and_then(DueDate::parse),
                position: position.as_deref().and_then(Position::parse),
            };
            let task = Task {
                id: TaskId::from_uuid(Uuid::from_u128(id)),
                content,
                completed_at: completed.then(|| Timestamp::from_micros(micros)),
                created_at: Timestamp::from_micros(micros),
                updated_at: Timestamp::from_micros(micros.saturating_add(1)),
                version: Seq::new(version),
            };
            let by_library = TaskJson {
                id: task.id.as_uuid(),
                user_id: &subject,
                title: task.content.title.as_str(),
                description: task.content.description.as_ref().map(Description::as_str),
                completed,
                priority: task.content.priority.map(Priority::as_str),
                tags: task.content.tags.as_slice(),
                due_date: task.content.due_date.as_ref().map(DueDate::as_str),
                completed_at: task.completed_at.map(Timestamp::to_rfc3339),
                position: task.content.position.as_ref().map(Position::as_str),
                created_at: task.created_at.to_rfc3339(),
                updated_at: task.updated_at.to_rfc3339(),
                version,
            };
            let mut json = Vec::new();
            render(&mut json, &task, &subject);
            prop_assert_eq!(String::from_utf8(json).unwrap(), serde_json::to_string(&by_library).unwrap());
        }
    }
}
