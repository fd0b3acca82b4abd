//! [`Memory`]: guest memory or a BAR, kept until no device reaches it.
#![allow(unsafe_code)]

use std::any::Any;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};

use super::Error;

/// Memory that is mapped in this process, open as a file, or both.
pub struct Memory {
    /// Address of the mapping in this process, if there is one.
    address: Option<NonNull<u8>>,
    length: u64,
    file: Option<(OwnedFd, u64)>,
    pages: Pages,
    ownership: Ownership,
}

/// The kind of pages that back a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// Pages of the base size of the machine, such as 4 KiB.
    Base,
    /// Base pages and huge pages, as the kernel chooses (THP).
    Transparent,
    /// Huge pages of this many bytes, a power of two (hugetlbfs).
    Huge(u64),
}

enum Ownership {
    /// Memory that is unmapped on drop.
    Own,
    /// Memory of another owner, which keeps the memory until this value is dropped.
    Foreign(#[allow(dead_code, reason = "kept until drop")] Box<dyn Any + Send + Sync>),
}

// SAFETY: `Memory` has the address but never accesses the memory there.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Allocates private, anonymous memory of `length` bytes, rounded up to whole huge pages.
    ///
    /// The memory is zero. The kernel makes each page at its first use.
    ///
    /// # Errors
    /// - If the kernel refuses, or a huge page's size is invalid: [`Error::Allocation`].
    pub fn anonymous(length: u64, pages: Pages) -> Result<Self, Error> {
        Self::new_anonymous(length, pages).map_err(|errno| Error::Allocation {
            length,
            source: errno.into(),
        })
    }

    /// Creates and maps a memfd of `length` bytes, rounded up to whole huge pages (`MAP_SHARED`).
    ///
    /// The memory is zero. The kernel makes each page at its first use.
    ///
    /// # Errors
    /// - If the kernel refuses, or a huge page's size is invalid: [`Error::Allocation`].
    pub fn memfd(length: u64, pages: Pages) -> Result<Self, Error> {
        Self::new_memfd(length, pages).map_err(|errno| Error::Allocation {
            length,
            source: errno.into(),
        })
    }

    fn new_anonymous(length: u64, pages: Pages) -> Result<Self, Errno> {
        let length = round_up_to_pages(length, pages)?;
        let flags = MapFlags::PRIVATE | huge_flags(pages);
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let address =
            unsafe { mmap_anonymous(ptr::null_mut(), length as usize, READ_WRITE, flags) }?;
        Self::from_own_mapping(address.cast(), length, None, pages)
    }

    fn new_memfd(length: u64, pages: Pages) -> Result<Self, Errno> {
        let length = round_up_to_pages(length, pages)?;
        let huge = match pages {
            Pages::Huge(size) => {
                MemfdFlags::HUGETLB | MemfdFlags::from_bits_retain(size_bits(size))
            }
            _ => MemfdFlags::empty(),
        };
        let file = memfd_create("guest-memory", MemfdFlags::CLOEXEC | huge)?;
        ftruncate(&file, length)?;
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let address = unsafe {
            mmap(
                ptr::null_mut(),
                length as usize,
                READ_WRITE,
                MapFlags::SHARED,
                &file,
                0,
            )
        }?;
        Self::from_own_mapping(address.cast(), length, Some((file, 0)), pages)
    }

    /// Takes over a new mapping, and advises the kernel on its pages.
    fn from_own_mapping(
        address: *mut u8,
        length: u64,
        file: Option<(OwnedFd, u64)>,
        pages: Pages,
    ) -> Result<Self, Errno> {
        let address = NonNull::new(address).ok_or(Errno::NOMEM)?;
        let memory = Self {
            address: Some(address),
            length,
            file,
            pages,
            ownership: Ownership::Own,
        };
        let advice = match pages {
            Pages::Base => Advice::LinuxNoHugepage,
            Pages::Transparent => Advice::LinuxHugepage,
            Pages::Huge(_) => return Ok(memory),
        };
        // SAFETY: our own, new mapping; the advice changes no contents. A kernel without THP
        // refuses the advice, and has only base pages.
        let _ = unsafe { madvise(address.as_ptr().cast(), length as usize, advice) };
        Ok(memory)
    }

