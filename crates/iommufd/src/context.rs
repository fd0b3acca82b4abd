//! [`Iommufd`]: an open `/dev/iommu`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use iommufd_bindings::iommufd::{
    iommufd_option_IOMMU_OPTION_RLIMIT_MODE as RLIMIT_MODE,
    iommufd_option_ops_IOMMU_OPTION_OP_GET as GET, iommufd_option_ops_IOMMU_OPTION_OP_SET as SET,
    iommufd_vfio_ioas_op_IOMMU_VFIO_IOAS_CLEAR as VFIO_IOAS_CLEAR,
    iommufd_vfio_ioas_op_IOMMU_VFIO_IOAS_GET as VFIO_IOAS_GET,
};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

use crate::{Error, sys};

/// Where the kernel offers iommufd (`CONFIG_IOMMUFD`).
pub const PATH: &str = "/dev/iommu";

/// The lowest number for a copy: those below are a child's standard input and outputs.
const FIRST: i32 = 3;

/// An open `/dev/iommu`: a context that owns address spaces and page tables. It ends, with all that
/// is in it, when the last descriptor of it is closed. The descriptor is close-on-exec.
///
/// ```no_run
/// use passthru_iommufd::{Accounting, Iommufd};
/// use std::process::Command;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let context = Iommufd::open()?;
/// context.set_accounting(Accounting::Process)?;
/// // A child has it as its standard input; as another number by what sets up a child's descriptors.
/// Command::new("vmm").args(["--iommufd", "0"]).stdin(context.duplicate()?).spawn()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Iommufd {
    fd: OwnedFd,
}

/// Whom pinned memory is charged to (`IOMMU_OPTION_RLIMIT_MODE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accounting {
    /// The user: all processes of a user share one `RLIMIT_MEMLOCK`. The kernel's default.
    User,
    /// The process that maps: each has an `RLIMIT_MEMLOCK` of its own.
    Process,
}

impl Iommufd {
    /// Opens [`PATH`].
    ///
    /// # Errors
    /// [`Error::Open`]; [`Error::NotIommufd`] where the path is some other device.
    pub fn open() -> Result<Self, Error> {
        Self::open_at(Path::new(PATH))
    }

    /// Opens an iommufd at another path, as in a namespace of its own.
    ///
    /// # Errors
    /// As [`Iommufd::open`].
    pub fn open_at(path: &Path) -> Result<Self, Error> {
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
    /// iommufd does. That a device file has the right name proves nothing, so it is asked by ioctl.
    /// The descriptor becomes close-on-exec, as one that was inherited is not. Where another
    /// `Iommufd` of the same open file is there, their objects do not go together in one call
    /// ([`Error::OtherContext`]).
    ///
    /// # Errors
    /// [`Error::NotIommufd`].
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        fcntl_setfd(&fd, FdFlags::CLOEXEC).map_err(|e| Error::NotIommufd { source: e.into() })?;
        let context = Self { fd };
        context.accounting().map(|_| context)
    }

    /// Returns another descriptor of the same context, to hand to a child or to another process. It
    /// is close-on-exec, as all are: what starts a child clears that there for those that the child
    /// is meant to have (as `dup2` does in it), and a socket (`SCM_RIGHTS`) takes it as it is. The
    /// context, with all that is mapped in it, lasts until both are closed.
    ///
    /// # Errors
    /// [`Error::Duplicate`].
    pub fn duplicate(&self) -> Result<OwnedFd, Error> {
        fcntl_dupfd_cloexec(&self.fd, FIRST).map_err(|e| Error::Duplicate { source: e.into() })
    }

    /// Returns whom pinned memory is charged to.
    ///
    /// # Errors
    /// [`Error::NotIommufd`].
    pub fn accounting(&self) -> Result<Accounting, Error> {
        // A value that the kernel never gives, so that a driver that says yes to anything is found
        // out.
        match sys::option(self.fd.as_fd(), RLIMIT_MODE, GET, 0, u64::MAX) {
            Ok(0) => Ok(Accounting::User),
            Ok(1) => Ok(Accounting::Process),
            Ok(_) => Err(Error::NotIommufd {
                source: Errno::NOTTY.into(),
            }),
            Err(e) => Err(Error::NotIommufd { source: e.into() }),
        }
    }

    /// Sets whom pinned memory is charged to. Only while the context is empty, and only with
    /// `CAP_SYS_RESOURCE`.
    ///
    /// # Errors
    /// [`Error::Accounting`].
    pub fn set_accounting(&self, to: Accounting) -> Result<(), Error> {
        let value = match to {
            Accounting::User => 0,
            Accounting::Process => 1,
        };
        sys::option(self.fd.as_fd(), RLIMIT_MODE, SET, 0, value)
            .map(|_| ())
            .map_err(|e| Error::Accounting {
                to,
                source: e.into(),
            })
    }

    /// Charges this process, and no longer the one that mapped it, with all that is pinned in the
    /// context (`IOMMU_IOAS_CHANGE_PROCESS`). On failure nothing has changed.
    ///
    /// # Errors
    /// [`Error::ChangeProcess`], also where anything but files is mapped.
    pub fn change_process(&self) -> Result<(), Error> {
        sys::change_process(self.fd.as_fd()).map_err(|e| Error::ChangeProcess { source: e.into() })
    }

    /// Returns the id of the I/O address space that VFIO's container interface uses on this
    /// context, if there is one (`IOMMU_VFIO_IOAS_GET`).
    ///
    /// # Errors
    /// [`Error::CompatIoas`].
    pub fn compat_ioas(&self) -> Result<Option<u32>, Error> {
        match sys::vfio_ioas(self.fd.as_fd(), VFIO_IOAS_GET, 0) {
            Ok(id) => Ok(Some(id)),
            Err(Errno::NODEV) => Ok(None),
            Err(e) => Err(Error::CompatIoas {
                ioas: None,
                source: e.into(),
            }),
        }
    }

    /// Lets VFIO's container interface use none (`IOMMU_VFIO_IOAS_CLEAR`); the I/O address space
    /// stays.
    ///
    /// # Errors
    /// [`Error::CompatIoas`].
    pub fn clear_compat_ioas(&self) -> Result<(), Error> {
        sys::vfio_ioas(self.fd.as_fd(), VFIO_IOAS_CLEAR, 0)
            .map(|_| ())
            .map_err(|e| Error::CompatIoas {
                ioas: None,
                source: e.into(),
            })
    }
}

impl AsFd for Iommufd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Iommufd> for OwnedFd {
    fn from(iommufd: Iommufd) -> Self {
        iommufd.fd
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_file_that_is_no_iommufd_is_found_out() {
        for path in ["/dev/null", "/proc/self/status", "/"] {
            let error = Iommufd::from_fd(File::open(path).unwrap().into()).unwrap_err();
            assert!(
                matches!(error, Error::NotIommufd { .. }),
                "{path}: {error:?}"
            );
        }
    }

    #[test]
    fn a_missing_device_is_named_and_explained() {
        let error = Iommufd::open_at(Path::new("/nonexistent/iommu")).unwrap_err();
        assert_eq!(error.to_string(), "cannot open /nonexistent/iommu");
        assert!(error.hint().unwrap().contains("CONFIG_IOMMUFD"));
    }
}
