//! [`Cdev`]: a VFIO device opened through its character device, `/dev/vfio/devices/vfioN`
//! (`CONFIG_VFIO_DEVICE_CDEV`), before it is bound to an iommufd.

use crate::sys;
use passthru_pci::Address;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use vfio_bindings::bindings::vfio::vfio_device_info;

/// An open VFIO character device that nobody has bound yet. A device's open file is bound to an
/// iommufd once in its life, so one that was bound is of no use to a second user.
#[derive(Debug)]
pub struct Cdev {
    fd: OwnedFd,
    sysfs: PathBuf,
}

/// What went wrong with a VFIO character device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The device could not be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A descriptor is open, but is no VFIO device's.
    #[error("the descriptor is no VFIO character device: {what}")]
    NotVfio {
        /// What it is, or what the kernel answered.
        what: String,
    },
    /// The open file was bound to an iommufd before.
    #[error("the VFIO device {} was bound to an iommufd before; its open file can be bound once only", sysfs.display())]
    Bound {
        /// The device in sysfs.
        sysfs: PathBuf,
    },
}

impl Error {
    /// Returns what the user can do, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Open { source, .. } => match source.raw_os_error().map(Errno::from_raw_os_error)? {
                Errno::ACCESS | Errno::PERM => Some("run this as root"),
                Errno::NOENT => Some("is the device bound to a VFIO driver? (passthru bind)"),
                Errno::BUSY => {
                    Some("another process has the device open, or its group through /dev/vfio/GROUP")
                }
                _ => None,
            },
            Self::NotVfio { .. } => {
                Some("open /dev/vfio/devices/vfioN of the device and hand in that descriptor")
            }
            Self::Bound { .. } => Some("open the device anew for each guest"),
        }
    }
}

impl Cdev {
    /// Opens the character device at a path such as `/dev/vfio/devices/vfio0`.
    ///
    /// # Errors
    /// Where it cannot be opened, or is something else.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let fd = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| Error::Open { path: path.into(), source: e.into() })?;
        Self::from_fd(fd)
    }

    /// Takes a descriptor that somebody else opened, once the kernel has answered on it as an unbound
    /// VFIO device does, and sysfs knows it as one.
    ///
    /// # Errors
    /// [`Error::NotVfio`], [`Error::Bound`].
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        let sysfs = sysfs_of(fd.as_fd())?;
        let mut info = vfio_device_info { argsz: size_of::<vfio_device_info>() as u32, ..Default::default() };
        match sys::device_info(fd.as_fd(), &mut info) {
            // An open file that is not bound refuses every call but VFIO_DEVICE_BIND_IOMMUFD.
            Err(Errno::INVAL) => Ok(Self { fd, sysfs }),
            Ok(()) => Err(Error::Bound { sysfs }),
            Err(e) => Err(Error::NotVfio {
                what: format!("VFIO_DEVICE_GET_INFO was answered with: {}", io::Error::from(e)),
            }),
        }
    }

    /// Returns the device's folder in sysfs, as `/sys/devices/pci0000:00/0000:00:02.0/0000:01:00.0`.
    pub fn sysfs(&self) -> &Path {
        &self.sysfs
    }

    /// Returns the device's PCI address; nothing for a mediated device.
    pub fn pci(&self) -> Option<Address> {
        self.sysfs.file_name()?.to_str()?.parse().ok()
    }
}

/// Finds the device in sysfs by the number of its node: `/sys/dev/char/MAJ:MIN` leads to
/// `…/DEVICE/vfio-dev/vfioN`.
fn sysfs_of(fd: BorrowedFd<'_>) -> Result<PathBuf, Error> {
    let not = |what: String| Error::NotVfio { what };
    let stat = rustix::fs::fstat(fd).map_err(|e| not(io::Error::from(e).to_string()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice {
        return Err(not("it is no character device".into()));
    }
    let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    let link = PathBuf::from(format!("/sys/dev/char/{major}:{minor}"));
    let node = link.canonicalize().map_err(|e| not(format!("{}: {e}", link.display())))?;
    let class = node.parent().filter(|p| p.file_name().is_some_and(|n| n == "vfio-dev"));
    match class.and_then(Path::parent) {
        Some(device) => Ok(device.into()),
        None => Err(not(format!("it is {}", node.display()))),
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
    use super::*;
    use std::fs::File;

    #[test]
    fn what_is_no_vfio_device_is_said() {
        let error = Cdev::from_fd(File::open("/dev/null").unwrap().into()).unwrap_err();
        assert!(error.to_string().contains("/mem/null"), "{error}");
        let error = Cdev::from_fd(File::open("/proc/self/status").unwrap().into()).unwrap_err();
        assert!(error.to_string().contains("no character device"), "{error}");
    }

    #[test]
    fn a_missing_node_is_named_with_what_to_do() {
        let error = Cdev::open(Path::new("/dev/vfio/devices/vfio-none")).unwrap_err();
        assert!(error.to_string().contains("vfio-none") && error.hint().is_some());
    }
}
