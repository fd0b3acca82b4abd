//! [`Dma`]: the DMA mappings of a container.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::{Access, Capabilities, DirtyRange, Error, Ioas, IovaRanges};

/// A set of DMA mappings. Both backends fulfil the same contract.
///
/// # Safety
/// A caller frees memory by the results of these methods. A mapping here is one that [`Dma::map`]
/// or [`Dma::map_file`] made, or `IOMMU_IOAS_COPY` into [`Dma::ioas`]. An implementation
/// guarantees:
/// - If [`Dma::map`] or [`Dma::map_file`] fails, then no device reaches the memory by that call.
///   The one exception is `EFAULT`: a following [`Dma::unmap`] of the same IOVAs then decides.
/// - If [`Dma::unmap`], [`Dma::unmap_dirty`] or [`Dma::unmap_all`] succeeds, then no device reaches
///   anything by the mappings in the given IOVAs.
/// - If two consecutive unmaps of exactly one mapping's range return
///   [`NotFound`](std::io::ErrorKind::NotFound), then that mapping no longer exists.
/// - [`Dma::ioas`] returns the same address space each time, and the mappings belong to it.
#[allow(unsafe_code, reason = "callers free memory by the results")]
pub unsafe trait Dma: fmt::Debug + Send + Sync {
    /// Returns the abilities of the container.
    fn capabilities(&self) -> Capabilities;

