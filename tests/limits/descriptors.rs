//! A process that has as many files open as it may loses nothing and fails at nothing: it says that it is overloaded.

use std::process::Command;

use futures::future::join_all;
use tokio::io::AsyncWriteExt;

use crate::kit::client::{Answer, accepted, read_answer};
use crate::kit::content::{md5sum, noise};
use crate::kit::program::Program;
use crate::kit::stack::{Stack, own_host};

/// Descriptors of the process; with its own files, and two for each upload, half of the clients are too many.
const DESCRIPTORS: u32 = 96;
const CLIENTS: usize = 80;
const BYTES: usize = 60_000;

#[tokio::test]
async fn with_all_descriptors_in_use_uploads_are_taken_or_told_to_come_again() {
    let stack = Stack::bare(&[]);
    let mut command = Command::new("sh");
    let script = format!("ulimit -n {DESCRIPTORS} && exec \"$0\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_coatcheck")]);
    command.current_dir(stack.folder()).env_clear().env("LISTEN", format!("{}:0", own_host()));
    // A worker that can't open an upload charges nothing.
    command.env("MAX_ATTEMPTS", "1");
    let mut program = Program::start(command, stack.folder());
    stack.answers_at(program.address(stack.folder()).await);

    // Each has sent more than fits into a row, so each that was let in has its file open.
    let mut uploads = Vec::new();
    for _ in 0..CLIENTS {
        uploads.push(stack.begin_put(BYTES, BYTES / 2).await);
    }
    let rest = &noise(2, BYTES)[BYTES / 2..];
    let answers = join_all(uploads.into_iter().map(async |mut upload| {
        // The server need not read a rejected request to its end.
        let _ = upload.write_all(rest).await;
        read_answer(upload).await
    }));
    let answers: Vec<Answer> = answers.await;

    let (taken, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 202);
    println!("{} taken, {} refused", taken.len(), refused.len());
    assert!(!taken.is_empty());
    for answer in refused {
        answer.problem(503, "overloaded");
        assert_eq!(answer.header("retry-after"), "1");
    }
    for answer in taken {
        let task = stack.until(&accepted(answer), "succeeded").await;
        assert_eq!(task["result"]["md5"], md5sum(&noise(2, BYTES)), "{task}");
    }
    stack.until(&stack.put(noise(3, BYTES)).await, "succeeded").await;
}
