//! The only way to open a path for a guest.
//!
//! We are root, and paths lead through folders that others can write to. A symbolic link, of a file
//! or of a folder, is followed only where no one but root can have put it: not below a folder that
//! another user owns or can write to. A path is walked component by component (`openat2`), and what
//! was looked at is what is opened, whatever is renamed in the meantime.

mod folder;
mod socket;
#[cfg(test)]
mod tests;
mod walk;

use crate::plan::handover::Mode;
use crate::start::user::User;
use rustix::fs::{FileType, Mode as Permissions, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

pub(crate) use folder::OwnFolder;
pub(crate) use socket::is_listened_on;
pub(crate) use walk::Folder;
pub use walk::RefusedLink;
use walk::{Object, Place, Walk};

/// Tries to make a file whose name others give and take in the meantime.
const TRIES: usize = 100;

/// Opens what belongs to a guest: as the guest's user where that may, else as root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opener<'a> {
    user: &'a User,
    /// Where absolute paths begin.
    root: &'a Path,
    /// The user whose folders are root's.
    owner: u32,
}

/// Kinds of objects that can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kinds {
    /// Files, block devices and character devices.
    All,
    /// Files and block devices. Opening some character devices has effects.
    Images,
    /// Files.
    Regular,
}

impl<'a> Opener<'a> {
    pub(crate) fn new(user: &'a User) -> Self {
        Self {
            user,
            root: Path::new("/"),
            owner: 0,
        }
    }

    /// Opens a file or a device. A file for output is made where it is not there; a file that is
    /// there is not emptied. A FIFO is refused, so that a start does not wait at one.
    pub(crate) fn open(&self, path: &Path, mode: Mode) -> io::Result<File> {
        self.open_one_of(Kinds::All, path, mode)
    }

    /// Opens a file or a device that the guest's user may open, and no other.
    pub(crate) fn open_as_user(&self, path: &Path, mode: Mode) -> io::Result<File> {
        let opened = self.as_user(path, |object| object.open(Kinds::All, mode));
        opened.unwrap_or_else(|| Err(Errno::ACCESS.into()))
    }

    /// Opens an image for a look at its header.
    pub(crate) fn open_image(&self, path: &Path) -> io::Result<File> {
        self.open_one_of(Kinds::Images, path, Mode::Read)
    }

    /// Looks at what a path names.
    ///
    /// # Errors
    /// If nothing has the name, then `NotFound`; else what keeps the path from being opened.
    pub(crate) fn stat(&self, path: &Path) -> io::Result<Stat> {
        if let Some(Ok(stat)) = self.as_user(path, |object| Ok(object.stat)) {
            return Ok(stat);
        }
        let owners = [self.owner];
        match self.walk(&owners).find(path)? {
            Place::Found(object) => object.refuse_hard_link().map(|()| object.stat),
            Place::Absent { .. } => Err(Errno::NOENT.into()),
        }
    }

    /// Opens a file that is to be read to its end.
    pub(crate) fn open_regular(&self, path: &Path) -> io::Result<File> {
        self.open_one_of(Kinds::Regular, path, Mode::Read)
    }

