//! The book's commands do what it says. `console` blocks are as in the README: see `readme`. Of the other blocks:
//!
//! - A file that a page says to save is there when its commands run.
//! - `sql` is run on PostgreSQL, in the order of the pages.
//! - `sh` needs a container, another host or a process that stays: the commands, flags, settings, `make` targets, scripts and
//!   services that it names are there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use futures::future::join_all;
use rstest_reuse::apply;
use serde_json::Value;
use tempfile::TempDir;

use super::{Page, pages, root};
use crate::kit::chromium::Browser;
use crate::kit::program::{coatcheck, output};
use crate::kit::stack::{Running, Setup, Stack, both_stacks};
use crate::kit::stand_ins::StandIns;
use crate::project::readme::{blocks, session, tour};

#[tokio::test]
async fn every_command_of_the_book_prints_what_is_said() {
    let stand_ins = &StandIns::start(&[]).await;
    let pages = pages();
    let tours = pages.iter().filter(|page| blocks(&page.text, "console").next().is_some()).map(|page| {
        println!("{}", page.path.display());
        async move {
            let stack = Running::of(Stack::embedded(&stand_ins.urls())).await;
            for (name, text) in files(&page.text) {
                let text = text.replace("localhost:9000", &stack.address());
                fs::write(stack.folder().join(name), text + "\n").unwrap();
            }
            tour(&stack, stand_ins, &page.text).await;
        }
    });

    let count = join_all(tours).await.len();

    assert!(count > 10, "{count} pages");
}

#[apply(both_stacks)]
async fn what_the_book_simulates_it_exports(setup: Setup) {
    let stack = setup.start(&[]).await;
    session(&stack, &Page::read("docs/how-to/access-log.md").text).await;
}

#[tokio::test]
async fn the_script_for_browsers_hands_a_file_in_embedded() {
    let stack = Running::of(Stack::embedded(&[])).await;
    let page = Page::read("docs/how-to/browser.md");
    let (_, script) = files(&page.text).next().expect("a script");
    let browser = Browser::open(&stack, "/").await;

    let call = "handIn(new File(['abc'], 'a.txt')).then(ticket => {
            digestOf(ticket.id).then(digest => document.body.dataset.digest = digest);
            follow(ticket.id, task => document.body.dataset.status = task.status);
        });";
    browser.value(&format!("(() => {{ {script}\n{call} }})()")).await;

    browser.until("document.body.dataset.digest === '900150983cd24fb0d6963f7d28e17f72'").await;
    browser.until("document.body.dataset.status === 'succeeded'").await;
    browser.close().await;
}

#[tokio::test]
async fn every_statement_of_the_book_runs_on_postgresql_distributed() {
    let stack = Running::of(Stack::distributed(&[])).await;
    let pages = pages();
    let blocks = pages.iter().flat_map(|page| blocks(&page.text, "sql"));
    let mut count = 0;
    for statement in blocks.flat_map(|block| block.split(';')).filter(|text| !text.trim().is_empty()) {
        stack.sql(statement);
        count += 1;
    }
    assert!(count > 5, "{count} statements");
}

#[test]
fn each_alert_has_its_answer() {
    let page = Page::read("docs/how-to/alerts.md");
    let rules = fs::read_to_string(root().join("deployment/alerts.yml")).unwrap();
    let named = |text: &str, begin: &str| -> BTreeSet<String> {
        text.lines().filter_map(|line| line.trim().strip_prefix(begin)).map(str::to_owned).collect()
    };

    let alerts = named(&rules, "- alert: ");
    let answers = named(&page.text, "## ").into_iter().filter(|name| name.starts_with("Coatcheck"));

    assert_eq!(answers.collect::<BTreeSet<_>>(), alerts);
    let anchors: BTreeSet<String> = alerts.iter().map(|name| name.to_lowercase()).collect();
    assert_eq!(named(&rules, "runbook: docs/how-to/alerts.md#"), anchors);
}

#[tokio::test]
async fn every_other_command_of_the_book_names_what_is_there() {
    let known = Known::read().await;
    let pages = pages();
    let mut count = 0;
    for page in &pages {
        for line in blocks(&page.text, "sh").flat_map(|block| block.lines()) {
            if let Err(what) = known.check(line) {
                panic!("{}: {line}\n{what} is not there", page.path.display());
            }
            count += 1;
        }
    }
    assert!(count > 40, "{count} lines");
}

/// Returns the files that a page says to save, with their names.
fn files(page: &str) -> impl Iterator<Item = (&str, &str)> {
    page.split("Save this as `").skip(1).map(|rest| {
        let (name, rest) = rest.split_once("`:\n\n```").expect("a block behind the name");
        let (_, text) = rest.split_once('\n').unwrap();
        (name, text.split("\n```").next().unwrap())
    })
}

/// Commands whose arguments are not ours to know.
const OTHERS: [&str; 10] =
    ["cargo", "cd", "curl", "docker", "export", "for", "git", "mkdir", "openssl", "sudo"];
/// Variables that are not settings of the program.
const VARIABLES: [&str; 4] = ["COATCHECK_SECRETS", "COMPOSE_FILE", "EDGE_PROXIES", "PATH"];

