//! The idempotency keys that a lane has committed lately.
//!
//! A write is looked up in the store before it is queued. What this lane commits between that look-up and the
//! plan is found here; what is not kept here any more makes a write be looked up once more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::Seq;
use crate::store::{Batch, KeyRecord};

/// How long a key is kept. Writes are queued for less time than this.
const REMEMBER: Duration = Duration::from_mins(1);

/// Keys kept at most …
const KEYS: usize = 4_096;

/// … and bytes of their answers.
const BYTES: usize = 4 << 20;

/// The keys, and from when on they are all that were committed.
#[derive(Debug)]
pub(crate) struct RecentKeys {
    known: HashMap<Arc<str>, (Instant, KeyRecord)>,
    since: Seq,
}

impl RecentKeys {
    /// None yet; what was committed up to `since` is to be found in the store.
    pub(crate) fn new(since: Seq) -> Self {
        Self { known: HashMap::new(), since }
    }

    /// What was kept under a key.
    pub(crate) fn get(&self, key: &str) -> Option<&KeyRecord> {
        self.known.get(key).map(|(_, record)| record)
    }

    /// Whether a key that the store did not know at this seq, and that is not here, is new. `None`: the store
    /// has to be asked again. (Two processes at one seq are told apart by the store itself.)
    pub(crate) fn completes(&self, looked_up: Option<Seq>) -> bool {
        looked_up >= Some(self.since)
    }

    /// Forgets all: what was committed up to `since` is to be found in the store.
    pub(crate) fn forget(&mut self, since: Seq) {
        self.known.clear();
        self.since = since;
    }

    /// Keeps the keys of a batch that is durable now, and forgets old ones: all of them, where too much has come.
    pub(crate) fn keep(&mut self, batch: &Batch) {
        if batch.erase {
            self.known.clear();
        }
        if batch.keys.is_empty() {
            return;
        }
        let now = Instant::now();
        self.known.retain(|_, (at, _)| now.duration_since(*at) < REMEMBER);
        let bytes: usize = self.known.values().map(|(_, record)| record.answer.len()).sum();
        if self.known.len() + batch.keys.len() > KEYS || bytes > BYTES {
            self.forget(batch.reached);
        }
        self.known.extend(batch.keys.iter().map(|record| (Arc::clone(&record.key), (now, record.clone()))));
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{Timestamp, UserId};

    /// A batch of `count` keys, each with an answer of so many bytes.
    fn batch(seq: i64, count: usize, bytes: usize) -> Batch {
        let record = |number| KeyRecord {
            key: format!("{seq}/{number}").into(),
            fingerprint: [0; 32],
            answer: vec![b'x'; bytes].into(),
            at: Timestamp::from_micros(0),
        };
        Batch {
            id: Uuid::nil(),
            user: UserId::of_subject("ann"),
            subject: "ann".into(),
            email: None,
            epoch: 0,
            expected: Seq::new(seq - 1),
            reached: Seq::new(seq),
            erase: false,
            changes: Vec::new(),
            keys: (0..count).map(record).collect(),
        }
    }

    #[test]
    fn a_key_is_known_for_a_minute_and_one_that_came_before_has_to_be_asked_for() {
        let mut keys = RecentKeys::new(Seq::new(7));
        assert!(keys.completes(Some(Seq::new(7))));
        assert!(!keys.completes(Some(Seq::new(6))) && !keys.completes(None));
        keys.keep(&batch(8, 2, 10));
        assert!(keys.get("8/1").is_some() && keys.get("8/2").is_none());
        assert!(keys.completes(Some(Seq::new(7))), "what came after it is here");
        keys.forget(Seq::new(9));
        assert!(keys.get("8/1").is_none() && !keys.completes(Some(Seq::new(8))));
    }

    #[test]
    fn neither_many_keys_nor_long_answers_are_kept_without_end() {
        for (count, bytes) in [(256, 10), (16, 100_000)] {
            let mut keys = RecentKeys::new(Seq::ZERO);
            let mut asked_again = 0;
            for seq in 1..=200 {
                keys.keep(&batch(seq, count, bytes));
                let held: usize = keys.known.values().map(|(_, record)| record.answer.len()).sum();
                assert!(
                    keys.known.len() <= KEYS && held <= BYTES + count * bytes,
                    "{} {held}",
                    keys.known.len()
                );
                assert!(keys.get(&format!("{seq}/0")).is_some(), "the newest is always here");
                asked_again += usize::from(!keys.completes(Some(Seq::new(seq - 1))));
                // Whatever is forgotten makes those be asked for anew that were looked up before it was stored.
                for old in 1..seq {
                    let forgotten = keys.get(&format!("{old}/0")).is_none();
                    assert!(!forgotten || !keys.completes(Some(Seq::new(old - 1))), "{old} at {seq}");
                }
            }
            assert!((1..=100).contains(&asked_again), "{asked_again}");
        }
    }
}
