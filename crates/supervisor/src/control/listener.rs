//! The socket that a guest's server listens on.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use passthru_host::make_own_folder;

/// Returns the path of a guest's socket in the folder of all control sockets.
pub fn socket_path(folder: &Path, guest: &str) -> PathBuf {
    folder.join(format!("{guest}.sock"))
}

/// Makes the listening socket of a guest, in a folder that only this user may write to. A socket
/// that an earlier server left is replaced, so the caller must hold the guest's lock.
///
/// Every user may connect: the server reads who does.
///
/// # Errors
/// - If the folder cannot be made, or others may write to it, then that error.
/// - If the socket cannot be made, then the kernel's error.
pub fn listen(folder: &Path, guest: &str) -> io::Result<UnixListener> {
    make_own_folder(folder, 0o755)?;
    let open = File::open(folder)?;
    // The path of a socket has 107 bytes at most, which a guest's name alone may have.
    let new = fd_path(&open).join(format!("{}.new", std::process::id()));
    remove(&new)?;
    let listener = UnixListener::bind(&new)?;
    let placed = fs::set_permissions(&new, Permissions::from_mode(0o666))
        .and_then(|()| fs::rename(&new, socket_path(folder, guest)));
    if placed.is_err() {
        let _ = remove(&new);
    }
    placed?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Removes the socket of a guest. The caller must hold the guest's lock.
///
/// # Errors
/// If a socket is there and cannot be removed, then the kernel's error.
pub fn remove_socket(folder: &Path, guest: &str) -> io::Result<()> {
    remove(&socket_path(folder, guest))
}

/// Returns a short path of an open file or folder.
pub(super) fn fd_path(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn socket_is_open_to_all_and_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("control");
        drop(listen(&folder, "vm").unwrap());
        let _listener = listen(&folder, "vm").unwrap();

        let path = socket_path(&folder, "vm");
        let mode = fs::metadata(&path).unwrap().permissions().mode();

        assert_eq!(mode & 0o777, 0o666);

        UnixStream::connect(&path).unwrap();

        remove_socket(&folder, "vm").unwrap();
        remove_socket(&folder, "vm").unwrap();

        assert!(!path.exists());
    }

    #[test]
    fn guest_with_a_long_name_has_a_socket() {
        let folder = tempfile::tempdir().unwrap();
        let name = "x".repeat(200);
        listen(folder.path(), &name).unwrap();
        assert!(socket_path(folder.path(), &name).exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn folder_that_others_may_write_to_has_no_socket() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let error = listen(folder.path(), "vm").unwrap_err();

        assert!(
            error.to_string().contains("others may write to it"),
            "{error}"
        );
    }
}
