//! What a seq counts in: one user's history in one life of the store.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Seq;

/// Makes the digests differ from every other one, and from those of later forms.
const OF_STORE: &[u8] = b"tasklane store 1";
const OF_USER: &[u8] = b"tasklane lineage 1";

/// Characters of a lineage: 72 bits.
const LENGTH: usize = 12;

/// Bytes of the digest that make so many characters.
const BYTES: usize = LENGTH / 4 * 3;

/// What is one store, in one life of it: a store that was made again, put back or promoted has another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreIdentity([u8; 32]);

impl StoreIdentity {
    /// The identity made from everything that tells one store, and one life of it, from another.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut digest = Context::new(&SHA256);
        digest.update(OF_STORE);
        for part in parts {
            // The length first, so that the same bytes split differently are another store.
            digest.update(&(part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let mut identity = [0; 32];
        identity.copy_from_slice(digest.finish().as_ref());
        Self(identity)
    }

    /// The lineage of the user with this subject.
    ///
    /// # Panics
    /// Never: the digest has as many bytes as are encoded.
    #[must_use]
    pub fn lineage(&self, subject: &str) -> Lineage {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let digest = hmac::sign(&key, &[OF_USER, subject.as_bytes()].concat());
        let mut text = [0; LENGTH];
        let encoded = URL_SAFE_NO_PAD.encode_slice(&digest.as_ref()[..BYTES], &mut text);
        assert_eq!(encoded, Ok(LENGTH), "four characters for three bytes");
        Lineage(text)
    }
}

/// Stands for one user's history in one life of the store. Two users never share one, and a store that was made
/// again or put back has others: seqs are comparable within one lineage only.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lineage([u8; LENGTH]);

impl Lineage {
    /// One that no user has.
    const NOBODYS: Self = Self([0; LENGTH]);

    /// Reads the lineage that a client gives back: 6 to 16 of `A-Z a-z 0-9 - _`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let valid = (6..=16).contains(&text.len()) && text.bytes().all(valid);
        valid.then(|| text.as_bytes().try_into().map_or(Self::NOBODYS, Self))
    }

    /// Its text.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Default for Lineage {
    fn default() -> Self {
        Self::NOBODYS
    }
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl fmt::Debug for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lineage {self}")
    }
}

/// A seq, and the lineage in which it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revision {
    /// The seq.
    pub seq: Seq,
    /// The lineage.
    pub lineage: Lineage,
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.seq, self.lineage)
    }
}

/// A revision as a client gives it: `<seq>` or `<seq>-<lineage>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenRevision {
    /// The seq.
    pub seq: Seq,
    /// The lineage, if it is given.
    pub lineage: Option<Lineage>,
}

impl GivenRevision {
    /// Reads it. A seq has digits only.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (seq, lineage) = match text.split_once('-') {
            Some((seq, lineage)) => (seq, Some(Lineage::parse(lineage)?)),
            None => (text, None),
        };
        let seq = seq.bytes().all(|byte| byte.is_ascii_digit()).then(|| seq.parse().ok()).flatten()?;
        Some(Self { seq: Seq::new(seq), lineage })
    }

    /// Whether its seq may be compared with the seqs of this lineage.
    #[must_use]
    pub fn is_of(&self, lineage: Lineage) -> bool {
        self.lineage.is_none_or(|given| given == lineage)
    }
}

impl From<Seq> for GivenRevision {
    fn from(seq: Seq) -> Self {
        Self { seq, lineage: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lineage_differs_by_user_and_by_store_and_is_the_same_each_time() {
        let store = StoreIdentity::of(&[b"one", b"1"]);
        let ann = store.lineage("ann");
        assert_eq!(ann, StoreIdentity::of(&[b"one", b"1"]).lineage("ann"));
        assert_eq!(Lineage::parse(&ann.to_string()), Some(ann));
        let others = [
            store.lineage("bob"),
            store.lineage(""),
            StoreIdentity::of(&[b"one", b"2"]).lineage("ann"),
            StoreIdentity::of(&[b"one1", b""]).lineage("ann"),
            StoreIdentity::of(&[b"one1"]).lineage("ann"),
            StoreIdentity::default().lineage("ann"),
        ];
        for (index, other) in others.iter().enumerate() {
            assert!(*other != ann && !others[..index].contains(other), "{other}");
        }
    }

    #[test]
    fn a_given_revision_is_a_seq_with_or_without_a_lineage() {
        let lineage = StoreIdentity::default().lineage("ann");
        let other = StoreIdentity::default().lineage("bob");
        let read = |text: &str| GivenRevision::parse(text);
        let bare = read("7").unwrap();
        assert_eq!(bare, Seq::new(7).into());
        assert!(bare.is_of(lineage) && bare.is_of(other));
        let whole = read(&Revision { seq: Seq::new(7), lineage }.to_string()).unwrap();
        assert_eq!((whole.seq, whole.lineage), (Seq::new(7), Some(lineage)));
        assert!(whole.is_of(lineage) && !whole.is_of(other));
        for text in ["7-abcdef", "7-0123456789abcdef", "0-------"] {
            assert!(!read(text).unwrap().is_of(lineage), "{text}: of another form of lineage");
        }
        let max = i64::MAX.to_string();
        assert_eq!(read(&max).unwrap().seq.get(), i64::MAX);
        for text in [
            "",
            "-",
            "7-",
            "-abcdef",
            "+7",
            "-7",
            " 7",
            "7 ",
            "7-abcde",
            "7-0123456789abcdefg",
            "7-abcd/f",
            "7-äbcdef",
            "9223372036854775808",
            "x-abcdef",
            "\u{667}",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
