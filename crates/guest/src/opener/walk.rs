//! Finds what a path names, component by component, and follows a link only where its owner is
//! trusted.

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// Links of one path, as in the kernel.
const MOST_LINKS: usize = 40;
/// Mode bits with which others than the owner change a folder.
const OTHERS_WRITE: u32 = 0o022;

/// A link that is not followed.
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
    /// Returns the refusal that an error stands for.
    pub fn in_error(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

/// An open folder on the way of a path.
#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
    /// Owner of the folder itself.
    owner: u32,
    /// Whether only its owner can change it.
    closed: bool,
    /// Whether trusted owners alone can change it and every folder above it.
    trusted: bool,
}

/// An object that a path names, not yet open for use (`O_PATH`).
#[derive(Debug)]
pub(crate) struct Object {
    pub(super) fd: OwnedFd,
    pub(super) stat: Stat,
    pub(super) folder: Folder,
}

/// Something that a path leads to.
#[derive(Debug)]
pub(crate) enum Place {
    /// An object.
    Found(Object),
    /// A name that is free, in a folder that is there.
    Absent { folder: Folder, name: OsString },
}

/// A way of reading paths.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    /// The folder where absolute paths begin: `/`.
    pub(super) root: &'a Path,
    /// Users whose links are followed.
    pub(super) owners: &'a [u32],
}

impl Walk<'_> {
    /// Returns what a path names.
    pub(super) fn find(&self, path: &Path) -> io::Result<Place> {
        let mut steps = Steps::start(self, path)?;
        while let Some(name) = steps.left.pop() {
            if name == ".." {
                steps.go_up();
                continue;
            }
            if steps.left.is_empty() {
                match steps.open(&name, OFlags::empty()) {
                    Err(Errno::NOENT) => {
                        return Ok(Place::Absent {
                            folder: steps.end(),
                            name,
                        });
                    }
                    Err(e) => return Err(e.into()),
                    Ok((fd, stat))
                        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink =>
                    {
                        return Ok(Place::Found(Object {
                            fd,
                            stat,
                            folder: steps.end(),
                        }));
                    }
                    Ok((link, _)) => steps.follow(&link, &name)?,
                }
            } else {
                steps.enter(&name)?;
            }
        }
        Err(Errno::ISDIR.into())
    }

    /// Opens a folder. Where `make` says so, folders that are not there are made on the way.
    pub(super) fn folder(&self, path: &Path, make: bool) -> io::Result<Folder> {
        let mut steps = Steps::start(self, path)?;
        while let Some(name) = steps.left.pop() {
            if name == ".." {
                steps.go_up();
                continue;
            }
            match steps.enter(&name) {
                Err(e) if make && e.kind() == io::ErrorKind::NotFound => steps.make(&name)?,
                entered => entered?,
            }
        }
        Ok(steps.end())
    }

    fn judge(&self, above: bool, fd: OwnedFd, stat: &Stat) -> Folder {
        let closed = stat.st_mode & OTHERS_WRITE == 0;
        let trusted = above && closed && self.owners.contains(&stat.st_uid);
        Folder {
            fd,
            owner: stat.st_uid,
            closed,
            trusted,
        }
    }
}

/// A walk on its way.
struct Steps<'a> {
    walk: &'a Walk<'a>,
    /// Folders above `here`, the root first.
    above: Vec<Folder>,
    here: Folder,
    /// Path of `here`, for messages.
    path: PathBuf,
    /// Components to go, the last one first.
    left: Vec<OsString>,
    links: usize,
}

impl<'a> Steps<'a> {
    fn start(walk: &'a Walk<'a>, path: &Path) -> io::Result<Self> {
        let left = components(&std::path::absolute(path)?);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(walk.root, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&root)?;
        let here = walk.judge(true, root, &stat);
        Ok(Self {
            walk,
            above: Vec::new(),
            here,
            path: "/".into(),
            left,
            links: 0,
        })
    }

    fn end(self) -> Folder {
        self.here
    }

    fn go_up(&mut self) {
        if let Some(folder) = self.above.pop() {
            self.here = folder;
            self.path.pop();
        }
    }

    /// Opens a name in this folder for a look, following nothing.
    fn open(&self, name: &OsStr, flags: OFlags) -> rustix::io::Result<(OwnedFd, Stat)> {
        let flags = flags | OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let fd = rustix::fs::openat2(&self.here.fd, name, flags, Mode::empty(), resolve)?;
        let stat = rustix::fs::fstat(&fd)?;
        Ok((fd, stat))
    }

    /// Goes into a folder, or along a link that stands in its place.
    fn enter(&mut self, name: &OsStr) -> io::Result<()> {
        // That the name must be a folder makes an automounter mount what belongs there.
        match self.open(name, OFlags::DIRECTORY) {
            Ok((fd, stat)) => {
                let folder = self.walk.judge(self.here.trusted, fd, &stat);
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

    /// Makes a folder and goes into it. One that someone else made in the meantime is as good.
    fn make(&mut self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::mkdirat(&self.here.fd, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => self.enter(name),
            Err(e) => Err(e.into()),
        }
    }

    /// Puts the components of a link's text in its place.
    fn follow(&mut self, link: &OwnedFd, name: &OsStr) -> io::Result<()> {
        if !self.here.trusted {
            return Err(io::Error::other(RefusedLink {
                link: self.path.join(name),
            }));
        }
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(Errno::LOOP.into());
        }
        let text = rustix::fs::readlinkat(link, "", Vec::new())?;
        let text = PathBuf::from(OsString::from_vec(text.into_bytes()));
        if text.is_absolute() {
            while !self.above.is_empty() {
                self.go_up();
            }
        }
        self.left.extend(components(&text));
        Ok(())
    }
}

/// Returns the components of a path, the last one first.
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

impl Folder {
    /// Returns whether root, or ourselves, alone can change what is in the folder.
    pub(crate) fn is_own(&self) -> bool {
        self.closed && self.owner == rustix::process::geteuid().as_raw()
    }

    pub(super) const fn is_trusted(&self) -> bool {
        self.trusted
    }

    pub(super) const fn owner(&self) -> u32 {
        self.owner
    }

    /// Returns the path of a name in this folder, for calls that take no folder: through the open
    /// folder, wherever it is moved.
    pub(crate) fn path_of(&self, name: &OsStr) -> PathBuf {
        through(self.fd.as_fd()).join(name)
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Object {
    /// Returns a path that leads to this very object.
    pub(super) fn path(&self) -> PathBuf {
        through(self.fd.as_fd())
    }
}

fn through(fd: BorrowedFd<'_>) -> PathBuf {
    format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd)).into()
}
