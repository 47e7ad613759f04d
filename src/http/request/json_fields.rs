//! A JSON body's fields, each still as raw text, and the list of what is wrong with them.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json_depth::is_too_deep;
use crate::http::error::FieldError;

/// Faults listed in one answer at most; a body may hold far more.
const MOST_FAULTS: usize = 1000;

/// What is wrong with a field.
pub(crate) type Fault = Cow<'static, str>;

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
    pub(crate) fn note(&mut self, field: &'static str, message: impl Into<Fault>) {
        let field =
            if self.prefix.is_empty() { field.into() } else { format!("{}{field}", self.prefix).into() };
        self.push(FieldError { field, message: message.into() });
    }

    /// Notes what is wrong with what holds the fields.
    pub(crate) fn note_whole(&mut self, message: impl Into<Fault>) {
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
        read: fn(&'a RawValue) -> Result<T, Fault>,
    ) -> Option<T> {
        read(raw?).map_err(|message| self.note(field, message)).ok()
    }

    /// Reads a field that must be given.
    pub(crate) fn require<'a, T>(
        &mut self,
        field: &'static str,
        raw: Option<&'a RawValue>,
        read: fn(&'a RawValue) -> Result<T, Fault>,
    ) -> Option<T> {
        if raw.is_none() {
            self.note(field, "is required");
        }
        self.check(field, raw, read)
    }
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

/// The known fields of a JSON object, as given. `null` is a value like any other here.
pub(crate) struct RawObject<'a>(Vec<(&'static str, &'a RawValue)>);

impl<'a> RawObject<'a> {
    /// Takes a JSON object apart: refuses a known field given twice, ignores unknown ones.
    pub(crate) fn parse(text: &'a str, known: &[&'static str], faults: &mut Faults) -> Option<Self> {
        if !text.trim_ascii_start().starts_with('{') {
            faults.note_whole("must be a JSON object");
            return None;
        }
        let mut json = serde_json::Deserializer::from_str(text);
        let object = json.deserialize_map(Known(known)).and_then(|object| json.end().map(|()| object));
        let object = object.map_err(|error| {
            if error.is_data() {
                faults.note_whole("must not give a field twice");
            } else {
                let (line, column) = (error.line(), error.column());
                faults.note_whole(format!("is not valid JSON at line {line}, column {column}"));
            }
        });
        object.ok()
    }

    /// What a field is given as.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(given, _)| *given == name).map(|(_, raw)| *raw)
    }
}

/// The names to look for in an object.
struct Known<'n>(&'n [&'static str]);

impl<'de> Visitor<'de> for Known<'_> {
    type Value = RawObject<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        #[derive(Deserialize)]
        struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
        let mut fields: Vec<(&'static str, &RawValue)> = Vec::with_capacity(self.0.len());
        while let Some(Name(name)) = map.next_key()? {
            match self.0.iter().copied().find(|known| *known == name) {
                Some(known) if fields.iter().any(|(given, _)| *given == known) => {
                    return Err(A::Error::duplicate_field(known));
                }
                Some(known) => fields.push((known, map.next_value()?)),
                None => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(RawObject(fields))
    }
}

pub(crate) fn is_null(raw: &RawValue) -> bool {
    raw.get() == "null"
}

pub(crate) fn string(raw: &RawValue, otherwise: &'static str) -> Result<String, Fault> {
    let is_string = raw.get().starts_with('"');
    // A string can still hold half of a surrogate pair, which is no Unicode text.
    let wrong = if is_string { "must not hold a lone surrogate" } else { otherwise };
    serde_json::from_str(raw.get()).map_err(|_| wrong.into())
}

/// What is read from a string.
pub(crate) fn parsed<T>(
    raw: &RawValue,
    otherwise: &'static str,
    parse: fn(&str) -> Option<T>,
) -> Result<T, Fault> {
    parse(&string(raw, otherwise)?).ok_or_else(|| otherwise.into())
}

pub(crate) fn list<'a>(raw: &'a RawValue, otherwise: &'static str) -> Result<Vec<&'a RawValue>, Fault> {
    serde_json::from_str(raw.get()).map_err(|_| otherwise.into())
}

/// The names as a sentence has them: `` `a`, `b` or `c` ``.
pub(crate) fn one_of<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let mut names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    let last = names.pop().unwrap_or_default();
    if names.is_empty() { last } else { format!("{} or {last}", names.join(", ")) }
}
