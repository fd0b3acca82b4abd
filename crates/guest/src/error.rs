//! Why a guest cannot be started or was not ended well.

use crate::{images, state, user};
use passthru_pci::Address;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why a guest cannot be started or was not ended well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Starting guests needs privileges, which the VMM then does not have.
    #[error(
        "starting a guest needs root: devices are bound, and their nodes opened, for a VMM that may do neither"
    )]
    NotRoot,
    /// A device of the host that is no PCI device.
    #[error("the device {device} is no PCI device, and `run` hands over PCI devices alone")]
    NotPci {
        /// The device on the host.
        device: String,
    },
    /// A device asks for the type1 backend.
    #[error(
        "the device {device} uses the type1 backend, which `run` does not offer yet: the VMM would have to open /dev/vfio/GROUP itself"
    )]
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
    State(#[from] state::Error),
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
    #[error("descriptor {number}, given for the iommufd object '{id}', is something else")]
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
    #[error("descriptor {number}, given for the device {device}, is {}", is.display())]
    OtherDevice {
        /// The number.
        number: u32,
        /// The device that the domain names.
        device: Address,
        /// The device that it is, in sysfs.
        is: PathBuf,
    },
    /// A name under which a descriptor should have been given is not known.
    #[error("no descriptor was given under the name '{group}' (fdgroup)")]
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
    #[error("the VMM does not answer on its monitor")]
    Monitor(#[source] passthru_qemu::qmp::Error),
    /// A start failed, and then devices could not be given back.
    #[error("{after}; and then not everything could be put back: {}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
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

/// What is known of a VMM's end: what it was about, how it ended where it said nothing, its message.
fn ended(status: Option<ExitStatus>, about: Option<&str>, messages: &str) -> String {
    let about = about.map(|about| format!(", over {about}")).unwrap_or_default();
    match (messages.trim_end(), status) {
        ("", Some(status)) => format!("{about}, without a word ({status})"),
        ("", None) => format!("{about}, without a word"),
        (words, _) => format!("{about}:\n{words}"),
    }
}

impl Error {
    /// Returns what the user can do, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotRoot => Some("run it as root, or look at the steps with --dry-run".into()),
            Self::Type1 { .. } => Some(
                "say <driver iommufd='yes'/> for the device, or --backend iommufd for all that say nothing"
                    .into(),
            ),
            Self::Host(e) => e.hint(),
            Self::User(e) => e.hint().map(Into::into),
            Self::Image(e) => e.hint(),
            Self::Iommufd(e) => e.hint().map(Into::into),
            Self::Cdev { source, .. } | Self::NotVfio { source, .. } => source.hint().map(Into::into),
            Self::NoCdev { .. } => Some("the kernel needs CONFIG_VFIO_DEVICE_CDEV".into()),
            Self::NotOpen { number, path, .. } => Some(format!(
                "leave it open for passthru, as a shell does with: passthru run … {number}<>{path}"
            )),
            Self::NotIommufd { source, .. } => source.hint().map(Into::into),
            Self::OtherDevice { .. } => {
                Some("open the node that /sys/bus/pci/devices/ADDRESS/vfio-dev names".into())
            }
            Self::UnknownFdGroup { group, known } => Some(fd_group_hint(group, known)),
            Self::Ended { hint, .. } => hint.clone(),
            Self::CommandLine(e) => e.hint(),
            Self::Spawn { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("root here may lack privileges (in a container): CAP_SETUID, CAP_SETGID, CAP_SETPCAP, CAP_SYS_RESOURCE".into())
            }
            Self::NotRestored { errors, .. } => errors.first().and_then(passthru_host::Error::hint),
            Self::NotPci { .. }
            | Self::State(_)
            | Self::File { .. }
            | Self::Spawn { .. }
            | Self::Monitor(_)
            | Self::Interrupted => None,
        }
    }
}

fn fd_group_hint(group: &str, known: &[String]) -> String {
    let given = if known.is_empty() { String::new() } else { format!("; given were: {}", known.join(", ")) };
    format!(
        "give it with --fd {group}=N, or as a descriptor named {group} from a service manager (LISTEN_FDNAMES){given}"
    )
}
