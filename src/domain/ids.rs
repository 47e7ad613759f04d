//! Ids of users and tasks, and the per-user sequence number.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

/// The namespace of user ids derived from subjects that are not UUIDs (RFC 9562, section 5.5).
/// Changing it would orphan every such user's tasks.
const SUBJECT_NAMESPACE: Uuid = Uuid::from_u128(0x7461_736b_6c61_4e65_8a5e_7375_626a_6563);

/// A user's key in the store and in memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Uuid);

impl UserId {
    /// The id of the user a token's subject names: the subject itself where it is a UUID in its
    /// canonical form (36 characters, lower case), else the UUIDv5 of its bytes.
    ///
    /// Only the canonical form stands for itself, so that two different subjects (say, one UUID in
    /// upper and in lower case) are never the same user. See [`UserId::derived`] for the one exception.
    #[must_use]
    pub fn of_subject(subject: &str) -> Self {
        match Uuid::try_parse(subject) {
            Ok(id) if id.as_hyphenated().encode_lower(&mut [0; 36]) == subject => Self(id),
            _ => Self::hashed(subject),
        }
    }

    /// The id of a subject that is itself a UUIDv5; `None` for every other one.
    ///
    /// Such a subject may be the id of another user, made from that one's subject. So it stands for itself only if it
    /// has done so before: if the store has a user of this very subject under it. Else this id is its user's.
    #[must_use]
    pub fn derived(subject: &str) -> Option<Self> {
        let id = Self::of_subject(subject);
        let is_v5 = id.0.get_version_num() == 5 && id != Self::hashed(subject);
        is_v5.then(|| Self::hashed(subject))
    }

    fn hashed(subject: &str) -> Self {
        Self(Uuid::new_v5(&SUBJECT_NAMESPACE, subject.as_bytes()))
    }
}

/// A task's id: unique among one user's tasks, and meaningless outside them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(Uuid);

impl TaskId {
    /// A new id (UUIDv7: ids made later sort later, which keeps a user's rows together in the index).
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// Reads an id in the form of RFC 9562: 36 characters, in upper or lower case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // The library takes three more forms, each of another length.
        Uuid::try_parse(text).ok().filter(|_| text.len() == 36).map(Self)
    }
}

/// What ids of users and of tasks have in common; `{:?}` shows `word` before the id.
macro_rules! id {
    ($type:ident, $word:literal) => {
        impl $type {
            /// An id read back from the store.
            pub(crate) const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            /// The id as the store keeps it.
            #[must_use]
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($word, " {}"), self.0)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(UserId, "user");
id!(TaskId, "task");

/// The per-user sequence number: 0 for a new user, raised by exactly 1 for every change to one of
/// the user's tasks. It is the list's `ETag`, a task's version and the fence between processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(i64);

impl Seq {
    /// The seq of a user who has never written.
    pub const ZERO: Self = Self(0);

    /// A seq read back from the store, or from a client.
    #[must_use]
    pub const fn new(value: i64) -> Self {
        Self(value)
    }

    /// The seq of the next change.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who a request speaks for, as its verified token says. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    user: UserId,
    subject: Arc<str>,
    email: Option<Arc<str>>,
}

impl Identity {
    /// The identity of a token's subject and, where it has one, e-mail address.
    #[must_use]
    pub fn new(subject: &str, email: Option<&str>) -> Self {
        Self { user: UserId::of_subject(subject), subject: subject.into(), email: email.map(Into::into) }
    }

    /// The same bearer, as another user.
    #[must_use]
    pub fn with_user(self, user: UserId) -> Self {
        Self { user, ..self }
    }

    /// The user's key.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// The token's subject, unchanged: what paths and `user_id` fields show.
    #[must_use]
    pub const fn subject(&self) -> &Arc<str> {
        &self.subject
    }

    /// The token's e-mail address.
    pub(crate) const fn email(&self) -> Option<&Arc<str>> {
        self.email.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_form_of_a_uuid_stands_for_itself() {
        let canonical = "6f1c9a52-3d0e-4b7a-9c58-2f6d1e0b4a77";
        assert_eq!(UserId::of_subject(canonical).as_uuid().to_string(), canonical);
        let others = [
            canonical.to_uppercase(),
            canonical.replace('-', ""),
            format!("{{{canonical}}}"),
            format!("urn:uuid:{canonical}"),
            "kXf2mPq8RtYvW3zAbC5dEfGhJ7nL9sU1".to_owned(),
        ];
        let mut seen = vec![UserId::of_subject(canonical)];
        for other in &others {
            let id = UserId::of_subject(other);
            assert!(!seen.contains(&id), "{other} shares a user with another subject");
            assert_eq!(id, UserId::of_subject(other), "the same subject is the same user");
            seen.push(id);
        }
    }

    #[test]
    fn only_a_subject_that_is_a_uuid_of_version_5_has_a_second_id() {
        let anns = UserId::of_subject("ann").to_string();
        assert_eq!(UserId::of_subject(&anns).to_string(), anns, "the id of the user ann");
        let own = UserId::derived(&anns).unwrap();
        assert!(own.to_string() != anns && own == UserId::derived(&anns).unwrap());
        for subject in ["ann", "6f1c9a52-3d0e-4b7a-9c58-2f6d1e0b4a77", &anns.to_uppercase(), ""] {
            assert_eq!(UserId::derived(subject), None, "{subject}");
        }
    }
}
