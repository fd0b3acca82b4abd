//! Descriptors that this process inherited: from a shell (`23<>/dev/iommu`), a service manager
//! (`LISTEN_FDS`) or a container's runtime.

use std::io;
use std::os::fd::{OwnedFd, RawFd};

use rustix::process::{PidfdFlags, PidfdGetfdFlags};

/// Returns a copy of this process's descriptor with a number. The copy is close-on-exec; the
/// original stays as it is and keeps its owner.
///
/// # Errors
/// If no descriptor has the number, then `EBADF`.
pub(crate) fn copy_of(number: RawFd) -> io::Result<OwnedFd> {
    let own = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
    Ok(rustix::process::pidfd_getfd(
        own,
        number,
        PidfdGetfdFlags::empty(),
    )?)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn inode(fd: &dyn AsRawFd) -> u64 {
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        std::fs::metadata(path).unwrap().ino()
    }

    #[test]
    fn copy_is_the_same_file_and_closed_number_an_error() {
        let file = File::open("/proc/self/status").unwrap();
        let copy = copy_of(file.as_raw_fd()).unwrap();
        assert_eq!(inode(&file), inode(&copy));
        assert_eq!(
            copy_of(987_654).unwrap_err().raw_os_error(),
            Some(libc::EBADF)
        );
    }
}
