//! Folders of a guest's own, which are removed with all that is in them: only by the process that
//! made them or after its mark.

use super::Opener;
use super::walk::Folder;
use crate::start::user::User;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::OsString;
use std::io;
use std::path::Path;

/// Ending of the empty file that stands beside a folder and marks it as made here. It is root's, in
/// a folder of root's: the VMM can neither make nor remove one.
const MARK: &str = ".passthru";

/// A folder that was made for the guest's user.
#[derive(Debug)]
pub(crate) struct OwnFolder {
    parent: Folder,
    name: OsString,
}

impl Opener<'_> {
    /// Makes a folder for the guest's user alone. One that a killed manager left goes first; one
    /// that has no mark stays, and is an error unless it is empty.
    pub(crate) fn make_own_folder(&self, path: &Path) -> io::Result<OwnFolder> {
        let name = path.file_name().ok_or(Errno::INVAL)?.to_owned();
        let parent = self.make_folder_of(path)?;
        if !parent.is_own() {
            let message = "the folder above it is not root's, or others can write to it";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        let own = OwnFolder { parent, name };
        own.clear()?;
        own.make(self.user)?;
        Ok(own)
    }
}

impl OwnFolder {
    fn mark(&self) -> OsString {
        let mut name = self.name.clone();
        name.push(MARK);
        name
    }

    /// Makes room for a new folder.
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
        // Before the user has the folder: a folder without a mark is empty.
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.parent, self.mark(), flags, Mode::RUSR | Mode::WUSR)?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::NO_SYMLINKS;
        let folder = rustix::fs::openat2(&self.parent, &self.name, flags, Mode::empty(), resolve)?;
        nix::unistd::fchown(&folder, Some(user.uid), Some(user.gid))?;
        // The process's umask is not to decide.
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

    /// Removes the folder with all that is in it, and then its mark. Links are removed and not
    /// followed.
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
