//! Commands in the wrong place or with a slip in them: told at once with what is meant, and nothing is left behind.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use reqwest::Method;
use rstest_reuse::apply;
use tempfile::TempDir;

use crate::cli::settings::refused;
use crate::kit::client::ask;
use crate::kit::people::as_bearer;
use crate::kit::program::{coatcheck, output};
use crate::kit::stack::{Setup, embedded};

#[tokio::test]
async fn no_command_that_works_on_a_database_makes_one() {
    let folder = TempDir::new().unwrap();
    let looked_at = folder.path().canonicalize().unwrap().join("data/coatcheck.db");
    for arguments in [
        &["user", "create", "ada"][..],
        &["user", "grant", "ada", "paid"],
        &["user", "revoke", "ada", "paid"],
        &["user", "list"],
        &["user", "password", "ada"],
        &["user", "disable", "ada"],
        &["user", "enable", "ada"],
        &["user", "delete", "ada"],
        &["user", "logout", "ada"],
        &["verify"],
        &["verify", "--rebuild", "rebuilt"],
        &["backup", "copy"],
    ] {
        let mut command = coatcheck(folder.path(), arguments);
        command.env("COATCHECK_PASSWORD", "correct horse");
        let done = output(command).await;

        refused(&done, &format!("expected a database at {}, found no file; ", looked_at.display()));
        assert!(String::from_utf8_lossy(&done.stderr).contains("DATABASE_URL"), "{arguments:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{arguments:?}");
    }
}

#[tokio::test]
async fn the_database_that_is_made_is_named() {
    let folder = TempDir::new().unwrap();
    let made = folder.path().canonicalize().unwrap().join("data/coatcheck.db");
    let made = made.display();
    for told in [
        format!("coatcheck: made the database {made}\n"),
        format!("coatcheck: the schema of {made} is up to date\n"),
    ] {
        let done = output(coatcheck(folder.path(), ["migrate"])).await;

        assert!(done.status.success());
        assert_eq!(String::from_utf8(done.stderr).unwrap(), told);
    }
}

#[tokio::test]
async fn a_value_is_named_as_it_was_given() {
    let folder = TempDir::new().unwrap();
    let command = coatcheck(folder.path(), ["simulate", "--threads", "0"]);
    refused(&output(command).await, "coatcheck: --threads: expected a number from 1 to 1000, got \"0\"");
    let mut command = coatcheck(folder.path(), ["simulate"]);
    command.env("THREADS", "0");
    refused(&output(command).await, "coatcheck: THREADS: expected a number from 1 to 1000, got \"0\"");
}

#[tokio::test]
async fn a_secret_that_others_can_read_is_told_before_the_work() {
    let folder = TempDir::new().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "correct horse").unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o644)).unwrap();
    assert!(output(coatcheck(folder.path(), ["migrate"])).await.status.success());
    let mut create = coatcheck(folder.path(), ["user", "create", "ada", "--admin"]);
    create.env("COATCHECK_PASSWORD_FILE", &secret);
    // Both in one file, in the order in which they are written.
    let told = fs::File::create(folder.path().join("told")).unwrap();
    create.stdout(told.try_clone().unwrap()).stderr(told);

    assert!(create.status().unwrap().success());

    let told = fs::read_to_string(folder.path().join("told")).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].contains("COATCHECK_PASSWORD_FILE") && lines[1].contains("ada"),
        "{told}"
    );
}

#[tokio::test]
async fn whoever_takes_the_last_admin_away_is_told() {
    let folder = TempDir::new().unwrap();
    assert!(output(coatcheck(folder.path(), ["migrate"])).await.status.success());
    let user = async |arguments: &[&str]| {
        let mut command = coatcheck(folder.path(), [&["user"], arguments].concat());
        command.env("COATCHECK_PASSWORD", "correct horse");
        let done = output(command).await;
        assert!(done.status.success(), "{arguments:?}: {done:?}");
        String::from_utf8(done.stderr).unwrap().contains("no admin is left")
    };
    user(&["create", "ada", "--admin"]).await;
    user(&["create", "bob", "--admin"]).await;

    assert!(!user(&["disable", "ada"]).await);
    assert!(user(&["revoke", "bob", "admin"]).await);
    assert!(!user(&["enable", "ada"]).await);
    assert!(!user(&["delete", "bob"]).await);
    assert!(user(&["delete", "ada"]).await);
}

