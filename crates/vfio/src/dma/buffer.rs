//! [`Buffer`]: memory that a userspace driver shares with its device, and [`DmaPool`], which makes it.
#![allow(unsafe_code)]

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use passthru_iommufd::{Access, DmaMemory};
use rustix::io::Errno;

use super::iova::{IovaAllocator, IovaError};
use crate::barrier;
use crate::container::unmap_certainly;
use crate::container::{self, Dma};
use crate::device::Word;

/// Makes memory for DMA, and maps it at IOVAs of its own choice. One pool for all buffers of an I/O
/// address space: two of them would hand out the same IOVAs. Where something else is mapped at one,
/// that one is never tried again; where an attached device has narrowed the usable IOVAs, they are
/// asked for again.
#[derive(Debug)]
pub struct DmaPool {
    dma: Arc<dyn Dma>,
    iovas: Mutex<IovaAllocator>,
}

/// Memory that the device reaches at [`Buffer::iova`]. It is zero at first, and lies in whole
/// pages. Bytes go in and out by copy, numbers by one access each: no reference to what a device
/// changes ever exists. What is written to it is there for the device before a register that is
/// written next, by [`Mmap::write`](crate::device::Mmap::write) or
/// [`Region::write`](crate::device::Region::write). On drop it is unmapped, and only then freed.
#[derive(Debug)]
pub struct Buffer {
    pool: Arc<DmaPool>,
    /// `None` once it is unmapped, or never to be freed.
    memory: Option<DmaMemory>,
    iova: u64,
}

