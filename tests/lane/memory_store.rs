//! A store in memory that keeps the contract of `tasklane::store::Store`, and fails on command.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tasklane::domain::{Seq, StoreIdentity, Task, Timestamp, UserId};
use tasklane::store::{
    Batch, KeyRecord, Outcome, PoolState, Recalled, Store, StoreError, StoreLife, StoredUser,
};
use uuid::Uuid;

use crate::history::Ending;
use crate::model;
use crate::stored::Stored;

/// What happens to one commit call.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Nothing is applied, and the store says so.
    Refuse,
    /// It is applied, but the answer is lost.
    LoseAnswer,
    /// It is not applied, and the answer is lost.
    LoseRequest,
    /// Another process writes first, for every user of the group.
    Overtake,
    /// It is applied, the answer is lost, and another process writes before anything is sent again.
    LoseAnswerThenOvertake,
    /// The store will never take it.
    Reject,
    /// The answer is lost, and it is applied only after this long, if it still passes the fence.
    ApplyLater(Duration),
}

#[derive(Clone, Default)]
struct Row {
    subject: String,
    stored: Stored,
    rejected: HashSet<Uuid>,
    /// The seqs that another process used, and its visible changes.
    foreign: BTreeMap<i64, Option<(String, model::Write)>>,
}

impl Row {
    /// Stores an answer under a key, as another process would.
    fn keep(&mut self, key: &str, fingerprint: [u8; 32], effects: &[&str]) {
        self.stored.last = Some(Uuid::now_v7());
        let answer = format!(r#"{{"seq":{},"effects":{effects:?}}}"#, self.stored.seq).into();
        let record = KeyRecord { key: key.into(), fingerprint, answer, at: Timestamp::now() };
        self.stored.keys.insert(Arc::clone(&record.key), record);
    }
}

/// The model's form of a task.
fn model_of(task: &Task) -> model::Task {
    model::Task {
        title: task.content.title.as_str().to_owned(),
        description: task.content.description.as_ref().map(|text| text.as_str().to_owned()),
        completed: task.content.completed,
        version: task.version.get(),
    }
}

/// An earlier state of the store.
pub struct Past(HashMap<UserId, Row>);

#[derive(Default)]
pub struct MemoryStore {
    rows: Arc<Mutex<HashMap<UserId, Row>>>,
    faults: Mutex<VecDeque<Option<Fault>>>,
    /// How long a commit takes.
    pub latency: Mutex<Duration>,
    /// Everything is refused while this is set.
    pub down: AtomicBool,
    /// Commits hang for ever while this is set.
    pub stuck: AtomicBool,
    /// The next load panics.
    pub panic_at_load: AtomicBool,
    /// The next load after a conflict, which an actor does, panics.
    pub panic_at_reload: AtomicBool,
    conflicted: Mutex<HashSet<UserId>>,
    pub loads: AtomicUsize,
    pub commits: AtomicUsize,
    pub flying: Mutex<Vec<UserId>>,
    /// Several processes commit here: two commits of one user may be in flight.
    pub shared: AtomicBool,
    /// How many queries asked for users' seqs.
    pub validations: AtomicUsize,
    /// How often another server has taken over.
    pub epoch: Arc<AtomicU64>,
    /// The latency of such a query, and of its answer.
    pub distance: Mutex<Duration>,
}

impl MemoryStore {
    /// The faults of the next commit calls, one each.
    pub fn fail(&self, faults: &[Fault]) {
        self.faults.lock().unwrap().extend(faults.iter().copied().map(Some));
    }

    /// The fault of one more commit call, or none.
    pub fn fail_or_pass(&self, fault: Option<Fault>) {
        self.faults.lock().unwrap().push_back(fault);
    }

    /// From now on nothing fails.
    pub fn heal(&self) {
        self.faults.lock().unwrap().clear();
        self.panic_at_reload.store(false, Ordering::SeqCst);
    }

    /// The stored state in the end.
    pub fn ending(&self, user: UserId) -> Ending {
        let row = self.rows.lock().unwrap().get(&user).cloned().unwrap_or_default();
        let deleted = row.stored.gone.into_iter().map(|(id, seq)| (seq, id.to_string())).collect();
        let tasks = row.stored.tasks.values().map(|task| (task.id.to_string(), model_of(task))).collect();
        Ending { seq: row.stored.seq, tasks, deleted, foreign: row.foreign }
    }

