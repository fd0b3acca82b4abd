//! Errors of changes of a running guest's devices.

use std::io;

use passthru_pci::Address;
use passthru_qemu::NotPluggable;
use passthru_qemu::monitor;

use crate::op::describe::in_brackets;

/// Error of a change of a running guest's devices.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HotplugError {
    /// Another change is under way.
    #[error("another change of the guest's devices is under way")]
    Busy,
    /// The guest has not run yet. QEMU forgets a request to release a device then.
    #[error("the guest has not run yet, and so cannot release a device")]
    NotRun,
    /// A device of a document cannot be attached.
    #[error("{device} cannot be attached: {reason}")]
    Unsupported {
        /// The device, in words.
        device: String,
        /// Reason, as a clause.
        reason: String,
    },
    /// QEMU has no options for a device.
    #[error(transparent)]
    Options(#[from] passthru_qemu::Error),
    /// A running QEMU cannot get or release a device.
    #[error(transparent)]
    NotPluggable(#[from] NotPluggable),
    /// The guest does not have the device, or cannot release it.
    #[error(transparent)]
    Device(#[from] passthru_domain::Error),
    /// The VMM refused an operation.
    #[error("cannot {op}")]
    Refused {
        /// The operation, in words.
        op: String,
        /// Answer of the VMM.
        source: monitor::Error,
    },
    /// The guest refused to release a device.
    #[error("the guest refused to release {alias}{}", in_brackets(*device))]
    UnplugRefused {
        /// Alias of the device.
        alias: String,
        /// Address of the device on the host, if it is one of the host's.
        device: Option<Address>,
    },
    /// The guest has not released a device in time. It may still do so later.
    #[error("the guest has not released {alias}{} within {seconds} s", in_brackets(*device))]
    NotReleased {
        /// Alias of the device.
        alias: String,
        /// Address of the device on the host, if it is one of the host's.
        device: Option<Address>,
        /// Time limit in seconds.
        seconds: u64,
    },
    /// The guest keeps the tray of a drive locked.
    #[error("the guest has locked the tray of {drive}, and has not opened it within {seconds} s")]
    TrayLocked {
        /// Alias of the drive.
        drive: String,
        /// Time limit in seconds.
        seconds: u64,
    },
    /// The VMM's limit on locked memory cannot be read or set.
    #[error("cannot set the VMM's limit on locked memory to {bytes} bytes")]
    Memlock {
        /// The limit.
        bytes: u64,
        /// Cause.
        source: io::Error,
    },
    /// The node of a group cannot be added to the VMM's own `/dev/vfio`, or removed there.
    #[error("cannot change /dev/vfio/{group} in the VMM's own /dev/vfio")]
    VfioNode {
        /// Number of the group.
        group: u32,
        /// Cause.
        source: io::Error,
    },
    /// A device cannot be detached without another one of its IOMMU group: the VMM keeps the group
    /// open.
    #[error("{device} cannot be detached alone: the guest keeps {other} of IOMMU group {group}")]
    GroupStays {
        /// Address of the device on the host.
        device: Address,
        /// Number of the group.
        group: u32,
        /// Address of the other device.
        other: Address,
    },
    /// The VMM has no descriptor for an operation.
    #[error("the VMM has no descriptor to {op}")]
    NoDescriptor {
        /// The operation, in words.
        op: String,
    },
    /// No thread can be made for work that waits for the kernel, or the thread panicked.
    #[error("cannot {op}: its thread failed")]
    Thread {
        /// The operation, in words.
        op: String,
        /// Cause.
        source: io::Error,
    },
}
