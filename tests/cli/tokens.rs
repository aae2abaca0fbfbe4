//! Client commands at a server with AUTH=required: they bring the key of `COATCHECK_TOKEN`.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use reqwest::Method;
use rstest_reuse::apply;
use test_kit::eventually;

use crate::cli::settings::refused;
use crate::kit::content::md5sum;
use crate::kit::program::{Program, output};
use crate::kit::stack::{Setup, Stack, both_stacks};

const REQUIRED: [(&str, &str); 1] = [("AUTH", "required")];

/// Registers a user and returns an API key of theirs.
async fn key(stack: &Arc<Stack>) -> String {
    stack.register("ada").await;
    let token = stack.log_in("ada").await;
    stack.key(&token, "a program").await.1
}

fn with<'a>(mut command: Command, settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Command {
    command.envs(settings);
    command
}

#[apply(both_stacks)]
async fn each_client_command_brings_its_key(setup: Setup) {
    let stack = setup.start(&REQUIRED).await;
    let key = key(&stack).await;
    let token = [("COATCHECK_TOKEN", &*key)];
    fs::write(stack.folder().join("a.txt"), "abc").unwrap();
    fs::write(stack.folder().join("key"), format!("{key}\n")).unwrap();

    let put = output(with(stack.coatcheck(["put", "a.txt"]), token)).await;
    let by_file = output(with(stack.coatcheck(["put", "a.txt"]), [("COATCHECK_TOKEN_FILE", "key")])).await;
    for done in [put, by_file] {
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert_eq!(String::from_utf8(done.stdout).unwrap(), format!("{}  a.txt\n", md5sum(b"abc")));
    }
    let id = stack.ask_as(&key, Method::GET, "/api/v1/tasks?limit=1").await.json();
    let id = id["tasks"][0]["id"].as_str().unwrap();
    assert!(output(with(stack.coatcheck(["get", id]), token)).await.status.success());
    let simulate = ["simulate", "--count", "3", "--threads", "1", "--requests-delay", "0"];
    let simulated = output(with(stack.coatcheck(simulate), token)).await;
    assert!(simulated.status.success(), "{}", String::from_utf8_lossy(&simulated.stderr));
    let export = with(stack.coatcheck(["export", "--target-file", "access.log"]), token);
    let _exporter = Program::start(export, stack.folder());
    eventually("the exported records", async || {
        let exported = fs::read_to_string(stack.folder().join("access.log")).unwrap_or_default();
        if exported.lines().count() == 3 { Ok(()) } else { Err(exported) }
    })
    .await;
}

#[apply(both_stacks)]
async fn a_command_that_brings_none_or_a_wrong_one_says_what_to_set(setup: Setup) {
    let stack = setup.start(&REQUIRED).await;
    let key = key(&stack).await;
    fs::write(stack.folder().join("a.txt"), "abc").unwrap();
    let id = "0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d";
    let wrong = [("COATCHECK_TOKEN", "coatcheck_wrong")];
    for arguments in [
        &["put", "a.txt"][..],
        &["get", id],
        &["ls"],
        &["watch", id],
        &["cancel", id],
        &["simulate", "--count", "1", "--threads", "1"],
        &["export", "--target-file", "access.log"],
    ] {
        for command in [stack.coatcheck(arguments), with(stack.coatcheck(arguments), wrong)] {
            let done = output(command).await;
            let said = String::from_utf8(done.stderr).unwrap();
            assert_eq!(done.status.code(), Some(4), "{arguments:?}: {said}");
            assert!(said.contains("COATCHECK_TOKEN") && !said.contains("wrong"), "{arguments:?}: {said}");
        }
    }
    for (name, value) in [("COATCHECK_TOKEN", "two\nlines"), ("COATCHECK_TOKEN_FILE", "missing")] {
        let done = output(with(stack.coatcheck(["get", id]), [(name, value)])).await;
        refused(&done, "COATCHECK_TOKEN");
    }
    for (token, told) in [
        (None, "wrong COATCHECK_TOKEN: the server requires an API key"),
        (Some("coatcheck_wrong"), "wrong COATCHECK_TOKEN: the server does not know the API key"),
        (Some(&*key), "ok COATCHECK_TOKEN: the server accepts the API key"),
    ] {
        let done =
            output(with(stack.coatcheck(["doctor"]), token.map(|token| ("COATCHECK_TOKEN", token)))).await;
        let report = String::from_utf8(done.stdout).unwrap();
        assert!(report.contains(told) && !report.contains("coatcheck_"), "{report}");
    }
    // Readiness is not a secret.
    assert!(output(stack.coatcheck(["healthcheck"])).await.status.success());
}
