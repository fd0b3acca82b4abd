//! [`Iommufd`]: an open `/dev/iommu`.

use std::fmt;
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

/// Path of the iommufd character device (`CONFIG_IOMMUFD`).
pub const PATH: &str = "/dev/iommu";

/// Lowest number for a duplicate: 0 to 2 are a child's standard streams.
const LOWEST_DUPLICATE: i32 = 3;

/// An iommufd context: an open `/dev/iommu`, which owns I/O address spaces, page tables and all
/// other objects.
///
/// The kernel destroys the context and its objects when the last descriptor of the open file is
/// closed. The descriptor is close-on-exec.
///
/// ```no_run
/// use passthru_iommufd::{Accounting, Iommufd};
/// use std::process::Command;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let context = Iommufd::open()?;
/// context.set_accounting(Accounting::Process)?;
/// // The child gets a duplicate as its standard input.
/// let duplicate = context.duplicate()?;
/// Command::new("vmm").args(["--iommufd", "0"]).stdin(duplicate).spawn()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Iommufd {
    fd: OwnedFd,
}

/// Account that pinned memory is charged to (`IOMMU_OPTION_RLIMIT_MODE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accounting {
    /// The user: all processes of a user share one `RLIMIT_MEMLOCK`. The kernel's default.
    User,
    /// The process that maps: each process has an `RLIMIT_MEMLOCK` of its own.
    Process,
}

impl Iommufd {
    /// Opens [`PATH`].
    ///
    /// # Errors
    /// - [`Error::Open`]: if the kernel has no iommufd, `ENOENT`; if the caller may not open the
    ///   device, `EACCES`.
    /// - [`Error::NotIommufd`]: if the path is another device.
    pub fn open() -> Result<Self, Error> {
        Self::open_at(Path::new(PATH))
    }

    /// Opens an iommufd at another path, such as one in a mount namespace.
    ///
    /// # Errors
    /// - [`Error::Open`]: if the path cannot be opened.
    /// - [`Error::NotIommufd`]: if the path is not an iommufd.
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

    /// Takes a descriptor that another program opened, and checks by ioctl that it is an iommufd.
    ///
    /// The descriptor becomes close-on-exec. Two `Iommufd` values of one open file count as two
    /// contexts: a call that mixes their objects fails with [`Error::OtherContext`].
    ///
    /// # Errors
    /// - [`Error::NotIommufd`]: if the descriptor is not an iommufd.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        fcntl_setfd(&fd, FdFlags::CLOEXEC).map_err(|e| Error::NotIommufd { source: e.into() })?;
        let context = Self { fd };
        context.accounting().map(|_| context)
    }

    /// Returns another descriptor of this context, to hand to a child or another process.
    ///
    /// The duplicate is close-on-exec. `dup2` in the child, as [`Stdio`](std::process::Stdio) does,
    /// clears that flag; a socket (`SCM_RIGHTS`) passes the duplicate as is. The context and its
    /// mappings last until both descriptors are closed.
    ///
    /// # Errors
    /// - [`Error::Duplicate`]: if the process has too many open files, `EMFILE`.
    pub fn duplicate(&self) -> Result<OwnedFd, Error> {
        fcntl_dupfd_cloexec(&self.fd, LOWEST_DUPLICATE)
            .map_err(|e| Error::Duplicate { source: e.into() })
    }

    /// Returns the account that pinned memory is charged to (`IOMMU_OPTION_RLIMIT_MODE`).
    ///
    /// # Errors
    /// - [`Error::NotIommufd`]: if the descriptor does not answer as an iommufd.
    pub fn accounting(&self) -> Result<Accounting, Error> {
        // The kernel never returns u64::MAX here. Another driver that accepts the ioctl and leaves
        // the value alone is thereby recognized.
        match sys::option(self.fd.as_fd(), RLIMIT_MODE, GET, 0, u64::MAX) {
            Ok(0) => Ok(Accounting::User),
            Ok(1) => Ok(Accounting::Process),
            Ok(_) => Err(Error::NotIommufd {
                source: Errno::NOTTY.into(),
            }),
            Err(e) => Err(Error::NotIommufd { source: e.into() }),
        }
    }

    /// Sets the account that pinned memory is charged to (`IOMMU_OPTION_RLIMIT_MODE`).
    ///
    /// # Errors
    /// [`Error::Accounting`]:
    /// - If the context has objects, `EBUSY`.
    /// - If the caller lacks `CAP_SYS_RESOURCE`, `EPERM`.
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

    /// Moves the charge for all pinned memory from the process that mapped it to this process
    /// (`IOMMU_IOAS_CHANGE_PROCESS`). A failed call changes nothing.
    ///
    /// # Errors
    /// [`Error::ChangeProcess`]:
    /// - If memory is mapped by address and not by file, `EINVAL`.
    /// - If this process's `RLIMIT_MEMLOCK` is too low, `ENOMEM`.
    pub fn change_process(&self) -> Result<(), Error> {
        sys::change_process(self.fd.as_fd()).map_err(|e| Error::ChangeProcess { source: e.into() })
    }

    /// Returns the id of the I/O address space that VFIO's container interface uses on this
    /// context, or `None` if none is set (`IOMMU_VFIO_IOAS_GET`).
    ///
    /// # Errors
    /// - [`Error::CompatIoas`]: if the kernel cannot return the id.
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

    /// Unsets the I/O address space of VFIO's container interface (`IOMMU_VFIO_IOAS_CLEAR`). The
    /// I/O address space itself stays.
    ///
    /// [`Ioas::set_compat`](crate::Ioas::set_compat) sets it.
    ///
    /// # Errors
    /// - [`Error::CompatIoas`]: if the kernel refuses.
    pub fn clear_compat_ioas(&self) -> Result<(), Error> {
        sys::vfio_ioas(self.fd.as_fd(), VFIO_IOAS_CLEAR, 0)
            .map(|_| ())
            .map_err(|e| Error::CompatIoas {
                ioas: None,
                source: e.into(),
            })
    }
}

impl fmt::Display for Accounting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Process => "process",
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
    fn file_of_another_kind_is_refused() {
        for path in ["/dev/null", "/proc/self/status", "/"] {
            let error = Iommufd::from_fd(File::open(path).unwrap().into()).unwrap_err();
            assert!(
                matches!(error, Error::NotIommufd { .. }),
                "{path}: {error:?}"
            );
        }
    }

    #[test]
    fn missing_device_error_names_path_and_hint() {
        let error = Iommufd::open_at(Path::new("/nonexistent/iommu")).unwrap_err();
        assert_eq!(error.to_string(), "cannot open /nonexistent/iommu");
        assert!(error.hint().unwrap().contains("CONFIG_IOMMUFD"));
    }
}
