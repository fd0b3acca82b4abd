//! Open folders on the way of a path.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::Stat;

/// Mode bits by which others than the owner can change a folder.
const OTHERS_WRITE: u32 = 0o022;

/// An open folder on the way of a path.
#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
    owner: u32,
    /// Whether only the owner can change the folder.
    closed: bool,
    /// Whether only trusted owners can change the folder and every folder above it.
    trusted: bool,
}

impl Folder {
    /// Makes a folder of its descriptor and status. `is_above_trusted` is whether the folder above
    /// is trusted; `owners` are the trusted users.
    pub(super) fn new(fd: OwnedFd, stat: &Stat, is_above_trusted: bool, owners: &[u32]) -> Self {
        let closed = stat.st_mode & OTHERS_WRITE == 0;
        Self {
            fd,
            owner: stat.st_uid,
            closed,
            trusted: is_above_trusted && closed && owners.contains(&stat.st_uid),
        }
    }

    /// Returns whether only this process's user, or root, can change the folder.
    pub(super) fn is_own(&self) -> bool {
        self.closed && self.owner == rustix::process::geteuid().as_raw()
    }

    pub(super) const fn is_trusted(&self) -> bool {
        self.trusted
    }

    pub(super) const fn owner(&self) -> u32 {
        self.owner
    }

    /// Returns the path of a name in this folder, for calls that take no folder. The path leads
    /// through the open folder, and so stays right if the folder is moved.
    pub(crate) fn path_of(&self, name: &OsStr) -> PathBuf {
        path_through(self.fd.as_fd()).join(name)
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Returns a path that leads to the very object that a descriptor is open on.
pub(super) fn path_through(fd: BorrowedFd<'_>) -> PathBuf {
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
}
