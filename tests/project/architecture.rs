//! Checks what the architecture forbids: arrows between crates, and libraries outside of their places.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::kit::program::{coatcheck, output};

/// Which of our crates may know which others of ours. An arrow that is not here should not be.
const ARROWS: [(&str, &[&str]); 17] = [
    ("benches", &["client", "md5-lanes"]),
    ("client", &["program"]),
    ("md5-lanes", &[]),
    ("model", &[]),
    ("powercut", &["client"]),
    ("limits", &[]),
    ("shared-log", &[]),
    ("program", &[]),
    ("test-kit", &["database"]),
    ("providers", &["program"]),
    ("database", &["program", "shared-log"]),
    ("accounts", &["database", "program"]),
    ("access-log", &["database", "program"]),
    ("task-data", &["database", "limits", "program", "shared-log"]),
    ("api", &["access-log", "accounts", "database", "limits", "program", "task-data"]),
    ("worker", &["database", "limits", "md5-lanes", "program", "task-data"]),
    (
        "coatcheck",
        &[
            "access-log",
            "accounts",
            "api",
            "client",
            "database",
            "md5-lanes",
            "program",
            "providers",
            "shared-log",
            "task-data",
            "worker",
        ],
    ),
];

/// The crates that tests may use beyond that.
const ARROWS_OF_TESTS: [(&str, &[&str]); 2] =
    [("api", &["client"]), ("task-data", &["access-log", "accounts"])];

/// A library's name in code, and the places where alone it may stand.
const PLACES: [(&str, &[&str]); 10] = [
    ("actix_web", &["api/src/", "crates/providers/src/", "benches/src/uploads/bare.rs"]),
    (
        "diesel",
        &[
            "crates/access-log/src/store/",
            "crates/accounts/src/store/",
            "crates/database/src/",
            "task-data/src/store/",
        ],
    ),
    ("tokio_postgres", &["crates/database/src/postgres/"]),
    // Its `get_result` answers before the commit.
    (
        "AsyncPgConnection",
        &["crates/database/src/postgres/session.rs", "crates/database/src/postgres/target.rs"],
    ),
    // One client of our API, and one of the services that tasks are sent to.
    ("Client::builder()", &["crates/client/src/http.rs", "worker/src/outbound.rs"]),
    ("lapin::", &["task-data/src/queue/amqp.rs"]),
    (
        "redis::",
        &[
            "crates/limits/src/redis.rs",
            "task-data/src/examine.rs",
            "task-data/src/notify/redis.rs",
            "task-data/src/stack.rs",
        ],
    ),
    (
        "clap::Parser",
        &[
            "api/src/main.rs",
            "benches/src/main.rs",
            "worker/src/main.rs",
            "crates/providers/src/main.rs",
            "crates/coatcheck/src/main.rs",
            // Called by the name `md5sum`, it is that program.
            "crates/coatcheck/src/cmd/sum.rs",
            "crates/powercut/src/main.rs",
            "crates/program/src/settings.rs",
        ],
    ),
    (
        "std::env::",
        &[
            "benches/src/main.rs",
            "crates/powercut/src/main.rs",
            "crates/test-kit/src/servers.rs",
            "crates/program/src/settings.rs",
        ],
    ),
    // What another service calls a time of day is compared with one, and with nothing of ours.
    ("SystemTime::now", &["crates/providers/src/stand_in.rs", "crates/program/src/retry_after.rs"]),
];

/// An adapter calls no port but its own.
const PORTS: [&str; 4] = ["store", "queue", "blobs", "notify"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// The folder of a crate of ours.
fn folder(name: &str) -> PathBuf {
    let folders = [root().join(name), root().join("crates").join(name)];
    folders.into_iter().find(|folder| folder.join("Cargo.toml").exists()).unwrap()
}

#[test]
fn no_crate_knows_another_that_it_should_not() {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();

    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeSet<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    assert_eq!(names, ARROWS.iter().map(|(name, _)| *name).collect(), "a crate that has no row here");
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let (_, allowed) = ARROWS.iter().find(|(crate_name, _)| *crate_name == name).unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let other = dependency["name"].as_str().unwrap();
            let of_tests = ARROWS_OF_TESTS.iter().find(|(crate_name, _)| *crate_name == name);
            let is_in_tests = dependency["kind"] == "dev"
                && (other == "test-kit" || of_tests.is_some_and(|(_, others)| others.contains(&other)));
            let is_allowed = allowed.contains(&other) || is_in_tests;
            assert!(!names.contains(other) || is_allowed, "{name} must not know {other}");
        }
    }
}

#[tokio::test]
async fn each_crate_of_the_program_is_a_part_that_log_lines_can_be_chosen_of() {
    let others = ["benches", "model", "powercut", "test-kit"];
    let parts: Vec<String> = ARROWS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !others.contains(name))
        .map(|name| name.replace('-', "_"))
        .collect::<BTreeSet<String>>()
        .into_iter()
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let mut migrate = coatcheck(folder.path(), ["migrate"]);
    migrate.env("RUST_LOG", "unknown=debug");

    let told = output(migrate).await.stderr;

    let told = String::from_utf8(told).unwrap();
    assert!(told.contains(&format!("parts: {}; libraries", parts.join(", "))), "{parts:?}: {told}");
}

