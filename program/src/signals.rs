//! Signals: the first SIGTERM or SIGINT drains, the second ends at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// A token that is cancelled by the first SIGTERM or SIGINT. The second one ends the process there and then, which is
/// as safe as `kill -9`.
///
/// # Errors
/// If the system takes no handlers.
pub fn stop_token() -> std::io::Result<CancellationToken> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // A write beyond RLIMIT_FSIZE must be an error, not the end: setrlimit(2). A handler that does nothing is enough,
    // and it stays for the process's life.
    let _ = signal(SignalKind::from_raw(nix::libc::SIGXFSZ))?;
    let stop = CancellationToken::new();
    tokio::spawn({
        let stop = stop.clone();
        async move {
            either(&mut term, &mut int).await;
            info!("stopping; a second signal stops at once");
            stop.cancel();
            either(&mut term, &mut int).await;
            warn!("stopped at once");
            std::process::exit(1);
        }
    });
    Ok(stop)
}

async fn either(term: &mut Signal, int: &mut Signal) {
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
