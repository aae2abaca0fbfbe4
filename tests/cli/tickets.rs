//! Tickets on the command line: several at once, listed, followed and cancelled; in a pipe and on a terminal.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Output;
use std::sync::{Arc, Mutex};

use rstest_reuse::apply;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_kit::eventually;

use crate::cli::settings::refused;
use crate::cli::terminal::told_on_terminal;
use crate::kit::program::{Program, coatcheck, output};
use crate::kit::stack::{Setup, both_stacks, embedded};

const UNKNOWN: &str = "0198c0de-0000-7000-8000-000000000000";
const ONE_WORKER: [(&str, &str); 1] = [("WORKERS", "1")];

fn stdout(done: &Output) -> &str {
    std::str::from_utf8(&done.stdout).unwrap()
}

fn stderr(done: &Output) -> &str {
    std::str::from_utf8(&done.stderr).unwrap()
}

/// The fields of each line.
fn rows(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split('\t').collect()).collect()
}

#[apply(both_stacks)]
async fn get_prints_several_tasks_a_line_each_in_their_order(setup: Setup) {
    let stack = setup.start(&[]).await;
    let mut expected = Vec::new();
    for text in ["a", "b", "c"] {
        let id = stack.put(text).await;
        expected.insert(0, stack.until(&id, "succeeded").await);
    }
    expected.push(expected[0].clone());
    let ids: Vec<&str> = expected.iter().map(|task| task["id"].as_str().unwrap()).collect();

    let done = output(stack.coatcheck(["get", ids[0], ids[1], UNKNOWN, ids[2], ids[3]])).await;

    let lines: Vec<Value> = stdout(&done).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, expected);
    assert_eq!(done.status.code(), Some(1));
    assert_eq!(stderr(&done), format!("coatcheck: {UNKNOWN}: the task does not exist\n"));
    // Nothing is asked where one is not an id.
    refused(&output(stack.coatcheck(["get", ids[0], "nonsense"])).await, "got \"nonsense\"");
}

#[apply(both_stacks)]
async fn get_waits_until_all_have_ended_however_they_do(setup: Setup) {
    let stack = setup.start(&ONE_WORKER).await;
    let held = stack.hold_worker().await;
    let (pending, cancelled) = (stack.put("abc").await, stack.put("not any more").await);
    assert!(output(stack.coatcheck(["cancel", &cancelled])).await.status.success());

    let waiting = output(stack.coatcheck(["get", "--wait", &held.id, &pending, &cancelled]));
    let waiting_for_long = output(stack.coatcheck(["get", "--wait=1d", &pending]));
    let (waiting, waiting_for_long) = (tokio::spawn(waiting), tokio::spawn(waiting_for_long));
    held.release();
    let (done, one) = (waiting.await.unwrap(), waiting_for_long.await.unwrap());

    assert_eq!((done.status.code(), stderr(&done)), (Some(0), ""));
    let statuses: Vec<Value> = stdout(&done)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["status"].take())
        .collect();
    assert_eq!(statuses, ["succeeded", "succeeded", "cancelled"]);
    let one: Value = serde_json::from_slice(&one.stdout).unwrap();
    assert_eq!(one["result"]["md5"], "900150983cd24fb0d6963f7d28e17f72");
}

#[apply(both_stacks)]
async fn get_shows_what_has_not_ended_in_time_and_says_so(setup: Setup) {
    let stack = setup.start(&ONE_WORKER).await;
    let held = stack.hold_worker().await;
    let done_before = stack.tasks("status=succeeded").await[0]["id"].as_str().unwrap().to_owned();
    for wait in ["--wait=0", "--wait=100ms"] {
        let done = output(stack.coatcheck(["get", wait, &held.id, &done_before])).await;

        assert_eq!(done.status.code(), Some(1));
        let lines: Vec<Value> =
            stdout(&done).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["status"], &lines[1]["status"]), (&json!("running"), &json!("succeeded")));
        let told =
            format!("coatcheck: {}: the time of --wait is over, and the task has not ended\n", held.id);
        assert_eq!(stderr(&done), told);
    }
    held.release();
    refused(
        &output(stack.coatcheck(["get", "--wait=soon", UNKNOWN])).await,
        "--wait: expected a number of seconds",
    );
}

