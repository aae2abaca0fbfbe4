//! The processes' own logs: for an operator, without secrets.

use std::fs;

use rstest_reuse::apply;
use serde_json::Value;
use test_kit::{eventually, servers};

use crate::kit::program::{output, stderr_of};
use crate::kit::stack::{Running, Setup, Stack, both_stacks, embedded};

#[apply(both_stacks)]
async fn each_step_of_a_task_is_one_json_line(setup: Setup) {
    let stack =
        setup.start(&[("LOG_FORMAT", "json"), ("RUST_LOG", "debug,lapin=off"), ("WORKERS", "1")]).await;
    // Small uploads are not claimed.
    let id = stack.put("abc".repeat(10_000)).await;
    stack.until(&id, "succeeded").await;
    let held = stack.hold_worker().await;
    let cancelled = stack.put("to be cancelled").await;
    stack.http.delete(stack.url(&format!("/api/v1/tasks/{cancelled}"))).send().await.unwrap();
    stack.until(&cancelled, "cancelled").await;
    held.release();
    stack.each_task_has_one_line(&[]).await;

    let mut said = lines_on(&stack, &id);
    said.sort();
    assert_eq!(said, ["task accepted", "task claimed, attempt 1", "task succeeded, attempt 1"]);
    let said = lines_on(&stack, &cancelled);
    assert_eq!(
        said,
        ["task accepted", "task is to be cancelled, it is cancelled now", "task cancelled, attempt 0"]
    );
}

#[apply(embedded)]
async fn the_beginning_says_what_runs_and_for_which_clients(setup: Setup) {
    let stack =
        setup.start(&[("RUST_LOG", "info,worker=debug"), ("OUTCOME_LOG", "elsewhere/outcomes.log")]).await;
    let log = eventually("the line with the address", async || {
        let log = log(&stack);
        if log.contains("listening on") { Ok(log) } else { Err(log) }
    })
    .await;

    let folder = stack.folder().canonicalize().unwrap();
    for words in [
        &format!("coatcheck {}", env!("CARGO_PKG_VERSION")),
        "rows in sqlite:data/coatcheck.db",
        "outcomes in elsewhere/outcomes.log",
        folder.to_str().unwrap(),
        "AUTH=off: open to every user of this machine",
    ] {
        assert!(log.contains(words), "{words}: {log}");
    }
    // A general level opens no library that is closed without it.
    assert!(!log.contains("actix_server"), "{log}");
}

#[apply(embedded)]
async fn path_and_client_are_told_to_those_who_look_into_it(setup: Setup) {
    let stack = setup.start(&[("RUST_LOG", "debug"), ("LOG_FORMAT", "json")]).await;
    stack.get("/api/v1/md5/nonsense?secret=1").await;

    let log = eventually("the line with the path", async || {
        let log = log(&stack);
        if log.contains("\"path\"") { Ok(log) } else { Err(log) }
    })
    .await;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let fields = |line: &Value| line["fields"]["path"] == "/api/v1/md5/nonsense";
    let line = lines.iter().find(|line| fields(line)).unwrap_or_else(|| panic!("{log}"));
    assert!(line["fields"]["milliseconds"].is_u64(), "{line}");
    assert_eq!(line["fields"]["client"], "127.0.0.1", "{line}");
    assert!(!log.contains("secret=1"), "{log}");
    let ours = ["api", "coatcheck", "program", "task_data", "worker", "shared_log"];
    let of = |line: &Value| line["target"].as_str().unwrap().split("::").next().unwrap().to_owned();
    let chatter = |line: &&Value| line["level"] == "DEBUG" && !ours.contains(&&*of(line));
    assert_eq!(lines.iter().find(chatter), None);
}

fn log(stack: &Stack) -> String {
    fs::read_to_string(stderr_of(&stack.process_folder(0))).unwrap()
}

#[tokio::test]
async fn no_password_is_logged() {
    let database = servers().database().replace("coat@", "coat:hunter2@");
    let settings = [
        ("DATABASE_URL", &*database),
        // The server is unreachable: the failure is logged.
        ("AMQP_URL", "amqp://coat:hunter2@127.0.0.1:9/%2f"),
        ("REDIS_URL", "redis://:hunter2@127.0.0.1:9"),
        ("RUST_LOG", "debug"),
    ];
    let stack = Running::of(Stack::distributed(&settings)).await;
    let id = stack.put("abc").await;
    stack.until(&id, "succeeded").await;

    for process in 0..stack.processes() {
        let log = fs::read_to_string(stderr_of(&stack.process_folder(process))).unwrap();
        assert!(log.contains("Redis is away") && !log.contains("hunter2"), "{log}");
    }
    for name in ["DATABASE_URL", "AMQP_URL", "REDIS_URL"] {
        let mut command = stack.command(&["worker"]);
        command.env(name, "nonsense://coat:hunter2@127.0.0.1:nine/x");

        let said = String::from_utf8(output(command).await.stderr).unwrap();
        assert!(said.contains(name) && !said.contains("hunter2"), "{said}");
    }
}

/// Returns the lines that the stack's processes have logged about a task.
fn lines_on(stack: &Stack, id: &str) -> Vec<String> {
    let mut said = Vec::new();
    for process in 0..stack.processes() {
        let log = fs::read_to_string(stderr_of(&stack.process_folder(process))).unwrap();
        for line in log.lines() {
            let line: Value = serde_json::from_str(line).expect("each line is JSON");
            let message = line["fields"]["message"].as_str().unwrap_or_default();
            // Named in its field alone: a text line would have it twice.
            assert!(!message.contains(id), "{message}");
            if line["fields"]["task.id"] == id {
                assert_eq!(line["level"], "DEBUG", "{line}");
                said.push(message.to_owned());
            }
        }
    }
    said
}
