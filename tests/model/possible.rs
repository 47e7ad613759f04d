//! A user's tasks where outcomes are unknown: every state that each of them can be in, until a read shows
//! which it is.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Task, Write};

/// For each known task, every state it can be in. `None`: it does not exist.
#[derive(Default)]
pub struct Possible(BTreeMap<String, Vec<Option<Task>>>);

impl Possible {
    fn of(&mut self, id: &str) -> &mut Vec<Option<Task>> {
        self.0.entry(id.to_owned()).or_insert_with(|| vec![None])
    }

    /// The states that a write with this seq can lead to.
    fn after(&mut self, id: &str, write: &Write, seq: i64) -> Vec<Option<Task>> {
        self.of(id).iter().filter_map(|state| write.apply(state.as_ref(), seq).ok()).collect()
    }

    /// Keeps the states of a task that agree with what was seen.
    ///
    /// # Errors
    /// None of them agrees.
    pub fn pin(&mut self, id: &str, agrees: impl Fn(Option<&Task>) -> bool, who: &str) -> Result<(), String> {
        let possible = self.of(id);
        let before = possible.clone();
        possible.retain(|state| agrees(state.as_ref()));
        if possible.is_empty() {
            return Err(format!("task {id} can only be in {before:?}, but see {who}"));
        }
        Ok(())
    }

    /// An acknowledged write, with the task in its answer, if the answer has one.
    ///
    /// # Errors
    /// It cannot have been carried out, or not with this result.
    #[allow(clippy::option_option, reason = "not answered, gone, or there")]
    pub fn write(
        &mut self,
        (id, write): (&str, &Write),
        seq: i64,
        answered: Option<Option<Task>>,
        who: &str,
    ) -> Result<(), String> {
        if *write == Write::Erase {
            self.0.values_mut().for_each(|possible| *possible = vec![None]);
            return Ok(());
        }
        let mut after = self.after(id, write, seq);
        if let Some(answered) = answered {
            after.retain(|state| *state == answered);
        }
        after.dedup();
        if after.is_empty() {
            return Err(format!("seq {seq}: no state of {:?} leads to {who}", self.of(id)));
        }
        *self.of(id) = after;
        Ok(())
    }

    /// A seq that no client got as an answer: it belongs to one of these writes. `shown`: the task that was
    /// seen with it.
    ///
    /// # Errors
    /// It can belong to none of them.
    pub fn hole<'a>(
        &mut self,
        seq: i64,
        writes: impl Iterator<Item = (&'a str, &'a Write)>,
        shown: Option<(String, Option<Task>)>,
    ) -> Result<(), String> {
        let mut reached: Vec<(String, Option<Task>)> = Vec::new();
        let mut erased = false;
        for (id, write) in writes {
            if *write == Write::Erase {
                erased = true;
            } else {
                reached.extend(self.after(id, write, seq).into_iter().map(|state| (id.to_owned(), state)));
            }
        }
        let found = shown.as_ref().map_or(erased || !reached.is_empty(), |shown| reached.contains(shown));
        if !found {
            return Err(format!("seq {seq} belongs to nobody, and shows as {shown:?}"));
        }
        if let Some((id, state)) = shown {
            *self.of(&id) = vec![state];
            return Ok(());
        }
        if erased {
            reached.extend(self.0.keys().map(|id| (id.clone(), None)));
        }
        for (id, state) in reached {
            let possible = self.of(&id);
            if !possible.contains(&state) {
                possible.push(state);
            }
        }
        Ok(())
    }

    /// All of the user's tasks were seen.
    ///
    /// # Errors
    /// One of them cannot have this state, or cannot be missing.
    pub fn list(&mut self, listed: &BTreeMap<String, Task>, who: &str) -> Result<(), String> {
        let ids: BTreeSet<String> = self.0.keys().chain(listed.keys()).cloned().collect();
        ids.iter().try_for_each(|id| self.pin(id, |state| state == listed.get(id), who))
    }
}
