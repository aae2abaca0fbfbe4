//! The config file: what it gives, what goes before it, and what is wrong in it; and the servers that it names.

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use nix::pty::{OpenptyResult, openpty};
use serde_json::json;
use tempfile::TempDir;

use crate::cli::settings::refused;
use crate::cli::tickets::server;
use crate::kit::program::{coatcheck, output};

const ID: &str = "0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d";

fn folder_with(config: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("coatcheck.toml"), config).unwrap();
    folder
}

fn secret(folder: &Path, name: &str, content: &str) {
    fs::write(folder.join(name), content).unwrap();
    fs::set_permissions(folder.join(name), Permissions::from_mode(0o600)).unwrap();
}

/// Returns what a command prints.
async fn told(command: Command) -> String {
    let done = output(command).await;
    String::from_utf8(done.stdout).unwrap() + std::str::from_utf8(&done.stderr).unwrap()
}

#[tokio::test]
async fn a_flag_goes_before_a_variable_and_that_before_the_file() {
    let folder = folder_with(
        "min-free-disk = \"900TiB\"\nkeep-uploads = true\nrate = 3\nallowed-hosts = [\"a\", \"b\"]\n",
    );
    for (flag, variable, expected) in [
        (None, None, "900.00 TiB"),
        (None, Some("800TiB"), "800.00 TiB"),
        (Some("--min-free-disk=700TiB"), Some("800TiB"), "700.00 TiB"),
        (Some("--min-free-disk=700TiB"), None, "700.00 TiB"),
    ] {
        let mut command = coatcheck(folder.path(), ["doctor"].into_iter().chain(flag));
        command.envs(variable.map(|value| ("MIN_FREE_DISK", value)));

        let told = told(command).await;

        assert!(told.contains(&format!("MIN_FREE_DISK is {expected}")), "{flag:?} {variable:?}: {told}");
    }
}

#[tokio::test]
async fn the_file_is_the_one_that_is_named_else_that_of_the_folder() {
    let folder = folder_with("min-free-disk = \"900TiB\"");
    fs::write(folder.path().join("a.toml"), "min-free-disk = \"800TiB\"").unwrap();
    fs::write(folder.path().join("b.toml"), "min-free-disk = \"700TiB\"").unwrap();
    for (arguments, variable, expected) in [
        (&["doctor"][..], None, "900.00 TiB"),
        (&["doctor"], Some("a.toml"), "800.00 TiB"),
        (&["doctor"], Some(""), "1.00 GiB"),
        (&["doctor", "--config", "b.toml"], Some("a.toml"), "700.00 TiB"),
        (&["doctor", "--config=b.toml"], None, "700.00 TiB"),
        (&["--config", "b.toml", "doctor"], None, "700.00 TiB"),
        (&["--config=b.toml", "doctor"], None, "700.00 TiB"),
    ] {
        let mut command = coatcheck(folder.path(), arguments);
        command.envs(variable.map(|value| ("COATCHECK_CONFIG", value)));

        let told = told(command).await;

        assert!(told.contains(&format!("MIN_FREE_DISK is {expected}")), "{arguments:?} {variable:?}: {told}");
    }
    refused(
        &output(coatcheck(folder.path(), ["doctor", "--config", "missing"])).await,
        "--config: missing: No such file or directory",
    );
    let mut command = coatcheck(folder.path(), ["doctor"]);
    command.env("COATCHECK_CONFIG", "missing");
    refused(&output(command).await, "COATCHECK_CONFIG: missing: No such file or directory");
}

