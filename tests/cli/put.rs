//! `coatcheck put` and `get` with failing servers: which requests are retried, which messages are printed when, and how the commands end.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use test_kit::eventually;

use crate::kit::content::noise;
use crate::kit::program::{Program, coatcheck, output, stderr_of};

const ID: &str = "0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d";
const ABC: &str = "900150983cd24fb0d6963f7d28e17f72";

/// A server that answers each request by its first line and by how often that has come before; without an answer, it keeps the
/// client waiting.
pub struct Server {
    url: String,
    /// The first line of each request that has come, and its idempotency key.
    requests: Arc<Mutex<Vec<(String, String)>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&str, usize) -> Option<String> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (requests, answer) = (Arc::<Mutex<Vec<_>>>::default(), Arc::new(answer));
        let seen = requests.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (connection, seen, answer) = (connection.unwrap(), seen.clone(), answer.clone());
                std::thread::spawn(move || serve(connection, &seen, &*answer));
            }
        });
        Self { url, requests }
    }

    /// Returns the first lines of what has come.
    pub fn requests(&self) -> Vec<String> {
        self.requests_and_keys().into_iter().map(|(first, _)| first).collect()
    }

    /// Returns the first lines of what has come, each with its idempotency key.
    pub fn requests_and_keys(&self) -> Vec<(String, String)> {
        self.requests.lock().unwrap().clone()
    }

    /// Counts from the beginning again.
    pub fn forget(&self) {
        self.requests.lock().unwrap().clear();
    }

    pub fn command(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = coatcheck(folder, arguments);
        command.env("COATCHECK_URL", &self.url);
        command
    }
}

fn serve(
    mut connection: TcpStream,
    seen: &Mutex<Vec<(String, String)>>,
    answer: &dyn Fn(&str, usize) -> Option<String>,
) {
    let mut bytes = Vec::new();
    let (first, key, length, is_chunked) = loop {
        let mut buffer = [0; 4096];
        match connection.read(&mut buffer) {
            Ok(read @ 1..) => bytes.extend_from_slice(&buffer[..read]),
            _ => return,
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
            let length = header("content-length: ").map(|length| length.parse::<usize>().unwrap());
            let is_chunked = head.contains("transfer-encoding: chunked");
            break (
                head.lines().next().unwrap().to_owned(),
                header("idempotency-key: ").unwrap_or_default().to_owned(),
                head.len() + 4 + length.unwrap_or(0),
                is_chunked,
            );
        }
    };
    while bytes.len() < length || (is_chunked && !bytes.ends_with(b"\r\n0\r\n\r\n")) {
        let mut buffer = [0; 65536];
        match connection.read(&mut buffer) {
            Ok(read @ 1..) => bytes.extend_from_slice(&buffer[..read]),
            _ => return,
        }
    }
    let before = {
        let mut seen = seen.lock().unwrap();
        seen.push((first.clone(), key));
        seen.iter().filter(|(line, _)| *line == first).count() - 1
    };
    match answer(&first, before) {
        Some(answer) => drop(connection.write_all(answer.as_bytes())),
        // Until the client gives up.
        None => drop(connection.read(&mut [0])),
    }
}

