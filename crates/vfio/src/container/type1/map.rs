//! The mappings of a [`Type1Container`].

use super::{Type1Container, cannot};
use crate::container::dirty::{add_bits, check_bitmap};
use crate::container::{Access, Backend, Capabilities, Dma, Error, Ioas, IovaRanges};
use crate::sys;
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

#[allow(unsafe_code, reason = "memory is freed by the answers")]
// SAFETY: the answers are the kernel's, which unmaps as a whole what it says, and says 0 bytes
// (here `NotFound`) where there is nothing. A map has no answer that could be lost. There is no
// address space of iommufd.
unsafe impl Dma for Type1Container {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            dirty_tracking: true,
            max_mappings: Some(self.shared.max_mappings.load(Ordering::Relaxed)),
            ..Capabilities::minimal(Backend::Type1)
        }
    }

    unsafe fn map(
        &self,
        memory: *mut u8,
        length: u64,
        iova: u64,
        access: Access,
    ) -> Result<(), Error> {
        // SAFETY: the caller's contract is the same.
        unsafe { sys::type1::map(self.as_fd(), memory as u64, length, iova, access) }.map_err(|e| {
            match e {
                Errno::INVAL if self.is_empty() => Error::NoDevice,
                e => Error::Map {
                    iova,
                    length,
                    source: e.into(),
                },
            }
        })
    }

    fn map_file(&self, _: BorrowedFd<'_>, _: u64, _: u64, _: u64, _: Access) -> Result<(), Error> {
        Err(cannot(
            "map a file other than by its address in the process",
        ))
    }

    fn unmap(&self, iova: u64, length: u64) -> Result<u64, Error> {
        self.unmapped(iova, length, sys::type1::unmap(self.as_fd(), iova, length))
    }

    fn unmap_all(&self) -> Result<u64, Error> {
        match sys::type1::unmap_all(self.as_fd()) {
            Err(Errno::INVAL) if self.is_empty() => Ok(0),
            answer => answer.map_err(|e| Error::Unmap {
                iova: 0,
                length: u64::MAX,
                source: e.into(),
            }),
        }
    }

    fn iova_ranges(&self) -> Result<IovaRanges, Error> {
        let info = self.info()?;
        Ok(IovaRanges {
            ranges: info.ranges,
            alignment: 1 << info.page_sizes.trailing_zeros().min(63),
        })
    }

    fn page_sizes(&self) -> Result<u64, Error> {
        Ok(self.info()?.page_sizes)
    }

    fn set_dirty_tracking(&self, on: bool) -> Result<(), Error> {
        sys::type1::set_dirty_tracking(self.as_fd(), on).map_err(|e| match e {
            Errno::INVAL if self.is_empty() => Error::NoDevice,
            e => Error::DirtyTracking {
                on,
                source: e.into(),
            },
        })
    }

    fn dirty_pages(
        &self,
        iova: u64,
        length: u64,
        page_size: u64,
        clear: bool,
        bitmap: &mut [u64],
    ) -> Result<(), Error> {
        if !clear {
            return Err(cannot("report dirty pages without clearing them"));
        }
        let mut words = vec![0; check_bitmap(length, page_size, bitmap)?];
        let answer = sys::type1::dirty_bitmap(self.as_fd(), iova, length, page_size, &mut words);
        // What was read of mappings before a failure is clean now.
        add_bits(bitmap, 0, &words);
        answer.map_err(|e| Error::DirtyPages {
            iova,
            length,
            page_size,
            source: e.into(),
        })
    }

    fn unmap_dirty(
        &self,
        iova: u64,
        length: u64,
        page_size: u64,
        bitmap: &mut [u64],
    ) -> Result<u64, Error> {
        let mut words = vec![0; check_bitmap(length, page_size, bitmap)?];
        let answer = sys::type1::unmap_dirty(self.as_fd(), iova, length, page_size, &mut words);
        // What has gone before a failure was written to as well.
        add_bits(bitmap, 0, &words);
        self.unmapped(iova, length, answer)
    }

    fn ioas(&self) -> Option<&Arc<Ioas>> {
        None
    }
}

impl Type1Container {
    /// Whether no group is in it: it then has no IOMMU, and answers like this to all that is asked
    /// of one.
    fn is_empty(&self) -> bool {
        sys::type1::info(self.as_fd()).is_err_and(|e| e == Errno::INVAL)
    }

    /// The answer to an unmap, where nothing to unmap is an error, as with the other backend.
    fn unmapped(&self, iova: u64, length: u64, answer: Result<u64, Errno>) -> Result<u64, Error> {
        let answer = match answer {
            Ok(0) => Err(Errno::NOENT),
            Err(Errno::INVAL) if self.is_empty() => Err(Errno::NOENT),
            answer => answer,
        };
        answer.map_err(|e| Error::Unmap {
            iova,
            length,
            source: e.into(),
        })
    }
}