    pub fn seq(&self, user: UserId) -> i64 {
        self.rows.lock().unwrap().get(&user).map_or(0, |row| row.stored.seq)
    }

    pub fn tasks(&self, user: UserId) -> Vec<Task> {
        self.rows
            .lock()
            .unwrap()
            .get(&user)
            .map_or_else(Vec::new, |row| row.stored.tasks.values().cloned().collect())
    }

    /// Completes or reopens every task of the user, as another process would.
    pub fn overtake(&self, user: UserId, subject: &str) {
        let mut rows = self.rows.lock().unwrap();
        let row = rows.entry(user).or_default();
        subject.clone_into(&mut row.subject);
        let (stored, foreign) = (&mut row.stored, &mut row.foreign);
        stored.last = Some(Uuid::now_v7());
        if stored.tasks.is_empty() {
            // It created a task and deleted it again.
            stored.seq += 1;
            foreign.insert(stored.seq, None);
        }
        for task in stored.tasks.values_mut() {
            stored.seq += 1;
            task.content.completed = !task.content.completed;
            task.version = Seq::new(stored.seq);
            foreign.insert(stored.seq, Some((task.id.to_string(), model::Write::Complete(None))));
        }
    }

    /// Stores the answer to a write that changed nothing under this key, as another process would.
    pub fn keep_elsewhere(&self, user: UserId, key: &str, fingerprint: [u8; 32]) {
        let mut rows = self.rows.lock().unwrap();
        let row = rows.get_mut(&user).unwrap();
        row.keep(key, fingerprint, &[]);
    }

    /// Carries out a write under this key, as another process would.
    pub fn commit_elsewhere(&self, user: UserId, key: &str, fingerprint: [u8; 32]) {
        let mut rows = self.rows.lock().unwrap();
        let row = rows.get_mut(&user).unwrap();
        row.stored.seq += 1;
        row.foreign.insert(row.stored.seq, None);
        row.keep(key, fingerprint, &["deleted"]);
    }

    /// The current state, to go back to.
    pub fn remember(&self) -> Past {
        Past(self.rows.lock().unwrap().clone())
    }

    /// Goes back to an earlier state, like a restore from a backup.
    pub fn go_back(&self, past: &Past) {
        self.rows.lock().unwrap().clone_from(&past.0);
    }

