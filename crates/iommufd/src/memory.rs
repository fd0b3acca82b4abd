//! [`DmaMemory`], memory of its own for DMA, and [`Mapping`], which keeps it for as long as devices reach it.
#![allow(unsafe_code)]

use crate::object::twice;
use crate::{Access, Error, Ioas, Iova};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use std::io;
use std::mem;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Anonymous memory that devices may read and write. It starts on a page and is zero at first. Bytes go
/// in and out by copy, so that no reference to what a device changes ever exists.
#[derive(Debug)]
pub struct DmaMemory {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: it owns its memory, and touches it by atomic operations alone.
unsafe impl Send for DmaMemory {}
// SAFETY: as above.
unsafe impl Sync for DmaMemory {}

impl DmaMemory {
    /// Allocates memory, by whole pages.
    ///
    /// # Errors
    /// [`Error::Memory`], also for no bytes.
    pub fn alloc(length: usize) -> Result<Self, Error> {
        let failed = |e: Errno| Error::Memory { length, source: e.into() };
        let rounded = length.checked_next_multiple_of(rustix::param::page_size());
        let rounded = rounded.ok_or(Errno::NOMEM).map_err(failed)?;
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), rounded, prot, flags) }.map_err(failed)?;
        let start = NonNull::new(start.cast()).ok_or(Errno::NOMEM).map_err(failed)?;
        Ok(Self { start, length: rounded })
    }

    /// Returns its length in bytes, a multiple of the page size.
    #[allow(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Returns where it starts.
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Copies bytes out, from `offset` on. Returns how many there were before the end.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> usize {
        let cells = self.cells(offset).iter().zip(bytes);
        cells.map(|(cell, byte)| *byte = cell.load(Ordering::Relaxed)).count()
    }

    /// Copies bytes in, from `offset` on. Returns how many went in before the end.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> usize {
        let cells = self.cells(offset).iter().zip(bytes);
        cells.map(|(cell, byte)| cell.store(*byte, Ordering::Relaxed)).count()
    }

    /// Returns the bytes from `offset` on; none past the end.
    fn cells(&self, offset: usize) -> &[AtomicU8] {
        // SAFETY: the memory is there, zeroed at first, until `self` is dropped; atomics may be changed by
        // others, devices included, at any time.
        let all = unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast::<AtomicU8>(), self.length) };
        all.get(offset..).unwrap_or_default()
    }
}

impl Drop for DmaMemory {
    fn drop(&mut self) {
        // SAFETY: it came from mmap with this length, and nobody has it any more: each mapping that a device
        // reaches it by holds the `Arc` it is in.
        if let Err(error) = twice(|| unsafe { munmap(self.start.as_ptr().cast(), self.length) }) {
            tracing::warn!("cannot free {:#x} bytes of memory for DMA: {error}", self.length);
        }
    }
}

/// Memory at an IOVA of an I/O address space. On drop it is unmapped; only then its memory can go.
#[derive(Debug)]
pub struct Mapping {
    ioas: Arc<Ioas>,
    /// `None` once it is unmapped.
    memory: Option<Arc<DmaMemory>>,
    iova: u64,
    length: u64,
}

impl Mapping {
    pub(crate) fn new(
        ioas: &Arc<Ioas>,
        memory: &Arc<DmaMemory>,
        iova: Iova,
        access: Access,
    ) -> Result<Self, Error> {
        // SAFETY: the memory stays until the mapping has gone (see `release`), and is accessed by atomic
        // operations alone; copies are made by `Ioas::copy_from`, whose caller has the same to keep.
        let iova = unsafe { ioas.map(memory.as_ptr(), memory.len() as u64, iova, access) };
        let iova = iova.inspect_err(|error| {
            // The memory is all there: so it may be mapped, and what failed is to say where. Then it is never freed.
            if error.io().and_then(Errno::from_io_error) == Some(Errno::FAULT) {
                mem::forget(Arc::clone(memory));
            }
        })?;
        Ok(Self {
            ioas: Arc::clone(ioas),
            memory: Some(Arc::clone(memory)),
            iova,
            length: memory.len() as u64,
        })
    }

    /// Returns where devices see it.
    pub fn iova(&self) -> u64 {
        self.iova
    }

    /// Unmaps it.
    ///
    /// # Errors
    /// [`Error::Unmap`]. The memory is then never freed, for a device may reach it still; unless the mapping
    /// had gone already ([`io::ErrorKind::NotFound`]).
    pub fn unmap(mut self) -> Result<(), Error> {
        self.release()
    }

    /// Gives the memory back once it is not mapped (tried [`twice`]). Does nothing the second time.
    fn release(&mut self) -> Result<(), Error> {
        let Some(memory) = self.memory.take() else { return Ok(()) };
        let unmap = || self.ioas.unmap(self.iova, self.length);
        let result = unmap().or_else(|_| unmap()).map(|_| ());
        if let Err(error) = &result
            && error.io().map(io::Error::kind) != Some(io::ErrorKind::NotFound)
        {
            mem::forget(memory);
        }
        result
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if let Err(error) = self.release() {
            tracing::warn!("{error}: {}", error.io().map(ToString::to_string).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_for_dma_is_whole_pages_of_zeros() {
        let memory = DmaMemory::alloc(1).unwrap();
        assert_eq!(memory.len(), rustix::param::page_size());
        let mut bytes = vec![1; memory.len()];
        assert_eq!(memory.read(0, &mut bytes), memory.len());
        assert!(bytes.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn bytes_go_in_and_out_up_to_the_end() {
        let memory = DmaMemory::alloc(4096).unwrap();
        let end = memory.len() - 2;
        assert_eq!(memory.write(end, b"abc"), 2);
        let mut bytes = [0; 3];
        assert_eq!(memory.read(end, &mut bytes), 2);
        assert_eq!(&bytes, b"ab\0");
        assert_eq!(memory.read(usize::MAX, &mut bytes), 0);
    }

    #[test]
    fn memory_of_no_or_of_too_many_bytes_is_refused() {
        for length in [0, usize::MAX] {
            assert!(matches!(DmaMemory::alloc(length), Err(Error::Memory { .. })), "{length}");
        }
    }
}
