//! [`DmaPool`], and [`Buffer`]: memory that a driver in user space shares with its device.
#![allow(unsafe_code)]

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use passthru_iommufd::{Access, DmaMemory};
use rustix::io::Errno;

use super::iova::{IovaAllocator, IovaError};
use crate::barrier;
use crate::container::unmap_certainly;
use crate::container::{self, Dma};
use crate::device::Word;

/// Allocator of memory for DMA, which it maps at IOVAs of its own choice.
///
/// Use one pool for all buffers of an I/O address space, since two would hand out the same IOVAs:
/// - If something else is mapped at an IOVA, then the pool never tries that IOVA again.
/// - If an attached device has narrowed the usable IOVAs, then the pool reads them again.
#[derive(Debug)]
pub struct DmaPool {
    dma: Arc<dyn Dma>,
    iovas: Mutex<IovaAllocator>,
}

/// Memory that a device reaches at [`Buffer::iova`].
///
/// It is zero at first, and consists of whole pages. Bytes are copied in and out, and numbers take
/// one access each, so no reference to memory that a device changes ever exists.
///
/// A write to the buffer reaches the device before a later write to a register, by
/// [`Mmap::write`](crate::device::Mmap::write) or [`Region::write`](crate::device::Region::write).
///
/// Drop unmaps the memory first and frees it second. If the unmap fails, then the memory is never
/// freed.
#[derive(Debug)]
pub struct Buffer {
    pool: Arc<DmaPool>,
    /// `None` after the memory was unmapped, or given up.
    memory: Option<DmaMemory>,
    iova: u64,
}

/// A failure to allocate, map or unmap memory for DMA.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Too few IOVAs are free.
    #[error("cannot find an IOVA for {length:#x} bytes")]
    Iova {
        /// Length in bytes.
        length: usize,
        /// Failure of the IOVA allocator.
        source: IovaError,
    },
    /// Memory could not be allocated.
    #[error(transparent)]
    Memory(#[from] passthru_iommufd::Error),
    /// Memory could not be mapped or unmapped.
    #[error(transparent)]
    Container(#[from] container::Error),
}

/// Part of a map that the kernel refused.
enum MapRefusal {
    /// The IOVA; another one may be accepted.
    Iova,
    /// Anything else.
    Memory,
    /// Unknown: the memory may be mapped.
    Uncertain,
}

/// Number of IOVAs that are tried for one buffer.
const TRIES: usize = 64;

impl DmaPool {
    /// Creates a pool for a container, with the IOVAs that are free in it.
    pub fn new(dma: Arc<dyn Dma>, iovas: IovaAllocator) -> Arc<Self> {
        Arc::new(Self {
            dma,
            iovas: Mutex::new(iovas),
        })
    }

    /// Allocates a buffer of at least `length` bytes, in whole pages.
    ///
    /// # Errors
    /// Nothing stays allocated or mapped, with one exception: for
    /// [`container::Error::PerhapsMapped`], the memory is never freed and its IOVA never used
    /// again.
    /// - If too few IOVAs are free, [`Error::Iova`].
    /// - If memory runs out, [`Error::Memory`].
    /// - If the map fails, [`Error::Container`]. `EEXIST` means that something else is mapped at
    ///   each of the 64 IOVAs that were tried. The next call continues behind them.
    pub fn buffer(self: &Arc<Self>, length: usize, access: Access) -> Result<Buffer, Error> {
        // Whole granules, so that a page of the IOMMU holds nothing else.
        let granule = self.lock_iovas().granule();
        let rounded =
            length.checked_next_multiple_of(usize::try_from(granule).unwrap_or(usize::MAX));
        let memory = DmaMemory::alloc(rounded.unwrap_or(usize::MAX))?;
        self.map(memory, length, access)
    }

    /// Maps memory at an IOVA that the kernel accepts.
    fn map(
        self: &Arc<Self>,
        memory: DmaMemory,
        length: usize,
        access: Access,
    ) -> Result<Buffer, Error> {
        let bytes = memory.len() as u64;
        let mut left = TRIES;
        loop {
            let allocated = self.lock_iovas().allocate(bytes);
            let iova = allocated.map_err(|source| Error::Iova { length, source })?;
            // SAFETY: the buffer keeps the memory until it is unmapped (see `release`), and makes
            // no reference to it.
            let error = match unsafe { self.dma.map(memory.as_ptr(), bytes, iova, access) } {
                Ok(()) => {
                    return Ok(Buffer {
                        pool: Arc::clone(self),
                        memory: Some(memory),
                        iova,
                    });
                }
                Err(error) => error,
            };
            left -= 1;
            match self.refusal(iova, bytes, &error) {
                MapRefusal::Iova if left > 0 => {}
                MapRefusal::Iova | MapRefusal::Memory => return Err(error.into()),
                MapRefusal::Uncertain => {
                    mem::forget(memory);
                    return Err(error.into());
                }
            }
        }
    }

    /// Determines what the kernel refused, and frees the IOVA unless it is unusable.
    fn refusal(&self, iova: u64, length: u64, error: &container::Error) -> MapRefusal {
        if matches!(error, container::Error::PerhapsMapped { .. }) {
            return MapRefusal::Uncertain;
        }
        let errno = error.io().and_then(Errno::from_io_error);
        if errno == Some(Errno::EXIST) {
            return MapRefusal::Iova;
        }
        self.give_back(iova, length);
        if errno != Some(Errno::INVAL) {
            return MapRefusal::Memory;
        }
        // The kernel returns EINVAL for unusable IOVAs, and for a few other reasons.
        let Ok(ranges) = self.dma.iova_ranges() else {
            return MapRefusal::Memory;
        };
        let mut iovas = self.lock_iovas();
        iovas.narrow(&ranges);
        if iovas.is_usable(iova, length) {
            MapRefusal::Memory
        } else {
            MapRefusal::Iova
        }
    }

    fn lock_iovas(&self) -> MutexGuard<'_, IovaAllocator> {
        self.iovas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, iova: u64, length: u64) {
        let result = self.lock_iovas().free(iova, length);
        if let Err(error) = result {
            tracing::warn!("{error}");
        }
    }
}

