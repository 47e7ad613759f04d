//! `.env` of the working folder, and files that hold a secret.
//!
//! `.env` is read as Node's `dotenv` reads it, so that the service and a frontend that share the file have the same
//! secret: `$` stands for itself, `#` ends a value that is not in quotes, and only `\n` and `\r` in double quotes
//! stand for something else. What that would take as part of a value by mistake (an open quote, a line without a
//! name) is refused.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::{env, fs, io};

use super::check::ConfigError;

/// The file.
const NAME: &str = ".env";

/// Bytes of a file that holds a secret, at most.
const LARGEST: u64 = 64 << 10;

/// Where variables were found that the environment did not have.
#[derive(Clone, Debug, Default)]
pub struct Sources(BTreeMap<String, String>);

impl Sources {
    /// The same error, with the file in which the wrong value stands.
    #[must_use]
    pub fn locate(&self, error: ConfigError) -> ConfigError {
        match error.0.split(' ').next().and_then(|name| self.0.get(name)) {
            Some(file) => ConfigError(format!("{file}: {error}")),
            None => error,
        }
    }
}

/// Reads `.env` in this folder, and sets those of its variables that are not set yet. Then, for each of `secrets`, say
/// `DATABASE_URL`, reads the file that `DATABASE_URL_FILE` names, if it is set.
///
/// # Errors
/// One line that names the file and what is wrong with it; nothing of its content.
pub fn read_files(secrets: &[String]) -> Result<Sources, ConfigError> {
    let values = match fs::read_to_string(NAME) {
        Ok(text) => {
            parse(&text).map_err(|(line, what)| ConfigError(format!("{NAME}, line {line}: {what}")))?
        }
        Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => return Err(ConfigError(format!("{NAME} cannot be read: {error}"))),
    };
    let sources = values.keys().filter(|name| env::var_os(name).is_none());
    let mut sources: BTreeMap<_, _> = sources.map(|name| (name.clone(), NAME.to_owned())).collect();
    set(&values, false)?;
    let given = |name: &str| env::var(name).ok().filter(|value| !value.trim().is_empty());
    let mut read = BTreeMap::new();
    for name in secrets {
        let by_file = format!("{name}_FILE");
        let Some(file) = given(&by_file) else { continue };
        if given(name).is_some() {
            return Err(ConfigError(format!("{name} and {by_file} are both set: remove one of them")));
        }
        let secret = read_secret(file.trim())
            .map_err(|error| ConfigError(format!("{by_file}: {} cannot be used: {error}", file.trim())))?;
        read.insert(name.clone(), secret);
        sources.insert(name.clone(), by_file);
    }
    set(&read, true)?;
    Ok(Sources(sources))
}

/// A secret in a file of its own. The line's end does not belong to it.
fn read_secret(file: &str) -> io::Result<String> {
    let mut text = String::new();
    File::open(file)?.take(LARGEST + 1).read_to_string(&mut text)?;
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    let wrong = |what: &str| Err(io::Error::new(ErrorKind::InvalidData, what));
    match () {
        () if text.len() as u64 > LARGEST => wrong("it is larger than 64 KiB"),
        () if secret.trim().is_empty() => wrong("it is empty"),
        () if secret.contains(char::is_control) => wrong("it must hold one line, and nothing but the value"),
        () => Ok(secret.to_owned()),
    }
}

/// Sets variables of this process. Setting them is for one thread only, which the library knows how to promise.
fn set(values: &BTreeMap<String, String>, replace: bool) -> Result<(), ConfigError> {
    let is_name = |name: &str| !name.starts_with(|c: char| c.is_ascii_digit()) && !name.contains(['-', '.']);
    let escaped = |value: &str| {
        let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('$', r"\$");
        value.replace('\n', r"\n")
    };
    let lines = values.iter().filter(|(name, _)| is_name(name));
    let lines: Vec<_> = lines.map(|(name, value)| format!("{name}=\"{}\"\n", escaped(value))).collect();
    let set = if replace { dotenvy::from_read_override } else { dotenvy::from_read };
    // The error would show the line.
    set(lines.concat().as_bytes())
        .map_err(|_| ConfigError(format!("{NAME} holds a value that no variable can have")))
}

