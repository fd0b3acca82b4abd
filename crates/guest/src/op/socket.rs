//! Listening sockets of a guest outside its own folder.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use super::effect::Effect;
use crate::opener::{Folder, Opener, is_listened_on};

/// Makes a listening socket, and returns its inode. Replaces a socket without a listener.
///
/// # Errors
/// If a process listens on the socket, or another kind of file has the path, then `AddrInUse`.
pub(crate) fn listen(path: &Path, opener: &Opener<'_>) -> io::Result<(UnixListener, Effect)> {
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    let folder = opener.folder_of(path)?;
    let socket = folder.path_of(name);
    let is_socket = stat_of(&folder, name).is_ok_and(|stat| is_socket(&stat));
    if is_socket && !is_listened_on(&socket) {
        std::fs::remove_file(&socket)?;
    }

    let listener = UnixListener::bind(&socket)?;
    let inode = inode(&stat_of(&folder, name)?);
    Ok((listener, inode))
}

/// Returns whether a path still names the socket that was made there.
///
/// # Errors
/// If the path cannot be looked at, then the error of that.
pub(crate) fn is_own_socket(path: &Path, made: &Effect, opener: &Opener<'_>) -> io::Result<bool> {
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    let folder = match opener.folder_of(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        folder => folder?,
    };
    match stat_of(&folder, name) {
        Ok(stat) => Ok(is_socket(&stat) && inode(&stat) == *made),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Removes a socket that was made for the guest. Another file that has its name now stays.
///
/// # Errors
/// If the path cannot be looked at or removed, then the error of that.
pub(crate) fn remove_socket(path: &Path, made: &Effect, opener: &Opener<'_>) -> io::Result<()> {
    if !is_own_socket(path, made, opener)? {
        return Ok(());
    }
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    let folder = opener.folder_of(path)?;
    Ok(rustix::fs::unlinkat(&folder, name, AtFlags::empty())?)
}

fn stat_of(folder: &Folder, name: &OsStr) -> rustix::io::Result<Stat> {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
}

fn inode(stat: &Stat) -> Effect {
    Effect::Inode {
        device: stat.st_dev,
        inode: stat.st_ino,
    }
}

fn is_socket(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Socket
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
        let (listener, inode) = listen(&path, &opener).unwrap();

        assert!(listen(&path, &opener).is_err());

        drop(listener);
        remove_socket(&path, &inode, &opener).unwrap();
        assert!(!path.exists());

        remove_socket(&path, &inode, &opener).unwrap();
    }

    #[test]
    fn file_that_took_the_name_of_a_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let user = User::choose(None).unwrap();
        let opener = Opener::new(&user);
        let (_listener, inode) = listen(&path, &opener).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "other").unwrap();

        assert!(!is_own_socket(&path, &inode, &opener).unwrap());

        remove_socket(&path, &inode, &opener).unwrap();
        assert!(path.exists());
    }
}
