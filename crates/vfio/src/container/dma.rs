//! [`Dma`]: where mappings stand, as whoever maps memory sees it.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::{Access, Capabilities, DirtyRange, Error, Ioas, IovaRanges};

/// Where DMA mappings stand. One set of obligations, two backends, one test suite.
///
/// # Safety
/// Whoever maps memory frees it by what an implementation says, so the following holds. A mapping
/// is one of [`Dma::map`], [`Dma::map_file`] or, by `IOMMU_IOAS_COPY`, into [`Dma::ioas`].
/// - Where [`Dma::map`] or [`Dma::map_file`] fails, no device reaches the memory by it, unless the
///   answer is `EFAULT`, and a following [`Dma::unmap`] of the same IOVAs says whether that is so.
/// - After [`Dma::unmap`], [`Dma::unmap_dirty`] or [`Dma::unmap_all`] has succeeded, no device
///   reaches anything by the mappings in the named IOVAs.
/// - Of the IOVAs of one mapping, as it was made, [`Dma::unmap`] and [`Dma::unmap_dirty`] say
///   [`NotFound`](std::io::ErrorKind::NotFound) twice in a row only where that mapping has gone.
/// - [`Dma::ioas`] returns the same address space each time, and the mappings stand there.
#[allow(unsafe_code, reason = "memory is freed by the answers")]
pub unsafe trait Dma: fmt::Debug + Send + Sync {
    /// Returns what the container can do.
    fn capabilities(&self) -> Capabilities;

    /// Maps `length` bytes of this process's memory, from `memory` on, at `iova`. All three are
    /// multiples of the smallest of [`Dma::page_sizes`].
    ///
    /// # Safety
    /// From this call until the IOVAs are unmapped, here and wherever they are copied to, or each
    /// such container has gone from the kernel with its devices:
    /// - the memory stays mapped in this process, at this address. (The kernel remembers the
    ///   address: what takes the memory's place would be what a device that is attached later reads
    ///   and writes.)
    /// - where devices may write, the program makes no `&T` or `&mut T` to any of it; where they
    ///   may only read, no `&mut T`. It is accessed by raw pointers or atomics, as memory that
    ///   others change at any time.
    ///
    /// # Errors
    /// The kernel's refusal; nothing is mapped then. [`Error::PerhapsMapped`], where the contract
    /// goes on as if it were mapped.
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

    /// Maps `length` bytes of a memfd or a dma-buf, from `offset` on, at `iova`. The kernel holds
    /// the file, and no address of this process is involved.
    ///
    /// A dma-buf of a BAR is emptied when its device loses memory decode, goes to D3 or is reset:
    /// the kernel neither fills it again nor frees its IOVA. So it is unmapped before, and mapped
    /// again after.
    ///
    /// # Errors
    /// The kernel's refusal; [`Error::PerhapsMapped`]; [`Error::Unsupported`] where
    /// [`Capabilities::map_file`] is not set.
    fn map_file(
        &self,
        file: BorrowedFd<'_>,
        offset: u64,
        length: u64,
        iova: u64,
        access: Access,
    ) -> Result<(), Error>;

    /// Unmaps all mappings in `length` bytes from `iova` on, and returns how many bytes that were.
    /// Gaps are skipped. A mapping goes as a whole.
    ///
    /// # Errors
    /// The kernel's refusal; some mappings may have gone already then.
    /// [`io::ErrorKind::NotFound`](std::io::ErrorKind::NotFound) where nothing is mapped there. A
    /// range that cuts a mapping is refused by type1 with `EINVAL`, and by iommufd with `ENOENT`,
    /// which is `NotFound` too: that says that all has gone of one mapping's own range alone.
    fn unmap(&self, iova: u64, length: u64) -> Result<u64, Error>;

    /// Unmaps everything, and returns how many bytes that were; 0 where nothing was mapped.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn unmap_all(&self) -> Result<u64, Error>;

    /// Returns the IOVAs that can be used now. Each attached device can narrow them.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn iova_ranges(&self) -> Result<IovaRanges, Error>;

    /// Returns the page sizes of the IOMMU, one bit each: bit 12 is 4 KiB. The smallest is what
    /// IOVAs and lengths must be multiples of. They depend on the attached devices. iommufd tells
    /// its [alignment](IovaRanges::alignment) alone: every size from that (and from the page of the
    /// process) on then stands for what the kernel splits by itself.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn page_sizes(&self) -> Result<u64, Error>;

    /// Begins, with clean pages where the IOMMU tells them, or ends to track what devices write.
    /// What was noted is lost with the end, so it is asked for before.
    ///
    /// # Errors
    /// The kernel's refusal; [`Error::Unsupported`] where [`Capabilities::dirty_tracking`] is not
    /// set. Where it cannot begin, it is off as before. Where an end fails, tracking may go on in a
    /// part of the kernel, but what was noted is lost all the same: ask to end, or to begin, again.
    fn set_dirty_tracking(&self, on: bool) -> Result<(), Error>;

    /// Adds the pages that devices wrote to `bitmap`: bit i % 64 of word i / 64 stands for the page
    /// at `iova` + i × `page_size`. With `clear`, they count as clean from now on. type1 knows one
    /// page size, the smallest of [`Dma::page_sizes`].
    ///
    /// The range is of one mapping, or of several that lie side by side, each as a whole: iommufd
    /// stops at the first gap without a word, and tells nothing of what is behind it. Over gaps,
    /// [`AddressSpace::dirty_pages`](crate::address_space::AddressSpace::dirty_pages) asks.
    ///
    /// # Errors
    /// The kernel's refusal; [`Error::Bitmap`] where the bitmap is too small;
    /// [`Error::Unsupported`] where [`Capabilities::dirty_tracking`] is not set, or
    /// [`Capabilities::dirty_without_clear`] without `clear`. What was added before stays, since it
    /// may count as clean already.
    fn dirty_pages(&self, range: DirtyRange, clear: bool, bitmap: &mut [u64]) -> Result<(), Error>;

    /// Unmaps as [`Dma::unmap`], and adds the pages that devices wrote until then to `bitmap`. As
    /// for [`Dma::dirty_pages`], the range has no gaps. iommufd asks before it unmaps: what a
    /// device writes in between is missed, so the device is stopped, or the guest has given up the
    /// range.
    ///
    /// # Errors
    /// As [`Dma::unmap`] and [`Dma::dirty_pages`].
    fn unmap_dirty(&self, range: DirtyRange, bitmap: &mut [u64]) -> Result<u64, Error>;

    /// Returns the I/O address space of the kernel's that the mappings stand in; `None` with type1,
    /// which has none.
    fn ioas(&self) -> Option<&Arc<Ioas>>;
}