/// The names that commands may use.
struct Known {
    /// The help of each command of the program; of the service itself under no name.
    help: BTreeMap<String, String>,
    services: BTreeSet<String>,
    targets: BTreeSet<String>,
}

impl Known {
    async fn read() -> Self {
        let compose = fs::read_to_string(root().join("deployment/docker-compose.yml")).unwrap();
        let compose: Value = serde_saphyr::from_str(&compose).unwrap();
        let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
        let target = |line: &str| Some(line.split_once(": ").filter(|_| line.contains("## "))?.0.to_owned());
        Self {
            help: help().await,
            services: compose["services"].as_object().unwrap().keys().cloned().collect(),
            targets: makefile.lines().filter_map(|line| target(&line.replacen(':', ": ", 1))).collect(),
        }
    }

    /// Says what of a line is not there.
    fn check<'a>(&self, line: &'a str) -> Result<(), &'a str> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (variables, words): (Vec<&str>, Vec<&str>) =
            words.iter().filter(|word| **word != "export").partition(|word| is_variable(word));
        for variable in variables {
            let name = variable.split('=').next().unwrap();
            let setting = name.strip_suffix("_FILE").unwrap_or(name);
            let is_setting = self.help.values().any(|help| help.contains(&format!("[env: {setting}")));
            let is_secret = self.help.values().any(|help| help.contains(&format!("[env: {name}=]")));
            let is_known = is_setting || is_secret || VARIABLES.contains(&name);
            is_known.then_some(()).ok_or(name)?;
        }
        match words.split_first() {
            None => Ok(()),
            Some((&"make", targets)) => self.targets_are_there(targets),
            Some((&"coatcheck", arguments)) => self.arguments_are_there(arguments),
            Some((&"docker", arguments)) => self.compose(arguments),
            Some((script, _)) if script.contains('/') => {
                let is_there =
                    ["", "deployment"].iter().any(|folder| root().join(folder).join(script).is_file());
                is_there.then_some(()).ok_or(script)
            }
            // Within a subshell: what is called there is told by its first words.
            Some((word, _)) => (OTHERS.contains(word) || word.starts_with('(')).then_some(()).ok_or(word),
        }
    }

    fn targets_are_there<'a>(&self, targets: &[&'a str]) -> Result<(), &'a str> {
        let unknown = targets.iter().find(|target| !self.targets.contains(**target) && !target.contains('='));
        unknown.map_or(Ok(()), |target| Err(*target))
    }

    fn arguments_are_there<'a>(&self, arguments: &[&'a str]) -> Result<(), &'a str> {
        let command = arguments.first().filter(|word| !word.starts_with('-')).copied().unwrap_or_default();
        let help = self.help.get(command).ok_or(command)?;
        let unknown = arguments.iter().find(|word| {
            word.starts_with("--")
                && !help.split_whitespace().any(|known| known.trim_end_matches(',') == **word)
        });
        unknown.map_or(Ok(()), |word| Err(*word))
    }

    /// The services that compose is to act on, and what it is to run in one.
    fn compose<'a>(&self, arguments: &[&'a str]) -> Result<(), &'a str> {
        let [compose, action, arguments @ ..] = arguments else { return Ok(()) };
        if *compose != "compose" {
            return Ok(());
        }
        let mut services = arguments.iter().filter(|word| !word.starts_with('-') && !word.contains('='));
        match *action {
            "run" | "exec" => {
                let service = services.next().ok_or(*action)?;
                self.services.get(*service).ok_or(*service)?;
                let command = arguments.iter().position(|word| *word == "coatcheck");
                command.map_or(Ok(()), |at| self.arguments_are_there(&arguments[at + 1..]))
            }
            _ => services.find(|name| !self.services.contains(**name)).map_or(Ok(()), |name| Err(*name)),
        }
    }
}

/// Whether a word gives a variable its value.
fn is_variable(word: &str) -> bool {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    word.split_once('=').is_some_and(|(name, _)| is_name(name))
}

/// Returns the help of each command, under its name, and that of the program itself under none.
pub async fn help() -> BTreeMap<String, String> {
    let mut help = BTreeMap::from([(String::new(), help_of(&[]).await)]);
    for command in commands_in(&help[""]) {
        help.insert(command.clone(), help_of(&[&command]).await);
    }
    help
}

/// Returns what a command says of itself.
pub async fn help_of(command: &[&str]) -> String {
    let folder = TempDir::new().unwrap();
    let mut command_line = coatcheck(folder.path(), command.iter().chain([&"--help"]));
    command_line.env_remove("LISTEN");
    let done = output(command_line).await;
    assert!(done.status.success(), "{command:?}");
    String::from_utf8(done.stdout).unwrap()
}

/// Returns the commands that a help lists, in its order.
pub fn commands_in(help: &str) -> Vec<String> {
    let (_, list) = help.split_once("Commands:\n").unwrap_or_default();
    let list = list.split("\n\n").next().unwrap_or_default();
    let name = |line: &str| {
        let is_name = line.starts_with("  ") && !line.starts_with("   ");
        line.split_whitespace().next().filter(|name| is_name && *name != "help").map(str::to_owned)
    };
    list.lines().filter_map(name).collect()
}