#[apply(both_stacks)]
async fn ls_lists_the_tasks_that_are_asked_for_newest_first(setup: Setup) {
    let stack = setup.start(&ONE_WORKER).await;
    let held = stack.hold_worker().await;
    let pending = stack.put("abc").await;
    let cancelled = stack.put("").await;
    output(stack.coatcheck(["cancel", &cancelled])).await;
    let all = stack.tasks("").await;
    let ids = |tasks: &[Value]| -> Vec<String> {
        tasks.iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect()
    };

    for (arguments, expected) in [
        (&["ls"][..], ids(&all)),
        (&["ls", "--limit", "2"], ids(&all[..2])),
        (&["ls", "--status", "cancelled"], vec![cancelled.clone()]),
        (&["ls", "--status", "pending", "--kind", "md5"], vec![pending.clone()]),
        (&["ls", "--status", "running,pending", "--since", "1h"], vec![pending.clone(), held.id.clone()]),
        (&["ls", "--status=running,pending", "--limit=1"], vec![pending.clone()]),
        (&["ls", "--kind", "message,table"], vec![]),
        (&["ls", "--since", "2100-01-01T00:00:00Z"], vec![]),
        (&["ls", "--since", all[1]["created"].as_str().unwrap()], ids(&all[..2])),
    ] {
        let done = output(stack.coatcheck(arguments)).await;
        assert_eq!((done.status.code(), stderr(&done)), (Some(0), ""), "{arguments:?}");
        let listed: Vec<&str> = rows(stdout(&done)).iter().map(|row| row[0]).collect();
        assert_eq!(listed, expected, "{arguments:?}");

        let done = output(stack.coatcheck(arguments.iter().chain(&["--json"]))).await;
        let tasks: Vec<Value> =
            stdout(&done).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(ids(&tasks), expected, "{arguments:?}");
        assert!(tasks.iter().all(|task| all.contains(task)), "{arguments:?}");
    }
    let done = output(stack.coatcheck(["ls", "--status", "pending"])).await;
    let created = stack.task(&pending).await["created"].as_str().unwrap().to_owned();
    assert_eq!(rows(stdout(&done)), [[&*pending, "md5", "pending", &created, "3", "file"]]);
    held.release();

    for (flag, value, told) in [
        ("--status", "done", "--status: expected pending or running or succeeded or failed or cancelled"),
        ("--kind", "file", "--kind: expected md5 or"),
        ("--since", "yesterday", "--since: expected RFC 3339"),
        ("--limit", "0", "--limit: expected"),
    ] {
        refused(&output(stack.coatcheck(["ls", flag, value])).await, told);
    }
}

#[tokio::test]
async fn ls_follows_pages_up_to_its_limit_and_asks_for_what_is_wanted() {
    let task = |number: u32| {
        let created = format!("2026-01-{:02}T00:00:00Z", 30 - number);
        json!({"id": format!("0198c0de-0000-7000-8000-0000000000{number:02}"), "kind": "md5", "status": "failed",
               "created": created, "input": {"filename": "a\tb", "size": 3}})
    };
    // Three pages of two.
    let (url, requests) = server(move |head| {
        let page =
            ["after=b", "after=a"].iter().position(|after| head.contains(after)).map_or(0, |at| 2 - at);
        let first = u32::try_from(page).unwrap() * 2;
        let next = ["a", "b"].get(page);
        (200, json!({"tasks": [task(first), task(first + 1)], "next": next}).to_string())
    });
    let folder = TempDir::new().unwrap();
    for (arguments, count, asked) in [
        (&[][..], 6, 3),
        (&["--limit", "3"], 3, 2),
        (&["--limit", "2"], 2, 1),
        (&["--status", "failed,running", "--limit", "5"], 5, 3),
        (&["--since", "2026-01-28T00:00:00Z", "--error-code", "io", "--filename", "a b"], 6, 3),
    ] {
        requests.lock().unwrap().clear();
        let mut command = coatcheck(folder.path(), ["ls"].iter().chain(arguments));
        command.env("COATCHECK_URL", &url);

        let done = output(command).await;

        assert_eq!((done.status.code(), stderr(&done)), (Some(0), ""), "{arguments:?}");
        assert_eq!(stdout(&done).lines().count(), count, "{arguments:?}: {}", stdout(&done));
        assert!(stdout(&done).lines().all(|line| line.ends_with("\t3\ta\\u{9}b")), "{}", stdout(&done));
        assert_eq!(requests.lock().unwrap().len(), asked, "{arguments:?}");
        if arguments.contains(&"--since") {
            let query = "created_after=2026-01-28T00%3A00%3A00.000000Z&error_code=io&filename=a+b";
            assert!(requests.lock().unwrap().iter().all(|head| head.contains(query)), "{requests:?}");
        }
    }
}

