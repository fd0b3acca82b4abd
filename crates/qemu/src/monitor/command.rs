//! Commands of the monitor.

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

#[cfg(test)]
mod tests {
    use super::*;

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
