//! Signals: the first SIGTERM, SIGINT or SIGHUP stops the process, a later one ends it at once; SIGUSR1 drains its worker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::supervisor;

/// Signals that arrive within this time of the first one belong to the same stop: `timeout` signals its child and then the child's process
/// group, and so do some supervisors.
const SAME_STOP: Duration = Duration::from_secs(1);

/// Returns a token that the first SIGTERM, SIGINT or SIGHUP cancels. A signal that arrives more than a second later ends the process
/// at once, which is as safe as `kill -9`. SIGHUP stays ignored if the program was started with it ignored, as by `nohup`.
///
/// # Errors
/// If the system accepts no handlers.
pub fn stop_token() -> std::io::Result<CancellationToken> {
    let mut signals = Signals::new()?;
    // A write beyond RLIMIT_FSIZE must be an error and not end the process: setrlimit(2). A handler that does nothing is enough, and stays
    // for the process's life.
    let _ = signal(SignalKind::from_raw(nix::libc::SIGXFSZ))?;
    let stop = CancellationToken::new();
    tokio::spawn({
        let stop = stop.clone();
        async move {
            signals.next().await;
            let first = Instant::now();
            info!("stopping; a second signal ends the process at once");
            supervisor::stopping();
            stop.cancel();
            loop {
                signals.next().await;
                if is_another(first.elapsed()) {
                    break;
                }
            }
            warn!("stopped at once");
            std::process::exit(1);
        }
    });
    Ok(stop)
}

/// Returns a notification of each SIGUSR1.
///
/// # Errors
/// If the system accepts no handler.
pub fn drain_signal() -> std::io::Result<Arc<Notify>> {
    let mut signals = signal(SignalKind::user_defined1())?;
    let notify = Arc::new(Notify::new());
    tokio::spawn({
        let notify = notify.clone();
        async move {
            while signals.recv().await.is_some() {
                notify.notify_one();
            }
        }
    });
    Ok(notify)
}

/// Returns whether a signal that long after the first one belongs to another stop.
fn is_another(after: Duration) -> bool {
    after >= SAME_STOP
}

/// The signals that ask the program to stop.
struct Signals {
    term: Signal,
    int: Signal,
    hup: Option<Signal>,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let hup = match ignores_hangup(&status) {
            true => None,
            false => Some(signal(SignalKind::hangup())?),
        };
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())?, hup })
    }

    async fn next(&mut self) {
        let hup = async {
            match &mut self.hup {
                Some(hup) => hup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
            _ = hup => {}
        }
    }
}

/// Returns whether the process of that `/proc/PID/status` ignores SIGHUP. The mask has one bit for each signal, from 1 on.
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask & 1 << (nix::libc::SIGHUP - 1) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_signals_within_a_moment_are_one_stop() {
        assert!(!is_another(Duration::ZERO) && !is_another(Duration::from_millis(500)));
        assert!(is_another(Duration::from_secs(2)));
    }

    #[test]
    fn a_hangup_that_is_ignored_is_seen_in_the_status() {
        assert!(ignores_hangup("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000000\n"));
        assert!(!ignores_hangup("SigIgn:\t0000000000001000\nSigCgt:\t0000000000000001\n"));
        assert!(!ignores_hangup(""));
    }
}
