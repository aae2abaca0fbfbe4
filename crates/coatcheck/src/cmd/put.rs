//! `coatcheck put`: hands files in and prints what `md5sum` would.

mod bar;
mod files;
mod handed;
mod state;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use client::{AsSent, Client, STDIN, ServerArgs, Task};
use futures::{StreamExt, stream};
use program::{complain, counted, refuse, unwritten};
use tokio::sync::mpsc;

use self::bar::{Bar, Progress};
use self::files::{Files, Listed};
use self::handed::{Handed, PutError, Stage, Tasks};
use self::state::State;
use crate::confirm::ConfirmArgs;
use crate::md5sum;
use crate::terminal::{self, json_line};

/// The most files begun before the first of them is printed. More than the tasks waited for, so that a long file doesn't stop short ones.
const WINDOW: usize = 1024;
/// The most files without a ticket that an interrupted command names.
const NAMED: usize = 10;

/// Hash files on the server and print what md5sum would
///
/// Each file is handed in, several at once, and its digest is printed as soon as it and those before it are known.
/// Standard output holds only lines that `md5sum -c` reads, in the order of the arguments; all else goes to standard
/// error, with a progress bar on a terminal. What the server took it keeps: when the wait for a digest breaks off,
/// the message has the id that `coatcheck get` redeems. Ctrl-C prints the ids of files without a digest yet, and how much was not sent; a second one
/// ends at once. Where the reader of standard output goes away (`| head -1`), it ends without a message, but files that are sent go on.
///
/// A server that is busy, starting or out of reach is tried again for a minute. A file that can't be read or that the server refuses has a
/// line on standard error, and the others go on.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 all files are done; 1 some could not be done, each has a line on standard error, or a signal (Ctrl-C) or the reader of \
standard output ended it; 2 wrong usage or settings; 3 the server can't be reached; 4 it refused the API key, or its owner lacks a right.

Examples:
  coatcheck put disk.img
  coatcheck put *.iso > MD5SUMS && md5sum -c MD5SUMS
  coatcheck put -r photos --resume photos.state > MD5SUMS
  coatcheck put --json *.iso | jq -r '.id + \" \" + .result.md5'
  coatcheck put --no-wait *.iso > tickets
  tar c photos | coatcheck put - --name photos.tar
  coatcheck put --url https://hasher.example -- -odd-name
  SSL_CERT_FILE=our-ca.pem coatcheck put --url https://hasher.intern disk.img")]
pub struct PutArgs {
    /// Files to hand in; - is standard input
    #[arg(value_name = "FILE", required = true)]
    // Not `PathBuf`: clap refuses an empty one as bad usage, and the other files would not be done.
    files: Vec<OsString>,
    /// Hand in all files in folders and those below, in the order of their paths; links in them are not followed
    #[arg(short, long)]
    recursive: bool,
    /// Name of standard input, on the server and in the line that is printed [default: -]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,
    /// Print the task of each file instead, as the server gives it: JSON, a line each
    #[arg(long)]
    json: bool,
    /// Print the tickets instead, a line each, as soon as the server took the files; `coatcheck get` redeems them
    #[arg(long)]
    no_wait: bool,
    /// How many files are handed in at once, 1 to 256
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Keep in this file what is done, so that the same command, called again after an interruption, sends only the rest and prints all lines
    ///
    /// A file that has changed since (its size or its time) is sent again, and so is one whose task failed, and what is not a regular file,
    /// such as standard input.
    #[arg(long, value_name = "STATE")]
    resume: Option<PathBuf>,

    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// The line that is printed of each file.
#[derive(Debug, Clone, Copy)]
enum Form {
    Digest,
    Task { has_ended: bool },
    Ticket,
}

/// The way in which a command ended.
enum End {
    Done { status: u8 },
    Stopped,
    Unwritten(io::Error),
}

/// Runs the command; returns its exit status.
pub async fn run(args: PutArgs) -> ExitCode {
    let has_input = args.files.iter().any(|file| file == STDIN);
    if args.name.is_some() && !has_input {
        return refuse(
            "--name: expected - among the files, for it names standard input; see coatcheck put --help",
        );
    }
    if has_input && program::standard_input().is_err() {
        return refuse("-: standard input is closed; give it a file or a pipe to read");
    }
    if let Err(status) = args.confirm.ask("hand files in") {
        return status;
    }
    let client = match args.server.client() {
        Ok(client) => client,
        Err(error) => return refuse(&error.to_string()),
    };
    let state = match args.resume.as_deref().map(State::open).transpose() {
        Ok(state) => state,
        Err(error) => return refuse(&format!("--resume: {}: {error}", args.shown_state())),
    };
    put(&args, &client, state.as_ref()).await
}

async fn put(args: &PutArgs, client: &Client, state: Option<&State>) -> ExitCode {
    let stop = match program::stop_token() {
        Ok(stop) => stop,
        Err(error) => return refuse(&format!("signals can't be handled: {error}")),
    };
    let form = args.form();
    let files = Files::new(args.files.clone(), args.recursive, args.resume.as_deref());
    let bar = Bar::new(&files, args.recursive);
    let mut listed = files.receiver();
    let tasks = Tasks::new(client, state, args.jobs, !args.no_wait);
    // The files that are begun and have no line yet, in their order.
    let begun: RefCell<VecDeque<Rc<Handed>>> = RefCell::default();
    let is_all_begun = Cell::new(false);
    let mut done = 0;

    let end = {
        let all = stream::poll_fn(|context| {
            let next = listed.poll_recv(context);
            is_all_begun.set(matches!(next, Poll::Ready(None)));
            next
        });
        let mut ended = all
            .map(|listed| {
                let file = Rc::new(Handed::new(listed, args.name.as_deref()));
                begun.borrow_mut().push_back(file.clone());
                let tasks = &tasks;
                async move {
                    let task = tasks.of(&file).await;
                    (file, task)
                }
            })
            .buffered(WINDOW);
        let mut outages = client.outages();
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        let mut status = 0;
        let progress = |done| Progress {
            meter: client.meter(),
            found: tasks.found(),
            done,
            is_sent: is_all_begun.get() && begun.borrow().iter().all(|file| file.is_sent()),
        };
        loop {
            tokio::select! {
                next = ended.next() => {
                    let Some((file, task)) = next else {
                        bar.finish(&progress(done));
                        if let Some(told) = outages.rest() {
                            complain(&told);
                        }
                        break End::Done { status };
                    };
                    let (line, error) = form.of(client, &file, task);
                    if let Some(Err(error)) = line.map(|line| bar.suspend(|| terminal::print(&line))) {
                        break End::Unwritten(error);
                    }
                    if let Some(error) = error {
                        status = status.max(error.status());
                        bar.suspend(|| complain(&format!("{}: {error}", file.in_message())));
                    }
                    done += 1;
                    begun.borrow_mut().pop_front();
                }
                told = outages.next() => bar.suspend(|| complain(&told)),
                () = stop.cancelled() => break End::Stopped,
                _ = tick.tick(), if !bar.is_hidden() => bar.show(&progress(done)),
            }
        }
    };

    if let End::Done { status } = end {
        return ExitCode::from(status);
    }
    bar.clear();
    if let Some(state) = state {
        // The next call sends a file again that the state lacks.
        let _ = state.flush().await;
    }
    if let End::Unwritten(error) = end {
        let status = unwritten(&error);
        // A reader that has gone away (`| head -1`) wants no more lines, and gets no message.
        if error.kind() == ErrorKind::BrokenPipe {
            return status;
        }
    }
    tell_what_is_left(done, begun.take(), listed, args).await;
    ExitCode::FAILURE
}

impl PutArgs {
    const fn form(&self) -> Form {
        match (self.json, self.no_wait) {
            (true, no_wait) => Form::Task { has_ended: !no_wait },
            (false, true) => Form::Ticket,
            (false, false) => Form::Digest,
        }
    }

