//! The commands of the README, and those that start processes on many machines, do what is said.
//!
//! A `console` block is run command by command: what follows one is what it prints, `…` standing for anything. `019dc…` in a
//! command is the task's id that was printed last, `7f3c…` the record's. A `console session` runs as a whole, for programs
//! stay in it. A `sh` block starts the service or what it asks; each of its lines is run here or named here.

use rstest_reuse::apply;
use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use crate::kit::client::ask;
use crate::kit::program::output;
use crate::kit::stack::{Running, Setup, Stack, distributed};
use crate::kit::stand_ins::StandIns;

const README: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md"));
const SCALE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/how-to/scale.md"));
/// How ids begin in these.
const IDS: [&str; 2] = ["019dc…", "7f3c…"];

#[tokio::test]
async fn every_command_of_the_tours_prints_what_is_said() {
    let stand_ins = &StandIns::start(&[]).await;
    let stack = Running::of(Stack::embedded(&stand_ins.urls())).await;
    std::fs::write(stack.folder().join("README.md"), README).unwrap();
    let count = tour(&stack, stand_ins, README).await;
    assert!(count > 10, "{count} commands");
}

/// Runs the commands of a page's `console` blocks, and returns how many there are. Each prints what the page says.
pub async fn tour(stack: &Arc<Stack>, stand_ins: &StandIns, page: &str) -> usize {
    let (_, free) = stand_ins.urls()[0];
    let (mut last_ids, mut exports) = (HashMap::<&str, String>::new(), String::new());
    let mut count = 0;

    for block in blocks(page, "console") {
        for (command, expected) in commands(block) {
            if command.starts_with("export ") {
                exports = format!("{exports}{command}\n");
            }
            let mut shell = format!("set -o pipefail\n{exports}{command}");
            for (short, id) in &last_ids {
                shell = shell.replace(short, id);
            }
            let shell = shell.replace("localhost:9000", &stack.address()).replace("localhost:2197", free);
            let printed = run(stack, &shell).await;
            assert!(matches(expected.trim(), printed.trim()), "{command}\nprinted {printed}\nnot {expected}");
            let id = printed.split_once("\"id\":\"").and_then(|(_, rest)| rest.get(..36));
            if let (Some(id), Some(short)) = (id, IDS.iter().find(|short| expected.contains(**short))) {
                last_ids.insert(*short, id.to_owned());
            }
            count += 1;
        }
    }
    count
}

/// Runs a page's `console session` blocks as a whole.
pub async fn session(stack: &Arc<Stack>, page: &str) {
    let mut session = "set -e -o pipefail\ntrap 'kill $(jobs -p)' EXIT\n".to_owned();
    let mut expected = String::new();
    for (command, prints) in blocks(page, "console session").flat_map(commands) {
        if command.contains("access.log") && !command.starts_with("coatcheck ") {
            // A person who types the commands is slower than the exporters.
            session.push_str("until [ \"$(cat access.log* 2>&- | wc -l)\" = 1000 ]; do sleep 0.05; done\n");
        }
        session.push_str(&format!("{command}\n"));
        expected.push_str(prints);
    }

    let printed = run(stack, &session).await;

    assert!(matches(expected.trim(), printed.trim()), "printed {printed}\nnot {expected}");
    assert_eq!(printed.lines().count(), 1, "{printed}");
}

#[apply(distributed)]
async fn the_processes_on_many_machines_start_as_is_said(setup: Setup) {
    let stack = setup.start(&[]).await;
    let mut lines = Vec::new();
    let scripts = blocks(README, "sh").chain(blocks(SCALE, "sh"));
    for line in scripts.flat_map(str::lines).map(|line| line.split('#').next().unwrap().trim()) {
        match line {
            // This program, and this test.
            "cargo run --release" => {}
            // `make test-dist` installs the package and starts it.
            "sudo apt install ./target/packages/coatcheck_*.deb" | "sudo systemctl start coatcheck" => {}
            // In containers: `make test-compose` runs it.
            "make scale worker=4 api=2" => {}
            // Of several APIs here, each has the data of one.
            names if names.starts_with("export JWT_SECRET_FILE=") => {}
            // The addresses of servers: a stack's own here.
            names if names.starts_with("export ") => {
                for name in ["DATABASE_URL=postgres://", "AMQP_URL=amqp://", "REDIS_URL=redis://"] {
                    assert!(names.contains(name), "{names}");
                }
            }
            command => lines.push(command.strip_prefix("coatcheck ").unwrap_or_else(|| panic!("{command}"))),
        }
    }
    assert_eq!(lines, ["api --listen 0.0.0.0:9000", "worker --metrics-listen 127.0.0.1:9001"]);

    // A port that no other test uses.
    let mut api = stack.extra(&["api", "--listen", "127.0.0.1:0"], &[]);
    let _worker = stack.extra(&["worker"], &[]);
    let url = format!("http://{}/api/v1/md5/abc", api.address().await);
    let accepted = ask(stack.http.put(url).body("abc")).await.unwrap();
    stack.until(accepted.json()["id"].as_str().unwrap(), "succeeded").await;
}

/// The commands of a block, each with what it prints.
fn commands(block: &str) -> impl Iterator<Item = (&str, &str)> {
    let (_, commands) = block.split_once("$ ").expect("a command");
    commands.split("\n$ ").map(|text| {
        // A pipe at its end goes on in the next line.
        let goes_on = |at: &usize| text[..*at].ends_with('|');
        let end = text.match_indices('\n').map(|(at, _)| at).find(|at| !goes_on(at)).unwrap_or(text.len());
        (&text[..end], text[end..].trim_start_matches('\n'))
    })
}

/// Returns the texts between a page's fences of that language.
pub fn blocks<'a>(page: &'a str, language: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let fence = format!("```{language}\n");
    let starts: Vec<usize> = page.match_indices(&fence).map(|(at, fence)| at + fence.len()).collect();
    starts.into_iter().map(|at| page[at..].split("\n```").next().unwrap())
}

/// Runs a command as a user of this stack would; what it prints.
async fn run(stack: &Arc<Stack>, shell: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_coatcheck"));
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new("bash");
    command.args(["-c", shell]).current_dir(stack.folder()).env("COATCHECK_URL", stack.url(""));
    command.env("PATH", format!("{}:{path}", program.parent().unwrap().display()));
    // The log's line comes after the result.
    if shell.contains("outcomes.log") {
        stack.each_task_has_one_line(&[]).await;
    }
    let done = output(command).await;
    let (printed, told) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{shell}\n{printed}\n{told}");
    printed
}

/// Whether the text is what is expected, each `…` standing for anything. Of what prints nothing worth showing, nothing is
/// expected.
fn matches(expected: &str, text: &str) -> bool {
    let expected = IDS.iter().fold(expected.to_owned(), |text, id| text.replace(id, "…"));
    let Some((first, rest)) = expected.split_once('…') else {
        return expected.is_empty() || expected == text;
    };
    let (middle, last) = rest.rsplit_once('…').unwrap_or(("", rest));
    let between = text.strip_prefix(first).and_then(|text| text.strip_suffix(last));
    between.is_some_and(|mut between| {
        middle.split('…').all(|part| match between.find(part) {
            Some(at) => {
                between = &between[at + part.len()..];
                true
            }
            None => false,
        })
    })
}
