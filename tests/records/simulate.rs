//! The simulator: what it has logged is what the server has, whatever the server goes through.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use rstest_reuse::apply;
use test_kit::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::kit::program::{Program, coatcheck, output, stderr_of};
use crate::kit::stack::{Setup, Stack, both_stacks, embedded};
use crate::records::append::line_of;

/// A simulator in a hurry, its logs in that folder.
pub fn simulate(stack: &Stack, logs: &Path, settings: &[(&str, &str)]) -> Command {
    let mut command = stack.coatcheck(["simulate"]);
    command.env("LOG_DIR", logs).env("REQUESTS_DELAY", "0").envs(settings.iter().copied());
    command
}

/// All lines of the logs in a folder, in no particular order. Every log has the name that is promised, and whole lines.
pub fn logged(logs: &Path) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for file in fs::read_dir(logs).unwrap().map(|file| file.unwrap()) {
        let name = file.file_name().into_string().unwrap();
        let id = name.strip_suffix(".log").unwrap_or_else(|| panic!("{name}"));
        assert!(id.len() == 8 && u32::from_str_radix(id, 16).is_ok(), "{name}");
        let text = fs::read_to_string(file.path()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{name} ends with half a line");
        for line in text.lines() {
            assert!(lines.insert(line.to_owned()), "twice: {line}");
        }
    }
    lines
}

impl Stack {
    /// The lines of all records, in their order, as the simulator and the exporter write them.
    pub async fn record_lines_in_order(&self) -> Vec<String> {
        let line = |record: &serde_json::Value| {
            let word = |field: &str| record[field].as_str().unwrap().to_owned();
            format!("{} {} {}", word("id"), word("created"), line_of(record))
        };
        self.records("").await.iter().map(line).collect()
    }

    /// The logs have each record of the server, and nothing else.
    async fn was_all_logged(&self, logs: &Path) -> usize {
        let kept: BTreeSet<String> = self.record_lines_in_order().await.into_iter().collect();
        let logged = logged(logs);
        assert_eq!(logged.symmetric_difference(&kept).collect::<Vec<_>>(), [""; 0]);
        kept.len()
    }
}

#[apply(both_stacks)]
async fn what_was_logged_is_what_the_server_has(setup: Setup) {
    let stack = setup.start(&[]).await;
    let logs = stack.folder().join("logs/of/all");

    let done = output(simulate(&stack, &logs, &[("THREADS", "8"), ("COUNT", "400")])).await;

    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    assert_eq!(done.stdout, b"");
    let summary = stderr(&done).lines().last().unwrap_or_default();
    assert!(summary.contains("400 records sent by 8 threads"), "{summary}");
    assert_eq!(fs::read_dir(&logs).unwrap().count(), 8);
    assert_eq!(stack.was_all_logged(&logs).await, 400);
}

#[apply(embedded)]
async fn it_ends_when_its_time_is_over(setup: Setup) {
    let stack = setup.start(&[]).await;
    let logs = stack.folder().join("logs");

    let done = output(simulate(&stack, &logs, &[("DURATION", "300ms"), ("REQUESTS_DELAY", "5")])).await;

    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    assert!(stack.was_all_logged(&logs).await > 0);
}

#[apply(embedded)]
async fn a_signal_ends_it_with_its_summary_and_nothing_is_missing(setup: Setup) {
    let stack = setup.start(&[]).await;
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let folder = stack.folder().join(signal.as_str());
        fs::create_dir(&folder).unwrap();
        let before = stack.records("").await.len();
        let mut simulator = Program::start(simulate(&stack, &stack.folder().join("logs"), &[]), &folder);
        eventually("records", async || {
            let count = stack.records("").await.len();
            if count > before + 20 { Ok(()) } else { Err(count) }
        })
        .await;

        simulator.signal(signal);

        let status = eventually("its end", async || simulator.exit_status().ok_or("it runs")).await;
        let told = fs::read_to_string(stderr_of(&folder)).unwrap();
        assert!(status.success() && told.contains("records sent by 4 threads"), "{status}: {told}");
        stack.was_all_logged(&stack.folder().join("logs")).await;
    }
}

#[apply(both_stacks)]
async fn a_server_that_is_away_is_waited_for(setup: Setup) {
    let stack = setup.start(&[]).await;
    let (logs, folder) = (stack.folder().join("logs"), stack.folder().join("simulator"));
    fs::create_dir(&folder).unwrap();
    stack.kill();
    // One thread alone: another's failure may come late, and would be said anew.
    let settings = [("THREADS", "1"), ("COUNT", "100")];
    let mut simulator = Program::start(simulate(&stack, &logs, &settings), &folder);
    let told = async || fs::read_to_string(stderr_of(&folder)).unwrap();
    eventually("word of it", async || {
        let told = told().await;
        if told.contains("COATCHECK_URL") { Ok(()) } else { Err(told) }
    })
    .await;

    stack.start().await;

    let status = eventually("its end", async || simulator.exit_status().ok_or("it runs")).await;
    let told = told().await;
    assert!(status.success(), "{told}");
    assert_eq!(told.matches("no answer from").count(), 1, "said once: {told}");
    assert_eq!(stack.was_all_logged(&logs).await, 100);
}

