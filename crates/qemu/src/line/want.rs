//! What a command line needs from outside: descriptors and files, by name.
//!
//! A command line never opens anything. Where it needs an open file it holds a [`Want`], and
//! whoever renders the line says what stands there.

use passthru_pci::Address;

/// Something that the guest's manager opens, or leaves to the emulator to open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Want {
    /// Name, unique within a command line: an object's id, a device's alias, a block node's name.
    pub name: String,
    /// What it is.
    pub what: What,
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// An open `/dev/iommu`, for `-object iommufd,fd=`.
    Iommufd {
        /// Number of a descriptor that the caller left open, said in the domain.
        number: Option<u32>,
        /// Name under which the caller hands it in (`<iommufd fdgroup=…>`).
        fdgroup: Option<String>,
    },
    /// An open VFIO cdev, for `-device vfio-pci,fd=`.
    Vfio {
        /// The device on the host.
        host: Address,
        /// The iommufd object that it goes with.
        iommufd: String,
        /// Number of a descriptor that the caller left open, said in the domain.
        number: Option<u32>,
    },
    /// An open device of vhost, for `vhostfd=`.
    Vhost {
        /// Its path: `/dev/vhost-scsi`.
        path: String,
    },
    /// The `/dev/sgN` of a SCSI device of the host, named by adapter, bus, target and unit.
    ScsiGeneric,
    /// A listening Unix socket, for `-chardev socket,fd=`.
    Listener {
        /// Where it listens.
        path: String,
    },
    /// A connected Unix socket, for `-chardev socket,fd=`: whoever is at its other end was started
    /// for it.
    Connected {
        /// Where the other end listens.
        path: String,
    },
    /// A queue of a network tap, for `-netdev tap,fd=`.
    Tap {
        /// Name of the interface on the host; one that is free when absent, or when it ends with
        /// `%d`.
        ifname: Option<String>,
        /// Whether it has several queues.
        multiqueue: bool,
    },
    /// A secret of the user's, encrypted with the guest's master key.
    Secret {
        /// What it is known by.
        name: String,
    },
    /// A device node of the host, open for reading and writing, in an fd set.
    NodeSet {
        /// Its path.
        path: String,
    },
    /// `/dev/kvm`, for `-accel kvm,device=`.
    Kvm,
    /// A file that is there.
    File {
        /// Its path.
        path: String,
        /// How it is opened.
        access: Access,
        /// How it can be passed.
        by: By,
    },
    /// A file that the emulator's output goes to; made where it is not there.
    Output {
        /// Its path.
        path: String,
        /// Whether output is appended to what is there.
        append: bool,
    },
    /// A folder that the emulator makes files in.
    Folder {
        /// Its path.
        path: String,
    },
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// For reading.
    ReadOnly,
    /// For reading and writing. QEMU's `auto-read-only` opens such a file for reading first: an fd
    /// set needs a descriptor of either kind.
    ReadWrite,
}

/// How a file can be passed to the emulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// As a member of an fd set: `/dev/fdset/N`.
    FdSet,
    /// As a file that the emulator opens by path, such as `/proc/self/fd/N` of a sealed copy in
    /// memory: what reads it knows no fd sets.
    Copy,
}

impl Want {
    pub(crate) fn file(
        name: impl Into<String>,
        path: impl Into<String>,
        access: Access,
        by: By,
    ) -> Self {
        Self {
            name: name.into(),
            what: What::File {
                path: path.into(),
                access,
                by,
            },
        }
    }

    /// Returns the number of the descriptor, where the domain says one.
    pub const fn number(&self) -> Option<u32> {
        match self.what {
            What::Iommufd { number, .. } | What::Vfio { number, .. } => number,
            _ => None,
        }
    }

    /// Whether the line names a descriptor for it, never a path.
    pub const fn is_descriptor(&self) -> bool {
        matches!(
            self.what,
            What::Iommufd { .. }
                | What::Vfio { .. }
                | What::Listener { .. }
                | What::Vhost { .. }
                | What::ScsiGeneric
                | What::Connected { .. }
                | What::Tap { .. }
                | What::Secret { .. }
        )
    }

    /// Returns the path of what is wanted, where it has one of its own.
    pub fn path(&self) -> Option<&str> {
        match &self.what {
            What::Iommufd { .. } => Some("/dev/iommu"),
            What::Vfio { .. } | What::ScsiGeneric => None,
            What::Secret { .. } => None,
            What::Tap { .. } => Some("/dev/net/tun"),
            What::Kvm => Some("/dev/kvm"),
            What::Listener { path }
            | What::Vhost { path }
            | What::Connected { path }
            | What::NodeSet { path }
            | What::File { path, .. }
            | What::Output { path, .. }
            | What::Folder { path } => Some(path),
        }
    }

    /// Returns one word for the kind of thing that is wanted.
    pub const fn kind(&self) -> &'static str {
        match self.what {
            What::Iommufd { .. } => "iommufd",
            What::Vfio { .. } => "vfio",
            What::Vhost { .. } => "vhost",
            What::ScsiGeneric => "scsi",
            What::Listener { .. } => "listener",
            What::Connected { .. } => "connected",
            What::Secret { .. } => "secret",
            What::Tap { .. } => "tap",
            What::NodeSet { .. } => "device",
            What::Kvm => "kvm",
            What::File { .. } => "file",
            What::Output { .. } => "output",
            What::Folder { .. } => "folder",
        }
    }
}
