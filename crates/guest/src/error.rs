//! Errors of the start and the end of a guest.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use passthru_host::Identity;
use passthru_pci::Address;

use crate::journal::JournalError;
use crate::run::folder::FolderError;
use crate::start::{images, record, user};
use crate::transaction::HotplugError;

/// Rule on devices of a guest in one IOMMU group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupRule {
    /// QEMU's NVMe driver opens the group for itself.
    OwnGroup,
    /// Hostdevs of one group have one backend.
    OneBackend,
}

impl std::fmt::Display for GroupRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::OwnGroup => "QEMU's NVMe driver needs the group for itself",
            Self::OneBackend => "one of them is on iommufd and the other on type1",
        })
    }
}

/// Error of the start or the end of a guest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The start needs root: to assign devices or to run the VMM as another user.
    #[error("starting this guest needs root, to assign devices or to run it as another user")]
    NotRoot,
    /// A device of the host is not a PCI device.
    #[error("the device {device} is not a PCI device; only PCI devices are supported")]
    NotPci {
        /// Name of the device on the host.
        device: String,
    },
    /// Error of the host's devices.
    #[error(transparent)]
    Host(passthru_host::Error),
    /// Error of the guest's user.
    #[error(transparent)]
    User(#[from] user::Error),
    /// Error of a disk's images.
    #[error(transparent)]
    Image(#[from] images::Error),
    /// Error of the guest's folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A guest that runs cannot be adopted. Its VMM runs on.
    #[error("cannot manage guest '{name}' again; its VMM (process {pid}) runs on")]
    NotAdopted {
        /// Name of the guest.
        name: String,
        /// Process of the VMM.
        pid: u32,
        /// Cause.
        source: Box<Error>,
    },
    /// Error of the guest's journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Error of the records of guests.
    #[error(transparent)]
    Record(record::Error),
    /// The device at an address is not the one that the guest had there.
    #[error(
        "{device} is now {now}, and guest '{guest}' had {last} there{}",
        moved_to.map(|address| format!(", which is at {address} now")).unwrap_or_default()
    )]
    NewDevice {
        /// Name of the guest.
        guest: String,
        /// Address of the device.
        device: Address,
        /// Identity of the device that is at the address now.
        now: Box<Identity>,
        /// Identity of the device that the guest had at the address.
        last: Box<Identity>,
        /// Address at which the guest's former device is now, if it is known.
        moved_to: Option<Address>,
    },
    /// Two devices of the guest in one IOMMU group cannot be opened together. The kernel lets one
    /// opener have a group: iommufd, or a container of type1.
    #[error(
        "{owner} is on {device} in IOMMU group {group}, which has {other} ({other_owner}) too, \
         and {rule}"
    )]
    SharedGroup {
        /// Address of the device.
        device: Address,
        /// Element that names the device, in words: `disk 'vda'`.
        owner: String,
        /// Number of the group.
        group: u32,
        /// Address of the other device.
        other: Address,
        /// Element that names the other device, in words.
        other_owner: String,
        /// Rule that the two break.
        rule: GroupRule,
    },
    /// The VMM's own `/dev/vfio` cannot be made.
    #[error("cannot make a /dev/vfio for the VMM alone, which opens devices by path")]
    VfioFolder {
        /// Cause.
        source: io::Error,
    },
    /// Error of `/dev/iommu`.
    #[error(transparent)]
    Iommufd(#[from] passthru_iommufd::Error),
    /// The character device of a VFIO device cannot be opened.
    #[error("cannot open the VFIO device of {device}")]
    Cdev {
        /// Address of the device on the host.
        device: Address,
        /// Cause.
        source: passthru_vfio::device::Error,
    },
    /// A device is on a VFIO driver but has no character device.
    #[error("the device {device} has no character device under /dev/vfio/devices")]
    NoCdev {
        /// Address of the device on the host.
        device: Address,
    },
    /// A descriptor that the domain gives by number or by name is not open.
    #[error("descriptor {number}, given for {what}, is not open")]
    NotOpen {
        /// Number of the descriptor.
        number: u32,
        /// Use of the descriptor, in words.
        what: String,
        /// Path that the descriptor must be opened from.
        path: &'static str,
        /// Cause.
        source: io::Error,
    },
    /// A descriptor is not an iommufd.
    #[error("descriptor {number}, given for the iommufd object '{id}', is not an iommufd")]
    NotIommufd {
        /// Number of the descriptor.
        number: u32,
        /// Id of the iommufd object.
        id: String,
        /// Cause.
        source: passthru_iommufd::Error,
    },
    /// A descriptor is not a VFIO device, or is a bound one.
    #[error("descriptor {number}, given for the device {device}, cannot be used")]
    NotVfio {
        /// Number of the descriptor.
        number: u32,
        /// Address of the device on the host.
        device: Address,
        /// Cause.
        source: passthru_vfio::device::Error,
    },
    /// A descriptor is that of another device.
    #[error("descriptor {number}, given for the device {device}, belongs to {}", is.display())]
    OtherDevice {
        /// Number of the descriptor.
        number: u32,
        /// Address of the device that the domain names.
        device: Address,
        /// Folder in sysfs of the descriptor's device.
        is: PathBuf,
    },
    /// The caller handed in no descriptor under a name that the domain uses.
    #[error("no descriptor has the name '{name}'")]
    UnknownDescriptor {
        /// Name of the descriptor.
        name: String,
    },
    /// A file of the guest cannot be opened or made.
    #[error("cannot open {path} for the guest ({what})")]
    File {
        /// Role of the file: the name of a block node, `kernel` …
        what: String,
        /// Path of the file.
        path: String,
        /// Cause.
        source: io::Error,
    },
    /// A folder of firmware descriptors cannot be read.
    #[error("cannot read the firmware descriptors in {}", folder.display())]
    FirmwareFolder {
        /// Path of the folder.
        folder: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The file of the firmware's variables is missing, and nothing names its template.
    #[error("there is no {path} yet, and no template of the variables of {loader} is known")]
    NoTemplate {
        /// Path of the file.
        path: String,
        /// Path of the firmware.
        loader: String,
    },
    /// The firmware of the last start has no files any more, but the guest has its variables.
    #[error(
        "the firmware of the last start is gone: there is no {missing}, which {descriptor} in the \
         guest's record names"
    )]
    FirmwareGone {
        /// Name of the descriptor by which the firmware was chosen.
        descriptor: String,
        /// Path of the missing file.
        missing: String,
        /// Path of the variables, if they are in a file.
        variables: Option<String>,
    },
    /// The domain has no command line.
    #[error(transparent)]
    CommandLine(#[from] passthru_domain::Errors),
    /// Error of a change of a running guest's devices.
    #[error(transparent)]
    Hotplug(#[from] HotplugError),
    /// An operation is of another part of a guest's life than this one.
    #[error("the operation '{op}' is not possible now")]
    OutOfPlace {
        /// The operation, in words.
        op: String,
    },
    /// An operation is about an object that the plan does not have.
    #[error("the plan of the start has no object {index}")]
    NoItem {
        /// Place of the object.
        index: usize,
    },
    /// The VMM cannot be started.
    #[error("cannot start {emulator} as user '{user}'")]
    Spawn {
        /// Path of the VMM's program.
        emulator: String,
        /// Name of the user.
        user: String,
        /// Cause.
        source: io::Error,
    },
    /// The VMM ended while it started.
    #[error("{emulator} ended while it started{}", ended(*status, about.as_deref(), messages))]
    Ended {
        /// Path of the VMM's program.
        emulator: String,
        /// Exit status, if it is known.
        status: Option<ExitStatus>,
        /// Lines that the VMM wrote to standard error.
        messages: String,
        /// Part of the domain that the message is about, if it is known.
        about: Option<String>,
        /// Action that may help, if one is known.
        hint: Option<String>,
    },
    /// The VMM's monitor is closed, refused a command, or broke the protocol.
    #[error("cannot use the VMM's monitor")]
    Monitor(#[source] passthru_qemu::monitor::Error),
    /// The VMM refused the password of a screen.
    #[error("cannot set the password of the {screen} screen")]
    Password {
        /// Kind of the screen.
        screen: String,
        /// Cause, which does not show the password.
        source: passthru_qemu::monitor::Error,
    },
    /// A start failed, and after that devices could not be given back.
    #[error("{after}; then restoring the host failed: {}", joined(errors))]
    NotRestored {
        /// Error of the start.
        after: Box<Error>,
        /// Errors of the devices that could not be given back.
        errors: Vec<passthru_host::Error>,
    },
    /// Several errors of one call: at least two.
    #[error("{}", joined_lines(.0))]
    Several(Vec<Error>),
    /// The caller interrupted the start.
    #[error("interrupted before the guest ran")]
    Interrupted,
}

impl Error {
    /// Makes the error of a file or another object with a path. `what` names its kind.
    pub(crate) fn file(what: &str, path: &Path, source: io::Error) -> Self {
        Self::File {
            what: what.into(),
            path: path.display().to_string(),
            source,
        }
    }

    /// Returns one error for a list of errors, or `None` for an empty list.
    pub fn several(errors: Vec<Self>) -> Option<Self> {
        let mut flat = Vec::new();
        for error in errors {
            match error {
                Self::Several(errors) => flat.extend(errors),
                error => flat.push(error),
            }
        }

        match flat.len() {
            0 | 1 => flat.pop(),
            _ => Some(Self::Several(flat)),
        }
    }

    /// Returns `Ok` for an empty list of errors, else one error for all of them.
    pub(crate) fn check_none(errors: Vec<Self>) -> Result<(), Self> {
        match Self::several(errors) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// Returns the text about a VMM's end: the part of the domain, then the messages, or the exit
/// status if there are none.
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

/// Returns the messages of errors, a line each.
fn joined_lines(errors: &[Error]) -> String {
    let messages: Vec<String> = errors.iter().map(ToString::to_string).collect();
    messages.join("\n")
}

/// Returns the messages of errors in one line.
fn joined(errors: &[passthru_host::Error]) -> String {
    let messages: Vec<String> = errors.iter().map(ToString::to_string).collect();
    messages.join("; ")
}

impl From<passthru_host::Error> for Error {
    fn from(error: passthru_host::Error) -> Self {
        match error {
            passthru_host::Error::Interrupted => Self::Interrupted,
            other => Self::Host(other),
        }
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
