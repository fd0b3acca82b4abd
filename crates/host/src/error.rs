//! What can go wrong, with what the user can do about it.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use passthru_pci::Address;

use crate::usage::hint;
use crate::{BlindSpot, Companion, Owner, Usage, VirtualFunction, abridge};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A device is not there.
    #[error("{device}: no such PCI device")]
    NotFound {
        /// The address asked for.
        device: Address,
        /// Addresses near it that are there.
        near: Vec<Address>,
    },
    /// A device is asked for twice in one call.
    #[error("{device} is named twice")]
    Twice {
        /// The device.
        device: Address,
    },
    /// Bridges are not assigned: what is behind them would be lost.
    #[error("{device} is a bridge and stays with the host")]
    Bridge {
        /// The bridge.
        device: Address,
    },
    /// A device without an IOMMU group cannot be kept from the rest of memory.
    #[error("{device} has no IOMMU group")]
    NoGroup {
        /// The device.
        device: Address,
        /// Whether other devices of this host have one.
        others_have: bool,
    },
    /// VFIO has the device without an IOMMU: its DMA would reach all memory of the host.
    #[error(
        "{device} has no IOMMU (VFIO's no-IOMMU mode), so its DMA would reach all memory of the host"
    )]
    DeviceWithoutIommu {
        /// The device.
        device: Address,
    },
    /// Something on the host uses the device.
    #[error("{device} is in use: {}", abridge(usages, "; "))]
    InUse {
        /// The device.
        device: Address,
        /// What would break. Never empty.
        usages: Vec<Usage>,
    },
    /// Not all could be looked at that may use the device.
    #[error("{device} may be in use: {}", abridge(blind_spots, "; "))]
    UsageUnknown {
        /// The device.
        device: Address,
        /// What could not be looked at. Never empty.
        blind_spots: Vec<BlindSpot>,
    },
    /// Other devices of the IOMMU group are on drivers of the host.
    #[error(
        "{device} shares IOMMU group {group} with {}",
        list(companions, " and with ")
    )]
    NotViable {
        /// The device.
        device: Address,
        /// DeviceNumber of the group.
        group: u32,
        /// Those in the way. Never empty.
        companions: Vec<Companion>,
    },
    /// Several reasons against a request.
    #[error("{}", list(.0, "\n"))]
    Several(Vec<Error>),
    /// The caller wants a device as it is, and it is not on a VFIO driver.
    #[error("{device} is on {}, not on a VFIO driver", driver_text(driver))]
    NotOnVfio {
        /// The device.
        device: Address,
        /// Its driver.
        driver: Option<String>,
    },
    /// Somebody else has the device.
    #[error("{device} belongs to {owner}")]
    Claimed {
        /// The device.
        device: Address,
        /// Who has it.
        owner: Owner,
    },
    /// Processes have a VFIO device open: the kernel would wait for them.
    #[error("{device} is open in {}", abridge(holders, ", "))]
    Held {
        /// The device.
        device: Address,
        /// [`Usage::Process`] for each. Never empty.
        holders: Vec<Usage>,
    },
    /// Virtual functions would vanish if the device left its driver.
    #[error("{device} stays on {}: {}", driver_text(driver), functions_text(*count, functions))]
    VirtualFunctions {
        /// The device.
        device: Address,
        /// The driver that it is on.
        driver: Option<String>,
        /// DeviceNumber of its virtual functions.
        count: u32,
        /// Those that can be named.
        functions: Vec<VirtualFunction>,
    },
    /// A driver is not there, and could not be loaded.
    #[error("no PCI driver '{driver}' on this host{}", answer_text(answer))]
    NoDriver {
        /// Its name.
        driver: String,
        /// What `modprobe` said.
        answer: String,
    },
    /// What is asked for as a driver cannot be one.
    #[error("'{driver}' is not the name of a driver")]
    BadDriverName {
        /// What is asked for.
        driver: String,
    },
    /// The driver asked for does not hand the device on.
    #[error("{driver} is not a VFIO driver: {device} is not bound to it")]
    NotVfio {
        /// The device.
        device: Address,
        /// The driver asked for.
        driver: String,
    },
    /// The kernel took the request and did something else.
    #[error(
        "{device} is on {} after it was bound to {}",
        driver_text(now),
        driver_text(wanted)
    )]
    NotTaken {
        /// The device.
        device: Address,
        /// The driver asked for.
        wanted: Option<String>,
        /// The driver it is on.
        now: Option<String>,
    },
    /// The device node of a VFIO device did not appear.
    #[error("{device} is bound, but {} did not appear", node.display())]
    NoNode {
        /// The device.
        device: Address,
        /// `/dev/vfio/devices/…`.
        node: PathBuf,
    },
    /// A change failed, and so did putting things back.
    #[error("{failure}; restoring {device} failed too")]
    NotUndone {
        /// The device. Its record is kept, so that it can still be given back.
        device: Address,
        /// What failed first.
        failure: Box<Error>,
        /// Why it could not be undone.
        #[source]
        source: Box<Error>,
    },
    /// The host has no working IOMMU.
    #[error("this host has no IOMMU groups: its IOMMU is off or missing")]
    NoIommu,
    /// The kernel has no iommufd.
    #[error("the running kernel has no iommufd (/dev/iommu)")]
    NoIommufd,
    /// The kernel's VFIO has no character devices.
    #[error("the running kernel's VFIO has no character devices (/dev/vfio/devices)")]
    NoCdev,
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write '{value}' to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What was to be written.
        value: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file or folder could not be made, locked or removed.
    #[error("cannot {what} {}", path.display())]
    File {
        /// The verb.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The caller interrupted an assignment. All is as it was.
    #[error("interrupted; all devices are as they were")]
    Interrupted,
    /// A write to sysfs has not ended in time. The kernel goes on with it.
    #[error(
        "{device}: writing '{value}' to {} has not ended after {} s, and the kernel is still at it",
        path.display(),
        limit.as_secs_f32()
    )]
    Stuck {
        /// The device. Its record is kept, and it stays claimed until the write has ended.
        device: Address,
        /// The file.
        path: PathBuf,
        /// The text that is written.
        value: String,
        /// The time that it was given.
        limit: Duration,
    },
    /// A device that was taken is not there, so that it cannot be given back now.
    #[error("{device} is not there now and is not given back; its record is kept")]
    Away {
        /// The device.
        device: Address,
    },
    /// A record was written by a newer version of this program.
    #[error("{} is a record of version {version}, and only versions up to {known} are understood", path.display())]
    NewerRecord {
        /// The record.
        path: PathBuf,
        /// Its version.
        version: u32,
        /// The newest version that is understood.
        known: u32,
    },
    /// A record makes no sense.
    #[error("{} is not a device record", path.display())]
    BadRecord {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Error {
    /// Returns one error for several: none for none, and the error itself for one.
    pub fn several(mut errors: Vec<Error>) -> Option<Error> {
        match errors.len() {
            0 | 1 => errors.pop(),
            _ => Some(Error::Several(errors)),
        }
    }

    /// Says what the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotFound { near, .. } if near.is_empty() => "this host shows no PCI devices".into(),
            Self::NotFound { near, .. } => {
                format!("check the address; devices near it: {}", list(near, ", "))
            }
            Self::NoGroup { others_have: false, .. } | Self::NoIommu | Self::DeviceWithoutIommu { .. } => {
                NO_IOMMU.into()
            }
            Self::NoGroup { .. } => "move the device to another slot: this one is not behind an IOMMU".into(),
            Self::InUse { usages, .. } => hint::end_uses(usages),
            Self::UsageUnknown { blind_spots, .. } => hint::see(blind_spots),
            Self::NotViable { companions, .. } => format!(
                "bind {} too, in the same call: the devices of a group are isolated only together",
                list(&companions.iter().map(|companion| companion.address).collect::<Vec<_>>(), ", ")
            ),
            Self::Several(errors) => {
                let hints: BTreeSet<String> = errors.iter().filter_map(Error::hint).collect();
                let hints = Vec::from_iter(hints);
                return (!hints.is_empty()).then(|| hints.join("\n"));
            }
            Self::NotOnVfio { device, .. } => {
                format!("run `passthru bind {device}`, or set managed='yes' in the domain")
            }
            Self::Claimed { owner: Owner { guest: Some(guest), .. }, .. } => {
                format!("stop '{guest}' first, or give this guest another device")
            }
            Self::Claimed { .. } => "wait until that process has ended".into(),
            Self::Held { .. } => "end these processes first".into(),
            Self::VirtualFunctions { device, .. } => format!(
                "free them, write 0 to /sys/bus/pci/devices/{device}/sriov_numvfs and run \
                 `passthru unbind {device}`; with `--force` they vanish regardless"
            ),
            Self::NoDriver { .. } => {
                "use a kernel that has this driver (for vfio-pci: CONFIG_VFIO_PCI)".into()
            }
            Self::BadDriverName { .. } => "use only letters, digits, '_' and '-'".into(),
            Self::NotVfio { .. } => {
                "name vfio-pci or a variant of it, or name no driver to get the one for the device".into()
            }
            Self::NoNode { .. } => "mount a devtmpfs on /dev, or start udev".into(),
            Self::NotUndone { device, .. } => {
                format!("run `passthru unbind {device}` once the cause is removed")
            }
            Self::NoIommufd => {
                "use a kernel with CONFIG_IOMMUFD (Fedora, Ubuntu and Arch have it, Debian does not)".into()
            }
            Self::NoCdev => {
                "use a kernel with CONFIG_VFIO_DEVICE_CDEV (Fedora, Ubuntu and Arch have it)".into()
            }
            Self::Read { source, .. } | Self::Write { source, .. } | Self::File { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                "run it as root".into()
            }
            Self::Write { path, .. } if path.ends_with("bind") => {
                "read the driver's reason in the kernel's log (`dmesg`)".into()
            }
            Self::Stuck { device, .. } => {
                format!("end what uses the device (`dmesg` may name it), then run `passthru unbind {device}`")
            }
            Self::Away { device } => {
                format!("run `passthru unbind {device}` once the device is there again")
            }
            Self::NewerRecord { .. } => "use the newer version of passthru that wrote it".into(),
            Self::BadRecord { path, .. } => format!("remove {}", path.display()),
            _ => return None,
        })
    }
}

const NO_IOMMU: &str = "switch the IOMMU on in the firmware (VT-d, AMD-Vi, SMMU), and on Intel add \
                                                intel_iommu=on to the kernel's command line";

fn list<T: ToString>(items: &[T], between: &str) -> String {
    items
        .iter()
        .map(T::to_string)
        .collect::<Vec<_>>()
        .join(between)
}

fn functions_text(count: u32, functions: &[VirtualFunction]) -> String {
    let mut text = match count {
        1 => "its virtual function would vanish".to_owned(),
        _ => format!("its {count} virtual functions would vanish"),
    };
    if !functions.is_empty() {
        text += &format!(": {}", abridge(functions, ", "));
    }
    text
}

fn driver_text(driver: &Option<String>) -> &str {
    driver.as_deref().unwrap_or("no driver")
}

fn answer_text(answer: &str) -> String {
    if answer.is_empty() {
        String::new()
    } else {
        format!(": {answer}")
    }
}