    /// Makes a handle to memory that the caller has mapped: guest memory of a VMM, or the mmap of
    /// a BAR.
    ///
    /// # Safety
    /// Until `owner` is dropped:
    /// - The memory stays mapped in this process, at this address.
    /// - The program makes no `&T` or `&mut T` to any byte of the memory. Devices change the memory
    ///   at any time, so only raw pointers and atomics may access it. (If devices may only read the
    ///   memory, `&T` is allowed.)
    pub unsafe fn from_raw(
        address: NonNull<u8>,
        length: u64,
        owner: Box<dyn Any + Send + Sync>,
    ) -> Self {
        Self {
            address: Some(address),
            length,
            file: None,
            pages: Pages::Transparent,
            ownership: Ownership::Foreign(owner),
        }
    }

    /// Makes a handle to `length` bytes of a dma-buf or memfd, from `offset` on.
    ///
    /// The memory need not be mapped in this process. `owner`, such as the device of a BAR, is kept
    /// until the memory is dropped. The file becomes close-on-exec.
    pub fn from_file(
        file: OwnedFd,
        offset: u64,
        length: u64,
        owner: Box<dyn Any + Send + Sync>,
    ) -> Self {
        Self {
            address: None,
            length,
            file: Some((set_close_on_exec(file), offset)),
            pages: Pages::Transparent,
            ownership: Ownership::Foreign(owner),
        }
    }

    /// Sets the file that has the same memory, from `offset` on: a memfd (of shmem or hugetlbfs),
    /// or a dma-buf.
    ///
    /// A backend that can map files maps the memory by this file. The file becomes close-on-exec.
    #[must_use]
    pub fn with_file(mut self, file: OwnedFd, offset: u64) -> Self {
        self.file = Some((set_close_on_exec(file), offset));
        self
    }

    /// Sets the kind of pages, which decides how the memory is cut and whether pins are shared.
    #[must_use]
    pub fn with_pages(mut self, pages: Pages) -> Self {
        self.pages = pages;
        self
    }

    /// Returns the length in bytes.
    #[allow(clippy::len_without_is_empty, reason = "memory is never empty")]
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Returns the address in this process, if the memory is mapped here.
    pub fn address(&self) -> Option<*mut u8> {
        self.address.map(NonNull::as_ptr)
    }

    /// Returns the file, if there is one, and the offset of the memory's first byte in the file.
    pub fn file(&self) -> Option<(BorrowedFd<'_>, u64)> {
        let (file, offset) = self.file.as_ref()?;
        Some((file.as_fd(), *offset))
    }

    /// Returns the kind of pages.
    pub fn pages(&self) -> Pages {
        self.pages
    }

    /// Returns whether the memory has this many bytes, each with an offset in the file.
    pub(super) fn has_bytes(&self, bytes: u64) -> bool {
        let file_end = match self.file() {
            Some((_, start)) => start.checked_add(bytes),
            None => Some(bytes),
        };
        bytes <= self.length && file_end.is_some()
    }

