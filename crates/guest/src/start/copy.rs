//! Sealed copies of files in memory. The VMM opens kernels and initial RAM disks by path, and so
//! gets a copy of those that its user may not open.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags};

/// Size limit of a copy, in bytes. Initial RAM disks are smaller, and the copy takes memory of the
/// host.
const MAX_BYTES: u64 = 1 << 30;
/// Number of bytes to copy at a time.
const CHUNK: u64 = 16 << 20;

/// Error of a file that is too large for a copy in memory.
#[derive(Debug, thiserror::Error)]
#[error("it has more than {} MiB, the most that is copied into memory", .most >> 20)]
pub struct FileTooLarge {
    most: u64,
}

impl FileTooLarge {
    /// Returns whether an error was made of a `FileTooLarge`.
    pub fn is_in(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

/// Copies a file of 1 GiB at most into sealed memory. A process with the descriptor can open the
/// copy as `/proc/self/fd/N`. Nothing can change the copy.
///
/// # Errors
/// - If the file is larger, then [`FileTooLarge`].
/// - If `interrupted` returns true, then an error of kind `Interrupted`.
/// - If the file cannot be read or memory is short, then the kernel's error.
pub(crate) fn sealed_copy(
    name: &str,
    from: &mut File,
    interrupted: &dyn Fn() -> bool,
) -> io::Result<OwnedFd> {
    if from.metadata()?.len() > MAX_BYTES {
        return Err(io::Error::other(FileTooLarge { most: MAX_BYTES }));
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut copy = File::from(rustix::fs::memfd_create(name, flags)?);
    fill(&mut copy, from, MAX_BYTES, interrupted)?;
    rustix::fs::fcntl_add_seals(
        &copy,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    Ok(copy.into())
}

/// Copies `most` bytes at most. The file can grow meanwhile, and files of `/proc` have no size.
fn fill(
    copy: &mut File,
    from: &mut File,
    most: u64,
    interrupted: &dyn Fn() -> bool,
) -> io::Result<()> {
    let mut copied = 0;
    loop {
        if interrupted() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let chunk = CHUNK.min(most + 1 - copied);
        match io::copy(&mut from.take(chunk), copy)? {
            0 => return Ok(()),
            count => copied += count,
        }
        if copied > most {
            return Err(io::Error::other(FileTooLarge { most }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};
    use std::time::Instant;

    use super::*;

    #[test]
    fn copy_reads_as_the_file_and_cannot_be_changed() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"kernel").unwrap();
        file.rewind().unwrap();
        let copy = File::from(sealed_copy("kernel", &mut file, &|| false).unwrap());
        let mut text = String::new();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&copy));
        File::open(path).unwrap().read_to_string(&mut text).unwrap();

        assert_eq!(text, "kernel");
        assert!((&copy).write_all(b"x").is_err());
    }

    #[test]
    fn file_of_more_than_a_gibibyte_is_refused_at_once() {
        let mut file = tempfile::tempfile().unwrap();
        file.set_len(MAX_BYTES + 1).unwrap();
        let begin = Instant::now();
        let error = sealed_copy("initrd", &mut file, &|| false).unwrap_err();

        assert_eq!(
            error.to_string(),
            "it has more than 1024 MiB, the most that is copied into memory"
        );
        assert!(FileTooLarge::is_in(&error));
        assert!(begin.elapsed().as_secs() < 2, "{:?}", begin.elapsed());
    }

    #[test]
    fn file_without_a_size_is_not_copied_without_end() {
        let mut copy = tempfile::tempfile().unwrap();
        let mut endless = File::open("/dev/zero").unwrap();
        let error = fill(&mut copy, &mut endless, 3 << 20, &|| false).unwrap_err();
        assert!(FileTooLarge::is_in(&error), "{error}");
        assert_eq!(copy.metadata().unwrap().len(), (3 << 20) + 1);
    }

    #[test]
    fn interrupted_copy_ends() {
        let mut file = File::open("/proc/self/exe").unwrap();
        let error = sealed_copy("initrd", &mut file, &|| true).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    }
}
