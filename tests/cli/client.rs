//! The client commands: `put` prints what `md5sum` would, `get` shows a task.

use rstest_reuse::apply;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use test_kit::eventually;

use crate::kit::content::{noise, thousand_and_odd_names};
use crate::kit::program::{output, output_on_terminal};
use crate::kit::stack::{Setup, both_stacks};

#[apply(both_stacks)]
async fn put_prints_exactly_what_md5sum_prints(setup: Setup) {
    let stack = setup.start(&[]).await;
    let mut names = thousand_and_odd_names("./-dash");
    for (number, name) in names.iter().enumerate() {
        // The first one is empty, one is too large for a row.
        fs::write(
            stack.folder().join(name),
            noise(number as u64, number * if number == 500 { 1000 } else { 3 }),
        )
        .unwrap();
    }
    names.swap(0, 700);
    names.swap(1, 999);

    let done = output(put(&stack, &names)).await;

    let expected = output(md5sum(stack.folder(), &names)).await;
    assert!(expected.status.success());
    assert_eq!(String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&expected.stdout));
    assert_eq!(done.stdout, expected.stdout);
    assert_eq!((done.status.code(), stderr(&done)), (Some(0), ""));
}

#[apply(both_stacks)]
async fn put_prints_in_the_order_of_the_arguments(setup: Setup) {
    let stack = setup.start(&[]).await;
    fs::write(stack.folder().join("large"), noise(1, 20 << 20)).unwrap();
    fs::write(stack.folder().join("small"), "abc").unwrap();
    let names = ["large", "small", "small", "large", "./small"].map(OsString::from);

    let done = output(put(&stack, &names)).await;

    assert_eq!(done.stdout, output(md5sum(stack.folder(), &names)).await.stdout);
}

#[apply(both_stacks)]
async fn put_does_the_others_when_one_can_not_be_read(setup: Setup) {
    let stack = setup.start(&[]).await;
    fs::write(stack.folder().join("a"), "abc").unwrap();
    fs::write(stack.folder().join("b"), "").unwrap();
    fs::create_dir(stack.folder().join("folder")).unwrap();
    let names = ["a", "missing", "folder", "", "b"].map(OsString::from);

    let done = output(put(&stack, &names)).await;

    assert_eq!(done.status.code(), Some(1));
    assert_eq!(done.stdout, output(md5sum(stack.folder(), &names)).await.stdout);
    let lines: Vec<&str> = stderr(&done).lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].contains("missing") && lines[1].contains("folder"), "{lines:?}");
}

#[apply(both_stacks)]
async fn put_lives_through_a_crash_of_the_server(setup: Setup) {
    let stack = setup.start(&[]).await;
    let names: Vec<OsString> = (0..300).map(|number| format!("file {number}").into()).collect();
    for (number, name) in names.iter().enumerate() {
        fs::write(stack.folder().join(name), noise(number as u64, number * 500)).unwrap();
    }

    let command = put(&stack, &names);
    let put = tokio::spawn(output(command));
    for share in 1..=3 {
        eventually("some of the files", async || {
            let tasks = stack.tasks("limit=1000").await.len();
            if tasks >= share * 60 { Ok(()) } else { Err(tasks) }
        })
        .await;
        stack.kill();
        stack.start().await;
    }
    let done = put.await.unwrap();

    // Each time that the server was away is reported, and its return too.
    let is_news = |line: &str| line.contains("trying for a minute") || line.ends_with("answers again");
    assert!(stderr(&done).lines().all(is_news), "{}", stderr(&done));
    assert_eq!(done.status.code(), Some(0));
    assert_eq!(done.stdout, output(md5sum(stack.folder(), &names)).await.stdout);
    stack.each_task_has_one_line(&[]).await;
}

#[apply(both_stacks)]
async fn put_draws_a_bar_on_a_terminal_and_prints_lines_alone(setup: Setup) {
    let stack = setup.start(&[]).await;
    fs::write(stack.folder().join("large"), noise(1, 20 << 20)).unwrap();
    let names = ["large"].map(OsString::from);

    let (done, terminal) = output_on_terminal(put(&stack, &names)).await;

    assert_eq!(done.stdout, output(md5sum(stack.folder(), &names)).await.stdout);
    assert!(terminal.contains("/20.00 MiB") && terminal.contains("0 of 1 file"), "{terminal}");
}

#[apply(both_stacks)]
async fn put_of_nothing_or_to_nowhere_is_bad_usage(setup: Setup) {
    let stack = setup.start(&[]).await;
    for arguments in [
        &["put"][..],
        &["put", "--nonsense", "a"],
        &["put", "--url", "nonsense", "a"],
        &["put", "--url", "ftp://a/", "a"],
        &["put", "--url", "https://a/?b", "a"],
    ] {
        let done = output(stack.coatcheck(arguments)).await;

        assert_eq!((done.status.code(), done.stdout.len()), (Some(2), 0), "{arguments:?}");
        assert_eq!(stderr(&done).lines().count(), 1, "{}", stderr(&done));
    }
}

#[apply(both_stacks)]
async fn get_prints_the_task(setup: Setup) {
    let stack = setup.start(&[]).await;
    let id = stack.put("abc").await;
    let task = stack.until(&id, "succeeded").await;

    let done = output(stack.coatcheck(["get", &id])).await;

    assert_eq!((done.status.code(), stderr(&done)), (Some(0), ""));
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&done.stdout).unwrap(), task);
}

#[apply(both_stacks)]
async fn get_tells_an_unknown_task_from_no_id(setup: Setup) {
    let stack = setup.start(&[]).await;
    for (id, code) in [("0198c0de-0000-7000-8000-000000000000", 1), ("nonsense", 2), ("", 2)] {
        let done = output(stack.coatcheck(["get", id])).await;

        assert_eq!((done.status.code(), done.stdout.len()), (Some(code), 0), "{id:?}");
        assert_eq!(stderr(&done).lines().count(), 1, "{}", stderr(&done));
    }
    assert_eq!(output(stack.coatcheck(["get"])).await.status.code(), Some(2));
}

fn put(stack: &crate::kit::stack::Stack, names: &[OsString]) -> Command {
    let mut command = stack.coatcheck(["put", "--"]);
    command.args(names);
    command
}

fn md5sum(folder: &Path, names: &[OsString]) -> Command {
    let mut command = Command::new("md5sum");
    command.current_dir(folder).arg("--").args(names);
    command
}

fn stderr(done: &Output) -> &str {
    std::str::from_utf8(&done.stderr).unwrap()
}
