//! [`Mapping`]: memory at an IOVA of an I/O address space.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::sync::Arc;

use rustix::io::Errno;

use crate::memory::DmaMemory;
use crate::{Access, Error, Ioas, Iova};

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
        // SAFETY: the memory stays until the mapping has gone (see `release`), and is accessed by
        // atomic operations alone; copies are made by `Ioas::copy_from`, whose caller has the same
        // to keep.
        let iova = unsafe { ioas.map(memory.as_ptr(), memory.len() as u64, iova, access) };
        let iova = iova.inspect_err(|error| {
            // The memory is all there: so it may be mapped, and what failed is to say where. Then
            // it is never freed.
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
    /// [`Error::Unmap`]. The memory is then never freed, for a device may reach it still; unless
    /// the mapping had gone already ([`io::ErrorKind::NotFound`]).
    pub fn unmap(mut self) -> Result<(), Error> {
        self.release()
    }

    /// Gives the memory back once it is not mapped (tried [`twice`]). Does nothing the second time.
    fn release(&mut self) -> Result<(), Error> {
        let Some(memory) = self.memory.take() else {
            return Ok(());
        };
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
            tracing::warn!(
                "{error}: {}",
                error.io().map(ToString::to_string).unwrap_or_default()
            );
        }
    }
}
