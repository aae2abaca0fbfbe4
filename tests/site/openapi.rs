//! `/openapi.json` is true to its word: valid, with valid examples, and a client that is generated from it works.

use rstest_reuse::apply;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kit::stack::{Setup, both_stacks};

/// The Python packages of `tests/openapi/check.py`.
const REQUIREMENTS: &str = include_str!("../openapi/requirements.txt");

#[apply(both_stacks)]
async fn a_client_that_is_generated_from_the_description_hands_in_and_redeems(setup: Setup) {
    let stack = setup.start(&[]).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/openapi/check.py");
    let mut check = Command::new(python().await);
    check.arg(script).arg(stack.url("")).arg(stack.folder().join("client"));

    succeeded(check).await;
}

/// A Python of its own with the requirements, made once.
async fn python() -> PathBuf {
    static MAKING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _one_at_a_time = MAKING.lock().await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("openapi");
    let (python, made_of) = (folder.join("bin/python"), folder.join("requirements.txt"));
    if fs::read_to_string(&made_of).is_ok_and(|requirements| requirements == REQUIREMENTS) {
        return python;
    }
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&folder);
    succeeded(venv).await;
    let wanted = folder.join("wanted.txt");
    fs::write(&wanted, REQUIREMENTS).unwrap();
    let mut install = Command::new(&python);
    install
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(&wanted);
    succeeded(install).await;
    fs::rename(wanted, made_of).unwrap();
    python
}

async fn succeeded(mut command: Command) {
    let told = format!("{command:?}");
    // Without a deadline: a download takes as long as it does, and the installer has its own.
    let done = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{told}\n{out}\n{err}");
}
