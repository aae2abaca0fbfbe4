//! `coatcheck ops`: the live view on a terminal shows what is there, acts after a question, and leaves the terminal as it was.

use std::fs;

use nix::sys::signal::Signal;
use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_kit::eventually;

use crate::cli::settings::refused;
use crate::cli::tickets::server;
use crate::kit::program::{coatcheck, output};
use crate::kit::stack::{Setup, Stack, both_stacks, embedded};
use crate::kit::terminal::Terminal;

const ONE_WORKER: [(&str, &str); 1] = [("WORKERS", "1")];
/// The smallest terminal that everything fits on.
const SMALL: (u16, u16) = (24, 80);
const WIDE: (u16, u16) = (40, 120);
const UP: &str = "\u{1b}[A";
const DOWN: &str = "\u{1b}[B";
const ESCAPE: &str = "\u{1b}";
const ID: &str = "0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d";

impl Stack {
    fn ops(&self, size: (u16, u16)) -> Terminal {
        Terminal::start(self.coatcheck(["ops"]), size)
    }

    async fn is_paused(&self, kind: &str) -> Value {
        let kinds = self.get("/api/v1/kinds").await.json()["kinds"].clone();
        let kinds = kinds.as_array().unwrap();
        kinds.iter().find(|one| one["kind"] == kind).unwrap()["paused"].clone()
    }
}

/// Waits until the row of a kind, or of a failure, begins with these fields.
async fn until_row(ops: &Terminal, fields: &[&str]) {
    eventually("the row", async || {
        let shown = ops.shown();
        let begins = |line: &str| {
            let words: Vec<&str> = line.trim_start_matches("> ").split_whitespace().collect();
            words.starts_with(fields)
        };
        if shown.lines().any(begins) { Ok(()) } else { Err(shown) }
    })
    .await;
}

/// Returns the line of the screen that has a text.
fn line_of<'a>(shown: &'a str, text: &str) -> &'a str {
    shown.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("no {text} in {shown}"))
}

