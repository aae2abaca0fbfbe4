//! Commands in the wrong place or with a slip in them: told at once with what is meant, and nothing is left behind.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use tempfile::TempDir;

use crate::program::{coatcheck, output};
use crate::settings::refused;

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

        refused(&done, &format!("there is no database at {}; ", looked_at.display()));
        assert!(String::from_utf8_lossy(&done.stderr).contains("DATABASE_URL"), "{arguments:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{arguments:?}");
    }
}

#[tokio::test]
async fn the_database_that_is_made_is_named() {
    let folder = TempDir::new().unwrap();
    let made = folder.path().canonicalize().unwrap().join("data/coatcheck.db");
    for told in [format!("coatcheck: made the database {}\n", made.display()), String::new()] {
        let done = output(coatcheck(folder.path(), ["migrate"])).await;

        assert!(done.status.success());
        assert_eq!(String::from_utf8(done.stderr).unwrap(), told);
    }
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

on_embedded!(a_second_server_in_the_same_place_names_the_first, [], |stack| async move {
    let mut second = stack.command(&[]);
    second.env("LISTEN", stack.address());

    refused(&output(second).await, &format!("(pid {})", stack.pid()));
});

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
        (&["sum"], 1, "coatcheck: -: Bad file descriptor\n"),
        (&["sum", "-"], 1, "coatcheck: -: Bad file descriptor\n"),
        (&["sum", "-c"], 1, "coatcheck: 'standard input': read error\n"),
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
