//! A task in JSON: in request bodies, and in responses. Each field of a task is listed twice: in
//! [`content`], for reading bodies and for their schemas, and in [`TaskBody`], the schema of responses.
//!
//! A body is read in two steps. The first splits it into its known fields, each still as raw text; it
//! refuses anything but a JSON object, and a field given twice, and ignores unknown fields. The second
//! checks each field by itself, so that one response can list all faults.

use std::sync::LazyLock;

use serde_json::json;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, OneOfBuilder, SchemaFormat, SchemaType, Type};
use uuid::Uuid;

use super::form::{
    Documenter, FieldReader, FieldValue, Fields, Form, NamedSchemas, SchemaOrName, documented, refer_to,
    text, text_like,
};
use super::json_fields::{self, Fault, Faults, RawObject, one_of, parsed, string};
use crate::domain::{
    Description, DueDate, NewTask, Patch, Position, Priority, Seq, Tags, Task, TaskContent, TaskId,
    Timestamp, Title,
};
use crate::http::error::FieldError;

/// The content of a task in a body: all of it (`whole`), or changes to it.
fn content(fields: &mut impl Fields, whole: bool) -> Patch {
    Patch {
        title: if whole { fields.required("title") } else { fields.optional("title") },
        description: fields.optional("description"),
        completed: if whole { Some(fields.flag("completed")) } else { fields.optional("completed") },
        priority: fields.optional("priority"),
        tags: fields.optional("tags"),
        due_date: fields.optional("due_date"),
        position: fields.optional("position"),
    }
}

/// All of a task's content, if it has a title; and whether the task is completed.
fn whole_content(fields: &mut impl Fields) -> (bool, Option<TaskContent>) {
    let patch = content(fields, true);
    let completed = patch.completed.unwrap_or(false);
    let content = patch.title.clone().map(|title| {
        let mut content = TaskContent::titled(title);
        content.apply(patch);
        content
    });
    (completed, content)
}

impl Form for NewTask {
    fn read(fields: &mut impl Fields) -> Option<Self> {
        let id: Option<Option<TaskId>> = fields.optional("id");
        let (_, content) = whole_content(fields);
        Some(Self { id: id.flatten().unwrap_or_else(TaskId::generate), content: content? })
    }
}

documented!(
    form NewTask as "CreateTask",
    "A new task. The client may choose its `id`, so that the request can be retried; else the server \
     chooses it.",
    json!({
        "title": "Buy milk", "description": "Two litres", "priority": "high", "tags": ["home", "shop"],
        "due_date": "2026-02-14", "position": "a0"
    })
);

impl Form for Patch {
    fn read(fields: &mut impl Fields) -> Option<Self> {
        static EMPTY: LazyLock<String> = LazyLock::new(|| {
            let names = Documenter::of(|fields| content(fields, false)).names;
            format!("must have {}", one_of(names))
        });
        let before = fields.faults().count();
        let patch = content(fields, false);
        if patch == Self::default() && fields.faults().count() == before {
            fields.faults().note_whole(EMPTY.as_str());
        }
        Some(patch)
    }
}

documented!(
    form Patch as "UpdateTask",
    "Changes to a task; at least one field. Fields that are left out stay, and `null` clears.",
    json!({"title": "Buy oat milk", "priority": null}),
    min_properties(Some(1))
);

/// A task of an export. Its owner and version are ignored.
impl Form for Task {
    fn read(fields: &mut impl Fields) -> Option<Self> {
        let id = fields.required("id");
        let (completed, content) = whole_content(fields);
        let completed_at: Option<Timestamp> = fields.optional("completed_at").flatten();
        let (created_at, updated_at) = (fields.required("created_at"), fields.required("updated_at"));
        if completed_at.is_some() && !completed {
            fields.faults().note("completed_at", "must be null unless `completed` is true");
        }
        let (id, content, created_at, updated_at) = (id?, content?, created_at?, updated_at?);
        // Not every old export says when a task was completed: at its last change, at the latest.
        let completed_at = completed.then(|| completed_at.unwrap_or(updated_at));
        Some(Self { id, content, completed_at, created_at, updated_at, version: Seq::ZERO })
    }
}

documented!(
    form Task as "ImportTask",
    "A task to import. Its `completed_at` is null unless it is completed; where it is missing, `updated_at` \
     counts.",
    import_example()
);

pub(crate) fn import_example() -> serde_json::Value {
    json!({
        "id": "01958f3a-6c5e-7d2a-9b1f-3e4d5c6b7a89", "title": "Buy milk", "completed": true,
        "completed_at": "2026-02-09T08:00:00Z", "created_at": "2026-02-08T10:30:00.123456Z",
        "updated_at": "2026-02-09T08:00:00Z"
    })
}

