//! Settings: shown with their defaults, refused in one line that names them before anything listens; and who may have the
//! data.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use rstest_reuse::apply;
use tempfile::TempDir;

use crate::cli::missteps::COMMANDS;
use crate::kit::program::{Program, coatcheck, output, stderr_of};
use crate::kit::stack::{Setup, embedded};

/// Every setting of the whole program that has a default in words or figures.
const DEFAULTS: [(&str, &str); 25] = [
    ("LISTEN", "127.0.0.1:9000"),
    ("MAX_PENDING", "10000000"),
    ("MIN_FREE_DISK", "1GiB"),
    ("AUTH", "off"),
    ("REGISTRATION", "open"),
    ("DOCS", "open"),
    ("METRICS", "open"),
    ("DATABASE_URL", "sqlite:data/coatcheck.db"),
    ("AMQP_URL", "memory:"),
    ("BLOB_URL", "file:data/blobs"),
    ("INLINE_BYTES", "16KiB"),
    ("OUTCOME_LOG", "data/outcomes.log"),
    ("LEASE_SECONDS", "30"),
    ("MAX_ATTEMPTS", "5"),
    ("SWEEP_SECONDS", "1"),
    ("ORPHAN_SECONDS", "86400"),
    ("WORKERS", "cores x lanes"),
    ("FREE_URL", "http://127.0.0.1:2197"),
    ("PAID_URL", "http://127.0.0.1:2198"),
    ("REQUESTS", "100"),
    ("BLOCK_SECONDS", "60"),
    ("PATIENCE", "0"),
    ("THIRD_PARTY_URL", "http://127.0.0.1:2199"),
    ("RATE", "7"),
    ("LOG_FORMAT", "text"),
];

#[tokio::test]
async fn a_wrong_setting_is_told_in_one_line_and_nothing_listens() {
    for (name, value) in [
        ("FREE_URL", "nonsense"),
        ("PAID_URL", "https://127.0.0.1?x"),
        ("REQUESTS", "0"),
        ("BLOCK_SECONDS", "0"),
        ("PATIENCE", "-1"),
        ("LISTEN", "nonsense"),
        ("LISTEN", "127.0.0.1"),
        ("MAX_ATTEMPTS", "0"),
        ("MAX_ATTEMPTS", "many"),
        ("DATABASE_URL", "foo:bar"),
        ("DATABASE_URL", "sqlite:"),
        ("AMQP_URL", "nonsense"),
        ("BLOB_URL", "nonsense"),
        ("LEASE_SECONDS", "-1"),
        ("LEASE_SECONDS", "0"),
        ("SWEEP_SECONDS", "abc"),
        ("INLINE_BYTES", "abc"),
        ("INLINE_BYTES", "-1"),
        ("ORPHAN_SECONDS", "5"),
        ("WORKERS", "0"),
        ("THIRD_PARTY_URL", "ftp://127.0.0.1:2199"),
        ("RATE", "0"),
        ("RATE", "7.5"),
        ("MAX_UPLOAD", "abc"),
        ("MIN_FREE_DISK", "-1"),
        ("MAX_PENDING", "abc"),
        ("KEEP_UPLOADS", "perhaps"),
        ("AUTH", "on"),
        ("AUTH", ""),
        ("REGISTRATION", "off"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("ALLOWED_HOSTS", "http://example.com"),
        ("DOCS", "off"),
        ("METRICS", "admins"),
        ("UPLOADS_PER_MINUTE", "0"),
        ("UPLOADS_PER_MINUTE", "many"),
        ("MAX_PENDING_PER_OWNER", "0"),
        ("MAX_BYTES_PER_OWNER", "abc"),
        ("LOG_FORMAT", "xml"),
        ("RUST_LOG", "verbose"),
        ("RUST_LOG", "info,worker=loud"),
        ("JWT_SECRET_FILE", "missing"),
        ("OUTCOME_LOG", "a file/outcomes.log"),
        ("BLOB_URL", "file:a file/blobs"),
        ("DATABASE_URL", "sqlite:a file/coatcheck.db"),
        ("DATABASE_URL", "sqlite:a file"),
        ("DATABASE_URL_FILE", "missing"),
    ] {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("a file"), "this is no database, and no folder either").unwrap();
        let mut command = coatcheck(folder.path(), [""; 0]);
        command.env("LISTEN", "127.0.0.1:0").env(name, value);

        refused(&output(command).await, name);
    }
}