    /// Makes the pages of a part that is mapped here, as a write to each page would
    /// (`MADV_POPULATE_WRITE`).
    ///
    /// A failure is only logged: the kernel then makes the pages, or fails, when they are mapped.
    pub(super) fn populate(&self, offset: u64, length: u64) {
        let Some(address) = self.address else { return };
        if offset.saturating_add(length) > self.length {
            return;
        }
        let start = address.as_ptr().wrapping_add(offset as usize);
        // SAFETY: the part lies within the memory, which is mapped while `self` exists. The
        // contents stay as they are.
        let result = unsafe { madvise(start.cast(), length as usize, Advice::LinuxPopulateWrite) };
        if let Err(error) = result {
            tracing::debug!("cannot populate {length:#x} bytes at {start:p}: {error}");
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        if !matches!(self.ownership, Ownership::Own) {
            return;
        }
        // SAFETY: the address came from mmap with this length. No device reaches the memory: each
        // mapping in a container holds a reference to this `Memory`.
        if let Err(error) = unsafe { munmap(address.as_ptr().cast(), self.length as usize) } {
            tracing::warn!(
                "cannot free {:#x} bytes of guest memory: {error}",
                self.length
            );
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            address,
            length,
            file,
            pages,
            ..
        } = self;
        write!(
            f,
            "Memory {{ {length:#x} bytes at {address:?}, file {file:?}, {pages:?} }}"
        )
    }
}

const READ_WRITE: ProtFlags = ProtFlags::READ.union(ProtFlags::WRITE);

fn huge_flags(pages: Pages) -> MapFlags {
    match pages {
        Pages::Huge(size) => MapFlags::HUGETLB | MapFlags::from_bits_retain(size_bits(size)),
        _ => MapFlags::empty(),
    }
}

/// Rounds a length up to whole huge pages, whose size must be a power of two. (mmap rounds up to
/// whole base pages itself.)
fn round_up_to_pages(length: u64, pages: Pages) -> Result<u64, Errno> {
    match pages {
        Pages::Huge(size) if !size.is_power_of_two() => Err(Errno::INVAL),
        Pages::Huge(size) => length.checked_next_multiple_of(size).ok_or(Errno::NOMEM),
        Pages::Base | Pages::Transparent => Ok(length),
    }
}

/// Sets close-on-exec, so that child processes do not inherit the file.
fn set_close_on_exec(file: OwnedFd) -> OwnedFd {
    // The descriptor is open, so that fcntl cannot fail.
    let _ = fcntl_setfd(&file, FdFlags::CLOEXEC);
    file
}

/// Returns the flag bits for a huge page's size (`MAP_HUGE_SHIFT`, `MFD_HUGE_SHIFT`).
fn size_bits(size: u64) -> u32 {
    size.ilog2() << 26
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_has_address_and_memfd_also_file() {
        let memory = Memory::anonymous(0x4000, Pages::Base).unwrap();
        assert!(memory.address().is_some() && memory.file().is_none());

        let memory = Memory::memfd(0x4000, Pages::Base).unwrap();
        assert_eq!(
            rustix::fs::fstat(memory.file().unwrap().0).unwrap().st_size,
            0x4000
        );

        memory.populate(0x1000, 0x3000);
        let first = memory.address().unwrap();
        // SAFETY: the memory is mapped, and no other thread or device has it.
        assert_eq!(unsafe { first.read_volatile() }, 0);
    }

    #[test]
    fn invalid_huge_page_sizes_are_refused() {
        for size in [0, 3 << 20] {
            for make in [Memory::anonymous, Memory::memfd] {
                let error = make(4 << 20, Pages::Huge(size)).unwrap_err();
                assert!(matches!(error, Error::Allocation { .. }), "{size}");
            }
        }
    }

    fn is_close_on_exec(memory: &Memory) -> bool {
        let (file, _) = memory.file().unwrap();
        let flags = rustix::io::fcntl_getfd(file).unwrap();
        flags.contains(FdFlags::CLOEXEC)
    }

    #[test]
    fn file_becomes_close_on_exec() {
        let [first, second] = [(); 2].map(|()| memfd_create("inherited", MemfdFlags::empty()));
        let memory = Memory::from_file(first.unwrap(), 0, 0x1000, Box::new(()));
        assert!(is_close_on_exec(&memory));
        assert!(is_close_on_exec(&memory.with_file(second.unwrap(), 0)));
    }

    #[test]
    fn length_is_rounded_up_to_huge_pages() {
        assert_eq!(
            round_up_to_pages((2 << 20) + 1, Pages::Huge(2 << 20)),
            Ok(4 << 20)
        );
        assert_eq!(
            round_up_to_pages(u64::MAX, Pages::Huge(2 << 20)),
            Err(Errno::NOMEM)
        );
        assert_eq!(round_up_to_pages(0x1001, Pages::Base), Ok(0x1001));
    }

    #[test]
    fn empty_or_too_large_memory_is_refused() {
        for length in [0, 1 << 60] {
            assert!(
                matches!(
                    Memory::anonymous(length, Pages::Base),
                    Err(Error::Allocation { .. })
                ),
                "{length}"
            );
        }
    }
}
