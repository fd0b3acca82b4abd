//! The FIFO that a VMM's standard error leads to.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags};

/// The reading end of a FIFO in a folder that only this user can reach.
///
/// Neither end ever waits. The VMM's end is open for reading too, although the VMM does not read:
///
/// - What a VMM writes while no supervisor lives stays in the FIFO, up to 64 KiB, for the next one.
/// - A write never fails for want of a reader, so that it never raises `SIGPIPE`.
#[derive(Debug)]
pub(super) struct Fifo {
    file: File,
}

impl Fifo {
    /// Makes a FIFO, in place of one that an earlier guest left.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }

        rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        Self::open(path)
    }

    /// Opens a FIFO that is there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        if !file.metadata()?.file_type().is_fifo() {
            return Err(io::Error::new(ErrorKind::InvalidData, "it is not a FIFO"));
        }
        Ok(Self { file })
    }

    /// Opens the VMM's end.
    pub(super) fn open_writer(&self) -> io::Result<OwnedFd> {
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(rustix::fs::open(path, flags, Mode::empty())?)
    }

    /// Reads what is there; `None` if nothing is there now. Reads 0 bytes if no VMM has the FIFO
    /// open.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match (&self.file).read(buffer) {
            Ok(count) => Ok(Some(count)),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            },
        }
    }
}

impl AsFd for Fifo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
