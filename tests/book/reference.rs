//! The reference's lists are what the program says of itself; `COATCHECK_WRITE_DOCS=1` writes them anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use test_kit::eventually;

use super::commands::{commands_in, help, help_of};
use super::{Page, root};
use crate::kit::client::ask;
use crate::kit::people::as_bearer;
use crate::kit::stack::{Running, Stack};
use crate::kit::stand_ins::StandIns;

/// The files that name metrics.
const METRICS: [&str; 5] = [
    "api/src/http/request.rs",
    "crates/access-log/src/metrics.rs",
    "crates/program/src/metrics.rs",
    "crates/program/src/metrics/process.rs",
    "task-data/src/metrics.rs",
];

#[tokio::test]
async fn the_reference_is_what_the_program_says() {
    let stand_ins = StandIns::start(&[]).await;
    let stack = Running::of(Stack::embedded(&stand_ins.urls())).await;
    let description = stack.get("/openapi.json").await.json();
    let lists = [
        ("settings", settings(&help().await)),
        ("cli", command_line().await),
        ("http", calls(&description)),
        ("errors", codes(&description)),
        ("metrics", metrics(&stack).await),
    ];
    let mut differs = Vec::new();
    for (name, list) in lists {
        let page = Page::read(&format!("docs/reference/{name}.md"));
        let whole = with_list(&page, name, &list);
        if std::env::var_os("COATCHECK_WRITE_DOCS").is_some() {
            fs::write(root().join(&page.path), whole).unwrap();
        } else if whole != page.text {
            differs.push(name);
        }
    }
    assert!(
        differs.is_empty(),
        "the program says something else than docs/reference: {differs:?}; `make reference` writes it anew"
    );

    let errors = Page::read("docs/reference/errors.md").text;
    let codes = description["components"]["schemas"]["Code"]["enum"].as_array().unwrap();
    let untold = codes.iter().find(|code| !errors.contains(&format!("| `{}` |", code.as_str().unwrap())));
    assert_eq!(untold, None, "a code that the page of errors lacks");
}

/// Returns a page with a list between its marks.
fn with_list(page: &Page, name: &str, list: &str) -> String {
    let begin = format!("<!-- begin: {name} (make reference writes it) -->\n");
    let end = format!("<!-- end: {name} -->\n");
    let (before, rest) = page.text.split_once(&begin).unwrap_or_else(|| panic!("{begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{end}"));
    format!("{before}{begin}\n{list}\n{end}{after}")
}

/// A line of a table.
fn row(cells: &[&str]) -> String {
    let cells = cells.iter().map(|cell| in_cell(cell));
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

/// Text in one line, without what would end a cell.
fn in_cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// A setting, as the help of a command shows it.
struct Setting {
    heading: String,
    name: String,
    flag: String,
    meaning: String,
    default: String,
    /// Whether a file may have it, which the variable `NAME_FILE` names.
    may_be_in_file: bool,
}

/// Returns the settings of all commands in tables, each setting once.
fn settings(help: &BTreeMap<String, String>) -> String {
    let mut headings = Vec::<String>::new();
    let mut known = Vec::<(Setting, Vec<String>)>::new();
    let order = std::iter::once(String::new()).chain(commands_in(&help[""]));
    for command in order {
        let shown = if command.is_empty() { "`coatcheck`".to_owned() } else { format!("`{command}`") };
        for mut setting in settings_in(&help[&*command]) {
            if setting.heading == "Options" {
                setting.heading = format!("Of {shown}");
            }
            match known.iter_mut().find(|(known, _)| known.name == setting.name) {
                Some((_, commands)) => commands.push(shown.clone()),
                None => {
                    if !headings.contains(&setting.heading) {
                        headings.push(setting.heading.clone());
                    }
                    known.push((setting, vec![shown.clone()]));
                }
            }
        }
    }
    let mut text = String::new();
    for heading in headings {
        write!(text, "### {heading}\n\n| setting | meaning | default | used by |\n|---|---|---|---|\n")
            .unwrap();
        for (setting, commands) in known.iter().filter(|(setting, _)| setting.heading == heading) {
            let Setting { name, flag, meaning, default, may_be_in_file, .. } = setting;
            let mut shown = format!("`{name}`");
            if *flag != format!("--{}", name.to_lowercase().replace('_', "-")) {
                write!(shown, " (`{flag}`)").unwrap();
            }
            if *may_be_in_file {
                shown.push_str(" *or a file*");
            }
            text.push_str(&row(&[&shown, meaning, default, &commands.join(", ")]));
        }
        text.push('\n');
    }
    text.trim_end().to_owned() + "\n"
}

/// Returns what a help says of each option that is a setting.
fn settings_in(help: &str) -> Vec<Setting> {
    let (mut settings, mut heading) = (Vec::new(), String::new());
    let mut lines = help.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_suffix(':').filter(|name| !name.starts_with(' ')) {
            name.clone_into(&mut heading);
        }
        let option = line.trim_start().trim_start_matches("-h, ").trim_start_matches("-V, ");
        if !line.starts_with("  ") || !option.starts_with("--") {
            continue;
        }
        let flag = option.split([' ', '[', '=']).next().unwrap().to_owned();
        let mut about = String::new();
        while let Some(line) = lines.next_if(|line| line.is_empty() || line.starts_with("          ")) {
            write!(about, "{} ", line.trim()).unwrap();
        }
        let told = |begin: &str| Some(about.split_once(begin)?.1.split_once(']')?.0.to_owned());
        let Some(variable) = told("[env: ") else { continue };
        let meaning = about.split(" [").next().unwrap();
        let (meaning, values) = meaning.split_once(" Possible values: ").unwrap_or((meaning, ""));
        let listed = values.split("- ").filter_map(|value| Some(value.split_once(": ")?.0.to_owned()));
        let values: Vec<String> = match told("[possible values: ") {
            Some(values) => values.split(", ").map(|value| format!("`{value}`")).collect(),
            None => listed.map(|value| format!("`{value}`")).collect(),
        };
        let values = if values.is_empty() { String::new() } else { format!(" ({})", values.join(" or ")) };
        settings.push(Setting {
            heading: heading.clone(),
            name: variable.split('=').next().unwrap().to_owned(),
            flag,
            meaning: format!("{}{values}", meaning.trim()),
            default: told("[default: ").map(|default| format!("`{default}`")).unwrap_or_default(),
            may_be_in_file: !variable.contains('='),
        });
    }
    settings
}