pub fn answer(status: u16, body: &str) -> Option<String> {
    Some(format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

fn accepted() -> Option<String> {
    answer(202, &format!("{{\"id\": \"{ID}\", \"status\": \"pending\"}}"))
}

fn succeeded() -> Option<String> {
    answer(
        200,
        &format!("{{\"id\": \"{ID}\", \"status\": \"succeeded\", \"result\": {{\"md5\": \"{ABC}\"}}}}"),
    )
}

pub fn refused(status: u16) -> Option<String> {
    answer(status, "{\"code\": \"some-code\", \"title\": \"No.\"}")
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let statuses = ["408", "425", "429", "500", "502", "503", "504", "520", "524", "529"];
    let folder = TempDir::new().unwrap();
    for status in statuses {
        fs::write(folder.path().join(status), "abc").unwrap();
    }
    let server = Server::start(|first, before| match first.strip_prefix("PUT /api/v1/md5/") {
        Some(file) if before == 0 => refused(file[..3].parse().unwrap()),
        Some(_) => accepted(),
        None => succeeded(),
    });

    let done = output(server.command(folder.path(), &[&["put"][..], &statuses].concat())).await;

    let expected: String = statuses.iter().map(|status| format!("{ABC}  {status}\n")).collect();
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
    assert_eq!((done.status.code(), String::from_utf8(done.stdout).unwrap()), (Some(0), expected));
}

#[tokio::test]
async fn an_interrupted_put_tells_its_tickets_and_what_was_not_sent() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let folder = TempDir::new().unwrap();
        // Eight are sent at once: the first has its ticket, the last eleven are not begun.
        let names: Vec<String> = (0..20).map(|number| format!("file-{number}")).collect();
        for name in &names {
            fs::write(folder.path().join(name), "abc").unwrap();
        }
        let server = Server::start(|first, _| if first.contains("file-0 ") { accepted() } else { None });
        let mut arguments = vec!["put"];
        arguments.extend(names.iter().map(String::as_str));
        let mut put = Program::start(server.command(folder.path(), &arguments), folder.path());
        eventually("a wait and eight uploads", async || {
            let requests = server.requests();
            let uploads = requests.iter().filter(|first| first.starts_with("PUT")).count();
            if requests.iter().any(|first| first.starts_with("GET")) && uploads == 9 {
                Ok(())
            } else {
                Err(requests)
            }
        })
        .await;

        put.signal(signal);

        let status = eventually("its end", async || put.exit_status().ok_or("it goes on")).await;
        let told = fs::read_to_string(stderr_of(folder.path())).unwrap();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!((status.code(), lines.len()), (Some(1), 13), "{told}");
        assert!(
            lines[0].starts_with("coatcheck: file-0: ")
                && lines[0].ends_with(&format!("coatcheck get --url {} {ID}", server.url)),
            "{told}"
        );
        assert!(lines[1..9].iter().all(|line| line.contains("interrupted")), "{told}");
        let last = [
            "coatcheck: file-9: not sent",
            "coatcheck: file-10: not sent",
            "coatcheck: and 9 more without a ticket",
            "coatcheck: of 20 files: done 0, with a ticket 1, interrupted 8, not sent 11",
        ];
        assert_eq!(lines[9..], last, "{told}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_told_at_once() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), "abc").unwrap();
    // No process listens there any more.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for arguments in [["put", "file"], ["get", ID]] {
        let _ = fs::remove_file(stderr_of(folder.path()));
        let mut command = coatcheck(folder.path(), arguments);
        command.env("COATCHECK_URL", format!("http://{address}"));
        let mut program = Program::start(command, folder.path());

        let told = eventually("a word on the server", async || {
            let told = fs::read_to_string(stderr_of(folder.path())).unwrap();
            if told.ends_with('\n') { Ok(told) } else { Err(program.exit_status()) }
        })
        .await;

        assert!(program.exit_status().is_none(), "it has given up already");
        assert!(told.contains("Connection refused") && told.contains("trying for a minute"), "{told}");
        assert!(told.starts_with("coatcheck: ") && told.lines().count() == 1, "{told}");
    }
}

#[tokio::test]
async fn a_server_that_was_away_is_told_to_be_back_by_the_setting_that_names_it() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), "abc").unwrap();
    let server = Server::start(|first, before| match (before, first.starts_with("PUT")) {
        // It goes away in the middle of the first try.
        (0, true) => Some(String::new()),
        (_, true) => accepted(),
        (_, false) => succeeded(),
    });
    for (by_flag, setting) in [(true, "--url"), (false, "COATCHECK_URL")] {
        server.forget();
        let arguments = ["put", "file", "--url", &server.url];
        let mut command = coatcheck(folder.path(), &arguments[..if by_flag { 4 } else { 2 }]);
        if !by_flag {
            command.env("COATCHECK_URL", &server.url);
        }

        let done = output(command).await;

        let told = String::from_utf8(done.stderr).unwrap();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!((done.status.code(), lines.len()), (Some(0), 2), "{told}");
        assert!(
            lines[0].starts_with(&format!("coatcheck: no answer from {} ({setting}): ", server.url)),
            "{told}"
        );
        assert_eq!(lines[1], format!("coatcheck: {} answers again", server.url));
    }
}

#[tokio::test]
async fn a_table_is_shown_with_its_progress() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(|first, _| match first.contains("/api/v1/tables/") {
        true => {
            answer(200, &format!("{{\"id\": \"{ID}\", \"kind\": \"table\", \"progress\": {{\"rows\": 7}}}}"))
        }
        false => answer(200, &format!("{{\"id\": \"{ID}\", \"kind\": \"table\"}}")),
    });

    let done = output(server.command(folder.path(), &["get", ID])).await;

    let shown: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((done.status.code(), &shown["progress"]["rows"]), (Some(0), &7.into()));
}