#[tokio::test]
async fn each_fault_of_the_file_is_told_in_one_line_with_its_place() {
    for (config, expected) in [
        ("# a comment\nlisten = \"nonsense\"", "coatcheck.toml, line 2: listen: expected a host and a port"),
        ("listem = \"127.0.0.1:0\"", "line 1: listem: expected a setting's name, such as listen"),
        ("max_attempts = 3", "line 1: max_attempts: expected a setting's name, such as max-attempts"),
        ("colour = \"red\"", "line 1: colour: expected a setting's name; coatcheck --help lists them"),
        ("outcome-log = 3", "line 1: outcome-log: expected a string, got a number"),
        ("keep-uploads = \"yes\"", "line 1: keep-uploads: expected true or false, got a string"),
        ("max-attempts = true", "line 1: max-attempts: expected a string or a number, got a boolean"),
        ("max-attempts = 0", "line 1: max-attempts: expected a number"),
        ("auth = \"on\"", "line 1: auth: expected off or required, got \"on\""),
        ("listen = [\"127.0.0.1:0\"]", "line 1: listen: expected a string or a number, got an array"),
        (
            "allowed-hosts = [\"a\", 3]",
            "line 1: allowed-hosts: expected an array of strings, got a number in the array",
        ),
        ("trusted-proxies = [\"10.0.0.0/33\"]", "line 1: trusted-proxies: expected"),
        ("lease-seconds = 2026-01-31", "line 1: lease-seconds: expected a string or a number, got a date"),
        ("[worker]\nrate = 3", "line 1: worker: expected a setting's name"),
        ("rate = 3\nrate = 4", "coatcheck.toml, line 2: expected TOML: "),
        ("rate = ", "coatcheck.toml, line 1: expected TOML: "),
        (
            "jwt-secret = \"hunter2\"",
            "line 1: jwt-secret: expected a setting's name, such as jwt-secret-file",
        ),
        (
            "\ndatabase-url = \"postgres://u:hunter2@h/d\"",
            "line 2: database-url: expected a URL without a password; write the whole URL to a file, and name that by database-url-file",
        ),
        ("database-url-file = \"missing\"", "line 1: database-url-file: missing: No such file or directory"),
        ("context = \"a\"", "line 1: context: expected a table such as [context.NAME], got a string"),
        ("[context.a]\nproduction = true", "context.a: expected its url"),
        ("[context.a]\nurl = 3", "line 2: context.a.url: expected a string, got a number"),
        (
            "[context.a]\nurl = \"http://h\"\ntoken_file = \"x\"",
            "line 3: context.a.token_file: expected url, token-file or production, such as token-file",
        ),
    ] {
        let folder = folder_with(config);
        for arguments in [&[][..], &["get", ID], &["migrate"]] {
            let done = output(coatcheck(folder.path(), arguments)).await;

            refused(&done, expected);
            let told = String::from_utf8(done.stderr).unwrap();
            assert!(told.starts_with("coatcheck: coatcheck.toml, line "), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
        // It stands in the way of nothing that has no settings.
        let help = output(coatcheck(folder.path(), ["get", "--help"])).await;
        assert!(help.status.success(), "{config}");
        assert!(
            output(coatcheck(folder.path(), ["sum", "coatcheck.toml"])).await.status.success(),
            "{config}"
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{config}: nothing is made");
    }
}

#[tokio::test]
async fn a_secret_is_in_a_file_that_the_file_names_and_a_variable_goes_before_it() {
    let folder = folder_with("database-url-file = \"secret\"\n");
    secret(folder.path(), "secret", "sqlite:elsewhere/coatcheck.db\n");
    secret(folder.path(), "other-secret", "sqlite:other/coatcheck.db\n");

    for (variable, made) in [
        (None, "elsewhere"),
        (Some(("DATABASE_URL_FILE", "other-secret")), "other"),
        (Some(("DATABASE_URL", "sqlite:third/coatcheck.db")), "third"),
    ] {
        let mut command = coatcheck(folder.path(), ["migrate"]);
        command.envs(variable);
        assert!(output(command).await.status.success());
        assert!(folder.path().join(made).join("coatcheck.db").exists(), "{made}");
    }
    let flag = ["migrate", "--database-url", "sqlite:fourth/coatcheck.db"];
    assert!(output(coatcheck(folder.path(), flag)).await.status.success());
    assert!(folder.path().join("fourth/coatcheck.db").exists());
}

#[tokio::test]
async fn a_file_of_another_user_is_not_read_unless_it_is_named() {
    if !nix::unistd::geteuid().is_root() {
        // Only root can give a file away.
        return;
    }
    let folder = folder_with("rate = 3");
    // Root trusts no other user's file.
    chown(folder.path().join("coatcheck.toml"), Some(65534), None).unwrap();

    refused(
        &output(coatcheck(folder.path(), ["get", ID])).await,
        "coatcheck.toml: the file belongs to another user; if you trust it, name it with --config",
    );
    let named = ["migrate", "--config", "coatcheck.toml"];
    assert!(output(coatcheck(folder.path(), named)).await.status.success());
}

/// Two servers that know each task, their requests, and a folder whose config file names them.
struct Servers {
    folder: TempDir,
    url: String,
    requests: [std::sync::Arc<std::sync::Mutex<Vec<String>>>; 2],
}

impl Servers {
    fn start() -> Self {
        let task = json!({"id": ID, "kind": "md5", "status": "cancelled", "input": {}}).to_string();
        let task_of_other = task.clone();
        let (url, plain) = server(move |_: &str| (200, task.clone()));
        let (production_url, production) = server(move |_: &str| (200, task_of_other.clone()));
        let folder = folder_with(&format!(
            "url = \"{url}\"\ncoatcheck-token-file = \"plain\"\n\n\
             [context.prod]\nurl = \"{production_url}\"\ntoken-file = \"prod\"\nproduction = true\n\n\
             [context.bare]\nurl = \"{url}\"\n"
        ));
        secret(folder.path(), "plain", "plain-key");
        secret(folder.path(), "prod", "prod-key");
        Self { folder, url, requests: [plain, production] }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        coatcheck(self.folder.path(), arguments)
    }

    /// Returns the keys that each server has received, and forgets them.
    fn keys(&self) -> [Vec<String>; 2] {
        let key = |head: String| {
            let line = head.lines().find_map(|line| {
                line.to_lowercase().strip_prefix("authorization: bearer ").map(str::to_owned)
            });
            line.unwrap_or_else(|| "none".to_owned())
        };
        [0, 1].map(|server| self.requests[server].lock().unwrap().drain(..).map(key).collect())
    }
}

#[tokio::test]
async fn a_context_is_a_server_with_a_key_of_its_own_that_no_other_server_gets() {
    let servers = Servers::start();
    let none = Vec::<String>::new;
    let one = |key: &str| vec![key.to_owned()];
    for (arguments, variables, expected) in [
        (&["get", ID][..], &[][..], [one("plain-key"), none()]),
        (&["get", ID], &[("COATCHECK_TOKEN", "mine")], [one("mine"), none()]),
        (&["get", ID, "--context", "prod"], &[], [none(), one("prod-key")]),
        (&["--context=prod", "get", ID], &[("COATCHECK_TOKEN", "mine")], [none(), one("prod-key")]),
        (
            &["get", ID, "--context", "prod"],
            &[("COATCHECK_URL", "http://127.0.0.1:1")],
            [none(), one("prod-key")],
        ),
        (&["get", ID, "--context", "bare"], &[("COATCHECK_TOKEN", "mine")], [one("none"), none()]),
        (&["get", ID], &[("COATCHECK_CONTEXT", "prod")], [none(), one("prod-key")]),
        (&["get", ID, "--context", "bare"], &[("COATCHECK_CONTEXT", "prod")], [one("none"), none()]),
        (&["get", ID, "--url", &servers.url], &[("COATCHECK_CONTEXT", "prod")], [one("plain-key"), none()]),
    ] {
        let mut command = servers.command(arguments);
        command.envs(variables.iter().copied());

        let done = output(command).await;

        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        assert_eq!(servers.keys(), expected, "{arguments:?} {variables:?}");
    }
    for (arguments, variables, expected) in [
        (
            &["get", ID, "--context", "nowhere"][..],
            &[][..],
            "--context: expected a context of coatcheck.toml, which has bare, prod; got \"nowhere\"",
        ),
        (
            &["get", ID, "--context", "prod", "--url", "http://h"],
            &[],
            "--context: --url names a server too; leave one out",
        ),
        (
            &["get", ID],
            &[("COATCHECK_CONTEXT", "prod"), ("COATCHECK_URL", "http://h")],
            "COATCHECK_CONTEXT: COATCHECK_URL names a server too",
        ),
        (
            &["get", ID, "--context", "prod"],
            &[("COATCHECK_CONFIG", "")],
            "--context: expected a config file with [context.prod]",
        ),
    ] {
        let mut command = servers.command(arguments);
        command.envs(variables.iter().copied());

        refused(&output(command).await, expected);
    }
    assert_eq!(servers.keys(), [none(), none()]);
}

#[tokio::test]
async fn a_change_in_production_is_asked_for_on_a_terminal_and_refused_off_it_without_yes() {
    let servers = Servers::start();
    let change = ["cancel", ID, "--context", "prod"];
    fs::write(servers.folder.path().join("file"), "abc").unwrap();
    for arguments in [
        &change[..],
        &["put", "file", "--context", "prod"],
        &["simulate", "--count", "1", "--context", "prod"],
    ] {
        refused(&output(servers.command(arguments)).await, "context prod is production");
    }
    assert_eq!(servers.keys(), [vec![], Vec::<String>::new()]);

    for (answer, status, is_done) in
        [("n\n", 1, false), ("\n", 1, false), ("y\n", 0, true), ("yes\n", 0, true)]
    {
        let OpenptyResult { master, slave } = openpty(None, None).unwrap();
        let mut command = servers.command(&change);
        command.stdin(slave.try_clone().unwrap()).stderr(slave);
        // It waits in the terminal until it is read.
        let mut master = File::from(master);
        master.write_all(answer.as_bytes()).unwrap();

        let done = output(command).await;

        let mut drawn = Vec::new();
        let _ = master.read_to_end(&mut drawn);
        let drawn = String::from_utf8(drawn).unwrap();
        assert!(drawn.contains("context prod is production (http://127.0.0.1:"), "{drawn}");
        assert!(drawn.contains("): cancel 1 task? [y/N] "), "{drawn}");
        assert_eq!(drawn.contains("nothing was done"), !is_done, "{drawn}");
        assert_eq!(
            (done.status.code(), servers.keys()[1].len()),
            (Some(status), usize::from(is_done)),
            "{drawn}"
        );
    }
    let confirmed = output(servers.command(&["cancel", ID, "--context", "prod", "--yes"])).await;
    assert_eq!((confirmed.status.code(), servers.keys()[1].len()), (Some(0), 1));
    // Other contexts, and commands that only read, are not confirmed.
    for arguments in
        [&["cancel", ID][..], &["cancel", ID, "--context", "bare"], &["get", ID, "--context", "prod"]]
    {
        assert!(output(servers.command(arguments)).await.status.success(), "{arguments:?}");
    }
}
