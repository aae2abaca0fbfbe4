//! What the processes say in their own logs: for an operator, without secrets.

use std::fs;

use serde_json::Value;

use crate::program::{output, stderr_of};
use crate::servers::servers;
use crate::stack::{Stack, on};

on_both_stacks!(
    each_step_of_a_task_is_one_json_line,
    [("LOG_FORMAT", "json"), ("RUST_LOG", "debug,lapin=off"), ("WORKERS", "1")],
    |stack| async move {
        let id = stack.put("abc").await;
        stack.until(&id, "succeeded").await;
        let held = stack.hold_worker().await;
        let cancelled = stack.put("to be cancelled").await;
        stack.http.delete(stack.url(&format!("/api/v1/tasks/{cancelled}"))).send().await.unwrap();
        stack.until(&cancelled, "cancelled").await;
        held.release();
        stack.each_task_has_one_line(&[]).await;

        let mut said = lines_on(&stack, &id);
        said.sort();
        assert_eq!(
            said,
            [
                format!("task {id} accepted"),
                format!("task {id} claimed, attempt 1"),
                format!("task {id} succeeded, attempt 1")
            ]
        );
        let said = lines_on(&stack, &cancelled);
        assert_eq!(
            said,
            [
                format!("task {cancelled} accepted"),
                format!("task {cancelled} is to be cancelled, it is cancelled now"),
                format!("task {cancelled} cancelled, attempt 0")
            ]
        );
    }
);

#[tokio::test]
async fn no_password_is_logged() {
    let database = servers().database().replace("coat@", "coat:hunter2@");
    let settings = [
        ("DATABASE_URL", &*database),
        // Nobody is there: what failed is told.
        ("AMQP_URL", "amqp://coat:hunter2@127.0.0.1:9/%2f"),
        ("REDIS_URL", "redis://:hunter2@127.0.0.1:9"),
        ("RUST_LOG", "debug"),
    ];
    on(Stack::distributed(&settings), |stack| async move {
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
    })
    .await;
}

/// What the stack's processes have said on a task.
fn lines_on(stack: &Stack, id: &str) -> Vec<String> {
    let mut said = Vec::new();
    for process in 0..stack.processes() {
        let log = fs::read_to_string(stderr_of(&stack.process_folder(process))).unwrap();
        for line in log.lines() {
            let line: Value = serde_json::from_str(line).expect("each line is JSON");
            let message = line["fields"]["message"].as_str().unwrap_or_default();
            if message.contains(&format!("task {id} ")) {
                assert_eq!((&line["level"], &line["fields"]["task.id"]), (&"DEBUG".into(), &id.into()));
                said.push(message.to_owned());
            }
        }
    }
    said
}