impl Buffer {
    /// Returns the IOVA at which the device reaches the buffer.
    pub fn iova(&self) -> u64 {
        self.iova
    }

    /// Returns the length in bytes, a multiple of the page size.
    #[allow(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.memory.as_ref().map_or(0, DmaMemory::len)
    }

    /// Copies bytes out, from `offset` on. Returns the number of bytes copied, which is less if the
    /// buffer ends before.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> usize {
        self.memory
            .as_ref()
            .map_or(0, |memory| memory.read(offset, bytes))
    }

    /// Copies bytes in, from `offset` on. Returns the number of bytes copied, which is less if the
    /// buffer ends before.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> usize {
        self.memory
            .as_ref()
            .map_or(0, |memory| memory.write(offset, bytes))
    }

    /// Reads a number in one access, in the machine's byte order.
    ///
    /// If the device wrote something before this number, then a later read finds it. Returns `None`
    /// if `offset` is not a multiple of the number's size, or the number is not within the buffer.
    pub fn load<W: Word>(&self, offset: usize) -> Option<W> {
        let at: *mut W = self.word(offset)?;
        // SAFETY: `word` returns an aligned address in the memory. Only the device writes there
        // meanwhile, since a write needs `&mut self`.
        let value = unsafe { at.read_volatile() };
        barrier::after_read();
        Some(value)
    }

    /// Writes a number in one access, in the machine's byte order.
    ///
    /// The device sees all earlier writes first. Returns `None`, and writes nothing, if `offset` is
    /// not a multiple of the number's size, or the number is not within the buffer.
    pub fn store<W: Word>(&mut self, offset: usize, value: W) -> Option<()> {
        let at: *mut W = self.word(offset)?;
        barrier::before_write();
        // SAFETY: `word` returns an aligned address in the memory, which this program does not
        // access otherwise meanwhile.
        unsafe { at.write_volatile(value) };
        Some(())
    }

    /// Returns the address of the number at `offset`.
    fn word<W: Word>(&self, offset: usize) -> Option<*mut W> {
        let memory = self.memory.as_ref()?;
        let whole = offset.is_multiple_of(size_of::<W>())
            && offset.checked_add(size_of::<W>())? <= memory.len();
        whole.then(|| memory.as_ptr().wrapping_add(offset).cast())
    }

    /// Unmaps and frees the memory.
    ///
    /// # Errors
    /// [`Error::Container`]. The memory is then never freed and its IOVA never used again, since
    /// the device may still reach it.
    pub fn close(mut self) -> Result<(), Error> {
        self.release()
    }

    /// Unmaps and frees the memory, once. Tries a failed unmap again, since the kernel may have
    /// memory a moment later.
    fn release(&mut self) -> Result<(), Error> {
        let Some(memory) = self.memory.take() else {
            return Ok(());
        };
        let length = memory.len() as u64;
        let result = self.unmap(length).or_else(|_| self.unmap(length));
        match &result {
            Err(_) => mem::forget(memory),
            Ok(()) => self.pool.give_back(self.iova, length),
        }

        Ok(result?)
    }

    fn unmap(&self, length: u64) -> Result<(), container::Error> {
        unmap_certainly(
            || self.pool.dma.unmap(self.iova, length),
            container::Error::io,
        )
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Err(error) = self.release() {
            tracing::warn!("{error}");
        }
    }
}
