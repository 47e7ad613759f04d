//! The smaller fields of a task: priority, tags, due date, position.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeZone};

use super::Timestamp;
use super::rfc3339::{date_time, full_date};
use super::unicode::fold;

/// How much a task matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Least.
    Low,
    /// In between.
    Medium,
    /// More.
    High,
    /// Most.
    Urgent,
}

impl Priority {
    /// All of them, from least to most.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Urgent];

    /// Another word for the highest.
    pub const CRITICAL: &str = "critical";

    /// Reads its name, or [`Priority::CRITICAL`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == Self::CRITICAL {
            return Some(Self::Urgent);
        }
        Self::ALL.into_iter().find(|priority| priority.as_str() == text)
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Urgent => "urgent",
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

/// A task's tags: at most 20, each 1 to 50 scalar values, trimmed, no two the same when folded by [`fold`], in the
/// order given.
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

    /// Trims and checks tags; one given twice is kept once, where and as it came first.
    ///
    /// # Errors
    /// [`TagsError`] says what is wrong with them.
    pub fn parse<'a>(tags: impl IntoIterator<Item = &'a str>) -> Result<Self, TagsError> {
        let mut checked = Vec::new();
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
            checked.push(tag);
        }
        Ok(Self::distinct(checked))
    }

    /// Those of some tags that are not the same as one before, when folded.
    fn distinct<'a>(tags: impl IntoIterator<Item = &'a str>) -> Self {
        let (mut seen, mut kept) = (Vec::new(), Vec::new());
        for tag in tags {
            let folded = fold(tag);
            if !seen.contains(&folded) {
                seen.push(folded);
                kept.push(tag.into());
            }
        }
        Self::of(kept)
    }

    /// Whether these are what [`Tags::parse`] makes of `stored`, in which earlier versions let in tags that are the
    /// same when folded.
    pub(super) fn are_made_of(&self, stored: &Self) -> bool {
        self == stored || *self == Self::distinct(stored.as_slice().iter().map(|tag| &**tag))
    }

    /// Tags read back from the store, as they are.
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

    /// Whether one of them, when folded, is `folded`.
    pub(crate) fn contains(&self, folded: &str) -> bool {
        self.as_slice().iter().any(|own| fold(own) == folded)
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
        let due = match full_date(text.as_bytes()) {
            Some(day) => Due::Day(day),
            None => Due::At(date_time(text.as_bytes())?.into()),
        };
        Some(Self(Box::new(Dated { text: text.into(), due })))
    }

    /// A due date read back from the store. Earlier versions let in more than the grammar has, such as `2026- 2- 8`:
    /// that day or instant is written anew, the nearest one where its year has not four digits.
    #[must_use]
    pub fn from_store(text: &str) -> Option<Self> {
        Self::parse(text).or_else(|| Self::parse(&nearest(text)?))
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

/// What a stored due date meant to the reader that let it in, in the grammar.
fn nearest(text: &str) -> Option<String> {
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some(day.clamp(full_date(b"0001-01-01")?, full_date(b"9999-12-31")?).to_string());
    }
    let instant = Timestamp::from(DateTime::parse_from_rfc3339(text).ok()?.to_utc());
    let (first, last) =
        (Timestamp::parse("0001-01-01T00:00:00Z")?, Timestamp::parse("9999-12-31T23:59:59Z")?);
    Some(instant.clamp(first, last).to_rfc3339())
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
    fn tags_are_the_same_when_folded_and_kept_as_they_came_first() {
        let tags =
            Tags::parse(["Stra\u{1e9e}e", "caf\u{e9}", "strasse", "CAFE\u{301}", "ﬁx", "FIX", "İ"]).unwrap();
        assert_eq!(
            tags.as_slice().iter().map(|tag| &**tag).collect::<Vec<_>>(),
            ["Stra\u{1e9e}e", "caf\u{e9}", "ﬁx", "İ"]
        );
        assert!(["strasse", "café", "fix", "i\u{307}"].iter().all(|folded| tags.contains(folded)));
        assert!(!tags.contains("cafe"));
        // Those of an earlier version are shown as they are, and a client that sends them back means the same task.
        let stored = Tags::from_store(["Home", "home", "x"].map(str::to_owned).to_vec());
        assert_eq!(stored.as_slice().len(), 3);
        let sent = Tags::parse(stored.as_slice().iter().map(|tag| &**tag)).unwrap();
        assert!(sent != stored && sent.are_made_of(&stored) && !stored.are_made_of(&sent));
        assert!(!Tags::parse(["home", "x"]).unwrap().are_made_of(&stored), "the first one counts");
    }

    #[test]
    fn a_stored_due_date_of_an_earlier_version_is_written_anew() {
        for (stored, read) in [
            ("2026- 2- 8", "2026-02-08"),
            ("+2026-2-08", "2026-02-08"),
            ("+12026-2-8", "9999-12-31"),
            ("-2026-1-01", "0001-01-01"),
            ("0000-02-29", "0001-01-01"),
            ("2026-02-28T10:30:00\u{2212}01:00", "2026-02-28T11:30:00.000000Z"),
            ("2026-02-28 10:30:00Z", "2026-02-28T10:30:00.000000Z"),
            ("2026-02-28T10:30:60Z", "2026-02-28T10:31:00.000000Z"),
            ("9999-12-31T23:59:60Z", "9999-12-31T23:59:59.000000Z"),
            ("0000-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
        ] {
            assert_eq!(DueDate::parse(stored), None, "{stored}");
            let due = DueDate::from_store(stored).unwrap();
            assert_eq!(due.as_str(), read, "{stored}");
            assert_eq!(DueDate::parse(read), Some(due), "a client can send it back");
        }
        assert_eq!(
            DueDate::from_store("2026-02-28T10:30:00+01:00").unwrap().as_str(),
            "2026-02-28T10:30:00+01:00"
        );
        assert_eq!(DueDate::from_store("soon"), None);
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
