//! What a write may do: the rules, as one pure function.

use std::sync::Arc;

use super::{NewTask, Patch, Seq, Task, TaskContent, TaskId, Timestamp};

/// One write that a client asks for, already parsed: nobody below HTTP checks it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make a task.
    CreateTask(Box<NewTask>),
    /// Change some fields of a task.
    UpdateTask {
        /// Which task.
        id: TaskId,
        /// What to change.
        patch: Box<Patch>,
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
    /// Import an exported task, as it was but for its version. It becomes the task itself: an import is large, and is in
    /// memory once.
    ImportTask(Arc<Task>),
}

/// A command and its condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What to do.
    pub command: Command,
    /// The versions that the task may have (`If-Match`, RFC 9110 section 13.1.1).
    pub if_match: Option<Match>,
}

/// The versions a condition names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// `*`: any version.
    Any,
    /// One of these.
    Versions(Vec<Seq>),
}

/// What a command does to the state it finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The task is new, and this is its first state.
    Create(Arc<Task>),
    /// The task takes this state.
    Replace(Arc<Task>),
    /// The task is deleted.
    Delete,
    /// The same create again: the stored task is the reply, nothing is written.
    Exists,
}

/// Why a command was refused. Nothing was or will be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The user has no such task.
    NotFound,
    /// The chosen id belongs to another task of the user.
    IdTaken,
    /// The task is not in one of the versions the condition names.
    PreconditionFailed,
    /// The user has as many tasks as allowed.
    QuotaExceeded {
        /// How many that is.
        limit: usize,
    },
    /// The user's data would take more bytes than allowed.
    BytesExceeded {
        /// How many that is.
        limit: usize,
    },
}

/// What a decision depends on, beside the task itself.
#[derive(Clone, Copy, Debug)]
pub struct DecisionContext {
    /// How many tasks the user has.
    pub count: usize,
    /// How many the user may have.
    pub limit: usize,
    /// The present instant.
    pub now: Timestamp,
    /// The seq an accepted change takes.
    pub next: Seq,
}

impl From<Command> for Operation {
    fn from(command: Command) -> Self {
        Self { command, if_match: None }
    }
}

impl Match {
    fn holds(&self, version: Seq) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(versions) => versions.contains(&version),
        }
    }
}

impl Operation {
    /// The task it is about.
    pub(crate) fn task(&self) -> TaskId {
        match &self.command {
            Command::CreateTask(new) => new.id,
            Command::ImportTask(task) => task.id,
            Command::UpdateTask { id, .. }
            | Command::CompleteTask { id, .. }
            | Command::DeleteTask { id } => *id,
        }
    }

    /// What it says of a task that it brings.
    pub(crate) fn brings(&self) -> Option<&TaskContent> {
        match &self.command {
            Command::CreateTask(new) => Some(&new.content),
            Command::ImportTask(task) => Some(&task.content),
            _ => None,
        }
    }

    /// Gives a task to be imported the version that it would take, unless others hold it.
    fn prepare(&mut self, version: Seq) {
        if let Command::ImportTask(task) = &mut self.command
            && let Some(task) = Arc::get_mut(task)
        {
            task.version = version;
        }
    }

    /// Decides this operation against `existing`, the task of that id as it is now.
    ///
    /// # Errors
    /// [`Refusal`] when a rule forbids it.
    pub fn decide(&mut self, existing: Option<&Task>, at: DecisionContext) -> Result<Decision, Refusal> {
        self.prepare(at.next);
        match (&self.command, existing) {
            (Command::CreateTask(new), Some(task)) if new.made(task) => Ok(Decision::Exists),
            (Command::ImportTask(new), Some(task))
                if new.content.is_made_of(&task.content)
                    && **new == (Task { version: new.version, content: new.content.clone(), ..*task }) =>
            {
                Ok(Decision::Exists)
            }
            (Command::CreateTask(_) | Command::ImportTask(_), Some(_)) => Err(Refusal::IdTaken),
            (Command::CreateTask(_) | Command::ImportTask(_), None) if at.count >= at.limit => {
                Err(Refusal::QuotaExceeded { limit: at.limit })
            }
            (Command::CreateTask(new), None) => Ok(Decision::Create(Arc::new(new.make(at.now, at.next)))),
            (Command::ImportTask(task), None) if task.version == at.next => {
                Ok(Decision::Create(Arc::clone(task)))
            }
            (Command::ImportTask(task), None) => {
                Ok(Decision::Create(Arc::new(Task { version: at.next, ..(**task).clone() })))
            }
            (_, None) => Err(Refusal::NotFound),
            (_, Some(task)) if self.if_match.as_ref().is_some_and(|tags| !tags.holds(task.version)) => {
                Err(Refusal::PreconditionFailed)
            }
            (Command::UpdateTask { patch, .. }, Some(task)) => {
                Ok(Decision::Replace(Arc::new(task.patched(patch, at.now, at.next))))
            }
            (Command::CompleteTask { completed, .. }, Some(task)) => {
                let completed = Some(completed.unwrap_or(!task.content.completed));
                let patch = Patch { completed, ..Patch::default() };
                Ok(Decision::Replace(Arc::new(task.patched(&patch, at.now, at.next))))
            }
            (Command::DeleteTask { .. }, Some(_)) => Ok(Decision::Delete),
        }
    }
}
