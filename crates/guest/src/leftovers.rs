//! What a guest leaves in the file system outside of its own folder: removed when it has ended.

use crate::error::Error;
use crate::user::User;
use nix::unistd::fchown;
use rustix::fs::{FileType, Mode, OFlags};
use std::fs::DirBuilder;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Folders and sockets that were made for a guest. Removed on drop, folders with what is in them.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    folders: Vec<PathBuf>,
    sockets: Vec<PathBuf>,
}

impl Leftovers {
    /// Makes a folder for the user alone. What a killed manager left there goes first: the guest's lock is
    /// held, so nobody uses it.
    pub(crate) fn make_folder(&mut self, path: &Path, user: &User) -> Result<(), Error> {
        let failed = |source| Error::File { what: "folder".into(), path: path.display().to_string(), source };
        self.try_make_folder(path, user).map_err(failed)
    }

    fn try_make_folder(&mut self, path: &Path, user: &User) -> io::Result<()> {
        match std::fs::remove_dir_all(path) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        if let Some(above) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(above)?;
        }
        DirBuilder::new().mode(0o700).create(path)?;
        self.folders.push(path.into());
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(fchown(&folder, Some(user.uid), Some(user.gid))?)
    }

    /// Makes a listening socket. One that nobody listens on any more goes first.
    pub(crate) fn listen(&mut self, path: &Path) -> io::Result<UnixListener> {
        let is_socket = path.symlink_metadata().is_ok_and(|m| m.file_type().is_socket());
        if is_socket && UnixStream::connect(path).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused) {
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        self.sockets.push(path.into());
        Ok(listener)
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        let folders = self.folders.iter().map(|path| (path, std::fs::remove_dir_all(path)));
        let sockets = self.sockets.iter().map(|path| (path, std::fs::remove_file(path)));
        for (path, removed) in folders.chain(sockets) {
            if let Err(e) = removed {
                tracing::warn!("cannot remove {}: {e}", path.display());
            }
        }
    }
}

/// Whether a file has a kind that can be emptied: not a device.
pub(crate) fn can_be_emptied(file: &std::fs::File) -> bool {
    rustix::fs::fstat(file).is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::RegularFile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_nobody_listens_on_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        drop(UnixListener::bind(&path).unwrap());
        let mut first = Leftovers::default();
        let listening = first.listen(&path).unwrap();
        assert!(Leftovers::default().listen(&path).is_err());
        drop((listening, first));
        assert!(!path.exists());
    }
}
