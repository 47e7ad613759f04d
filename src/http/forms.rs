//! What request bodies say: from JSON text to domain types, with every fault listed.
//!
//! A body is read in two steps. The first takes it apart into the known fields, each still as raw
//! text; it refuses what is no JSON object and a field given twice, and ignores unknown fields. The
//! second checks each field by itself, so that one answer can list all that is wrong.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::depth::is_too_deep;
use super::error::FieldError;
use crate::domain::{Description, NewTask, Patch, TaskId, TextError, Title};

/// The known fields of any body, as given. `null` is a value like any other here.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Fields<'a> {
    #[serde(borrow, deserialize_with = "given")]
    id: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "given")]
    title: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "given")]
    description: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "given")]
    completed: Option<&'a RawValue>,
}

fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// Something a body can be read as.
pub(super) trait Form: Sized {
    /// Reads it from the fields.
    ///
    /// # Errors
    /// Every field that is wrong.
    fn read(fields: &Fields) -> Result<Self, Vec<FieldError>>;
}

/// Reads a body.
///
/// # Errors
/// Every field that is wrong, or what is wrong with the body as a whole.
pub(super) fn parse<T: Form>(body: &[u8]) -> Result<T, Vec<FieldError>> {
    let whole = |message: String| vec![FieldError::new("body", message)];
    let text = std::str::from_utf8(body).map_err(|_| whole("must be UTF-8".into()))?;
    if !text.trim_ascii_start().starts_with('{') {
        // The derived reader would take an array, too.
        return Err(whole("must be a JSON object".into()));
    }
    if is_too_deep(text) {
        return Err(whole("must not be nested deeper than 64 levels".into()));
    }
    let fields: Fields = serde_json::from_str(text).map_err(|error| {
        if error.is_data() {
            return whole("must not give a field twice".into());
        }
        whole(format!("is not valid JSON at line {}, column {}", error.line(), error.column()))
    })?;
    T::read(&fields)
}

impl Form for NewTask {
    fn read(fields: &Fields) -> Result<Self, Vec<FieldError>> {
        let mut faults = Faults::default();
        let id = faults.check("id", fields.id.filter(|raw| !is_null(raw)), id);
        let title = faults.check("title", fields.title, title);
        if fields.title.is_none() {
            faults.0.push(FieldError::new("title", "is required"));
        }
        let description = faults.check("description", fields.description, description).flatten();
        let completed = faults.check("completed", fields.completed, boolean).unwrap_or(false);
        let id = id.unwrap_or_else(TaskId::generate);
        match title {
            Some(title) if faults.0.is_empty() => Ok(Self { id, title, description, completed }),
            _ => Err(faults.0),
        }
    }
}

impl Form for Patch {
    fn read(fields: &Fields) -> Result<Self, Vec<FieldError>> {
        let mut faults = Faults::default();
        let patch = Self {
            title: faults.check("title", fields.title, title),
            description: faults.check("description", fields.description, description),
            completed: faults.check("completed", fields.completed, boolean),
        };
        if !faults.0.is_empty() {
            return Err(faults.0);
        }
        if patch == Self::default() {
            return Err(vec![FieldError::new("body", "must have `title`, `description` or `completed`")]);
        }
        Ok(patch)
    }
}

/// The state a task is to be set to.
pub(super) struct Completed(pub(super) bool);

impl Form for Completed {
    fn read(fields: &Fields) -> Result<Self, Vec<FieldError>> {
        let mut faults = Faults::default();
        match faults.check("completed", fields.completed, boolean) {
            Some(completed) => Ok(Self(completed)),
            None if fields.completed.is_none() => Err(vec![FieldError::new("completed", "is required")]),
            None => Err(faults.0),
        }
    }
}

/// The faults found so far.
#[derive(Default)]
struct Faults(Vec<FieldError>);

impl Faults {
    /// Reads a field that was given; `None` if it was not, or is wrong.
    fn check<T>(
        &mut self,
        field: &'static str,
        raw: Option<&RawValue>,
        read: fn(&RawValue) -> Result<T, Fault>,
    ) -> Option<T> {
        match read(raw?) {
            Ok(value) => Some(value),
            Err(Fault::Type(message)) => self.note(FieldError::new(field, message)),
            Err(Fault::Text(error)) => self.note(FieldError::new(field, error.to_string())),
        }
    }

    fn note<T>(&mut self, error: FieldError) -> Option<T> {
        self.0.push(error);
        None
    }
}

/// What can be wrong with a field.
enum Fault {
    Type(&'static str),
    Text(TextError),
}

impl From<TextError> for Fault {
    fn from(error: TextError) -> Self {
        Self::Text(error)
    }
}

fn is_null(raw: &RawValue) -> bool {
    raw.get() == "null"
}

fn string(raw: &RawValue, otherwise: &'static str) -> Result<String, Fault> {
    let is_string = raw.get().starts_with('"');
    // A string can still hold half of a surrogate pair, which is no Unicode text.
    let wrong = if is_string { "must not hold a lone surrogate" } else { otherwise };
    serde_json::from_str(raw.get()).map_err(|_| Fault::Type(wrong))
}

fn id(raw: &RawValue) -> Result<TaskId, Fault> {
    TaskId::parse(&string(raw, "must be a UUID")?).ok_or(Fault::Type("must be a UUID"))
}

fn title(raw: &RawValue) -> Result<Title, Fault> {
    Ok(Title::parse(&string(raw, "must be a string")?)?)
}

fn description(raw: &RawValue) -> Result<Option<Description>, Fault> {
    if is_null(raw) {
        return Ok(None);
    }
    Ok(Some(Description::parse(&string(raw, "must be a string or null")?)?))
}

fn boolean(raw: &RawValue) -> Result<bool, Fault> {
    serde_json::from_str(raw.get()).map_err(|_| Fault::Type("must be true or false"))
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
        assert_eq!((new.title.as_str(), new.description, new.completed), ("a", None, false));
        let id = "6f1c9a52-3d0e-4b7a-9c58-2f6d1e0b4a77";
        let body = format!(r#"{{"id":"{id}","title":"a","description":"","completed":true}}"#);
        let new: NewTask = parse(body.as_bytes()).unwrap();
        assert_eq!((new.id.to_string().as_str(), new.completed), (id, true));
        assert_eq!(new.description.unwrap().as_str(), "");
        assert!(parse::<NewTask>(br#"{"title":"a","description":null,"id":null}"#).is_ok());
    }

    #[test]
    fn every_bad_field_is_listed_not_just_the_first() {
        let body = r#"{"id":"x","title":"  ","description":5,"completed":null}"#;
        assert_eq!(fields::<NewTask>(body), ["id", "title", "description", "completed"]);
        assert_eq!(fields::<Patch>(body), ["title", "description", "completed"]);
        assert_eq!(fields::<NewTask>(r#"{"completed":"yes"}"#), ["title", "completed"]);
        assert_eq!(fields::<NewTask>("{}"), ["title"]);
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
        let patch: Patch = parse(br#"{"description":null}"#).unwrap();
        assert_eq!(patch, Patch { description: Some(None), ..Patch::default() });
        assert_eq!(fields::<Patch>("{}"), ["body"]);
        assert_eq!(fields::<Patch>(r#"{"titel":"x","id":3}"#), ["body"]);
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
