//! Reading and writing a region through the device's file, which works for all regions. Each access
//! is a system call, in which the kernel accesses the device with barriers of its own: what was
//! written before, to memory for DMA too, reaches the device first, and what is read after is at
//! least as new.

use super::Region;
use crate::device::{Access, Error, Word};
use std::os::fd::AsFd;

impl Region {
    /// Reads a number in one access of its width. What is read later, from memory for DMA too, is
    /// at least as new.
    ///
    /// # Errors
    /// [`Error::Range`] where it is outside, or not aligned to its width; [`Error::Read`].
    pub fn read<T: Word>(&self, offset: u64) -> Result<T, Error> {
        self.check_word::<T>(offset)?;
        T::read(|bytes| self.read_bytes(offset, bytes))
    }

    /// Writes a number in one access of its width. What was written before, to memory for DMA too,
    /// reaches the device first.
    ///
    /// # Errors
    /// [`Error::Range`] where it is outside, or not aligned to its width; [`Error::Write`].
    pub fn write<T: Word>(&self, offset: u64, value: T) -> Result<(), Error> {
        self.check_word::<T>(offset)?;
        value.write(|bytes| self.write_bytes(offset, bytes))
    }

    /// Reads bytes, in accesses of whichever width the kernel chooses.
    ///
    /// # Errors
    /// [`Error::Range`]; [`Error::Read`], also where the kernel read less: the bytes are then not
    /// all set.
    pub fn read_bytes(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Error> {
        let access = self.check(offset, bytes.len() as u64, 1)?;
        match rustix::io::pread(self.device.as_fd(), &mut *bytes, self.in_file(offset)) {
            Ok(done) if done == bytes.len() => Ok(()),
            Ok(done) => Err(Error::Short { access, done }),
            Err(e) => Err(Error::Read {
                access,
                source: e.into(),
            }),
        }
    }

    /// Writes bytes, in accesses of whichever width the kernel chooses.
    ///
    /// # Errors
    /// [`Error::Range`]; [`Error::Write`], also where the kernel wrote less.
    pub fn write_bytes(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let access = self.check(offset, bytes.len() as u64, 1)?;
        match rustix::io::pwrite(self.device.as_fd(), bytes, self.in_file(offset)) {
            Ok(done) if done == bytes.len() => Ok(()),
            Ok(done) => Err(Error::Short { access, done }),
            Err(e) => Err(Error::Write {
                access,
                source: e.into(),
            }),
        }
    }

    fn check_word<T: Word>(&self, offset: u64) -> Result<Access, Error> {
        self.check(offset, size_of::<T>() as u64, size_of::<T>() as u64)
    }

    /// What lies outside would be another region in the device's file.
    pub(in crate::device) fn check(
        &self,
        offset: u64,
        length: u64,
        alignment: u64,
    ) -> Result<Access, Error> {
        let access = Access {
            device: self.device.name(),
            region: self.index,
            offset,
            length,
        };
        let inside = offset
            .checked_add(length)
            .is_some_and(|end| end <= self.info.size);
        if inside && offset.is_multiple_of(alignment) {
            Ok(access)
        } else {
            Err(Error::Range {
                access,
                size: self.info.size,
            })
        }
    }

    /// Returns where an offset of it is in the device's file.
    pub(in crate::device) fn in_file(&self, offset: u64) -> u64 {
        self.info.offset.saturating_add(offset)
    }
}
