//! Checks that `bench` can measure promises and writes its sections and pictures; speed does not matter here.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn a_few_promises_are_measured() {
    let bench = Path::new(env!("CARGO_BIN_EXE_bench"));
    assert!(bench.with_file_name("coatcheck").exists(), "`cargo build` makes it, or a test of the workspace");
    let folder = tempfile::tempdir().unwrap();
    let (results, plots) = (folder.path().join("RESULTS.md"), folder.path().join("plots"));

    for arguments in [
        &["promises", "rates", "folders", "--stack", "embedded", "--seconds", "1", "--files", "100"][..],
        &["uploads", "--mib", "8", "--seconds", "1"],
        &["latency", "--stack", "embedded", "--requests", "20"],
    ] {
        let mut command = Command::new(bench);
        command.args(arguments).args(["--repeat", "1"]).arg("--results").arg(&results);
        let output = command.arg("--plots").arg(&plots).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    let page = fs::read_to_string(&results).unwrap();
    let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let expected = [
        "promises: a second, and what one costs",
        "promises: in a fresh folder and in a used one",
        "uploads: a large one, beside bare handlers",
        "uploads: many of 1 MiB, beside a bare handler",
        "latency: a small file, beside fdatasync",
    ];
    assert_eq!(headings, expected);
    assert_eq!(page.matches(" | 0, 0, 0 |\n").count(), 3, "lost, doubled or wrong: {page}");
    for picture in ["promises.svg", "latency.svg"] {
        assert!(fs::read_to_string(plots.join(picture)).unwrap().contains("</svg>"), "{picture}");
    }
}

#[test]
fn a_peer_is_known_whole_or_not_at_all() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    let output = command.args(["promises", "--peer-url", "http://127.0.0.1:1/files"]).output().unwrap();

    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("expected all three or none"));
}
