//! Retention of records: old ones are deleted, and a client whose last record is gone is told so.

use std::fs;

use rstest_reuse::apply;
use serde_json::Value;
use test_kit::eventually;

use crate::kit::stack::{Setup, Stack, both_stacks};
use crate::records::export::{Exporter, lines_of};

impl Stack {
    async fn until_no_records(&self) {
        eventually("no record is left", async || {
            let records = self.get("/api/data").await.json();
            if records == Value::Array(Vec::new()) { Ok(()) } else { Err(records) }
        })
        .await;
    }
}

#[apply(both_stacks)]
async fn old_records_are_deleted_and_a_reader_that_was_behind_is_told(setup: Setup) {
    let stack = setup.start(&[("KEEP_RECORDS", "1s")]).await;
    assert_eq!(stack.get("/readyz").await.json()["retention"]["records"], 1.0);
    let unknown = "6b3f0d0e-6f0b-4c36-8d1c-2f1c4a1b7a10";
    stack.get(&format!("/api/data?id={unknown}")).await.problem(404, "record-not-found");
    let added = stack.add_record("192.0.2.1 GET /old 200").await;
    let id = added["id"].as_str().unwrap();

    stack.until_no_records().await;

    let problem = stack.get(&format!("/api/data?id={id}")).await.problem(410, "record-expired");
    assert!(problem.get("oldest").is_none(), "{problem}");
    stack.kill();
    stack.start_with(&[("KEEP_RECORDS", "forever")]).await;
    let kept = stack.add_record("192.0.2.1 GET /new 200").await;
    let problem = stack.get(&format!("/api/data?id={id}")).await.problem(410, "record-expired");
    assert_eq!(problem["oldest"], kept["id"]);
    let records = stack.get("/api/data").await.json();
    assert_eq!((records.as_array().unwrap().len(), &records[0]["id"]), (1, &problem["oldest"]));
}

#[apply(both_stacks)]
async fn an_exporter_that_lacks_deleted_records_ends_unless_it_is_told_to_go_on(setup: Setup) {
    let stack = setup.start(&[("KEEP_RECORDS", "forever")]).await;
    let target = stack.folder().join("exported/access.log");
    stack.add_record("192.0.2.1 GET /first 200").await;
    let exporter = Exporter::start(&stack, &target, &[]);
    let first = lines_of(&target, 1).await;
    exporter.program.kill();
    stack.kill();
    stack.start_with(&[("KEEP_RECORDS", "1s")]).await;
    stack.until_no_records().await;
    stack.kill();
    stack.start_with(&[("KEEP_RECORDS", "forever")]).await;
    stack.add_record("192.0.2.1 GET /second 200").await;

    let mut stops = Exporter::start(&stack, &target, &[]);
    let status = eventually("its end", async || stops.program.exit_status().ok_or("it runs")).await;

    assert_eq!(status.code(), Some(1), "{}", stops.told());
    assert!(stops.told().contains("--from-oldest"), "{}", stops.told());
    assert_eq!(fs::read_to_string(&target).unwrap().lines().count(), 1);
    let goes_on = Exporter::start_with(&stack, &target, &["--from-oldest"]);
    let lines = lines_of(&target, 2).await;
    assert_eq!(lines[..1], first[..]);
    assert!(lines[1].ends_with("192.0.2.1 GET /second 200"), "{lines:?}");
    stack.add_record("192.0.2.1 GET /third 200").await;
    lines_of(&target, 3).await;
    drop(goes_on);
}
