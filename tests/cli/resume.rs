//! `coatcheck put --resume`: the same command, called again after an interruption, sends only what is missing and prints all lines.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use nix::sys::signal::Signal;
use rstest_reuse::apply;
use tempfile::TempDir;
use test_kit::eventually;

use super::put::{Server, answer, refused};
use crate::kit::program::{Program, output, stderr_of};
use crate::kit::stack::{Setup, both_stacks};

const FILES: usize = 8;

fn id(number: usize) -> String {
    format!("0198c5a1-7b3e-7c40-9d55-{number:012x}")
}

fn digest(number: usize) -> String {
    format!("{number:032x}")
}

fn task(number: usize, status: &str) -> Option<String> {
    let (id, md5) = (id(number), digest(number));
    let body = format!("{{\"id\": \"{id}\", \"status\": \"{status}\", \"result\": {{\"md5\": \"{md5}\"}}}}");
    answer(if status == "pending" { 202 } else { 200 }, &body)
}

/// The number of the file that a request is for: of an upload in its name, of a ticket in its last digits.
fn number(first: &str) -> usize {
    let path = first.split(' ').nth(1).unwrap().split('?').next().unwrap();
    match path.rsplit_once("/file-") {
        Some((_, number)) => number.parse().unwrap(),
        None => usize::from_str_radix(&path[path.len() - 12..], 16).unwrap(),
    }
}

fn names() -> Vec<String> {
    (0..FILES).map(|number| format!("file-{number}")).collect()
}

fn lines() -> String {
    (0..FILES).map(|number| format!("{}  file-{number}\n", digest(number))).collect()
}

fn arguments(names: &[String]) -> Vec<&str> {
    ["put", "--jobs", "2", "--resume", "state"].into_iter().chain(names.iter().map(String::as_str)).collect()
}

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    for name in names() {
        fs::write(folder.path().join(&name), &name).unwrap();
    }
    folder
}

/// The key of each upload, by the number of its file.
fn keys(requests: &[(String, String)]) -> BTreeMap<usize, String> {
    let uploads = requests.iter().filter(|(first, _)| first.starts_with("PUT"));
    uploads.map(|(first, key)| (number(first), key.clone())).collect()
}

#[tokio::test]
async fn an_interrupted_put_goes_on_with_what_is_missing() {
    for signal in [Signal::SIGINT, Signal::SIGKILL] {
        let (folder, names) = (folder(), names());
        let is_back = Arc::new(AtomicBool::new(false));
        let server = Server::start({
            let is_back = is_back.clone();
            // At first it takes three files, has the digest of one, and then is slow.
            move |first, _| match (first.starts_with("PUT"), number(first)) {
                (true, file) if file < 3 || is_back.load(SeqCst) => task(file, "pending"),
                (false, file) if file < 1 || is_back.load(SeqCst) => task(file, "succeeded"),
                _ => None,
            }
        });
        let command = || server.command(folder.path(), &arguments(&names));
        let mut put = Program::start(command(), folder.path());
        eventually("three tickets and two uploads that wait", async || {
            let requests = server.requests();
            let count = |method| requests.iter().filter(|first| first.starts_with(method)).count();
            if (count("GET"), count("PUT")) == (3, 5) { Ok(()) } else { Err(requests) }
        })
        .await;
        eventually("the line that is known", async || {
            let printed = fs::read_to_string(folder.path().join("stdout")).unwrap();
            if printed == format!("{}  file-0\n", digest(0)) { Ok(()) } else { Err(printed) }
        })
        .await;

        put.signal(signal);
        eventually("its end", async || put.exit_status().ok_or("it goes on")).await;

        if signal == Signal::SIGINT {
            let told = fs::read_to_string(stderr_of(folder.path())).unwrap();
            let end = "of 8 files: done 1, with a ticket 2, interrupted 2, not sent 3\n\
                       coatcheck: the same command, called again, goes on from there\n";
            assert!(told.ends_with(end), "{told}");
        }
        let before = server.requests_and_keys();
        is_back.store(true, SeqCst);
        let done = output(command()).await;

        assert_eq!(String::from_utf8_lossy(&done.stderr), "");
        assert_eq!((done.status.code(), String::from_utf8(done.stdout).unwrap()), (Some(0), lines()));
        let (earlier, later) = (keys(&before), keys(&server.requests_and_keys()[before.len()..]));
        assert_eq!(later.keys().copied().collect::<Vec<_>>(), [3, 4, 5, 6, 7], "{signal}");
        // A file that was sent and not answered has the same task.
        assert_eq!((&later[&3], &later[&4]), (&earlier[&3], &earlier[&4]));

        // And once more: all is done.
        let before = server.requests_and_keys().len();
        let done = output(command()).await;
        assert_eq!((done.status.code(), String::from_utf8(done.stdout).unwrap()), (Some(0), lines()));
        assert!(keys(&server.requests_and_keys()[before..]).is_empty());
        // A line each, behind the first.
        let state = fs::read_to_string(folder.path().join("state")).unwrap();
        assert_eq!(state.lines().count(), 1 + FILES, "{state}");
    }
}

