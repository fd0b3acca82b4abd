//! Folders that this program makes for a guest, and removes with all that is in them. A folder that
//! was there before is never removed.

use std::ffi::OsString;
use std::io;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::folder::Folder;
use crate::start::user::User;

/// Suffix of the empty file that marks the folder beside it as made by this program. The file is
/// root's, in a folder of root's: the VMM can neither make nor remove it.
const MARK: &str = ".passthru";

/// A folder that was made for a guest's user.
#[derive(Debug)]
pub(crate) struct OwnFolder {
    parent: Folder,
    name: OsString,
}

impl OwnFolder {
    /// Makes a folder for the user alone, in a folder that only root can change.
    ///
    /// A folder that a killed manager left has a mark, and is replaced. Of folders without a mark,
    /// only an empty one is replaced.
    ///
    /// # Errors
    /// - If others than root can change `parent`, then an error of kind `PermissionDenied`.
    /// - If the name exists, is not an empty folder and has no mark, then `AlreadyExists`.
    pub(super) fn create(parent: Folder, name: OsString, user: &User) -> io::Result<Self> {
        check_parent(&parent)?;
        let own = Self { parent, name };
        own.clear()?;
        own.make(user)?;
        Ok(own)
    }

    /// Finds a folder that was made for a guest; `None` if the name has no mark.
    ///
    /// # Errors
    /// If others than root can change `parent`, then an error of kind `PermissionDenied`.
    pub(super) fn find(parent: Folder, name: OsString) -> io::Result<Option<Self>> {
        check_parent(&parent)?;
        let own = Self { parent, name };
        Ok(own.is_marked()?.then_some(own))
    }

    fn mark(&self) -> OsString {
        let mut name = self.name.clone();
        name.push(MARK);
        name
    }

    /// Removes an earlier folder of the name, if that is permitted.
    fn clear(&self) -> io::Result<()> {
        if self.is_marked()? {
            return self.remove();
        }
        match rustix::fs::unlinkat(&self.parent, &self.name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "it was there before and passthru has not made it",
            )),
            Err(e) => Err(e.into()),
        }
    }

    fn make(&self, user: &User) -> io::Result<()> {
        rustix::fs::mkdirat(&self.parent, &self.name, Mode::RWXU)?;
        // The mark comes before the change of owner: so a folder without a mark is empty.
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.parent, self.mark(), flags, Mode::RUSR | Mode::WUSR)?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::NO_SYMLINKS;
        let folder = rustix::fs::openat2(&self.parent, &self.name, flags, Mode::empty(), resolve)?;
        nix::unistd::fchown(&folder, Some(user.uid), Some(user.gid))?;
        // The process's umask may have taken bits away.
        Ok(rustix::fs::fchmod(&folder, Mode::RWXU)?)
    }

    fn is_marked(&self) -> io::Result<bool> {
        match rustix::fs::statat(&self.parent, self.mark(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(
                FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                    && stat.st_uid == rustix::process::geteuid().as_raw(),
            ),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Removes the folder with all that is in it, then its mark. Removes links, and does not follow
    /// them.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(self.parent.path_of(&self.name)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }

        match rustix::fs::unlinkat(&self.parent, self.mark(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

fn check_parent(parent: &Folder) -> io::Result<()> {
    if parent.is_own() {
        return Ok(());
    }
    let message = "the folder above it is not root's, or others can write to it";
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}