/// The state to set.
pub(crate) struct Completed(pub(crate) bool);

impl Form for Completed {
    fn read(fields: &mut impl Fields) -> Option<Self> {
        fields.required("completed").map(Self)
    }
}

documented!(form Completed as "CompleteTask", "The state to set.", json!({"completed": true}));

/// Reads a body.
///
/// # Errors
/// Every field that is wrong, or what is wrong with the body as a whole.
pub(crate) fn parse<T: Form>(body: &[u8]) -> Result<T, Vec<FieldError>> {
    json_fields::read_body(body, read)
}

/// Reads a JSON object as a form.
pub(crate) fn read<T: Form>(text: &str, faults: &mut Faults) -> Option<T> {
    // An import has every field that any body has.
    static KNOWN: LazyLock<Vec<&str>> = LazyLock::new(|| Documenter::of(Task::read).names);
    let object = RawObject::parse(text, &KNOWN, faults)?;
    T::read(&mut FieldReader { object, faults })
}

/// A task.
#[derive(ToSchema)]
#[schema(as = Task, example = json!(task_example()))]
#[expect(dead_code, reason = "tasks are rendered by the lanes: only its schema is used")]
pub(crate) struct TaskBody {
    id: Uuid,
    /// The owner: the token's subject.
    user_id: String,
    #[schema(min_length = 1, max_length = 200)]
    title: String,
    #[schema(max_length = 2000, required)]
    description: Option<String>,
    completed: bool,
    #[schema(required)]
    priority: Option<Priority>,
    /// In the order in which they were given.
    #[schema(max_items = 20)]
    tags: Vec<String>,
    /// A date or an instant, in the form in which it was given.
    #[schema(required)]
    due_date: Option<String>,
    /// When it was completed. In UTC, with six decimals.
    #[schema(format = DateTime, required)]
    completed_at: Option<String>,
    /// The client's own ordering key.
    #[schema(max_length = 64, required)]
    position: Option<String>,
    /// In UTC, with six decimals.
    #[schema(format = DateTime)]
    created_at: String,
    /// In UTC, with six decimals. Raised by every accepted change, even one that changes nothing.
    #[schema(format = DateTime)]
    updated_at: String,
    /// The owner's seq at the task's last change.
    #[schema(minimum = 1)]
    version: i64,
}

fn task_example() -> serde_json::Value {
    json!({
        "id": "01958f3a-6c5e-7d2a-9b1f-3e4d5c6b7a89", "user_id": "kXf2mPq8RtYvW3zAbC5dEfGhJ7nL9sU1",
        "title": "Buy milk", "description": null, "completed": false, "priority": "high",
        "tags": ["home", "shop"], "due_date": "2026-02-14", "completed_at": null, "position": "a0",
        "created_at": "2026-02-08T10:30:00.123456Z", "updated_at": "2026-02-08T10:30:00.123456Z", "version": 1
    })
}

/// Tasks, in the requested order.
#[derive(ToSchema)]
#[schema(example = json!({"tasks": [task_example()], "count": 1, "total": 1, "next_cursor": null}))]
#[expect(dead_code, reason = "lists are rendered by the lanes: only its schema is used")]
pub(crate) struct TaskList {
    tasks: Vec<TaskBody>,
    /// How many tasks are in this response.
    count: u64,
    /// How many tasks match the parameters, on all pages together.
    total: u64,
    /// Leads to the next page, if there is one.
    #[schema(required)]
    next_cursor: Option<String>,
}

documented!(
    value TaskId as "TaskId",
    text("A task's id.").format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid))),
    |raw| parsed(raw, "must be a UUID", Self::parse)
);

documented!(
    value Title as "Title",
    text_like("A title: trimmed of white space, then 1 to 200 characters, none of them U+0000, and not only invisible \
         ones (white space and Unicode's category Cf).", "Buy milk")
        .pattern(Some(trimmed(Self::MAX))),
    |raw| Self::parse(&string(raw, "must be a string")?).map_err(|error| error.to_string().into())
);

documented!(
    value Description as "Description",
    text_like("A description, kept as it is; any character but U+0000.", "Two litres")
        .max_length(Some(Self::MAX))
        .pattern(Some(r"^[^\u0000]*$")),
    |raw| Self::parse(&string(raw, "must be a string or null")?).map_err(|error| error.to_string().into())
);

documented!(
    Priority as "Priority",
    text("How important a task is.").enum_values(Some(Self::ALL.map(Self::as_str)))
);

