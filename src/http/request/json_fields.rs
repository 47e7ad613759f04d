//! The reading of single fields of a JSON body, and the list of what is wrong with them.

use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;

use super::json_depth::is_too_deep;
use crate::domain::{
    Description, DueDate, Position, Priority, Tags, TagsError, TaskId, TextError, Timestamp, Title,
};
use crate::http::error::FieldError;

/// Faults listed in one answer at the most; a body may hold far more.
const MOST_FAULTS: usize = 1000;

/// The faults found so far.
pub(crate) struct Faults {
    list: Vec<FieldError>,
    /// What stands before a field's name.
    prefix: String,
    /// The name of what holds the fields.
    whole: String,
}

impl Faults {
    /// No faults yet, of a body whose fields are on top.
    pub(crate) fn of_body() -> Self {
        Self { list: Vec::new(), prefix: String::new(), whole: "body".into() }
    }

    /// From now on faults are of what `whole` names, and of its fields, whose names `prefix` precedes.
    pub(crate) fn enter(&mut self, whole: String, prefix: String) {
        (self.whole, self.prefix) = (whole, prefix);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.list.len()
    }

    /// Whether no more faults are listed.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= MOST_FAULTS
    }

    /// What was read, or all that is wrong.
    pub(crate) fn or<T>(self, read: Option<T>) -> Result<T, Vec<FieldError>> {
        match read {
            Some(value) if self.list.is_empty() => Ok(value),
            _ => Err(self.list),
        }
    }

    /// Notes what is wrong with a field.
    pub(crate) fn note(&mut self, field: &'static str, message: impl Into<Cow<'static, str>>) {
        let field =
            if self.prefix.is_empty() { field.into() } else { format!("{}{field}", self.prefix).into() };
        self.push(FieldError { field, message: message.into() });
    }

    /// Notes what is wrong with what holds the fields.
    pub(crate) fn note_whole(&mut self, message: impl Into<Cow<'static, str>>) {
        let error = FieldError { field: self.whole.clone().into(), message: message.into() };
        self.push(error);
    }

    fn push(&mut self, error: FieldError) {
        if !self.is_full() {
            self.list.push(error);
        }
    }

    /// Reads a field that was given; `None` if it was not, or is wrong.
    pub(crate) fn check<'a, T>(
        &mut self,
        field: &'static str,
        raw: Option<&'a RawValue>,
        read: fn(&'a RawValue) -> Result<T, FieldFault>,
    ) -> Option<T> {
        match read(raw?) {
            Ok(value) => return Some(value),
            Err(FieldFault::Type(message)) => self.note(field, message),
            Err(FieldFault::Text(error)) => self.note(field, error.to_string()),
            Err(FieldFault::Tags(error)) => self.note(field, error.to_string()),
        }
        None
    }

    /// Reads a field that must be given.
    pub(crate) fn require<'a, T>(
        &mut self,
        field: &'static str,
        raw: Option<&'a RawValue>,
        read: fn(&'a RawValue) -> Result<T, FieldFault>,
    ) -> Option<T> {
        if raw.is_none() {
            self.note(field, "is required");
        }
        self.check(field, raw, read)
    }
}

/// What can be wrong with a field.
pub(crate) enum FieldFault {
    Type(&'static str),
    Text(TextError),
    Tags(TagsError),
}

impl From<TextError> for FieldFault {
    fn from(error: TextError) -> Self {
        Self::Text(error)
    }
}

/// A field that is there, `null` or not.
pub(crate) fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// A body as text that is not nested too deeply.
pub(crate) fn text<'a>(body: &'a [u8], faults: &mut Faults) -> Option<&'a str> {
    let text = std::str::from_utf8(body);
    let text = text.map_err(|_| faults.note_whole("must be UTF-8")).ok()?;
    if is_too_deep(text) {
        faults.note_whole("must not be nested deeper than 64 levels");
        return None;
    }
    Some(text)
}

/// Takes a JSON object apart into known fields.
pub(crate) fn take_apart<'a, T: Deserialize<'a>>(text: &'a str, faults: &mut Faults) -> Option<T> {
    if !text.trim_ascii_start().starts_with('{') {
        // The derived reader would take an array, too.
        faults.note_whole("must be a JSON object");
        return None;
    }
    let fields = serde_json::from_str(text).map_err(|error| {
        if error.is_data() {
            faults.note_whole("must not give a field twice");
        } else {
            let (line, column) = (error.line(), error.column());
            faults.note_whole(format!("is not valid JSON at line {line}, column {column}"));
        }
    });
    fields.ok()
}

