//! [`Memory`]: the guest's memory, or a device's BAR, as whoever maps it has it. It is kept until no device
//! reaches it.
#![allow(unsafe_code)]

use super::Error;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};
use std::any::Any;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};

/// Memory that is mapped in this process, or open as a file, or both.
pub struct Memory {
    /// Where it is mapped in this process, if it is.
    address: Option<NonNull<u8>>,
    length: u64,
    file: Option<(OwnedFd, u64)>,
    pages: Pages,
    owner: Owner,
}

/// What pages memory is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// Of the machine's base size, as 4 KiB.
    Base,
    /// Base and huge pages, as the kernel finds them (THP).
    Transparent,
    /// Huge pages of this many bytes, a power of two (hugetlbfs).
    Huge(u64),
}

enum Owner {
    /// Mapped here, and unmapped on drop.
    Own,
    /// Somebody else's, who keeps it for as long as this is kept.
    Other(#[allow(dead_code, reason = "it is only kept")] Box<dyn Any + Send + Sync>),
}

// SAFETY: it never accesses the memory; it only says where it is.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Allocates private, anonymous memory, by whole pages where they are huge. It is zero at
    /// first, and not there before it is used.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn anonymous(length: u64, pages: Pages) -> Result<Self, Error> {
        let failed = |e: Errno| Error::Memory {
            length,
            source: e.into(),
        };
        let length = whole(length, pages).map_err(failed)?;
        let flags = MapFlags::PRIVATE | huge_flags(pages);
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let address =
            unsafe { mmap_anonymous(ptr::null_mut(), length as usize, READ_WRITE, flags) };
        Self::own(address.map_err(failed)?.cast(), length, None, pages).map_err(failed)
    }

    /// Makes a memfd and maps it, shared, by whole pages where they are huge. It is zero at first,
    /// and not there before it is used.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn memfd(length: u64, pages: Pages) -> Result<Self, Error> {
        Self::new_memfd(length, pages).map_err(|e| Error::Memory {
            length,
            source: e.into(),
        })
    }

    fn new_memfd(length: u64, pages: Pages) -> Result<Self, Errno> {
        let length = whole(length, pages)?;
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
        Self::own(address.cast(), length, Some((file, 0)), pages)
    }

    fn own(
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
            owner: Owner::Own,
        };
        let advice = match pages {
            Pages::Base => Advice::LinuxNoHugepage,
            Pages::Transparent => Advice::LinuxHugepage,
            Pages::Huge(_) => return Ok(memory),
        };
        // SAFETY: our own, new mapping; the advice changes no contents. A kernel without THP
        // refuses it, and has base pages alone then.
        let _ = unsafe { madvise(address.as_ptr().cast(), length as usize, advice) };
        Ok(memory)
    }

    /// Takes memory that somebody else mapped: the guest memory of a VMM, or the mmap of a BAR.
    ///
    /// # Safety
    /// Until `owner` is dropped, the memory stays mapped in this process at this address, and the
    /// program makes no `&T` or `&mut T` to any of it: it is accessed by raw pointers or atomics,
    /// as memory that others change at any time. (Where devices may only read it, `&T` is allowed.)
    pub unsafe fn from_raw(
        address: NonNull<u8>,
        length: u64,
        owner: Box<dyn Any + Send + Sync>,
    ) -> Self {
        let owner = Owner::Other(owner);
        Self {
            address: Some(address),
            length,
            file: None,
            pages: Pages::Transparent,
            owner,
        }
    }

    /// Takes `length` bytes of a dma-buf or a memfd, from `offset` on, that need not be mapped in
    /// this process. `owner` is kept as long: the device of a BAR, for one. The file becomes
    /// close-on-exec.
    pub fn from_file(
        file: OwnedFd,
        offset: u64,
        length: u64,
        owner: Box<dyn Any + Send + Sync>,
    ) -> Self {
        let (file, owner) = (Some((closed_on_exec(file), offset)), Owner::Other(owner));
        Self {
            address: None,
            length,
            file,
            pages: Pages::Transparent,
            owner,
        }
    }

    /// Says that the same memory is a file's too, from `offset` in it on: a memfd (of shmem or
    /// hugetlbfs), or a dma-buf. Backends that map files then map it by the file, which becomes
    /// close-on-exec.
    #[must_use]
    pub fn with_file(mut self, file: OwnedFd, offset: u64) -> Self {
        self.file = Some((closed_on_exec(file), offset));
        self
    }

    /// Says what its pages are, by which the fastest way to map it is chosen.
    #[must_use]
    pub fn with_pages(mut self, pages: Pages) -> Self {
        self.pages = pages;
        self
    }

    /// Returns its length in bytes.
    #[allow(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Returns where it starts in this process, where it is mapped here.
    pub fn address(&self) -> Option<*mut u8> {
        self.address.map(NonNull::as_ptr)
    }

    /// Returns the file and the offset in it where the memory starts.
    pub fn file(&self) -> Option<(BorrowedFd<'_>, u64)> {
        self.file
            .as_ref()
            .map(|(file, offset)| (file.as_fd(), *offset))
    }

    /// Returns what its pages are.
    pub fn pages(&self) -> Pages {
        self.pages
    }

    /// Whether so many bytes are there, and have offsets in the file.
    pub(super) fn has(&self, bytes: u64) -> bool {
        bytes <= self.length
            && self
                .file()
                .is_none_or(|(_, start)| start.checked_add(bytes).is_some())
    }

    /// Has the kernel make the pages of a part that is mapped here, as a write to each would
    /// (`MADV_POPULATE_WRITE`). Where it cannot, mapping tells why.
    pub(super) fn populate(&self, offset: u64, length: u64) {
        let Some(address) = self
            .address
            .filter(|_| offset.saturating_add(length) <= self.length)
        else {
            return;
        };
        let start = address.as_ptr().wrapping_add(offset as usize);
        // SAFETY: within the memory, which is mapped while `self` is there; the contents stay as
        // they are.
        let answer = unsafe { madvise(start.cast(), length as usize, Advice::LinuxPopulateWrite) };
        if let Err(error) = answer {
            tracing::debug!("cannot populate {length:#x} bytes at {start:p}: {error}");
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let (Owner::Own, Some(address)) = (&self.owner, self.address) else {
            return;
        };
        // SAFETY: it came from mmap with this length, and nobody has it any more: each mapping that
        // a device reaches it by keeps it.
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

/// A length in whole huge pages, which must be of some size. (Of others, mmap makes whole ones
/// itself.)
fn whole(length: u64, pages: Pages) -> Result<u64, Errno> {
    match pages {
        Pages::Huge(size) if !size.is_power_of_two() => Err(Errno::INVAL),
        Pages::Huge(size) => length.checked_next_multiple_of(size).ok_or(Errno::NOMEM),
        Pages::Base | Pages::Transparent => Ok(length),
    }
}

/// A child that is started later does not get it.
fn closed_on_exec(file: OwnedFd) -> OwnedFd {
    // It is open, so that this cannot fail.
    let _ = fcntl_setfd(&file, FdFlags::CLOEXEC);
    file
}

/// The size of a huge page as mmap and memfd_create want it (`MAP_HUGE_SHIFT`, `MFD_HUGE_SHIFT`).
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
        // SAFETY: mapped, and nobody else has it.
        assert_eq!(unsafe { first.read_volatile() }, 0);
    }

    #[test]
    fn invalid_huge_page_sizes_are_refused() {
        for size in [0, 3 << 20] {
            for make in [Memory::anonymous, Memory::memfd] {
                let error = make(4 << 20, Pages::Huge(size)).unwrap_err();
                assert!(matches!(error, Error::Memory { .. }), "{size}");
            }
        }
    }

    #[test]
    fn file_becomes_close_on_exec() {
        let file = || memfd_create("inherited", MemfdFlags::empty()).unwrap();
        let is_closed_on_exec = |memory: &Memory| {
            rustix::io::fcntl_getfd(memory.file().unwrap().0)
                .unwrap()
                .contains(FdFlags::CLOEXEC)
        };
        let memory = Memory::from_file(file(), 0, 0x1000, Box::new(()));
        assert!(is_closed_on_exec(&memory) && is_closed_on_exec(&memory.with_file(file(), 0)));
    }

    #[test]
    fn length_is_rounded_up_to_huge_pages() {
        assert_eq!(whole((2 << 20) + 1, Pages::Huge(2 << 20)), Ok(4 << 20));
        assert_eq!(whole(u64::MAX, Pages::Huge(2 << 20)), Err(Errno::NOMEM));
        assert_eq!(whole(0x1001, Pages::Base), Ok(0x1001));
    }

    #[test]
    fn empty_or_too_large_memory_is_refused() {
        for length in [0, 1 << 60] {
            assert!(
                matches!(
                    Memory::anonymous(length, Pages::Base),
                    Err(Error::Memory { .. })
                ),
                "{length}"
            );
        }
    }
}
