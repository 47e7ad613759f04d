//! What a setting's text is checked for, and the error that names it.

use std::ffi::OsStr;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::TypedValueParser;
use clap::{Arg, Args, Command};

/// What is wrong with the settings: one line that names the variable, the value's form and what is
/// allowed. It never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub(super) String);

pub(super) fn wrong(name: &str, value: &str, allowed: &str) -> ConfigError {
    ConfigError(format!("{name} is `{}`, but must be {allowed}", value.escape_debug()))
}

/// What reads a setting's text, given the variable's name.
#[derive(Clone)]
struct Check<F>(F);

impl<F, T> TypedValueParser for Check<F>
where
    F: Fn(&str, &str) -> Result<T, ConfigError> + Clone + Send + Sync + 'static,
    T: Clone + Send + Sync,
{
    type Value = T;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, clap::Error> {
        let (Self(read), name) = (self.clone(), arg.map(variable).unwrap_or_default());
        (move |text: &str| read(&name, text)).parse_ref(command, arg, value)
    }
}

/// A component's settings where none is given.
///
/// # Panics
/// When a default does not pass its own check.
pub(super) fn defaults<T: Args>() -> T {
    let command = T::augment_args(Command::new("settings")).mut_args(|arg| arg.env(None::<&str>));
    T::from_arg_matches(&command.get_matches_from(["settings"])).expect("every default passes its check")
}

/// The variable of a setting: its field's name.
pub(super) fn variable(arg: &Arg) -> String {
    arg.get_id().as_str().to_uppercase()
}

/// Any check: `read` is given the variable's name and its text.
pub(super) fn checked<T: Clone + Send + Sync>(
    read: impl Fn(&str, &str) -> Result<T, ConfigError> + Clone + Send + Sync + 'static,
) -> impl TypedValueParser<Value = T> {
    Check(read)
}

/// What `read` takes.
pub(super) fn form<T: Clone + Send + Sync>(
    allowed: &'static str,
    read: impl Fn(&str) -> Option<T> + Clone + Send + Sync + 'static,
) -> impl TypedValueParser<Value = T> {
    checked(move |name, text| read(text).ok_or_else(|| wrong(name, text, allowed)))
}

/// One of two words.
pub(super) fn either<T: Copy + Send + Sync + 'static>(
    one: (&'static str, T),
    other: (&'static str, T),
) -> impl TypedValueParser<Value = T> {
    checked(move |name, text| {
        let known = [one, other].into_iter().find(|(word, _)| *word == text);
        let known = known.map(|(_, value)| value);
        known.ok_or_else(|| wrong(name, text, &format!("`{}` or `{}`", one.0, other.0)))
    })
}

/// A whole number within a range.
pub(super) fn number<T>(range: RangeInclusive<T>) -> impl TypedValueParser<Value = T>
where
    T: FromStr + PartialOrd + fmt::Display + Clone + Send + Sync + 'static,
{
    checked(move |name, text| {
        text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
            wrong(name, text, &format!("a whole number from {} to {}", range.start(), range.end()))
        })
    })
}

/// A whole number of seconds within a range.
pub(super) fn seconds(range: RangeInclusive<u64>) -> impl TypedValueParser<Value = Duration> {
    number(range).map(Duration::from_secs)
}
