//! Commands of the monitor.

use passthru_domain::Password;
use passthru_domain::device::graphics::{ConnectedPolicy, GraphicsType};
use serde_json::{Map, Value, json};

use super::password::Expiry;

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
    /// `query-status`: returns whether the guest runs, as a [`RunStatus`](super::RunStatus).
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
    /// `qom-list`: returns the members of an object, as a list of
    /// [`QomMember`](super::QomMember).
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
    /// `getfd`: gives a name to the descriptor that is sent with the command. QEMU closes an
    /// earlier descriptor of that name.
    Getfd {
        /// The name, which does not begin with a digit.
        fdname: String,
    },
    /// `closefd`: closes a descriptor by the name that `getfd` gave it. A device or an object that
    /// was made with the name has taken it.
    Closefd {
        /// The name.
        fdname: String,
    },
    /// `add-fd`: adds the descriptor that is sent with the command to an fd set. The answer is an
    /// [`AddedFd`](super::AddedFd).
    AddFd {
        /// Number of the set. QEMU makes the set if it does not exist.
        fdset_id: u32,
        /// Text that [`Command::QueryFdsets`] shows for the descriptor.
        opaque: Option<String>,
    },
    /// `remove-fd`: takes a descriptor, or all of them, out of an fd set, and closes them.
    RemoveFd {
        /// Number of the set.
        fdset_id: u32,
        /// QEMU's number of the descriptor; all descriptors of the set if it is absent.
        fd: Option<u32>,
    },
    /// `query-fdsets`: returns the fd sets, as a list of [`FdSet`](super::FdSet).
    QueryFdsets,
    /// `object-add`: makes an object.
    ObjectAdd {
        /// Type, id and properties of the object.
        object: Value,
    },
    /// `object-del`: removes an object that no device uses.
    ObjectDel {
        /// Id of the object.
        id: String,
    },
    /// `blockdev-add`: makes a block node.
    BlockdevAdd {
        /// Driver, name and properties of the node.
        node: Value,
    },
    /// `blockdev-del`: removes a block node that no device and no other node uses.
    BlockdevDel {
        /// Name of the node.
        node_name: String,
    },
    /// `query-named-block-nodes`: returns the block nodes, as a list of
    /// [`BlockNode`](super::BlockNode).
    QueryNamedBlockNodes,
    /// `query-block`: returns the drives, as a list of [`Drive`](super::Drive).
    QueryBlock,
    /// `blockdev-open-tray`: opens the tray of a drive. If the guest has locked the tray, QEMU asks
    /// the guest to open it, and the event `DEVICE_TRAY_MOVED` tells when that is done.
    BlockdevOpenTray {
        /// Id of the drive's device.
        id: String,
        /// Whether a locked tray is opened without the guest.
        force: bool,
    },
    /// `blockdev-close-tray`: closes the tray of a drive.
    BlockdevCloseTray {
        /// Id of the drive's device.
        id: String,
    },
    /// `blockdev-remove-medium`: takes the medium out of a drive whose tray is open.
    BlockdevRemoveMedium {
        /// Id of the drive's device.
        id: String,
    },
    /// `blockdev-insert-medium`: puts a block node into an empty drive whose tray is open.
    BlockdevInsertMedium {
        /// Id of the drive's device.
        id: String,
        /// Name of the node.
        node_name: String,
    },
    /// `netdev_add`: makes the host's end of a network card.
    NetdevAdd {
        /// Type, id and properties.
        netdev: Value,
    },
    /// `netdev_del`: removes the host's end of a network card.
    NetdevDel {
        /// Id of the host's end.
        id: String,
    },
    /// `chardev-add`: makes a character device.
    ChardevAdd {
        /// Id of the character device.
        id: String,
        /// Type and properties, as in QEMU's `ChardevBackend`.
        backend: Value,
    },
    /// `chardev-remove`: removes a character device that no device uses.
    ChardevRemove {
        /// Id of the character device.
        id: String,
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
    /// A command that a user wrote.
    Other {
        /// Name of the command.
        name: String,
        /// Arguments.
        arguments: Map<String, Value>,
    },
}

impl Command {
    /// Returns QEMU's name of the command.
    pub fn name(&self) -> &str {
        match self {
            Self::Other { name, .. } => name,
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
            Self::Closefd { .. } => "closefd",
            Self::AddFd { .. } => "add-fd",
            Self::RemoveFd { .. } => "remove-fd",
            Self::QueryFdsets => "query-fdsets",
            Self::ObjectAdd { .. } => "object-add",
            Self::ObjectDel { .. } => "object-del",
            Self::BlockdevAdd { .. } => "blockdev-add",
            Self::BlockdevDel { .. } => "blockdev-del",
            Self::QueryNamedBlockNodes => "query-named-block-nodes",
            Self::QueryBlock => "query-block",
            Self::BlockdevOpenTray { .. } => "blockdev-open-tray",
            Self::BlockdevCloseTray { .. } => "blockdev-close-tray",
            Self::BlockdevRemoveMedium { .. } => "blockdev-remove-medium",
            Self::BlockdevInsertMedium { .. } => "blockdev-insert-medium",
            Self::NetdevAdd { .. } => "netdev_add",
            Self::NetdevDel { .. } => "netdev_del",
            Self::ChardevAdd { .. } => "chardev-add",
            Self::ChardevRemove { .. } => "chardev-remove",
            Self::DeviceAdd { .. } => "device_add",
            Self::DeviceDel { .. } => "device_del",
        }
    }