#[tokio::test]
async fn a_missing_command_is_told_with_those_that_there_are() {
    let folder = TempDir::new().unwrap();
    let commands = "create, grant, revoke, list, password, disable, enable, delete, logout";
    for columns in ["20", "60", "200"] {
        let mut command = coatcheck(folder.path(), ["user"]);
        command.env("COLUMNS", columns);
        refused(
            &output(command).await,
            &format!("expected a command: {commands}; see coatcheck user --help"),
        );
    }
}

#[tokio::test]
async fn a_folder_in_the_log_s_place_and_an_empty_secret_are_refused_before_the_work() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("empty"), "\n").unwrap();
    fs::set_permissions(folder.path().join("empty"), Permissions::from_mode(0o600)).unwrap();
    for (arguments, setting, told) in [
        (&[][..], ("OUTCOME_LOG", "."), "OUTCOME_LOG: "),
        (&["get", "x"], ("COATCHECK_TOKEN_FILE", "empty"), "COATCHECK_TOKEN_FILE: empty: the file is empty"),
        (&["migrate"], ("DATABASE_URL_FILE", "empty"), "DATABASE_URL_FILE: empty: the file is empty"),
        (&["get", "x", "--url", "nonsense"], ("X", ""), "coatcheck: --url: expected an address"),
        (&["get", "x"], ("COATCHECK_URL", "nonsense"), "coatcheck: COATCHECK_URL: expected an address"),
        (&["api"], ("LISTEN", "127.0.0.1:99999"), "the port from 0 to 65535"),
    ] {
        let mut command = coatcheck(folder.path(), arguments);
        command.env(setting.0, setting.1);
        refused(&output(command).await, told);
    }
}

#[tokio::test]
async fn what_is_done_is_told_where_standard_output_takes_nothing() {
    let folder = TempDir::new().unwrap();
    assert!(output(coatcheck(folder.path(), ["migrate"])).await.status.success());
    let mut create = coatcheck(folder.path(), ["user", "create", "ada"]);
    create.env("COATCHECK_PASSWORD", "correct horse");
    create.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
    create.stderr(std::process::Stdio::piped());

    let done = tokio::task::spawn_blocking(move || create.spawn().unwrap().wait_with_output().unwrap())
        .await
        .unwrap();

    let told = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(1), "{told}");
    assert!(told.starts_with("coatcheck: done: created ada ("), "{told}");
}

