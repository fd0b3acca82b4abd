//! Writes to a device that the kernel does when an eventfd is signalled.

use crate::device::{Access, Error, Region, Word};
use crate::sys;
use std::os::fd::{AsFd, BorrowedFd};

impl Region {
    /// Lets the kernel write this value there each time that the eventfd is signalled
    /// (`VFIO_DEVICE_IOEVENTFD`). With vfio-pci it is a BAR that can be mapped, outside of its
    /// MSI-X table.
    ///
    /// # Errors
    /// [`Error::Ioeventfd`], also where this value is written there for another; [`Error::Range`].
    pub fn set_ioeventfd<T: Word>(
        &self,
        offset: u64,
        value: T,
        eventfd: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        self.ioeventfd(offset, value, Some(eventfd))
    }

    /// Ends that.
    ///
    /// # Errors
    /// [`Error::Ioeventfd`], also where nothing is set for this value, width and place.
    pub fn clear_ioeventfd<T: Word>(&self, offset: u64, value: T) -> Result<(), Error> {
        self.ioeventfd(offset, value, None)
    }

    fn ioeventfd<T: Word>(
        &self,
        offset: u64,
        value: T,
        event: Option<BorrowedFd<'_>>,
    ) -> Result<(), Error> {
        let width = size_of::<T>() as u64;
        let access: Access = self.check(offset, width, width)?;
        let (fd, value) = (self.device().as_fd(), value.into());
        sys::device::ioeventfd(fd, width as u32, self.in_file(offset), value, event).map_err(|e| {
            Error::Ioeventfd {
                access,
                value,
                source: e.into(),
            }
        })
    }
}
