//! Folders and sockets of a guest outside its own folder.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Stat};

use crate::error::Error;
use crate::opener::{Folder, Opener, OwnFolder, is_listened_on};

/// Folders and sockets that were made for a guest. A drop removes them, with the contents of the
/// folders.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    folders: Vec<(PathBuf, OwnFolder)>,
    sockets: Vec<Socket>,
}

/// A listening socket in the file system.
#[derive(Debug)]
struct Socket {
    folder: Folder,
    name: OsString,
    /// Device and inode number of the socket: another file may get its name later.
    inode: (u64, u64),
    path: PathBuf,
}

impl Leftovers {
    /// Makes a folder for the guest's user alone. Replaces a folder that a killed manager left. The
    /// caller holds the guest's lock, so no other start uses that folder.
    pub(crate) fn make_folder(&mut self, path: &Path, opener: &Opener<'_>) -> Result<(), Error> {
        let folder = opener.make_own_folder(path).map_err(|source| Error::File {
            what: "folder".into(),
            path: path.display().to_string(),
            source,
        })?;
        self.folders.push((path.into(), folder));
        Ok(())
    }

    /// Makes a listening socket. Replaces a socket without a listener.
    ///
    /// # Errors
    /// If a process listens on the socket, or another kind of file has the path, then `AddrInUse`.
    pub(crate) fn listen(&mut self, path: &Path, opener: &Opener<'_>) -> io::Result<UnixListener> {
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_owned();
        let folder = opener.folder_of(path)?;
        let socket = folder.path_of(&name);
        let is_socket = stat_of(&folder, &name).is_ok_and(|stat| is_socket(&stat));
        if is_socket && !is_listened_on(&socket) {
            std::fs::remove_file(&socket)?;
        }
        let listener = UnixListener::bind(&socket)?;
        let inode = inode(&stat_of(&folder, &name)?);
        self.sockets.push(Socket {
            folder,
            name,
            inode,
            path: path.into(),
        });
        Ok(listener)
    }
}

impl Socket {
    fn remove(&self) -> io::Result<()> {
        let stat = stat_of(&self.folder, &self.name)?;
        if inode(&stat) != self.inode || !is_socket(&stat) {
            return Err(io::Error::other("another file has its name now"));
        }
        Ok(rustix::fs::unlinkat(
            &self.folder,
            &self.name,
            AtFlags::empty(),
        )?)
    }
}

fn stat_of(folder: &Folder, name: &OsString) -> rustix::io::Result<Stat> {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
}

fn inode(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

fn is_socket(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Socket
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        let folders = self
            .folders
            .iter()
            .map(|(path, folder)| (path, folder.remove()));
        let sockets = self
            .sockets
            .iter()
            .map(|socket| (&socket.path, socket.remove()));
        for (path, removed) in folders.chain(sockets) {
            if let Err(e) = removed {
                tracing::warn!("cannot remove {}: {e}", path.display());
            }
        }
    }
}

/// Returns whether a file can be emptied: a regular file, not a device.
pub(crate) fn can_be_emptied(file: &std::fs::File) -> bool {
    rustix::fs::fstat(file)
        .is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::RegularFile)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::start::user::User;

    #[test]
    fn only_a_socket_without_a_listener_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        drop(UnixListener::bind(&path).unwrap());
        let user = User::choose(None).unwrap();
        let opener = Opener::new(&user);
        let mut first = Leftovers::default();
        let listening = first.listen(&path, &opener).unwrap();

        assert!(Leftovers::default().listen(&path, &opener).is_err());

        drop((listening, first));
        assert!(!path.exists());
    }
}
