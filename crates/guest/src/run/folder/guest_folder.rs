//! The folder of a running guest, and its lock.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use passthru_host::{LockError, Owner, lock_as, lock_owner, make_own_folder};

use super::error::FolderError;

/// Folder of the folders of all guests that root started.
pub const RUN_DIR: &str = passthru_qemu::STATE_DIR;

/// First part of the name of a guest's folder.
pub(crate) const FOLDER_PREFIX: &str = "domain-";
/// Time that a process which only looks whether the lock is taken may hold the lock.
const LOCK_TIME: Duration = Duration::from_millis(200);

/// The folder of a guest, locked as long as this value or a clone of it lives. The lock ends with
/// this process, even when it is killed.
#[derive(Clone, Debug)]
pub(crate) struct GuestFolder {
    name: String,
    path: PathBuf,
    /// The open folder, once this process has made it.
    folder: Option<Arc<File>>,
    _lock: Arc<File>,
}

impl GuestFolder {
    /// Takes the guest's lock. Makes the folder `run` of all guests, but not that of the guest.
    ///
    /// # Errors
    /// - If another manager holds the lock, then [`FolderError::Running`].
    /// - If the lock file cannot be made, then [`FolderError::Make`].
    pub(crate) fn lock(run: &Path, name: &str) -> Result<Self, FolderError> {
        make_own_folder(run, 0o755).map_err(|source| not_made(run, source))?;
        let lock = lock(run, name)?;
        Ok(Self {
            name: name.into(),
            path: folder_path(run, name),
            folder: None,
            _lock: Arc::new(lock),
        })
    }

    /// Returns the name of the guest.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the path of the folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the folder, which only root can enter.
    ///
    /// # Errors
    /// If the folder cannot be made, then [`FolderError::Make`].
    pub(crate) fn make(&mut self) -> Result<(), FolderError> {
        let made = make_own_folder(&self.path, 0o700).and_then(|()| File::open(&self.path));
        let folder = made.map_err(|source| not_made(&self.path, source))?;
        self.folder = Some(Arc::new(folder));
        Ok(())
    }

    /// Opens the folder that a former manager has made.
    ///
    /// # Errors
    /// If the folder cannot be opened, or others may write to it, then [`FolderError::Make`].
    pub(crate) fn open(&mut self) -> Result<(), FolderError> {
        self.make()
    }

    /// Removes the folder with all that is in it.
    ///
    /// # Errors
    /// If something cannot be removed, then the kernel's error. A missing folder is not an error.
    pub(crate) fn remove(&mut self) -> io::Result<()> {
        self.folder = None;
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Returns the path of the monitor's socket. The path leads through the open folder, since the
    /// path of a socket has 107 bytes at most.
    pub(crate) fn monitor_path(&self) -> PathBuf {
        let folder = match &self.folder {
            Some(folder) => format!("/proc/self/fd/{}", folder.as_raw_fd()).into(),
            None => self.path.clone(),
        };
        folder.join("monitor.sock")
    }

    /// Makes the listening socket of the monitor, which only root can reach.
    pub(crate) fn listen_for_monitor(&self) -> Result<UnixListener, FolderError> {
        let path = self.monitor_path();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(not_made(&path, error));
            }
            _ => {}
        }

        UnixListener::bind(&path).map_err(|source| not_made(&path, source))
    }
}

fn not_made(path: &Path, source: io::Error) -> FolderError {
    FolderError::Make {
        path: path.into(),
        source,
    }
}

/// Returns the path of a guest's folder below `run`.
pub fn folder_path(run: &Path, name: &str) -> PathBuf {
    run.join(format!("{FOLDER_PREFIX}{name}"))
}

/// Returns the path of a guest's lock file. It stands beside the folder and is never removed: a
/// lock on a removed file protects nothing.
fn lock_path(run: &Path, name: &str) -> PathBuf {
    run.join(format!("{FOLDER_PREFIX}{name}.lock"))
}

fn lock(run: &Path, name: &str) -> Result<File, FolderError> {
    let path = lock_path(run, name);
    let owner = Owner {
        guest: Some(name.into()),
        pid: std::process::id(),
    };
    lock_as(&path, &owner, LOCK_TIME).map_err(|error| match error {
        LockError::Held(owner) => FolderError::Running {
            name: name.into(),
            pid: owner.pid,
        },
        LockError::File { source, .. } => FolderError::Make { path, source },
    })
}

/// Returns whether a manager of the guest lives: it holds the guest's lock.
pub(crate) fn has_manager(run: &Path, name: &str) -> io::Result<bool> {
    let owner = lock_owner(&lock_path(run, name))?;
    Ok(owner.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_start_of_a_guest_names_the_process_of_the_first() {
        let run = tempfile::tempdir().unwrap();
        let first = GuestFolder::lock(run.path(), "vm").unwrap();
        let error = GuestFolder::lock(run.path(), "vm").unwrap_err();
        assert!(
            matches!(error, FolderError::Running { pid, .. } if pid == std::process::id()),
            "{error}"
        );

        drop(first);
        GuestFolder::lock(run.path(), "vm").unwrap();
    }

    #[test]
    fn guest_with_a_long_name_has_a_monitor() {
        let run = tempfile::tempdir().unwrap();
        let mut folder = GuestFolder::lock(run.path(), &"x".repeat(200)).unwrap();
        folder.make().unwrap();
        folder.listen_for_monitor().unwrap();
    }

    #[test]
    fn stale_socket_is_replaced_and_the_folder_removed() {
        let run = tempfile::tempdir().unwrap();
        let mut folder = GuestFolder::lock(run.path(), "vm").unwrap();
        folder.make().unwrap();
        folder.listen_for_monitor().unwrap();
        let _listener = folder.listen_for_monitor().unwrap();
        let path = run.path().join("domain-vm");

        assert!(path.join("monitor.sock").exists());

        folder.remove().unwrap();
        assert!(!path.exists());

        folder.remove().unwrap();
    }
}