/// Returns the help of each command, without the settings that have tables of their own.
async fn command_line() -> String {
    let whole = help().await;
    let of_tables: BTreeSet<String> =
        whole.values().flat_map(|help| settings_in(help)).map(|setting| setting.heading).collect();
    let mut text = String::new();
    for command in std::iter::once(String::new()).chain(commands_in(&whole[""])) {
        let name = format!("coatcheck {command}");
        write!(text, "## {}\n\n{}", name.trim(), shown(&whole[&*command], &of_tables)).unwrap();
        for below in commands_in(&whole[&*command]).iter().filter(|_| !command.is_empty()) {
            let help = help_of(&[&command, below]).await;
            write!(text, "### {name} {below}\n\n{}", shown(&help, &of_tables)).unwrap();
        }
    }
    text.trim_end().to_owned() + "\n"
}

/// Returns a help in a block, without the sections of settings.
fn shown(help: &str, of_tables: &BTreeSet<String>) -> String {
    let mut text = String::new();
    let mut is_shown = true;
    for line in help.lines() {
        if !line.starts_with(' ') && !line.is_empty() {
            let heading = line.strip_suffix(':').unwrap_or_default();
            is_shown = heading == "Options" || !of_tables.contains(heading);
        }
        if is_shown {
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    format!("```text\n{}\n```\n\n", text.trim_end())
}

/// Returns each call that OpenAPI describes, by its tag.
fn calls(description: &Value) -> String {
    let text_of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let tags = description["tags"].as_array().unwrap();
    for (path, item) in description["paths"].as_object().unwrap() {
        for call in item.as_object().unwrap().values() {
            assert!(
                tags.iter().any(|tag| tag["name"] == call["tags"][0]),
                "{path} has no tag that is described"
            );
        }
    }
    let mut text = String::new();
    for tag in tags {
        let name = &tag["name"];
        write!(text, "## {}\n\n{}.\n\n", text_of(name), text_of(&tag["description"])).unwrap();
        for (path, item) in description["paths"].as_object().unwrap() {
            for (method, call) in
                item.as_object().unwrap().iter().filter(|(_, call)| call["tags"][0] == *name)
            {
                let (summary, more) = (text_of(&call["summary"]), in_cell(&text_of(&call["description"])));
                let end = if summary.ends_with('?') { "" } else { "." };
                write!(text, "### `{} {path}`\n\n{summary}{end}\n", method.to_uppercase()).unwrap();
                if !more.is_empty() {
                    writeln!(text, "{more}").unwrap();
                }
                if let Some(content) = call["requestBody"]["content"].as_object() {
                    let types: Vec<String> =
                        content.keys().map(|media_type| format!("`{media_type}`")).collect();
                    write!(text, "\nBody: {}.\n", types.join(" or ")).unwrap();
                }
                let parameters: Vec<&Value> = call["parameters"].as_array().into_iter().flatten().collect();
                if !parameters.is_empty() {
                    text.push_str("\n| parameter | in | meaning |\n|---|---|---|\n");
                }
                for parameter in parameters {
                    let name = format!("`{}`", text_of(&parameter["name"]));
                    text.push_str(&row(&[&name, &text_of(&parameter["in"]), &with_bounds(parameter)]));
                }
                text.push_str("\n| status | answer |\n|---|---|\n");
                for (status, answer) in call["responses"].as_object().unwrap() {
                    text.push_str(&row(&[status, &text_of(&answer["description"])]));
                }
                text.push('\n');
            }
        }
    }
    text.trim_end().to_owned() + "\n"
}

/// Returns what a parameter means, with its least, its most and its default value where these are described.
fn with_bounds(parameter: &Value) -> String {
    let (schema, mut text) =
        (&parameter["schema"], parameter["description"].as_str().unwrap_or_default().to_owned());
    if let (Some(least), Some(most)) = (schema.get("minimum"), schema.get("maximum")) {
        write!(text, "; {least} to {most}").unwrap();
    }
    if let Some(default) = schema.get("default") {
        write!(text, "; default {default}").unwrap();
    }
    text
}

/// Returns each code that OpenAPI's answers have, by its status.
fn codes(description: &Value) -> String {
    let mut codes = BTreeSet::new();
    let items = description["paths"].as_object().unwrap().values().filter_map(Value::as_object);
    for call in items.flat_map(|item| item.values()) {
        let answers = call["responses"].as_object().unwrap().values();
        let examples = answers
            .filter_map(|answer| answer["content"]["application/problem+json"]["examples"].as_object());
        for (code, example) in examples.flatten() {
            codes.insert((example["value"]["status"].as_u64(), code.as_str(), example["summary"].as_str()));
        }
    }
    let mut text = "| status | code | means |\n|---|---|---|\n".to_owned();
    for (status, code, title) in codes {
        let (status, title) = (status.unwrap().to_string(), title.unwrap());
        text.push_str(&row(&[&status, &format!("`{code}`"), title]));
    }
    text
}

/// Returns each metric that a process tells once it has done work of each kind.
async fn metrics(stack: &Arc<Stack>) -> String {
    let token = stack.admin("root").await;
    let message = as_bearer(stack.request(Method::POST, "/api/v1/messages"), &token);
    let message = ask(message.body(json!({"text": "Good morning"}).to_string())).await.unwrap();
    let table = stack.request(Method::POST, "/api/v1/tables");
    let part = reqwest::multipart::Part::text("userId,title,body\n1,a,b\n").file_name("a.csv");
    let table = ask(table.multipart(reqwest::multipart::Form::new().part("file", part))).await.unwrap();
    assert_eq!(stack.post_json("/api/data", &json!({"log": "127.0.0.1 GET / 200"})).await.status, 201);
    let ids = [message, table].map(|answer| answer.json()["id"].as_str().unwrap().to_owned());
    for id in ids.iter().chain([&stack.put("abc").await]) {
        stack.until(id, "succeeded").await;
    }
    let known: BTreeSet<String> = METRICS.iter().flat_map(|path| names_in(path)).collect();
    assert!(known.len() > 20, "{known:?}");
    let told = eventually("all metrics", async || {
        let told = stack.get("/metrics").await.text().to_owned();
        let missing: Vec<_> =
            known.iter().filter(|name| !told.contains(&format!("# TYPE {name} "))).collect();
        if missing.is_empty() { Ok(told) } else { Err(format!("{missing:?}")) }
    })
    .await;

    let mut text = "| metric | type | labels | is |\n|---|---|---|---|\n".to_owned();
    for name in &known {
        let about = |what: &str| {
            let begin = format!("# {what} {name} ");
            told.lines().find_map(|line| line.strip_prefix(&*begin)).unwrap_or_default().to_owned()
        };
        let labels: BTreeSet<&str> = told
            .lines()
            .filter_map(|line| labels_of(line, name))
            .flat_map(|labels| labels.split(','))
            .filter_map(|label| Some(label.split_once('=')?.0))
            .filter(|label| *label != "le")
            .collect();
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        text.push_str(&row(&[&format!("`{name}`"), &about("TYPE"), &labels.join(", "), &about("HELP")]));
    }
    text
}

/// Returns the labels of a series, if it is that metric's.
fn labels_of<'a>(series: &'a str, metric: &str) -> Option<&'a str> {
    let rest = series.strip_prefix(metric)?;
    let labels = rest.strip_prefix("_bucket").unwrap_or(rest).strip_prefix('{')?;
    Some(labels.split_once('}')?.0)
}

/// Returns the metrics that one of our files names.
fn names_in(path: &str) -> BTreeSet<String> {
    let text = Page::read(path).text;
    let names = text.split('"').filter(|word| {
        (word.starts_with("coatcheck_") || word.starts_with("process_")) && !word.contains(' ')
    });
    names.map(str::to_owned).collect()
}