/// The variables of a file; of one that stands there twice, the last.
fn parse(text: &str) -> Result<BTreeMap<String, String>, (usize, &'static str)> {
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    let mut values = BTreeMap::new();
    let mut rest = text.as_str();
    loop {
        rest = rest.trim_start();
        let line = text[..text.len() - rest.len()].matches('\n').count() + 1;
        if rest.is_empty() {
            return Ok(values);
        }
        if rest.starts_with('#') {
            rest = after_line(rest);
            continue;
        }
        let (name, after) = name(rest).ok_or((line, "it must be NAME=value, or a comment after #"))?;
        let (value, after) =
            value(after).ok_or((line, "a quote is not closed, or not at the value's end"))?;
        if value.contains('\0') {
            return Err((line, "it holds U+0000"));
        }
        values.insert(name.to_owned(), value);
        rest = after;
    }
}

fn after_line(text: &str) -> &str {
    text.find('\n').map_or("", |end| &text[end..])
}

/// The name at the start of a line, and what follows its `=`.
fn name(line: &str) -> Option<(&str, &str)> {
    let assigned = |text| {
        let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let end = str::find(text, |c| !of_name(c)).filter(|end| *end > 0)?;
        let (name, rest) = text.split_at(end);
        let equals = rest.trim_start_matches([' ', '\t']).strip_prefix('=');
        let value = equals
            .or_else(|| rest.strip_prefix(':').filter(|value| value.starts_with(char::is_whitespace)))?;
        Some((name, value))
    };
    let exported = line.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t']));
    exported.and_then(|rest| assigned(rest.trim_start_matches([' ', '\t']))).or_else(|| assigned(line))
}

/// The value at the start of `text`, and what follows its line.
fn value(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start_matches([' ', '\t']);
    let quote = text.chars().next().filter(|first| matches!(first, '\'' | '"' | '`'));
    let expanded = |value: &str| {
        if quote == Some('"') { value.replace("\\n", "\n").replace("\\r", "\r") } else { value.to_owned() }
    };
    if let Some((inner, rest)) = quote.and_then(|quote| quoted(&text[1..], quote)) {
        return Some((expanded(inner), rest));
    }
    let line = &text[..text.find('\n').unwrap_or(text.len())];
    let value = line.split('#').next().unwrap_or_default().trim();
    let Some(quote) = quote else { return Some((value.to_owned(), &text[line.len()..])) };
    // A quote stands within the value, too.
    let inner = value[1..].strip_suffix(quote)?;
    Some((expanded(inner), &text[line.len()..]))
}

