//! [`Mmap`]: a part of a region that the CPU accesses directly.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ops::Range;
use std::ptr::{NonNull, null_mut};

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::barrier;
use crate::device::{Error, Region, RegionAccess, Word};

/// A part of a region, mapped into this process.
///
/// It keeps the device open, and is unmapped before the device is closed. While the device does not
/// decode its memory, sleeps or resets, each access ends in SIGBUS. Drop the mapping before a guest
/// turns that off.
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
    /// Maps a part of one of the region's [`Region::areas`].
    ///
    /// `range` is in bytes of the region, and begins and ends on pages. The mapping allows reads
    /// and writes as the region does.
    ///
    /// # Errors
    /// [`Error::Mmap`]; `EINVAL` if the range is empty, or not within one area.
    pub fn mmap(&self, range: Range<u64>) -> Result<Mmap, Error> {
        let is_in_an_area = self
            .areas()
            .iter()
            .any(|area| area.start <= range.start && range.end <= area.end);
        if range.is_empty() || !is_in_an_area {
            return Err(self.mmap_error(range, Errno::INVAL));
        }
        let length = (range.end - range.start) as usize;
        let offset = self.in_file(range.start);
        // SAFETY: the kernel chooses an address where nothing is mapped.
        let address = unsafe {
            mmap(
                null_mut(),
                length,
                protection(self),
                MapFlags::SHARED,
                self.device(),
                offset,
            )
        };
        let address = match address {
            Ok(address) => address,
            Err(e) => return Err(self.mmap_error(range, e)),
        };
        let Some(address) = NonNull::new(address.cast()) else {
            return Err(self.mmap_error(range, Errno::NOMEM));
        };
        Ok(Mmap {
            address,
            length,
            start: range.start,
            region: self.clone(),
        })
    }

    fn mmap_error(&self, range: Range<u64>, errno: Errno) -> Error {
        Error::Mmap {
            device: self.device().name(),
            region: self.index(),
            range,
            source: errno.into(),
        }
    }
}

impl Mmap {
    /// Reads a number by one volatile access, at an offset in the mapping.
    ///
    /// Later reads, also from DMA memory, are at least as new. So if a register signals that the
    /// device has written something, then a later read finds it.
    ///
    /// # Errors
    /// [`Error::Range`], if the access is outside of the mapping, not aligned to its width, or not
    /// allowed.
    pub fn read<T: Word>(&self, offset: u64) -> Result<T, Error> {
        let place = self.place::<T>(offset, self.region.readable())?;
        // SAFETY: the place is in the mapping, is aligned, and can be read; all bit patterns are
        // numbers.
        let value = unsafe { place.read_volatile() };
        barrier::after_read();
        Ok(value)
    }

    /// Writes a number by one volatile access, at an offset in the mapping.
    ///
    /// Earlier writes, also to DMA memory, reach the device first. So descriptors are in place
    /// before their doorbell rings.
    ///
    /// # Errors
    /// [`Error::Range`], if the access is outside of the mapping, not aligned to its width, or not
    /// allowed.
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

    /// Returns the address of the mapping, to map it for another device's DMA. Do not make a
    /// reference to it.
    pub fn as_ptr(&self) -> *mut u8 {
        self.address.as_ptr()
    }

    /// Returns the length in bytes, which is never 0.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> u64 {
        self.length as u64
    }

    /// Returns the offset of the mapping in its region, in bytes.
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
        // SAFETY: `Region::mmap` made the mapping, and no handle of it is left.
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
