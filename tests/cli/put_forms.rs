//! What `coatcheck put` hands in and prints by its options: folders, tasks, tickets; and its bar.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use nix::sys::signal::Signal;
use rstest_reuse::apply;
use serde_json::Value;
use tempfile::TempDir;
use test_kit::eventually;

use super::put::{Server, answer, drawn_until, refused};
use crate::kit::content::noise;
use crate::kit::program::{Program, output, output_on_terminal, stderr_of};
use crate::kit::stack::{Setup, both_stacks, embedded};

const ABC: &str = "900150983cd24fb0d6963f7d28e17f72";

/// Makes a folder with odd names, links and folders in it; returns its files in their order.
fn tree(root: &Path) -> Vec<OsString> {
    fs::create_dir_all(root.join("tree/sub/deep")).unwrap();
    fs::create_dir_all(root.join("tree/empty")).unwrap();
    let mut names = ["sub.txt", "sub-", "sub/z", "sub/deep/a\nb", "sub/back\\slash", "-dash", "é", "Z"];
    names.sort_unstable_by_key(|name| name.as_bytes());
    let names = names.map(|name| format!("tree/{name}"));
    for (number, name) in names.iter().enumerate() {
        fs::write(root.join(name), noise(number as u64, number * 40_000)).unwrap();
    }
    symlink("sub.txt", root.join("tree/link")).unwrap();
    symlink("sub", root.join("tree/sub/linked")).unwrap();
    symlink("nowhere", root.join("tree/dangling")).unwrap();
    names.map(OsString::from).to_vec()
}

fn md5sum(folder: &Path, names: &[OsString]) -> Command {
    let mut command = Command::new("md5sum");
    command.current_dir(folder).arg("--").args(names);
    command
}

fn told(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn tasks(lines: &[u8]) -> Vec<Value> {
    told(lines).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[apply(both_stacks)]
async fn a_folder_s_files_are_handed_in_by_their_paths_and_no_link_is_followed(setup: Setup) {
    let stack = setup.start(&[]).await;
    let mut names = tree(stack.folder());
    fs::write(stack.folder().join("one"), "abc").unwrap();
    names.insert(0, "one".into());
    names.push("one".into());

    let done = output(stack.coatcheck(["put", "-r", "one", "tree", "one"])).await;

    let expected = output(md5sum(stack.folder(), &names)).await.stdout;
    assert_eq!((done.status.code(), told(&done.stderr)), (Some(0), ""));
    assert_eq!(told(&done.stdout), told(&expected));
    fs::write(stack.folder().join("MD5SUMS"), done.stdout).unwrap();
    let mut check = Command::new("md5sum");
    check.current_dir(stack.folder()).args(["--check", "--quiet", "MD5SUMS"]);
    assert!(output(check).await.status.success());
    // The path begins as it was given.
    let slash = output(stack.coatcheck(["put", "--recursive", "./tree/"])).await;
    assert!(told(&slash.stdout).lines().all(|line| line.contains("  ./tree/")), "{}", told(&slash.stdout));
}

#[apply(embedded)]
async fn a_folder_needs_the_flag_and_an_unreadable_one_is_told(setup: Setup) {
    let stack = setup.start(&[]).await;
    tree(stack.folder());
    fs::write(stack.folder().join("one"), "abc").unwrap();

    let plain = output(stack.coatcheck(["put", "tree", "one"])).await;
    let deep = "d/".repeat(2500);
    let missing = output(stack.coatcheck(["put", "-r", "missing", &deep, "tree/empty", "one"])).await;

    assert_eq!((plain.status.code(), told(&plain.stdout)), (Some(1), &*format!("{ABC}  one\n")));
    assert_eq!(told(&plain.stderr), "coatcheck: tree: Is a directory; -r hands in the files in it\n");
    assert_eq!((missing.status.code(), told(&missing.stdout)), (Some(1), &*format!("{ABC}  one\n")));
    assert_eq!(told(&missing.stderr).lines().count(), 2, "{}", told(&missing.stderr));
}

#[apply(both_stacks)]
async fn a_task_is_printed_as_the_server_gives_it_in_the_order_of_the_arguments(setup: Setup) {
    let stack = setup.start(&[]).await;
    fs::write(stack.folder().join("large"), noise(1, 5 << 20)).unwrap();
    fs::write(stack.folder().join("a\u{202e}b"), "abc").unwrap();

    let done = output(stack.coatcheck(["put", "--json", "large", "missing", "a\u{202e}b"])).await;

    assert_eq!((done.status.code(), told(&done.stderr).lines().count()), (Some(1), 1));
    let tasks = tasks(&done.stdout);
    assert_eq!(tasks.len(), 2);
    for task in &tasks {
        assert_eq!(*task, stack.task(task["id"].as_str().unwrap()).await);
    }
    assert_eq!((&tasks[0]["input"]["filename"], &tasks[1]["result"]["md5"]), (&"large".into(), &ABC.into()));
    assert!(!told(&done.stdout).contains('\u{202e}'), "a terminal acts on nothing in it");
}

#[apply(both_stacks)]
async fn tickets_are_printed_in_the_order_of_the_arguments(setup: Setup) {
    let stack = setup.start(&[]).await;
    fs::write(stack.folder().join("large"), noise(1, 5 << 20)).unwrap();
    fs::write(stack.folder().join("small"), "abc").unwrap();

    let done = output(stack.coatcheck(["put", "--no-wait", "large", "missing", "small"])).await;

    assert_eq!((done.status.code(), told(&done.stderr).lines().count()), (Some(1), 1));
    let ids: Vec<&str> = told(&done.stdout).lines().collect();
    assert_eq!(ids.len(), 2);
    for (id, name) in ids.iter().zip(["large", "small"]) {
        assert_eq!(stack.until(id, "succeeded").await["input"]["filename"], name);
    }
}

/// A server that takes everything, and ends a task when it is told to.
fn slow(ends: &Arc<AtomicBool>, status: &'static str) -> Server {
    let ends = ends.clone();
    Server::start(move |first, _| {
        let task = |status: &str| {
            format!("{{\"id\": \"{ID}\", \"status\": \"{status}\", \"error\": {{\"code\": \"c\"}}}}")
        };
        match first.starts_with("PUT") {
            true => answer(202, &task("pending")),
            false if ends.load(SeqCst) => answer(200, &task(status)),
            false => None,
        }
    })
}

const ID: &str = "0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d";

#[tokio::test]
async fn without_a_wait_no_task_is_asked_for() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), "abc").unwrap();
    let server = slow(&Arc::default(), "succeeded");
    for form in [&["--no-wait"][..], &["--no-wait", "--json"], &["--no-wait", "--resume", "state"]] {
        let done = output(server.command(folder.path(), &[&["put", "file"], form].concat())).await;

        assert_eq!((done.status.code(), told(&done.stderr)), (Some(0), ""));
        match form.contains(&"--json") {
            true => assert_eq!(tasks(&done.stdout)[0]["status"], "pending"),
            false => assert_eq!(told(&done.stdout), format!("{ID}\n")),
        }
    }
    assert!(server.requests().iter().all(|first| first.starts_with("PUT")), "{:?}", server.requests());
}

