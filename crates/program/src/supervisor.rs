//! What the supervisor that started the program is told: systemd's protocol, sd_notify(3). Without such a supervisor, nothing is sent.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

/// Tells the supervisor that the program serves now. From then on tells it at half its watchdog's interval, if it has one, that the async
/// threads run.
pub fn ready() {
    tell(NotifyState::Ready);
    if let Some(interval) = sd_notify::watchdog_enabled() {
        // An interval of zero would be an error of the timer.
        let half = (interval / 2).max(Duration::from_millis(1));
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(half);
            loop {
                ticks.tick().await;
                tell(NotifyState::Watchdog);
            }
        });
    }
}

/// Tells the supervisor that the program drains.
pub(crate) fn stopping() {
    tell(NotifyState::Stopping);
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!("NOTIFY_SOCKET: {error}");
    }
}
