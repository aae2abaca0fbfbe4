//! A file on its way: sent under its key, with a ticket, and redeemed.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use client::{AsSent, Client, ClientError, STDIN, Status, Task, WAITS};
use program::{acts_on_terminal, without_numbers};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::files::Listed;
use super::state::{State, Version};

/// A reason for a missing line.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    #[error("{0}")]
    NotAccepted(#[source] ClientError),
    #[error("{}; -r hands in the files in it", without_numbers(&.0.to_string()))]
    Folder(#[source] io::Error),
    /// The state can't tell the next call of this file, so it is not sent.
    #[error("not sent, because the file of --resume can't be written: {}", without_numbers(&.0.to_string()))]
    NotKept(#[source] io::Error),
    /// The server has the file; only the wait broke off.
    #[error("handed in as {id}, but {source}")]
    NotRedeemed { id: Uuid, source: ClientError },
}

impl PutError {
    /// Returns the exit status of a command that ends with this error.
    pub fn status(&self) -> u8 {
        match self {
            Self::NotAccepted(error) | Self::NotRedeemed { source: error, .. } => error.status(),
            Self::Folder(_) | Self::NotKept(_) => 1,
        }
    }
}

/// A file on its way.
pub struct Handed {
    file: OsString,
    /// Its name in lines and messages, and on the server if that is not its own name.
    name: Option<String>,
    /// The reason why its folder can't be listed.
    error: Cell<Option<io::Error>>,
    stage: Cell<Stage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    NotSent,
    /// Its task may exist or not.
    Sending,
    Ticket(Uuid),
    /// Its line or its error is printed next.
    Done,
}

/// The tasks of files: made by sending each once, or found in the state of an earlier call.
pub struct Tasks<'a> {
    client: &'a Client,
    state: Option<&'a State>,
    /// Whether each task has to end.
    waits: bool,
    uploads: Semaphore,
    wait_slots: Semaphore,
    found: AtomicU64,
}

impl Handed {
    /// Takes a file that was listed; `name` is that of standard input.
    pub fn new(listed: Listed, name: Option<&str>) -> Self {
        let Listed { path, error } = listed;
        let name = name.filter(|_| path == STDIN).map(str::to_owned);
        Self { file: path, name, error: Cell::new(error), stage: Cell::new(Stage::NotSent) }
    }

    pub fn shown(&self) -> &OsStr {
        self.name.as_deref().map_or(&self.file, OsStr::new)
    }

    /// Returns the file's name for a message: on one line, whatever it contains.
    pub fn in_message(&self) -> String {
        in_message(self.shown())
    }

    pub fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// Returns whether the server has it, or it can't be sent.
    pub fn is_sent(&self) -> bool {
        matches!(self.stage.get(), Stage::Ticket(_) | Stage::Done)
    }
}

impl<'a> Tasks<'a> {
    /// Sends up to `jobs` files at once.
    pub fn new(client: &'a Client, state: Option<&'a State>, jobs: u16, waits: bool) -> Self {
        let (uploads, wait_slots) = (Semaphore::new(jobs.into()), Semaphore::new(WAITS));
        Self { client, state, waits, uploads, wait_slots, found: AtomicU64::new(0) }
    }

    /// Returns the bytes of files that are not sent, because an earlier call has sent them.
    pub fn found(&self) -> u64 {
        self.found.load(Relaxed)
    }

    /// Returns the task of a file, which has ended unless the tasks are not waited for.
    pub async fn of(&self, file: &Handed) -> Result<AsSent<Task>, PutError> {
        let task = self.found_or_made(file).await;
        if task.is_err() {
            file.stage.set(Stage::Done);
        }
        task
    }

    async fn found_or_made(&self, file: &Handed) -> Result<AsSent<Task>, PutError> {
        if let Some(error) = file.error.take() {
            return Err(PutError::NotAccepted(ClientError::Read(error)));
        }
        // Only a regular file has a version: standard input or a pipe may differ in each call.
        let is_named = file.file != STDIN;
        let version = self.state.filter(|_| is_named).and_then(|_| Version::of(Path::new(&file.file)));
        let kept = self.state.zip(version.as_ref()).and_then(|(state, version)| state.kept(version));
        let mut key = kept.map(|kept| kept.key);
        if let Some((id, version)) = kept.and_then(|kept| kept.ticket).zip(version.as_ref()) {
            self.found.fetch_add(version.size, Relaxed);
            if let Some(task) = self.found_task(file, id).await? {
                return Ok(task);
            }
            self.found.fetch_sub(version.size, Relaxed);
            // The key stands for a task that is lost or has no digest.
            key = None;
        }
        let sent = self.sent(file, version.as_ref(), key.unwrap_or_else(Uuid::new_v4)).await;
        let task = match sent {
            // It was changed while it was sent, or so that its size and time stayed.
            Err(PutError::NotAccepted(ClientError::OtherContent(_))) => {
                self.sent(file, version.as_ref(), Uuid::new_v4()).await?
            }
            sent => sent?,
        };
        if !self.waits {
            return Ok(task);
        }
        // The semaphores are never closed, so a permit always comes; it is held until the end of the block.
        let _slot = self.wait_slots.acquire().await;
        let id = task.id;
        self.client.ended(id, None).await.map_err(|source| PutError::NotRedeemed { id, source })
    }

    /// Returns the task of a ticket from the state; `None` if the server does not have it, or it ended without a digest.
    async fn found_task(&self, file: &Handed, id: Uuid) -> Result<Option<AsSent<Task>>, PutError> {
        file.stage.set(Stage::Ticket(id));
        let _slot = self.wait_slots.acquire().await;
        let task = match self.waits {
            true => self.client.ended(id, None).await,
            false => self.client.task(id).await,
        };
        let task = match task {
            Ok(task) if !matches!(task.status(), Some(Status::Failed | Status::Cancelled)) => Some(task),
            Ok(_) | Err(ClientError::UnknownTask) => None,
            Err(source) => return Err(PutError::NotRedeemed { id, source }),
        };
        if task.is_none() {
            file.stage.set(Stage::NotSent);
        }
        Ok(task)
    }

    async fn sent(
        &self,
        file: &Handed,
        version: Option<&Version>,
        key: Uuid,
    ) -> Result<AsSent<Task>, PutError> {
        let kept = self.state.zip(version);
        let taken = {
            let _slot = self.uploads.acquire().await;
            if let Some((state, version)) = kept {
                state.keep(version, key, None).await.map_err(PutError::NotKept)?;
            }
            file.stage.set(Stage::Sending);
            let sent = self.client.put(Path::new(&file.file), file.name.as_deref(), key).await;
            let taken = sent.map_err(|error| match error {
                ClientError::Read(error) if error.kind() == ErrorKind::IsADirectory => {
                    PutError::Folder(error)
                }
                error => PutError::NotAccepted(error),
            })?;
            file.stage.set(Stage::Ticket(taken.id));
            taken
        };
        if let Some((state, version)) = kept {
            // If it can't be written, the next call sends the file under the same key, and gets the same ticket.
            let _ = state.keep(version, key, Some(taken.id)).await;
        }
        Ok(taken)
    }
}

fn in_message(file: &OsStr) -> String {
    let name = file.to_string_lossy();
    if name.is_empty() || name.contains(acts_on_terminal) { format!("{name:?}") } else { name.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_message_stays_on_its_line() {
        assert_eq!(in_message(OsStr::new("plain é")), "plain é");
        assert_eq!(in_message(OsStr::new("a\nb")), r#""a\nb""#);
        assert_eq!(in_message(OsStr::new("a\u{202e}b\u{9b}")), r#""a\u{202e}b\u{9b}""#);
        assert_eq!(in_message(OsStr::new("")), r#""""#);
    }
}
