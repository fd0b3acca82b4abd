//! [`Cdev`]: an open character device of VFIO that is not bound yet.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use passthru_pci::Address;
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, FdFlags, fcntl_setfd};

use crate::device::{DeviceKind, Error, Location};
use crate::sys;

/// An open character device of VFIO, `/dev/vfio/devices/vfioN`, that is not bound yet
/// (`CONFIG_VFIO_DEVICE_CDEV`).
///
/// An open file can be bound to an iommufd only once. A file that was bound cannot be used again.
#[derive(Debug)]
pub struct Cdev {
    fd: OwnedFd,
    location: Location,
}

impl Cdev {
    /// Opens the character device at a path such as `/dev/vfio/devices/vfio0`.
    ///
    /// # Errors
    /// - If the path cannot be opened, [`Error::Open`].
    /// - The errors of [`Cdev::from_fd`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let fd =
            rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(|e| {
                Error::Open {
                    path: path.into(),
                    source: e.into(),
                }
            })?;
        Self::from_fd(fd)
    }

    /// Takes a character device that is open already, and makes its descriptor close-on-exec.
    ///
    /// Checks first that sysfs lists the file as a VFIO device, and that the kernel treats it as
    /// unbound.
    ///
    /// # Errors
    /// - If the file is not a VFIO device, [`Error::NotVfio`].
    /// - If the file was bound before, [`Error::Bound`].
    /// - If the device has no IOMMU, [`Error::NoIommu`].
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        let location = Location::from_fd(&fd)?;
        fcntl_setfd(&fd, FdFlags::CLOEXEC).map_err(|e| Error::Descriptor { source: e.into() })?;
        match sys::device::info(fd.as_fd()) {
            // An unbound file refuses all calls except VFIO_DEVICE_BIND_IOMMUFD.
            Err(Errno::INVAL) => Ok(Self { fd, location }),
            Ok(_) => Err(Error::Bound {
                sysfs: location.sysfs().into(),
            }),
            Err(e) => Err(Error::NotVfio {
                reason: format!("VFIO_DEVICE_GET_INFO returned: {}", io::Error::from(e)),
            }),
        }
    }

    /// Returns the device's place in sysfs.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Returns the device's folder in sysfs, for example
    /// `/sys/devices/pci0000:00/0000:00:02.0/0000:01:00.0`.
    pub fn sysfs(&self) -> &Path {
        self.location.sysfs()
    }

    /// Returns the device's PCI address; `None` if it is not a PCI function.
    pub fn pci(&self) -> Option<Address> {
        match self.location.kind() {
            DeviceKind::Pci(address) => Some(address),
            _ => None,
        }
    }

    /// Splits the value into the open file and its location.
    pub(super) fn into_parts(self) -> (OwnedFd, Location) {
        (self.fd, self.location)
    }
}

impl AsFd for Cdev {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Cdev> for OwnedFd {
    fn from(cdev: Cdev) -> Self {
        cdev.fd
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn descriptor_of_something_else_is_refused() {
        let error = Cdev::from_fd(File::open("/dev/null").unwrap().into()).unwrap_err();
        assert!(error.to_string().contains("/mem/null"), "{error}");

        let error = Cdev::from_fd(File::open("/proc/self/status").unwrap().into()).unwrap_err();
        assert!(
            error.to_string().contains("not a character device"),
            "{error}"
        );
    }

    #[test]
    fn missing_node_is_named_with_a_hint() {
        let error = Cdev::open(Path::new("/dev/vfio/devices/vfio-none")).unwrap_err();
        assert!(error.to_string().contains("vfio-none") && error.hint().is_some());
    }
}
