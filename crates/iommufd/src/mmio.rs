//! [`ViommuMmio`]: registers of a virtual IOMMU, mapped into this process.
#![allow(unsafe_code)]

use std::os::fd::AsFd;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::Error;
use crate::mmap_area::MmapArea;
use crate::object::retry_once;
use crate::viommu::Viommu;

/// Registers of a virtual IOMMU, mapped into this process to be mapped into a guest.
///
/// The mapping is uncached. This value keeps the virtual IOMMU alive. Drop unmaps the registers.
#[derive(Debug)]
pub struct ViommuMmio {
    start: NonNull<u8>,
    length: usize,
    viommu: Arc<Viommu>,
}

// SAFETY: `ViommuMmio` owns the mapping, and never accesses its memory.
unsafe impl Send for ViommuMmio {}
// SAFETY: `&ViommuMmio` never accesses the memory.
unsafe impl Sync for ViommuMmio {}

impl ViommuMmio {
    /// Maps an area of the virtual IOMMU's registers into this process (`mmap`).
    ///
    /// # Errors
    /// - [`Error::Mmap`] with `ENXIO`, if `area` is not exactly an area that the kernel offered.
    pub fn map(viommu: &Arc<Viommu>, area: MmapArea) -> Result<Self, Error> {
        Self::call_mmap(viommu, area).map_err(|e| Error::Mmap {
            viommu: viommu.id(),
            offset: area.offset,
            length: area.length,
            source: e.into(),
        })
    }

    fn call_mmap(viommu: &Arc<Viommu>, area: MmapArea) -> Result<Self, Errno> {
        let length = usize::try_from(area.length).map_err(|_| Errno::NOMEM)?;
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::SHARED;
        let fd = viommu.context().as_fd();
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let start = unsafe { mmap(ptr::null_mut(), length, prot, flags, fd, area.offset) }?;
        let start = NonNull::new(start.cast()).ok_or(Errno::NOMEM)?;
        Ok(Self {
            start,
            length,
            viommu: Arc::clone(viommu),
        })
    }

    /// Returns the address of the first register.
    ///
    /// Each access reads or writes a register of the device: use volatile reads and writes only.
    /// The address is invalid after this value is dropped.
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Returns the length in bytes.
    #[allow(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Returns the virtual IOMMU that the registers belong to.
    pub fn viommu(&self) -> &Arc<Viommu> {
        &self.viommu
    }
}

impl Drop for ViommuMmio {
    fn drop(&mut self) {
        let result = retry_once(|| {
            // SAFETY: the mapping came from mmap with this length, and no reference to it exists.
            unsafe { munmap(self.start.as_ptr().cast(), self.length) }
        });
        if let Err(error) = result {
            tracing::warn!(
                "cannot unmap registers of virtual IOMMU {}: {error}",
                self.viommu.id()
            );
        }
    }
}
