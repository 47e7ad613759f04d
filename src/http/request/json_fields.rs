//! The fields of a JSON body, each still as raw text, and the list of their faults.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json_depth::is_too_deep;
use crate::http::error::FieldError;

/// Faults listed in one response, at most; a body may hold far more.
const MOST_FAULTS: usize = 1000;

/// What is wrong with a field.
pub(crate) type Fault = Cow<'static, str>;

/// The faults found so far.
pub(crate) struct Faults {
    list: Vec<FieldError>,
    /// Precedes a field's name in its fault.
    prefix: String,
    /// The name of the object that has the fields.
    whole: String,
}

impl Faults {
    /// No faults yet, of a body's own fields.
    pub(crate) fn of_body() -> Self {
        Self { list: Vec::new(), prefix: String::new(), whole: "body".into() }
    }

    /// The faults from now on are those of the object called `whole`, and of its fields, with `prefix`
    /// before their names.
    pub(crate) fn enter(&mut self, whole: String, prefix: String) {
        (self.whole, self.prefix) = (whole, prefix);
    }

    /// How many faults were noted.
    pub(crate) fn count(&self) -> usize {
        self.list.len()
    }

    /// Whether the list is full: further faults are left out.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= MOST_FAULTS
    }

    /// Notes what is wrong with a field.
    pub(crate) fn note(&mut self, field: &'static str, message: impl Into<Fault>) {
        let field =
            if self.prefix.is_empty() { field.into() } else { format!("{}{field}", self.prefix).into() };
        self.push(FieldError { field, message: message.into() });
    }

    /// Notes what is wrong with the object that has the fields.
    pub(crate) fn note_whole(&mut self, message: impl Into<Fault>) {
        self.push(FieldError { field: self.whole.clone().into(), message: message.into() });
    }

    fn push(&mut self, error: FieldError) {
        if !self.is_full() {
            self.list.push(error);
        }
    }

    /// Reads a field that may be given; `None` if it was not given or is wrong.
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

/// Reads a body with `read`.
///
/// # Errors
/// All faults, of the body as a whole or of its fields.
pub(crate) fn read_body<T>(
    body: &[u8],
    read: impl FnOnce(&str, &mut Faults) -> Option<T>,
) -> Result<T, Vec<FieldError>> {
    let mut faults = Faults::of_body();
    let mut value = None;
    match str::from_utf8(body) {
        Ok(text) if !is_too_deep(text) => value = read(text, &mut faults),
        Ok(_) => faults.note_whole("must not be nested deeper than 64 levels"),
        Err(_) => faults.note_whole("must be UTF-8"),
    }
    value.filter(|_| faults.list.is_empty()).ok_or(faults.list)
}

/// Reads a body whose one field is a list. `read` gets an element and its name, such as `tasks[7]`.
///
/// # Errors
/// All faults; too few or too many elements are one, with the message `wrong_length`.
pub(crate) fn read_list<T>(
    body: &[u8],
    field: &'static str,
    lengths: RangeInclusive<usize>,
    wrong_length: &'static str,
    read: impl Fn(&str, &str, &mut Faults) -> Option<T>,
) -> Result<Vec<T>, Vec<FieldError>> {
    read_body(body, |text, faults| {
        let object = RawObject::parse(text, &[field], faults)?;
        let elements = faults.require(field, object.get(field), |raw| list(raw, "must be a list"))?;
        if !lengths.contains(&elements.len()) {
            faults.note(field, wrong_length);
            return None;
        }
        let mut values = Vec::with_capacity(elements.len());
        for (index, element) in elements.into_iter().enumerate() {
            if faults.is_full() {
                return None;
            }
            let name = format!("{field}[{index}]");
            faults.enter(name.clone(), format!("{name}."));
            values.extend(read(element.get(), &name, faults));
        }
        Some(values)
    })
}

/// The known fields of a JSON object, as given, `null` included.
pub(crate) struct RawObject<'a>(Vec<(&'static str, &'a RawValue)>);

impl<'a> RawObject<'a> {
    /// Splits a JSON object into its fields: refuses a known field given twice, ignores unknown ones.
    pub(crate) fn parse(text: &'a str, known: &[&'static str], faults: &mut Faults) -> Option<Self> {
        if !text.trim_ascii_start().starts_with('{') {
            faults.note_whole("must be a JSON object");
            return None;
        }
        let mut json = serde_json::Deserializer::from_str(text);
        let object = json.deserialize_map(Known(known)).and_then(|object| json.end().map(|()| object));
        let wrong = |error: serde_json::Error| match (error.is_data(), error.line(), error.column()) {
            (true, ..) => faults.note_whole("must not give a field twice"),
            (_, line, column) => {
                faults.note_whole(format!("is not valid JSON at line {line}, column {column}"));
            }
        };
        object.map_err(wrong).ok()
    }

    /// A field's raw value, if it was given.
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
    // A JSON string can hold half of a surrogate pair, which is not valid Unicode.
    let wrong = if is_string { "must not hold a lone surrogate" } else { otherwise };
    serde_json::from_str(raw.get()).map_err(|_| wrong.into())
}

/// Reads a string with `parse`; `otherwise` is the fault if it is not valid.
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

/// The names as part of a sentence: `` `a`, `b` or `c` ``.
pub(crate) fn one_of<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let mut names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    let last = names.pop().unwrap_or_default();
    if names.is_empty() { last } else { format!("{} or {last}", names.join(", ")) }
}
