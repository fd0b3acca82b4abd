//! The operations of a guest's life.

use std::os::fd::RawFd;
use std::path::PathBuf;

use passthru_pci::Address;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::plan::memlock::MemlockItem;
use crate::start::record::GuestRecord;

/// Operation of a guest's life. Each field is part of the journal's format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Op {
    /// Make the guest's folder, with the journal.
    MakeGuestFolder {
        /// Path of the folder.
        path: PathBuf,
    },
    /// Load the modules of the kernel's interfaces for devices.
    LoadModules {
        /// Names of the backends: `iommufd`, `type1`.
        backends: Vec<String>,
    },
    /// Make the file of the firmware's variables from its template.
    MakeNvram {
        /// Path of the file.
        path: String,
        /// Path of the template; `None` for a file that begins empty.
        template: Option<String>,
    },
    /// Open a file, node or socket.
    Open {
        /// Place of the object in the plan.
        item: usize,
        /// The object, in words.
        what: String,
        /// Descriptors in the VMM.
        descriptors: Vec<Descriptor>,
    },
    /// Check a descriptor that the caller handed in, and pass it on.
    Take {
        /// Place of the object in the plan.
        item: usize,
        /// The object that the descriptor must be open on, in words.
        what: String,
        /// Number of the descriptor in the VMM.
        descriptor: RawFd,
    },
    /// Copy a file into sealed memory.
    Copy {
        /// Place of the object in the plan.
        item: usize,
        /// Path of the file.
        path: String,
        /// Number of the copy's descriptor in the VMM.
        descriptor: RawFd,
    },
    /// Make a listening socket for the VMM.
    Listen {
        /// Place of the object in the plan.
        item: usize,
        /// Path of the socket; `None` for the monitor, whose socket is in the guest's folder.
        path: Option<PathBuf>,
        /// Number of the descriptor in the VMM.
        descriptor: RawFd,
    },
    /// Make a folder for the VMM's user.
    MakeFolder {
        /// Path of the folder.
        path: PathBuf,
    },
    /// Record the guest's user, devices and firmware.
    WriteRecord {
        /// Path of the record.
        path: PathBuf,
        /// The record before the start, which a failed start restores.
        former: Option<Box<GuestRecord>>,
    },
    /// Claim a device.
    Claim {
        /// Address of the device.
        device: Address,
        /// Driver that the device is on.
        driver: Option<String>,
        /// Whether the device stays on that driver.
        stays: bool,
    },
    /// Load the modules of VFIO drivers.
    LoadDrivers {
        /// Names of the drivers.
        drivers: Vec<String>,
    },
    /// Bind a device to a VFIO driver.
    Bind {
        /// Address of the device.
        device: Address,
        /// Driver that the device is on before.
        from: Option<String>,
        /// VFIO driver that the device gets.
        to: String,
        /// Driver that the device goes back to; `None` for no driver.
        back: Option<String>,
    },
    /// Write the guest's complete domain, without passwords.
    WriteDomain {
        /// Path of the file.
        path: PathBuf,
    },
    /// Make the FIFO of the VMM's messages in the guest's folder, and open the log file.
    OpenLog {
        /// Path of the log file.
        path: PathBuf,
    },
    /// Make a `/dev/vfio` that the VMM alone sees, for devices that it opens by path.
    MakeVfioFolder {
        /// Paths of the nodes there.
        nodes: Vec<String>,
    },
    /// Start the VMM.
    Spawn {
        /// Name of the user.
        user: String,
        /// Number of the user.
        uid: u32,
        /// `RLIMIT_MEMLOCK` in bytes; `None` keeps the limit of this process.
        memlock: Option<u64>,
        /// Parts of that limit.
        memlock_items: Vec<MemlockItem>,
        /// Program and arguments.
        command: Vec<String>,
    },
    /// Note in a device's record that the VMM has the device. So a VMM that outlives this process
    /// keeps its devices.
    HandOver {
        /// Address of the device.
        device: Address,
    },
    /// Wait until the VMM has set the machine up. It opens devices and pins memory meanwhile.
    SetUp,
    /// Set the password of a screen, which neither the dry run nor the journal shows.
    SetPassword {
        /// Place of the screen among those with a password.
        index: usize,
        /// Kind of the screen.
        screen: String,
        /// End of the password's validity, in UTC; `None` if the password stays valid.
        valid_to: Option<String>,
    },
    /// Inflate the balloon.
    SetBalloon {
        /// Memory that the guest keeps, in bytes.
        bytes: u64,
    },
    /// Empty the logs of the last start.
    EmptyLogs {
        /// Paths of the logs.
        paths: Vec<String>,
    },
    /// Make the guest's control socket.
    ListenForControl {
        /// Path of the socket.
        path: PathBuf,
    },
    /// Let the guest run. The start has succeeded then.
    Resume,
    /// Raise the VMM's limit on locked memory (`RLIMIT_MEMLOCK`) while the guest runs.
    RaiseMemlock {
        /// Limit before, in bytes.
        from: u64,
        /// Limit after, in bytes.
        to: u64,
    },
    /// Open `/dev/iommu`, and give it to the running VMM for an iommufd object.
    AddFdSet {
        /// Id of the object.
        object: String,
        /// Number of the fd set, which is never used again.
        set: u32,
    },
    /// Make an iommufd object in the running VMM.
    AddObject {
        /// Id of the object.
        object: String,
        /// Number in the VMM of a descriptor that the VMM has from its start; `None` for that of
        /// the object's fd set.
        descriptor: Option<RawFd>,
    },
    /// Open the character device of a VFIO device, and give it to the running VMM.
    PassDevice {
        /// Address of the device.
        device: Address,
        /// Number of the fd set, which is never used again.
        set: u32,
    },
    /// Put the node of an IOMMU group into the running VMM's own `/dev/vfio`.
    AddVfioNode {
        /// Address of a device in the group.
        device: Address,
        /// Number of the group.
        group: u32,
    },
    /// Plug a device into the running guest.
    AddDevice {
        /// Alias of the device, which is never used again.
        alias: String,
        /// Address of the device on the host, if it is one of the host's.
        device: Option<Address>,
        /// Driver and properties, as `device_add` takes them, without the descriptor.
        options: Value,
    },
    /// Ask the running guest to release a device, and wait until nothing has the device open.
    RemoveDevice {
        /// Alias of the device.
        alias: String,
        /// Address of the device on the host, if it is one of the host's.
        device: Option<Address>,
    },
    /// Open a file of a disk, and give it to the running VMM.
    PassFile {
        /// Alias of the disk.
        alias: String,
        /// Path of the file.
        path: PathBuf,
        /// Whether the file is opened for reading and writing.
        write: bool,
        /// Whether only a header of another image names the file, so that the guest's user must
        /// have the right to open it.
        as_user: bool,
        /// Number of the fd set.
        set: u32,
    },
    /// Make a part of a device in the running VMM, which the device needs.
    AddPart {
        /// Alias of the device.
        alias: String,
        /// Kind of the part.
        kind: PartKind,
        /// Id of the part.
        id: String,
        /// Properties, as QEMU's command takes them.
        options: Value,
    },
    /// Put another medium into a drive of the running guest.
    ChangeMedium {
        /// Alias of the drive.
        drive: String,
        /// Block node of the medium before; `None` for an empty drive.
        from: Option<String>,
        /// Block node of the medium after; `None` for an empty drive.
        to: Option<String>,
    },
    /// Remove a part of a device that the VMM had from its start.
    RemovePart {
        /// Kind of the part.
        kind: PartKind,
        /// Id of the part.
        id: String,
    },
    /// Write the guest's complete domain anew, after a change of its devices.
    RewriteDomain {
        /// Path of the file.
        path: PathBuf,
    },
    /// Take the node of an IOMMU group away that the VMM has from its start.
    RemoveVfioNode {
        /// Number of the group.
        group: u32,
    },
    /// Remove an iommufd object that the VMM has from its start.
    RemoveObject {
        /// Id of the object.
        object: String,
    },
}

