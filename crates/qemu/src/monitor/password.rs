//! Passwords of screens: the end of their validity.

/// The end of a password's validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// The password is not valid: its end is long past.
    Past,
    /// The password stays valid.
    Never,
    /// The password is valid up to a time, in seconds since 1970.
    At(u64),
}

impl Expiry {
    /// Returns QEMU's spelling. The past is the second 1. VNC lets clients in up to the end of the
    /// last second, so the past must not be the present second.
    pub(super) fn to_text(self) -> String {
        match self {
            Self::Past => "1".into(),
            Self::Never => "never".into(),
            Self::At(seconds) => seconds.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use passthru_domain::device::graphics::{ConnectedPolicy, GraphicsType};
    use serde_json::json;

    use super::*;
    use crate::monitor::Command;

    #[test]
    fn password_is_sent_with_its_policy_and_expiry() {
        let mut command = Command::SetPassword {
            protocol: GraphicsType::Vnc,
            password: String::from("vel\"vet").into(),
            connected: None,
        };
        let expected = json!({ "protocol": "vnc", "password": "vel\"vet" });
        assert_eq!(command.arguments(), expected);

        if let Command::SetPassword { connected, .. } = &mut command {
            *connected = Some(ConnectedPolicy::Disconnect);
        }
        assert_eq!(command.arguments()["connected"], "disconnect");

        for (time, text) in [
            (Expiry::Past, "1"),
            (Expiry::Never, "never"),
            (Expiry::At(1_933_516_260), "1933516260"),
        ] {
            let protocol = GraphicsType::Spice;
            let command = Command::ExpirePassword { protocol, time };
            assert_eq!(
                command.arguments(),
                json!({ "protocol": "spice", "time": text })
            );
        }
    }
}
