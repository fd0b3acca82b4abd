//! [`ViommuMmio`]: registers of a virtual IOMMU, mapped into this process to be mapped into a guest.
#![allow(unsafe_code)]

use std::os::fd::AsFd;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::Error;
use crate::object::retry_once;
use crate::viommu::Viommu;

/// An area that the kernel offers for mmap on the context's descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmapArea {
    /// Its offset there, in bytes.
    pub offset: u64,
    /// Its length in bytes. Only the whole area can be mapped.
    pub length: u64,
}

/// Registers of a virtual IOMMU in the memory of this process, uncached. It keeps the virtual
/// IOMMU, and is unmapped on drop.
#[derive(Debug)]
pub struct ViommuMmio {
    start: NonNull<u8>,
    length: usize,
    viommu: Arc<Viommu>,
}

// SAFETY: it owns the mapping, and touches none of the memory.
unsafe impl Send for ViommuMmio {}
// SAFETY: as above.
unsafe impl Sync for ViommuMmio {}

impl ViommuMmio {
    pub(crate) fn new(viommu: &Arc<Viommu>, area: MmapArea) -> Result<Self, Error> {
        let MmapArea { offset, length } = area;
        let failed = |e: Errno| Error::Mmap {
            viommu: viommu.id(),
            offset,
            length,
            source: e.into(),
        };
        let length = usize::try_from(length).map_err(|_| failed(Errno::NOMEM))?;
        let (prot, fd) = (ProtFlags::READ | ProtFlags::WRITE, viommu.context().as_fd());
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let start = unsafe { mmap(ptr::null_mut(), length, prot, MapFlags::SHARED, fd, offset) };
        let start = NonNull::new(start.map_err(failed)?.cast())
            .ok_or(Errno::NOMEM)
            .map_err(failed)?;
        Ok(Self {
            start,
            length,
            viommu: Arc::clone(viommu),
        })
    }

    /// Returns where it starts. It is a device's: each access reads or writes a register, so it is
    /// by volatile reads and writes alone, and ends before this value is dropped.
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Returns its length in bytes.
    #[allow(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Returns the virtual IOMMU that it belongs to.
    pub fn viommu(&self) -> &Arc<Viommu> {
        &self.viommu
    }
}

impl Drop for ViommuMmio {
    fn drop(&mut self) {
        // SAFETY: it came from mmap with this length, and no reference to it was ever made.
        if let Err(error) =
            retry_once(|| unsafe { munmap(self.start.as_ptr().cast(), self.length) })
        {
            tracing::warn!(
                "cannot unmap registers of virtual IOMMU {}: {error}",
                self.viommu.id()
            );
        }
    }
}
