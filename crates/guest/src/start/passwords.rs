//! Passwords of screens, which are set before the guest runs.

use std::time::{SystemTime, UNIX_EPOCH};

use passthru_domain::device::DisplayPassword;
use passthru_domain::device::graphics::GraphicsType;
use passthru_qemu::monitor::{Command, Expiry, Ticket};

use crate::error::Error;
use crate::plan::start_ops::screen_name;
use crate::run::machine::Machine;

/// Sends the commands that set a password of a guest that waits, and the end of its validity.
///
/// # Errors
/// Those of [`Machine::submit`].
pub(crate) fn submit(
    password: &DisplayPassword<'_>,
    machine: &mut Machine,
) -> Result<Vec<Ticket>, Error> {
    let mut tickets = Vec::new();
    for command in commands(password, unix_now()) {
        tickets.push(machine.submit(&command)?);
    }
    Ok(tickets)
}

/// Returns the commands that set a password and the end of its validity.
///
/// The end comes first, so that no client gets in by an expired password before QEMU knows the end.
/// QEMU's `expire_password` needs no password (`vnc_display_pw_expire`,
/// `qemu_spice_set_pw_expire`). An empty password of VNC is not set: QEMU accepts an empty one, and
/// refuses every client without one (`protocol_client_auth_vnc`).
fn commands(password: &DisplayPassword<'_>, now: i64) -> Vec<Command> {
    let protocol = password.protocol;
    let end = password.valid_to.map(|end| end.unix_seconds());
    let is_over = end.is_some_and(|end| end <= now);
    let is_empty = password.password.as_str().is_empty();
    let time = match end {
        _ if is_over || is_empty => Expiry::Past,
        Some(end) => u64::try_from(end).map_or(Expiry::Past, Expiry::At),
        None => Expiry::Never,
    };
    if is_over {
        let name = screen_name(protocol);
        tracing::warn!("the password of the {name} screen has expired: no client can connect");
    }

    let mut commands = vec![Command::ExpirePassword { protocol, time }];
    if !is_empty || protocol != GraphicsType::Vnc {
        commands.push(Command::SetPassword {
            protocol,
            password: password.password.clone(),
            connected: password.connected,
        });
    }

    commands
}

/// Returns the seconds since 1970.
fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().try_into().unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use passthru_domain::Password;
    use passthru_domain::device::graphics::ConnectedPolicy;

    use super::*;

    /// Returns the commands for a password that is valid up to a time.
    fn sent(
        protocol: GraphicsType,
        password: &Password,
        valid_to: Option<&str>,
        now: i64,
    ) -> Vec<Command> {
        let password = DisplayPassword {
            protocol,
            password,
            valid_to: valid_to.map(|end| end.parse().unwrap()),
            connected: Some(ConnectedPolicy::Keep),
        };
        commands(&password, now)
    }

    /// Asserts that a password is set after the end of its validity, and returns that end.
    fn expiry(password: &Password, valid_to: Option<&str>, now: i64) -> Expiry {
        let protocol = GraphicsType::Spice;
        let sent = sent(protocol, password, valid_to, now);
        let set = Command::SetPassword {
            protocol,
            password: password.clone(),
            connected: Some(ConnectedPolicy::Keep),
        };
        let [Command::ExpirePassword { time, .. }, last] = &sent[..] else {
            panic!("{sent:?}")
        };
        assert_eq!(*last, set);
        *time
    }

    #[test]
    fn password_is_valid_up_to_its_end() {
        let password = Password::from(String::from("velvet"));
        let end = Some("2010-04-09T15:51:00");
        assert_eq!(expiry(&password, None, 5), Expiry::Never);
        assert_eq!(expiry(&password, end, 5), Expiry::At(1_270_828_260));
        assert_eq!(
            expiry(&password, end, 1_270_828_259),
            Expiry::At(1_270_828_260)
        );
        assert_eq!(expiry(&password, end, 1_270_828_260), Expiry::Past);
        assert_eq!(
            expiry(&password, Some("1965-01-01T00:00:00"), -9_999_999_999),
            Expiry::Past
        );
    }

    #[test]
    fn empty_password_of_spice_has_expired() {
        let empty = Password::default();
        assert_eq!(expiry(&empty, None, 5), Expiry::Past);
        assert_eq!(expiry(&empty, Some("2100-01-01T00:00:00"), 5), Expiry::Past);
    }

    #[test]
    fn empty_password_of_vnc_is_not_set() {
        let protocol = GraphicsType::Vnc;
        let time = Expiry::Past;
        assert_eq!(
            sent(protocol, &Password::default(), None, 5),
            [Command::ExpirePassword { protocol, time }]
        );
    }
}
