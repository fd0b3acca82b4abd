//! The opener of a guest's paths.

use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::folder::Folder;
use super::mode::OpenMode;
use super::object::{AcceptedKinds, Object, blocking};
use super::own_folder::OwnFolder;
use super::socket;
use super::walk::{Target, Walk};
use crate::start::user::User;

/// Number of tries to make a file, while other processes make and remove the same name.
const MAX_TRIES: usize = 100;

/// Opener of the paths of one guest: with the rights of the guest's user if they suffice, else with
/// those of root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opener<'a> {
    pub(super) user: &'a User,
    /// Folder where absolute paths begin: `/`, except in tests.
    pub(super) root: &'a Path,
    /// User whose folders are trusted: root, except in tests.
    pub(super) owner: u32,
}

impl<'a> Opener<'a> {
    pub(crate) fn new(user: &'a User) -> Self {
        Self {
            user,
            root: Path::new("/"),
            owner: 0,
        }
    }

    /// Opens a file or a device. Makes a missing file that is opened for output; does not empty an
    /// existing one. Refuses a FIFO, so that a start does not wait at it.
    pub(crate) fn open(&self, path: &Path, mode: OpenMode) -> io::Result<File> {
        self.open_one_of(AcceptedKinds::All, path, mode)
    }

    /// Opens a file or a device with the rights of the guest's user alone.
    pub(crate) fn open_as_user(&self, path: &Path, mode: OpenMode) -> io::Result<File> {
        self.as_user(path, |object| object.open(AcceptedKinds::All, mode))
            .unwrap_or_else(|| Err(Errno::ACCESS.into()))
    }

    /// Opens an image to read its header.
    pub(crate) fn open_image(&self, path: &Path) -> io::Result<File> {
        self.open_one_of(AcceptedKinds::Images, path, OpenMode::Read)
    }

    /// Returns the status of the object that a path names.
    ///
    /// # Errors
    /// - If nothing has the name, then `NotFound`.
    /// - If the opener would not open the path, then the error of that.
    pub(crate) fn stat(&self, path: &Path) -> io::Result<Stat> {
        if let Some(Ok(stat)) = self.as_user(path, |object| Ok(object.stat)) {
            return Ok(stat);
        }
        let owners = [self.owner];
        match self.walk(&owners).find(path)? {
            Target::Object(object) => object.refuse_hard_link().map(|()| object.stat),
            Target::Absent { .. } => Err(Errno::NOENT.into()),
        }
    }

    /// Opens a regular file for reading.
    pub(crate) fn open_regular(&self, path: &Path) -> io::Result<File> {
        self.open_one_of(AcceptedKinds::Regular, path, OpenMode::Read)
    }

    /// Connects to a listening socket.
    ///
    /// # Errors
    /// If the listener does not accept the connection within a second, then `TimedOut`.
    pub(crate) fn connect(&self, path: &Path) -> io::Result<UnixStream> {
        let owners = [self.owner];
        match self.walk(&owners).find(path)? {
            Target::Absent { .. } => Err(Errno::NOENT.into()),
            Target::Object(object) if object.kind() != FileType::Socket => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a socket",
            )),
            Target::Object(object) => {
                object.refuse_hard_link()?;
                socket::connect(&object.path())
            }
        }
    }

    /// Opens the folder of a path's last component.
    pub(crate) fn folder_of(&self, path: &Path) -> io::Result<Folder> {
        self.find_folder(path, false)
    }

    /// Opens the folder of a path's last component, and makes it if it is missing.
    pub(crate) fn make_folder_of(&self, path: &Path) -> io::Result<Folder> {
        self.find_folder(path, true)
    }

    /// Makes a folder for the guest's user alone, by [`OwnFolder::create`]. Makes the folders above
    /// it if they are missing.
    pub(crate) fn make_own_folder(&self, path: &Path) -> io::Result<OwnFolder> {
        let name = path.file_name().ok_or(Errno::INVAL)?.to_owned();
        let parent = self.make_folder_of(path)?;
        OwnFolder::create(parent, name, self.user)
    }

    /// Finds a folder that [`make_own_folder`](Self::make_own_folder) made; `None` if there is
    /// none.
    pub(crate) fn find_own_folder(&self, path: &Path) -> io::Result<Option<OwnFolder>> {
        let name = path.file_name().ok_or(Errno::INVAL)?.to_owned();
        match self.folder_of(path) {
            Ok(parent) => OwnFolder::find(parent, name),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn find_folder(&self, path: &Path, make: bool) -> io::Result<Folder> {
        let path = std::path::absolute(path)?;
        let owners = [self.owner];
        self.walk(&owners)
            .folder(path.parent().unwrap_or(&path), make)
    }

    fn open_one_of(&self, kinds: AcceptedKinds, path: &Path, mode: OpenMode) -> io::Result<File> {
        match self.as_user(path, |object| object.open(kinds, mode)) {
            Some(Ok(file)) => Ok(file),
            _ => self.as_root(kinds, path, mode),
        }
    }

    /// Finds and opens an object with the rights of the guest's user. Follows the user's own links
    /// too: they lead only where the user could go without them. Returns `None` if no thread can
    /// become the user. Without root, this process is the user already.
    fn as_user<T: Send>(
        &self,
        path: &Path,
        open: impl Fn(&Object) -> io::Result<T> + Sync,
    ) -> Option<io::Result<T>> {
        let owners = [self.owner, self.user.uid()];
        let walk = self.walk(&owners);
        if !rustix::process::geteuid().is_root() {
            return Some(open_existing(walk, path, &open));
        }
        let done = self
            .user
            .on_thread(|| Ok(open_existing(walk, path, &open)))
            .ok()?;
        Some(done.unwrap_or_else(|errno| Err(errno.into())))
    }

    fn as_root(&self, kinds: AcceptedKinds, path: &Path, mode: OpenMode) -> io::Result<File> {
        let owners = [self.owner];
        for _ in 0..MAX_TRIES {
            let (folder, name) = match self.walk(&owners).find(path)? {
                Target::Object(object) => {
                    object.refuse_hard_link()?;
                    return object.open(kinds, mode);
                }
                Target::Absent { folder, name } => (folder, name),
            };
            if !matches!(mode, OpenMode::Write | OpenMode::Append) {
                return Err(Errno::NOENT.into());
            }
            let flags = mode.flags() | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            let permissions = Mode::RUSR | Mode::WUSR;
            let resolve = ResolveFlags::NO_SYMLINKS;
            match rustix::fs::openat2(&folder, &name, flags, permissions, resolve) {
                Err(Errno::EXIST) => {}
                made => return blocking(made?),
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

/// Finds an object and opens it.
fn open_existing<T>(
    walk: Walk<'_>,
    path: &Path,
    open: &impl Fn(&Object) -> io::Result<T>,
) -> io::Result<T> {
    match walk.find(path)? {
        Target::Object(object) => open(&object),
        Target::Absent { .. } => Err(Errno::NOENT.into()),
    }
}
