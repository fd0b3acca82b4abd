//! Safe Rust interface to Linux iommufd (`/dev/iommu`), complete as of Linux 7.3.
//!
//! The crate depends on no VFIO code and no hypervisor. An interface such as VFIO binds devices to
//! a context, and hands them in as [`BoundDevice`].
//!
//! | type | kernel object |
//! |---|---|
//! | [`Iommufd`] | context: an open `/dev/iommu`, which owns all other objects |
//! | [`Ioas`] | I/O address space (IOAS): mappings of memory to IOVAs |
//! | [`Hwpt`] | page table of an IOMMU (HWPT), filled by the kernel or by a guest |
//! | [`FaultQueue`] | queue of page faults that devices wait on |
//! | [`Viommu`] | virtual IOMMU (vIOMMU): a guest's slice of a physical IOMMU |
//! | [`Vdevice`] | device behind a virtual IOMMU (vDEVICE) |
//! | [`VeventQueue`] | queue of events of a virtual IOMMU (vEVENTQ) |
//! | [`HwQueue`] | queue in guest memory that the IOMMU reads by itself |
//!
//! Besides the kernel's objects:
//!
//! | type | purpose |
//! |---|---|
//! | [`DmaMemory`], [`Mapping`] | memory for DMA, and its mapping in an I/O address space |
//! | [`HwInfo`] | model and capabilities of the IOMMU behind a device |
//! | [`Invalidations`] | cached entries that the IOMMU must drop after a guest's changes |
//! | [`ViommuMmio`] | registers of a virtual IOMMU, mapped into this process |
//!
//! # Example
//!
//! ```no_run
//! use passthru_iommufd::{Access, DmaMemory, Ioas, Iommufd, Iova};
//! use std::sync::Arc;
//!
//! # fn main() -> Result<(), passthru_iommufd::Error> {
//! let context = Arc::new(Iommufd::open()?);
//! let ioas = Arc::new(Ioas::alloc(&context)?);
//! let memory = Arc::new(DmaMemory::alloc(1 << 20)?);
//! // Devices that are attached now or later reach the memory at this IOVA.
//! let mapping = ioas.map_memory(&memory, Iova::Any, Access::ReadWrite)?;
//! assert!(ioas.iova_ranges()?.ranges.iter().any(|range| range.contains(&mapping.iova())));
//! mapping.unmap()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Lifetime
//!
//! Each object holds the objects that it needs in the kernel, so they may be dropped in any order.
//! Drop destroys an object and logs a failure; `close` destroys it and returns the failure.
//!
//! # IOVAs and lengths
//!
//! IOVAs, addresses, offsets and lengths are in bytes. An IOVA and the length of a mapping are
//! multiples of [`IovaRanges::alignment`].
//!
//! # Errors
//!
//! All operations return [`Error`], which names the ioctl, the objects and the arguments. The
//! source is the kernel's error, an errno. [`Error::hint`] suggests a remedy.

mod access;
mod bytes;
mod context;
mod describe;
mod device;
mod dirty;
mod dirty_range;
mod error;
mod fault;
mod hint;
mod hw_info;
mod hw_queue;
mod hwpt;
mod hwpt_data;
mod invalidation;
mod ioas;
mod iova;
mod mapping;
mod memory;
mod mmap_area;
mod mmio;
mod object;
mod sys;
mod vdevice;
mod vevent;
mod viommu;

pub use access::Access;
pub use context::{Accounting, Iommufd, PATH};
pub use device::BoundDevice;
pub use dirty_range::DirtyRange;
pub use error::Error;
pub use fault::{FaultAccess, FaultQueue, PageFault, PageResponse, PageResponseCode};
pub use hw_info::{HwCapabilities, HwInfo, HwInfoData, SmmuV3Flags};
pub use hw_queue::{HwQueue, HwQueueKind};
pub use hwpt::{Hwpt, HwptOptions, HwptParent};
pub use hwpt_data::HwptData;
pub use invalidation::{Invalidations, VtdS1Invalidation};
pub use ioas::Ioas;
pub use iova::{Iova, IovaRanges, PhysicalRange};
pub use mapping::Mapping;
pub use memory::DmaMemory;
pub use mmap_area::MmapArea;
pub use mmio::ViommuMmio;
pub use vdevice::Vdevice;
pub use vevent::{Vevent, VeventData, VeventKind, VeventQueue};
pub use viommu::{Viommu, ViommuData, ViommuKind};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_send_and_sync() {
        fn assert_send_sync<T: Send + Sync>() {}
        assert_send_sync::<(
            Iommufd,
            Ioas,
            DmaMemory,
            Mapping,
            Hwpt,
            HwptOptions,
            FaultQueue,
        )>();
        assert_send_sync::<(Viommu, ViommuMmio, Vdevice, VeventQueue, HwQueue, Error)>();
    }
}
