//! The usage of a device by the host or by a guest.

use std::fmt;

use serde::Serialize;

use super::net::NetworkUsage;
use super::process::Process;
use super::severity::Severity;
use crate::Owner;

/// One usage of a device by the host or by a guest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Usage {
    /// A file system on the device is mounted.
    Mount {
        /// Block device of the file system: a partition, a logical volume, …
        block: String,
        /// Mount point.
        mount_point: String,
    },
    /// A file system on the device is mounted, but only in another mount namespace: that of a
    /// container or service.
    PrivateMount {
        /// Block device of the file system.
        block: String,
        /// Mount point in that namespace.
        mount_point: String,
        /// A process in that namespace.
        pid: u32,
        /// Name of that process.
        comm: String,
    },
    /// A loop device is set up over the device, or over a file on the device.
    Loop {
        /// The loop device.
        block: String,
        /// Path of the backing file.
        file: String,
    },
    /// A kernel target exports the device: nvmet, LIO, a USB gadget.
    KernelTarget {
        /// The object in configfs.
        target: String,
        /// The exported device node.
        node: String,
    },
    /// Swap space is on the device.
    Swap {
        /// Block device of the swap space.
        block: String,
    },
    /// A block device of the device is claimed exclusively: by a volume group, RAID, ZFS, a guest.
    Exclusive {
        /// The block device.
        block: String,
        /// Block devices that are made of `block`.
        holders: Vec<String>,
    },
    /// The host needs a network interface of the device.
    Network(NetworkUsage),
    /// The device has virtual functions, which vanish if the device loses its driver.
    VirtualFunctions {
        /// Number of virtual functions.
        count: u32,
    },
    /// The device shows the host's console.
    Console,
    /// A process has a node of the device open.
    Process {
        /// The process.
        pid: u32,
        /// Name of the process.
        comm: String,
        /// The device node.
        node: String,
        /// Whether loss of the device harms the process or its data: block devices, graphics, VFIO.
        vital: bool,
    },
    /// A guest or command of this program has the device.
    Guest {
        /// Name of the guest; `None` for a command, such as one that binds the device.
        name: Option<String>,
        /// The process that runs the guest or command.
        pid: u32,
    },
}

impl Usage {
    /// Describes a mount in this process's mount namespace, or in that of `process`.
    pub(crate) fn mount(block: String, mount_point: String, process: Option<&Process>) -> Self {
        match process {
            None => Self::Mount { block, mount_point },
            Some(Process { pid, comm }) => Self::PrivateMount {
                block,
                mount_point,
                pid: *pid,
                comm: comm.clone(),
            },
        }
    }

    /// Returns the severity of this usage.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Network(network) => network.severity(),
            Self::Process { vital: false, .. } => Severity::Informs,
            _ => Severity::Blocks,
        }
    }
}

impl From<Owner> for Usage {
    fn from(owner: Owner) -> Self {
        Self::Guest {
            name: owner.guest,
            pid: owner.pid,
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mount { block, mount_point } => {
                write!(f, "the file system on {mount_point} ({block})")
            }
            Self::PrivateMount {
                block,
                mount_point,
                pid,
                comm,
            } => write!(
                f,
                "the file system on {mount_point} ({block}) in the mounts of {comm} (pid {pid})"
            ),
            Self::Loop { block, file } => write!(f, "{block}, a loop device over {file}"),
            Self::KernelTarget { target, node } => write!(f, "{target}, which exports {node}"),
            Self::Swap { block } => write!(f, "swap space on {block}"),
            Self::Exclusive { block, holders } if holders.is_empty() => write!(
                f,
                "{block}, claimed exclusively (by a volume manager, RAID, ZFS or a guest)"
            ),
            Self::Exclusive { block, holders } => {
                write!(f, "{block}, part of {}", holders.join(", "))
            }
            Self::Network(network) => write!(f, "{network}"),
            Self::VirtualFunctions { count: 1 } => f.write_str("1 virtual function"),
            Self::VirtualFunctions { count } => write!(f, "{count} virtual functions"),
            Self::Console => f.write_str("the host's console"),
            Self::Process {
                pid, comm, node, ..
            } => write!(f, "{comm} (pid {pid}, {node})"),
            Self::Guest { name, pid } => match name {
                Some(name) => write!(f, "guest {name} (pid {pid})"),
                None => write!(f, "another passthru (pid {pid})"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claim_is_shown_with_its_guest_or_as_a_command() {
        let mut owner = Owner {
            guest: Some("web".into()),
            pid: 7,
        };
        assert_eq!(Usage::from(owner.clone()).to_string(), "guest web (pid 7)");

        owner.guest = None;
        assert_eq!(Usage::from(owner).to_string(), "another passthru (pid 7)");
    }
}
