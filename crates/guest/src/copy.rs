//! A file handed over as a copy in memory, sealed, for what the VMM reads with plain `open`: kernels and
//! initial RAM disks that its user could not open.

use rustix::fs::{MemfdFlags, SealFlags};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

/// Copies a file into sealed memory, which anybody who has the descriptor can open through
/// `/proc/self/fd/N`, and nobody can change.
pub(crate) fn sealed_copy(name: &str, from: &mut File) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut copy = File::from(rustix::fs::memfd_create(name, flags)?);
    io::copy(from, &mut copy)?;
    rustix::fs::fcntl_add_seals(
        &copy,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    Ok(copy.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};

    #[test]
    fn the_copy_reads_as_the_file_and_cannot_be_changed() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"kernel").unwrap();
        file.rewind().unwrap();
        let copy = File::from(sealed_copy("kernel", &mut file).unwrap());
        let mut text = String::new();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&copy));
        File::open(path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "kernel");
        assert!((&copy).write_all(b"x").is_err());
    }
}
