//! A task that a worker keeps running for as long as a test likes.
//!
//! Its upload is replaced by a pipe while the worker is busy with another task, so its reader then waits for the test. Needs a stack with
//! one worker.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use nix::libc::O_NONBLOCK;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;
use test_kit::eventually;

use crate::kit::content::{files_below, noise};
use crate::kit::stack::Stack;

/// Fits into a pipe's buffer, so that writing it never waits, and is too large to be kept in the row.
const BYTES: usize = 40_000;
/// Keeps a worker busy for longer than it takes to replace a file.
const LONG: usize = 48 << 20;

/// A task that is `running` until it is let go or its program dies.
pub struct Held {
    pub id: String,
    path: PathBuf,
    pipe: File,
    content: Vec<u8>,
}

impl Stack {
    /// Makes the one worker hold a task. Tasks that are handed in afterwards stay `pending`.
    pub async fn hold_worker(&self) -> Held {
        eventually("a task that waits", async || {
            let content = noise(1, BYTES);
            let before = self.put(vec![0; LONG]).await;
            let id = self.put(content.clone()).await;
            let path = self.blob(&id);
            let waiting = path.as_ref().filter(|_| self.exchange_for_pipe(&id));
            let Some(path) = waiting.cloned() else { return Err("the worker was faster") };
            // A busy broker may deliver it before the one that was handed in first, which then waits behind it.
            eventually("the first one's end, or a reader of the second", async || {
                let (first, second) = (self.task(&before).await, self.task(&id).await);
                let is_done = !first["finished"].is_null() || second["status"] != "pending";
                if is_done { Ok(()) } else { Err((first, second)) }
            })
            .await;
            // It can be opened for writing only once a reader has it open.
            let pipe = eventually("a reader, or an end", async || {
                let task = self.task(&id).await;
                match OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(&path) {
                    Ok(pipe) => Ok(Some(pipe)),
                    Err(_) if !task["finished"].is_null() => Ok(None),
                    Err(error) => Err((error, task)),
                }
            });
            match pipe.await {
                Some(pipe) => Ok(Held { id, path, pipe, content }),
                None => {
                    // The worker opened it, or even removed it, before it was replaced.
                    let _ = fs::remove_file(&path);
                    Err("the worker was faster")
                }
            }
        })
        .await
    }

    /// Makes large uploads fail because they are missing when they are worked on. Puts the uploads back, and returns their tasks.
    pub async fn fail_for_want_of_uploads(&self, contents: Vec<Vec<u8>>) -> Vec<Value> {
        let held = self.hold_worker().await;
        let mut moved = Vec::new();
        for content in contents {
            let id = self.put(content).await;
            let (blob, away) = (self.blob(&id).unwrap(), self.folder().join(&id));
            fs::rename(&blob, &away).unwrap();
            moved.push((id, blob, away));
        }
        held.release();
        let mut failed = Vec::new();
        for (id, ..) in &moved {
            let task = self.until(id, "failed").await;
            assert_eq!(task["error"]["code"], "blob-missing");
            failed.push(task);
        }
        for (_, blob, away) in moved {
            fs::rename(away, blob).unwrap();
        }
        failed
    }

    /// Returns the file of a large upload.
    pub fn blob(&self, id: &str) -> Option<PathBuf> {
        self.blobs().into_iter().find(|path| path.ends_with(id))
    }

    /// Returns all files of uploads, whole or not.
    pub fn blobs(&self) -> Vec<PathBuf> {
        files_below(&self.data("blobs"), usize::MAX, u64::MAX)
    }

    /// Waits until the folder of uploads is empty.
    pub async fn until_no_blobs(&self) {
        eventually("a blob store without blobs", async || {
            let blobs = self.blobs();
            if blobs.is_empty() { Ok(()) } else { Err(blobs) }
        })
        .await;
    }

    fn exchange_for_pipe(&self, id: &str) -> bool {
        let Some(blob) = self.blob(id) else { return false };
        let pipe = self.folder().join("pipe");
        mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        fs::rename(pipe, blob).unwrap();
        true
    }
}

impl Held {
    /// Gives the worker the content that it waits for; the task succeeds.
    pub fn release(mut self) {
        self.pipe.write_all(&self.content).unwrap();
    }

    /// Gives the worker one byte, not the last, if it still reads.
    pub fn drip(&mut self) {
        match self.pipe.write_all(&self.content[..1]) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            written => written.unwrap(),
        }
    }

    /// Puts the upload back in its place for another worker, because this one is dead.
    pub fn restore(self) {
        self.put_back();
    }

    fn put_back(&self) {
        fs::remove_file(&self.path).unwrap();
        fs::write(&self.path, &self.content).unwrap();
    }

    /// Puts the upload back while its worker sleeps; the returned file keeps that worker waiting when it wakes up.
    pub fn restore_behind(self) -> File {
        self.put_back();
        self.pipe
    }

    /// Leaves the upload unreadable for every later worker; returns the id of the task.
    pub fn abandon(self) -> String {
        self.id
    }
}
