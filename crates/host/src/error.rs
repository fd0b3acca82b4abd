//! The error type of this crate.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use passthru_pci::Address;

use crate::{BlindSpot, Companion, DeviceId, Owner, Usage, Uuid, VirtualFunction, abridge};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No PCI device has the address.
    #[error("{device}: no such PCI device")]
    NotFound {
        /// The requested address.
        device: Address,
        /// Up to three existing addresses near the requested one.
        near: Vec<Address>,
    },
    /// No mediated device has the UUID.
    #[error("{uuid}: no such mediated device")]
    NoMediatedDevice {
        /// The requested UUID.
        uuid: Uuid,
    },
    /// Two requests of one call name the same device.
    #[error("{device} is named twice")]
    NamedTwice {
        /// The device.
        device: Address,
    },
    /// The device is a bridge. Bridges are never assigned: the host would lose the devices behind
    /// them.
    #[error("{device} is a bridge and stays with the host")]
    Bridge {
        /// The bridge.
        device: Address,
    },
    /// The device has no IOMMU group, so no IOMMU confines its DMA.
    #[error("{device} has no IOMMU group")]
    NoGroup {
        /// The device.
        device: Address,
        /// Whether other devices of this host have an IOMMU group.
        others_have: bool,
    },
    /// VFIO has the device in its no-IOMMU mode: the device's DMA would reach all host memory.
    #[error(
        "{device} has no IOMMU (VFIO's no-IOMMU mode), so its DMA would reach all memory of the \
         host"
    )]
    DeviceWithoutIommu {
        /// The device.
        device: Address,
    },
    /// The host uses the device.
    #[error("{device} is in use: {}", abridge(usages, "; "))]
    InUse {
        /// The device.
        device: Address,
        /// The usages that would break. Never empty.
        usages: Vec<Usage>,
    },
    /// The host may use the device: some parts of the host could not be inspected.
    #[error("{device} may be in use: {}", abridge(blind_spots, "; "))]
    UsageUnknown {
        /// The device.
        device: Address,
        /// Those parts. Never empty.
        blind_spots: Vec<BlindSpot>,
    },
    /// Other devices of the IOMMU group are on host drivers, or belong to guests.
    #[error(
        "{device} shares IOMMU group {group} with {}",
        list(companions, " and with ")
    )]
    NotViable {
        /// The device.
        device: Address,
        /// Number of the group.
        group: u32,
        /// Those devices. Never empty.
        companions: Vec<Companion>,
    },
    /// Several errors of one call.
    #[error("{}", list(.0, "\n"))]
    Several(Vec<Error>),
    /// An unmanaged device is not on a VFIO driver.
    #[error("{device} is on {}, not on a VFIO driver", driver_text(driver))]
    NotOnVfio {
        /// The device.
        device: Address,
        /// Its driver.
        driver: Option<String>,
    },
    /// Another process has claimed the device.
    #[error("{device} belongs to {owner}")]
    Claimed {
        /// The device.
        device: DeviceId,
        /// The owner of the claim.
        owner: Owner,
    },
    /// The VMM of a guest has the device, and may still run. The guest's manager has ended.
    #[error("{device} belongs to guest {guest}, whose VMM (pid {pid}) may still run")]
    HeldByVmm {
        /// The device.
        device: DeviceId,
        /// The guest.
        guest: String,
        /// The process of the VMM.
        pid: u32,
    },
    /// The record of a device does not name the VMM that a successor manages.
    #[error("{device} was not handed over to the VMM (pid {pid}) of guest {guest}")]
    NotHandedOver {
        /// The device.
        device: DeviceId,
        /// The guest.
        guest: String,
        /// The process of the VMM.
        pid: u32,
    },
    /// A command has claimed the device, so that no VMM can have it.
    #[error("{device} is claimed for no guest")]
    NoGuest {
        /// The device.
        device: Address,
    },
    /// Processes have the VFIO device open: an unbind would wait for them.
    #[error("{device} is open in {}", abridge(holders, ", "))]
    OpenInProcesses {
        /// The device.
        device: Address,
        /// A [`Usage::Process`] for each process. Never empty.
        holders: Vec<Usage>,
    },
    /// Virtual functions would vanish if the device left its driver.
    #[error("{device} stays on {}: {}", driver_text(driver), functions_text(*count, functions))]
    VirtualFunctions {
        /// The device.
        device: Address,
        /// The current driver.
        driver: Option<String>,
        /// Number of virtual functions.
        count: u32,
        /// The virtual functions that sysfs lists.
        functions: Vec<VirtualFunction>,
    },
    /// The kernel does not have the driver, and its module could not be loaded.
    #[error("no PCI driver '{driver}' on this host{}", answer_text(answer))]
    NoDriver {
        /// Name of the driver.
        driver: String,
        /// Messages of `modprobe`.
        answer: String,
    },
    /// The requested driver name has characters that no driver name has.
    #[error("'{driver}' is not the name of a driver")]
    BadDriverName {
        /// The requested name.
        driver: String,
    },
    /// The requested driver is not a VFIO driver.
    #[error("{driver} is not a VFIO driver: {device} is not bound to it")]
    NotVfio {
        /// The device.
        device: Address,
        /// The requested driver.
        driver: String,
    },
    /// The kernel accepted the request, but the device is on another driver now.
    #[error(
        "{device} is on {} after it was bound to {}",
        driver_text(now),
        driver_text(wanted)
    )]
    WrongDriver {
        /// The device.
        device: Address,
        /// The requested driver.
        wanted: Option<String>,
        /// The current driver.
        now: Option<String>,
    },
    /// The node of a VFIO device did not appear within the wait time.
    #[error("{device} is bound, but {} did not appear", node.display())]
    NoNode {
        /// The device.
        device: Address,
        /// Path of the node, `/dev/vfio/devices/…`.
        node: PathBuf,
    },
    /// A change failed, and undoing the change failed too.
    #[error("{failure}; restoring {device} failed too")]
    NotUndone {
        /// The device. Its record is kept, so that a later release can give the device back.
        device: Address,
        /// The first failure.
        failure: Box<Error>,
        /// The failure of the undo.
        #[source]
        source: Box<Error>,
    },
    /// The host has no IOMMU groups.
    #[error("this host has no IOMMU groups: its IOMMU is off or missing")]
    NoIommu,
    /// The kernel has no iommufd.
    #[error("the running kernel has no iommufd (/dev/iommu)")]
    NoIommufd,
    /// The kernel's VFIO has no character devices.
    #[error("the running kernel's VFIO has no character devices (/dev/vfio/devices)")]
    NoCdev,
    /// The kernel's VFIO has no container, or no groups.
    #[error("the running kernel's VFIO has no type1 (/dev/vfio/vfio and groups below /dev/vfio)")]
    NoType1,
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system call.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write '{value}' to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The value.
        value: String,
        /// The error of the system call.
        source: io::Error,
    },
    /// A file or folder could not be created, opened, written or removed.
    #[error("cannot {action} {}", path.display())]
    File {
        /// The verb: `open`, `write`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system call.
        source: io::Error,
    },
    /// The caller interrupted an assignment. All devices are as they were.
    #[error("interrupted; all devices are as they were")]
    Interrupted,
    /// A write to sysfs exceeded its time limit. The kernel is still working on the write.
    #[error(
        "{device}: writing '{value}' to {} has not ended after {} s, and the kernel is still at it",
        path.display(),
        limit.as_secs_f32()
    )]
    Stuck {
        /// The device. Its record is kept, and its claim lasts until the write has ended.
        device: Address,
        /// The file.
        path: PathBuf,
        /// The value.
        value: String,
        /// The time limit.
        limit: Duration,
    },
    /// A taken device is absent, so that it cannot be given back now.
    #[error("{device} is not there now and is not given back; its record is kept")]
    Absent {
        /// The device.
        device: Address,
    },
    /// A record was written by a newer version of this program.
    #[error(
        "{} is a record of version {version}, and only versions up to {known} are understood",
        path.display()
    )]
    NewerRecord {
        /// The record.
        path: PathBuf,
        /// Its version.
        version: u32,
        /// The newest version that this program reads.
        known: u32,
    },
    /// A record is not valid JSON of a record.
    #[error("{} is not a device record", path.display())]
    BadRecord {
        /// The record.
        path: PathBuf,
        /// The error of the JSON parser.
        source: serde_json::Error,
    },
}

impl Error {
    /// Joins errors into one: `None` for an empty list, the error itself for a list of one.
    pub fn several(mut errors: Vec<Error>) -> Option<Error> {
        match errors.len() {
            0 | 1 => errors.pop(),
            _ => Some(Error::Several(errors)),
        }
    }
}

fn list<T: ToString>(items: &[T], between: &str) -> String {
    let texts: Vec<String> = items.iter().map(T::to_string).collect();
    texts.join(between)
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