    /// Returns the arguments: an object, which is empty for a command that has none.
    pub(super) fn arguments(&self) -> Value {
        match self {
            Self::Balloon { value } => json!({ "value": value }),
            Self::SetPassword {
                protocol,
                password,
                connected,
            } => with_optional(
                json!({ "protocol": protocol.as_str(), "password": password.as_str() }),
                "connected",
                connected.map(|policy| policy.as_str()),
            ),
            Self::ExpirePassword { protocol, time } => {
                json!({ "protocol": protocol.as_str(), "time": time.to_text() })
            }
            Self::DeviceListProperties { typename } => json!({ "typename": typename }),
            Self::QomList { path } => json!({ "path": path }),
            Self::QomGet { path, property } => json!({ "path": path, "property": property }),
            Self::Getfd { fdname } | Self::Closefd { fdname } => json!({ "fdname": fdname }),
            Self::AddFd { fdset_id, opaque } => {
                with_optional(json!({ "fdset-id": fdset_id }), "opaque", opaque.as_deref())
            }
            Self::RemoveFd { fdset_id, fd } => {
                with_optional(json!({ "fdset-id": fdset_id }), "fd", *fd)
            }
            Self::ObjectAdd { object } => object.clone(),
            Self::BlockdevAdd { node } => node.clone(),
            Self::NetdevAdd { netdev } => netdev.clone(),
            Self::DeviceAdd { device } => device.clone(),
            Self::ChardevAdd { id, backend } => json!({ "id": id, "backend": backend }),
            Self::BlockdevDel { node_name } => json!({ "node-name": node_name }),
            // Without `flat`, each node holds all nodes below it once more.
            Self::QueryNamedBlockNodes => json!({ "flat": true }),
            Self::BlockdevOpenTray { id, force } => json!({ "id": id, "force": force }),
            Self::BlockdevInsertMedium { id, node_name } => {
                json!({ "id": id, "node-name": node_name })
            }
            Self::ObjectDel { id }
            | Self::BlockdevCloseTray { id }
            | Self::BlockdevRemoveMedium { id }
            | Self::NetdevDel { id }
            | Self::ChardevRemove { id }
            | Self::DeviceDel { id } => json!({ "id": id }),
            Self::Other { arguments, .. } => arguments.clone().into(),
            _ => Value::Object(Map::new()),
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
    /// memory, or wait until the machine is set up, take minutes and have none. Nor have those of
    /// a user, which may take long for a reason.
    pub(super) const fn is_limited(&self) -> bool {
        !matches!(
            self,
            Self::QmpCapabilities
                | Self::DeviceAdd { .. }
                | Self::ObjectAdd { .. }
                | Self::Other { .. }
        )
    }
}

/// Adds a member to a command's arguments, if there is a value for it.
fn with_optional(mut arguments: Value, key: &str, value: Option<impl Into<Value>>) -> Value {
    if let Some(value) = value {
        arguments[key] = value.into();
    }
    arguments
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
    fn optional_arguments_are_sent_only_if_given() {
        let mut add = Command::AddFd {
            fdset_id: 7,
            opaque: None,
        };
        assert_eq!(add.arguments(), json!({ "fdset-id": 7 }));

        if let Command::AddFd { opaque, .. } = &mut add {
            *opaque = Some("passthru:iommufd0".into());
        }
        let expected = json!({ "fdset-id": 7, "opaque": "passthru:iommufd0" });
        assert_eq!(add.arguments(), expected);

        let fdset_id = 7;
        let fd = None;
        let all = Command::RemoveFd { fdset_id, fd };
        let sent = all.arguments();
        assert_eq!(sent, json!({ "fdset-id": 7 }));

        let fd = Some(31);
        let one = Command::RemoveFd { fdset_id, fd };
        let sent = one.arguments();
        assert_eq!(sent, json!({ "fdset-id": 7, "fd": 31 }));
    }

    #[test]
    fn medium_is_changed_by_the_id_of_the_device() {
        let id = String::from("sata0-0-0");
        let node_name = "libvirt-3-storage".to_owned();
        let force = false;
        for (command, name, arguments) in [
            (
                Command::BlockdevOpenTray {
                    id: id.clone(),
                    force,
                },
                "blockdev-open-tray",
                json!({ "id": "sata0-0-0", "force": false }),
            ),
            (
                Command::BlockdevRemoveMedium { id: id.clone() },
                "blockdev-remove-medium",
                json!({ "id": "sata0-0-0" }),
            ),
            (
                Command::BlockdevInsertMedium {
                    id: id.clone(),
                    node_name,
                },
                "blockdev-insert-medium",
                json!({ "id": "sata0-0-0", "node-name": "libvirt-3-storage" }),
            ),
            (
                Command::BlockdevCloseTray { id: id.clone() },
                "blockdev-close-tray",
                json!({ "id": "sata0-0-0" }),
            ),
        ] {
            assert_eq!((command.name(), command.arguments()), (name, arguments));
        }
    }

    #[test]
    fn only_commands_that_pin_memory_have_no_limit() {
        let object = json!({ "qom-type": "iommufd", "id": "iommufd0" });
        let device = json!({ "driver": "vfio-pci", "id": "hostdev0" });
        assert!(!Command::ObjectAdd { object }.is_limited());
        assert!(!Command::DeviceAdd { device }.is_limited());

        let id = "hostdev0".to_owned();
        assert!(Command::DeviceDel { id }.is_limited());

        let id = "iommufd0".to_owned();
        assert!(Command::ObjectDel { id }.is_limited());

        let node = json!({ "driver": "file" });
        assert!(Command::BlockdevAdd { node }.is_limited());
        assert!(Command::QueryFdsets.is_limited());
    }

    #[test]
    fn command_without_arguments_sends_an_empty_object() {
        let line = Command::Quit.to_line(1);
        let expected = "{\"execute\":\"quit\",\"arguments\":{},\"id\":1}\n";
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }
}
