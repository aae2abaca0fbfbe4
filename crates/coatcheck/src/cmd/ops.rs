//! `coatcheck ops`: the page for operators on a terminal, live.

mod acts;
mod app;
mod audit;
mod keys;
mod now;
mod pane;
mod reads;
mod screen;
mod task;
mod tasks;
mod text;
mod workers;

use std::future::pending;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use chrono::Utc;
use client::{Client, ClientError, ServerArgs};
use futures::future::LocalBoxFuture;
use nix::libc::{SIGCONT, SIGTSTP};
use program::{complain, refuse, unwritten};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use self::acts::After;
use self::app::{App, Wish};
use self::reads::{Answer, Read};
use self::screen::Screen;

/// The pause between two reads.
const PERIOD: Duration = Duration::from_secs(1);
/// The longest pause while the server is away.
const LONGEST: Duration = Duration::from_secs(5);

/// Watch the service on a terminal, live, and act on it
///
/// The page /operate on a terminal: kinds with what is pending and running and how long the oldest waits, throughput and waiting times, failures
/// by code, tasks with a search, one task with its attempts, workers with what they run, and the audit. It reads the server each second. It
/// retries and cancels tasks, one by one or all of a list, pauses kinds and drains workers, and asks before each. Where the server refuses changes
/// it is read-only. The line at the bottom has the keys, and ? has all of them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 q, Ctrl-C or kill ended it; 1 the terminal could not be written, or it ended before the server had answered an act: standard \
error says which; 2 wrong usage or settings, or standard input or output is not a terminal; 3 the server can't be reached at the start; \
4 it refused the API key, or its owner lacks the right viewer.

Examples:
  coatcheck ops
  coatcheck ops --url https://hasher.example --coatcheck-token-file key
  coatcheck ops --context prod")]
pub struct OpsArgs {
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the command; returns its exit status.
pub async fn run(args: OpsArgs) -> ExitCode {
    if let Err(error) = needs_terminal() {
        return refuse(&error);
    }
    // One for what is read each second, and one for acts, which are repeated until they are answered.
    let clients = args.server.client().and_then(|client| Ok((client.for_live_view(), args.server.client()?)));
    let (reader, actor) = match clients {
        Ok(clients) => clients,
        Err(error) => return refuse(&error.to_string()),
    };
    let mut app = App::new(reader.name());
    match ask(&app, &reader).await {
        // A server that is busy or starting may answer soon.
        answer @ (Ok(_) | Err(ClientError::Busy { .. })) => app.answered(answer),
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(error.status());
        }
    }
    let stop = match program::stop_token() {
        Ok(stop) => stop,
        Err(error) => return refuse(&format!("the handlers of signals could not be installed: {error}")),
    };
    let ended = match Screen::take() {
        Ok(mut screen) => show(&mut screen, &mut app, (&reader, &actor), stop).await,
        Err(error) => {
            return refuse(&format!(
                "the terminal can't be set: {}",
                program::without_numbers(&error.to_string())
            ));
        }
    };
    match (ended, app.acting()) {
        (Err(error), _) => unwritten(&error),
        (Ok(()), None) => ExitCode::SUCCESS,
        (Ok(()), Some(act)) => {
            complain(&format!("{act}: the server had not answered yet; it may be done or not"));
            ExitCode::FAILURE
        }
    }
}

/// Checks that a view can be drawn.
fn needs_terminal() -> Result<(), String> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err("ops: expected a terminal as standard input and output; in a pipe, use coatcheck ls, watch or outcomes".to_owned());
    }
    match program::variable("TERM")?.as_deref() {
        Some("dumb") => Err(
            "TERM: expected a terminal that can be drawn on, got dumb; use coatcheck ls, watch or outcomes"
                .to_owned(),
        ),
        _ => Ok(()),
    }
}

fn ask<'a>(app: &App, reader: &'a Client) -> LocalBoxFuture<'a, Result<Answer, ClientError>> {
    Box::pin(app.wanted().ask(reader, app.wants_failures(), app.wants_rights()))
}

/// Waits for the end of what is under way, if something is.
async fn end_of<T>(under_way: &mut Option<LocalBoxFuture<'_, T>>) -> T {
    match under_way {
        Some(under_way) => under_way.await,
        None => pending().await,
    }
}

/// Shows the view until it is left, or `stop` is cancelled. Nothing of it runs elsewhere: a panic ends the program.
async fn show(
    screen: &mut Screen,
    app: &mut App,
    (reader, actor): (&Client, &Client),
    stop: CancellationToken,
) -> io::Result<()> {
    let mut keys = keys::keys();
    let mut resized = signal(SignalKind::window_change())?;
    let (mut suspended, mut continued) =
        (signal(SignalKind::from_raw(SIGTSTP))?, signal(SignalKind::from_raw(SIGCONT))?);
    let mut clock = interval(PERIOD);
    let mut reading = None::<LocalBoxFuture<'_, Result<Answer, ClientError>>>;
    let mut acting = None::<LocalBoxFuture<'_, Result<After, ClientError>>>;
    let (mut read, mut next, mut failures): (Option<Read>, _, _) = (None, Instant::now(), 0);
    loop {
        screen.draw(app.lines(screen.size(), Utc::now()))?;
        let wanted = app.wanted();
        if read.as_ref() != Some(&wanted) || (reading.is_none() && Instant::now() >= next) {
            (reading, read) = (Some(ask(app, reader)), Some(wanted));
        }
        let wish = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            key = keys.recv() => match key {
                Some(key) => app.key(key),
                // The terminal is gone.
                None => return Ok(()),
            },
            outcome = end_of(&mut acting) => {
                acting = None;
                app.done(outcome);
                next = Instant::now();
                None
            }
            answer = end_of(&mut reading) => {
                reading = None;
                let pause = match &answer {
                    Ok(_) => PERIOD,
                    Err(error) => error.pause(failures).clamp(PERIOD, LONGEST),
                };
                failures = if answer.is_ok() { 0 } else { failures + 1 };
                next = Instant::now() + pause;
                app.answered(answer);
                None
            }
            () = sleep_until(next), if reading.is_none() => None,
            _ = clock.tick() => None,
            _ = resized.recv() => Some(Wish::Redraw),
            _ = suspended.recv() => {
                screen.suspend();
                None
            }
            _ = continued.recv() => {
                screen.resume()?;
                None
            }
        };
        match wish {
            Some(Wish::Quit) => return Ok(()),
            Some(Wish::Redraw) => screen.forget(),
            Some(Wish::Do(act)) => {
                app.begun(&act);
                acting = Some(Box::pin(act.run(actor)));
            }
            None => {}
        }
    }
}
