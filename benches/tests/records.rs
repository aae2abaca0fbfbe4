//! `bench records` goes through and leaves its sections; how fast anything is does not matter here.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn a_small_log_is_measured() {
    let bench = Path::new(env!("CARGO_BIN_EXE_bench"));
    assert!(bench.with_file_name("coatcheck").exists(), "`cargo build` makes it, or a test of the workspace");
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("RESULTS.md");

    for parts in [&["intake", "stream", "cursor"][..], &["stream"]] {
        let mut command = Command::new(bench);
        command.args(["records", "--stack", "embedded", "--records", "2000", "--repeat", "1", "--results"]);
        let output = command.arg(&results).args(parts).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    let page = fs::read_to_string(&results).unwrap();
    let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let expected =
        ["records: bulk intake", "records: all of them as a stream", "records: what came after the last one"];
    assert_eq!(headings, expected);
    assert_eq!(page.matches("| embedded (SQLite) | ").count(), 3, "{page}");
}