    fn apply(&self, batch: &Batch) -> Outcome {
        apply(&mut self.rows.lock().unwrap(), batch, &self.epoch)
    }
}

fn apply(rows: &mut HashMap<UserId, Row>, batch: &Batch, epoch: &AtomicU64) -> Outcome {
    let row = rows
        .entry(batch.user)
        .or_insert_with(|| Row { subject: batch.subject.to_string(), ..Row::default() });
    if row.stored.last != Some(batch.id) {
        if row.rejected.contains(&batch.id) {
            return Outcome::Rejected("rejected, as before".into());
        }
        if batch.epoch != epoch.load(Ordering::SeqCst) {
            return Outcome::Conflict;
        }
    }
    row.stored.commit(batch)
}

/// Rejects a batch for ever, unless it was applied already or the fence refuses it.
fn reject(rows: &mut HashMap<UserId, Row>, batch: &Batch) -> Outcome {
    let row = rows
        .entry(batch.user)
        .or_insert_with(|| Row { subject: batch.subject.to_string(), ..Row::default() });
    if row.stored.last == Some(batch.id) {
        return Outcome::Committed;
    }
    if row.stored.seq != batch.expected.get() {
        return Outcome::Conflict;
    }
    row.rejected.insert(batch.id);
    Outcome::Rejected("rejected, on command".into())
}

#[async_trait]
impl Store for MemoryStore {
    async fn load(&self, user: UserId) -> Result<Option<StoredUser>, StoreError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panic_at_load.swap(false, Ordering::SeqCst), "a load that panics, on command");
        if self.conflicted.lock().unwrap().remove(&user) {
            assert!(!self.panic_at_reload.swap(false, Ordering::SeqCst), "a reload that panics, on command");
        }
        tokio::task::yield_now().await;
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError("down, on command".into()));
        }
        Ok(self.rows.lock().unwrap().get(&user).and_then(|row| row.stored.load(&row.subject)))
    }

    async fn seqs(&self, users: &[UserId]) -> Result<Vec<(UserId, Seq)>, StoreError> {
        self.validations.fetch_add(1, Ordering::SeqCst);
        let distance = *self.distance.lock().unwrap();
        tokio::time::sleep(distance).await;
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError("down, on command".into()));
        }
        let seqs = users.iter().map(|user| (*user, Seq::new(self.seq(*user)))).collect();
        tokio::time::sleep(distance).await;
        Ok(seqs)
    }

    async fn commit(&self, batches: &[Arc<Batch>]) -> Vec<Outcome> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        {
            let mut flying = self.flying.lock().unwrap();
            for batch in batches {
                let shared = self.shared.load(Ordering::SeqCst);
                assert!(shared || !flying.contains(&batch.user), "two commits of one user in flight");
                flying.push(batch.user);
            }
        }
        while self.stuck.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let latency = *self.latency.lock().unwrap();
        tokio::time::sleep(latency).await;
        let all = |outcome: Outcome| batches.iter().map(|_| outcome.clone()).collect::<Vec<_>>();
        let apply_all = || batches.iter().map(|batch| self.apply(batch)).collect::<Vec<_>>();
        let overtake = || batches.iter().for_each(|batch| self.overtake(batch.user, &batch.subject));
        let lost = || Outcome::Unknown("lost, on command".into());
        let fault = self.faults.lock().unwrap().pop_front();
        let outcomes = match fault {
            _ if self.down.load(Ordering::SeqCst) => all(Outcome::Unavailable("down, on command".into())),
            None | Some(None) => apply_all(),
            Some(Some(Fault::Refuse)) => all(Outcome::Unavailable("refused, on command".into())),
            Some(Some(Fault::Reject)) => {
                let mut rows = self.rows.lock().unwrap();
                batches.iter().map(|batch| reject(&mut rows, batch)).collect()
            }
            Some(Some(Fault::LoseRequest)) => all(lost()),
            Some(Some(Fault::ApplyLater(delay))) => {
                let (rows, epoch, batches) =
                    (Arc::clone(&self.rows), Arc::clone(&self.epoch), batches.to_vec());
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    for batch in &batches {
                        apply(&mut rows.lock().unwrap(), batch, &epoch);
                    }
                });
                all(lost())
            }
            Some(Some(Fault::LoseAnswer)) => {
                apply_all();
                all(lost())
            }
            Some(Some(Fault::LoseAnswerThenOvertake)) => {
                apply_all();
                overtake();
                all(lost())
            }
            Some(Some(Fault::Overtake)) => {
                overtake();
                apply_all()
            }
        };
        for (batch, outcome) in batches.iter().zip(&outcomes) {
            if *outcome == Outcome::Conflict {
                self.conflicted.lock().unwrap().insert(batch.user);
            }
        }
        self.flying.lock().unwrap().retain(|user| !batches.iter().any(|batch| batch.user == *user));
        outcomes
    }

    fn life(&self) -> StoreLife {
        let epoch = self.epoch.load(Ordering::SeqCst);
        StoreLife { epoch, identity: StoreIdentity::of(&[&epoch.to_be_bytes()]) }
    }

    async fn recall(&self, user: UserId, key: &str) -> Result<Recalled, StoreError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError("down, on command".into()));
        }
        let known = self.rows.lock().unwrap().get(&user).map(|row| row.stored.recall(key));
        let recalled = known.unwrap_or_else(|| Stored::default().recall(key));
        // The answer takes a while, and may be outdated when it arrives.
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(recalled)
    }

    async fn purge(&self, _: Timestamp, _: Timestamp) -> Result<u64, StoreError> {
        Err(StoreError("the lanes do not purge".into()))
    }

    async fn forget(&self, user: UserId, before: Seq) -> Result<u64, StoreError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError("down, on command".into()));
        }
        Ok(self.rows.lock().unwrap().get_mut(&user).map_or(0, |row| row.stored.forget(before)))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn pool(&self) -> PoolState {
        PoolState::default()
    }

    async fn close(&self) {}
}
