//! The outcome log among others: rotated, locked, spoiled, deleted, blocked. Each ended task has its one line.

use rstest_reuse::apply;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use test_kit::eventually;

use crate::kit::load::Load;
use crate::kit::stack::{Setup, both_stacks};

#[apply(both_stacks)]
async fn a_log_that_is_rotated_under_load_has_each_line_once(setup: Setup) {
    let stack = setup.start(&[]).await;
    let load = Load::start(&stack, 6);

    for rotation in 1..=20 {
        load.promises(10).await;
        // Not before the log is there again, with something in it.
        eventually("a log that isn't empty", async || {
            let length = fs::metadata(stack.log()).map(|log| log.len());
            if matches!(length, Ok(1..)) { Ok(()) } else { Err(length) }
        })
        .await;
        fs::rename(stack.log(), stack.data(&format!("outcomes.log.{rotation}"))).unwrap();
    }

    let promises = load.end().await;
    stack.are_kept(&promises).await;
    stack.each_task_has_one_line(&[]).await;
    stack.verifies().await;
}

#[apply(both_stacks)]
async fn while_a_stranger_has_the_lock_work_goes_on_and_the_lines_come_later(setup: Setup) {
    let stack = setup.start(&[]).await;
    let first = stack.put("before").await;
    stack.log_lines(&first).await;
    let lock = LockHolder::start(&stack.log());
    let written = stack.all_log_lines();

    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(stack.put(format!("number {number}")).await);
    }
    for id in &ids {
        stack.until(id, "succeeded").await;
    }
    assert_eq!(stack.all_log_lines(), written, "nobody writes into a log that another has locked");

    lock.release();
    stack.each_task_has_one_line(&[]).await;
}

#[apply(both_stacks)]
async fn half_a_line_of_a_stranger_stays_and_spoils_nothing(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.kill();
    fs::remove_dir_all(stack.data("")).unwrap();
    fs::create_dir(stack.data("")).unwrap();
    fs::write(stack.log(), "half a line").unwrap();

    stack.start().await;

    let id = stack.put("abc").await;
    stack.log_lines(&id).await;
    let mut log = fs::OpenOptions::new().append(true).open(stack.log()).unwrap();
    log.write_all(b"another one").unwrap();
    let id = stack.put("def").await;
    stack.log_lines(&id).await;
    stack.each_task_has_one_line(&["half a line", "another one"]).await;
}

#[apply(both_stacks)]
async fn a_log_that_is_deleted_is_begun_anew(setup: Setup) {
    let stack = setup.start(&[]).await;
    let old = stack.put("before").await;
    stack.log_lines(&old).await;

    fs::remove_file(stack.log()).unwrap();
    let new = stack.put("after").await;

    stack.until(&new, "succeeded").await;
    assert_eq!(stack.log_lines(&new).await.len(), 1);
    let last = stack.put("later").await;
    assert_eq!(stack.log_lines(&last).await.len(), 1);
    let lines = stack.all_log_lines();
    assert_eq!(lines.len(), 2, "what was deleted is not written again: {lines:?}");
}

#[apply(both_stacks)]
async fn a_folder_in_place_of_the_log_stops_no_work_and_the_lines_come_later(setup: Setup) {
    let stack = setup.start(&[]).await;
    let first = stack.put("before").await;
    stack.log_lines(&first).await;
    fs::rename(stack.log(), stack.data("outcomes.log.1")).unwrap();
    fs::create_dir(stack.log()).unwrap();

    let mut ids = Vec::new();
    for number in 0..5 {
        let id = stack.put(format!("number {number}")).await;
        stack.until(&id, "succeeded").await;
        ids.push(id);
    }
    assert_eq!(stack.all_log_lines().len(), 1);

    fs::remove_dir(stack.log()).unwrap();
    let tasks = stack.each_task_has_one_line(&[]).await;
    assert_eq!(tasks.len(), 1 + ids.len() + 1);
}

#[apply(both_stacks)]
async fn a_link_in_place_of_the_log_leads_no_line_astray(setup: Setup) {
    let stack = setup.start(&[]).await;
    let elsewhere = stack.folder().join("elsewhere");
    fs::write(&elsewhere, "").unwrap();
    stack.kill();
    let _ = fs::remove_file(stack.log());
    std::os::unix::fs::symlink(&elsewhere, stack.log()).unwrap();

    stack.start().await;
    let id = stack.put("abc").await;
    stack.until(&id, "succeeded").await;
    fs::remove_file(stack.log()).unwrap();

    stack.each_task_has_one_line(&[]).await;
    assert_eq!(fs::read_to_string(elsewhere).unwrap(), "");
}

#[apply(both_stacks)]
async fn nothing_of_a_clients_making_gets_into_the_log(setup: Setup) {
    let stack = setup.start(&[]).await;
    let name = "a%0A2026-01-01T00:00:00.000000Z%20forged%20md5%20succeeded%20-";
    let content = "\n2026-01-01T00:00:00.000000Z forged md5 succeeded -\n";

    let answer = crate::kit::client::ask(stack.put_request(name, content)).await.unwrap();

    let id = crate::kit::client::accepted(&answer);
    assert_eq!(stack.log_lines(&id).await.len(), 1);
    stack.each_task_has_one_line(&[]).await;
}

/// Another program, not ours, that holds POSIX's lock on a file.
pub struct LockHolder(Child);

impl LockHolder {
    pub fn start(path: &Path) -> Self {
        let script = "import fcntl, sys\n\
                      log = open(sys.argv[1], 'a')\n\
                      fcntl.lockf(log, fcntl.LOCK_EX)\n\
                      print('locked', flush=True)\n\
                      sys.stdin.read()\n";
        let mut python = Command::new("python3");
        python.args(["-c", script]).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = Self(python.spawn().expect("python3 is needed"));
        let mut said = String::new();
        BufReader::new(holder.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "locked\n");
        holder
    }

    pub fn release(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for LockHolder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
