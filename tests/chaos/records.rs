//! Records beside the uploads: each line that was answered with 201 is in the access log, exactly once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::load::{Shared, ask, shown};
use crate::kit::content::Dice;
use crate::kit::stack::Stack;

/// The most lines of one request.
const BULK: u64 = 300;

/// Sends lines, one or many at a time, each with a URI of its own, and remembers which of them the server confirmed.
pub async fn send(shared: Arc<Shared>, mut dice: Dice, client: u64) {
    let mut lines = 0;
    while !shared.is_over() {
        let count = if dice.below(2) == 0 { 1 } else { 1 + dice.below(BULK) };
        let uris: Vec<String> =
            (lines..lines + count).map(|line| format!("/chaos/{client}/{line}")).collect();
        lines += count;
        let line = |uri: &String| format!("192.0.2.1 GET {uri} 200");
        let http = &shared.stack.http;
        let request = match &uris[..] {
            [uri] => {
                http.post(shared.url(&mut dice, "/api/data")).body(json!({"log": line(uri)}).to_string())
            }
            uris => http
                .post(shared.url(&mut dice, "/api/data/bulk"))
                .header("Content-Type", "text/plain")
                .body(uris.iter().map(|uri| line(uri) + "\n").collect::<String>()),
        };
        let answer = ask(request).await;
        let is_kept = answer.as_ref().is_some_and(|answer| answer.status == 201);
        if let Some(answer) = answer.filter(|answer| !matches!(answer.status, 201 | 408 | 503 | 507)) {
            shared.wrong(format!("{count} records were answered {}", shown(&answer)));
        }
        shared.records.lock().unwrap().extend(uris.into_iter().map(|uri| (uri, is_kept)));
        sleep(Duration::from_millis(dice.below(100))).await;
    }
}

/// The differences between the records and the answers.
#[derive(Default)]
pub struct Compared {
    pub kept: usize,
    pub lost: Vec<String>,
    pub doubled: Vec<String>,
    pub wrong: Vec<String>,
}

/// Compares the sent lines, and whether they are known to be kept, with the records.
pub fn compare(stack: &Stack, sent: &HashMap<String, bool>) -> Compared {
    let mut compared =
        Compared { kept: sent.values().filter(|is_kept| **is_kept).count(), ..Default::default() };
    let mut found = HashSet::new();
    for row in stack.sql("SELECT uri, count(*) FROM records GROUP BY uri").lines() {
        let (uri, count) = row.split_once('|').expect("a URI and a number");
        match (sent.contains_key(uri), count) {
            (false, _) => compared.wrong.push(format!("nobody's record {uri}")),
            (true, "1") => {}
            (true, _) => compared.doubled.push(format!("{count} times the record {uri}")),
        }
        found.insert(uri.to_owned());
    }
    let lost = sent.iter().filter(|(uri, is_kept)| **is_kept && !found.contains(*uri));
    compared.lost.extend(lost.map(|(uri, _)| format!("the record {uri}")));
    compared
}
