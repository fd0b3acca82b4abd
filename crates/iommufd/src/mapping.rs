//! [`Mapping`]: memory for DMA at an IOVA of an I/O address space.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::sync::Arc;

use rustix::io::Errno;

use crate::memory::DmaMemory;
use crate::{Access, Error, Ioas, Iova};

/// [`DmaMemory`] that is mapped at an IOVA of an I/O address space.
///
/// A mapping holds its memory until it is unmapped. Drop unmaps it and logs a failure;
/// [`Mapping::unmap`] returns the failure.
#[derive(Debug)]
pub struct Mapping {
    ioas: Arc<Ioas>,
    /// `None` once unmapped.
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
        // SAFETY: the memory stays until the mapping is gone (see `release`), and is accessed by
        // atomic operations only. Copies are made by `Ioas::copy_from`, whose contract is the
        // same.
        let iova = unsafe { ioas.map(memory.as_ptr(), memory.len() as u64, iova, access) };
        let iova = iova.inspect_err(|error| {
            // The memory is present and writable. EFAULT then means that the kernel mapped it but
            // could not return the IOVA, so the memory must never be freed.
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

    /// Returns the first IOVA.
    pub fn iova(&self) -> u64 {
        self.iova
    }

    /// Unmaps the memory (`IOMMU_IOAS_UNMAP`).
    ///
    /// # Errors
    /// [`Error::Unmap`]:
    /// - If the mapping was removed by another call already, `ENOENT`. The memory is freed as
    ///   usual.
    /// - If any other failure occurs, such as `EBUSY` from a [`HwQueue`](crate::HwQueue). The
    ///   memory is then never freed, since devices may still reach it.
    pub fn unmap(mut self) -> Result<(), Error> {
        self.release()
    }

    /// Unmaps the memory, trying twice (see [`retry_once`](crate::object::retry_once)), and frees
    /// it once unmapped. Does nothing if called again.
    fn release(&mut self) -> Result<(), Error> {
        let Some(memory) = self.memory.take() else {
            return Ok(());
        };
        let mut result = self.ioas.unmap(self.iova, self.length);
        if result.is_err() {
            result = self.ioas.unmap(self.iova, self.length);
        }
        let result = result.map(|_| ());
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
            tracing::warn!(
                "{error}: {}",
                error.io().map(ToString::to_string).unwrap_or_default()
            );
        }
    }
}
