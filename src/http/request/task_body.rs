//! What request bodies say of a task: from JSON text to domain types, with every fault listed.
//!
//! A body is read in two steps. The first takes it apart into the known fields, each still as raw
//! text; it refuses what is no JSON object and a field given twice, and ignores unknown fields. The
//! second checks each field by itself, so that one answer can list all that is wrong.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::json_fields::{self, Faults, given, is_null, take_apart};
use crate::domain::{NewTask, Patch, Seq, Task, TaskContent, TaskId};
use crate::http::error::FieldError;

/// The known fields of a task in any body, as given. `null` is a value like any other here.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Fields<'a> {
    #[serde(borrow, deserialize_with = "given")]
    id: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "given")]
    title: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "given")]
    description: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "given")]
    completed: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "given")]
    priority: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "given")]
    tags: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "given")]
    due_date: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "given")]
    position: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "given")]
    created_at: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "given")]
    updated_at: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "given")]
    completed_at: Option<&'a RawValue>,
}

/// Something a task's fields can be read as.
pub(crate) trait Form: Sized {
    /// Reads it from the fields, or notes every one that is wrong.
    fn read(fields: &Fields, faults: &mut Faults) -> Option<Self>;
}

/// Reads a body.
///
/// # Errors
/// Every field that is wrong, or what is wrong with the body as a whole.
pub(crate) fn parse<T: Form>(body: &[u8]) -> Result<T, Vec<FieldError>> {
    let mut faults = Faults::of_body();
    let form = json_fields::text(body, &mut faults).and_then(|text| read(text, &mut faults));
    faults.or(form)
}

/// Reads a JSON object as a form.
pub(crate) fn read<T: Form>(text: &str, faults: &mut Faults) -> Option<T> {
    T::read(&take_apart(text, faults)?, faults)
}

impl Form for NewTask {
    fn read(fields: &Fields, faults: &mut Faults) -> Option<Self> {
        let id = faults.check("id", fields.id.filter(|raw| !is_null(raw)), json_fields::id);
        let (_, content) = read_content(fields, faults);
        Some(Self { id: id.unwrap_or_else(TaskId::generate), content: content? })
    }
}

/// What a client says of a task: whether it is done, and all of it if it has a title.
fn read_content(fields: &Fields, faults: &mut Faults) -> (bool, Option<TaskContent>) {
    let title = faults.require("title", fields.title, json_fields::title);
    let description = faults.check("description", fields.description, json_fields::description).flatten();
    let completed = faults.check("completed", fields.completed, json_fields::boolean).unwrap_or(false);
    let priority = faults.check("priority", fields.priority, json_fields::priority).flatten();
    let tags = faults.check("tags", fields.tags, json_fields::tags).unwrap_or_default();
    let due_date = faults.check("due_date", fields.due_date, json_fields::due_date).flatten();
    let position = faults.check("position", fields.position, json_fields::position).flatten();
    let content =
        title.map(|title| TaskContent { title, description, completed, priority, tags, due_date, position });
    (completed, content)
}

impl Form for Patch {
    fn read(fields: &Fields, faults: &mut Faults) -> Option<Self> {
        let before = faults.count();
        let patch = Self {
            title: faults.check("title", fields.title, json_fields::title),
            description: faults.check("description", fields.description, json_fields::description),
            completed: faults.check("completed", fields.completed, json_fields::boolean),
            priority: faults.check("priority", fields.priority, json_fields::priority),
            tags: faults.check("tags", fields.tags, json_fields::tags),
            due_date: faults.check("due_date", fields.due_date, json_fields::due_date),
            position: faults.check("position", fields.position, json_fields::position),
        };
        if patch == Self::default() && faults.count() == before {
            faults.note_whole(
                "must have `title`, `description`, `completed`, `priority`, `tags`, `due_date` or `position`",
            );
        }
        Some(patch)
    }
}

/// A task of an export. Its owner and version are the importer's, whatever it says of them.
impl Form for Task {
    fn read(fields: &Fields, faults: &mut Faults) -> Option<Self> {
        let id = faults.require("id", fields.id, json_fields::id);
        let (completed, content) = read_content(fields, faults);
        let completed_at = fields.completed_at.filter(|raw| !is_null(raw));
        let completed_at = faults.check("completed_at", completed_at, json_fields::instant);
        let created_at = faults.require("created_at", fields.created_at, json_fields::instant);
        let updated_at = faults.require("updated_at", fields.updated_at, json_fields::instant);
        if completed_at.is_some() && !completed {
            faults.note("completed_at", "must be null unless `completed` is true");
        }
        let (id, content, created_at, updated_at) = (id?, content?, created_at?, updated_at?);
        // Since when a task has been done is not known of every old one: its last change is when it can
        // have been done at the latest.
        let completed_at = completed.then(|| completed_at.unwrap_or(updated_at));
        Some(Self { id, content, completed_at, created_at, updated_at, version: Seq::ZERO })
    }
}