#[tokio::test]
async fn off_a_terminal_or_on_one_that_can_not_be_drawn_on_it_says_so_and_asks_nothing() {
    let (url, requests) = server(|_: &str| (200, "{}".to_owned()));
    let folder = TempDir::new().unwrap();
    let command = || {
        let mut command = coatcheck(folder.path(), ["ops"]);
        command.env("COATCHECK_URL", &url);
        command
    };

    refused(&output(command()).await, "ops: expected a terminal as standard input and output");
    let mut dumb = command();
    dumb.env("TERM", "dumb");
    let (status, said) = Terminal::start(dumb, SMALL).end().await;

    assert_eq!(status.code(), Some(2));
    assert!(said.contains("TERM: expected a terminal that can be drawn on, got dumb"), "{said}");
    assert!(requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_server_that_is_away_or_refuses_at_the_start_is_told_without_a_screen() {
    let folder = TempDir::new().unwrap();
    let problem = |code: &str| json!({"code": code, "title": "No", "detail": "No."}).to_string();
    let ask = async |url: &str| {
        let mut command = coatcheck(folder.path(), ["ops"]);
        command.env("COATCHECK_URL", url);
        Terminal::start(command, SMALL).end().await
    };

    for (status, exit) in [(401, 4), (403, 4), (404, 1)] {
        let (url, _) = server(move |_: &str| (status, problem("a-code")));
        let (ended, said) = ask(&url).await;
        assert_eq!((ended.code(), said.lines().count()), (Some(exit), 1), "{status}: {said}");
    }
    let (ended, said) = ask("http://127.0.0.1:1").await;
    assert_eq!((ended.code(), said.lines().count()), (Some(3), 1), "{said}");
    assert!(said.contains("Connection refused"), "{said}");
}

#[apply(both_stacks)]
async fn what_stands_is_shown_live_and_acts_are_done_after_a_question(setup: Setup) {
    let stack = setup.start(&ONE_WORKER).await;
    let held = stack.hold_worker().await;
    let mut ops = stack.ops(SMALL);
    let first = ops.until("all kinds").await;
    assert!(first.contains("live") && first.contains("No failed task is kept."), "{first}");
    until_row(&ops, &["md5", "0", "1"]).await;

    // It is live.
    let pending = stack.put("abc").await;
    until_row(&ops, &["md5", "1", "1"]).await;

    // All, then md5. Any key but y does nothing.
    ops.press("p");
    ops.until("select a kind first").await;
    ops.press(DOWN);
    ops.until("> md5").await;
    ops.press("p");
    ops.until("Pause md5?").await;
    ops.press("\r");
    ops.until("nothing was done").await;
    assert_eq!(stack.is_paused("md5").await, false);
    ops.press("py");
    ops.until("md5 is paused.").await;
    assert_eq!(stack.is_paused("md5").await, true);
    until_row(&ops, &["md5", "paused", "1", "1"]).await;
    ops.press("p");
    ops.until("Resume md5?").await;
    ops.press("y");
    ops.until("md5 is resumed.").await;
    assert_eq!(stack.is_paused("md5").await, false);

    // Its tasks; the pending one is opened, and cancelled.
    ops.press("\r");
    ops.until("kind md5, newest first").await;
    ops.press("s");
    ops.until("status pending, kind md5").await;
    let listed = ops.until("> md5").await;
    assert!(line_of(&listed, "> md5").contains("pending"), "{listed}");
    ops.press("\r");
    ops.until(&pending).await;
    ops.until("No attempt to show.").await;
    ops.press("c");
    let asked = ops.until("[y/N]").await;
    assert!(asked.contains("Cancel file"), "{asked}");
    ops.press("y");
    ops.until("is cancelled, or will be in a moment.").await;
    stack.until(&pending, "cancelled").await;
    ops.until("cancelled  waited").await;
    ops.press("c");
    ops.until("the task has ended already").await;
    // The server's reason: the upload of a cancelled task is not kept.
    ops.press("ry");
    ops.until("not done: retry ").await;
    ops.until("(upload-gone)").await;
    ops.press(ESCAPE);
    ops.until("status pending, kind md5").await;

    // The worker with the task that it holds.
    ops.press("3");
    let workers = ops.until(&held.id).await;
    assert!(workers.contains("1 worker, 1 running task") && workers.contains("works"), "{workers}");
    ops.press("4");
    let audit = ops.until("resume").await;
    assert!(line_of(&audit, "pause").contains("md5"), "{audit}");
    held.release();
    ops.press("q");
    let (status, rest) = ops.end().await;
    assert_eq!((status.code(), &*rest), (Some(0), ""));
}

#[apply(both_stacks)]
async fn failures_are_grouped_by_code_and_retried_together(setup: Setup) {
    let stack = setup.start(&ONE_WORKER).await;
    let failed = stack.fail_for_want_of_uploads(vec![vec![1; 40_000], vec![2; 40_000]]).await;
    let mut ops = stack.ops(WIDE);
    until_row(&ops, &["blob-missing", "md5", "2"]).await;

    // The last row.
    ops.press("\u{1b}[F");
    ops.until("> blob-missing").await;
    ops.press("\r");
    ops.until("status failed, kind md5, code blob-missing").await;
    let id = failed[1]["id"].as_str().unwrap();
    let list = ops.until(id).await;
    assert!(line_of(&list, id).contains("file · blob-missing: "), "{list}");

    ops.press("R");
    let asked = ops.until("[y/N]").await;
    assert!(asked.contains("Retry 2 tasks (with status failed, kind md5, code blob-missing)?"), "{asked}");
    ops.press("n");
    ops.until("nothing was done").await;
    ops.press("R");
    ops.until("[y/N]").await;
    ops.press("y");
    ops.until("Retry 2 tasks: the task").await;
    for task in &failed {
        let id = task["id"].as_str().unwrap();
        eventually("its retry", async || {
            let all = stack.tasks("kind=md5&status=succeeded").await;
            if all.iter().any(|one| one["retried_from"] == id) { Ok(()) } else { Err(all) }
        })
        .await;
    }

    // A search by a ticket opens it, one by a name lists.
    ops.press("/");
    ops.until("Ticket, or the beginning of a file's name").await;
    ops.press(&format!("\u{1b}[200~{id}\u{1b}[201~\r"));
    let task = ops.until("Ticket ").await;
    assert!(line_of(&task, "Ticket ").contains(id), "{task}");
    ops.until("blob-missing: ").await;
    ops.press(ESCAPE);
    ops.until("newest first").await;
    ops.press("/nothing\r");
    ops.until("name nothing…").await;
    ops.until("No task.").await;
    ops.press(ESCAPE);
    ops.until_without("name nothing…").await;
    ops.press("q");
    assert_eq!(ops.end().await.0.code(), Some(0));
}

#[apply(both_stacks)]
async fn it_goes_on_when_the_server_is_back(setup: Setup) {
    let stack = setup.start(&[]).await;
    let ops = stack.ops(SMALL);
    ops.until("all kinds").await;

    stack.kill();
    ops.until("away, ").await;
    ops.until("trying again").await;
    stack.start().await;

    ops.until("live").await;
    let id = stack.put("abc").await;
    stack.until(&id, "succeeded").await;
    // Accepted and succeeded.
    until_row(&ops, &["md5", "0", "0", "-", "1", "1", "0"]).await;
}

#[apply(embedded)]
async fn a_worker_is_drained_and_takes_tasks_again(setup: Setup) {
    let stack = setup.start(&[("LEASE_SECONDS", "2")]).await;
    let mut ops = stack.ops(SMALL);
    let drains = async |expected: bool| {
        eventually("the worker's state", async || {
            let workers = stack.get("/api/v1/workers").await.json();
            if workers["workers"][0]["draining"] == expected { Ok(()) } else { Err(workers) }
        })
        .await;
    };
    ops.until("all kinds").await;
    ops.press("3");
    ops.until("works").await;

    ops.press("d");
    ops.until("It takes nothing more").await;
    ops.press("y");
    drains(true).await;
    ops.until(" drains").await;
    ops.press("d");
    ops.until("take tasks again?").await;
    ops.press("y");
    drains(false).await;
    ops.until("works").await;
}

#[apply(embedded)]
async fn any_end_gives_the_terminal_back(setup: Setup) {
    let stack = setup.start(&[]).await;
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut ops = stack.ops(SMALL);
        ops.until("all kinds").await;
        ops.signal(signal);
        let (status, rest) = ops.end().await;
        assert_eq!((status.code(), &*rest), (Some(0), ""), "{signal}");
    }
}

#[apply(embedded)]
async fn it_fits_any_terminal(setup: Setup) {
    let stack = setup.start(&[]).await;
    let id = stack.put("abc").await;
    stack.until(&id, "succeeded").await;
    let mut ops = stack.ops(WIDE);
    ops.until("all kinds").await;
    for view in ["1", "2", "\r", "3", "4", "?"] {
        ops.press(view);
        for (rows, columns) in [(1, 1), (2, 10), (5, 20), (10, 40), SMALL, (60, 200)] {
            ops.resize(rows, columns);
            // After the draw that follows the signal.
            eventually("as many lines", async || {
                let (lines, rows) = (ops.shown().lines().count(), usize::from(rows));
                // On the smallest, lines at the end may be empty.
                let has_all = lines == rows || (rows < 5 && lines <= rows);
                if has_all { Ok(()) } else { Err(lines) }
            })
            .await;
            let shown = ops.shown();
            let widest = shown.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= usize::from(columns), "{rows}x{columns}: {shown}");
        }
    }
    ops.press("qq");
    assert_eq!(ops.end().await.0.code(), Some(0));
}

