//! An object that the kernel made in a context, and that goes when its owner does.

use crate::{Error, Iommufd, sys};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// An object of the kernel, by its id. It keeps its context open, and is destroyed on drop.
#[derive(Debug)]
pub(crate) struct Object {
    context: Arc<Iommufd>,
    id: u32,
    closed: bool,
}

impl Object {
    /// Takes an id that the kernel has just given for this context.
    pub(crate) fn new(context: Arc<Iommufd>, id: u32) -> Self {
        Self { context, id, closed: false }
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn context(&self) -> &Arc<Iommufd> {
        &self.context
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.context.as_fd()
    }

    /// Destroys it now (`IOMMU_DESTROY`).
    pub(crate) fn close(mut self) -> Result<(), Error> {
        self.closed = true;
        self.destroy()
    }

    /// Tries twice, since another thread's call that uses the object at the moment keeps it busy.
    fn destroy(&self) -> Result<(), Error> {
        sys::destroy(self.fd(), self.id)
            .or_else(|_| sys::destroy(self.fd(), self.id))
            .map_err(|e| Error::Destroy { id: self.id, source: e.into() })
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        if !self.closed
            && let Err(error) = self.destroy()
        {
            tracing::warn!("{error}: {}", error.io().map(ToString::to_string).unwrap_or_default());
        }
    }
}
