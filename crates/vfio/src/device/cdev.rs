//! [`Cdev`]: a VFIO device opened through its character device, `/dev/vfio/devices/vfioN`
//! (`CONFIG_VFIO_DEVICE_CDEV`), before it is bound to an iommufd.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use passthru_pci::Address;
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, FdFlags, fcntl_setfd};

use crate::device::{DeviceKind, Error, Location};
use crate::sys;

/// An open VFIO character device that nobody has bound yet. A device's open file is bound to an
/// iommufd once in its life, so one that was bound is of no use to a second user.
#[derive(Debug)]
pub struct Cdev {
    fd: OwnedFd,
    location: Location,
}

impl Cdev {
    /// Opens the character device at a path such as `/dev/vfio/devices/vfio0`.
    ///
    /// # Errors
    /// Where it cannot be opened, or is something else.
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

    /// Takes a descriptor that somebody else opened, once the kernel has answered on it as an
    /// unbound VFIO device does, and sysfs knows it as one. The descriptor becomes close-on-exec,
    /// as one that was inherited is not.
    ///
    /// # Errors
    /// [`Error::NotVfio`], [`Error::Bound`], [`Error::NoIommu`].
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        let location = Location::from_fd(&fd)?;
        fcntl_setfd(&fd, FdFlags::CLOEXEC).map_err(|e| Error::Descriptor { source: e.into() })?;
        match sys::device::info(fd.as_fd()) {
            // An open file that is not bound refuses every call but VFIO_DEVICE_BIND_IOMMUFD.
            Err(Errno::INVAL) => Ok(Self { fd, location }),
            Ok(_) => Err(Error::Bound {
                sysfs: location.sysfs().into(),
            }),
            Err(e) => Err(Error::NotVfio {
                what: format!("VFIO_DEVICE_GET_INFO returned: {}", io::Error::from(e)),
            }),
        }
    }

    /// Returns where the device stands in sysfs.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Returns the device's folder in sysfs, as
    /// `/sys/devices/pci0000:00/0000:00:02.0/0000:01:00.0`.
    pub fn sysfs(&self) -> &Path {
        self.location.sysfs()
    }

    /// Returns the device's PCI address; nothing for a mediated device.
    pub fn pci(&self) -> Option<Address> {
        match self.location.kind() {
            DeviceKind::Pci(address) => Some(address),
            _ => None,
        }
    }

    /// Splits it into the open file and where it is.
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
