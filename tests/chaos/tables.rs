//! Tables beside the uploads: each ends with all its rows sent, and a row was sent again only if an attempt was lost with its reply.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::load::{Shared, ask, shown};
use super::rig::Rig;
use crate::kit::content::Dice;
use crate::tasks::tables::table;

/// The most rows of a table.
const ROWS: u64 = 60;
/// The most rows of a table under way at once: one more than the rig's RATE.
const UNDER_WAY: i64 = 11;

/// Hands tables in, about as many as the third party can take, and remembers the tickets.
pub async fn hand_in(shared: Arc<Shared>, mut dice: Dice) {
    while !shared.is_over() {
        let rows = 1 + dice.below(ROWS) as usize;
        let file = Part::text(table(rows)).file_name("chaos.csv").mime_str("text/csv").unwrap();
        let request = shared.stack.http.post(shared.url(&mut dice, "/api/v1/tables"));
        match ask(request.multipart(Form::new().part("file", file))).await {
            Some(answer) if answer.status == 202 => {
                let id = answer.json()["id"].as_str().expect("an id").to_owned();
                shared.tables.lock().unwrap().push((id, rows));
            }
            Some(answer) if matches!(answer.status, 408 | 503 | 507) => {}
            Some(answer) => shared.wrong(format!("a table was answered {}", shown(&answer))),
            None => {}
        }
        sleep(Duration::from_millis(4000 + dice.below(4000))).await;
    }
}

/// The differences between the tables and the answers.
#[derive(Default)]
pub struct Compared {
    /// Rows that were sent.
    pub rows: usize,
    /// The number of rows that were sent once more because an attempt was lost.
    pub again: usize,
    pub lost: Vec<String>,
    pub doubled: Vec<String>,
    pub wrong: Vec<String>,
}

/// Compares the tickets with the tasks, and these with the arrivals at the third party. An attempt sends a row once, and once more only if
/// an earlier attempt lost its answer: at most as many rows as were under way when that attempt was ended.
pub async fn compare(rig: &Rig, tasks: &[Value], promised: &[(String, usize)]) -> Compared {
    let mut compared = Compared::default();
    let mut arrivals: HashMap<String, i64> = HashMap::new();
    for arrival in rig.third_party.arrivals("third-party").await {
        *arrivals.entry(arrival["key"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let tables: HashMap<&str, &Value> = tasks
        .iter()
        .filter(|task| task["kind"] == "table")
        .map(|task| (task["id"].as_str().unwrap(), task))
        .collect();
    for (id, rows) in promised {
        match tables.get(id.as_str()) {
            None => compared.lost.push(format!("the table {id}")),
            Some(task) if task["input"]["rows"] != *rows => {
                compared.wrong.push(format!("of {rows} rows: {task}"))
            }
            Some(_) => {}
        }
    }
    for (id, task) in tables {
        let rows = task["input"]["rows"].as_u64().unwrap();
        if task["status"] != "succeeded" || task["result"] != json!({"rows": rows, "failed": 0}) {
            compared.wrong.push(format!("a table became {task}"));
        }
        let lost_attempts = task["attempt"].as_i64().unwrap() - 1;
        let mut again = 0;
        for row in 1..=rows {
            let sent = arrivals.remove(&format!("{id}:{row}")).unwrap_or_default();
            match sent {
                0 => compared.lost.push(format!("row {row} of {task}")),
                _ if sent - 1 > lost_attempts => {
                    compared.doubled.push(format!("{sent} times row {row} of {task}"));
                }
                _ => again += sent - 1,
            }
            compared.rows += 1;
        }
        if again > lost_attempts * UNDER_WAY {
            compared.doubled.push(format!("{again} rows were sent again of {task}"));
        }
        compared.again += again as usize;
    }
    compared.wrong.extend(arrivals.keys().map(|key| format!("nobody's row {key}")));
    compared
}
