//! What a write may do: the rules, as one pure function.

use std::sync::Arc;

use super::{GivenRevision, Lineage, NewTask, Patch, Seq, Task, TaskContent, TaskId, Timestamp};

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
    /// Import an exported task, as it was but for its version. It becomes the task itself: an import is
    /// large, and is in memory once.
    ImportTask(Arc<Task>),
}

/// A command and its conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What to do.
    pub command: Command,
    /// On which conditions.
    pub conditions: Conditions,
}

/// In which versions something may be for a command to be carried out (RFC 9110, section 13): the task; where a task
/// is made, the whole list, whose version is the user's seq.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// `If-Match`: it is in one of these versions.
    pub if_match: Option<Match>,
    /// `If-None-Match`: it is in none of these versions.
    pub if_none_match: Option<Match>,
}

/// The versions a condition names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// `*`: any version.
    Any,
    /// One of these.
    Versions(Vec<GivenRevision>),
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
    /// The operation's conditions do not hold.
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
    /// The user's seq now; an accepted change takes the next one.
    pub seq: Seq,
    /// The user's lineage.
    pub lineage: Lineage,
}

impl From<Command> for Operation {
    fn from(command: Command) -> Self {
        Self { command, conditions: Conditions::default() }
    }
}

impl Match {
    /// Whether it names this version of something that exists.
    #[must_use]
    pub fn names(&self, version: Seq, lineage: Lineage) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(all) => all.iter().any(|one| one.seq == version && one.is_of(lineage)),
        }
    }
}

impl Conditions {
    /// Whether they hold for something that exists in this version (RFC 9110, section 13.2.2).
    #[must_use]
    pub fn hold(&self, version: Seq, lineage: Lineage) -> bool {
        let names = |condition: &Match| condition.names(version, lineage);
        self.if_match.as_ref().is_none_or(names) && !self.if_none_match.as_ref().is_some_and(names)
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
        let next = at.seq.next();
        self.prepare(next);
        match (&self.command, existing) {
            // Also where its conditions do not hold any more: it has been carried out (RFC 9110, section 13.1.1).
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
            (Command::CreateTask(_) | Command::ImportTask(_), None)
                if !self.conditions.hold(at.seq, at.lineage) =>
            {
                Err(Refusal::PreconditionFailed)
            }
            (Command::CreateTask(new), None) => Ok(Decision::Create(Arc::new(new.make(at.now, next)))),
            (Command::ImportTask(task), None) if task.version == next => {
                Ok(Decision::Create(Arc::clone(task)))
            }
            (Command::ImportTask(task), None) => {
                Ok(Decision::Create(Arc::new(Task { version: next, ..(**task).clone() })))
            }
            (_, None) => Err(Refusal::NotFound),
            (_, Some(task)) if !self.conditions.hold(task.version, at.lineage) => {
                Err(Refusal::PreconditionFailed)
            }
            (Command::UpdateTask { patch, .. }, Some(task)) => {
                Ok(Decision::Replace(Arc::new(task.patched(patch, at.now, next))))
            }
            (Command::CompleteTask { completed, .. }, Some(task)) => {
                let completed = Some(completed.unwrap_or(!task.content.completed));
                let patch = Patch { completed, ..Patch::default() };
                Ok(Decision::Replace(Arc::new(task.patched(&patch, at.now, next))))
            }
            (Command::DeleteTask { .. }, Some(_)) => Ok(Decision::Delete),
        }
    }
}
