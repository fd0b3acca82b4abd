//! [`Source`]: the name of a device to open.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use passthru_pci::Address;

use crate::device::{Cdev, Error, Location};

/// Name of a device to open.
#[derive(Debug)]
pub enum Source {
    /// The character device at this path, for example `/dev/vfio/devices/vfio0`.
    Cdev(PathBuf),
    /// The PCI function at this address.
    Pci(Address),
    /// The device with this folder in sysfs, or a link to it, for example
    /// `/sys/bus/mdev/devices/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001`.
    Sysfs(PathBuf),
    /// A character device that is open already, for example received from another process. The
    /// number of its node leads to the device in sysfs.
    Fd(OwnedFd),
}

impl Source {
    /// Returns the device's place in sysfs.
    ///
    /// # Errors
    /// - If sysfs has no device at the address or path, [`Error::NoDevice`].
    /// - If the character device's node cannot be examined, [`Error::Open`].
    /// - If the open file cannot be examined, [`Error::Descriptor`].
    /// - If the node does not belong to a VFIO device, [`Error::NotVfio`].
    /// - If the node is that of a device without an IOMMU, [`Error::NoIommu`].
    pub fn locate(&self) -> Result<Location, Error> {
        match self {
            Self::Cdev(path) => Location::from_cdev(path),
            Self::Pci(address) => {
                Location::from_sysfs(&Path::new("/sys/bus/pci/devices").join(address.to_string()))
            }
            Self::Sysfs(path) => Location::from_sysfs(path),
            Self::Fd(fd) => Location::from_fd(fd),
        }
    }

    /// Opens the device's character device, or takes the open one.
    ///
    /// # Errors
    /// - The errors of [`Source::locate`] and of [`Cdev::open`] or [`Cdev::from_fd`].
    /// - If the device has no character device, [`Error::NoCdev`].
    /// - If the device has no IOMMU, [`Error::NoIommu`], before it is opened.
    pub fn open(self) -> Result<Cdev, Error> {
        match self {
            Self::Fd(fd) => Cdev::from_fd(fd),
            Self::Cdev(path) => Cdev::open(&path),
            Self::Pci(_) | Self::Sysfs(_) => {
                let location = self.locate()?;
                let cdev = location.find_cdev().map_err(|source| Error::Open {
                    path: location.sysfs().into(),
                    source,
                })?;
                let Some(cdev) = cdev else {
                    return Err(Error::NoCdev {
                        sysfs: location.sysfs().into(),
                    });
                };
                location.check_iommu(&cdev)?;
                Cdev::open(&cdev)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_device_is_named() {
        let error = Source::Sysfs("/sys/bus/mdev/devices/none".into())
            .open()
            .unwrap_err();
        assert!(
            error.to_string().contains("/sys/bus/mdev/devices/none"),
            "{error}"
        );
    }

    #[test]
    fn node_of_another_driver_is_refused() {
        let error = Source::Cdev("/dev/null".into()).locate().unwrap_err();
        assert!(error.to_string().contains("/mem/null"), "{error}");
    }
}