#[apply(embedded)]
async fn colours_are_left_out_where_none_is_wanted_and_names_are_harmless(setup: Setup) {
    let stack = setup.start(&[]).await;
    for (no_color, is_coloured) in [(None, true), (Some("1"), false)] {
        let mut command = stack.coatcheck(["ops"]);
        command.envs(no_color.map(|value| ("NO_COLOR", value)));
        let mut ops = Terminal::start(command, SMALL);
        ops.until("all kinds").await;
        let odd = "a\u{9b}31m\u{202e}b";
        let form = reqwest::multipart::Form::new()
            .part("file", reqwest::multipart::Part::bytes(b"abc".to_vec()).file_name(odd));
        stack.request(Method::POST, "/api/v1/md5").multipart(form).send().await.unwrap();
        ops.press("2");
        ops.until("> md5").await;
        ops.press("\r");
        ops.until("Ticket").await;
        ops.press("q");
        let written = ops.written();
        assert_eq!(written.contains("\u{1b}[32m"), is_coloured, "{written:?}");
        assert!(!written.contains(['\u{9b}', '\u{202e}']), "{written:?}");
        assert_eq!(ops.end().await.0.code(), Some(0));
    }
}

#[apply(embedded)]
async fn where_the_server_refuses_changes_it_is_read_only(setup: Setup) {
    let stack = setup.start(&[("AUTH", "required")]).await;
    let viewer = stack.with_right("viewer").await;
    let plain = {
        stack.register("ada").await;
        stack.log_in("ada").await
    };
    let command = |token: &str| {
        let mut command = stack.coatcheck(["ops"]);
        command.env("COATCHECK_TOKEN", token);
        command
    };

    let mut ops = Terminal::start(command(&viewer), SMALL);
    let shown = ops.until("read-only").await;
    assert!(!shown.contains("pause/resume"), "{shown}");
    ops.press(DOWN);
    ops.press("p");
    ops.until("read-only: ").await;
    ops.press("q");
    assert_eq!(ops.end().await.0.code(), Some(0));

    let (status, said) = Terminal::start(command(&plain), SMALL).end().await;
    assert_eq!((status.code(), said.lines().count()), (Some(4), 1), "{said}");
}