/// The state a task is to be set to.
pub(crate) struct Completed(pub(crate) bool);

impl Form for Completed {
    fn read(fields: &Fields, faults: &mut Faults) -> Option<Self> {
        faults.require("completed", fields.completed, json_fields::boolean).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults<T: Form>(body: &str) -> Vec<(String, String)> {
        let errors = parse::<T>(body.as_bytes()).err().unwrap_or_default();
        errors.into_iter().map(|error| (error.field.into(), error.message.into())).collect()
    }

    fn fields<T: Form>(body: &str) -> Vec<String> {
        faults::<T>(body).into_iter().map(|(field, _)| field).collect()
    }

    #[test]
    fn a_create_needs_a_title_only_and_ignores_unknown_fields() {
        let new: NewTask =
            parse(r#" {"title":" a ","user_id":7,"version":[{}],"x":"\ud800"}"#.as_bytes()).unwrap();
        assert_eq!(
            (new.content.title.as_str(), new.content.description, new.content.completed),
            ("a", None, false)
        );
        let id = "6f1c9a52-3d0e-4b7a-9c58-2f6d1e0b4a77";
        let body = format!(r#"{{"id":"{id}","title":"a","description":"","completed":true}}"#);
        let new: NewTask = parse(body.as_bytes()).unwrap();
        assert_eq!((new.id.to_string().as_str(), new.content.completed), (id, true));
        assert_eq!(new.content.description.unwrap().as_str(), "");
        assert!(parse::<NewTask>(br#"{"title":"a","description":null,"id":null}"#).is_ok());
    }

    #[test]
    fn every_bad_field_is_listed_not_just_the_first() {
        let body = r#"{"id":"x","title":"  ","description":5,"completed":null,"priority":"urgent",
            "tags":[1],"due_date":"soon","position":""}"#;
        let all = ["description", "completed", "priority", "tags", "due_date", "position"];
        assert_eq!(fields::<NewTask>(body), [&["id", "title"], &all[..]].concat());
        assert_eq!(fields::<Patch>(body), [&["title"], &all[..]].concat());
        assert_eq!(fields::<NewTask>(r#"{"completed":"yes"}"#), ["title", "completed"]);
        assert_eq!(fields::<NewTask>("{}"), ["title"]);
        let import =
            format!("{},\"completed_at\":7,\"created_at\":\"2026-01-01\"}}", &body[..body.len() - 1]);
        let more = ["completed_at", "created_at", "updated_at"];
        assert_eq!(fields::<Task>(&import), [&["id", "title"], &all[..], &more].concat());
    }

    #[test]
    fn null_is_the_wrong_type_for_a_title_and_for_completed() {
        assert_eq!(faults::<Patch>(r#"{"title":null}"#), [("title".into(), "must be a string".into())]);
        assert_eq!(fields::<Patch>(r#"{"completed":null}"#), ["completed"]);
        assert_eq!(fields::<NewTask>(r#"{"title":null}"#), ["title"]);
        assert_eq!(fields::<Completed>(r#"{"completed":null}"#), ["completed"]);
    }

    #[test]
    fn an_update_keeps_absent_clears_null_and_needs_a_known_field() {
        let patch: Patch = parse(br#"{"description":null,"priority":null,"tags":null}"#).unwrap();
        let expected = Patch {
            description: Some(None),
            priority: Some(None),
            tags: Some(crate::domain::Tags::default()),
            ..Patch::default()
        };
        assert_eq!(patch, expected);
        let patch: Patch = parse(br#"{"due_date":null,"position":null}"#).unwrap();
        assert_eq!(patch, Patch { due_date: Some(None), position: Some(None), ..Patch::default() });
        assert_eq!(fields::<Patch>("{}"), ["body"]);
        assert_eq!(fields::<Patch>(r#"{"titel":"x","id":3}"#), ["body"]);
    }

    #[test]
    fn the_smaller_fields_are_read_and_tags_trimmed_and_never_twice() {
        let body = r#"{"title":"a","priority":"high","tags":[" x ","y","x"],"due_date":"2026-03-01",
            "position":"a0"}"#;
        let new: NewTask = parse(body.as_bytes()).unwrap();
        assert_eq!(new.content.priority.unwrap().as_str(), "high");
        assert_eq!(new.content.tags.as_slice().iter().map(|tag| &**tag).collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(new.content.due_date.unwrap().as_str(), "2026-03-01");
        assert_eq!(new.content.position.unwrap().as_str(), "a0");
        for tags in [r#""x""#, "{}", "[null]", r#"["\ud800"]"#, r#"[" "]"#, r#"["a\u0000"]"#, "7"] {
            let body = format!(r#"{{"title":"a","tags":{tags}}}"#);
            assert_eq!(fields::<NewTask>(&body), ["tags"], "{tags}");
        }
    }

    #[test]
    fn an_imported_task_keeps_its_instants_and_is_done_since_its_last_change_at_the_latest() {
        let body = |more: &str| {
            format!(
                r#"{{"id":"6f1c9a52-3d0e-4b7a-9c58-2f6d1e0b4a77","title":"a","version":9,"user_id":"bob",
                "created_at":"2026-01-01T00:00:00.000001Z","updated_at":"2026-01-02T01:00:00+01:00"{more}}}"#
            )
        };
        let task: Task = parse(body("").as_bytes()).unwrap();
        assert_eq!(task.created_at.to_rfc3339(), "2026-01-01T00:00:00.000001Z");
        assert_eq!(task.updated_at.to_rfc3339(), "2026-01-02T00:00:00.000000Z");
        assert_eq!((task.completed_at, task.version), (None, Seq::ZERO));
        let task: Task = parse(body(r#","completed":true"#).as_bytes()).unwrap();
        assert_eq!(task.completed_at, Some(task.updated_at));
        let done = r#","completed":true,"completed_at":"2026-01-01T12:00:00Z""#;
        let task: Task = parse(body(done).as_bytes()).unwrap();
        assert_eq!(task.completed_at.unwrap().to_rfc3339(), "2026-01-01T12:00:00.000000Z");
        let open = r#","completed_at":"2026-01-01T12:00:00Z""#;
        assert_eq!(fields::<Task>(&body(open)), ["completed_at"]);
    }

    #[test]
    fn text_that_is_no_unicode_or_holds_nul_is_refused() {
        assert_eq!(
            faults::<NewTask>(r#"{"title":"a\ud800b"}"#),
            [("title".into(), "must not hold a lone surrogate".into())]
        );
        assert_eq!(fields::<NewTask>(r#"{"title":"\udc00"}"#), ["title"]);
        assert_eq!(
            fields::<NewTask>(r#"{"title":"a\u0000b","description":"\u0000"}"#),
            ["title", "description"]
        );
        assert!(parse::<NewTask>(r#"{"title":"\ud83e\udd80"}"#.as_bytes()).is_ok());
        assert!(parse::<NewTask>(b"{\"title\":\"\xff\"}").is_err());
    }

    #[test]
    fn a_body_must_be_one_json_object_without_a_field_given_twice() {
        for body in
            ["", " ", "[]", r#"["a"]"#, "null", "\"a\"", "7", "{", r#"{"title":"a",}"#, r#"{"title":"a"} x"#]
        {
            assert_eq!(fields::<NewTask>(body), ["body"], "{body}");
        }
        let twice = [("body".into(), "must not give a field twice".into())];
        assert_eq!(faults::<NewTask>(r#"{"title":"a","title":"b"}"#), twice);
        assert_eq!(faults::<NewTask>(r#"{"title":"a","t\u0069tle":"b"}"#), twice);
        assert_eq!(faults::<Completed>(r#"{"completed":true,"completed":true}"#), twice);
    }

    #[test]
    fn deep_nesting_in_an_unknown_field_does_no_harm() {
        let deep = format!(r#"{{"title":"a","x":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
        assert_eq!(fields::<NewTask>(&deep), ["body"]);
    }

    #[test]
    fn completed_must_be_given_and_a_boolean() {
        assert!(parse::<Completed>(br#"{"completed":false}"#).is_ok_and(|form| !form.0));
        assert_eq!(fields::<Completed>("{}"), ["completed"]);
        assert_eq!(fields::<Completed>(r#"{"completed":1}"#), ["completed"]);
    }
}
