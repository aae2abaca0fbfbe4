//! `kill -9` at any moment: what was promised is kept, once; what was not leaves nothing.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use rstest_reuse::apply;
use test_kit::eventually;
use tokio::io::AsyncWriteExt;

use crate::kit::content::{Dice, noise};
use crate::kit::load::Load;
use crate::kit::stack::{Setup, both_stacks};

/// More than `ORPHAN_SECONDS`.
const OLD: Duration = Duration::from_secs(2 * 86_400);
/// Bytes of an upload that is cut.
const LARGE: usize = 32 << 20;

/// How often the program is killed under load; `COATCHECK_KILLS` says otherwise.
fn kills() -> u64 {
    std::env::var("COATCHECK_KILLS").map_or(15, |kills| kills.parse().expect("COATCHECK_KILLS is a number"))
}

#[apply(both_stacks)]
async fn every_promise_outlives_kill_9_under_load(setup: Setup) {
    let stack = setup.start(&[("MAX_ATTEMPTS", "1000")]).await;
    let load = Load::start(&stack, 8);
    let mut dice = Dice::new(u64::from(std::process::id()));

    for _ in 0..kills() {
        // From the first moments of a start to the midst of full work. The pause hits another moment each time; nothing
        // is waited for with it.
        load.promises(dice.below(50) as usize).await;
        tokio::time::sleep(Duration::from_micros(dice.below(30_000))).await;
        stack.kill();
        stack.start().await;
    }

    load.promises(1).await;
    let promises = load.end().await;
    stack.are_kept(&promises).await;
    stack.each_task_has_one_line(&[]).await;
    stack.verifies().await;
}

#[apply(both_stacks)]
async fn a_task_whose_worker_is_killed_is_done_by_the_next(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let held = stack.hold_worker().await;
    let waiting = stack.put("abc").await;
    let id = held.id.clone();

    stack.kill();
    held.restore();
    stack.start().await;

    assert_eq!(stack.until(&id, "succeeded").await["attempt"], 2);
    assert_eq!(stack.until(&waiting, "succeeded").await["attempt"], 1);
    stack.each_task_has_one_line(&[]).await;
}

#[apply(both_stacks)]
async fn a_task_that_ends_each_worker_fails_and_holds_up_no_other(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1"), ("MAX_ATTEMPTS", "2")]).await;
    let held = stack.hold_worker().await;

    stack.kill();
    let poison = held.abandon();
    stack.start().await;
    // Its row says `running` already: of the attempt that was killed.
    eventually("the second attempt", async || {
        let task = stack.task(&poison).await;
        if task["status"] == "running" && task["attempt"] == 2 { Ok(()) } else { Err(task) }
    })
    .await;
    stack.kill();
    stack.start().await;

    let task = stack.until(&poison, "failed").await;
    assert_eq!((&task["attempt"], &task["error"]["code"]), (&2.into(), &"worker-lost".into()));
    let other = stack.put("abc").await;
    stack.until(&other, "succeeded").await;
    stack.each_task_has_one_line(&[]).await;
}

#[apply(both_stacks)]
async fn a_kill_while_an_upload_streams_in_leaves_no_task(setup: Setup) {
    let stack = setup.start(&[]).await;
    let mut upload = stack.begin_put(LARGE, LARGE / 2).await;
    eventually("bytes that have come in", async || {
        let blobs = stack.blobs();
        if blobs.iter().any(|blob| blob.metadata().unwrap().len() > 0) { Ok(()) } else { Err(blobs) }
    })
    .await;

    stack.kill();
    assert!(upload.write_all(&noise(2, LARGE / 2)).await.is_err(), "nobody takes the rest");
    assert!(!stack.blobs().is_empty(), "what is left of it");
    stack.start().await;

    assert_eq!(stack.tasks("").await, [] as [serde_json::Value; 0]);
    stack.until_no_blobs().await;
    let tasks = stack.each_task_has_one_line(&[]).await;
    assert_eq!(tasks.len(), 1);
}

#[apply(both_stacks)]
async fn only_what_is_old_and_nobodys_is_removed(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let held = stack.hold_worker().await;
    let waiting = stack.put(noise(3, 50_000)).await;
    let id = held.id.clone();
    stack.kill();
    held.restore();
    let shard = stack.data("blobs/fe");
    let [old, young, strange] =
        ["0198c0de-0000-7000-8000-0000000000fe", "0198c0de-0000-7000-8000-0000000001fe", "README"]
            .map(|name| shard.join(name));
    for path in [&old, &young, &strange] {
        fs::write(path, "nobody's").unwrap();
    }
    grow_old(&[stack.blob(&id).unwrap(), stack.blob(&waiting).unwrap(), old.clone(), strange.clone()]);

    stack.start().await;

    eventually("an orphan that is gone", async || if old.exists() { Err("it is there") } else { Ok(()) })
        .await;
    for id in [id, waiting] {
        stack.until(&id, "succeeded").await;
    }
    assert!(young.exists() && strange.exists());
}

#[apply(both_stacks)]
async fn an_upload_whose_client_goes_away_leaves_nothing(setup: Setup) {
    let stack = setup.start(&[]).await;
    for is_reset in [true, false] {
        // From before the first byte to the last one but one.
        for sent in [0, 1, 20_000, LARGE / 2, LARGE / 100 * 99, LARGE - 1] {
            let upload = stack.begin_put(LARGE, sent).await;
            if is_reset {
                upload.set_zero_linger().unwrap();
            }
            drop(upload);
        }
    }

    stack.until_no_blobs().await;
    let tasks = stack.each_task_has_one_line(&[]).await;
    assert_eq!(tasks.len(), 1);
}

#[apply(both_stacks)]
async fn a_program_that_stood_still_for_longer_than_its_lease_keeps_every_promise(setup: Setup) {
    let stack = setup.start(&[("LEASE_SECONDS", "0.3"), ("MAX_ATTEMPTS", "1000")]).await;
    let load = Load::start(&stack, 4);

    for _ in 0..3 {
        load.promises(20).await;
        stack.signal(Signal::SIGSTOP);
        // Nothing is waited for: that time goes by is the fault itself.
        tokio::time::sleep(Duration::from_millis(600)).await;
        stack.signal(Signal::SIGCONT);
    }

    let promises = load.end().await;
    stack.are_kept(&promises).await;
    stack.each_task_has_one_line(&[]).await;
}

fn grow_old(files: &[PathBuf]) {
    assert!(!files.is_empty());
    for file in files {
        File::options().write(true).open(file).unwrap().set_modified(SystemTime::now() - OLD).unwrap();
    }
}
