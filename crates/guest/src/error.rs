//! Why a guest cannot be started or was not ended well.

use crate::run::folder::FolderError;
use crate::start::images;
use crate::start::record;
use crate::start::user;
use passthru_host::Identity;
use passthru_pci::Address;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why a guest cannot be started or was not ended well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Assigned devices and another user need privileges, which the VMM then does not have.
    #[error("starting this guest needs root, to assign devices or to run it as another user")]
    NotRoot,
    /// A device of the host that is no PCI device.
    #[error("the device {device} is not a PCI device; `run` supports only PCI devices")]
    NotPci {
        /// The device on the host.
        device: String,
    },
    /// A device asks for the type1 backend.
    #[error("the device {device} uses the type1 backend, which `run` does not support yet")]
    Type1 {
        /// The device on the host.
        device: Address,
    },
    /// Something about the host's devices.
    #[error(transparent)]
    Host(#[from] passthru_host::Error),
    /// Something about the guest's user.
    #[error(transparent)]
    User(#[from] user::Error),
    /// Something about a disk's images.
    #[error(transparent)]
    Image(#[from] images::Error),
    /// Something about the guest's folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Something about the records of guests.
    #[error(transparent)]
    Record(record::Error),
    /// The device at an address is not the one that the guest had there.
    #[error(
        "{device} is now {now}, and guest '{guest}' had {last} there{}",
        moved_to.map(|address| format!(", which is at {address} now")).unwrap_or_default()
    )]
    NewDevice {
        /// The guest.
        guest: String,
        /// The address.
        device: Address,
        /// Identity of the device that is there.
        now: Box<Identity>,
        /// Identity of the device that the guest had.
        last: Box<Identity>,
        /// Address at which that one is now.
        moved_to: Option<Address>,
    },
    /// Something about /dev/iommu.
    #[error(transparent)]
    Iommufd(#[from] passthru_iommufd::Error),
    /// Something about a VFIO device's node.
    #[error("cannot open the VFIO device of {device}")]
    Cdev {
        /// The device on the host.
        device: Address,
        /// What is wrong.
        source: passthru_vfio::device::Error,
    },
    /// A device is on a VFIO driver but has no character device.
    #[error("the device {device} has no character device under /dev/vfio/devices")]
    NoCdev {
        /// The device on the host.
        device: Address,
    },
    /// A number that the domain names is not open.
    #[error("descriptor {number}, which the domain gives for {what}, is not open")]
    NotOpen {
        /// The number.
        number: u32,
        /// What it is for.
        what: String,
        /// What it must be opened from.
        path: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// A descriptor is no iommufd.
    #[error("descriptor {number}, given for the iommufd object '{id}', is not an iommufd")]
    NotIommufd {
        /// The number.
        number: u32,
        /// The object.
        id: String,
        /// What was found out.
        source: passthru_iommufd::Error,
    },
    /// A descriptor is no unbound VFIO device.
    #[error("descriptor {number}, given for the device {device}, cannot be used")]
    NotVfio {
        /// The number.
        number: u32,
        /// The device on the host.
        device: Address,
        /// What was found out.
        source: passthru_vfio::device::Error,
    },
    /// A descriptor is another device.
    #[error("descriptor {number}, given for the device {device}, belongs to {}", is.display())]
    OtherDevice {
        /// The number.
        number: u32,
        /// The device that the domain names.
        device: Address,
        /// The device that it is, in sysfs.
        is: PathBuf,
    },
    /// A name under which a descriptor should have been given is not known.
    #[error("no descriptor has the name '{group}' (fdgroup)")]
    UnknownFdGroup {
        /// The name.
        group: String,
        /// The names that were given.
        known: Vec<String>,
    },
    /// A file of the guest could not be opened or made.
    #[error("cannot open {path} for the guest ({what})")]
    File {
        /// What it is: the name of a block node, `kernel` …
        what: String,
        /// Its path.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The command line cannot be made.
    #[error(transparent)]
    CommandLine(#[from] passthru_qemu::Error),
    /// The VMM could not be started.
    #[error("cannot start {emulator} as user '{user}'")]
    Spawn {
        /// Its path.
        emulator: String,
        /// The user.
        user: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The VMM ended while it started.
    #[error("{emulator} ended while it started{}", ended(*status, about.as_deref(), messages))]
    Ended {
        /// Its path.
        emulator: String,
        /// How it ended.
        status: Option<ExitStatus>,
        /// What it said.
        messages: String,
        /// What of the domain the message is about.
        about: Option<String>,
        /// What the user can do.
        hint: Option<String>,
    },
    /// The VMM did not answer as it should.
    #[error("cannot use the VMM's monitor")]
    Monitor(#[source] passthru_qemu::monitor::Error),
    /// A start failed, and then devices could not be given back.
    #[error("{after}; then restoring the host failed: {}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    NotRestored {
        /// Why the start failed.
        after: Box<Error>,
        /// What could not be put back, and why.
        errors: Vec<passthru_host::Error>,
    },
    /// The start was interrupted by a signal.
    #[error("interrupted before the guest ran")]
    Interrupted,
}

/// What is known of a VMM's end: what it was about, how it ended where it said nothing, its
/// message.
fn ended(status: Option<ExitStatus>, about: Option<&str>, messages: &str) -> String {
    let about = about
        .map(|about| format!(", because of {about}"))
        .unwrap_or_default();
    match (messages.trim_end(), status) {
        ("", Some(status)) => format!("{about}, without a message ({status})"),
        ("", None) => format!("{about}, without a message"),
        (words, _) => format!("{about}:\n{words}"),
    }
}

impl From<record::Error> for Error {
    fn from(error: record::Error) -> Self {
        match error {
            record::Error::Interrupted => Self::Interrupted,
            other => Self::Record(other),
        }
    }
}
