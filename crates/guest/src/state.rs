//! The folder of a running guest, `/run/passthru/domain-NAME`: its lock, and the socket of its monitor.

use rustix::fs::{FlockOperation, Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// Where the folders of all guests are.
pub const RUN_DIR: &str = passthru_qemu::STATE_DIR;

/// What went wrong with the folder of a guest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The guest runs already.
    #[error("the guest '{name}' is running already, under process {pid}")]
    Running {
        /// Its name.
        name: String,
        /// The process that runs it.
        pid: u32,
    },
    /// The folder or a file in it could not be made.
    #[error("cannot make {}", path.display())]
    Make {
        /// The path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// The folder of a guest, locked for as long as this value lives. The lock goes with the process, even
/// when it is killed; the folder is removed on drop.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    folder: File,
    _lock: File,
}

/// What stands in the lock file.
#[derive(Serialize, Deserialize)]
struct Owner {
    pid: u32,
}

impl StateDir {
    /// Makes the folder and takes the lock.
    pub(crate) fn create(run: &Path, name: &str) -> Result<Self, Error> {
        let path = folder(run, name);
        let made = DirBuilder::new().recursive(true).mode(0o755).create(run);
        made.map_err(|source| Error::Make { path: run.into(), source })?;
        // Beside the folder, and never removed: a lock on a file that may be removed protects nothing.
        let lock = lock(&run.join(format!("domain-{name}.lock")), name)?;
        let failed = |source| Error::Make { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
        let folder = File::open(&path).map_err(failed)?;
        Ok(Self { path, folder, _lock: lock })
    }

    /// Returns the path of the monitor's socket: through the open folder, since the path of a socket may
    /// have 107 bytes only.
    pub(crate) fn monitor_path(&self) -> PathBuf {
        format!("/proc/self/fd/{}/monitor.sock", self.folder.as_raw_fd()).into()
    }

    /// Makes the listening socket of the monitor, which root alone can reach.
    pub(crate) fn monitor(&self) -> Result<UnixListener, Error> {
        let path = self.monitor_path();
        let failed = |source| Error::Make { path: path.clone(), source };
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {}
        }
        UnixListener::bind(&path).map_err(failed)
    }
}

/// The folder of a guest, below the one of all guests.
pub(crate) fn folder(run: &Path, name: &str) -> PathBuf {
    run.join(format!("domain-{name}"))
}

fn lock(path: &Path, name: &str) -> Result<File, Error> {
    let failed = |e: io::Error| Error::Make { path: path.into(), source: e };
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let fd = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(|e| failed(e.into()))?;
    let mut file = File::from(fd);
    if let Err(e) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if e != rustix::io::Errno::WOULDBLOCK {
            return Err(failed(e.into()));
        }
        let mut text = String::new();
        let read =
            file.read_to_string(&mut text).ok().and_then(|_| serde_json::from_str::<Owner>(&text).ok());
        return Err(Error::Running { name: name.into(), pid: read.map_or(0, |o| o.pid) });
    }
    let owner = serde_json::json!(Owner { pid: std::process::id() }).to_string();
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(owner.as_bytes()))
        .map_err(failed)?;
    Ok(file)
}

impl Drop for StateDir {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_dir_all(&self.path) {
            tracing::warn!("cannot remove {}: {e}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_start_of_a_guest_names_the_process_of_the_first() {
        let run = tempfile::tempdir().unwrap();
        let first = StateDir::create(run.path(), "vm").unwrap();
        let error = StateDir::create(run.path(), "vm").unwrap_err();
        assert!(matches!(error, Error::Running { pid, .. } if pid == std::process::id()), "{error}");
        drop(first);
        StateDir::create(run.path(), "vm").unwrap();
    }

    #[test]
    fn a_long_name_has_a_monitor_too() {
        let run = tempfile::tempdir().unwrap();
        StateDir::create(run.path(), &"x".repeat(200)).unwrap().monitor().unwrap();
    }

    #[test]
    fn the_folder_goes_with_the_guest_and_a_stale_socket_does_not_matter() {
        let run = tempfile::tempdir().unwrap();
        let state = StateDir::create(run.path(), "vm").unwrap();
        state.monitor().unwrap();
        let _listener = state.monitor().unwrap();
        let path = run.path().join("domain-vm");
        assert!(path.join("monitor.sock").exists());
        drop(state);
        assert!(!path.exists());
    }
}
