//! An object that the kernel made in a context, and that goes when its owner does.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::io;

use crate::{Error, Iommufd, sys};

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
        Self {
            context,
            id,
            closed: false,
        }
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

    fn destroy(&self) -> Result<(), Error> {
        twice(|| sys::destroy(self.fd(), self.id)).map_err(|e| Error::Destroy {
            id: self.id,
            source: e.into(),
        })
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        if !self.closed
            && let Err(error) = self.destroy()
        {
            tracing::warn!(
                "{error}: {}",
                error.io().map(ToString::to_string).unwrap_or_default()
            );
        }
    }
}

/// Gives something back, and tries again where that fails: another thread's call that uses an
/// object at the moment keeps it busy, and there may be memory a moment later.
pub(crate) fn twice<T>(give_back: impl Fn() -> io::Result<T>) -> io::Result<T> {
    give_back().or_else(|_| give_back())
}
