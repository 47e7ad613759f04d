//! The parameters of a query string, decoded.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::http::error::{ApiError, FieldError};

/// Characters that must be encoded in a URI (RFC 3986). Not `%`, since the path and the query are encoded
/// already.
const NOT_IN_URI: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A query string's parameters, and their faults so far. Unknown ones are ignored.
pub(crate) struct Parameters<'a> {
    /// Names are decoded, values are not.
    pairs: Vec<(Cow<'a, str>, &'a str)>,
    faults: Vec<FieldError>,
}

impl<'a> Parameters<'a> {
    /// Splits a query string into its parameters.
    pub(crate) fn new(query: &'a str) -> Self {
        // A name that is not UTF-8 is an unknown one.
        let pairs = query.split('&').filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            decode(name).map(|name| (name, value))
        });
        Self { pairs: pairs.collect(), faults: Vec::new() }
    }

    /// All values of a parameter that may be given several times, also as `name[]`.
    pub(crate) fn all(&mut self, name: &'static str) -> Vec<Cow<'a, str>> {
        self.values(name, |key| key.strip_suffix("[]").unwrap_or(key) == name)
    }

    fn values(&mut self, name: &'static str, is_it: impl Fn(&str) -> bool) -> Vec<Cow<'a, str>> {
        let given = self.pairs.iter().filter(|(key, _)| is_it(key));
        let decoded: Option<Vec<_>> = given.map(|(_, value)| decode(value)).collect();
        decoded.unwrap_or_else(|| {
            self.note(name, "must be UTF-8");
            Vec::new()
        })
    }

    /// The value of a parameter that may be given once.
    pub(crate) fn one(&mut self, name: &'static str) -> Option<Cow<'a, str>> {
        let mut all = self.values(name, |key| key == name);
        if all.len() > 1 {
            self.note(name, "must be given once");
            return None;
        }
        all.pop()
    }

    /// The value of a parameter that may be given once, as read by `read`; if that gives `None`, the fault
    /// is `form`.
    pub(crate) fn read<T>(
        &mut self,
        name: &'static str,
        form: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.one(name)?;
        let value = read(&text);
        if value.is_none() {
            self.note(name, form);
        }
        value
    }

    /// Notes what is wrong with a parameter.
    pub(crate) fn note(&mut self, name: &'static str, message: &'static str) {
        self.faults.push(FieldError::new(name, message));
    }

    /// Whether there is no fault so far.
    pub(crate) fn is_fine(&self) -> bool {
        self.faults.is_empty()
    }

    /// Fails if there is a fault.
    pub(crate) fn check(self) -> Result<(), ApiError> {
        if self.faults.is_empty() { Ok(()) } else { Err(ApiError::invalid(self.faults)) }
    }
}

/// A whole number within bounds, in digits only.
pub(crate) fn number<T: std::str::FromStr + PartialOrd>(text: &str, within: RangeInclusive<T>) -> Option<T> {
    let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits?.parse().ok().filter(|number| within.contains(number))
}

/// Decodes a name or a value of the form encoding: `+` is a space.
fn decode(value: &str) -> Option<Cow<'_, str>> {
    if !value.contains('+') {
        return percent_decode_str(value).decode_utf8().ok();
    }
    let spaced = value.replace('+', " ");
    Some(percent_decode_str(&spaced).decode_utf8().ok()?.into_owned().into())
}

/// The same path and query with another `cursor`.
pub(crate) fn with_cursor(path: &str, query: &str, cursor: &str) -> String {
    let is_cursor =
        |pair: &str| decode(pair.split('=').next().unwrap_or_default()).as_deref() == Some("cursor");
    let mut pairs: Vec<_> = query.split('&').filter(|pair| !pair.is_empty() && !is_cursor(pair)).collect();
    let cursor = format!("cursor={cursor}");
    pairs.push(&cursor);
    utf8_percent_encode(&format!("{path}?{}", pairs.join("&")), NOT_IN_URI).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_a_plus_is_a_space() {
        let mut parameters = Parameters::new("a=1+2&b=%2B%C3%A9&&c&a=3&d=%FF&%61=4&%FF=5&a+=6&%2561=7");
        assert_eq!(parameters.all("a"), ["1 2", "3", "4"]);
        assert_eq!(parameters.one("b").unwrap(), "+é");
        assert_eq!(parameters.one("c").unwrap(), "");
        assert_eq!(parameters.one("x"), None);
        assert!(parameters.faults.is_empty());
        assert_eq!((parameters.one("a"), parameters.one("d")), (None, None));
        let names: Vec<_> = parameters.faults.iter().map(|fault| &*fault.field).collect();
        assert_eq!(names, ["a", "d"]);
    }

    #[test]
    fn names_are_decoded_like_values() {
        for query in
            ["due_before=x", "due%5Fbefore=x", "%64ue_befor%65=x", "%64%75%65%5f%62%65%66%6F%72%65=x"]
        {
            assert_eq!(Parameters::new(query).one("due_before").as_deref(), Some("x"), "{query}");
        }
        for query in ["due+before=x", "due%255Fbefore=x", "due%5=x", "due_before%00=x", "%FF=x"] {
            assert_eq!(Parameters::new(query).one("due_before"), None, "{query}");
        }
    }

    #[test]
    fn a_parameter_that_may_be_repeated_may_have_brackets() {
        let mut parameters = Parameters::new("tag=a&tag[]=b&tag%5B%5D=c&tag[0]=d&limit[]=1");
        assert_eq!(parameters.all("tag"), ["a", "b", "c"]);
        assert_eq!(parameters.one("limit"), None);
    }

    #[test]
    fn the_next_page_keeps_every_other_parameter() {
        assert_eq!(with_cursor("/t", "", "c"), "/t?cursor=c");
        assert_eq!(
            with_cursor("/t", "limit=2&tag=a%20b&cursor=x&&%63urso%72=y&q", "c"),
            "/t?limit=2&tag=a%20b&q&cursor=c"
        );
        assert_eq!(with_cursor("/t", "a=\"<é>\"", "c"), "/t?a=%22%3C%C3%A9%3E%22&cursor=c");
    }

    #[test]
    fn a_number_has_only_digits() {
        assert_eq!(number("500", 1..=500), Some(500));
        for text in ["", "0", "501", "+5", "-1", "1e2", " 1", "99999999999999999999"] {
            assert_eq!(number(text, 1..=500), None, "{text}");
        }
    }
}
