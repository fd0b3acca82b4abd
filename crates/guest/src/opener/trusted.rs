//! Files of the host that one user alone can change.

use std::fs::File;
use std::io;
use std::path::Path;

use passthru_host::check_owner;
use rustix::io::Errno;

use super::folder::Folder;
use super::mode::OpenMode;
use super::object::AcceptedKinds;
use super::walk::{Target, Walk};

/// The files that one user alone can change: each folder on their way belongs to that user, and
/// others can write to none of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrustedFiles<'a> {
    /// Folder where absolute paths begin: `/`, except in tests.
    pub(crate) root: &'a Path,
    /// The user: root, except in tests.
    pub(crate) owner: u32,
}

impl TrustedFiles<'_> {
    /// Returns the files that root alone can change.
    pub(crate) fn for_host() -> Self {
        Self {
            root: Path::new("/"),
            owner: 0,
        }
    }

    /// Opens a folder.
    ///
    /// # Errors
    /// - If the folder cannot be opened, then the error of the system call.
    /// - If another user can change the folder or one above it, then `Other`.
    pub(crate) fn folder(&self, path: &Path) -> io::Result<Folder> {
        let owners = [self.owner];
        let folder = self.walk(&owners).folder(path, false)?;
        if folder.is_trusted() {
            return Ok(folder);
        }
        let message = "others than root can change it, or a folder above it";
        Err(io::Error::other(message))
    }

    /// Opens a regular file for reading. Follows links in trusted folders only.
    ///
    /// # Errors
    /// - If the file cannot be opened, then the error of the system call.
    /// - If another user can change the file or a folder on the way, then `Other`.
    /// - If the file is not a regular file, then `InvalidInput`.
    pub(crate) fn open(&self, path: &Path) -> io::Result<File> {
        let owners = [self.owner];
        let Target::Object(object) = self.walk(&owners).find(path)? else {
            return Err(Errno::NOENT.into());
        };
        if !object.folder.is_trusted() {
            let message = "others than root can change its folder, or one above it";
            return Err(io::Error::other(message));
        }

        check_owner(self.owner, object.stat.st_uid, object.stat.st_mode)?;
        object.open(AcceptedKinds::Regular, OpenMode::Read)
    }

    fn walk<'w>(&'w self, owners: &'w [u32]) -> Walk<'w> {
        Walk {
            root: self.root,
            owners,
        }
    }
}