/// What stands before the closing quote, and what follows its line. A quote after a backslash closes nothing, unless
/// no other does.
fn quoted(text: &str, quote: char) -> Option<(&str, &str)> {
    let mut ends = Vec::new();
    for (index, _) in text.match_indices(quote) {
        ends.push(index);
        if !text[..index].ends_with('\\') {
            break;
        }
    }
    ends.into_iter().rev().find_map(|end| {
        let rest = &text[end + 1..];
        let line = &rest[..rest.find('\n').unwrap_or(rest.len())];
        let is_last = line.trim().is_empty() || line.trim_start().starts_with('#');
        is_last.then(|| (&text[..end], &rest[line.len()..]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What dotenv 18.0.10 on Node makes of these files: `dotenv.parse(text)`.
    #[rustfmt::skip]
    const CASES: &[(&str, &[(&str, &str)])] = &[
        ("A=plain", &[("A", "plain")]),
        ("A=a$b", &[("A", "a$b")]),
        ("A=\"a$b\"", &[("A", "a$b")]),
        ("A='a$b'", &[("A", "a$b")]),
        ("A=${HOME}", &[("A", "${HOME}")]),
        ("A=\\$x", &[("A", "\\$x")]),
        ("A=a#b", &[("A", "a")]),
        ("A=a #b", &[("A", "a")]),
        ("A=\"a#b\" # c", &[("A", "a#b")]),
        ("A='a#b'#c", &[("A", "a#b")]),
        ("A=#", &[("A", "")]),
        ("A=", &[("A", "")]),
        ("A=\" x \"", &[("A", " x ")]),
        ("A=' x '", &[("A", " x ")]),
        ("A=  x  ", &[("A", "x")]),
        ("A=\"a\\nb\"", &[("A", "a\nb")]),
        ("A='a\\nb'", &[("A", "a\\nb")]),
        ("A=a\\nb", &[("A", "a\\nb")]),
        ("A=\"a\\rb\\tc\"", &[("A", "a\rb\\tc")]),
        ("A=\"a\\\"b\"", &[("A", "a\\\"b")]),
        ("A='a\\'b'", &[("A", "a\\'b")]),
        ("A=\"a\\\\\"", &[("A", "a\\\\")]),
        ("A=\"a\\\\\" # \"x\"", &[("A", "a\\\\")]),
        ("A=`a\"b'c`", &[("A", "a\"b'c")]),
        ("A=`a$b`", &[("A", "a$b")]),
        ("export A=1", &[("A", "1")]),
        ("export A=\"b c\"", &[("A", "b c")]),
        ("export=1", &[("export", "1")]),
        ("A = 1", &[("A", "1")]),
        ("A: 1", &[("A", "1")]),
        ("A=b=c==", &[("A", "b=c==")]),
        ("A=\"multi\nline\"\nB=2", &[("A", "multi\nline"), ("B", "2")]),
        ("A='x\ny'", &[("A", "x\ny")]),
        ("A=1\nA=2", &[("A", "2")]),
        ("A=1\r\nB=2\r", &[("A", "1"), ("B", "2")]),
        ("\u{feff}A=1", &[("A", "1")]),
        ("  A=1", &[("A", "1")]),
        ("# A=1\nB=2", &[("B", "2")]),
        ("A=b c", &[("A", "b c")]),
        ("A=1;B=2", &[("A", "1;B=2")]),
        ("a.b=1", &[("a.b", "1")]),
        ("A-B=1", &[("A-B", "1")]),
        ("1A=1", &[("1A", "1")]),
        ("A=a\"b\"", &[("A", "a\"b\"")]),
        ("A=\"a\"b\"", &[("A", "a\"b")]),
        ("A=it's", &[("A", "it's")]),
        ("A=\"'\"", &[("A", "'")]),
        ("A=\"it's $5 & 10%\"", &[("A", "it's $5 & 10%")]),
        ("A=p%40ss", &[("A", "p%40ss")]),
        ("A=ü", &[("A", "ü")]),
        ("A=\u{a0}x\u{a0}", &[("A", "x")]),
        ("A=\"x\"   ", &[("A", "x")]),
        ("A=\"\"", &[("A", "")]),
        ("A=''", &[("A", "")]),
        ("A=\"a\n#b\nc\"", &[("A", "a\n#b\nc")]),
    ];

    #[test]
    fn a_value_is_the_one_that_nodes_dotenv_reads() {
        for (text, expected) in CASES {
            let values = parse(text).unwrap();
            let expected: BTreeMap<_, _> =
                expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            assert_eq!(values, expected, "{text:?}");
        }
    }

    #[test]
    fn what_would_be_a_value_by_mistake_is_refused_with_its_line() {
        for (text, line) in [
            ("A=1\nB=\"open\nC=2\n", 2),
            ("A='open", 1),
            ("A=\"x\" y", 1),
            ("just a line", 1),
            ("A=1\n\n# fine\n=x", 4),
            ("A", 1),
            ("A=\"\0\"", 1),
        ] {
            assert_eq!(parse(text).map_err(|(line, _)| line), Err(line), "{text:?}");
        }
    }

    #[test]
    fn a_value_survives_the_way_into_the_environment() {
        let name = "TASKLANE_TEST_OF_DOTENV";
        for value in ["a$b ${c} $(d)", "\"", "\\n \\ \\\\", "a\nb\rc", "'`#=", " x ", "ä\u{1f600}", ""] {
            set(&[(name.to_owned(), value.to_owned())].into(), true).unwrap();
            assert_eq!(env::var(name).as_deref(), Ok(value));
        }
    }
}
