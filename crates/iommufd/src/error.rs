//! What goes wrong with `/dev/iommu`, and what the user can do then.

use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::{Access, Accounting, Iova};

/// What went wrong with `/dev/iommu`. Each variant names the call, its object (by the kernel's id)
/// and its arguments; the kernel's answer is the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The device could not be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A descriptor is open, but is no iommufd: the kernel did not answer as one.
    #[error("the descriptor is not an iommufd (IOMMU_OPTION_RLIMIT_MODE)")]
    NotIommufd {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The accounting could not be changed.
    #[error("cannot charge pinned memory to the {} (IOMMU_OPTION_RLIMIT_MODE)", match to { Accounting::User => "user", Accounting::Process => "process" })]
    Accounting {
        /// What was asked for.
        to: Accounting,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The charge for pinned memory could not pass to this process.
    #[error("cannot charge pinned memory to this process (IOMMU_IOAS_CHANGE_PROCESS)")]
    ChangeProcess {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The I/O address space for the container interface could not be asked for or changed.
    #[error("cannot {} the I/O address space for VFIO containers (IOMMU_VFIO_IOAS)", match ioas { Some(id) => format!("make object {id}"), None => "read or clear".into() })]
    CompatIoas {
        /// Which one it was to be.
        ioas: Option<u32>,
        /// The kernel's answer.
        source: io::Error,
    },
    /// No I/O address space could be allocated.
    #[error("cannot allocate an I/O address space (IOMMU_IOAS_ALLOC)")]
    Alloc {
        /// The kernel's answer.
        source: io::Error,
    },
    /// An object could not be destroyed.
    #[error("cannot destroy object {id} (IOMMU_DESTROY)")]
    Destroy {
        /// Its id.
        id: u32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Memory could not be mapped.
    #[error(
        "cannot map {length:#x} bytes at address {address:#x} to {iova} of I/O address space {ioas}, {access} (IOMMU_IOAS_MAP)"
    )]
    Map {
        /// The I/O address space.
        ioas: u32,
        /// The memory's address in the process.
        address: u64,
        /// Its length in bytes.
        length: u64,
        /// Where to.
        iova: Iova,
        /// What for.
        access: Access,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file could not be mapped.
    #[error(
        "cannot map {length:#x} bytes at offset {offset:#x} of a file to {iova} of I/O address space {ioas}, {access} (IOMMU_IOAS_MAP_FILE)"
    )]
    MapFile {
        /// The I/O address space.
        ioas: u32,
        /// The offset in the file.
        offset: u64,
        /// The length in bytes.
        length: u64,
        /// Where to.
        iova: Iova,
        /// What for.
        access: Access,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A mapping could not be copied.
    #[error(
        "cannot copy {length:#x} bytes at IOVA {from_iova:#x} of I/O address space {from} to {iova} of {ioas}, {access} (IOMMU_IOAS_COPY)"
    )]
    Copy {
        /// The I/O address space that has the mapping.
        from: u32,
        /// Where it has it.
        from_iova: u64,
        /// The length in bytes.
        length: u64,
        /// The I/O address space that was to get it.
        ioas: u32,
        /// Where to.
        iova: Iova,
        /// What for.
        access: Access,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Two objects of one call come from different [`Iommufd`](crate::Iommufd)s, and so perhaps
    /// from different contexts, where ids say nothing of each other.
    #[error("objects {object} and {other} do not come from one Iommufd")]
    OtherContext {
        /// The one's id in its context.
        object: u32,
        /// The other's id in its context.
        other: u32,
    },
    /// IOVAs could not be unmapped.
    #[error(
        "cannot unmap {length:#x} bytes at IOVA {iova:#x} of I/O address space {ioas} (IOMMU_IOAS_UNMAP)"
    )]
    Unmap {
        /// The I/O address space.
        ioas: u32,
        /// The first IOVA.
        iova: u64,
        /// The length in bytes.
        length: u64,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The physical memory behind an IOVA could not be asked for.
    #[error(
        "cannot ask for the physical address of {length:#x} bytes at IOVA {iova:#x} of I/O address space {ioas} (IOMMU_IOAS_NOIOMMU_GET_PA)"
    )]
    NoiommuGetPa {
        /// The I/O address space.
        ioas: u32,
        /// The first IOVA.
        iova: u64,
        /// The length in bytes.
        length: u64,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The usable IOVAs could not be asked for.
    #[error("cannot read the IOVA ranges of I/O address space {ioas} (IOMMU_IOAS_IOVA_RANGES)")]
    IovaRanges {
        /// The I/O address space.
        ioas: u32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// IOVAs could not be kept free for use.
    #[error(
        "cannot reserve the IOVA ranges {} of I/O address space {ioas} (IOMMU_IOAS_ALLOW_IOVAS)",
        list(ranges)
    )]
    AllowIovas {
        /// The I/O address space.
        ioas: u32,
        /// The ranges.
        ranges: Vec<RangeInclusive<u64>>,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The use of huge pages could not be asked for or changed.
    #[error("cannot {} huge pages in I/O address space {ioas} (IOMMU_OPTION_HUGE_PAGES)", match to { Some(true) => "allow", Some(false) => "forbid", None => "read the setting for" })]
    HugePages {
        /// The I/O address space.
        ioas: u32,
        /// What was asked for; `None` where it was asked what it is.
        to: Option<bool>,
        /// The kernel's answer.
        source: io::Error,
    },
    /// No page table could be allocated.
    #[error("cannot allocate a page table for device {device} over object {parent}, {} (IOMMU_HWPT_ALLOC)", page_table(*flags, *data_type))]
    HwptAlloc {
        /// The device's id in the context.
        device: u32,
        /// What it was to be made over.
        parent: u32,
        /// What it was to be able to (`enum iommufd_hwpt_alloc_flags`).
        flags: u32,
        /// The kind of a guest's page table (`enum iommu_hwpt_data_type`); 0 for the kernel's.
        data_type: u32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Dirty tracking could not begin or end.
    #[error("cannot {} dirty tracking on page table {hwpt} (IOMMU_HWPT_SET_DIRTY_TRACKING)", if *on { "begin" } else { "end" })]
    DirtyTracking {
        /// The page table.
        hwpt: u32,
        /// Whether it was to begin.
        on: bool,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The dirty pages could not be read.
    #[error(
        "cannot read which pages of {page_size:#x} bytes are dirty in {length:#x} bytes at IOVA {iova:#x} of page table {hwpt}, to {words} words (IOMMU_HWPT_GET_DIRTY_BITMAP)"
    )]
    DirtyBitmap {
        /// The page table.
        hwpt: u32,
        /// The first IOVA.
        iova: u64,
        /// The length in bytes.
        length: u64,
        /// How many bytes a bit stands for.
        page_size: u64,
        /// How many words of 64 bits the bitmap has.
        words: usize,
        /// The kernel's answer, or `EINVAL` where the kernel was not asked.
        source: io::Error,
    },
    /// The descriptor could not be copied.
    #[error("cannot copy the descriptor of an iommufd")]
    Duplicate {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The IOMMU behind a device could not be asked for what it is.
    #[error("cannot query the IOMMU behind device {device}{} (IOMMU_GET_HW_INFO)", match data_type { Some(kind) => format!(", with data of type {kind}"), None => String::new() })]
    HwInfo {
        /// The device's id in the context.
        device: u32,
        /// The kind of data that was asked for (`enum iommu_hw_info_type`).
        data_type: Option<u32>,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Invalidations failed.
    #[error(
        "{handled} of {entries} invalidations of type {data_type} were handled by object {object} before one failed (IOMMU_HWPT_INVALIDATE)"
    )]
    Invalidate {
        /// The page table or virtual IOMMU.
        object: u32,
        /// Their kind (`enum iommu_hwpt_invalidate_data_type`).
        data_type: u32,
        /// How many there were.
        entries: u32,
        /// How many were handled: as far as the kernel says so, else 0.
        handled: u32,
        /// The kernel's answer, or `EINVAL` where the kernel was not asked.
        source: io::Error,
    },
    /// No fault queue could be allocated.
    #[error("cannot allocate a fault queue (IOMMU_FAULT_QUEUE_ALLOC)")]
    FaultQueueAlloc {
        /// The kernel's answer.
        source: io::Error,
    },
    /// Faults or events could not be read.
    #[error("cannot read from queue {queue}")]
    Read {
        /// The queue.
        queue: u32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Page faults could not be answered.
    #[error(
        "{handled} of {responses} answers to page faults were taken by queue {queue} before one failed"
    )]
    Respond {
        /// The queue.
        queue: u32,
        /// How many there were.
        responses: usize,
        /// How many were taken.
        handled: usize,
        /// The kernel's answer.
        source: io::Error,
    },
    /// No virtual IOMMU could be allocated.
    #[error(
        "cannot allocate a virtual IOMMU of type {viommu_type} behind device {device}, over page table {hwpt} (IOMMU_VIOMMU_ALLOC)"
    )]
    ViommuAlloc {
        /// Its kind (`enum iommu_viommu_type`).
        viommu_type: u32,
        /// The device's id in the context.
        device: u32,
        /// The nest parent.
        hwpt: u32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Registers of a virtual IOMMU could not be mapped.
    #[error("cannot map {length:#x} bytes at offset {offset:#x} of virtual IOMMU {viommu} (mmap)")]
    Mmap {
        /// The virtual IOMMU.
        viommu: u32,
        /// The offset in the context.
        offset: u64,
        /// The length in bytes.
        length: u64,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A device could not be put behind a virtual IOMMU.
    #[error(
        "cannot put device {device} behind virtual IOMMU {viommu}, as {virt_id:#x} (IOMMU_VDEVICE_ALLOC)"
    )]
    VdeviceAlloc {
        /// The virtual IOMMU.
        viommu: u32,
        /// The device's id in the context.
        device: u32,
        /// The guest's number for it.
        virt_id: u64,
        /// The kernel's answer.
        source: io::Error,
    },
    /// No queue for events could be allocated.
    #[error(
        "cannot allocate a queue for {depth} events of type {veventq_type} of virtual IOMMU {viommu} (IOMMU_VEVENTQ_ALLOC)"
    )]
    VeventQueueAlloc {
        /// The virtual IOMMU.
        viommu: u32,
        /// The kind of events (`enum iommu_veventq_type`).
        veventq_type: u32,
        /// How many it was to have room for.
        depth: u32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// No hardware queue could be allocated.
    #[error(
        "cannot make {length:#x} bytes at IOVA {iova:#x} hardware queue {index} of type {queue_type} of virtual IOMMU {viommu} (IOMMU_HW_QUEUE_ALLOC)"
    )]
    HwQueueAlloc {
        /// The virtual IOMMU.
        viommu: u32,
        /// Its kind (`enum iommu_hw_queue_type`).
        queue_type: u32,
        /// Which one of its kind.
        index: u32,
        /// The first IOVA of its memory.
        iova: u64,
        /// The length in bytes.
        length: u64,
        /// The kernel's answer.
        source: io::Error,
    },
    /// There was no memory for DMA.
    #[error("cannot allocate {length:#x} bytes of memory for DMA (mmap)")]
    Memory {
        /// The length in bytes.
        length: usize,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// What a page table was to be.
fn page_table(flags: u32, data_type: u32) -> String {
    let words = ["nest parent", "dirty tracking", "fault queue", "PASID"];
    let flags = (0..)
        .zip(words)
        .filter(|(bit, _)| flags & (1 << bit) != 0)
        .map(|(_, word)| word.to_owned());
    let data = match data_type {
        0 => "the kernel's".to_owned(),
        kind => format!("the guest's (type {kind})"),
    };
    [data]
        .into_iter()
        .chain(flags)
        .collect::<Vec<_>>()
        .join(", ")
}

fn list(ranges: &[RangeInclusive<u64>]) -> String {
    let ranges: Vec<_> = ranges
        .iter()
        .map(|r| format!("{:#x}-{:#x}", r.start(), r.end()))
        .collect();
    ranges.join(", ")
}

impl Error {
    /// Returns the kernel's answer, where the kernel was asked.
    pub fn io(&self) -> Option<&io::Error> {
        std::error::Error::source(self)?.downcast_ref()
    }
}
