//! Commands of the monitor.

use passthru_domain::Password;
use passthru_domain::device::graphics::{ConnectedPolicy, GraphicsType};
use serde_json::{Value, json};

/// A command of QEMU's monitor, with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// `qmp_capabilities`: leaves the negotiation that each connection begins with.
    QmpCapabilities,
    /// `cont`: lets the guest run.
    Cont,
    /// `stop`: pauses the guest.
    Stop,
    /// `quit`: ends QEMU.
    Quit,
    /// `system_powerdown`: presses the guest's power button.
    SystemPowerdown,
    /// `system_reset`: resets the guest.
    SystemReset,
    /// `balloon`: sets the memory that the balloon leaves to the guest.
    Balloon {
        /// Bytes of memory.
        value: u64,
    },
    /// `set_password`: sets the password of a screen.
    SetPassword {
        /// Kind of the screen: VNC or SPICE.
        protocol: GraphicsType,
        /// The password.
        password: Password,
        /// Handling of open sessions. QEMU keeps them if it is absent.
        connected: Option<ConnectedPolicy>,
    },
    /// `expire_password`: sets the end of a password's validity.
    ExpirePassword {
        /// Kind of the screen: VNC or SPICE.
        protocol: GraphicsType,
        /// End of the validity.
        time: Expiry,
    },
    /// `query-status`: returns whether the guest runs.
    QueryStatus,
    /// `query-chardev`: returns the character devices.
    QueryChardev,
    /// `query-machines`: returns the machine types.
    QueryMachines,
    /// `query-target`: returns the architecture of the emulator.
    QueryTarget,
    /// `query-version`: returns QEMU's version.
    QueryVersion,
    /// `qom-list-types`: returns the types of devices and objects.
    QomListTypes,
    /// `device-list-properties`: returns the properties of a type of device.
    DeviceListProperties {
        /// Name of the type.
        typename: String,
    },
    /// `qom-list`: returns the members of an object.
    QomList {
        /// Path of the object.
        path: String,
    },
    /// `qom-get`: returns a property of an object.
    QomGet {
        /// Path of the object.
        path: String,
        /// Name of the property.
        property: String,
    },
    /// `getfd`: gives a name to the descriptor that is sent with the command.
    Getfd {
        /// The name.
        fdname: String,
    },
    /// `object-add`: makes an object.
    ObjectAdd {
        /// Type, id and properties of the object.
        object: Value,
    },
    /// `device_add`: plugs in a device.
    DeviceAdd {
        /// Driver, id and properties of the device.
        device: Value,
    },
    /// `device_del`: asks the guest to release a device.
    DeviceDel {
        /// Id of the device.
        id: String,
    },
}

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

