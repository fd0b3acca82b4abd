//! What goes wrong with a device, and what the user can do then.

use std::ops::Range;
use std::path::PathBuf;
use std::{fmt, io};

use rustix::io::Errno;

use crate::BadCapability;
use crate::device::{Feature, MigrationState};

/// What went wrong with a device. Each variant names the device, the call and its arguments; the
/// kernel's answer is the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such device.
    #[error("there is no device {}", path.display())]
    NoDevice {
        /// Where it was looked for.
        path: PathBuf,
        /// The answer.
        source: io::Error,
    },
    /// The device has no character device.
    #[error("{} has no VFIO character device", sysfs.display())]
    NoCdev {
        /// The device in sysfs.
        sysfs: PathBuf,
    },
    /// The device has no IOMMU (`vfio.enable_unsafe_noiommu_mode`): its DMA would reach all memory
    /// of the host.
    #[error("{} has no IOMMU ({node})", sysfs.display())]
    NoIommu {
        /// The device in sysfs.
        sysfs: PathBuf,
        /// The name of its character device, `noiommu-vfioN`, or of its group's, `noiommu-N`.
        node: String,
    },
    /// The device could not be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// It could not be asked what a descriptor is.
    #[error("cannot identify the descriptor")]
    Descriptor {
        /// The kernel's answer.
        source: io::Error,
    },
    /// A descriptor is open, but is no VFIO device's.
    #[error("the descriptor is not a VFIO character device: {what}")]
    NotVfio {
        /// What it is, or what the kernel answered.
        what: String,
    },
    /// The open file was bound to an iommufd before.
    #[error("the VFIO device {} was bound to an iommufd before; an open file can be bound only \
        once", sysfs.display())]
    Bound {
        /// The device in sysfs.
        sysfs: PathBuf,
    },
    /// The device could not be bound.
    #[error("cannot bind {device} to the iommufd{} \
        (VFIO_DEVICE_BIND_IOMMUFD)", if *token { " with this token" } else { "" })]
    Bind {
        /// The device.
        device: String,
        /// Whether a token was given.
        token: bool,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The device could not be attached.
    #[error("cannot attach {device}{} to object {pt_id} (VFIO_DEVICE_ATTACH_IOMMUFD_PT)", of_pasid(*pasid))]
    Attach {
        /// The device.
        device: String,
        /// The address space or page table.
        pt_id: u32,
        /// Which PASID of it.
        pasid: Option<u32>,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The target is of another [`Iommufd`](passthru_iommufd::Iommufd) than the device; two of the
    /// same open file count as two.
    #[error("object {pt_id} does not belong to the Iommufd that {device} is bound to")]
    OtherContext {
        /// The device.
        device: String,
        /// The address space or page table.
        pt_id: u32,
    },
    /// The device could not be detached.
    #[error("cannot detach {device}{} (VFIO_DEVICE_DETACH_IOMMUFD_PT)", of_pasid(*pasid))]
    Detach {
        /// The device.
        device: String,
        /// Which PASID of it.
        pasid: Option<u32>,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The device did not say what it is.
    #[error("cannot query {device} (VFIO_DEVICE_GET_INFO)")]
    Info {
        /// The device.
        device: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The device could not be reset.
    #[error("cannot reset {device} (VFIO_DEVICE_RESET)")]
    Reset {
        /// The device.
        device: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel did not describe a region.
    #[error("cannot query region {index} of {device} (VFIO_DEVICE_GET_REGION_INFO)")]
    RegionInfo {
        /// The device.
        device: String,
        /// The region.
        index: u32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// What the kernel said is not well formed.
    #[error("the capabilities of {of} of {device} are malformed")]
    Capabilities {
        /// The device.
        device: String,
        /// Of what.
        of: String,
        /// What is wrong.
        source: BadCapability,
    },
    /// An access is outside of its region or mapping, not aligned to its width, or not possible
    /// there.
    #[error(
        "{access} is outside of its {size:#x} bytes, not aligned to its width, or not possible \
         there"
    )]
    Range {
        /// What was to be accessed.
        access: RegionAccess,
        /// The size of the region or mapping.
        size: u64,
    },
    /// A region could not be read.
    #[error("cannot read {access}")]
    Read {
        /// What was to be read.
        access: RegionAccess,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A region could not be written.
    #[error("cannot write {access}")]
    Write {
        /// What was to be written.
        access: RegionAccess,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Less was read or written than was asked for.
    #[error("only {done} bytes were transferred of {access}")]
    Short {
        /// What was to be accessed.
        access: RegionAccess,
        /// How many bytes were.
        done: usize,
    },
    /// A part of a region could not be mapped.
    #[error("cannot map {:#x} to {:#x} of region {region} of {device} into memory", range.start, range.end)]
    Mmap {
        /// The device.
        device: String,
        /// The region.
        region: u32,
        /// Which part.
        range: Range<u64>,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel did not describe interrupts.
    #[error("cannot query interrupts {index} of {device} (VFIO_DEVICE_GET_IRQ_INFO)")]
    IrqInfo {
        /// The device.
        device: String,
        /// Which kind.
        index: u32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Interrupts could not be set up or raised.
    #[error(
        "cannot set {count} interrupts of kind {index} of {device}, from {start} on \
         (VFIO_DEVICE_SET_IRQS)"
    )]
    Irq {
        /// The device.
        device: String,
        /// Which kind.
        index: u32,
        /// The first.
        start: u32,
        /// How many; 0 to disable all.
        count: usize,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The machine does not have as many interrupts left; nothing was enabled.
    #[error(
        "cannot enable {count} interrupts of kind {index} of {device}, from {start} on: \
         {available} are available (VFIO_DEVICE_SET_IRQS)"
    )]
    FewIrqs {
        /// The device.
        device: String,
        /// Which kind.
        index: u32,
        /// The first.
        start: u32,
        /// How many were asked for.
        count: usize,
        /// How many there could be, from the device's first on.
        available: i32,
    },
    /// The kernel did not say what a hot reset affects.
    #[error(
        "cannot query what a hot reset of {device} affects (VFIO_DEVICE_GET_PCI_HOT_RESET_INFO)"
    )]
    HotResetInfo {
        /// The device.
        device: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The device's bus or slot could not be reset.
    #[error(
        "cannot reset the bus or slot of {device} with the files of {groups} groups \
         (VFIO_DEVICE_PCI_HOT_RESET)"
    )]
    HotReset {
        /// The device.
        device: String,
        /// How many groups were given as proof.
        groups: usize,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A write by eventfd could not be set up or taken away.
    #[error("cannot tie an eventfd to writing {value:#x} to {access} (VFIO_DEVICE_IOEVENTFD)")]
    Ioeventfd {
        /// Where to.
        access: RegionAccess,
        /// What is to be written.
        value: u64,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A feature was refused.
    #[error("{device} refuses {feature}")]
    Feature {
        /// The device.
        device: String,
        /// Which one.
        feature: Feature,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The state of the migration could not be changed.
    #[error("cannot bring {device} to {to}; {} (VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE)", state_now(*now))]
    Migrate {
        /// The device.
        device: String,
        /// The state that was asked for.
        to: MigrationState,
        /// The state that it is in, where it says so.
        now: Option<MigrationState>,
        /// The kernel's answer.
        source: io::Error,
    },
    /// It could not be asked how much there is to read yet.
    #[error(
        "cannot query how much of the state of {device} is still to be read \
         (VFIO_MIG_GET_PRECOPY_INFO)"
    )]
    Precopy {
        /// The device.
        device: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A dma-buf could not be made.
    #[error("cannot make a dma-buf of {:#x} to {:#x} of region {region} of {device} \
        (VFIO_DEVICE_FEATURE_DMA_BUF)", range.start, range.end)]
    DmaBuf {
        /// The device.
        device: String,
        /// The region.
        region: u32,
        /// Which part.
        range: Range<u64>,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// An access to a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionAccess {
    /// The device.
    pub device: String,
    /// The region's index.
    pub region: u32,
    /// Where in the region or mapping.
    pub offset: u64,
    /// How many bytes.
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
    /// Returns the kernel's answer, where it was one.
    pub fn io(&self) -> Option<&io::Error> {
        std::error::Error::source(self)?.downcast_ref()
    }

    /// Returns the number of the kernel's answer.
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