    /// Maps `length` bytes of this process's memory, from `memory` on, at `iova` (`IOMMU_IOAS_MAP`,
    /// `VFIO_IOMMU_MAP_DMA`).
    ///
    /// `memory`, `length` and `iova` are multiples of the smallest of [`Dma::page_sizes`].
    ///
    /// # Safety
    /// The contract starts with this call. It ends when the IOVAs are unmapped, here and in each
    /// container to which they were copied. It also ends for a container that is closed with all of
    /// its devices. Until then:
    /// - The memory stays mapped in this process at this address. The kernel keeps the address, so
    ///   a device that is attached later reaches whatever is mapped there by then.
    /// - If devices may write, then the program makes no `&T` and no `&mut T` to any of the memory.
    /// - If devices may only read, then the program makes no `&mut T` to any of it.
    /// - The program accesses the memory by raw pointers or atomics, as memory that changes at any
    ///   time.
    ///
    /// # Errors
    /// - [`Error::PerhapsMapped`]: the contract applies as if the memory were mapped.
    /// - [`Error::NoDevice`], if the container is type1 and has no device. Nothing is mapped then.
    /// - If the kernel refuses, its errno. Nothing is mapped then.
    #[allow(
        unsafe_code,
        reason = "a device reads and writes the memory that is named by its address"
    )]
    unsafe fn map(
        &self,
        memory: *mut u8,
        length: u64,
        iova: u64,
        access: Access,
    ) -> Result<(), Error>;

    /// Maps `length` bytes of a memfd or a dma-buf, from `offset` on, at `iova`
    /// (`IOMMU_IOAS_MAP_FILE`).
    ///
    /// The kernel holds the file; no address of this process is involved.
    ///
    /// A dma-buf of a BAR is emptied when its device loses memory decode, enters D3 or is reset.
    /// The kernel neither fills the mapping again nor frees its IOVA. Unmap it before, and map it
    /// again after.
    ///
    /// # Errors
    /// - [`Error::PerhapsMapped`]: the file may be mapped. Do not use the IOVAs again.
    /// - [`Error::Unsupported`], if [`Capabilities::map_file`] is not set.
    /// - If the kernel refuses, its errno. Nothing is mapped then.
    fn map_file(
        &self,
        file: BorrowedFd<'_>,
        offset: u64,
        length: u64,
        iova: u64,
        access: Access,
    ) -> Result<(), Error>;

    /// Unmaps all mappings in `length` bytes from `iova` on, and returns the number of bytes
    /// unmapped.
    ///
    /// Gaps are skipped. A mapping is unmapped as a whole.
    ///
    /// # Errors
    /// - If nothing is mapped there, then [`NotFound`](std::io::ErrorKind::NotFound).
    /// - If the range cuts a mapping, then `EINVAL` by type1 and `ENOENT` by iommufd. `ENOENT` is
    ///   `NotFound` too, so only for one mapping's exact range does it mean that the mapping is
    ///   gone.
    /// - If the kernel refuses otherwise, then some of the mappings may be gone.
    fn unmap(&self, iova: u64, length: u64) -> Result<u64, Error>;

    /// Unmaps everything, and returns the number of bytes unmapped, which is 0 if nothing was
    /// mapped.
    ///
    /// # Errors
    /// If the kernel refuses, its errno. Some of the mappings may be gone then.
    fn unmap_all(&self) -> Result<u64, Error>;

    /// Returns the IOVAs that can be used now. Each attached device can narrow them.
    ///
    /// # Errors
    /// - [`Error::NoDevice`], if the container is type1 and has no device.
    /// - If the kernel refuses, its errno.
    fn iova_ranges(&self) -> Result<IovaRanges, Error>;

    /// Returns the page sizes of the IOMMU as a bitmap: bit 12 stands for 4 KiB.
    ///
    /// IOVAs and lengths are multiples of the smallest one. The sizes depend on the attached
    /// devices.
    ///
    /// iommufd reports only its [alignment](IovaRanges::alignment). Every size from that on, and
    /// from the process's page size on, is then set: the kernel splits mappings itself.
    ///
    /// # Errors
    /// - [`Error::NoDevice`], if the container is type1 and has no device.
    /// - If the kernel refuses, its errno.
    fn page_sizes(&self) -> Result<u64, Error>;

    /// Starts or stops tracking the pages that devices write.
    ///
    /// If the IOMMU tracks dirty pages, then all pages are clean at the start. A stop discards all
    /// that was tracked, so read the dirty pages before.
    ///
    /// # Errors
    /// If a start fails, then tracking is off, as before. If a stop fails, then a part of the
    /// kernel may go on tracking. The dirty pages are lost all the same. Stop or start again.
    /// - [`Error::Unsupported`], if [`Capabilities::dirty_tracking`] is not set.
    /// - [`Error::NoDirtyTracking`], if the IOMMU of an attached device cannot track dirty pages.
    /// - [`Error::NoDevice`], if the container is type1 and has no device.
    /// - If the kernel refuses, its errno.
    fn set_dirty_tracking(&self, on: bool) -> Result<(), Error>;

    /// Adds the pages of `range` that devices wrote to `bitmap`: bit i % 64 of word i / 64 stands
    /// for page i. Bits are set, never cleared.
    ///
    /// With `clear`, these pages count as clean afterwards. The page size for type1 is the smallest
    /// of [`Dma::page_sizes`].
    ///
    /// The range covers one mapping, or several adjacent ones, each as a whole. At a gap, iommufd
    /// stops without an error and leaves out all that follows.
    /// [`AddressSpace::dirty_pages`](crate::address_space::AddressSpace::dirty_pages) handles gaps.
    ///
    /// # Errors
    /// Bits that were added before the failure stay, since their pages may count as clean already.
    /// - [`Error::Bitmap`], if the range is not whole pages, or the bitmap is too small.
    /// - [`Error::NotTracking`] by iommufd, or `EINVAL` by type1, if tracking is off.
    /// - [`Error::Unsupported`], if [`Capabilities::dirty_tracking`] is not set. Without `clear`,
    ///   also if [`Capabilities::dirty_without_clear`] is not set.
    /// - If the kernel refuses, its errno.
    fn dirty_pages(&self, range: DirtyRange, clear: bool, bitmap: &mut [u64]) -> Result<(), Error>;

    /// Unmaps as [`Dma::unmap`] does, and adds the pages that devices wrote until then to `bitmap`.
    ///
    /// The range has no gaps, as for [`Dma::dirty_pages`]. iommufd reads the dirty pages first and
    /// unmaps second: a write between the two is missed. Stop the devices before, unless the guest
    /// has given up the range.
    ///
    /// # Errors
    /// As for [`Dma::unmap`] and [`Dma::dirty_pages`].
    fn unmap_dirty(&self, range: DirtyRange, bitmap: &mut [u64]) -> Result<u64, Error>;

    /// Returns the I/O address space that the mappings belong to; `None` with type1.
    fn ioas(&self) -> Option<&Arc<Ioas>>;
}