/// Kind of a part of a device in the VMM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartKind {
    /// An object.
    Object,
    /// A block node.
    Node,
    /// The host's end of a network card.
    Netdev,
}

/// Descriptor in the VMM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Number.
    pub number: RawFd,
    /// Mode, in words.
    pub mode: String,
}

impl Descriptor {
    pub(crate) const fn number(&self) -> RawFd {
        self.number
    }
}

/// Time for which an operation stays in force if nothing undoes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as this process lives: locks and open descriptors.
    Process,
    /// As long as the VMM lives.
    Vmm,
    /// Until the guest's end: something has to undo it.
    Guest,
    /// For ever, unless the start fails.
    Started,
    /// For ever, also if the start fails.
    Kept,
}

impl Op {
    /// Returns the lifetime of the operation.
    pub const fn lifetime(&self) -> Lifetime {
        match self {
            Self::Open { .. } | Self::Take { .. } | Self::Copy { .. } | Self::Claim { .. } => {
                Lifetime::Process
            }
            Self::MakeVfioFolder { .. }
            | Self::SetUp
            | Self::SetPassword { .. }
            | Self::SetBalloon { .. }
            | Self::Resume
            | Self::RaiseMemlock { .. }
            | Self::AddFdSet { .. }
            | Self::AddObject { .. }
            | Self::PassDevice { .. }
            | Self::AddVfioNode { .. }
            | Self::AddDevice { .. }
            | Self::RemoveDevice { .. }
            | Self::RemoveVfioNode { .. }
            | Self::RemoveObject { .. }
            | Self::PassFile { .. }
            | Self::AddPart { .. }
            | Self::ChangeMedium { .. }
            | Self::RemovePart { .. }
            | Self::RewriteDomain { .. } => Lifetime::Vmm,
            Self::MakeGuestFolder { .. }
            | Self::Listen { .. }
            | Self::ListenForControl { .. }
            | Self::MakeFolder { .. }
            | Self::Bind { .. }
            | Self::WriteDomain { .. }
            | Self::OpenLog { .. }
            | Self::Spawn { .. }
            | Self::HandOver { .. } => Lifetime::Guest,
            Self::WriteRecord { .. } => Lifetime::Started,
            Self::LoadModules { .. }
            | Self::MakeNvram { .. }
            | Self::LoadDrivers { .. }
            | Self::EmptyLogs { .. } => Lifetime::Kept,
        }
    }

    /// Returns whether nothing can undo the operation, so that nothing remembers it once it is
    /// done.
    pub(crate) const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::RemoveDevice { .. }
                | Self::RemoveVfioNode { .. }
                | Self::RemoveObject { .. }
                | Self::RemovePart { .. }
                | Self::RewriteDomain { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_operation_reads_back() {
        let op = Op::Bind {
            device: "0000:01:00.0".parse().unwrap(),
            from: Some("nvme".into()),
            to: "vfio-pci".into(),
            back: Some("nvme".into()),
        };
        let text = serde_json::to_string(&op).unwrap();
        assert_eq!(
            text,
            r#"{"op":"bind","device":"0000:01:00.0","from":"nvme","to":"vfio-pci","back":"nvme"}"#
        );
        assert_eq!(serde_json::from_str::<Op>(&text).unwrap(), op);
    }

    #[test]
    fn unknown_operation_is_refused() {
        assert!(serde_json::from_str::<Op>(r#"{"op":"teleport"}"#).is_err());
    }
}
