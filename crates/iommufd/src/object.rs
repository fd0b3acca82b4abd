//! [`Object`]: the id of a kernel object, which is destroyed with its owner.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::io;

use crate::{Error, Iommufd, sys};

/// A kernel object, by its id. Holds its context open and destroys the object on drop.
#[derive(Debug)]
pub(crate) struct Object {
    context: Arc<Iommufd>,
    id: u32,
    closed: bool,
}

impl Object {
    /// Takes the id that the kernel has just allocated in this context.
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

    /// Destroys the object now (`IOMMU_DESTROY`).
    pub(crate) fn close(mut self) -> Result<(), Error> {
        self.closed = true;
        self.destroy()
    }

    fn destroy(&self) -> Result<(), Error> {
        retry_once(|| sys::destroy(self.fd(), self.id)).map_err(|e| Error::Destroy {
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

/// Releases a resource, and tries once more if the first attempt fails.
///
/// Another thread's call keeps an object busy for a moment, and memory may be short for a moment.
/// Both pass.
pub(crate) fn retry_once<T>(release: impl Fn() -> io::Result<T>) -> io::Result<T> {
    release().or_else(|_| release())
}
