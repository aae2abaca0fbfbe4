//! `coatcheck backup`: a copy that was made under load starts as it is, and keeps every promise that was given before it began.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::sys::signal::Signal;
use rstest_reuse::apply;
use test_kit::eventually;

use crate::kit::content::noise;
use crate::kit::load::{Load, Promise};
use crate::kit::program::{Program, coatcheck, output};
use crate::kit::stack::{Setup, Stack, embedded, own_host};

const BACKUPS: usize = 4;

/// A copy, made now; what was said is asserted.
async fn back_up(stack: &Stack, name: &str) -> PathBuf {
    let folder = stack.folder().join(name);
    let done = output(stack.command(&["backup", folder.to_str().unwrap()])).await;
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert_eq!((done.status.code(), &*err), (Some(0), ""), "{out}");
    assert!(out.lines().count() == 1 && out.contains("bytes of rows"), "{out}");
    folder
}

/// Checks that `verify` finds nothing in a copy in which no process works.
async fn verifies(folder: &Path) {
    let done = output(coatcheck(folder, ["verify"])).await;
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stdout));
}

/// A copy as a service of its own.
struct Copy {
    stack: Arc<Stack>,
    program: Program,
    folder: PathBuf,
}

impl Copy {
    async fn start(folder: &Path) -> Self {
        let mut command = coatcheck::<&str>(folder, []);
        command.env("LISTEN", format!("{}:0", own_host()));
        let mut program = Program::start(command, folder);
        let stack = Stack::bare(&[]);
        stack.answers_at(program.address(folder).await);
        Self { stack: Arc::new(stack), program, folder: folder.to_owned() }
    }

    /// Each promise ends right, each task has its one line, and nothing is found when all has ended.
    async fn keeps(mut self, promises: &[Promise]) {
        self.stack.are_kept(promises).await;
        eventually("the end of all tasks, with their lines", async || {
            let open = self.stack.tasks("status=pending").await.len()
                + self.stack.tasks("status=running").await.len();
            let told = output(coatcheck(&self.folder, ["verify"])).await;
            let told = String::from_utf8(told.stdout).unwrap();
            if open == 0 && !told.contains("owed") { Ok(()) } else { Err((open, told)) }
        })
        .await;
        for task in self.stack.tasks("limit=1000").await {
            assert_eq!(task["status"], "succeeded", "{task}");
        }
        verifies(&self.folder).await;
        self.program.signal(Signal::SIGTERM);
        eventually("its end", async || self.program.exit_status().ok_or("it runs")).await;
        assert_eq!(
            fs::read_dir(self.folder.join("data/blobs/tmp")).unwrap().count(),
            0,
            "unfinished uploads were not copied"
        );
    }
}

// A task that was running when the copy was made has its one try left in it.
#[apply(embedded)]
async fn a_copy_made_under_load_keeps_every_promise(setup: Setup) {
    let stack = setup.start(&[("MAX_ATTEMPTS", "1")]).await;
    let load = Load::start(&stack, 6);
    let mut copies = Vec::new();
    for number in 1..=BACKUPS {
        load.promises(40).await;
        if number % 2 == 0 {
            // May be in the middle of it; what is asked of the log holds all the same.
            fs::rename(stack.log(), stack.data(&format!("outcomes.log.{number}"))).unwrap();
        }
        let promised = load.so_far();
        copies.push((back_up(&stack, &format!("backup-{number}")).await, promised));
    }
    let promises = load.end().await;
    stack.are_kept(&promises).await;
    stack.kill();

    for (folder, promised) in copies {
        verifies(&folder).await;
        Copy::start(&folder).await.keeps(&promised).await;
    }
}

#[apply(embedded)]
async fn a_copy_has_what_waits_its_upload_its_users_and_the_key(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let held = stack.hold_worker().await;
    let waiting = stack.put(noise(4, 100_000)).await;
    stack.register("ada").await;
    let token = stack.log_in("ada").await;

    let folder = back_up(&stack, "backup").await;
    // Gone from here, whatever becomes of the copy.
    let id = held.id.clone();
    let blob = stack.data("blobs").join(&id[id.len() - 2..]).join(&id);
    assert!(blob.exists());
    held.release();
    stack.until(&id, "succeeded").await;
    stack.until(&waiting, "succeeded").await;
    eventually("an upload that is gone", async || if blob.exists() { Err("it is there") } else { Ok(()) })
        .await;
    stack.kill();

    // In the copy too the held upload is a pipe, which no process fills: that task is out of the way.
    let pipe = folder.join("data/blobs").join(blob.strip_prefix(stack.data("blobs")).unwrap());
    fs::remove_file(pipe).unwrap();
    let copy = Copy::start(&folder).await;
    let task = copy.stack.until(&waiting, "succeeded").await;
    assert_eq!((&task["attempt"], &task["error"]), (&serde_json::json!(1), &serde_json::Value::Null));
    let me =
        crate::kit::people::as_bearer(copy.stack.request(reqwest::Method::GET, "/api/v1/users/me"), &token);
    assert_eq!(crate::kit::client::ask(me).await.unwrap().status, 200, "the key that signs is in it");
}

#[apply(embedded)]
async fn a_copy_lies_for_long_and_in_the_place_of_the_original(setup: Setup) {
    let stack = setup.start(&[]).await;
    for content in [noise(1, 3), noise(2, 100_000)] {
        stack.until(&stack.put(content).await, "succeeded").await;
    }
    let tasks = stack.each_task_has_one_line(&[]).await;
    stack.signal(Signal::SIGTERM);
    assert_eq!(stack.exit().await.code(), Some(0));
    let folder = back_up(&stack, "backup").await;
    verifies(&folder).await;

    fs::remove_dir_all(stack.data("")).unwrap();
    fs::rename(folder.join("data"), stack.data("")).unwrap();
    stack.start().await;

    assert_eq!(stack.each_task_has_one_line(&[]).await.len(), tasks.len() + 1);
    stack.verifies().await;
    assert!(
        !fs::read_to_string(crate::kit::program::stderr_of(&stack.process_folder(0)))
            .unwrap()
            .contains("lost")
    );
}

#[apply(embedded)]
async fn no_folder_is_overwritten_and_what_can_not_be_copied_is_told(setup: Setup) {
    let stack = setup.start(&[]).await;
    let folder = stack.folder().join("taken");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a"), "mine").unwrap();
    let own = "sqlite:data/coatcheck.db";
    for (arguments, database, words) in [
        (&["backup", "taken"][..], own, "taken: expected an empty or missing folder"),
        (&["backup", "new"], "postgres://u:secret@127.0.0.1/d", "deployment/backup"),
        (&["backup", "new"], "sqlite:nowhere/coatcheck.db", "nowhere"),
        (&["backup"], own, "DIR"),
    ] {
        let mut command = stack.command(arguments);
        command.env("DATABASE_URL", database);

        let done = output(command).await;

        let told = String::from_utf8(done.stderr).unwrap();
        assert_eq!((done.status.code(), done.stdout.len()), (Some(2), 0), "{told}");
        assert!(told.lines().count() == 1 && told.contains(words) && !told.contains("secret"), "{told}");
        assert!(!stack.folder().join("new").exists());
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);

    // On the way: nothing is left of it.
    fs::write(stack.folder().join("data/outcomes.log.1"), "").unwrap();
    fs::create_dir(stack.folder().join("empty")).unwrap();
    let mut command = stack.command(&["backup", "empty"]);
    command.env("OUTCOME_LOG", "data");
    let done = output(command).await;
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    assert_eq!(fs::read_dir(stack.folder().join("empty")).unwrap().count(), 0);
}