pub(crate) fn is_null(raw: &RawValue) -> bool {
    raw.get() == "null"
}

pub(crate) fn string(raw: &RawValue, otherwise: &'static str) -> Result<String, FieldFault> {
    let is_string = raw.get().starts_with('"');
    // A string can still hold half of a surrogate pair, which is no Unicode text.
    let wrong = if is_string { "must not hold a lone surrogate" } else { otherwise };
    serde_json::from_str(raw.get()).map_err(|_| FieldFault::Type(wrong))
}

pub(crate) fn list(raw: &RawValue) -> Result<Vec<&RawValue>, FieldFault> {
    serde_json::from_str(raw.get()).map_err(|_| FieldFault::Type("must be a list"))
}

pub(crate) fn id(raw: &RawValue) -> Result<TaskId, FieldFault> {
    TaskId::parse(&string(raw, "must be a UUID")?).ok_or(FieldFault::Type("must be a UUID"))
}

pub(crate) fn title(raw: &RawValue) -> Result<Title, FieldFault> {
    Ok(Title::parse(&string(raw, "must be a string")?)?)
}

pub(crate) fn description(raw: &RawValue) -> Result<Option<Description>, FieldFault> {
    unless_null(raw, |raw| Ok(Description::parse(&string(raw, "must be a string or null")?)?))
}

pub(crate) fn boolean(raw: &RawValue) -> Result<bool, FieldFault> {
    serde_json::from_str(raw.get()).map_err(|_| FieldFault::Type("must be true or false"))
}

pub(crate) fn priority(raw: &RawValue) -> Result<Option<Priority>, FieldFault> {
    const WRONG: &str = "must be `low`, `medium`, `high` or null";
    unless_null(raw, |raw| Priority::parse(&string(raw, WRONG)?).ok_or(FieldFault::Type(WRONG)))
}

pub(crate) fn tags(raw: &RawValue) -> Result<Tags, FieldFault> {
    const WRONG: &str = "must be a list of strings, or null";
    let tags = unless_null(raw, |raw| {
        let list: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| FieldFault::Type(WRONG))?;
        let list = list.into_iter().map(|tag| string(tag, WRONG)).collect::<Result<Vec<_>, _>>()?;
        Tags::parse(list.iter().map(String::as_str)).map_err(FieldFault::Tags)
    });
    tags.map(Option::unwrap_or_default)
}

pub(crate) fn due_date(raw: &RawValue) -> Result<Option<DueDate>, FieldFault> {
    const WRONG: &str =
        "must be a date such as `2026-03-01`, an instant such as `2026-03-01T18:00:00+01:00`, or null";
    unless_null(raw, |raw| DueDate::parse(&string(raw, WRONG)?).ok_or(FieldFault::Type(WRONG)))
}

pub(crate) fn position(raw: &RawValue) -> Result<Option<Position>, FieldFault> {
    const WRONG: &str = "must be 1 to 64 printable ASCII characters, or null";
    unless_null(raw, |raw| Position::parse(&string(raw, WRONG)?).ok_or(FieldFault::Type(WRONG)))
}

/// An instant of the years 1 to 9999, which is as far as its text form goes.
pub(crate) fn instant(raw: &RawValue) -> Result<Timestamp, FieldFault> {
    const WRONG: &str = "must be an instant such as `2026-02-08T10:30:00.123456Z`";
    let instant = DateTime::parse_from_rfc3339(&string(raw, WRONG)?).map_err(|_| FieldFault::Type(WRONG))?;
    let instant = instant.with_timezone(&Utc);
    if (1..=9999).contains(&instant.year()) { Ok(instant.into()) } else { Err(FieldFault::Type(WRONG)) }
}

fn unless_null<T>(
    raw: &RawValue,
    read: impl FnOnce(&RawValue) -> Result<T, FieldFault>,
) -> Result<Option<T>, FieldFault> {
    if is_null(raw) { Ok(None) } else { read(raw).map(Some) }
}
