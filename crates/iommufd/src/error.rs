//! [`Error`]: a failed operation on `/dev/iommu`.

use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::access::Access;
use crate::context::Accounting;
use crate::describe::{describe_page_table, describe_ranges, describe_setting};
use crate::iova::Iova;

/// A failed operation on `/dev/iommu`.
///
/// Each variant names the ioctl, the objects by their ids in the context, and the arguments. The
/// source is the kernel's error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `/dev/iommu` cannot be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// Path of the device.
        path: PathBuf,
        /// Kernel's error.
        source: io::Error,
    },
    /// A descriptor is not an iommufd.
    #[error("the descriptor is not an iommufd (IOMMU_OPTION_RLIMIT_MODE)")]
    NotIommufd {
        /// Kernel's error, or `ENOTTY` if the answer was not an iommufd's.
        source: io::Error,
    },
    /// The accounting of pinned memory cannot be changed.
    #[error("cannot charge pinned memory to the {to} (IOMMU_OPTION_RLIMIT_MODE)")]
    Accounting {
        /// Requested accounting.
        to: Accounting,
        /// Kernel's error.
        source: io::Error,
    },
    /// The charge for pinned memory cannot be moved to this process.
    #[error("cannot charge pinned memory to this process (IOMMU_IOAS_CHANGE_PROCESS)")]
    ChangeProcess {
        /// Kernel's error.
        source: io::Error,
    },
    /// The I/O address space of VFIO's container interface cannot be read or changed.
    #[error(
        "cannot {} the I/O address space for VFIO containers (IOMMU_VFIO_IOAS)",
        ioas.map_or("read or clear".into(), |id| format!("make object {id}"))
    )]
    CompatIoas {
        /// I/O address space to be set; `None` for reading and clearing.
        ioas: Option<u32>,
        /// Kernel's error.
        source: io::Error,
    },
    /// An I/O address space cannot be allocated.
    #[error("cannot allocate an I/O address space (IOMMU_IOAS_ALLOC)")]
    Alloc {
        /// Kernel's error.
        source: io::Error,
    },
    /// An object cannot be destroyed. It lasts until the context ends.
    #[error("cannot destroy object {id} (IOMMU_DESTROY)")]
    Destroy {
        /// Id of the object.
        id: u32,
        /// Kernel's error.
        source: io::Error,
    },
    /// Memory cannot be mapped.
    #[error(
        "cannot map {length:#x} bytes at address {address:#x} to {iova} of I/O address space \
         {ioas}, {access} (IOMMU_IOAS_MAP)"
    )]
    Map {
        /// I/O address space.
        ioas: u32,
        /// Address of the memory in this process.
        address: u64,
        /// Length in bytes.
        length: u64,
        /// Requested IOVA.
        iova: Iova,
        /// Requested access.
        access: Access,
        /// Kernel's error.
        source: io::Error,
    },
    /// A file cannot be mapped.
    #[error(
        "cannot map {length:#x} bytes at offset {offset:#x} of a file to {iova} of I/O address \
         space {ioas}, {access} (IOMMU_IOAS_MAP_FILE)"
    )]
    MapFile {
        /// I/O address space.
        ioas: u32,
        /// Offset in the file, in bytes.
        offset: u64,
        /// Length in bytes.
        length: u64,
        /// Requested IOVA.
        iova: Iova,
        /// Requested access.
        access: Access,
        /// Kernel's error.
        source: io::Error,
    },
    /// A mapping cannot be copied.
    #[error(
        "cannot copy {length:#x} bytes at IOVA {from_iova:#x} of I/O address space {from} to \
         {iova} of {ioas}, {access} (IOMMU_IOAS_COPY)"
    )]
    Copy {
        /// Source I/O address space.
        from: u32,
        /// First IOVA at the source.
        from_iova: u64,
        /// Length in bytes.
        length: u64,
        /// Destination I/O address space.
        ioas: u32,
        /// Requested IOVA at the destination.
        iova: Iova,
        /// Requested access.
        access: Access,
        /// Kernel's error.
        source: io::Error,
    },
    /// Two objects of one call come from different [`Iommufd`](crate::Iommufd) values. Their
    /// contexts may differ, and an id means nothing in another context.
    #[error("objects {object} and {other} do not come from one Iommufd")]
    OtherContext {
        /// Id of one object in its context.
        object: u32,
        /// Id of the other object in its context.
        other: u32,
    },
    /// A range cannot be unmapped.
    #[error(
        "cannot unmap {length:#x} bytes at IOVA {iova:#x} of I/O address space {ioas} \
         (IOMMU_IOAS_UNMAP)"
    )]
    Unmap {
        /// I/O address space.
        ioas: u32,
        /// First IOVA.
        iova: u64,
        /// Length in bytes.
        length: u64,
        /// Kernel's error.
        source: io::Error,
    },
    /// The physical address behind an IOVA cannot be read.
    #[error(
        "cannot ask for the physical address of {length:#x} bytes at IOVA {iova:#x} of I/O \
         address space {ioas} (IOMMU_IOAS_NOIOMMU_GET_PA)"
    )]
    NoiommuGetPa {
        /// I/O address space.
        ioas: u32,
        /// First IOVA.
        iova: u64,
        /// Length in bytes.
        length: u64,
        /// Kernel's error.
        source: io::Error,
    },
    /// The usable IOVAs cannot be read.
    #[error("cannot read the IOVA ranges of I/O address space {ioas} (IOMMU_IOAS_IOVA_RANGES)")]
    IovaRanges {
        /// I/O address space.
        ioas: u32,
        /// Kernel's error.
        source: io::Error,
    },
    /// Ranges of IOVAs cannot be reserved.
    #[error(
        "cannot reserve the IOVA ranges {} of I/O address space {ioas} (IOMMU_IOAS_ALLOW_IOVAS)",
        describe_ranges(ranges)
    )]
    AllowIovas {
        /// I/O address space.
        ioas: u32,
        /// Requested ranges.
        ranges: Vec<RangeInclusive<u64>>,
        /// Kernel's error.
        source: io::Error,
    },
    /// The option for huge pages cannot be read or changed.
    #[error(
        "cannot {} huge pages in I/O address space {ioas} (IOMMU_OPTION_HUGE_PAGES)",
        describe_setting(*to)
    )]
    HugePages {
        /// I/O address space.
        ioas: u32,
        /// Requested setting; `None` for reading.
        to: Option<bool>,
        /// Kernel's error.
        source: io::Error,
    },
    /// A page table cannot be allocated.
    #[error(
        "cannot allocate a page table for device {device} over object {parent}, \
         {} (IOMMU_HWPT_ALLOC)",
        describe_page_table(*flags, *data_type)
    )]
    HwptAlloc {
        /// Id of the device in the context.
        device: u32,
        /// Id of the parent.
        parent: u32,
        /// Requested features (`enum iommufd_hwpt_alloc_flags`).
        flags: u32,
        /// Type of the guest's data (`enum iommu_hwpt_data_type`); 0 for a table that the kernel
        /// fills.
        data_type: u32,
        /// Kernel's error.
        source: io::Error,
    },
    /// Dirty tracking cannot be started or stopped.
    #[error(
        "cannot {} dirty tracking on page table {hwpt} (IOMMU_HWPT_SET_DIRTY_TRACKING)",
        if *on { "begin" } else { "end" }
    )]
    DirtyTracking {
        /// Page table.
        hwpt: u32,
        /// Whether tracking was to start.
        on: bool,
        /// Kernel's error.
        source: io::Error,
    },
    /// Dirty pages cannot be read.
    #[error(
        "cannot read which pages of {page_size:#x} bytes are dirty in {length:#x} bytes at IOVA \
         {iova:#x} of page table {hwpt}, to {words} words (IOMMU_HWPT_GET_DIRTY_BITMAP)"
    )]
    DirtyBitmap {
        /// Page table.
        hwpt: u32,
        /// First IOVA.
        iova: u64,
        /// Length in bytes.
        length: u64,
        /// Number of bytes that a bit stands for.
        page_size: u64,
        /// Length of the bitmap, in words of 64 bits.
        words: usize,
        /// Kernel's error, or `EINVAL` from a check before the call.
        source: io::Error,
    },
    /// The descriptor cannot be duplicated.
    #[error("cannot copy the descriptor of an iommufd")]
    Duplicate {
        /// Kernel's error.
        source: io::Error,
    },
    /// The IOMMU behind a device cannot be queried.
    #[error(
        "cannot query the IOMMU behind device {device}{} (IOMMU_GET_HW_INFO)",
        data_type.map_or_else(String::new, |kind| format!(", with data of type {kind}"))
    )]
    HwInfo {
        /// Id of the device in the context.
        device: u32,
        /// Requested type of data (`enum iommu_hw_info_type`); `None` for the default.
        data_type: Option<u32>,
        /// Kernel's error.
        source: io::Error,
    },
    /// Invalidations failed.
    #[error(
        "{handled} of {entries} invalidations of type {data_type} were handled by object {object} \
         before one failed (IOMMU_HWPT_INVALIDATE)"
    )]
    Invalidate {
        /// Page table or virtual IOMMU.
        object: u32,
        /// Type of the invalidations (`enum iommu_hwpt_invalidate_data_type`).
        data_type: u32,
        /// Number of invalidations.
        entries: u32,
        /// Number handled before the failure; 0 if the kernel does not report it.
        handled: u32,
        /// Kernel's error, or `EINVAL` from a check before the call.
        source: io::Error,
    },
    /// A fault queue cannot be allocated.
    #[error("cannot allocate a fault queue (IOMMU_FAULT_QUEUE_ALLOC)")]
    FaultQueueAlloc {
        /// Kernel's error.
        source: io::Error,
    },
    /// Faults or events cannot be read.
    #[error("cannot read from queue {queue}")]
    Read {
        /// Queue.
        queue: u32,
        /// Kernel's error.
        source: io::Error,
    },
    /// Page faults cannot be answered.
    #[error(
        "{handled} of {responses} answers to page faults were taken by queue {queue} before one \
         failed"
    )]
    Respond {
        /// Queue.
        queue: u32,
        /// Number of answers.
        responses: usize,
        /// Number of answers taken before the failure.
        handled: usize,
        /// Kernel's error.
        source: io::Error,
    },
    /// A virtual IOMMU cannot be allocated.
    #[error(
        "cannot allocate a virtual IOMMU of type {viommu_type} behind device {device}, over page \
         table {hwpt} (IOMMU_VIOMMU_ALLOC)"
    )]
    ViommuAlloc {
        /// Requested model (`enum iommu_viommu_type`).
        viommu_type: u32,
        /// Id of the device in the context.
        device: u32,
        /// Nest parent.
        hwpt: u32,
        /// Kernel's error.
        source: io::Error,
    },
    /// Registers of a virtual IOMMU cannot be mapped.
    #[error("cannot map {length:#x} bytes at offset {offset:#x} of virtual IOMMU {viommu} (mmap)")]
    Mmap {
        /// Virtual IOMMU.
        viommu: u32,
        /// Offset of the area, in bytes.
        offset: u64,
        /// Length in bytes.
        length: u64,
        /// Kernel's error.
        source: io::Error,
    },
    /// A device cannot be put behind a virtual IOMMU.
    #[error(
        "cannot put device {device} behind virtual IOMMU {viommu}, as {virt_id:#x} \
         (IOMMU_VDEVICE_ALLOC)"
    )]
    VdeviceAlloc {
        /// Virtual IOMMU.
        viommu: u32,
        /// Id of the device in the context.
        device: u32,
        /// Guest's id for the device.
        virt_id: u64,
        /// Kernel's error.
        source: io::Error,
    },
    /// A queue of events cannot be allocated.
    #[error(
        "cannot allocate a queue for {depth} events of type {veventq_type} of virtual IOMMU \
         {viommu} (IOMMU_VEVENTQ_ALLOC)"
    )]
    VeventQueueAlloc {
        /// Virtual IOMMU.
        viommu: u32,
        /// Type of events (`enum iommu_veventq_type`).
        veventq_type: u32,
        /// Requested capacity, in events.
        depth: u32,
        /// Kernel's error.
        source: io::Error,
    },
    /// A hardware queue cannot be allocated.
    #[error(
        "cannot make {length:#x} bytes at IOVA {iova:#x} hardware queue {index} of type \
         {queue_type} of virtual IOMMU {viommu} (IOMMU_HW_QUEUE_ALLOC)"
    )]
    HwQueueAlloc {
        /// Virtual IOMMU.
        viommu: u32,
        /// Type of queue (`enum iommu_hw_queue_type`).
        queue_type: u32,
        /// Number of the queue.
        index: u32,
        /// First IOVA of the memory.
        iova: u64,
        /// Length in bytes.
        length: u64,
        /// Kernel's error.
        source: io::Error,
    },
    /// Memory for DMA cannot be allocated.
    #[error("cannot allocate {length:#x} bytes of memory for DMA (mmap)")]
    Memory {
        /// Requested length in bytes.
        length: usize,
        /// Kernel's error.
        source: io::Error,
    },
}

impl Error {
    /// Returns the kernel's error, or `None` for an error found without the kernel.
    pub fn io(&self) -> Option<&io::Error> {
        std::error::Error::source(self)?.downcast_ref()
    }
}