    /// Connects to a listening socket, if its listener accepts connections within a second.
    pub(crate) fn connect(&self, path: &Path) -> io::Result<UnixStream> {
        let owners = [self.owner];
        match self.walk(&owners).find(path)? {
            Place::Absent { .. } => Err(Errno::NOENT.into()),
            Place::Found(object) if object.kind() != FileType::Socket => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a socket",
            )),
            Place::Found(object) => {
                object.refuse_hard_link()?;
                socket::connect(&object.path())
            }
        }
    }

    /// Opens the folder that a path's last component is in.
    pub(crate) fn folder_of(&self, path: &Path) -> io::Result<Folder> {
        self.find_folder(path, false)
    }

    /// Opens the folder that a path's last component is in, and makes it where it is not there.
    pub(crate) fn make_folder_of(&self, path: &Path) -> io::Result<Folder> {
        self.find_folder(path, true)
    }

    fn find_folder(&self, path: &Path, make: bool) -> io::Result<Folder> {
        let path = std::path::absolute(path)?;
        let owners = [self.owner];
        self.walk(&owners)
            .folder(path.parent().unwrap_or(&path), make)
    }

    fn open_one_of(&self, kinds: Kinds, path: &Path, mode: Mode) -> io::Result<File> {
        match self.as_user(path, |object| object.open(kinds, mode)) {
            Some(Ok(file)) => Ok(file),
            _ => self.as_root(kinds, path, mode),
        }
    }

    /// Opens with the rights of the guest's user. Its own links are followed too: they lead nowhere
    /// that it could not go itself. Without root, the guest's user is ourselves. Returns nothing
    /// where no thread can become the user.
    fn as_user<T: Send>(
        &self,
        path: &Path,
        open: impl Fn(&Object) -> io::Result<T> + Sync,
    ) -> Option<io::Result<T>> {
        let owners = [self.owner, self.user.uid()];
        let find = || match self.walk(&owners).find(path)? {
            Place::Found(object) => open(&object),
            Place::Absent { .. } => Err(Errno::NOENT.into()),
        };
        if !rustix::process::geteuid().is_root() {
            return Some(find());
        }
        let done = self.user.on_thread(|| Ok(find())).ok()?;
        Some(done.unwrap_or_else(|errno| Err(errno.into())))
    }

    fn as_root(&self, kinds: Kinds, path: &Path, mode: Mode) -> io::Result<File> {
        let owners = [self.owner];
        for _ in 0..TRIES {
            let (folder, name) = match self.walk(&owners).find(path)? {
                Place::Found(object) => {
                    object.refuse_hard_link()?;
                    return object.open(kinds, mode);
                }
                Place::Absent { folder, name } => (folder, name),
            };
            if !matches!(mode, Mode::Write | Mode::Append) {
                return Err(Errno::NOENT.into());
            }
            let flags = flags(mode) | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            let (mode, resolve) = (
                Permissions::RUSR | Permissions::WUSR,
                ResolveFlags::NO_SYMLINKS,
            );
            match rustix::fs::openat2(&folder, &name, flags, mode, resolve) {
                Err(Errno::EXIST) => {}
                made => return wait_for_data(made?),
            }
        }
        Err(Errno::BUSY.into())
    }

    fn walk<'w>(&'w self, owners: &'w [u32]) -> Walk<'w> {
        Walk {
            root: self.root,
            owners,
        }
    }
}

impl Object {
    fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// Opens this very object, whatever has its name by now.
    fn open(&self, kinds: Kinds, mode: Mode) -> io::Result<File> {
        kinds.check(self.kind())?;
        wait_for_data(rustix::fs::open(
            self.path(),
            flags(mode),
            Permissions::empty(),
        )?)
    }

    /// Refuses another user's file that the owner of this folder may have linked here. Most
    /// systems let no one do that (`fs.protected_hardlinks`).
    fn refuse_hard_link(&self) -> io::Result<()> {
        let linked = self.kind() != FileType::Directory && self.stat.st_nlink > 1;
        if linked && !self.folder.is_trusted() && self.folder.owner() != self.stat.st_uid {
            let message = "it has several hard links, and its folder belongs to another user";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        Ok(())
    }
}

impl Kinds {
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

/// Makes reads and writes wait, which opening did not.
fn wait_for_data(fd: std::os::fd::OwnedFd) -> io::Result<File> {
    let status = rustix::fs::fcntl_getfl(&fd)?;
    rustix::fs::fcntl_setfl(&fd, status - OFlags::NONBLOCK)?;
    Ok(fd.into())
}

fn flags(mode: Mode) -> OFlags {
    let access = match mode {
        Mode::Read => OFlags::RDONLY,
        Mode::ReadWrite => OFlags::RDWR,
        Mode::Write => OFlags::WRONLY,
        Mode::Append => OFlags::WRONLY | OFlags::APPEND,
    };
    access | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY
}