#[apply(embedded)]
async fn on_a_terminal_ls_and_watch_print_tables_in_colour_unless_none_is_wanted(setup: Setup) {
    let stack = setup.start(&[]).await;
    let id = stack.put("abc").await;
    stack.until(&id, "succeeded").await;
    for (arguments, title) in [(&["ls"][..], "CREATED"), (&["watch", &id], "DETAIL")] {
        for (no_color, is_coloured) in [(None, true), (Some("1"), false)] {
            let mut command = stack.coatcheck(arguments);
            command.env("TERM", "xterm").envs(no_color.map(|value| ("NO_COLOR", value)));

            let told = told_on_terminal(command).await;

            assert!(told.contains(title) && told.contains(&id) && !told.contains('\t'), "{told:?}");
            assert_eq!(told.contains("\u{1b}[32m"), is_coloured, "{told:?}");
            assert_eq!(told.contains('\u{1b}'), is_coloured, "{told:?}");
        }
    }
    let told = told_on_terminal(stack.coatcheck(["ls", "--status", "failed"])).await;
    assert_eq!(told, "");
}

#[apply(embedded)]
async fn on_a_terminal_get_prints_json_and_cancel_a_table(setup: Setup) {
    let stack = setup.start(&ONE_WORKER).await;
    let held = stack.hold_worker().await;
    let (id, other) = (stack.put("abc").await, stack.put("abc").await);
    let on_terminal = |arguments: &[&str]| {
        let mut command = stack.coatcheck(arguments);
        command.env("TERM", "xterm").env("NO_COLOR", "1");
        told_on_terminal(command)
    };

    let one = on_terminal(&["get", &id]).await;
    let two = on_terminal(&["get", &id, &other]).await;
    let cancelled = on_terminal(&["cancel", &id, &other]).await;
    held.release();

    assert_eq!(serde_json::from_str::<Value>(&one).unwrap()["status"], "pending");
    assert!(one.lines().count() > 10, "{one}");
    for (line, id) in two.lines().zip([&id, &other]) {
        assert_eq!(serde_json::from_str::<Value>(line).unwrap()["id"], **id);
    }
    let rows: Vec<&str> = cancelled.lines().map(str::trim_end).collect();
    let (blanks, row) = (" ".repeat(36), |id: &str| format!("{id}  cancelled"));
    assert_eq!(rows, [format!("ID{}STATUS", &blanks), row(&id), row(&other)]);
}

#[apply(both_stacks)]
async fn cancel_tells_each_task_that_is_cancelled_and_each_that_can_not_be(setup: Setup) {
    let stack = setup.start(&ONE_WORKER).await;
    let held = stack.hold_worker().await;
    let ended = stack.tasks("status=succeeded").await[0]["id"].as_str().unwrap().to_owned();
    let pending = [stack.put("a").await, stack.put("b").await];

    let done = output(stack.coatcheck(["cancel", &pending[0], &ended, UNKNOWN, &pending[1]])).await;

    assert_eq!(done.status.code(), Some(1));
    assert_eq!(stdout(&done), format!("{}\tcancelled\n{}\tcancelled\n", pending[0], pending[1]));
    let lines: Vec<&str> = stderr(&done).lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].starts_with(&format!("coatcheck: {ended}: it can't be cancelled any more: "))
            && lines[0].contains("task-ended")
    );
    assert_eq!(lines[1], format!("coatcheck: {UNKNOWN}: the task does not exist"));
    // Again: it is what was wanted.
    let again = output(stack.coatcheck(["cancel", &pending[0]])).await;
    assert_eq!((again.status.code(), stdout(&again)), (Some(0), &*format!("{}\tcancelled\n", pending[0])));
    held.release();
    refused(&output(stack.coatcheck(["cancel", "nonsense"])).await, "ID: expected a task id");
    refused(&output(stack.coatcheck(["cancel"])).await, "see coatcheck cancel --help");
}

#[apply(both_stacks)]
async fn watch_tells_each_change_until_all_have_ended_also_after_a_crash_of_the_server(setup: Setup) {
    let stack = setup.start(&ONE_WORKER).await;
    let held = stack.hold_worker().await;
    let pending = stack.put("abc").await;
    let folder = TempDir::new().unwrap();
    // Without ids: those that have not ended.
    let mut watch = Program::start(stack.coatcheck(["watch"]), folder.path());
    let told = || fs::read_to_string(folder.path().join("stdout")).unwrap();
    eventually("a line for each", async || if told().lines().count() == 2 { Ok(()) } else { Err(told()) })
        .await;
    let (held_id, created) =
        (held.id.clone(), stack.task(&pending).await["created"].as_str().unwrap().to_owned());
    assert!(told().contains(&format!("{pending}\tpending\t{created}\tfile\t-\n")), "{}", told());
    assert!(told().contains(&format!("{held_id}\trunning\t")), "{}", told());

    stack.kill();
    held.restore();
    stack.start().await;
    let status = eventually("the end of watch", async || watch.exit_status().ok_or_else(told)).await;

    let said = fs::read_to_string(folder.path().join("stderr")).unwrap();
    assert_eq!(status.code(), Some(0), "{said}");
    for id in [&pending, &held_id] {
        let task = stack.task(id).await;
        let last = told().lines().rfind(|line| line.starts_with(&**id)).map(str::to_owned).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (finished, md5) = (text(&task["finished"]), text(&task["result"]["md5"]));
        assert_eq!(last, format!("{id}\tsucceeded\t{finished}\tfile\t{md5}"));
    }
    let none = output(stack.coatcheck(["watch"])).await;
    assert_eq!((none.status.code(), stdout(&none)), (Some(0), ""));
    let unknown = output(stack.coatcheck(["watch", UNKNOWN, &pending])).await;
    assert_eq!((unknown.status.code(), stdout(&unknown).lines().count()), (Some(1), 1));
}