/// What a client may say of a task's priority: its name, another word for one, or a word for none.
pub(crate) enum PriorityName {}

/// Words for no priority, for those whose forms have no `null`.
const NO_PRIORITY: [&str; 2] = ["none", ""];

documented!(
    PriorityName as "PriorityName",
    text("A priority: `critical` is another word for `urgent`; `none` and the empty text mean null.").enum_values(
        Some(Priority::ALL.map(Priority::as_str).into_iter().chain([Priority::CRITICAL]).chain(NO_PRIORITY))
    )
);

impl PriorityName {
    /// What is wrong with any other.
    pub(crate) const WRONG: &str = "must be `low`, `medium`, `high`, `urgent` or null";

    /// Whether a name is a word for none.
    pub(crate) fn is_none(name: &str) -> bool {
        NO_PRIORITY.contains(&name)
    }
}

impl FieldValue for Priority {
    fn read(raw: &RawValue) -> Result<Self, Fault> {
        parsed(raw, PriorityName::WRONG, Self::parse)
    }

    fn is_none(raw: &RawValue) -> bool {
        string(raw, "").is_ok_and(|name| PriorityName::is_none(&name))
    }

    fn schema_in(named: &mut NamedSchemas) -> SchemaOrName {
        refer_to::<PriorityName>(named)
    }
}

documented!(
    value DueDate as "DueDate",
    {
        let kind = |words, format| text(words).format(Some(SchemaFormat::KnownFormat(format)));
        OneOfBuilder::new()
            .item(kind("A date of RFC 3339, such as `2026-03-01`.", KnownFormat::Date))
            .item(kind("A date-time of RFC 3339, such as `2026-03-01T18:00:00+01:00`.", KnownFormat::DateTime))
            .description(Some(
                "A date, or an instant with its offset, of the years 1 to 9999, and with nine decimals at most; returned \
                 in the form in which it was given.",
            ))
    },
    |raw| parsed(
        raw,
        "must be a date such as `2026-03-01`, an instant such as `2026-03-01T18:00:00+01:00`, or null",
        Self::parse
    )
);

documented!(
    value Position as "Position",
    text_like("The client's own ordering key: printable ASCII, sorted byte by byte.", "a0")
        .max_length(Some(Self::MAX))
        .pattern(Some("^[ -~]+$")),
    |raw| parsed(raw, "must be 1 to 64 printable ASCII characters, or null", Self::parse)
);

// Of the years 1 to 9999, since RFC 3339 has four digits for the year.
documented!(
    value Timestamp as "Instant",
    text_like("An instant, a date-time of RFC 3339.", "2026-02-09T08:00:00Z")
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))),
    |raw| parsed(raw, "must be an instant such as `2026-02-08T10:30:00.123456Z`", Self::parse)
);

/// One of a task's [`Tags`].
pub(crate) enum Tag {}

documented!(
    Tag as "Tag",
    text_like("A tag: trimmed of white space, then 1 to 50 characters, none of them U+0000.", "home")
        .pattern(Some(trimmed(Tags::LONGEST)))
);

impl FieldValue for Tags {
    fn read(raw: &RawValue) -> Result<Self, Fault> {
        const WRONG: &str = "must be a list of strings, or null";
        if json_fields::is_null(raw) {
            return Ok(Self::default());
        }
        let tags = json_fields::list(raw, WRONG)?.into_iter().map(|tag| string(tag, WRONG));
        let tags = tags.collect::<Result<Vec<_>, _>>()?;
        Self::parse(tags.iter().map(String::as_str)).map_err(|error| error.to_string().into())
    }

    fn schema_in(named: &mut NamedSchemas) -> SchemaOrName {
        let list = ArrayBuilder::new().schema_type(SchemaType::Array(vec![Type::Array, Type::Null]));
        let list = list.items(refer_to::<Tag>(named)).max_items(Some(Self::MAX));
        list.description(Some(
            "Of tags that are the same in upper and lower case, or composed otherwise, the first is kept; `null` is the \
             same as `[]`.",
        )).into()
    }
}

/// A pattern for strings of 1 to `max` characters after trimming, none of them U+0000. The first and the last one are
/// visible, which is narrower than what is taken: one visible character anywhere will do.
fn trimmed(max: usize) -> String {
    let white = r"\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000";
    // Category Cf, up to U+FFFF.
    let invisible = concat!(
        r"\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e",
        r"\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb",
    );
    let (outer, inner) = (format!(r"[^\u0000{white}{invisible}]"), max - 2);
    format!(r"^[{white}]*{outer}([^\u0000]{{0,{inner}}}{outer})?[{white}]*$")
}

#[cfg(test)]
mod tests;