#[tokio::test]
async fn a_server_without_its_address_leaves_nothing_behind() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let folder = TempDir::new().unwrap();
    let shared = [
        ("DATABASE_URL", "postgres://coat@127.0.0.1:9/coat"),
        ("AMQP_URL", "amqp://127.0.0.1:9"),
        ("REDIS_URL", "redis://127.0.0.1:9"),
    ];
    for (arguments, settings) in [(&[][..], &[][..]), (&["api"], &shared)] {
        let mut command = coatcheck(folder.path(), arguments);
        command.env("LISTEN", &listen).envs(settings.iter().copied());

        refused(&output(command).await, &format!("LISTEN: another program listens on {listen}"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{arguments:?}");
    }
}

#[tokio::test]
async fn a_setting_that_is_refused_leaves_nothing_behind_and_is_told_what_it_must_be() {
    let folder = TempDir::new().unwrap();
    for (arguments, setting, told) in [
        (&[][..], ("AMQP_URL", "rabbit"), "AMQP_URL: expected memory: with a sqlite: database"),
        (&[], ("BLOB_URL", "folder"), "BLOB_URL: expected file:PATH"),
        (&[], ("DATABASE_URL", "mysql://a"), "DATABASE_URL: expected sqlite:PATH"),
        (&["user", "list"], ("DATABASE_URL", "a.db"), "DATABASE_URL: expected sqlite:PATH or postgres://"),
        (&["verify"], ("DATABASE_URL", "a.db"), "DATABASE_URL: expected sqlite:PATH or postgres://"),
        (
            &["get", "0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d"],
            ("COATCHECK_URL", "127.0.0.1:9"),
            "does not begin with http:// or https://",
        ),
    ] {
        let mut command = coatcheck(folder.path(), arguments);
        command.env("LISTEN", "127.0.0.1:0").env(setting.0, setting.1);

        refused(&output(command).await, told);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{arguments:?} {setting:?}");
    }
}

#[apply(embedded)]
async fn tasks_that_have_ended_keep_none_out(setup: Setup) {
    let stack = setup.start(&[("MAX_PENDING", "2")]).await;
    for number in 0..6 {
        let id = stack.put(number.to_string()).await;
        stack.until(&id, "succeeded").await;
    }
}

#[apply(embedded)]
async fn a_second_server_in_the_same_place_names_the_first(setup: Setup) {
    let stack = setup.start(&[]).await;
    let mut second = stack.command(&[]);
    second.env("LISTEN", stack.address());

    refused(&output(second).await, &format!("(pid {})", stack.pid()));
}

#[tokio::test]
async fn a_target_of_log_lines_that_is_not_known_is_told_with_those_that_are() {
    for (filter, unknown) in [("info,wroker=debug", Some("wroker")), ("hyper=debug,worker=debug", None)] {
        let folder = TempDir::new().unwrap();
        let mut command = coatcheck(folder.path(), ["migrate"]);
        command.env("RUST_LOG", filter);

        let done = output(command).await;

        let told = String::from_utf8(done.stderr).unwrap();
        let lines: Vec<&str> = told.lines().filter(|line| line.contains("RUST_LOG")).collect();
        assert!(done.status.success() && lines.len() == usize::from(unknown.is_some()), "{told}");
        let names = |line: &&str| line.contains("RUST_LOG: wroker ") && line.contains(" worker;");
        assert!(lines.iter().all(names), "{told}");
    }
}

#[tokio::test]
async fn a_standard_input_that_is_closed_is_not_an_empty_file() {
    let folder = TempDir::new().unwrap();
    for (arguments, status, told) in [
        (&["put", "-"][..], 2, "coatcheck: -: standard input is closed; give it a file or a pipe to read\n"),
        // As md5sum does.
        (&["sum"], 1, "coatcheck: -: Bad file descriptor\ncoatcheck: standard input: Bad file descriptor\n"),
        (
            &["sum", "-c"],
            1,
            "coatcheck: 'standard input': read error\ncoatcheck: standard input: Bad file descriptor\n",
        ),
    ] {
        let done = output(without_input(&coatcheck(folder.path(), arguments))).await;

        assert_eq!((done.status.code(), done.stdout.len()), (Some(status), 0), "{arguments:?}");
        assert_eq!(String::from_utf8(done.stderr).unwrap(), told);
    }
}

fn without_input(command: &Command) -> Command {
    let mut shell = Command::new("bash");
    shell.args(["-c", r#"exec "$0" "$@" <&-"#]).arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir().unwrap()).env_clear();
    shell
}

#[tokio::test]
async fn a_path_behind_the_servers_address_is_refused_at_once() {
    const ID: &str = "0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d";
    let folder = TempDir::new().unwrap();
    for (path, words) in
        [("/path", "has a path; leave out /path"), ("/api/v1/", "has a path; leave out /api/v1/")]
    {
        for arguments in [&["put", "file"][..], &["get", ID], &["simulate"], &["healthcheck"]] {
            let mut command = coatcheck(folder.path(), arguments);
            command.env("COATCHECK_URL", format!("http://127.0.0.1:9{path}"));

            refused(&output(command).await, words);
        }
    }
}

#[apply(embedded)]
async fn each_answer_in_json_ends_its_line(setup: Setup) {
    let stack = setup.start(&[]).await;
    let id = stack.put("abc").await;
    stack.until(&id, "succeeded").await;
    for path in [
        "/api/v1/tasks",
        &format!("/api/v1/tasks/{id}"),
        &format!("/api/v1/md5/{id}"),
        "/api/v1/tasks/nonsense",
        "/api/v1/users/me",
        "/api/data",
        "/api/data/stats",
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/nothing",
    ] {
        let answer = stack.get(path).await;
        let text = answer.text();
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{path}: {text:?}");
    }
    for path in ["/api/v1/md5", "/api/v1/tables", "/api/v1/users", "/api/data", "/healthz"] {
        let answer = ask(stack.request(Method::POST, path).body("nonsense")).await.unwrap();
        assert!(answer.text().ends_with("}\n"), "{path}: {}", answer.text());
    }
    let accepted = ask(stack.request(Method::PUT, "/api/v1/md5/a").body("abc")).await.unwrap();
    assert!(accepted.status == 202 && accepted.text().ends_with("}\n"), "{}", accepted.text());
}

#[apply(embedded)]
async fn a_browser_is_told_in_a_page_why_it_gets_none(setup: Setup) {
    let stack = setup.start(&[("DOCS", "closed")]).await;
    stack.register("ada").await;
    let ada = stack.log_in("ada").await;
    let chromium = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let requests = || {
        let get = |path| stack.request(Method::GET, path);
        [
            (get("/").header("Host", "elsewhere.example"), None),
            (get("/docs"), Some(401)),
            (as_bearer(get("/docs/"), &ada), Some(403)),
            (get("/nothing"), Some(404)),
            (stack.request(Method::PUT, "/"), Some(405)),
        ]
    };
    for (request, status) in requests() {
        let page = ask(request.header("Accept", chromium)).await.unwrap();
        assert!(status.map_or(page.status >= 400, |status| page.status == status), "{status:?}");
        assert!(page.header("content-type").starts_with("text/html"), "{status:?}: {}", page.text());
        assert!(page.text().contains(&format!("<h1>{}</h1>", page.status)), "{}", page.text());
    }
    for (request, status) in requests() {
        let problem = ask(request).await.unwrap();
        assert_eq!(problem.header("content-type"), "application/problem+json", "{status:?}");
    }
}

/// The commands, and those below them.
pub const COMMANDS: [&str; 30] = [
    "",
    "put",
    "get",
    "ls",
    "watch",
    "outcomes",
    "cancel",
    "sum",
    "simulate",
    "export",
    "user",
    "user create",
    "user grant",
    "user revoke",
    "user list",
    "user password",
    "user disable",
    "user enable",
    "user delete",
    "user logout",
    "migrate",
    "verify",
    "backup",
    "doctor",
    "api",
    "worker",
    "providers",
    "healthcheck",
    "completions",
    "man",
];

#[tokio::test]
async fn each_help_has_examples_that_a_terminal_of_80_columns_does_not_break() {
    let folder = TempDir::new().unwrap();
    for command in COMMANDS {
        let done = output(coatcheck(folder.path(), command.split_whitespace().chain(["--help"]))).await;

        let help = String::from_utf8(done.stdout).unwrap();
        let (before, examples) = help.split_once("\nExamples:\n").unwrap_or_else(|| panic!("{command}"));
        let called = format!("coatcheck {command}");
        assert!(examples.contains(called.trim_end()), "{command}: {examples}");
        for line in examples.lines() {
            assert!(line.starts_with("  ") && line.chars().count() <= 78, "{command}: {line}");
        }
        // Each argument says what it is.
        let lines: Vec<&str> = before.lines().collect();
        let undocumented = lines.windows(2).find(|pair| {
            let is_bare = pair[0].starts_with("  <") && pair[0].split_whitespace().count() == 1;
            is_bare && !pair[1].starts_with("      ")
        });
        assert_eq!(undocumented, None, "{command}");
    }
}

#[tokio::test]
async fn the_help_of_what_is_scripted_tells_how_it_ends() {
    let folder = TempDir::new().unwrap();
    for (command, words) in [
        ("put", &["Ctrl-C", "| head -1", "0 all", "1 some", "2 wrong", "3 the", "4 it"][..]),
        ("get", &["for a minute", "0 the", "1 the task does not exist", "2 wrong", "3 the", "4 it", "130"]),
        ("sum", &["| head -1", "0 all", "1 some", "2 bad", "130"]),
    ] {
        let help =
            String::from_utf8(output(coatcheck(folder.path(), [command, "--help"])).await.stdout).unwrap();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(help.contains(word), "{command}, {word}: {help}");
        }
    }
}

#[tokio::test]
async fn a_range_is_told_in_words() {
    let folder = TempDir::new().unwrap();
    for (flag, told) in [
        ("--threads=0", "--threads: expected a number from 1 to 1000, got \"0\""),
        ("--count=0", "--count: expected a number of at least 1, got \"0\""),
    ] {
        refused(&output(coatcheck(folder.path(), ["simulate", flag])).await, told);
    }
}