#[test]
fn no_library_stands_outside_of_its_place() {
    for (path, code) in sources() {
        for (library, places) in PLACES {
            let is_allowed = places.iter().any(|place| path.starts_with(place));
            assert!(is_allowed || !code.contains(library), "{library} in {}", path.display());
        }
    }
}

#[test]
fn no_adapter_calls_another_port() {
    for (path, code) in sources() {
        for port in PORTS.iter().filter(|port| path.starts_with(format!("task-data/src/{port}"))) {
            for other in PORTS.iter().filter(|other| *other != port) {
                // A queue carries a type of the store, but does not call the store.
                let calls = code.replace("crate::task::Ticket", "");
                assert!(!calls.contains(&format!("crate::{other}")), "{other} in {}", path.display());
            }
        }
    }
}

#[test]
fn each_guarantee_names_tests_that_there_are() {
    let guarantees = fs::read_to_string(root().join("GUARANTEES.md")).unwrap();
    let promises = guarantees.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    let crates = ARROWS.iter().flat_map(|(name, _)| [folder(name).join("src"), folder(name).join("tests")]);
    let texts = texts(crates.chain([root().join("tests")]));
    for promise in promises {
        // The last column; names of tests stand in every second part.
        let tests = promise.trim_end_matches([' ', '|']).rsplit('|').next().unwrap();
        for test in tests.split('`').skip(1).step_by(2) {
            let begins = [format!("fn {test}("), format!("!({test},"), format!("!(\n    {test},")];
            let is_one = |text: &str| begins.iter().any(|begin| text.contains(begin));
            assert!(texts.iter().any(|(_, text)| is_one(text)), "there is no test {test}");
        }
    }
}

/// Each is built before the first ticket, and each has authors to trust.
#[test]
fn the_program_is_built_of_at_most_300_crates() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--package", "coatcheck"])
        .args(["--edges", "normal,build", "--prefix", "none", "--format", "{p}"])
        .current_dir(root())
        .output()
        .unwrap();

    let tree = String::from_utf8(tree.stdout).unwrap();
    let crates: BTreeSet<String> =
        tree.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    assert!((100..=300).contains(&crates.len()), "{}: {crates:#?}", crates.len());
}

/// As `cargo deny` would, which is not on every machine; that one knows the advisories too.
#[test]
fn libraries_are_as_deny_toml_has_them() {
    let rules: Value = toml::from_str(&fs::read_to_string(root().join("deny.toml")).unwrap()).unwrap();
    let texts = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let licences = texts(&rules["licenses"]["allow"]);
    let registries = texts(&rules["sources"]["allow-registry"]);
    let banned: Vec<_> = rules["bans"]["deny"].as_array().unwrap().iter().map(|ban| &ban["name"]).collect();
    // Of this machine alone: what others need may not be here.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--filter-platform", &platform, "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();

    for package in metadata["packages"].as_array().unwrap() {
        let name = &package["name"];
        // `A/B` is how older ones write `A OR B`.
        let licence = package["license"].as_str().unwrap_or_default().replace('/', " OR ");
        let is_allowed =
            |licence: &str| licences.iter().any(|allowed| allowed == licence.trim_matches(['(', ')', ' ']));
        let mut needed = licence.split(" AND ");
        assert!(needed.all(|one_of| one_of.split(" OR ").any(is_allowed)), "{name}: {licence}");
        let source = package["source"].as_str().unwrap_or_default().trim_start_matches("registry+");
        assert!(
            source.is_empty() || registries.iter().any(|registry| registry == source),
            "{name}: {source}"
        );
        assert!(!banned.contains(&name), "{name} is banned");
    }
}

/// Our code without comments and tests, by its path from the root.
fn sources() -> Vec<(PathBuf, String)> {
    let texts = texts(ARROWS.iter().map(|(name, _)| folder(name).join("src")));
    let code = |text: String| {
        let code = text.split("#[cfg(test)]").next().unwrap();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let sources: Vec<_> = texts.into_iter().map(|(path, text)| (path, code(text))).collect();
    assert!(sources.len() > 30, "where are the sources?");
    sources
}

/// All files of these folders that are there, by their paths from the root.
fn texts(folders: impl IntoIterator<Item = PathBuf>) -> Vec<(PathBuf, String)> {
    let mut folders: Vec<PathBuf> = folders.into_iter().filter(|folder| folder.exists()).collect();
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for file in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            if file.is_dir() {
                folders.push(file);
            } else if file.extension().is_some_and(|extension| extension == "rs") {
                let path = file.strip_prefix(root()).unwrap().to_owned();
                texts.push((path, fs::read_to_string(&file).unwrap()));
            }
        }
    }
    texts
}
