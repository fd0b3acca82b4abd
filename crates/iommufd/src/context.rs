//! [`Iommufd`]: an open `/dev/iommu`.

use crate::sys;
use iommufd_bindings::iommufd::{
    iommu_option, iommufd_option_IOMMU_OPTION_RLIMIT_MODE as RLIMIT_MODE,
    iommufd_option_ops_IOMMU_OPTION_OP_GET as GET, iommufd_option_ops_IOMMU_OPTION_OP_SET as SET,
};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Where the kernel offers iommufd (`CONFIG_IOMMUFD`).
pub const PATH: &str = "/dev/iommu";

/// An open `/dev/iommu`: a context that owns address spaces and page tables. It ends, with all that
/// is in it, when the last descriptor of it is closed. The descriptor is close-on-exec.
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

/// What went wrong with `/dev/iommu`.
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
    /// A descriptor is open, but is no iommufd: the kernel did not answer as one.
    #[error("the descriptor is no iommufd (asked by IOMMU_OPTION_RLIMIT_MODE)")]
    NotIommufd {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The accounting could not be changed.
    #[error("cannot charge pinned memory to the {} (IOMMU_OPTION_RLIMIT_MODE)", match to { Accounting::User => "user", Accounting::Process => "process" })]
    Accounting {
        /// What was asked for.
        to: Accounting,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Error {
    /// Returns the kernel's answer.
    pub fn io(&self) -> &io::Error {
        match self {
            Self::Open { source, .. } | Self::NotIommufd { source } | Self::Accounting { source, .. } => {
                source
            }
        }
    }

    /// Returns what the user can do, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match (self, self.io().raw_os_error().map(Errno::from_raw_os_error)) {
            (Self::Open { .. }, Some(Errno::NOENT | Errno::NXIO | Errno::NODEV)) => Some(
                "the kernel needs CONFIG_IOMMUFD (module 'iommufd'); kernels of Fedora, Ubuntu and Arch have it, Debian's do not",
            ),
            (Self::Open { .. }, Some(Errno::ACCESS | Errno::PERM)) => Some("run this as root"),
            (Self::NotIommufd { .. }, _) => Some("open /dev/iommu and hand in that descriptor"),
            (Self::Accounting { .. }, Some(Errno::PERM)) => {
                Some("CAP_SYS_RESOURCE is needed: run this as root")
            }
            (Self::Accounting { .. }, Some(Errno::BUSY)) => {
                Some("the context is in use already; the accounting can be set only while it is empty")
            }
            _ => None,
        }
    }
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
        let fd = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| Error::Open { path: path.into(), source: e.into() })?;
        Self::from_fd(fd)
    }

    /// Takes a descriptor that somebody else opened, once the kernel has answered on it as an iommufd
    /// does. That a device file has the right name proves nothing, so it is asked by ioctl.
    ///
    /// # Errors
    /// [`Error::NotIommufd`].
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        let context = Self { fd };
        context.accounting().map(|_| context)
    }

    /// Returns whom pinned memory is charged to.
    ///
    /// # Errors
    /// [`Error::NotIommufd`].
    pub fn accounting(&self) -> Result<Accounting, Error> {
        // A value that the kernel never gives, so that a driver that says yes to anything is found out.
        let mut option = rlimit_mode(GET, u64::MAX);
        let answer = sys::option(self.fd.as_fd(), &mut option);
        match answer.map(|()| option.val64) {
            Ok(0) => Ok(Accounting::User),
            Ok(1) => Ok(Accounting::Process),
            Ok(_) => Err(Error::NotIommufd { source: Errno::NOTTY.into() }),
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
        sys::option(self.fd.as_fd(), &mut rlimit_mode(SET, value))
            .map_err(|e| Error::Accounting { to, source: e.into() })
    }
}

fn rlimit_mode(op: u32, value: u64) -> iommu_option {
    iommu_option {
        size: size_of::<iommu_option>() as u32,
        option_id: RLIMIT_MODE,
        op: op as u16,
        __reserved: 0,
        object_id: 0,
        val64: value,
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
    use super::*;
    use std::fs::File;

    #[test]
    fn a_file_that_is_no_iommufd_is_found_out() {
        for path in ["/dev/null", "/proc/self/status", "/"] {
            let error = Iommufd::from_fd(File::open(path).unwrap().into()).unwrap_err();
            assert!(matches!(error, Error::NotIommufd { .. }), "{path}: {error:?}");
        }
    }

    #[test]
    fn a_missing_device_is_named_and_explained() {
        let error = Iommufd::open_at(Path::new("/nonexistent/iommu")).unwrap_err();
        assert_eq!(error.to_string(), "cannot open /nonexistent/iommu");
        assert!(error.hint().unwrap().contains("CONFIG_IOMMUFD"));
    }
}
