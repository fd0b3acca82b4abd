//! Device numbers. The kernel identifies a device by its kind and number, not by a node's name.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dev, FileType, StatxFlags, major, minor};
use rustix::io::Errno;

use crate::{Host, sysfs};

/// Kind and number of a device, with major and minor number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum DeviceNumber {
    Block(u32, u32),
    Char(u32, u32),
}

impl DeviceNumber {
    pub(crate) fn block(dev: Dev) -> Self {
        Self::Block(major(dev), minor(dev))
    }

    /// Parses `MAJOR:MINOR` of a block device.
    pub(crate) fn parse_block(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once(':')?;
        Some(Self::Block(major.parse().ok()?, minor.parse().ok()?))
    }

    /// Reads the number of a character device from its folder in sysfs.
    pub(crate) fn read_char(dir: &Path) -> Option<Self> {
        Self::parse_char(&sysfs::read(dir.join("dev"))?)
    }

    /// Parses `MAJOR:MINOR` of a character device.
    pub(crate) fn parse_char(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once(':')?;
        Some(Self::Char(major.parse().ok()?, minor.parse().ok()?))
    }

    fn from_file_type(mode: u32, major: u32, minor: u32) -> Option<Self> {
        match FileType::from_raw_mode(mode) {
            FileType::BlockDevice => Some(Self::Block(major, minor)),
            FileType::CharacterDevice => Some(Self::Char(major, minor)),
            _ => None,
        }
    }
}

/// Formats a number as `block 259:0`, which is also the content of a node in a copy of `/dev`.
impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(major, minor) => write!(f, "block {major}:{minor}"),
            Self::Char(major, minor) => write!(f, "char {major}:{minor}"),
        }
    }
}

impl Host {
    /// Returns the number of the device that a path leads to; `None` for other kinds of files.
    ///
    /// The call sends no request to the server of a network file system. A copy of a host has no
    /// nodes: a file with the text of a number (`block 259:0`) stands for one.
    pub(crate) fn number_at(&self, path: &Path) -> io::Result<Option<DeviceNumber>> {
        if self.is_copy() {
            let text = fs::read(self.follow_links(path)?).ok();
            return Ok(text.and_then(|text| parse(&text)));
        }

        let flags = AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
        let stat = match rustix::fs::statx(CWD, path, flags, StatxFlags::TYPE) {
            // Root too may not read another user's FUSE. Such mounts are `nodev`, so that the file
            // is not a device.
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

    /// Follows links within a copy of a host. Otherwise, an absolute link would lead out of it.
    fn follow_links(&self, path: &Path) -> io::Result<PathBuf> {
        let mut path = path.to_owned();
        const MAX_LINKS: usize = 8;
        for _ in 0..MAX_LINKS {
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

/// Returns whether a file is on a FUSE. For this, the kernel needs no permission and no server.
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
    fn node_is_known_by_kind_and_number() {
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
    fn links_in_a_copy_stay_inside() {
        let tree = Tree::new();
        tree.file("dev/sda", "block 8:0\n");
        tree.link("proc/7/fd/3", "/dev/sda");
        tree.link("proc/7/fd/4", "/dev/null");
        tree.file("dev/text", "nothing\n");
        let host = tree.host();
        let disk = host.number_at(&tree.path("proc/7/fd/3")).unwrap();

        assert_eq!(disk, Some(DeviceNumber::Block(8, 0)));

        let missing = host.number_at(&tree.path("proc/7/fd/4")).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert_eq!(host.number_at(&tree.path("dev/text")).unwrap(), None);
    }
}
