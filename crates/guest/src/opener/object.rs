//! Objects that a path names, and the kinds of them that can be opened.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{FileType, Mode, OFlags, Stat};

use super::folder::{Folder, path_through};
use super::mode::OpenMode;

/// An object that a path names, not yet open for use (`O_PATH`).
#[derive(Debug)]
pub(super) struct Object {
    pub(super) fd: OwnedFd,
    pub(super) stat: Stat,
    /// Folder that the object is in.
    pub(super) folder: Folder,
}

/// Kinds of objects that a caller accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AcceptedKinds {
    /// Regular files, block devices and character devices.
    All,
    /// Regular files and block devices. Opening some character devices has effects.
    Images,
    /// Regular files.
    Regular,
}

impl Object {
    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// Returns a path that leads to this very object.
    pub(super) fn path(&self) -> PathBuf {
        path_through(self.fd.as_fd())
    }

    /// Opens this very object, even if another one has its name now.
    pub(super) fn open(&self, kinds: AcceptedKinds, mode: OpenMode) -> io::Result<File> {
        kinds.check(self.kind())?;
        let fd = rustix::fs::open(self.path(), mode.flags(), Mode::empty())?;
        blocking(fd)
    }

    /// Refuses a file of another user that the owner of this folder may have linked here. Most
    /// systems permit no such links (`fs.protected_hardlinks`).
    pub(super) fn refuse_hard_link(&self) -> io::Result<()> {
        let is_linked = self.kind() != FileType::Directory && self.stat.st_nlink > 1;
        if is_linked && !self.folder.is_trusted() && self.folder.owner() != self.stat.st_uid {
            let message = "it has several hard links, and its folder belongs to another user";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }

        Ok(())
    }
}

impl AcceptedKinds {
    fn check(self, kind: FileType) -> io::Result<()> {
        let message = match (self, kind) {
            (_, FileType::RegularFile) => return Ok(()),
            (Self::All | Self::Images, FileType::BlockDevice) => return Ok(()),
            (Self::All, FileType::CharacterDevice) => return Ok(()),
            (Self::All, _) => "it is neither a file nor a device",
            (Self::Images, _) => "it is neither a file nor a block device",
            (Self::Regular, _) => "it is not a regular file",
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    }
}

/// Makes reads and writes wait for data. (Opening did not wait.)
pub(super) fn blocking(fd: OwnedFd) -> io::Result<File> {
    let status = rustix::fs::fcntl_getfl(&fd)?;
    rustix::fs::fcntl_setfl(&fd, status - OFlags::NONBLOCK)?;
    Ok(fd.into())
}
