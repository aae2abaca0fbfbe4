//! The outcome log as a reader finds it: the file, and those that it was renamed to.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use test_kit::eventually;

use crate::kit::stack::Stack;

impl Stack {
    /// Returns the path of the log.
    pub fn log(&self) -> PathBuf {
        self.data("outcomes.log")
    }

    /// Returns all lines of the log and its siblings, in no particular order of files. Text after the last newline of a file counts as a
    /// line.
    pub fn all_log_lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for file in fs::read_dir(self.data("")).unwrap() {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            if name.starts_with("outcomes.log") && name != "outcomes.log.lock" && file.path().is_file() {
                let text = fs::read(file.path()).unwrap();
                lines.extend(String::from_utf8_lossy(&text).split_terminator('\n').map(str::to_owned));
            }
        }
        lines
    }

    /// Returns the lines about a task, as soon as there is one.
    pub async fn log_lines(&self, id: &str) -> Vec<String> {
        eventually(&format!("a line of task {id}"), async || {
            let all = self.all_log_lines();
            let own: Vec<String> = all.iter().filter(|line| line.contains(id)).cloned().collect();
            if own.is_empty() { Err(all) } else { Ok(own) }
        })
        .await
    }

    /// Waits until all tasks have ended and their lines are written. Then checks that each has exactly one line, whole and right, and that
    /// the log has no others but the `foreign` ones. Returns all tasks.
    pub async fn each_task_has_one_line(&self, foreign: &[&str]) -> Vec<Value> {
        let tasks = self.each_has_ended().await;
        for task in &tasks {
            self.log_lines(task["id"].as_str().unwrap()).await;
        }

        // A surplus line may come late, but not after the line of a task that is handed in only now.
        let last = self.put("the last one").await;
        self.until(&last, "succeeded").await;
        self.log_lines(&last).await;
        let tasks = self.tasks("limit=1000").await;

        let mut expected: Vec<String> =
            tasks.iter().map(line).chain(foreign.iter().map(|line| (*line).to_owned())).collect();
        let mut found = self.all_log_lines();
        expected.sort();
        found.sort();
        let lost: Vec<_> = expected.iter().filter(|line| found.binary_search(line).is_err()).collect();
        let surplus: Vec<_> = found.chunk_by(|a, b| a == b).filter(|same| same.len() > 1).collect();
        let strange: Vec<_> = found.iter().filter(|line| expected.binary_search(line).is_err()).collect();
        assert!(expected == found, "lost {lost:#?}\nmore than once {surplus:#?}\nnobody's {strange:#?}");
        tasks
    }

    async fn each_has_ended(&self) -> Vec<Value> {
        eventually("the end of every task", async || {
            let tasks = self.tasks("limit=1000").await;
            let open: Vec<Value> = tasks.iter().filter(|task| task["finished"].is_null()).cloned().collect();
            if open.is_empty() { Ok(tasks) } else { Err(open) }
        })
        .await
    }
}

/// Returns the line that an ended task must have.
pub fn line(task: &Value) -> String {
    let word = |field: &str| task[field].as_str().unwrap_or_else(|| panic!("{field} of {task}"));
    let detail = match word("status") {
        "succeeded" if task["kind"] == "bulk" => format!("affected={}", task["result"]["affected"]),
        "succeeded" if task["kind"] == "message" => task["result"]["provider"].as_str().unwrap().to_owned(),
        "succeeded" if task["kind"] == "table" => {
            format!("rows={} failed={}", task["result"]["rows"], task["result"]["failed"])
        }
        "succeeded" => task["result"]["md5"].as_str().unwrap().to_owned(),
        "failed" => task["error"]["code"].as_str().unwrap().to_owned(),
        _ => "-".to_owned(),
    };
    format!("{} {} {} {} {detail}", word("finished"), word("id"), word("kind"), word("status"))
}
