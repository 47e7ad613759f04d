//! The texts of a task, with their limits. Lengths are counted in Unicode scalar values.

use std::sync::Arc;

use super::unicode::is_blank;

/// Why a text was refused. The message never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// It shows nothing.
    #[error("must not be empty, or only white space and invisible characters")]
    Empty,
    /// More scalar values than allowed.
    #[error("must be at most {max} characters long")]
    TooLong {
        /// The most that is allowed.
        max: usize,
    },
    /// It holds U+0000, which PostgreSQL's text cannot keep.
    #[error("must not contain the character U+0000")]
    Nul,
}

fn check(text: &str, max: usize) -> Result<(), TextError> {
    if text.contains('\0') {
        return Err(TextError::Nul);
    }
    // A string of at most `max` bytes has at most `max` scalar values: most texts need no counting.
    if text.len() > max && text.chars().count() > max {
        return Err(TextError::TooLong { max });
    }
    Ok(())
}

/// A task's title: trimmed of Unicode white space, 1 to 200 scalar values, no U+0000, and not only format characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Title(Box<str>);

impl Title {
    /// The most scalar values a title may have.
    pub const MAX: usize = 200;

    /// Stands for a stored title that shows nothing.
    const UNTITLED: &str = "(untitled)";

    /// Trims and checks a title.
    ///
    /// # Errors
    /// [`TextError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        let text = text.trim();
        check(text, Self::MAX)?;
        if is_blank(text) {
            return Err(TextError::Empty);
        }
        Ok(Self(text.into()))
    }

    /// A title read back from the store. Earlier versions let in titles that show nothing: a client could neither see
    /// nor import them, so they have a name from here on.
    #[must_use]
    pub fn from_store(text: String) -> Self {
        // No version let in an empty one.
        let is_hidden = is_blank(&text) && !text.is_empty();
        if is_hidden { Self(Self::UNTITLED.into()) } else { Self(text.into()) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A task's description: at most 2000 scalar values, no U+0000, never trimmed; it may be empty.
///
/// A clone shares the text: a task that changes otherwise, or is imported, needs no copy of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description(Arc<str>);

impl Description {
    /// The most scalar values a description may have.
    pub const MAX: usize = 2000;

    /// Checks a description.
    ///
    /// # Errors
    /// [`TextError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        check(text, Self::MAX)?;
        Ok(Self(text.into()))
    }

    /// A description read back from the store, which keeps only what [`Description::parse`] let in.
    #[must_use]
    pub fn from_store(text: String) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn titles_are_trimmed_of_unicode_white_space_then_measured() {
        assert_eq!(Title::parse("\u{3000}\u{a0} a b \u{2003}\n").unwrap().as_str(), "a b");
        assert_eq!(Title::parse(" \u{2029}\t"), Err(TextError::Empty));
        assert!(Title::parse(&format!("   {}   ", "🦀".repeat(200))).is_ok());
        assert_eq!(Title::parse(&"🦀".repeat(201)), Err(TextError::TooLong { max: 200 }));
        assert_eq!(Title::parse("a\0b"), Err(TextError::Nul));
    }

    #[test]
    fn a_title_that_shows_nothing_is_blank_and_one_from_before_that_rule_has_a_name() {
        let blank =
            ["\u{200b}", "\u{feff}", "\u{ad}\u{2060}", " \u{200d} \u{202e}", "\u{e0061}", "\u{3000}\u{61c}"];
        for text in blank {
            assert_eq!(Title::parse(text), Err(TextError::Empty), "{text:?}");
            assert_eq!(Title::from_store(text.to_owned()).as_str(), "(untitled)");
        }
        for text in ["\u{200b}a", "👨\u{200d}👩", "\u{301}", "\u{2800}", "-"] {
            assert_eq!(Title::parse(text).unwrap().as_str(), text);
            assert_eq!(Title::from_store(text.to_owned()).as_str(), text);
        }
    }

    #[test]
    fn descriptions_keep_every_character() {
        assert_eq!(Description::parse("").unwrap().as_str(), "");
        assert_eq!(Description::parse("  x\n").unwrap().as_str(), "  x\n");
        assert!(Description::parse(&"é".repeat(2000)).is_ok());
        assert_eq!(Description::parse(&"é".repeat(2001)), Err(TextError::TooLong { max: 2000 }));
        assert_eq!(Description::parse("\0"), Err(TextError::Nul));
    }

    proptest! {
        #[test]
        fn a_title_is_accepted_exactly_when_its_trimmed_scalar_values_fit(text in "\\PC{0,210}|[ \u{a0}a🦀]{190,215}") {
            let expected = text.trim().chars().count();
            let shows = !is_blank(&text);
            let fits = shows && (1..=200).contains(&expected) && !text.contains('\0');
            match Title::parse(&text) {
                Ok(title) => {
                    prop_assert!(fits);
                    prop_assert_eq!(title.as_str(), text.trim());
                }
                Err(_) => prop_assert!(!fits),
            }
        }
    }
}
