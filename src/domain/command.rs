//! What a write may do: the rules, as one pure function.

use super::{NewTask, Patch, Seq, Task, TaskId, Timestamp};

/// One write a client asks for, already parsed: below the edge nobody checks it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make a task.
    CreateTask(NewTask),
    /// Change some fields of a task.
    UpdateTask {
        /// Which task.
        id: TaskId,
        /// What to change.
        patch: Patch,
    },
    /// Tick or untick a task.
    CompleteTask {
        /// Which task.
        id: TaskId,
        /// The state wanted; `None` flips it.
        completed: Option<bool>,
    },
    /// Remove a task.
    DeleteTask {
        /// Which task.
        id: TaskId,
    },
}

/// What a command comes to, against the state it met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The task is new, and this is its first state.
    Create(Task),
    /// The task takes this state.
    Replace(Task),
    /// The task goes.
    Delete,
    /// The same create again: the stored task is the answer, nothing is written.
    Exists,
}

/// Why a command was refused. Nothing was or will be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The user has no such task.
    NotFound,
    /// The chosen id belongs to another task of the user.
    IdTaken,
    /// The user has as many tasks as allowed.
    QuotaExceeded {
        /// How many that is.
        limit: usize,
    },
}

impl Command {
    /// The task it is about.
    #[must_use]
    pub const fn task(&self) -> TaskId {
        match self {
            Self::CreateTask(new) => new.id,
            Self::UpdateTask { id, .. } | Self::CompleteTask { id, .. } | Self::DeleteTask { id } => *id,
        }
    }

    /// Decides this command against `existing`, the task of that id as it is now, and `count`, how
    /// many tasks the user has. `next` is the seq an accepted change takes.
    ///
    /// # Errors
    /// [`Refusal`] when a rule forbids it.
    pub fn decide(
        &self,
        existing: Option<&Task>,
        count: usize,
        limit: usize,
        now: Timestamp,
        next: Seq,
    ) -> Result<Decision, Refusal> {
        match self {
            Self::CreateTask(new) => match existing {
                Some(task) if new.made(task) => Ok(Decision::Exists),
                Some(_) => Err(Refusal::IdTaken),
                None if count >= limit => Err(Refusal::QuotaExceeded { limit }),
                None => Ok(Decision::Create(Task {
                    id: new.id,
                    title: new.title.clone(),
                    description: new.description.clone(),
                    completed: new.completed,
                    created_at: now,
                    updated_at: now,
                    version: next,
                })),
            },
            Self::UpdateTask { patch, .. } => {
                let task = existing.ok_or(Refusal::NotFound)?;
                Ok(Decision::Replace(Task {
                    title: patch.title.as_ref().unwrap_or(&task.title).clone(),
                    description: patch.description.as_ref().unwrap_or(&task.description).clone(),
                    completed: patch.completed.unwrap_or(task.completed),
                    updated_at: now,
                    version: next,
                    ..*task
                }))
            }
            Self::CompleteTask { completed, .. } => {
                let task = existing.ok_or(Refusal::NotFound)?;
                let mut task = Task { updated_at: now, version: next, ..task.clone() };
                task.completed = completed.unwrap_or(!task.completed);
                Ok(Decision::Replace(task))
            }
            Self::DeleteTask { .. } => existing.map(|_| Decision::Delete).ok_or(Refusal::NotFound),
        }
    }
}

impl NewTask {
    /// Whether `task` is what this create would have made: the same request sent twice.
    fn made(&self, task: &Task) -> bool {
        self.title == task.title && self.description == task.description && self.completed == task.completed
    }
}