impl Command {
    /// Returns QEMU's name of the command.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::QmpCapabilities => "qmp_capabilities",
            Self::Cont => "cont",
            Self::Stop => "stop",
            Self::Quit => "quit",
            Self::SystemPowerdown => "system_powerdown",
            Self::SystemReset => "system_reset",
            Self::Balloon { .. } => "balloon",
            Self::SetPassword { .. } => "set_password",
            Self::ExpirePassword { .. } => "expire_password",
            Self::QueryStatus => "query-status",
            Self::QueryChardev => "query-chardev",
            Self::QueryMachines => "query-machines",
            Self::QueryTarget => "query-target",
            Self::QueryVersion => "query-version",
            Self::QomListTypes => "qom-list-types",
            Self::DeviceListProperties { .. } => "device-list-properties",
            Self::QomList { .. } => "qom-list",
            Self::QomGet { .. } => "qom-get",
            Self::Getfd { .. } => "getfd",
            Self::ObjectAdd { .. } => "object-add",
            Self::DeviceAdd { .. } => "device_add",
            Self::DeviceDel { .. } => "device_del",
        }
    }

    /// Returns the arguments: an object, which is empty for a command that has none.
    fn arguments(&self) -> Value {
        match self {
            Self::Balloon { value } => json!({ "value": value }),
            Self::SetPassword {
                protocol,
                password,
                connected,
            } => password_arguments(*protocol, password, *connected),
            Self::ExpirePassword { protocol, time } => {
                json!({ "protocol": protocol.as_str(), "time": time.to_text() })
            }
            Self::DeviceListProperties { typename } => json!({ "typename": typename }),
            Self::QomList { path } => json!({ "path": path }),
            Self::QomGet { path, property } => json!({ "path": path, "property": property }),
            Self::Getfd { fdname } => json!({ "fdname": fdname }),
            Self::ObjectAdd { object } => object.clone(),
            Self::DeviceAdd { device } => device.clone(),
            Self::DeviceDel { id } => json!({ "id": id }),
            _ => json!({}),
        }
    }

    /// Returns the part of the arguments that no message may show.
    pub(super) const fn secret(&self) -> Option<&Password> {
        match self {
            Self::SetPassword { password, .. } => Some(password),
            _ => None,
        }
    }

    /// Returns the line that is sent for the command; `id` comes back in the answer.
    pub(super) fn to_line(&self, id: u64) -> Vec<u8> {
        let message = json!({ "execute": self.name(), "arguments": self.arguments(), "id": id });
        format!("{message}\n").into_bytes()
    }

    /// Returns whether the wait for the answer has a time limit. Commands that pin the guest's
    /// memory, or wait until the machine is set up, take minutes and have none.
    pub(super) const fn is_limited(&self) -> bool {
        !matches!(
            self,
            Self::QmpCapabilities | Self::DeviceAdd { .. } | Self::ObjectAdd { .. }
        )
    }
}

impl Expiry {
    /// Returns QEMU's spelling. The past is the second 1. VNC lets clients in up to the end of the
    /// last second, so the past must not be the present second.
    fn to_text(self) -> String {
        match self {
            Self::Past => "1".into(),
            Self::Never => "never".into(),
            Self::At(seconds) => seconds.to_string(),
        }
    }
}

fn password_arguments(
    protocol: GraphicsType,
    password: &Password,
    connected: Option<ConnectedPolicy>,
) -> Value {
    let mut arguments = json!({ "protocol": protocol.as_str(), "password": password.as_str() });
    if let Some(policy) = connected {
        arguments["connected"] = policy.as_str().into();
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(command: &Command) -> Value {
        let line = command.to_line(1);
        serde_json::from_slice::<Value>(&line).unwrap()["arguments"].take()
    }

    #[test]
    fn password_is_sent_with_its_policy_and_expiry() {
        let mut command = Command::SetPassword {
            protocol: GraphicsType::Vnc,
            password: String::from("vel\"vet").into(),
            connected: None,
        };
        let expected = json!({ "protocol": "vnc", "password": "vel\"vet" });
        assert_eq!(sent(&command), expected);

        if let Command::SetPassword { connected, .. } = &mut command {
            *connected = Some(ConnectedPolicy::Disconnect);
        }
        assert_eq!(sent(&command)["connected"], "disconnect");

        for (time, text) in [
            (Expiry::Past, "1"),
            (Expiry::Never, "never"),
            (Expiry::At(1_933_516_260), "1933516260"),
        ] {
            let protocol = GraphicsType::Spice;
            let command = Command::ExpirePassword { protocol, time };
            assert_eq!(sent(&command), json!({ "protocol": "spice", "time": text }));
        }
    }

    #[test]
    fn command_line_holds_name_arguments_and_id() {
        let line = Command::Balloon { value: 4096 }.to_line(7);
        let expected = "{\"execute\":\"balloon\",\"arguments\":{\"value\":4096},\"id\":7}\n";
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }

    #[test]
    fn command_without_arguments_sends_an_empty_object() {
        let line = Command::Quit.to_line(1);
        let expected = "{\"execute\":\"quit\",\"arguments\":{},\"id\":1}\n";
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }
}
