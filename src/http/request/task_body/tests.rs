//! How bodies with a task are read, and their faults.

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
    let body = r#"{"id":"x","title":"  ","description":5,"completed":null,"priority":"Urgent",
        "tags":[1],"due_date":"soon","position":""}"#;
    let all = ["description", "completed", "priority", "tags", "due_date", "position"];
    assert_eq!(fields::<NewTask>(body), [&["id", "title"], &all[..]].concat());
    assert_eq!(fields::<Patch>(body), [&["title"], &all[..]].concat());
    assert_eq!(fields::<NewTask>(r#"{"completed":"yes"}"#), ["title", "completed"]);
    assert_eq!(fields::<NewTask>("{}"), ["title"]);
    let import = format!("{},\"completed_at\":7,\"created_at\":\"2026-01-01\"}}", &body[..body.len() - 1]);
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
fn optional_fields_are_read_and_tags_are_trimmed_and_deduplicated() {
    let body = r#"{"title":"a","priority":"high","tags":[" X ","y","x"],"due_date":"2026-03-01",
        "position":"a0"}"#;
    let new: NewTask = parse(body.as_bytes()).unwrap();
    assert_eq!(new.content.priority.unwrap().as_str(), "high");
    assert_eq!(new.content.tags.as_slice().iter().map(|tag| &**tag).collect::<Vec<_>>(), ["X", "y"]);
    assert_eq!(new.content.due_date.unwrap().as_str(), "2026-03-01");
    assert_eq!(new.content.position.unwrap().as_str(), "a0");
    for tags in [r#""x""#, "{}", "[null]", r#"["\ud800"]"#, r#"[" "]"#, r#"["a\u0000"]"#, "7"] {
        let body = format!(r#"{{"title":"a","tags":{tags}}}"#);
        assert_eq!(fields::<NewTask>(&body), ["tags"], "{tags}");
    }
}

#[test]
fn a_priority_has_other_words_for_the_highest_and_for_none() {
    for (given, read) in [
        (r#""urgent""#, Some(Priority::Urgent)),
        (r#""critical""#, Some(Priority::Urgent)),
        (r#""none""#, None),
        (r#""""#, None),
        (r#""n\u006fne""#, None),
        ("null", None),
    ] {
        let patch: Patch = parse(format!(r#"{{"priority":{given}}}"#).as_bytes()).unwrap();
        assert_eq!(patch.priority, Some(read), "{given}");
    }
    for wrong in ["None", "NONE", " ", "Urgent", "critical ", "null"] {
        assert_eq!(fields::<Patch>(&format!(r#"{{"priority":"{wrong}"}}"#)), ["priority"], "{wrong}");
    }
    assert_eq!(fields::<Patch>(r#"{"title":"none","priority":0}"#), ["priority"]);
}

#[test]
fn an_imported_task_keeps_its_instants_and_was_completed_at_its_last_change_at_the_latest() {
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
fn text_with_a_lone_surrogate_or_nul_is_refused() {
    assert_eq!(
        faults::<NewTask>(r#"{"title":"a\ud800b"}"#),
        [("title".into(), "must not hold a lone surrogate".into())]
    );
    assert_eq!(fields::<NewTask>(r#"{"title":"\udc00"}"#), ["title"]);
    assert_eq!(fields::<NewTask>(r#"{"title":"a\u0000b","description":"\u0000"}"#), ["title", "description"]);
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
fn deep_nesting_in_an_unknown_field_is_refused() {
    let deep = format!(r#"{{"title":"a","x":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    assert_eq!(fields::<NewTask>(&deep), ["body"]);
}

#[test]
fn completed_must_be_given_and_a_boolean() {
    assert!(parse::<Completed>(br#"{"completed":false}"#).is_ok_and(|form| !form.0));
    assert_eq!(fields::<Completed>("{}"), ["completed"]);
    assert_eq!(fields::<Completed>(r#"{"completed":1}"#), ["completed"]);
}