    fn shown_state(&self) -> String {
        self.resume.as_ref().map_or_else(String::new, |state| state.display().to_string())
    }
}

impl Form {
    /// Returns the line to print for a file, and the reason why it is not done.
    fn of(
        self,
        client: &Client,
        file: &Handed,
        task: Result<AsSent<Task>, PutError>,
    ) -> (Option<Vec<u8>>, Option<PutError>) {
        let task = match task {
            Ok(task) => task,
            Err(error) => return (None, Some(error)),
        };
        let id = task.id;
        let digest = || client.digest(&task).map_err(|source| PutError::NotRedeemed { id, source });
        match self {
            Self::Digest => match digest() {
                Ok(digest) => (Some(md5sum::line(digest, file.shown())), None),
                Err(error) => (None, Some(error)),
            },
            // A task that failed is one too.
            Self::Task { has_ended } => {
                (Some(json_line(task.json()).into_bytes()), has_ended.then(digest).and_then(Result::err))
            }
            Self::Ticket => (Some(format!("{id}\n").into_bytes()), None),
        }
    }
}

/// Reports each ticket that was not redeemed, the first few of the files without one, and the number of each.
async fn tell_what_is_left(
    done: u64,
    begun: VecDeque<Rc<Handed>>,
    mut listed: mpsc::Receiver<Listed>,
    args: &PutArgs,
) {
    let (mut done, mut tickets, mut sending, mut not_sent) = (done, 0, 0, 0);
    let mut tell = |file: &Handed| {
        let (count, what) = match file.stage() {
            Stage::Done => (&mut done, None),
            Stage::Ticket(id) => {
                (&mut tickets, Some(format!("handed in as {id}; to redeem it: {} {id}", args.server.get())))
            }
            Stage::Sending => (
                &mut sending,
                Some("interrupted before the server answered: no ticket; send it again".to_owned()),
            ),
            Stage::NotSent => (&mut not_sent, Some("not sent".to_owned())),
        };
        *count += 1;
        let is_named = matches!(file.stage(), Stage::Ticket(_)) || sending + not_sent <= NAMED as u64;
        if let Some(what) = what.filter(|_| is_named) {
            complain(&format!("{}: {what}", file.in_message()));
        }
    };
    begun.iter().for_each(|file| tell(file));
    while let Some(file) = listed.recv().await {
        tell(&Handed::new(file, args.name.as_deref()));
    }
    let unnamed = (sending + not_sent).saturating_sub(NAMED as u64);
    if unnamed > 0 {
        complain(&format!("and {unnamed} more without a ticket"));
    }
    complain(&format!(
        "of {}: done {done}, with a ticket {tickets}, interrupted {sending}, not sent {not_sent}",
        counted(done + tickets + sending + not_sent, "file")
    ));
    if args.resume.is_some() {
        complain("the same command, called again, goes on from there");
    }
}