#[tokio::test]
async fn a_task_that_failed_is_printed_too_and_told() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), "abc").unwrap();
    let server = slow(&Arc::new(AtomicBool::new(true)), "failed");

    let done = output(server.command(folder.path(), &["put", "--json", "file"])).await;

    assert_eq!((done.status.code(), tasks(&done.stdout)[0]["status"].as_str()), (Some(1), Some("failed")));
    assert!(told(&done.stderr).contains("the task ended as failed: c"), "{}", told(&done.stderr));
}

#[tokio::test]
async fn as_many_files_are_handed_in_at_once_as_jobs_says() {
    let folder = TempDir::new().unwrap();
    let names: Vec<String> = (0..12).map(|number| number.to_string()).collect();
    for name in &names {
        fs::write(folder.path().join(name), "abc").unwrap();
    }
    let server = Server::start(|_, _| None);
    for jobs in [1, 3, 12] {
        let before = server.requests().len();
        let count = jobs.to_string();
        let arguments: Vec<&str> =
            ["put", "--jobs", &count].into_iter().chain(names.iter().map(String::as_str)).collect();
        let mut put = Program::start(server.command(folder.path(), &arguments), folder.path());
        eventually("the uploads", async || {
            let uploads = server.requests().len() - before;
            if uploads == jobs { Ok(()) } else { Err(uploads) }
        })
        .await;

        put.signal(Signal::SIGINT);

        eventually("its end", async || put.exit_status().ok_or("it goes on")).await;
        let end = fs::read_to_string(stderr_of(folder.path())).unwrap();
        let sentence = format!("interrupted {jobs}, not sent {}\n", 12 - jobs);
        assert!(end.ends_with(&sentence), "{end}");
    }
    for jobs in ["0", "257", "x"] {
        let done = output(server.command(folder.path(), &["put", "--jobs", jobs, "0"])).await;
        super::settings::refused(&done, "--jobs");
    }
}

