//! The control socket of a guest, on which its supervisor listens.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use passthru_host::make_own_folder;

/// Returns the path of a guest's control socket. `run` is the folder of the folders of all guests.
pub fn control_path(run: &Path, guest: &str) -> PathBuf {
    run.join("control").join(format!("{guest}.sock"))
}

/// Makes the control socket of a guest. Makes its folder, which only this user may write to. A
/// socket that an earlier supervisor left is replaced, so the caller must hold the guest's lock.
///
/// Every user may connect: the server reads who does.
///
/// # Errors
/// - If the folder cannot be made, or others may write to it, then that error.
/// - If the socket cannot be made, then the kernel's error.
pub fn listen_for_control(path: &Path) -> io::Result<UnixListener> {
    let folder = path.parent().ok_or(ErrorKind::InvalidInput)?;
    make_own_folder(folder, 0o755)?;
    let open = File::open(folder)?;
    // The path of a socket has 107 bytes at most, which a guest's name alone may have.
    let new = fd_path(&open).join(format!("{}.new", std::process::id()));
    remove(&new)?;
    let listener = UnixListener::bind(&new)?;
    let placed = fs::set_permissions(&new, Permissions::from_mode(0o666))
        .and_then(|()| fs::rename(&new, path));
    if placed.is_err() {
        let _ = remove(&new);
    }
    placed?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Removes the control socket of a guest. The caller must hold the guest's lock.
///
/// # Errors
/// If a socket is there and cannot be removed, then the kernel's error.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Returns a short path of an open folder.
fn fd_path(folder: &File) -> PathBuf {
    format!("/proc/self/fd/{}", folder.as_raw_fd()).into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn socket_is_open_to_all_and_is_replaced() {
        let run = tempfile::tempdir().unwrap();
        let path = control_path(run.path(), "vm");
        drop(listen_for_control(&path).unwrap());
        assert!(UnixStream::connect(&path).is_err());

        let _listener = listen_for_control(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();

        assert_eq!(mode & 0o777, 0o666);

        UnixStream::connect(&path).unwrap();

        remove(&path).unwrap();
        remove(&path).unwrap();

        assert!(!path.exists());
    }

    #[test]
    fn guest_with_a_long_name_has_a_socket() {
        let run = tempfile::tempdir().unwrap();
        let path = control_path(run.path(), &"x".repeat(200));
        listen_for_control(&path).unwrap();
        assert!(path.exists());
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn folder_that_others_may_write_to_has_no_socket() {
        let run = tempfile::tempdir().unwrap();
        let path = control_path(run.path(), "vm");
        let folder = path.parent().unwrap();
        fs::create_dir(folder).unwrap();
        fs::set_permissions(folder, Permissions::from_mode(0o777)).unwrap();
        let error = listen_for_control(&path).unwrap_err();

        assert!(
            error.to_string().contains("others may write to it"),
            "{error}"
        );
    }
}
