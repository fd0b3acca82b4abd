//! Notices to a service manager (`sd_notify(3)`), for units of `Type=notify`.

use sd_notify::{NotifyState, notify};

/// Tells the service manager, if there is one, that the guest runs.
pub(crate) fn tell_ready(guest: &str) {
    let status = format!("guest '{guest}' runs");
    send(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// Tells the service manager, if there is one, that the guest was asked to end.
pub(crate) fn tell_stopping() {
    send(&[NotifyState::Stopping]);
}

fn send(states: &[NotifyState]) {
    if let Err(error) = notify(states) {
        tracing::warn!("cannot tell the service manager: {error}");
    }
}