#[tokio::test]
async fn what_is_no_longer_so_is_sent_anew() {
    let (folder, names) = (folder(), names());
    let is_later = Arc::new(AtomicBool::new(false));
    let server = Server::start({
        let is_later = is_later.clone();
        move |first, before| match (first.starts_with("PUT"), number(first), is_later.load(SeqCst)) {
            // Not taken at first; then its key stands for another content, although its size and time have not changed.
            (true, 4, false) => refused(400),
            (true, 4, true) if before == 1 => {
                answer(422, "{\"code\": \"idempotency-mismatch\", \"title\": \"Another content.\"}")
            }
            (true, file, _) => task(file, "pending"),
            // Lost, failed and cancelled, until sent anew; how often it was asked for tells.
            (false, 5, true) if before == 1 => {
                answer(404, "{\"code\": \"task-not-found\", \"title\": \"No.\"}")
            }
            (false, 6, true) if before == 1 => task(6, "failed"),
            (false, 7, true) if before == 1 => task(7, "cancelled"),
            (false, file, _) => task(file, "succeeded"),
        }
    });
    let command = || server.command(folder.path(), &arguments(&names));
    let done = output(command()).await;
    assert_eq!(done.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&done.stderr).lines().count(), 1);
    let before = server.requests_and_keys();
    is_later.store(true, SeqCst);
    let at = |name: &str| folder.path().join(name);
    // Longer; and of the same size, at another time.
    fs::write(at("file-1"), "another content").unwrap();
    let time = fs::metadata(at("file-2")).unwrap().modified().unwrap();
    let earlier = time - std::time::Duration::from_nanos(1);
    File::options().append(true).open(at("file-2")).unwrap().set_modified(earlier).unwrap();

    let done = output(command()).await;

    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
    assert_eq!((done.status.code(), String::from_utf8(done.stdout).unwrap()), (Some(0), lines()));
    let requests = server.requests_and_keys();
    let later = &requests[before.len()..];
    let (first, last) = (keys(&before), keys(later));
    assert_eq!(last.keys().copied().collect::<Vec<_>>(), [1, 2, 4, 5, 6, 7]);
    let same: Vec<_> = last.iter().filter(|(file, key)| first[file] == **key).collect();
    assert!(same.is_empty(), "another upload needs another key: {same:?}");
    // The file without an answer was tried under its key before.
    let of_4: Vec<_> = later.iter().filter(|(first, _)| first.contains("/file-4 ")).collect();
    assert_eq!((of_4.len(), &of_4[0].1), (2, &first[&4]));
}

#[tokio::test]
async fn a_state_that_can_not_be_used_is_told_and_left_alone() {
    let (folder, names) = (folder(), names());
    let server = Server::start(|first, _| match first.starts_with("PUT") {
        true => None,
        false => task(number(first), "succeeded"),
    });
    for (state, reason) in
        [("file-0", "got another file"), (".", "directory"), ("missing/state", "No such file")]
    {
        let done = output(server.command(folder.path(), &["put", "file-1", "--resume", state])).await;

        super::settings::refused(&done, &format!("--resume: {state}: "));
        assert!(String::from_utf8_lossy(&done.stderr).contains(reason));
    }
    assert_eq!(fs::read_to_string(folder.path().join("file-0")).unwrap(), "file-0");
    assert!(server.requests().is_empty());

    let mut put = Program::start(server.command(folder.path(), &arguments(&names)), folder.path());
    eventually("an upload", async || if server.requests().is_empty() { Err(()) } else { Ok(()) }).await;
    let done = output(server.command(folder.path(), &arguments(&names))).await;
    super::settings::refused(&done, "--resume: state: another coatcheck put is using it");
    assert!(put.exit_status().is_none());
}

#[apply(both_stacks)]
async fn a_folder_is_resumed_where_the_server_and_then_the_command_were_killed(setup: Setup) {
    let stack = setup.start(&[]).await;
    fs::create_dir_all(stack.folder().join("many/below")).unwrap();
    let names: Vec<String> = (0..200).map(|number| format!("many/below/{number:03}")).collect();
    for (number, name) in names.iter().enumerate() {
        fs::write(stack.folder().join(name), crate::kit::content::noise(number as u64, number * 300))
            .unwrap();
    }
    // Its state lies in the folder, and is not handed in.
    let command = || stack.coatcheck(["put", "-r", "many", "--resume", "many/state"]);
    let run = TempDir::new().unwrap();
    let mut put = Program::start(command(), run.path());
    eventually("some tickets", async || {
        let state = fs::read_to_string(stack.folder().join("many/state")).unwrap_or_default();
        let tickets = state.lines().filter(|line| line.contains("\"ticket\":\"")).count();
        if tickets >= 20 { Ok(()) } else { Err(tickets) }
    })
    .await;
    stack.kill();
    put.signal(Signal::SIGKILL);
    eventually("its end", async || put.exit_status().ok_or("it goes on")).await;
    stack.start().await;

    let done = output(command()).await;

    assert_eq!(
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned()),
        (Some(0), String::new())
    );
    assert_eq!(done.stdout, output(md5sum(stack.folder(), &names)).await.stdout);
    // No file has two tasks.
    let tasks = stack.tasks("limit=1000").await;
    let files: BTreeSet<&str> =
        tasks.iter().map(|task| task["input"]["filename"].as_str().unwrap()).collect();
    assert_eq!((tasks.len(), files.len()), (200, 200));

    let again = output(command()).await;
    assert_eq!((again.status.code(), again.stdout), (Some(0), done.stdout));
    assert_eq!(stack.tasks("limit=1000").await.len(), 200);
}

fn md5sum(folder: &Path, names: &[String]) -> std::process::Command {
    let mut command = std::process::Command::new("md5sum");
    command.current_dir(folder).args(names);
    command
}
