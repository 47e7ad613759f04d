//! Parsers of settings, and the error that names a wrong one.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::TypedValueParser;
use clap::{Args, Command};
use url::Host;

/// What is wrong with the settings: one line that names the variable, the value's form and what is
/// allowed. It never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub(super) String);

impl ConfigError {
    /// The same, of the setting or option `name`.
    pub(crate) fn of(&self, name: &str) -> Self {
        Self(format!("{name} {}", self.0))
    }
}

/// A value that is not allowed. The setting's name is added by [`ConfigError::of`].
pub(super) fn wrong(value: &str, allowed: &str) -> ConfigError {
    ConfigError(format!("is `{}`, but must be {allowed}", value.escape_debug()))
}

/// Whether a host, parsed from a URL, is an address or a name that a resolver can know: `$HOST` is neither.
pub(super) fn is_resolvable<S: AsRef<str>>(host: &Host<S>) -> bool {
    let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    !matches!(host, Host::Domain(name) if !name.as_ref().chars().all(of_name))
}

/// A component's settings where none is given.
///
/// # Panics
/// When a default does not pass its own check.
pub(super) fn defaults<T: Args>() -> T {
    let command = T::augment_args(Command::new("settings")).mut_args(|arg| arg.env(None::<&str>));
    T::from_arg_matches(&command.get_matches_from(["settings"])).expect("every default passes its check")
}

/// The variable of the setting whose flag is `--<flag>`.
pub(super) fn variable(flag: &str) -> String {
    flag.replace('-', "_").to_uppercase()
}

/// A value that `read` accepts; `allowed` describes those in the error.
pub(super) fn form<T: Clone + Send + Sync>(
    allowed: &'static str,
    read: impl Fn(&str) -> Option<T> + Clone + Send + Sync + 'static,
) -> impl TypedValueParser<Value = T> {
    move |text: &str| read(text).ok_or_else(|| wrong(text, allowed))
}

/// One of two words.
pub(super) fn either<T: Copy + Send + Sync + 'static>(
    one: (&'static str, T),
    other: (&'static str, T),
) -> impl TypedValueParser<Value = T> {
    move |text: &str| {
        let known = [one, other].into_iter().find(|(word, _)| *word == text);
        let known = known.map(|(_, value)| value);
        known.ok_or_else(|| wrong(text, &format!("`{}` or `{}`", one.0, other.0)))
    }
}

/// Reads a whole number in digits only.
pub(super) fn digits<T: FromStr>(text: &str) -> Option<T> {
    Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// A whole number within a range.
pub(super) fn number<T>(range: RangeInclusive<T>) -> impl TypedValueParser<Value = T>
where
    T: FromStr + PartialOrd + fmt::Display + Clone + Send + Sync + 'static,
{
    move |text: &str| {
        digits(text)
            .filter(|number| range.contains(number))
            .ok_or_else(|| wrong(text, &format!("a whole number from {} to {}", range.start(), range.end())))
    }
}

/// A whole number of seconds within a range.
pub(super) fn seconds(range: RangeInclusive<u64>) -> impl TypedValueParser<Value = Duration> {
    number(range).map(Duration::from_secs)
}
