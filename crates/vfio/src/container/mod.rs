//! The base container: DMA mappings and the devices that reach them, the same for both backends. Whoever maps
//! memory sees [`Dma`] alone.

mod error;

pub use error::Error;
pub use passthru_iommufd::{Access, IovaRanges};

use passthru_iommufd::Ioas;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// Which interface of the kernel a container speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// `/dev/iommu` and a character device for each VFIO device.
    Iommufd,
    /// `/dev/vfio/vfio` and a file for each IOMMU group (`VFIO_TYPE1_IOMMU`, `VFIO_TYPE1v2_IOMMU`).
    Type1,
}

/// How a device's BAR is mapped for other devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarMapping {
    /// By the address of its mmap ([`Dma::map`]).
    Mmap,
    /// By a dma-buf ([`Dma::map_file`]).
    DmaBuf,
}

/// What a container can do. It is asked before, so that nobody meets a method that does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Its backend.
    pub backend: Backend,
    /// Whether files can be mapped ([`Dma::map_file`]).
    pub map_file: bool,
    /// Whether devices' writes can be tracked ([`Dma::set_dirty_tracking`]).
    pub dirty_tracking: bool,
    /// How BARs are mapped.
    pub bars: BarMapping,
    /// How many mappings there can be at a time, if that is limited (type1's module parameter
    /// `dma_entry_limit`, 65,535 by default).
    pub max_mappings: Option<u32>,
    /// Whether mappings can be copied to another container, with their pins (`IOMMU_IOAS_COPY`).
    pub copy: bool,
    /// Whether a device can be attached to a page table of its own (`IOMMU_HWPT_ALLOC`).
    pub nesting: bool,
}

impl Capabilities {
    /// What every container can do: map memory by its address, and unmap it.
    pub fn minimal(backend: Backend) -> Self {
        Self {
            backend,
            map_file: false,
            dirty_tracking: false,
            bars: BarMapping::Mmap,
            max_mappings: None,
            copy: false,
            nesting: false,
        }
    }
}

/// Where DMA mappings stand. One set of obligations, two backends, one test suite.
pub trait Dma: fmt::Debug + Send + Sync {
    /// Returns what the container can do.
    fn capabilities(&self) -> Capabilities;

    /// Maps `length` bytes of this process's memory, from `memory` on, at `iova`.
    ///
    /// # Safety
    /// From this call until the IOVAs are unmapped, here and wherever they are copied to:
    /// - the memory stays mapped in this process, at this address;
    /// - where devices may write, the program makes no `&T` or `&mut T` to any of it; where they may only read,
    ///   no `&mut T`.
    ///
    /// # Errors
    /// The kernel's refusal; nothing is mapped then.
    #[allow(unsafe_code, reason = "a device reads and writes the memory that is named by its address")]
    unsafe fn map(&self, memory: *mut u8, length: u64, iova: u64, access: Access) -> Result<(), Error>;

    /// Maps `length` bytes of a memfd or a dma-buf, from `offset` on, at `iova`.
    ///
    /// # Errors
    /// The kernel's refusal; [`Error::Unsupported`] where [`Capabilities::map_file`] is not set.
    fn map_file(
        &self,
        file: BorrowedFd<'_>,
        offset: u64,
        length: u64,
        iova: u64,
        access: Access,
    ) -> Result<(), Error>;

    /// Unmaps all mappings in `length` bytes from `iova` on, and returns how many bytes that were. A mapping goes
    /// as a whole.
    ///
    /// # Errors
    /// The kernel's refusal, also where the range cuts a mapping; some may have gone already then.
    fn unmap(&self, iova: u64, length: u64) -> Result<u64, Error>;

    /// Unmaps everything, and returns how many bytes that were.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn unmap_all(&self) -> Result<u64, Error>;

    /// Returns the IOVAs that can be used now. Each attached device can narrow them.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn iova_ranges(&self) -> Result<IovaRanges, Error>;

    /// Returns the page sizes of the IOMMU, one bit each.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn page_sizes(&self) -> Result<u64, Error>;

    /// Begins or ends to track what devices write.
    ///
    /// # Errors
    /// The kernel's refusal; [`Error::Unsupported`] where [`Capabilities::dirty_tracking`] is not set.
    fn set_dirty_tracking(&self, on: bool) -> Result<(), Error>;

    /// Adds the pages that devices wrote to `bitmap`: bit i stands for the page at `iova` + i × `page_size`.
    /// With `clear`, they count as clean from now on.
    ///
    /// # Errors
    /// The kernel's refusal; [`Error::Unsupported`] where [`Capabilities::dirty_tracking`] is not set.
    fn dirty_pages(
        &self,
        iova: u64,
        length: u64,
        page_size: u64,
        clear: bool,
        bitmap: &mut [u64],
    ) -> Result<(), Error>;

    /// Unmaps as [`Dma::unmap`], and adds the pages that devices wrote until then to `bitmap`.
    ///
    /// # Errors
    /// As [`Dma::unmap`] and [`Dma::dirty_pages`].
    fn unmap_dirty(&self, iova: u64, length: u64, page_size: u64, bitmap: &mut [u64]) -> Result<u64, Error>;

    /// Returns the I/O address space of the kernel's that the mappings stand in; `None` with type1, which has none.
    fn ioas(&self) -> Option<&Arc<Ioas>>;
}
