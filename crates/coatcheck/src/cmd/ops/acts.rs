//! What an operator can do: each act asks first.

use client::{Action, Client, ClientError};
use indicatif::HumanCount;
use program::{counted, without_passwords};
use uuid::Uuid;

use super::reads::Filter;

/// A task, and how a question names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub id: Uuid,
    pub name: String,
}

/// An act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Pause {
        kind: String,
        pending: u64,
        running: u64,
    },
    Resume {
        kind: String,
    },
    Retry(Named),
    Cancel(Named),
    Drain {
        worker: Named,
        running: u64,
    },
    UndoDrain(Named),
    /// Counts the tasks that an act is for, which changes nothing; the act itself asks then.
    Count {
        action: Action,
        filter: Filter,
    },
    Many {
        action: Action,
        filter: Filter,
        eligible: u64,
        confirm: String,
    },
}

/// The consequence of an act.
#[derive(Debug, PartialEq, Eq)]
pub enum After {
    /// It is done.
    Done(String),
    /// Another one is to be asked for.
    Ask(Act),
}

const fn word(action: Action) -> &'static str {
    match action {
        Action::Cancel => "Cancel",
        Action::Retry => "Retry",
    }
}

const fn explained(action: Action) -> &'static str {
    match action {
        Action::Cancel => "They end as cancelled.",
        Action::Retry => "Each becomes a new task; the old one stays as it is.",
    }
}

impl Act {
    /// Returns the question before the act; `None` for one that changes nothing.
    pub fn question(&self) -> Option<String> {
        let question = match self {
            Self::Pause { kind, pending, running } => format!(
                "Pause {kind}? None of its tasks begins until it is resumed; pending ones ({}) wait, running ones ({}) go on.",
                HumanCount(*pending),
                HumanCount(*running)
            ),
            Self::Resume { kind } => format!("Resume {kind}? Its tasks begin again."),
            Self::Retry(task) => {
                format!("Retry {}? It becomes a new task; the old one stays as it is.", task.told())
            }
            Self::Cancel(task) => format!("Cancel {}? It ends as cancelled.", task.told()),
            Self::Drain { worker, running } => format!(
                "Drain {}? It takes nothing more, finishes its {} or hands back what takes long, and its process ends, unless the API is part of it.",
                worker.name,
                counted(*running, "running task")
            ),
            Self::UndoDrain(worker) => format!("Let {} take tasks again?", worker.name),
            Self::Count { .. } => return None,
            Self::Many { action, filter, eligible, .. } => {
                let which = filter.words();
                let which = if which.is_empty() {
                    "all, without a filter".to_owned()
                } else {
                    format!("with {which}")
                };
                let number = HumanCount(*eligible);
                let tasks = if *eligible == 1 { "task" } else { "tasks" };
                format!("{} {number} {tasks} ({which})? {}", word(*action), explained(*action))
            }
        };
        let context = program::context().filter(|context| context.is_production);
        Some(match context {
            Some(context) => format!(
                "Context {} is production ({}). {question}",
                context.name,
                without_passwords(&context.url)
            ),
            None => question,
        })
    }

    /// Returns the act in a few words, for messages.
    pub fn words(&self) -> String {
        match self {
            Self::Pause { kind, .. } => format!("pause {kind}"),
            Self::Resume { kind } => format!("resume {kind}"),
            Self::Retry(task) => format!("retry {}", task.id),
            Self::Cancel(task) => format!("cancel {}", task.id),
            Self::Drain { worker, .. } => format!("drain {}", worker.name),
            Self::UndoDrain(worker) => format!("undo the drain of {}", worker.name),
            Self::Count { .. } => "count the tasks".to_owned(),
            Self::Many { action, eligible, .. } => {
                format!("{} {}", word(*action).to_lowercase(), counted(*eligible, "task"))
            }
        }
    }

    /// Does it. A request whose answer is lost is made again, and is one act all the same.
    ///
    /// # Errors
    /// The server's reason why it is not done.
    pub async fn run(self, client: &Client) -> Result<After, ClientError> {
        let words = match self {
            Self::Pause { kind, .. } => {
                client.set_paused(&kind, true).await?;
                format!("{kind} is paused.")
            }
            Self::Resume { kind } => {
                client.set_paused(&kind, false).await?;
                format!("{kind} is resumed.")
            }
            Self::Retry(task) => {
                format!("{} is done again, as the task {}.", task.name, client.retry(task.id).await?.id)
            }
            Self::Cancel(task) => {
                client.cancel(task.id).await?;
                format!("{} is cancelled, or will be in a moment.", task.name)
            }
            Self::Drain { worker, .. } => {
                client.set_draining(worker.id, true).await?;
                format!("{} drains.", worker.name)
            }
            Self::UndoDrain(worker) => {
                client.set_draining(worker.id, false).await?;
                format!("{} takes tasks again.", worker.name)
            }
            Self::Count { action, filter } => {
                let count = client.count(action, filter.query()).await?;
                if count.eligible > 0 {
                    return Ok(After::Ask(Self::Many {
                        action,
                        filter,
                        eligible: count.eligible,
                        confirm: count.confirm,
                    }));
                }
                format!("{}: no task of this list allows it.", word(action))
            }
            Self::Many { action, filter, eligible, confirm } => {
                let task = client.change(action, filter.query(), &confirm).await?;
                format!("{} {}: the task {} does it.", word(action), counted(eligible, "task"), task.id)
            }
        };
        Ok(After::Done(words))
    }
}

impl Named {
    fn told(&self) -> String {
        format!("{} ({})", self.name, self.id)
    }
}