/// What went wrong with memory for DMA.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No IOVA was free.
    #[error("cannot find an IOVA for {length:#x} bytes")]
    Iova {
        /// The length in bytes.
        length: usize,
        /// Why.
        source: IovaError,
    },
    /// There was no memory.
    #[error(transparent)]
    Memory(#[from] passthru_iommufd::Error),
    /// It could not be mapped or unmapped.
    #[error(transparent)]
    Container(#[from] container::Error),
}

/// What the kernel refused.
enum MapRefusal {
    /// The IOVA: another one may do.
    Iova,
    /// All else.
    Memory,
    /// It is not known whether it is mapped.
    Perhaps,
}

/// At how many IOVAs memory is tried to be mapped.
const TRIES: usize = 64;

impl DmaPool {
    /// Takes what maps, and the IOVAs that are free in it.
    pub fn new(dma: Arc<dyn Dma>, iovas: IovaAllocator) -> Arc<Self> {
        Arc::new(Self {
            dma,
            iovas: Mutex::new(iovas),
        })
    }

    /// Makes a buffer of at least `length` bytes, in whole pages.
    ///
    /// # Errors
    /// [`Error`]; nothing stays allocated or mapped then, but with
    /// [`container::Error::PerhapsMapped`], where the memory is never freed, nor its IOVA used
    /// again. Where something else is mapped at the first 64 IOVAs that were tried, the next call
    /// goes on behind them.
    pub fn buffer(self: &Arc<Self>, length: usize, access: Access) -> Result<Buffer, Error> {
        // A whole granule, so that the IOMMU's pages hold nothing else.
        let granule = self.with_iovas(|iovas| iovas.granule());
        let rounded =
            length.checked_next_multiple_of(usize::try_from(granule).unwrap_or(usize::MAX));
        let memory = DmaMemory::alloc(rounded.unwrap_or(usize::MAX))?;
        self.map(memory, length, access)
    }

    /// Maps memory at an IOVA that the kernel takes.
    fn map(
        self: &Arc<Self>,
        memory: DmaMemory,
        length: usize,
        access: Access,
    ) -> Result<Buffer, Error> {
        let bytes = memory.len() as u64;
        let mut left = TRIES;
        loop {
            let iova = self
                .with_iovas(|iovas| iovas.allocate(bytes))
                .map_err(|source| Error::Iova { length, source })?;
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
            match self.refused(iova, bytes, &error) {
                MapRefusal::Iova if left > 0 => {}
                MapRefusal::Iova | MapRefusal::Memory => return Err(error.into()),
                MapRefusal::Perhaps => {
                    mem::forget(memory);
                    return Err(error.into());
                }
            }
        }
    }

    /// Finds out what of a map was refused, and gives the IOVA back unless it is of no use.
    fn refused(&self, iova: u64, length: u64, error: &container::Error) -> MapRefusal {
        if matches!(error, container::Error::PerhapsMapped { .. }) {
            return MapRefusal::Perhaps;
        }
        let errno = error.io().and_then(Errno::from_io_error);
        if errno == Some(Errno::EXIST) {
            return MapRefusal::Iova;
        }
        self.give_back(iova, length);
        if errno != Some(Errno::INVAL) {
            return MapRefusal::Memory;
        }
        // The kernel says this of IOVAs that cannot be used, and of a few other things.
        let Ok(ranges) = self.dma.iova_ranges() else {
            return MapRefusal::Memory;
        };
        self.with_iovas(|iovas| iovas.narrow(&ranges));
        if self.with_iovas(|iovas| iovas.is_usable(iova, length)) {
            MapRefusal::Memory
        } else {
            MapRefusal::Iova
        }
    }

    fn with_iovas<T>(&self, what: impl FnOnce(&mut IovaAllocator) -> T) -> T {
        what(&mut self.iovas.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn give_back(&self, iova: u64, length: u64) {
        if let Err(error) = self.with_iovas(|iovas| iovas.free(iova, length)) {
            tracing::warn!("{error}");
        }
    }
}

impl Buffer {
    /// Returns where the device sees it.
    pub fn iova(&self) -> u64 {
        self.iova
    }

    /// Returns its length in bytes, a multiple of the page size.
    #[allow(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.memory.as_ref().map_or(0, DmaMemory::len)
    }

    /// Copies bytes out, from `offset` on. Returns how many there were before the end.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> usize {
        self.memory
            .as_ref()
            .map_or(0, |memory| memory.read(offset, bytes))
    }

    /// Copies bytes in, from `offset` on. Returns how many went in before the end.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> usize {
        self.memory
            .as_ref()
            .map_or(0, |memory| memory.write(offset, bytes))
    }

    /// Reads a number in one access, in the machine's byte order. What the device wrote before it
    /// is seen by what is read after it. `None` where `offset` is not a multiple of the number's
    /// size, or it is past the end.
    pub fn load<W: Word>(&self, offset: usize) -> Option<W> {
        let at: *mut W = self.word(offset)?;
        // SAFETY: `word` gives an aligned place in the memory. Only the device writes to it
        // meanwhile: to write needs `&mut self`.
        let value = unsafe { at.read_volatile() };
        barrier::after_read();
        Some(value)
    }

    /// Writes a number in one access, in the machine's byte order. The device sees what was written
    /// before it. `None` as for [`Buffer::load`], and nothing is written then.
    pub fn store<W: Word>(&mut self, offset: usize, value: W) -> Option<()> {
        let at: *mut W = self.word(offset)?;
        barrier::before_write();
        // SAFETY: `word` gives an aligned place in the memory, and nobody in this program reads or
        // writes it meanwhile.
        unsafe { at.write_volatile(value) };
        Some(())
    }

    /// Returns where the number at `offset` is.
    fn word<W: Word>(&self, offset: usize) -> Option<*mut W> {
        let memory = self.memory.as_ref()?;
        let whole = offset.is_multiple_of(size_of::<W>())
            && offset.checked_add(size_of::<W>())? <= memory.len();
        whole.then(|| memory.as_ptr().wrapping_add(offset).cast())
    }

    /// Unmaps it and frees it.
    ///
    /// # Errors
    /// [`Error::Container`]. The memory is then never freed, nor its IOVA used again, for the
    /// device may reach it still.
    pub fn close(mut self) -> Result<(), Error> {
        self.release()
    }

    /// Unmaps it, once. Where that fails it is tried again, since there may be memory a moment
    /// later.
    fn release(&mut self) -> Result<(), Error> {
        let Some(memory) = self.memory.take() else {
            return Ok(());
        };
        let length = memory.len() as u64;
        let unmap = || {
            unmap_certainly(
                || self.pool.dma.unmap(self.iova, length),
                container::Error::io,
            )
        };
        let result = unmap().or_else(|_| unmap());
        match &result {
            Err(_) => mem::forget(memory),
            Ok(()) => self.pool.give_back(self.iova, length),
        }
        Ok(result?)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Err(error) = self.release() {
            tracing::warn!("{error}");
        }
    }
}