#[tokio::test]
async fn a_refusal_has_an_exit_status_of_its_own() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), "abc").unwrap();
    for (status, exit) in [(401, 4), (403, 4), (400, 1), (422, 1)] {
        let server = Server::start(move |_, _| refused(status));
        for arguments in [&["put", "file"][..], &["get", ID], &["simulate", "--count", "1"]] {
            let done = output(server.command(folder.path(), arguments)).await;

            let told = String::from_utf8_lossy(&done.stderr);
            assert_eq!(done.status.code(), Some(exit), "{status} {arguments:?}: {told}");
        }
    }
}

#[tokio::test]
async fn standard_input_is_handed_in_by_its_name() {
    let folder = TempDir::new().unwrap();
    let large = noise(1, 1 << 20);
    fs::write(folder.path().join("large"), &large).unwrap();
    let server = Server::start(|first, _| if first.starts_with("PUT") { accepted() } else { succeeded() });
    for (arguments, name) in [(&["put", "-"][..], "-"), (&["put", "--name", "some name", "-"], "some name")] {
        let mut command = server.command(folder.path(), arguments);
        command.stdin(Stdio::from(File::open(folder.path().join("large")).unwrap()));

        let done = output(command).await;

        assert_eq!(String::from_utf8_lossy(&done.stderr), "");
        assert_eq!(String::from_utf8(done.stdout).unwrap(), format!("{ABC}  {name}\n"));
    }
    assert!(server.requests().iter().any(|first| first.starts_with("PUT /api/v1/md5/some%20name ")));
    let done = output(server.command(folder.path(), &["put", "--name", "x", "large"])).await;
    crate::cli::settings::refused(&done, "--name");
}

#[tokio::test]
async fn the_bar_waits_for_digests_and_fits_a_terminal_that_is_resized() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), "abc").unwrap();
    let server = Server::start(|first, _| if first.starts_with("PUT") { accepted() } else { None });
    let OpenptyResult { master, slave } = openpty(&size(80), None).unwrap();
    let mut command = server.command(folder.path(), &["put", "file"]);
    command.env("TERM", "xterm").stdout(Stdio::null()).stderr(slave);
    let mut put = command.spawn().unwrap();
    drop(command);
    let drawn = tokio::task::spawn_blocking(move || {
        let mut terminal = File::from(master);
        let mut drawn = until(&mut terminal, "waiting for digests");
        // SAFETY: the terminal is open, and its size is a value that the call reads.
        let resized = unsafe { nix::libc::ioctl(terminal.as_raw_fd(), nix::libc::TIOCSWINSZ, &size(40)) };
        assert_eq!(resized, 0);
        // The line under way at the resize, and then two more.
        for _ in 0..3 {
            drawn = until(&mut terminal, "\r");
        }
        drawn
    });
    let drawn = drawn.await.unwrap();
    put.kill().unwrap();
    put.wait().unwrap();

    let line = drawn.split(['\r', '\n']).map(visible).max_by_key(|line| line.chars().count()).unwrap();
    assert!(line.chars().count() <= 40 && line.contains("0 of"), "{drawn:?}");
}

/// Runs a command until it has drawn that on a terminal of 80 columns, and ends it; returns everything that was drawn.
pub async fn drawn_until(mut command: Command, word: &'static str) -> String {
    let OpenptyResult { master, slave } = openpty(&size(80), None).unwrap();
    command.env("TERM", "xterm").stdout(Stdio::null()).stderr(slave);
    let mut program = command.spawn().unwrap();
    drop(command);
    let drawing = tokio::task::spawn_blocking(move || until(&mut File::from(master), word));
    let drawn = tokio::time::timeout(test_kit::DEADLINE, drawing).await;
    program.kill().unwrap();
    program.wait().unwrap();
    drawn.unwrap_or_else(|_| panic!("{word} is not drawn")).unwrap()
}

fn size(columns: u16) -> Winsize {
    Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// Returns everything that is drawn until that word.
fn until(terminal: &mut File, word: &str) -> String {
    let mut drawn = Vec::new();
    while !String::from_utf8_lossy(&drawn).contains(word) || drawn.len() < 400 {
        let mut buffer = [0; 256];
        let read = terminal.read(&mut buffer).expect("it draws no more");
        drawn.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&drawn).into_owned()
}

/// A line without what moves the cursor or colours it.
fn visible(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |line, part| {
        line + part.split_once(|c: char| c.is_ascii_alphabetic()).map_or("", |(_, rest)| rest)
    })
}
