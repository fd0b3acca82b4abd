//! Device nodes, told apart as the kernel does: by kind and number, whatever their names.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dev, FileType, StatxFlags, major, minor};
use rustix::io::Errno;

use crate::Host;

/// Kind and number of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum DeviceNumber {
    Block(u32, u32),
    Char(u32, u32),
}

impl DeviceNumber {
    pub(crate) fn block(dev: Dev) -> Self {
        Self::Block(major(dev), minor(dev))
    }

    /// Reads `MAJOR:MINOR` of a block device.
    pub(crate) fn parse_block(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once(':')?;
        Some(Self::Block(major.parse().ok()?, minor.parse().ok()?))
    }

    /// Reads `MAJOR:MINOR` of a character device.
    pub(crate) fn parse_char(text: &str) -> Option<Self> {
        match Self::parse_block(text)? {
            Self::Block(major, minor) | Self::Char(major, minor) => Some(Self::Char(major, minor)),
        }
    }

    fn from_file_type(mode: u32, major: u32, minor: u32) -> Option<Self> {
        match FileType::from_raw_mode(mode) {
            FileType::BlockDevice => Some(Self::Block(major, minor)),
            FileType::CharacterDevice => Some(Self::Char(major, minor)),
            _ => None,
        }
    }
}

/// As in a copy of `/dev`: `block 259:0`.
impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(major, minor) => write!(f, "block {major}:{minor}"),
            Self::Char(major, minor) => write!(f, "char {major}:{minor}"),
        }
    }
}

impl Host {
    /// Returns the number of the device that a path leads to; `None` for a file of another kind.
    ///
    /// Servers of network file systems are not asked. In a copy, where there can be no nodes, a
    /// file with the text of a number (`block 259:0`) is one.
    pub(crate) fn number_at(&self, path: &Path) -> io::Result<Option<DeviceNumber>> {
        if self.is_copy() {
            return Ok(fs::read(self.follow(path)?)
                .ok()
                .and_then(|text| parse(&text)));
        }
        let flags = AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
        let stat = match rustix::fs::statx(CWD, path, flags, StatxFlags::TYPE) {
            // The files of another user's FUSE are closed to root too. None is a device: such
            // mounts are `nodev`.
            Err(Errno::ACCESS) if is_fuse(path) => return Ok(None),
            stat => stat?,
        };
        Ok(DeviceNumber::from_file_type(
            stat.stx_mode.into(),
            stat.stx_rdev_major,
            stat.stx_rdev_minor,
        ))
    }

    /// Returns the number of an open device.
    pub(crate) fn number_of(&self, file: impl AsFd) -> io::Result<Option<DeviceNumber>> {
        if self.is_copy() {
            let mut text = [0; 32];
            let length = rustix::io::read(file, &mut text)?;
            return Ok(parse(&text[..length]));
        }
        let stat = rustix::fs::fstat(file)?;
        Ok(DeviceNumber::from_file_type(
            stat.st_mode,
            major(stat.st_rdev),
            minor(stat.st_rdev),
        ))
    }

    /// Follows links below this host's root: an absolute one would lead out of a copy.
    fn follow(&self, path: &Path) -> io::Result<PathBuf> {
        let mut path = path.to_owned();
        for _ in 0..8 {
            let target = match fs::read_link(&path) {
                Ok(target) => target,
                Err(error) if error.kind() == ErrorKind::InvalidInput => return Ok(path),
                Err(error) => return Err(error),
            };
            path = match target.strip_prefix("/") {
                Ok(below) => self.path("").join(below),
                Err(_) => path.with_file_name("").join(target),
            };
        }
        Err(ErrorKind::NotFound.into())
    }
}

/// Returns whether a file is on a FUSE. The kernel tells that to everybody, without asking its
/// server.
fn is_fuse(path: &Path) -> bool {
    const FUSE_SUPER_MAGIC: i64 = 0x6573_5546;
    rustix::fs::statfs(path).is_ok_and(|stat| stat.f_type == FUSE_SUPER_MAGIC)
}

fn parse(text: &[u8]) -> Option<DeviceNumber> {
    match str::from_utf8(text).ok()?.trim().split_once(' ')? {
        ("block", number) => DeviceNumber::parse_block(number),
        ("char", number) => DeviceNumber::parse_char(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    #[test]
    fn node_is_known_by_kind_and_number_whatever_its_name() {
        let host = Host::new();
        assert_eq!(
            host.number_at(Path::new("/dev/null")).unwrap(),
            Some(DeviceNumber::Char(1, 3))
        );
        assert_eq!(host.number_at(Path::new("/proc/self")).unwrap(), None);
        let open = fs::File::open("/dev/zero").unwrap();
        assert_eq!(
            host.number_of(&open).unwrap(),
            Some(DeviceNumber::Char(1, 5))
        );
        let gone = host.number_at(Path::new("/dev/no-such-node")).unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn copy_has_files_for_nodes_and_links_stay_inside() {
        let tree = Tree::new();
        tree.file("dev/sda", "block 8:0\n");
        tree.link("proc/7/fd/3", "/dev/sda");
        tree.link("proc/7/fd/4", "/dev/null");
        let number = |path: &str| tree.host().number_at(&tree.path(path));
        assert_eq!(
            number("proc/7/fd/3").unwrap(),
            Some(DeviceNumber::Block(8, 0))
        );
        assert_eq!(
            number("proc/7/fd/4").unwrap_err().kind(),
            ErrorKind::NotFound
        );
        tree.file("dev/text", "nothing\n");
        assert_eq!(number("dev/text").unwrap(), None);
    }
}
