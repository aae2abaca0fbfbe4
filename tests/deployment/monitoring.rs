//! The alerts and the dashboard, with Prometheus itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use test_kit::eventually;

use crate::kit::client::{ask, http};
use crate::kit::program::{Program, output};
use crate::kit::stack::{Running, Stack};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

#[tokio::test]
async fn each_alert_fires_in_its_trouble_and_not_without() {
    let mut command = Command::new("promtool");
    command.args(["test", "rules", "tests/deployment/alerts.test.yml"]).current_dir(root());

    let done = output(command).await;

    let told = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(done.status.success(), "{told}");
    let named = |path: &str, begin: &str| -> BTreeSet<String> {
        let text = fs::read_to_string(root().join(path)).unwrap();
        text.lines().filter_map(|line| line.trim().strip_prefix(begin)).map(str::to_owned).collect()
    };
    let fired = named("tests/deployment/alerts.test.yml", "alertname: ");
    assert_eq!(named("deployment/alerts.yml", "- alert: "), fired);
}

/// A Prometheus that asks a service each second.
struct Prometheus {
    _program: Program,
    folder: TempDir,
    address: String,
}

impl Prometheus {
    fn of(target: &str) -> Self {
        let folder = TempDir::with_prefix("coatcheck-test-").unwrap();
        let config = format!(
            "global: {{ scrape_interval: 1s }}\nscrape_configs: [{{ job_name: coatcheck, static_configs: [{{ targets: ['{target}'] }}] }}]\n"
        );
        fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new("prometheus");
        command
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder.path());
        let program = Program::start(command, folder.path());
        Self { _program: program, folder, address }
    }

    /// Waits until a query has a result.
    async fn finds(&self, query: &str) {
        eventually(query, async || {
            let request = http().build().unwrap().get(format!("http://{}/api/v1/query", self.address));
            let Ok(answer) = ask(request.query(&[("query", query)])).await else {
                let told = fs::read_to_string(crate::kit::program::stderr_of(self.folder.path()));
                return Err(told.unwrap_or_default());
            };
            if answer.status == 503 {
                return Err(answer.text().to_owned());
            }
            let answer = answer.json();
            assert_eq!(answer["status"], "success", "{query}: {answer}");
            let is_found = answer["data"]["result"].as_array().is_some_and(|result| !result.is_empty());
            if is_found { Ok(()) } else { Err(answer.to_string()) }
        })
        .await;
    }
}

#[tokio::test]
async fn every_query_of_the_dashboard_finds_something_in_the_metrics_of_a_running_service() {
    let stack = Running::of(Stack::embedded(&[])).await;
    let id = stack.put("abc").await;
    stack.until(&id, "succeeded").await;
    let prometheus = Prometheus::of(&stack.address());
    let dashboard = fs::read_to_string(root().join("deployment/grafana/coatcheck.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 10, "{panels:?}");

    for target in panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()) {
        let query = target["expr"].as_str().unwrap().replace("$__rate_interval", "1m");
        prometheus.finds(&query).await;
    }
}