#[tokio::test]
async fn a_refused_file_is_told_and_the_others_go_on() {
    let folder = TempDir::new().unwrap();
    for name in ["400", "413", "429", "401", "403", "fine"] {
        fs::write(folder.path().join(name), "abc").unwrap();
    }
    let server = Server::start(|first, before| {
        let name = first.strip_prefix("PUT /api/v1/md5/").map(|rest| rest.split(' ').next().unwrap());
        match name.map(str::parse) {
            // A quota that is used up for a moment.
            Some(Ok(429)) if before > 0 => {
                answer(202, &format!("{{\"id\": \"{ID}\", \"status\": \"pending\"}}"))
            }
            Some(Ok(status)) => refused(status),
            Some(Err(_)) => answer(202, &format!("{{\"id\": \"{ID}\", \"status\": \"pending\"}}")),
            None => answer(
                200,
                &format!(
                    "{{\"id\": \"{ID}\", \"status\": \"succeeded\", \"result\": {{\"md5\": \"{ABC}\"}}}}"
                ),
            ),
        }
    });
    for (names, status, refused) in [
        (&["400", "413", "429", "fine"][..], 1, &["400", "413"][..]),
        (&["413", "403", "fine"], 4, &["413", "403"]),
        (&["401", "fine", "400"], 4, &["401", "400"]),
    ] {
        for form in [&[][..], &["--jobs", "1", "--resume", "state"]] {
            let _ = fs::remove_file(folder.path().join("state"));
            server.forget();
            let done = output(server.command(folder.path(), &[&["put"], form, names].concat())).await;

            let expected: String = names
                .iter()
                .filter(|name| !refused.contains(name))
                .map(|name| format!("{ABC}  {name}\n"))
                .collect();
            assert_eq!((done.status.code(), told(&done.stdout)), (Some(status), &*expected));
            let lines: Vec<&str> = told(&done.stderr).lines().collect();
            assert_eq!(lines.len(), refused.len(), "{lines:?}");
            for (line, name) in lines.iter().zip(refused) {
                assert!(line.starts_with(&format!("coatcheck: {name}: ")), "{line}");
            }
        }
    }
}

#[apply(embedded)]
async fn an_upload_over_the_bound_is_refused_alone(setup: Setup) {
    let stack = setup.start(&[("MAX_UPLOAD", "10")]).await;
    fs::write(stack.folder().join("large"), noise(1, 1 << 20)).unwrap();
    fs::write(stack.folder().join("small"), "abc").unwrap();

    let done = output(stack.coatcheck(["put", "large", "small"])).await;

    assert_eq!((done.status.code(), told(&done.stdout)), (Some(1), &*format!("{ABC}  small\n")));
    assert!(told(&done.stderr).contains("upload-too-large"), "{}", told(&done.stderr));
}

#[tokio::test]
async fn the_bar_tells_files_bytes_speed_and_time_left_and_heeds_the_terminal() {
    let folder = TempDir::new().unwrap();
    tree(folder.path());
    let silent = Server::start(|_, _| None);
    let unended = slow(&Arc::default(), "succeeded");
    for (server, words) in
        [(&silent, "B/s 0s · 0 of 8 files"), (&unended, "MiB · 0 of 8 files · waiting for digests")]
    {
        for (colours, is_coloured) in [(&[][..], true), (&[("NO_COLOR", "1")], false)] {
            let mut command = server.command(folder.path(), &["put", "-r", "tree"]);
            command.envs(colours.iter().copied());

            let drawn = drawn_until(command, words).await;

            assert!(drawn.contains("B/1.07 MiB"), "{drawn:?}");
            assert_eq!(is_styled(&drawn), is_coloured, "{drawn:?}");
        }
    }
    let server = slow(&Arc::new(AtomicBool::new(true)), "failed");
    let mut command = server.command(folder.path(), &["put", "-r", "tree", "--json"]);
    command.env("TERM", "dumb");
    let (done, drawn) = output_on_terminal(command).await;
    assert_eq!(tasks(&done.stdout).len(), 8);
    assert_eq!(drawn.lines().count(), 8, "messages alone: {drawn:?}");
    assert!(
        drawn.lines().all(|line| line.starts_with("coatcheck: ")) && !drawn.contains('\u{1b}'),
        "{drawn:?}"
    );
}

/// Returns whether text has a sequence that sets a colour or a weight.
fn is_styled(text: &str) -> bool {
    let is_number = |c: char| c.is_ascii_digit() || c == ';';
    text.split("\u{1b}[").skip(1).any(|rest| rest.trim_start_matches(is_number).starts_with('m'))
}