#[tokio::test]
async fn a_parameter_of_the_database_url_that_would_be_ignored_is_named() {
    for parameter in ["foo", "connect_timeout", "sslcert", "channel_binding"] {
        let folder = TempDir::new().unwrap();
        let mut command = coatcheck(folder.path(), ["migrate"]);
        command
            .env("DATABASE_URL", format!("postgres://u:secret@h/d?application_name=x&{parameter}=require"));

        let output = output(command).await;

        refused(&output, "DATABASE_URL");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(parameter) && !told.contains("secret"), "{told}");
    }
}

#[tokio::test]
async fn no_refusal_repeats_a_password() {
    const SECRET: &str = "hunter2";
    let shared = [
        ("DATABASE_URL", "postgres://u:p@127.0.0.1:1/d"),
        ("AMQP_URL", "amqp://127.0.0.1:1"),
        ("REDIS_URL", "redis://127.0.0.1:1"),
    ];
    let folder = TempDir::new().unwrap();
    for (role, name) in [
        ("", "FREE_URL"),
        ("worker", "PAID_URL"),
        ("worker", "THIRD_PARTY_URL"),
        ("", "DATABASE_URL"),
        ("api", "AMQP_URL"),
        ("api", "REDIS_URL"),
        ("", "BLOB_URL"),
        ("", "JWT_SECRET"),
        ("get", "COATCHECK_URL"),
    ] {
        for value in ["ftp://me:hunter2@host", "me:hunter2@host", "http://me:hunter2@host:port"] {
            for is_flag in [false, true] {
                let flag = format!("--{}={value}", name.to_lowercase().replace('_', "-"));
                let id = ["0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d"];
                let role = [role].into_iter().filter(|role| !role.is_empty());
                let id = id.into_iter().filter(|_| name == "COATCHECK_URL");
                let flag = Some(flag.as_str()).filter(|_| is_flag);
                let mut command = coatcheck(folder.path(), role.clone().chain(flag).chain(id));
                command.env("LISTEN", "127.0.0.1:0");
                if role.clone().any(|role| role != "get") {
                    command.envs(shared);
                }
                if !is_flag {
                    command.env(name, value);
                }

                let done = output(command).await;

                let told = String::from_utf8_lossy(&done.stderr);
                assert_eq!(done.status.code(), Some(2), "{name} {value}: {told}");
                assert!(!told.contains(SECRET) && told.lines().count() == 1, "{name} {value}: {told}");
            }
        }
    }
    for unknown in ["postgres://me:hunter2@host/d", "--data-base=postgres://me:hunter2@host/d"] {
        let told = output(coatcheck(folder.path(), [unknown])).await.stderr;
        assert!(!String::from_utf8_lossy(&told).contains(SECRET), "{}", String::from_utf8_lossy(&told));
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = TempDir::new().unwrap();
    let mut command = coatcheck(folder.path(), [""; 0]);
    command.env("LISTEN", taken.local_addr().unwrap().to_string());

    refused(
        &output(command).await,
        &format!("LISTEN: another program listens on {}", taken.local_addr().unwrap()),
    );
    let mut command = coatcheck(folder.path(), ["providers", "free"]);
    command.env("FREE_LISTEN", taken.local_addr().unwrap().to_string());
    refused(&output(command).await, "FREE_LISTEN: another program listens on");
}

#[tokio::test]
async fn an_error_names_the_thing_and_says_what_to_do() {
    let folder = TempDir::new().unwrap();
    for (arguments, (name, value), line) in [
        (&[][..], ("WORKERS", "x"), "WORKERS: expected a whole number, got \"x\""),
        (&[], ("AUTH", "on"), "AUTH: expected off or required, got \"on\""),
        (
            &["--listen", "127.0.0.1:1", "api"],
            ("X", ""),
            "--listen: expected it after the command; write: coatcheck api",
        ),
        (&[], ("DATABASE_URL", "postgres://u:p@h/d"), "run `coatcheck api` and `coatcheck worker`"),
        (&["get", ""], ("X", ""), "ID: expected a task id"),
        (&["get", "nonsense"], ("X", ""), "got \"nonsense\""),
        (&["put"], ("X", ""), "see coatcheck put --help"),
        (&["put", "--odd", "x"], ("X", ""), "see coatcheck put --help"),
        (&["nonsense"], ("X", ""), "see coatcheck --help"),
        (&["get", "x"], ("COATCHECK_URL", "nonsense"), "COATCHECK_URL: expected an address"),
    ] {
        let mut command = coatcheck(folder.path(), arguments);
        command.env(name, value);

        let done = output(command).await;

        refused(&done, line);
        assert!(done.stderr.starts_with(b"coatcheck: "), "{line}");
    }
}

#[tokio::test]
async fn an_error_before_all_log_lines_is_one_of_them_in_json() {
    for (name, value) in [
        ("WORKERS", "x"),
        ("DATABASE_URL", "nonsense"),
        ("DATABASE_URL_FILE", "missing"),
        ("RUST_LOG", "x=y"),
    ] {
        let folder = TempDir::new().unwrap();
        let mut command = coatcheck(folder.path(), [""; 0]);
        command.env("LOG_FORMAT", "json").env(name, value);

        let done = output(command).await;

        let told = String::from_utf8(done.stderr).unwrap();
        let lines: Vec<serde_json::Value> = told
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{told}")))
            .collect();
        let last = lines.last().unwrap();
        assert_eq!((done.status.code(), &last["level"]), (Some(2), &"ERROR".into()), "{told}");
        assert!(last["fields"]["message"].as_str().unwrap().starts_with(name), "{told}");
    }
}

#[tokio::test]
async fn a_flag_goes_before_its_variable() {
    let folder = TempDir::new().unwrap();
    let mut command = coatcheck(folder.path(), ["--listen", "127.0.0.1:0", "--max-attempts", "7"]);
    command.env("LISTEN", "nonsense").env("MAX_ATTEMPTS", "0");

    Program::start(command, folder.path()).address(folder.path()).await;
}

#[tokio::test]
async fn help_shows_each_setting_with_its_default() {
    let folder = TempDir::new().unwrap();

    let done = output(coatcheck(folder.path(), ["--help"])).await;

    let help = String::from_utf8(done.stdout).unwrap();
    assert_eq!((done.status.code(), done.stderr.len()), (Some(0), 0));
    for (name, default) in DEFAULTS {
        let about = about(&help, name);
        assert!(about.contains(&format!("[default: {default}]")), "{name}: {about}");
        assert!(about.contains(&format!("[env: {name}")), "{name}: {about}");
    }
    for name in [
        "MAX_UPLOAD",
        "KEEP_UPLOADS",
        "JWT_SECRET_FILE",
        "ALLOWED_HOSTS",
        "TRUSTED_PROXIES",
        "UPLOADS_PER_MINUTE",
        "MAX_PENDING_PER_OWNER",
        "MAX_BYTES_PER_OWNER",
    ] {
        assert!(about(&help, name).contains(&format!("[env: {name}")), "{help}");
    }
    for command in COMMANDS.into_iter().filter(|command| !command.is_empty() && !command.contains(' ')) {
        assert!(help.lines().any(|line| line.trim_start().starts_with(command)), "{help}");
        let done = output(coatcheck(folder.path(), [command, "--help"])).await;
        let help = String::from_utf8(done.stdout).unwrap();
        assert!(done.status.success() && help.contains("Examples:\n"), "{command}: {help}");
        assert!(help.lines().any(|line| line.contains(&format!("coatcheck {command}"))), "{help}");
    }
    // A command hides the settings that it does not use.
    for (command, settings) in [
        ("migrate", &["DATABASE_URL", "LOG_FORMAT", "COATCHECK_CONFIG"][..]),
        ("backup", &["DATABASE_URL", "BLOB_URL", "OUTCOME_LOG", "OUTCOME_LOG_NAME", "COATCHECK_CONFIG"]),
        (
            "verify",
            &[
                "DATABASE_URL",
                "BLOB_URL",
                "OUTCOME_LOG",
                "OUTCOME_LOG_NAME",
                "ORPHAN_SECONDS",
                "KEEP_UPLOADS",
                "COATCHECK_CONFIG",
            ],
        ),
        (
            "doctor",
            &[
                "LISTEN",
                "MIN_FREE_DISK",
                "DATABASE_URL",
                "AMQP_URL",
                "REDIS_URL",
                "BLOB_URL",
                "OUTCOME_LOG",
                "COATCHECK_URL",
                "COATCHECK_TOKEN_FILE",
                "COATCHECK_CONFIG",
                "COATCHECK_CONTEXT",
            ],
        ),
        ("put", &["COATCHECK_URL", "COATCHECK_TOKEN_FILE", "COATCHECK_CONFIG", "COATCHECK_CONTEXT"]),
        ("get", &["COATCHECK_URL", "COATCHECK_TOKEN_FILE", "COATCHECK_CONFIG", "COATCHECK_CONTEXT"]),
        ("ls", &["COATCHECK_URL", "COATCHECK_TOKEN_FILE", "COATCHECK_CONFIG", "COATCHECK_CONTEXT"]),
        ("sum", &[]),
    ] {
        let help =
            String::from_utf8(output(coatcheck(folder.path(), [command, "--help"])).await.stdout).unwrap();
        let shown: Vec<&str> =
            help.split("[env: ").skip(1).map(|rest| rest.split(['=', ']']).next().unwrap()).collect();
        assert_eq!(shown, settings, "{command}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "help makes nothing");
}

#[tokio::test]
async fn an_unknown_command_is_bad_usage() {
    let folder = TempDir::new().unwrap();
    for arguments in [["nonsense"], ["--nonsense"]] {
        refused(&output(coatcheck(folder.path(), arguments)).await, "nonsense");
    }
}

#[tokio::test]
async fn a_secret_may_be_read_from_a_file() {
    let folder = TempDir::new().unwrap();
    let elsewhere = folder.path().join("else where/coatcheck.db");
    fs::write(folder.path().join("secret"), format!("sqlite:{}\n", elsewhere.display())).unwrap();
    let mut command = coatcheck(folder.path(), [""; 0]);
    command.env("LISTEN", "127.0.0.1:0").env("DATABASE_URL_FILE", "secret");

    Program::start(command, folder.path()).address(folder.path()).await;

    assert!(is_database(&elsewhere));
    assert!(!folder.path().join("data/coatcheck.db").exists());
}

#[tokio::test]
async fn a_secret_has_no_flag_but_its_file_has() {
    let folder = TempDir::new().unwrap();
    let secret = "a secret of 32 bytes or somewhat more";
    fs::write(folder.path().join("secret"), secret).unwrap();
    refused(&output(coatcheck(folder.path(), ["--jwt-secret", secret])).await, "--jwt-secret");

    // The flag goes before the variable.
    let mut command = coatcheck(folder.path(), ["--jwt-secret-file", "secret"]);
    command.env("LISTEN", "127.0.0.1:0").env("JWT_SECRET", "short");
    Program::start(command, folder.path()).address(folder.path()).await;
    // And the variable before that of the file.
    let mut command = coatcheck(folder.path(), [""; 0]);
    command.env("LISTEN", "127.0.0.1:0").env("JWT_SECRET", "short").env("JWT_SECRET_FILE", "secret");
    refused(&output(command).await, "JWT_SECRET");
}

#[tokio::test]
async fn a_secrets_file_that_others_can_read_is_told_in_one_line() {
    for (name, content) in [
        ("JWT_SECRET", "a secret of 32 bytes or somewhat more"),
        ("DATABASE_URL", "sqlite:data/coatcheck.db"),
    ] {
        for (mode, is_told) in [(0o644, true), (0o640, true), (0o600, false), (0o400, false)] {
            let folder = TempDir::new().unwrap();
            let path = folder.path().join("secret");
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let mut command = coatcheck(folder.path(), [""; 0]);
            command.env("LISTEN", "127.0.0.1:0").env(format!("{name}_FILE"), "secret");
            Program::start(command, folder.path()).address(folder.path()).await;

            let told = fs::read_to_string(stderr_of(folder.path())).unwrap();
            let lines: Vec<&str> =
                told.lines().filter(|line| line.contains(&format!("{name}_FILE"))).collect();
            assert_eq!(lines.len(), usize::from(is_told), "{mode:o}: {told}");
            assert!(lines.iter().all(|line| line.contains("WARN") && !line.contains(content)), "{told}");
        }
    }
}

#[tokio::test]
async fn migrate_makes_the_database_and_may_be_repeated() {
    let folder = TempDir::new().unwrap();
    for _ in 0..2 {
        let done = output(coatcheck(folder.path(), ["migrate"])).await;

        assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
        assert!(is_database(&folder.path().join("data/coatcheck.db")));
    }
    let mut command = coatcheck(folder.path(), [""; 0]);
    command.env("LISTEN", "127.0.0.1:0");
    Program::start(command, folder.path()).address(folder.path()).await;
}

#[apply(embedded)]
async fn a_second_program_on_the_same_data_is_refused(setup: Setup) {
    let stack = setup.start(&[]).await;
    let second = || {
        let mut command = coatcheck(stack.folder(), [""; 0]);
        command.env("LISTEN", "127.0.0.1:0");
        command
    };

    let done = output(second()).await;

    refused(&done, &stack.pid().to_string());
    let id = stack.put("abc").await;
    stack.until(&id, "succeeded").await;

    stack.kill();
    Program::start(second(), stack.folder()).address(stack.folder()).await;
}

/// The program has said in one line what is wrong, and did nothing else.
#[track_caller]
pub fn refused(done: &Output, word: &str) {
    let (stdout, stderr) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert_eq!((done.status.code(), &*stdout), (Some(2), ""), "{word}: {stderr}");
    assert!(
        stderr.ends_with('\n') && stderr.lines().count() == 1 && stderr.contains(word),
        "{word}: {stderr:?}"
    );
}

/// Returns the text of `--help` on a setting.
fn about<'a>(help: &'a str, name: &str) -> &'a str {
    let flag = format!("--{}", name.to_lowercase().replace('_', "-"));
    let begins = |line: &str| {
        line.trim_start().starts_with(&format!("{flag} "))
            || line.trim_start().starts_with(&format!("{flag}["))
    };
    let at = help.lines().position(begins).unwrap_or_else(|| panic!("{flag} is not in\n{help}"));
    let from = help.split_inclusive('\n').take(at).map(str::len).sum::<usize>();
    let rest = &help[from..];
    let to = rest.match_indices("\n      --").next().map_or(rest.len(), |(to, _)| to);
    &rest[..to]
}

fn is_database(path: &std::path::Path) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0"))
}