#[tokio::test]
async fn production_is_named_in_each_question_and_a_pasted_text_presses_nothing() {
    let task = json!({"id": ID, "kind": "md5", "status": "pending", "created": "2026-01-02T03:04:05Z", "input": {"filename": "a.txt"}});
    let list = json!({"tasks": [task], "next": null, "total": 1}).to_string();
    let (url, requests) = server(move |head: &str| {
        let body = match head.split([' ', '?']).nth(1).unwrap_or_default() {
            "/api/v1/kinds" => json!({"kinds": []}).to_string(),
            "/api/v1/stats" => json!({"series": []}).to_string(),
            "/api/v1/tasks" => list.clone(),
            _ => task.to_string(),
        };
        (200, body)
    });
    let folder = TempDir::new().unwrap();
    let context = format!("[context.prod]\nurl = \"{url}\"\nproduction = true\n");
    fs::write(folder.path().join("coatcheck.toml"), context).unwrap();
    let mut ops = Terminal::start(coatcheck(folder.path(), ["ops", "--context", "prod"]), WIDE);
    let deleted = || requests.lock().unwrap().iter().filter(|head| head.starts_with("DELETE ")).count();

    ops.until("PRODUCTION").await;
    ops.press("2");
    ops.until("a.txt").await;
    ops.press("\u{1b}[200~cy\r\u{1b}[201~");
    ops.press("c");
    let asked = ops.until("[y/N]").await;
    assert!(asked.contains("Context prod is production (http://127.0.0.1:"), "{asked}");
    assert_eq!(deleted(), 0);
    ops.press("y");
    ops.until("is cancelled").await;
    assert_eq!(deleted(), 1);
    ops.press(UP);
    ops.press("q");
    assert_eq!(ops.end().await.0.code(), Some(0));
}
