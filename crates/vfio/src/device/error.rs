//! [`Error`]: a failure of a device.

use std::ops::Range;
use std::path::PathBuf;
use std::{fmt, io};

use rustix::io::Errno;

use crate::BadCapability;
use crate::device::{Feature, MigrationState};

/// A failure of a device.
///
/// Each variant names the device, the call and its arguments. The kernel's errno is in the source;
/// see [`Error::io`]. [`Error::hint`] returns what the user can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The device does not exist.
    #[error("there is no device {}", path.display())]
    NoDevice {
        /// Path of the device in sysfs.
        path: PathBuf,
        /// The kernel's errno.
        source: io::Error,
    },
    /// The device has no character device.
    #[error("{} has no VFIO character device", sysfs.display())]
    NoCdev {
        /// Folder of the device in sysfs.
        sysfs: PathBuf,
    },
    /// The device has no IOMMU (`vfio.enable_unsafe_noiommu_mode`): its DMA would reach all memory
    /// of the host.
    #[error("{} has no IOMMU ({node})", sysfs.display())]
    NoIommu {
        /// Folder of the device in sysfs.
        sysfs: PathBuf,
        /// Name of its character device, `noiommu-vfioN`, or of its group's node, `noiommu-N`.
        node: String,
    },
    /// The device could not be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// Path of the character device.
        path: PathBuf,
        /// The kernel's errno.
        source: io::Error,
    },
    /// A descriptor could not be examined.
    #[error("cannot identify the descriptor")]
    Descriptor {
        /// The kernel's errno.
        source: io::Error,
    },
    /// A descriptor does not belong to a VFIO device.
    #[error("the descriptor is not a VFIO character device: {reason}")]
    NotVfio {
        /// Kind of the descriptor's file, or the kernel's errno.
        reason: String,
    },
    /// The open file was bound to an iommufd before.
    #[error(
        "the VFIO device {} was bound to an iommufd before; an open file can be bound only \
         once",
        sysfs.display()
    )]
    Bound {
        /// Folder of the device in sysfs.
        sysfs: PathBuf,
    },
    /// The device could not be bound.
    #[error(
        "cannot bind {device} to the iommufd{} \
         (VFIO_DEVICE_BIND_IOMMUFD)",
        if *token { " with this token" } else { "" }
    )]
    Bind {
        /// Name of the device.
        device: String,
        /// A token was given.
        token: bool,
        /// The kernel's errno.
        source: io::Error,
    },
    /// The device could not be attached.
    #[error(
        "cannot attach {device}{} to object {pt_id} (VFIO_DEVICE_ATTACH_IOMMUFD_PT)",
        of_pasid(*pasid)
    )]
    Attach {
        /// Name of the device.
        device: String,
        /// Id of the address space or page table.
        pt_id: u32,
        /// PASID; `None` for the device itself.
        pasid: Option<u32>,
        /// The kernel's errno.
        source: io::Error,
    },
    /// The target belongs to another [`Iommufd`](passthru_iommufd::Iommufd) than the device. Two
    /// values for the same open file count as two.
    #[error("object {pt_id} does not belong to the Iommufd that {device} is bound to")]
    OtherContext {
        /// Name of the device.
        device: String,
        /// Id of the address space or page table.
        pt_id: u32,
    },
    /// The device could not be detached.
    #[error("cannot detach {device}{} (VFIO_DEVICE_DETACH_IOMMUFD_PT)", of_pasid(*pasid))]
    Detach {
        /// Name of the device.
        device: String,
        /// PASID; `None` for the device itself.
        pasid: Option<u32>,
        /// The kernel's errno.
        source: io::Error,
    },
    /// The device's information could not be read.
    #[error("cannot query {device} (VFIO_DEVICE_GET_INFO)")]
    Info {
        /// Name of the device.
        device: String,
        /// The kernel's errno.
        source: io::Error,
    },
    /// The device could not be reset.
    #[error("cannot reset {device} (VFIO_DEVICE_RESET)")]
    Reset {
        /// Name of the device.
        device: String,
        /// The kernel's errno.
        source: io::Error,
    },
    /// The description of a region could not be read.
    #[error("cannot query region {index} of {device} (VFIO_DEVICE_GET_REGION_INFO)")]
    RegionInfo {
        /// Name of the device.
        device: String,
        /// Index of the region.
        index: u32,
        /// The kernel's errno.
        source: io::Error,
    },
    /// The kernel's reply has malformed capabilities.
    #[error("the capabilities of {of} of {device} are malformed")]
    Capabilities {
        /// Name of the device.
        device: String,
        /// Object of the reply: `the information`, or `region N`.
        of: String,
        /// The malformed capability.
        source: BadCapability,
    },
    /// An access lies outside of its region or mapping, is not aligned to its width, or is not
    /// allowed there.
    #[error(
        "{access} is outside of its {size:#x} bytes, not aligned to its width, or not possible \
         there"
    )]
    Range {
        /// The access.
        access: RegionAccess,
        /// Size of the region or mapping in bytes.
        size: u64,
    },
    /// A region could not be read.
    #[error("cannot read {access}")]
    Read {
        /// The access.
        access: RegionAccess,
        /// The kernel's errno.
        source: io::Error,
    },
    /// A region could not be written.
    #[error("cannot write {access}")]
    Write {
        /// The access.
        access: RegionAccess,
        /// The kernel's errno.
        source: io::Error,
    },
    /// Fewer bytes were read or written than requested.
    #[error("only {done} bytes were transferred of {access}")]
    Short {
        /// The access.
        access: RegionAccess,
        /// Number of bytes that were transferred.
        done: usize,
    },
    /// A part of a region could not be mapped.
    #[error(
        "cannot map {:#x} to {:#x} of region {region} of {device} into memory",
        range.start,
        range.end
    )]
    Mmap {
        /// Name of the device.
        device: String,
        /// Index of the region.
        region: u32,
        /// Part of the region, in bytes.
        range: Range<u64>,
        /// The kernel's errno.
        source: io::Error,
    },
    /// The description of interrupts could not be read.
    #[error("cannot query interrupts {index} of {device} (VFIO_DEVICE_GET_IRQ_INFO)")]
    IrqInfo {
        /// Name of the device.
        device: String,
        /// Index of their kind, for example [`Irq::MSI`](super::Irq::MSI).
        index: u32,
        /// The kernel's errno.
        source: io::Error,
    },
    /// Interrupts could not be set up or raised.
    #[error(
        "cannot set {count} interrupts of kind {index} of {device}, from {start} on \
         (VFIO_DEVICE_SET_IRQS)"
    )]
    Irq {
        /// Name of the device.
        device: String,
        /// Index of their kind, for example [`Irq::MSI`](super::Irq::MSI).
        index: u32,
        /// First interrupt.
        start: u32,
        /// Number of interrupts; 0 to disable all.
        count: usize,
        /// The kernel's errno.
        source: io::Error,
    },
    /// The machine has fewer interrupts left; nothing was enabled.
    #[error(
        "cannot enable {count} interrupts of kind {index} of {device}, from {start} on: \
         {available} are available (VFIO_DEVICE_SET_IRQS)"
    )]
    FewIrqs {
        /// Name of the device.
        device: String,
        /// Index of their kind, for example [`Irq::MSI`](super::Irq::MSI).
        index: u32,
        /// First interrupt.
        start: u32,
        /// Requested number.
        count: usize,
        /// Available number, counted from the device's first interrupt.
        available: i32,
    },
    /// The devices that a hot reset affects could not be read.
    #[error(
        "cannot query what a hot reset of {device} affects (VFIO_DEVICE_GET_PCI_HOT_RESET_INFO)"
    )]
    HotResetInfo {
        /// Name of the device.
        device: String,
        /// The kernel's errno.
        source: io::Error,
    },
    /// The device's bus or slot could not be reset.
    #[error(
        "cannot reset the bus or slot of {device} with the files of {groups} groups \
         (VFIO_DEVICE_PCI_HOT_RESET)"
    )]
    HotReset {
        /// Name of the device.
        device: String,
        /// Number of group files that were given as proof.
        groups: usize,
        /// The kernel's errno.
        source: io::Error,
    },
    /// A write by eventfd could not be set up or removed.
    #[error("cannot tie an eventfd to writing {value:#x} to {access} (VFIO_DEVICE_IOEVENTFD)")]
    Ioeventfd {
        /// Place of the write.
        access: RegionAccess,
        /// Value of the write.
        value: u64,
        /// The kernel's errno.
        source: io::Error,
    },
    /// A feature was refused.
    #[error("{device} refuses {feature}")]
    Feature {
        /// Name of the device.
        device: String,
        /// The feature.
        feature: Feature,
        /// The kernel's errno.
        source: io::Error,
    },
    /// The migration state could not be changed.
    #[error(
        "cannot bring {device} to {to}; {} (VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE)",
        state_now(*now)
    )]
    Migrate {
        /// Name of the device.
        device: String,
        /// The requested state.
        to: MigrationState,
        /// The current state; `None` if it could not be read.
        now: Option<MigrationState>,
        /// The kernel's errno.
        source: io::Error,
    },
    /// The remaining size of the state could not be read.
    #[error(
        "cannot query how much of the state of {device} is still to be read \
         (VFIO_MIG_GET_PRECOPY_INFO)"
    )]
    Precopy {
        /// Name of the device.
        device: String,
        /// The kernel's errno.
        source: io::Error,
    },
    /// A dma-buf could not be made.
    #[error(
        "cannot make a dma-buf of {:#x} to {:#x} of region {region} of {device} \
         (VFIO_DEVICE_FEATURE_DMA_BUF)",
        range.start, range.end
    )]
    DmaBuf {
        /// Name of the device.
        device: String,
        /// Index of the region.
        region: u32,
        /// Part of the region, in bytes.
        range: Range<u64>,
        /// The kernel's errno.
        source: io::Error,
    },
}

/// An access to a region or its mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionAccess {
    /// Name of the device.
    pub device: String,
    /// Index of the region.
    pub region: u32,
    /// Offset in the region or mapping, in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
}

impl fmt::Display for RegionAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            device,
            region,
            offset,
            length,
        } = self;
        write!(
            f,
            "{length} bytes at {offset:#x} of region {region} of {device}"
        )
    }
}

impl Error {
    /// Returns the kernel's error, if the kernel was called.
    pub fn io(&self) -> Option<&io::Error> {
        std::error::Error::source(self)?.downcast_ref()
    }

    /// Returns the kernel's errno, if the kernel was called.
    pub(crate) fn errno(&self) -> Option<Errno> {
        Errno::from_io_error(self.io()?)
    }
}

fn of_pasid(pasid: Option<u32>) -> String {
    pasid.map_or_else(String::new, |pasid| format!(" under PASID {pasid}"))
}

fn state_now(now: Option<MigrationState>) -> String {
    now.map_or_else(
        || "its current state is unknown".into(),
        |now| format!("its current state is {now}"),
    )
}
