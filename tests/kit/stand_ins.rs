//! `coatcheck providers` for one test, which tells it how to behave and asks it for what it has received.

use std::fs;

use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tempfile::TempDir;
use test_kit::eventually;

use crate::kit::client::{Answer, ask};
use crate::kit::program::{Program, coatcheck, stderr_of};
use crate::kit::stack::own_host;

/// The name of each, the setting with its address to listen on, and the setting that names it to a stack.
const PROVIDERS: [(&str, &str, &str); 3] = [
    ("free", "FREE_LISTEN", "FREE_URL"),
    ("paid", "PAID_LISTEN", "PAID_URL"),
    ("third-party", "THIRD_PARTY_LISTEN", "THIRD_PARTY_URL"),
];

/// Stand-ins for the outside services, or for one of them. They end when this is dropped.
pub struct StandIns {
    pub program: Program,
    /// The name and base URL of each, in the order of the program's output.
    urls: Vec<(String, String)>,
    http: reqwest::Client,
    _folder: TempDir,
}

impl StandIns {
    /// Starts all three with these settings.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_as(&["providers"], settings).await
    }

    /// Starts those that the command line names.
    pub async fn start_as(arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let folder = TempDir::with_prefix("coatcheck-test-").unwrap();
        let mut command = coatcheck(folder.path(), arguments);
        let listen = format!("{}:0", own_host());
        command.envs(PROVIDERS.map(|(_, setting, _)| (setting, &listen))).envs(settings.iter().copied());
        let mut program = Program::start(command, folder.path());
        let expected = if arguments.len() > 1 { 1 } else { PROVIDERS.len() };
        let urls = eventually("the lines with the addresses", async || {
            let told = || fs::read_to_string(stderr_of(folder.path())).unwrap();
            assert!(program.exit_status().is_none(), "the program ended at once: {}", told());
            let printed = fs::read_to_string(folder.path().join("stdout")).unwrap();
            let urls: Vec<_> = printed.split_inclusive('\n').filter_map(url).collect();
            if urls.len() == expected { Ok(urls) } else { Err(printed) }
        })
        .await;
        // Their first page is one of Swagger UI's.
        let http = crate::kit::client::http().redirect(reqwest::redirect::Policy::default()).build().unwrap();
        Self { program, urls, http, _folder: folder }
    }

    /// Returns the names of those that run, in the order of the program's output.
    pub fn names(&self) -> Vec<&str> {
        self.urls.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Returns the settings of a stack that uses these.
    pub fn urls(&self) -> Vec<(&'static str, &str)> {
        let those = |(name, _, setting): &(&str, _, &'static str)| {
            Some((*setting, self.urls.iter().find(|(known, _)| known == name)?.1.as_str()))
        };
        PROVIDERS.iter().filter_map(those).collect()
    }

    /// Returns a request to one of them.
    pub fn request(&self, provider: &str, method: Method, path: &str) -> RequestBuilder {
        let url = self.urls.iter().find(|(name, _)| name == provider);
        self.http.request(method, format!("{}{path}", url.expect("no such provider").1))
    }

    pub async fn get(&self, provider: &str, path: &str) -> Answer {
        ask(self.request(provider, Method::GET, path)).await.unwrap()
    }

    /// Returns the counts of one of them.
    pub async fn stats(&self, provider: &str) -> Value {
        self.found(provider, "/stats").await
    }

    /// Returns the requests to one of them, in order.
    pub async fn arrivals(&self, provider: &str) -> Vec<Value> {
        let arrivals = self.found(provider, "/stats/arrivals").await;
        arrivals.as_array().expect("a list of arrivals").clone()
    }

    /// Tells one of them how to behave from the next request on; omitted values stay as they are.
    pub async fn control(&self, provider: &str, change: &Value) {
        let answer = ask(self.request(provider, Method::PUT, "/control").json(change)).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    async fn found(&self, provider: &str, path: &str) -> Value {
        let answer = self.get(provider, path).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }
}

/// Returns the name and the base URL in `coatcheck: NAME provider http://HOST:PORT/ · API http://HOST:PORT/docs`.
fn url(line: &str) -> Option<(String, String)> {
    let (name, addresses) = line.strip_suffix('\n')?.strip_prefix("coatcheck: ")?.split_once(" provider ")?;
    let (url, docs) = addresses.split_once("/ · API ")?;
    (docs == format!("{url}/docs")).then(|| (name.to_owned(), url.to_owned()))
}
