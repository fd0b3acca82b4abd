//! The folder of a running guest, and its lock.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use passthru_host::{Host, LockError, Owner, lock_as, lock_owner, make_own_folder};

use super::error::FolderError;
use super::vmm_note::{VmmNote, find_survivor, note_path};

/// Folder of the folders of all guests that root started.
pub const RUN_DIR: &str = passthru_qemu::STATE_DIR;

/// First part of the name of a guest's folder.
pub(crate) const FOLDER_PREFIX: &str = "domain-";
/// Time that a process which only looks whether the lock is taken may hold the lock.
const LOCK_TIME: Duration = Duration::from_millis(200);

/// The folder of a guest, locked as long as this value lives. The lock ends with this process, even
/// when it is killed; the folder is removed on drop.
#[derive(Debug)]
pub(crate) struct GuestFolder {
    path: PathBuf,
    folder: File,
    _lock: File,
}

impl GuestFolder {
    /// Takes the guest's lock, checks that no VMM has outlived its manager, and makes the folder
    /// below `run`.
    ///
    /// # Errors
    /// - If another manager holds the lock, then [`FolderError::Running`].
    /// - If a VMM may live, then the error of [`find_survivor`].
    /// - If the folder or the lock file cannot be made, then [`FolderError::Make`].
    pub(crate) fn create(run: &Path, name: &str, host: &Host) -> Result<Self, FolderError> {
        make_own_folder(run, 0o755).map_err(|source| not_made(run, source))?;
        let lock = lock(run, name)?;
        let path = folder_path(run, name);
        if let Some(error) = find_survivor(&path, name, host)? {
            return Err(error);
        }
        make_own_folder(&path, 0o700).map_err(|source| not_made(&path, source))?;
        let folder = File::open(&path).map_err(|source| not_made(&path, source))?;
        Ok(Self {
            path,
            folder,
            _lock: lock,
        })
    }

    /// Notes that this process is about to spawn a VMM as a user.
    pub(crate) fn note_start(&self, host: &Host, uid: u32) -> Result<(), FolderError> {
        self.note(host, uid, None)
    }

    /// Notes the process of the VMM.
    pub(crate) fn note_vmm(&self, host: &Host, uid: u32, pid: u32) -> Result<(), FolderError> {
        self.note(host, uid, Some(pid))
    }

    fn note(&self, host: &Host, uid: u32, vmm: Option<u32>) -> Result<(), FolderError> {
        VmmNote::new(host, uid, vmm)
            .and_then(|note| note.write(&self.path))
            .map_err(|source| not_made(&note_path(&self.path), source))
    }

    /// Returns the path of the monitor's socket. The path leads through the open folder, since the
    /// path of a socket has 107 bytes at most.
    pub(crate) fn monitor_path(&self) -> PathBuf {
        format!("/proc/self/fd/{}/monitor.sock", self.folder.as_raw_fd()).into()
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

impl Drop for GuestFolder {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_dir_all(&self.path) {
            tracing::warn!("cannot remove {}: {e}", self.path.display());
        }
    }
}

fn not_made(path: &Path, source: io::Error) -> FolderError {
    FolderError::Make {
        path: path.into(),
        source,
    }
}

/// Returns the path of a guest's folder below `run`.
pub(crate) fn folder_path(run: &Path, name: &str) -> PathBuf {
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
        let first = GuestFolder::create(run.path(), "vm", &Host::new()).unwrap();
        let error = GuestFolder::create(run.path(), "vm", &Host::new()).unwrap_err();
        assert!(
            matches!(error, FolderError::Running { pid, .. } if pid == std::process::id()),
            "{error}"
        );

        drop(first);
        GuestFolder::create(run.path(), "vm", &Host::new()).unwrap();
    }

    #[test]
    fn guest_with_a_long_name_has_a_monitor() {
        let run = tempfile::tempdir().unwrap();
        GuestFolder::create(run.path(), &"x".repeat(200), &Host::new())
            .unwrap()
            .listen_for_monitor()
            .unwrap();
    }

    #[test]
    fn stale_socket_is_replaced_and_the_folder_removed_on_drop() {
        let run = tempfile::tempdir().unwrap();
        let folder = GuestFolder::create(run.path(), "vm", &Host::new()).unwrap();
        folder.listen_for_monitor().unwrap();
        let _listener = folder.listen_for_monitor().unwrap();
        let path = run.path().join("domain-vm");

        assert!(path.join("monitor.sock").exists());

        drop(folder);
        assert!(!path.exists());
    }

    /// Makes the state after a manager was killed: the guest's folder with a note, and no lock.
    fn leave(run: &Path, uid: u32, vmm: Option<u32>) {
        let host = Host::new();
        let folder = folder_path(run, "vm");
        fs::create_dir_all(&folder).unwrap();
        VmmNote::new(&host, uid, vmm)
            .unwrap()
            .write(&folder)
            .unwrap();
    }

    #[test]
    fn start_is_refused_while_the_vmm_of_a_dead_manager_lives() {
        let run = tempfile::tempdir().unwrap();
        let mut vmm = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        leave(run.path(), 7, Some(vmm.id()));
        let error = GuestFolder::create(run.path(), "vm", &Host::new()).unwrap_err();

        assert!(
            matches!(error, FolderError::VmmLives { pid, .. } if pid == vmm.id()),
            "{error}"
        );
        assert!(note_path(&folder_path(run.path(), "vm")).exists());

        vmm.kill().unwrap();
        vmm.wait().unwrap();
        GuestFolder::create(run.path(), "vm", &Host::new()).unwrap();
    }

    #[test]
    fn process_of_another_pid_namespace_is_not_named_as_the_vmm() {
        let run = tempfile::tempdir().unwrap();
        let mut other = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        leave(run.path(), 7, Some(other.id()));
        let path = note_path(&folder_path(run.path(), "vm"));
        let text = fs::read(&path).unwrap();
        let mut note: serde_json::Value = serde_json::from_slice(&text).unwrap();
        note["vmm"]["pid_namespace"] = "pid:[1]".into();
        fs::write(&path, note.to_string()).unwrap();
        let error = GuestFolder::create(run.path(), "vm", &Host::new()).unwrap_err();
        other.kill().unwrap();
        other.wait().unwrap();

        assert!(matches!(error, FolderError::VmmUnseen { .. }), "{error}");
    }

    #[test]
    fn start_cut_short_is_found_by_the_user_of_the_vmm() {
        let run = tempfile::tempdir().unwrap();
        leave(run.path(), 2_100_054_321, None);
        GuestFolder::create(run.path(), "vm", &Host::new()).unwrap();
        let uid = rustix::process::geteuid().as_raw();
        leave(run.path(), uid, None);
        let error = GuestFolder::create(run.path(), "vm", &Host::new()).unwrap_err();

        assert!(
            matches!(error, FolderError::UserLives { uid: by, .. } if by == uid),
            "{error}"
        );
    }

    #[test]
    fn unreadable_note_counts_as_a_living_vmm() {
        let run = tempfile::tempdir().unwrap();
        let folder = folder_path(run.path(), "vm");
        fs::create_dir(&folder).unwrap();
        for text in ["{", "{\"version\": 2}"] {
            fs::write(note_path(&folder), text).unwrap();
            let error = GuestFolder::create(run.path(), "vm", &Host::new()).unwrap_err();
            assert!(error.to_string().contains("vmm.json"), "{error}");
        }
    }
}
