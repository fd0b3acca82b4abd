//! [`Mmap`]: a part of a region that the CPU reaches directly.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ops::Range;
use std::os::fd::AsFd;
use std::ptr::{NonNull, null_mut};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::barrier;
use crate::device::{Error, Region, RegionAccess, Word};

/// A part of a region in this process's memory. It keeps the device open, and is unmapped before
/// that goes.
///
/// While the device does not decode its memory, sleeps or resets, each access ends in SIGBUS:
/// whoever lets a guest turn that off takes the mapping away first.
///
/// ```no_run
/// # use passthru_vfio::device::{Error, Region};
/// # fn with(bar: &Region) -> Result<(), Error> {
/// let registers = bar.mmap(0..0x1000)?;
/// let version: u32 = registers.read(8)?;
/// registers.write(0xc, version | 1)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Mmap {
    address: NonNull<u8>,
    length: usize,
    start: u64,
    region: Region,
}

// SAFETY: the mapping belongs to the process, not to a thread.
unsafe impl Send for Mmap {}
// SAFETY: the memory is a device's, of which no reference is ever made. Each access is a single
// volatile one, which the hardware orders among those of other threads.
unsafe impl Sync for Mmap {}

impl Region {
    /// Maps a part of one of its [`Region::areas`], on page borders, for what the region allows of
    /// reading and writing.
    ///
    /// # Errors
    /// [`Error::Mmap`].
    pub fn mmap(&self, range: Range<u64>) -> Result<Mmap, Error> {
        let failed = |e: rustix::io::Errno| Error::Mmap {
            device: self.device().name(),
            region: self.index(),
            range: range.clone(),
            source: e.into(),
        };
        let inside = |area: &Range<u64>| area.start <= range.start && range.end <= area.end;
        if range.is_empty() || !self.areas().iter().any(inside) {
            return Err(failed(rustix::io::Errno::INVAL));
        }
        let length = (range.end - range.start) as usize;
        let (fd, offset) = (self.device().as_fd(), self.in_file(range.start));
        // SAFETY: the kernel chooses a place where nothing is mapped.
        let address = unsafe {
            mmap(
                null_mut(),
                length,
                protection(self),
                MapFlags::SHARED,
                fd,
                offset,
            )
        };
        let address = address.map_err(failed)?;
        let address =
            NonNull::new(address.cast()).ok_or_else(|| failed(rustix::io::Errno::NOMEM))?;
        Ok(Mmap {
            address,
            length,
            start: range.start,
            region: self.clone(),
        })
    }
}

impl Mmap {
    /// Reads a number by one volatile access, at an offset in the mapping. What is read later, from
    /// memory for DMA too, is at least as new: where a register says that a device has written
    /// something, that is there.
    ///
    /// # Errors
    /// [`Error::Range`] where it is outside, not aligned to its width, or cannot be read.
    pub fn read<T: Word>(&self, offset: u64) -> Result<T, Error> {
        let place = self.place::<T>(offset, self.region.readable())?;
        // SAFETY: the place is in the mapping, is aligned, and can be read; all bit patterns are
        // numbers.
        let value = unsafe { place.read_volatile() };
        barrier::after_read();
        Ok(value)
    }

    /// Writes a number by one volatile access, at an offset in the mapping. What was written
    /// before, to memory for DMA too, reaches the device before it: a doorbell is rung when its
    /// descriptors are there.
    ///
    /// # Errors
    /// [`Error::Range`] where it is outside, not aligned to its width, or cannot be written.
    pub fn write<T: Word>(&self, offset: u64, value: T) -> Result<(), Error> {
        let place = self.place::<T>(offset, self.region.writable())?;
        barrier::before_write();
        // SAFETY: the place is in the mapping, is aligned, and can be written; no reference to it
        // exists.
        unsafe { place.write_volatile(value) };
        Ok(())
    }

    fn place<T: Word>(&self, offset: u64, allowed: bool) -> Result<*mut T, Error> {
        let width = size_of::<T>() as u64;
        let inside = offset
            .checked_add(width)
            .is_some_and(|end| end <= self.len());
        if !allowed || !inside || !offset.is_multiple_of(width) {
            let device = self.region.device().name();
            let access = RegionAccess {
                device,
                region: self.region.index(),
                offset,
                length: width,
            };
            return Err(Error::Range {
                access,
                size: self.len(),
            });
        }
        Ok(self.address.as_ptr().wrapping_add(offset as usize).cast())
    }

    /// Returns where it is, to map it for another device's DMA. No reference may be made to it.
    pub fn as_ptr(&self) -> *mut u8 {
        self.address.as_ptr()
    }

    /// Returns its length in bytes, which is never 0.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> u64 {
        self.length as u64
    }

    /// Returns where in the region it begins.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Returns the region.
    pub fn region(&self) -> &Region {
        &self.region
    }
}

impl Drop for Mmap {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `Region::mmap`, and nobody can reach it any more.
        let result = unsafe { munmap(self.address.as_ptr().cast::<c_void>(), self.length) };
        if let Err(error) = result {
            tracing::warn!(
                "cannot unmap a region of {}: {error}",
                self.region.device().name()
            );
        }
    }
}

fn protection(region: &Region) -> ProtFlags {
    let mut protection = ProtFlags::empty();
    protection.set(ProtFlags::READ, region.readable());
    protection.set(ProtFlags::WRITE, region.writable());
    protection
}