#[apply(both_stacks)]
async fn outcomes_prints_each_end_once_and_follows_also_after_a_crash_of_the_server(setup: Setup) {
    let stack = setup.start(&[]).await;
    let none = output(stack.coatcheck(["outcomes"])).await;
    assert_eq!((none.status.code(), stdout(&none), stderr(&none)), (Some(0), "", ""));
    let line = async |id: &str| {
        let task = stack.until(id, "succeeded").await;
        format!("{}\t{id}\tmd5\tsucceeded\t{}", word(&task["finished"]), word(&task["result"]["md5"]))
    };
    let folder = TempDir::new().unwrap();
    let mut follow = Program::start(stack.coatcheck(["outcomes", "--follow"]), folder.path());
    let mut expected = Vec::new();
    for text in ["a", "b"] {
        expected.push(line(&stack.put(text).await).await);
    }
    stack.kill();
    stack.start().await;
    expected.push(line(&stack.put("c").await).await);

    let told = || fs::read_to_string(folder.path().join("stdout")).unwrap();
    eventually("three lines", async || if told().lines().count() == 3 { Ok(()) } else { Err(told()) }).await;
    follow.signal(nix::sys::signal::Signal::SIGINT);
    eventually("the end of outcomes", async || follow.exit_status().ok_or_else(told)).await;
    let without_cursor = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split_once('\t').unwrap().1.to_owned()).collect()
    };
    assert_eq!(without_cursor(&told()), expected);
    let all = output(stack.coatcheck(["outcomes"])).await;
    assert_eq!((all.status.code(), stdout(&all)), (Some(0), &*told()));
    let first = told().split_once('\t').unwrap().0.to_owned();
    let rest = output(stack.coatcheck(["outcomes", "--after", &first])).await;
    assert_eq!(without_cursor(stdout(&rest)), expected[1..]);
    let wrong = output(stack.coatcheck(["outcomes", "--after", "nonsense"])).await;
    assert_eq!((wrong.status.code(), stdout(&wrong)), (Some(1), ""));
    assert!(stderr(&wrong).contains("`after`"), "{}", stderr(&wrong));
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[tokio::test]
async fn what_a_task_says_is_harmless_in_every_table() {
    const ODD: &str = "a\u{1b}[2J\u{9b}31m\u{202e}b";
    let task = json!({"id": UNKNOWN, "kind": "md5", "status": "failed", "created": "2026-01-30T00:00:00Z", "finished": ODD,
        "input": {"filename": ODD, "size": 3}, "result": null, "error": {"code": ODD, "detail": ODD}});
    let list = json!({"tasks": [task], "next": null}).to_string();
    let (url, _) = server(move |head| match head.contains("/events") {
        true => (200, format!("data: {task}\n\n")),
        false => (200, list.clone()),
    });
    let folder = TempDir::new().unwrap();
    for arguments in [&["ls"][..], &["watch", UNKNOWN], &["ls", "--json"]] {
        let command = || {
            let mut command = coatcheck(folder.path(), arguments);
            command.env("COATCHECK_URL", &url).env("NO_COLOR", "1").env("TERM", "xterm");
            command
        };
        for told in [stdout(&output(command()).await).to_owned(), told_on_terminal(command()).await] {
            assert!(told.contains("31m"), "{arguments:?}: {told:?}");
            assert!(!told.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{arguments:?}: {told:?}");
        }
    }
}

/// A server that answers each request by its head, with a status and a body; returns its address, and the heads.
pub fn server(answer: impl Fn(&str) -> (u16, String) + Send + 'static) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::<Mutex<Vec<String>>>::default();
    let received = requests.clone();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                match connection.read(&mut buffer) {
                    Ok(read @ 1..) => request.extend_from_slice(&buffer[..read]),
                    _ => break,
                }
            }
            let request = String::from_utf8(request).unwrap();
            let (status, body) = answer(&request);
            received.lock().unwrap().push(request);
            let head =
                format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = connection.write_all([head.as_bytes(), body.as_bytes()].concat().as_slice());
        }
    });
    (url, requests)
}