#[apply(embedded)]
async fn a_crash_of_the_server_takes_nothing_that_was_logged(setup: Setup) {
    let stack = setup.start(&[]).await;
    let (logs, folder) = (stack.folder().join("logs"), stack.folder().join("simulator"));
    fs::create_dir(&folder).unwrap();
    let mut simulator = Program::start(simulate(&stack, &logs, &[("COUNT", "2000")]), &folder);
    for share in 1..=3 {
        eventually("some of the records", async || {
            let count = stack.records("").await.len();
            if count >= share * 100 { Ok(()) } else { Err(count) }
        })
        .await;
        stack.kill();
        stack.start().await;
    }

    let status = eventually("its end", async || simulator.exit_status().ok_or("it runs")).await;

    assert!(status.success());
    let kept: BTreeSet<String> = stack.record_lines_in_order().await.into_iter().collect();
    let logged = logged(&logs);
    assert_eq!(logged.len(), 2000);
    assert!(logged.is_subset(&kept), "{:?}", logged.difference(&kept).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_server_is_asked_again_and_what_it_takes_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut bodies = Vec::new();
        for answer in ["503 Service Unavailable\r\nRetry-After: 1", "429 Too Many Requests", "201 Created"] {
            let (mut client, _) = listener.accept().await.unwrap();
            bodies.push(request_body(&mut client).await);
            let json =
                r#"{"id":"0b9d44c5-6e5e-4ae1-9a9c-0f2c0d6a4b11","created":"2026-01-02T03:04:05.000678Z"}"#;
            let length = json.len();
            let text =
                format!("HTTP/1.1 {answer}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{json}");
            client.write_all(text.as_bytes()).await.unwrap();
        }
        bodies
    });
    let mut command = coatcheck(folder.path(), ["simulate", "--threads", "1", "--count", "1"]);
    command.env("COATCHECK_URL", url).env("REQUESTS_DELAY", "0").env("LOG_DIR", "logs");

    let done = output(command).await;

    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    assert!(stderr(&done).contains("2 requests repeated"), "{}", stderr(&done));
    let bodies = server.await.unwrap();
    assert!(bodies[0] == bodies[1] && bodies[1] == bodies[2], "{bodies:?}");
    let sent: serde_json::Value = serde_json::from_str(&bodies[0]).unwrap();
    let lines: Vec<String> = logged(&folder.path().join("logs")).into_iter().collect();
    let expected = format!(
        "0b9d44c5-6e5e-4ae1-9a9c-0f2c0d6a4b11 2026-01-02T03:04:05.000678Z {}",
        sent["log"].as_str().unwrap()
    );
    assert_eq!(lines, [expected]);
}

#[tokio::test]
async fn a_wrong_setting_of_a_simulator_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a file"), "").unwrap();
    for (name, value) in [
        ("THREADS", "0"),
        ("THREADS", "many"),
        ("REQUESTS_DELAY", "-1"),
        ("COUNT", "0"),
        ("DURATION", "0"),
        ("DURATION", "long"),
        ("LOG_DIR", ""),
        ("LOG_DIR", "a file"),
        ("COATCHECK_URL", "nonsense"),
        ("LOG_FORMAT", "xml"),
    ] {
        let mut command = coatcheck(folder.path(), ["simulate"]);
        command.env(name, value);

        crate::cli::settings::refused(&output(command).await, name);
    }
}

#[tokio::test]
async fn help_says_what_a_crash_may_leave() {
    let folder = tempfile::tempdir().unwrap();

    let done = output(coatcheck(folder.path(), ["simulate", "--help"])).await;

    let help = String::from_utf8(done.stdout).unwrap();
    for words in ["a record more on the server than was logged", "[env: THREADS=]", "[default: 1000]"] {
        assert!(help.split_whitespace().collect::<Vec<_>>().join(" ").contains(words), "{words}: {help}");
    }
}

/// Reads a request to its end; its body.
async fn request_body(client: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut bytes = [0; 4096];
    loop {
        let count = client.read(&mut bytes).await.unwrap();
        text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.to_lowercase().split_once("content-length: ").unwrap().1.to_owned();
        if body.len() == length.lines().next().unwrap().parse::<usize>().unwrap() {
            return body.to_owned();
        }
    }
}

fn stderr(done: &Output) -> &str {
    std::str::from_utf8(&done.stderr).unwrap()
}
