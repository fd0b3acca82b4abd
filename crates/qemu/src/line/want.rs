//! Descriptors and files that a command line needs from outside.
//!
//! A command line opens nothing. A [`Want`] stands for each descriptor or file, until
//! [`Resolve`](super::Resolve) says what to write in its place.

use passthru_domain::Descriptor;
use passthru_pci::Address;

/// A descriptor or file that the guest's manager opens, or leaves to the emulator to open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Want {
    /// Name, which is unique on a command line: an object's id, a device's alias, or a block
    /// node's name.
    pub name: String,
    /// Kind of descriptor or file.
    pub kind: WantKind,
}

/// Kind of a descriptor or file that a command line needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WantKind {
    /// An open `/dev/iommu`, for `-object iommufd,fd=`.
    Iommufd {
        /// Descriptor that the caller hands in, if the domain gives one.
        given: Option<Descriptor>,
    },
    /// An open VFIO cdev, for `-device vfio-pci,fd=`.
    Vfio {
        /// The device on the host.
        host: Address,
        /// Id of the iommufd object that the device uses.
        iommufd: String,
        /// Descriptor that the caller hands in, if the domain gives one.
        given: Option<Descriptor>,
    },
    /// An open vhost device, for `vhostfd=`.
    Vhost {
        /// Path of the device, such as `/dev/vhost-scsi`.
        path: String,
    },
    /// The `/dev/sgN` of a SCSI device of the host. The want's name holds adapter, bus, target and
    /// unit.
    ScsiGeneric,
    /// A listening Unix socket, for `-chardev socket,fd=`.
    Listener {
        /// Path of the socket.
        path: String,
    },
    /// A connected Unix socket, for `-chardev socket,fd=`, to a process that was started for the
    /// guest.
    Connected {
        /// Path at which the process listens.
        path: String,
    },
    /// A queue of a network tap, for `-netdev tap,fd=`.
    Tap {
        /// Name of the interface on the host. If the name is absent or ends with `%d`, the kernel
        /// chooses a free one.
        ifname: Option<String>,
        /// Whether the tap has several queues.
        multiqueue: bool,
    },
    /// A secret of the user, encrypted with the guest's master key.
    Secret {
        /// Name of the secret: its usage or UUID.
        name: String,
    },
    /// A device node of the host, open for reading and writing, in an fd set.
    NodeSet {
        /// Path of the node.
        path: String,
    },
    /// `/dev/kvm`, for `-accel kvm,device=`.
    Kvm,
    /// A file that exists.
    File {
        /// Path of the file.
        path: String,
        /// Access that the emulator needs.
        access: Access,
        /// Means of passing the file.
        passing: FilePassing,
    },
    /// A file for the emulator's output, which is created if it does not exist.
    Output {
        /// Path of the file.
        path: String,
        /// Whether output is appended to the file's contents.
        append: bool,
    },
    /// A folder in which the emulator creates files.
    Folder {
        /// Path of the folder.
        path: String,
    },
}

/// Access to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reading.
    ReadOnly,
    /// Reading and writing. QEMU's `auto-read-only` opens such a file for reading first, so its fd
    /// set needs a descriptor of either kind.
    ReadWrite,
}

/// Means of passing a file to the emulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FilePassing {
    /// A member of an fd set: `/dev/fdset/N`.
    FdSet,
    /// A path that the emulator opens, such as `/proc/self/fd/N` of a sealed copy in memory. QEMU
    /// reads such a file with plain open(2), which knows no fd sets.
    Copy,
}

/// Means of passing a descriptor or file to a running QEMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlugPassing {
    /// The name that `getfd` gave a descriptor. The command takes and closes it.
    Name,
    /// The number in QEMU that `add-fd` answered with. `remove-fd` closes it.
    Number,
    /// `/proc/self/fd/N`, where N is the number in QEMU that `add-fd` answered with.
    NumberPath,
    /// `/dev/fdset/N`, an fd set that `add-fd` made.
    FdSet,
}

impl Want {
    pub(crate) fn file(
        name: impl Into<String>,
        path: impl Into<String>,
        access: Access,
        passing: FilePassing,
    ) -> Self {
        Self {
            name: name.into(),
            kind: WantKind::File {
                path: path.into(),
                access,
                passing,
            },
        }
    }

    /// Returns the descriptor that the caller hands in, if the domain gives one.
    pub const fn given(&self) -> Option<&Descriptor> {
        match &self.kind {
            WantKind::Iommufd { given } | WantKind::Vfio { given, .. } => given.as_ref(),
            _ => None,
        }
    }

    /// Returns whether the line names a descriptor, and never a path.
    pub const fn is_descriptor(&self) -> bool {
        matches!(
            self.kind,
            WantKind::Iommufd { .. }
                | WantKind::Vfio { .. }
                | WantKind::Listener { .. }
                | WantKind::Vhost { .. }
                | WantKind::ScsiGeneric
                | WantKind::Connected { .. }
                | WantKind::Tap { .. }
                | WantKind::Secret { .. }
        )
    }

    /// Returns the path of the file or node; `None` for a VFIO or SCSI device and for a secret.
    pub fn path(&self) -> Option<&str> {
        match &self.kind {
            WantKind::Iommufd { .. } => Some("/dev/iommu"),
            WantKind::Vfio { .. } | WantKind::ScsiGeneric => None,
            WantKind::Secret { .. } => None,
            WantKind::Tap { .. } => Some("/dev/net/tun"),
            WantKind::Kvm => Some("/dev/kvm"),
            WantKind::Listener { path }
            | WantKind::Vhost { path }
            | WantKind::Connected { path }
            | WantKind::NodeSet { path }
            | WantKind::File { path, .. }
            | WantKind::Output { path, .. }
            | WantKind::Folder { path } => Some(path),
        }
    }

    /// Returns how a running QEMU gets the descriptor or file; `None` if it must have it from the
    /// start.
    pub const fn plug_passing(&self) -> Option<PlugPassing> {
        match self.kind {
            WantKind::Iommufd { .. } => Some(PlugPassing::Number),
            WantKind::Vfio { .. }
            | WantKind::Vhost { .. }
            | WantKind::Tap { .. }
            | WantKind::Listener { .. }
            | WantKind::Connected { .. } => Some(PlugPassing::Name),
            WantKind::File {
                passing: FilePassing::Copy,
                ..
            } => Some(PlugPassing::NumberPath),
            WantKind::File { .. } | WantKind::NodeSet { .. } | WantKind::Output { .. } => {
                Some(PlugPassing::FdSet)
            }
            WantKind::ScsiGeneric
            | WantKind::Secret { .. }
            | WantKind::Kvm
            | WantKind::Folder { .. } => None,
        }
    }

    /// Returns one word for the kind, as in the JSON form of a command line.
    pub const fn kind_name(&self) -> &'static str {
        match self.kind {
            WantKind::Iommufd { .. } => "iommufd",
            WantKind::Vfio { .. } => "vfio",
            WantKind::Vhost { .. } => "vhost",
            WantKind::ScsiGeneric => "scsi",
            WantKind::Listener { .. } => "listener",
            WantKind::Connected { .. } => "connected",
            WantKind::Secret { .. } => "secret",
            WantKind::Tap { .. } => "tap",
            WantKind::NodeSet { .. } => "device",
            WantKind::Kvm => "kvm",
            WantKind::File { .. } => "file",
            WantKind::Output { .. } => "output",
            WantKind::Folder { .. } => "folder",
        }
    }
}
