//! Walks along paths, component by component. A walk follows a link only if trusted users alone can
//! change the link's folder and all folders above it.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};
use std::{fmt, io};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::folder::Folder;
use super::object::Object;

/// Maximum number of links that a walk follows, as in the kernel.
const MAX_LINKS: usize = 40;

/// A symbolic link that a walk did not follow.
#[derive(Debug)]
pub struct RefusedLink {
    link: PathBuf,
}

impl fmt::Display for RefusedLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is a symbolic link in a folder that others than root can change",
            self.link.display()
        )
    }
}

impl std::error::Error for RefusedLink {}

impl RefusedLink {
    /// Returns the refused link that an error is about, if it is about one.
    pub fn in_error(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

/// Result of a walk.
#[derive(Debug)]
pub(super) enum Target {
    /// The object that the path names.
    Object(Object),
    /// A free name in an existing folder.
    Absent { folder: Folder, name: OsString },
}

/// Rules of a walk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk<'a> {
    /// Folder where absolute paths begin: `/`, except in tests.
    pub(super) root: &'a Path,
    /// Trusted users. The walk follows links in folders that only they can change.
    pub(super) owners: &'a [u32],
}

impl Walk<'_> {
    /// Finds the object that a path names.
    pub(super) fn find(&self, path: &Path) -> io::Result<Target> {
        let mut walker = Walker::new(self, path)?;
        while let Some(name) = walker.remaining.pop() {
            if name == ".." {
                walker.go_up();
                continue;
            }
            if !walker.remaining.is_empty() {
                walker.enter(&name)?;
                continue;
            }
            match walker.open(&name, OFlags::empty()) {
                Err(Errno::NOENT) => {
                    let folder = walker.here;
                    return Ok(Target::Absent { folder, name });
                }
                Err(e) => return Err(e.into()),
                Ok((fd, stat)) if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink => {
                    return Ok(Target::Object(Object {
                        fd,
                        stat,
                        folder: walker.here,
                    }));
                }
                Ok((link, _)) => walker.follow(&link, &name)?,
            }
        }

        Err(Errno::ISDIR.into())
    }

    /// Opens a folder. If `make` is set, makes the folders of the path that are missing.
    pub(super) fn folder(&self, path: &Path, make: bool) -> io::Result<Folder> {
        let mut walker = Walker::new(self, path)?;
        while let Some(name) = walker.remaining.pop() {
            if name == ".." {
                walker.go_up();
                continue;
            }
            match walker.enter(&name) {
                Err(e) if make && e.kind() == io::ErrorKind::NotFound => walker.make(&name)?,
                entered => entered?,
            }
        }

        Ok(walker.here)
    }
}

/// State of a walk.
struct Walker<'a> {
    walk: &'a Walk<'a>,
    /// Folders above `here`, from the root down.
    above: Vec<Folder>,
    here: Folder,
    /// Path of `here`, for messages.
    path: PathBuf,
    /// Remaining components. The next one is at the end.
    remaining: Vec<OsString>,
    links: usize,
}

impl<'a> Walker<'a> {
    fn new(walk: &'a Walk<'a>, path: &Path) -> io::Result<Self> {
        let remaining = components(&std::path::absolute(path)?);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(walk.root, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&root)?;
        let here = Folder::new(root, &stat, true, walk.owners);
        Ok(Self {
            walk,
            above: Vec::new(),
            here,
            path: "/".into(),
            remaining,
            links: 0,
        })
    }

    fn go_up(&mut self) {
        if let Some(folder) = self.above.pop() {
            self.here = folder;
            self.path.pop();
        }
    }

    /// Opens a name in this folder with `O_PATH`. Follows no link.
    fn open(&self, name: &OsStr, flags: OFlags) -> rustix::io::Result<(OwnedFd, Stat)> {
        let flags = flags | OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let fd = rustix::fs::openat2(&self.here, name, flags, Mode::empty(), resolve)?;
        let stat = rustix::fs::fstat(&fd)?;
        Ok((fd, stat))
    }

    /// Enters the folder with a name. If the name is a link, follows the link instead.
    fn enter(&mut self, name: &OsStr) -> io::Result<()> {
        // `O_DIRECTORY` makes an automounter mount the folder.
        match self.open(name, OFlags::DIRECTORY) {
            Ok((fd, stat)) => {
                let folder = Folder::new(fd, &stat, self.here.is_trusted(), self.walk.owners);
                self.above.push(std::mem::replace(&mut self.here, folder));
                self.path.push(name);
                Ok(())
            }
            Err(Errno::NOTDIR) => {
                let (link, stat) = self.open(name, OFlags::empty())?;
                match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Symlink => self.follow(&link, name),
                    _ => Err(Errno::NOTDIR.into()),
                }
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Makes a folder and enters it. A folder that another process made meanwhile is accepted.
    fn make(&mut self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::mkdirat(&self.here, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => self.enter(name),
            Err(e) => Err(e.into()),
        }
    }

    /// Replaces a link by the components of its text.
    fn follow(&mut self, link: &OwnedFd, name: &OsStr) -> io::Result<()> {
        if !self.here.is_trusted() {
            return Err(io::Error::other(RefusedLink {
                link: self.path.join(name),
            }));
        }

        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Errno::LOOP.into());
        }
        let text = rustix::fs::readlinkat(link, "", Vec::new())?;
        let text = PathBuf::from(OsString::from_vec(text.into_bytes()));
        if text.is_absolute() {
            while !self.above.is_empty() {
                self.go_up();
            }
        }

        self.remaining.extend(components(&text));
        Ok(())
    }
}

/// Returns the components of a path in reverse order.
fn components(path: &Path) -> Vec<OsString> {
    let named = path
        .components()
        .rev()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
        });
    named.collect()
}
