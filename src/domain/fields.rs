//! The smaller fields of a task: priority, tags, due date, position.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeZone, Utc};

use super::Timestamp;

/// How much a task matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Least.
    Low,
    /// In between.
    Medium,
    /// Most.
    High,
}

impl Priority {
    /// All of them, from least to most.
    pub const ALL: [Self; 3] = [Self::Low, Self::Medium, Self::High];

    /// Reads `low`, `medium` or `high`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.as_str() == text)
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// Why a list of tags was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagsError {
    /// More tags than allowed.
    #[error("must be at most {} tags", Tags::MAX)]
    TooMany,
    /// One of them is empty or only white space.
    #[error("must not hold an empty tag")]
    Empty,
    /// One of them is too long.
    #[error("must hold tags of at most {} characters", Tags::LONGEST)]
    TooLong,
    /// One of them holds U+0000.
    #[error("must not contain the character U+0000")]
    Nul,
}

/// A task's tags: at most 20, each 1 to 50 scalar values, trimmed, none twice, in the order given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Option<Box<Named>>);

/// One tag or more. Behind a pointer of eight bytes: most tasks have none, and all are kept in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named(Box<[Box<str>]>);

impl Tags {
    /// The most tags a task may have.
    pub const MAX: usize = 20;

    /// The most scalar values a tag may have.
    pub const LONGEST: usize = 50;

    /// Trims and checks tags; one given twice is kept once, where it came first.
    ///
    /// # Errors
    /// [`TagsError`] says what is wrong with them.
    pub fn parse<'a>(tags: impl IntoIterator<Item = &'a str>) -> Result<Self, TagsError> {
        let mut seen = HashSet::new();
        let mut kept: Vec<Box<str>> = Vec::new();
        for (index, tag) in tags.into_iter().enumerate() {
            if index == Self::MAX {
                return Err(TagsError::TooMany);
            }
            let tag = tag.trim();
            if tag.is_empty() {
                return Err(TagsError::Empty);
            }
            if tag.contains('\0') {
                return Err(TagsError::Nul);
            }
            if tag.chars().count() > Self::LONGEST {
                return Err(TagsError::TooLong);
            }
            if seen.insert(tag) {
                kept.push(tag.into());
            }
        }
        Ok(Self::of(kept))
    }

    /// Tags read back from the store, which keeps only what [`Tags::parse`] let in.
    #[must_use]
    pub fn from_store(tags: Vec<String>) -> Self {
        Self::of(tags.into_iter().map(Into::into).collect())
    }

    fn of(tags: Vec<Box<str>>) -> Self {
        Self((!tags.is_empty()).then(|| Box::new(Named(tags.into()))))
    }

    /// The tags, in order.
    pub(crate) fn as_slice(&self) -> &[Box<str>] {
        self.0.as_ref().map_or(&[], |named| &named.0)
    }

    /// Whether `tag` is one of them, letter by letter.
    pub(crate) fn contains(&self, tag: &str) -> bool {
        self.as_slice().iter().any(|own| &**own == tag)
    }
}

/// When a task is due: a day, wherever its owner is, or an instant. Clients get the text back as they sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueDate(Box<Dated>);

/// A due date's text and meaning. Behind a pointer: most tasks have none, and all are kept in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Dated {
    text: Box<str>,
    due: Due,
}

/// The two kinds of due date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A day.
    Day(NaiveDate),
    /// An instant.
    At(Timestamp),
}

impl DueDate {
    /// Bytes of the longest form: nine decimals and an offset.
    const LONGEST: usize = 35;

    /// Reads an RFC 3339 `full-date` or `date-time`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > Self::LONGEST {
            return None;
        }
        let due = if text.len() == 10 {
            Due::Day(NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?)
        } else {
            Due::At(DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc).into())
        };
        Some(Self(Box::new(Dated { text: text.into(), due })))
    }

    /// The text it came as.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Its meaning.
    pub(crate) const fn due(&self) -> Due {
        self.0.due
    }

    /// Sorts due dates: a day counts as its first instant in UTC.
    pub(crate) fn order(&self) -> Timestamp {
        self.0.due.order()
    }
}

impl Due {
    /// Sorts due dates: a day counts as its first instant in UTC.
    pub(crate) fn order(self) -> Timestamp {
        match self {
            Self::Day(day) => day.and_time(NaiveTime::MIN).and_utc().into(),
            Self::At(instant) => instant,
        }
    }

    /// The day it falls on in a time zone.
    pub(crate) fn day_in<Z: TimeZone>(self, zone: &Z) -> NaiveDate {
        match self {
            Self::Day(day) => day,
            Self::At(instant) => instant.to_datetime().with_timezone(zone).date_naive(),
        }
    }

    /// Whether it is over: the instant is past, or the day is before `today`.
    pub(crate) fn is_over(self, now: Timestamp, today: NaiveDate) -> bool {
        match self {
            Self::Day(day) => day < today,
            Self::At(instant) => instant < now,
        }
    }
}

/// A client's own ordering key: 1 to 64 printable ASCII characters, compared byte by byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(Box<PositionText>);

/// A key's text. Behind a pointer of eight bytes, as a due date's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct PositionText(Box<str>);

impl Position {
    /// The most characters it may have.
    pub const MAX: usize = 64;

    /// Checks a key; `None` if it is not valid.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        ((1..=Self::MAX).contains(&text.len()) && printable)
            .then(|| Self(Box::new(PositionText(text.into()))))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_trimmed_kept_in_order_and_never_twice() {
        let tags = Tags::parse([" home ", "work", "home", "\u{3000}työ"]).unwrap();
        assert_eq!(tags.as_slice().iter().map(|tag| &**tag).collect::<Vec<_>>(), ["home", "work", "työ"]);
        assert_eq!(Tags::parse(["a", " "]), Err(TagsError::Empty));
        assert_eq!(Tags::parse(["a\0"]), Err(TagsError::Nul));
        assert!(Tags::parse([&*"🦀".repeat(50)]).is_ok());
        assert_eq!(Tags::parse([&*"🦀".repeat(51)]), Err(TagsError::TooLong));
        let many: Vec<String> = (0..21).map(|n| n.to_string()).collect();
        assert_eq!(Tags::parse(many.iter().map(String::as_str)), Err(TagsError::TooMany));
        assert!(Tags::parse(many.iter().take(20).map(String::as_str)).is_ok());
        assert_eq!(Tags::parse(["a"; 21]), Err(TagsError::TooMany), "repeats count");
    }

    #[test]
    fn a_due_date_is_a_day_or_an_instant_and_comes_back_as_it_was() {
        for text in
            ["2026-02-28", "2026-02-28T10:30:00Z", "2026-02-28T10:30:00.5+05:30", "2026-02-28t10:30:00z"]
        {
            assert_eq!(DueDate::parse(text).unwrap().as_str(), text);
        }
        for text in
            ["", "2026-02-30", "2026-2-8", "28.02.2026", "2026-02-28T10:30:00", "2026-02-28 ", "today"]
        {
            assert_eq!(DueDate::parse(text), None, "{text}");
        }
        assert!(
            DueDate::parse("2026-02-28T23:00:00-05:00").unwrap().order()
                > DueDate::parse("2026-03-01").unwrap().order()
        );
    }

    #[test]
    fn a_position_is_printable_ascii() {
        assert!(Position::parse("a0 ~").is_some());
        assert!(Position::parse(&"x".repeat(64)).is_some());
        for text in ["", "é", "a\n", &"x".repeat(65)] {
            assert_eq!(Position::parse(text), None);
        }
    }
}
