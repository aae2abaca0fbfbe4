//! An answer is given only after its commit: a failed commit is an error of each method that writes, and leaves nothing.

use std::time::Duration;

use access_log::Records;
use test_kit::Late;

use crate::records::new_records;

/// The methods that only read. Every other one of the port must be tried here.
const READS: [&str; 6] =
    ["count_records", "oldest_record", "pruned_place", "record_place", "record_span", "records"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_fails_is_an_error_of_each_method_that_writes() {
    let mut late = Late::new().await;

    let records = new_records(&["127.0.0.1 GET / 200", "::1 GET / 200"]);
    late.writes("append_records", async |store| store.append_records(records.clone()).await).await;

    late.writes("prune_records", async |store| store.prune_records(Duration::ZERO, 10).await).await;

    late.has_tried_all_but(&READS, &["crates/access-log/src/store"]);
}
