//! The folder of a running guest, `/run/passthru/domain-NAME`: its lock, the identity of its VMM's
//! process, and the socket of its monitor.
//!
//! The lock proves only that a manager lives. The VMM can live longer, so a start also looks for
//! the process that the last manager noted. A lock held by the VMM would prove nothing, since the
//! VMM is not trusted.

use passthru_host::{Host, ProcessId, make_own_folder, read_own, replace};
use rustix::fs::{FlockOperation, Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the folders of all guests are that root started.
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
    /// The guest's last manager has died, and its VMM may live.
    #[error(
        "the VMM of guest '{name}' may still run, as process {pid}, although its passthru has ended"
    )]
    VmmLives {
        /// Name of the guest.
        name: String,
        /// The VMM's process.
        pid: u32,
    },
    /// The guest's last manager has died, and its VMM's process cannot be looked at.
    #[error("cannot see whether process {pid}, the VMM of guest '{name}', still runs")]
    VmmUnseen {
        /// Name of the guest.
        name: String,
        /// Number of the process where it was started. Here, another process may have it.
        pid: u32,
        /// The note on it.
        note: PathBuf,
    },
    /// The guest's last manager died while it started the VMM, and processes run as the guest's
    /// user.
    #[error(
        "the last start of guest '{name}' was cut short, and its VMM may be among the processes of \
         uid {uid}"
    )]
    UserLives {
        /// Name of the guest.
        name: String,
        /// The user.
        uid: u32,
        /// The note on the start.
        note: PathBuf,
    },
    /// The note on the VMM's process cannot be used, so that the VMM may live.
    #[error("cannot determine from {} whether the VMM of guest '{name}' still runs", path.display())]
    BadNote {
        /// Name of the guest.
        name: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
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

/// The folder of a guest, locked for as long as this value lives. The lock goes with the process,
/// even when it is killed; the folder is removed on drop.
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

/// First part of the name of a guest's folder.
pub(crate) const FOLDER: &str = "domain-";
/// Number of times that the lock is tried.
const LOCK_TRIES: usize = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Version of the notes on VMMs that this program writes.
const VERSION: u32 = 1;

/// Note on a guest's VMM. Written before the VMM is spawned, and again when its process is known.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    version: u32,
    /// The process that starts the VMM.
    manager: ProcessId,
    /// User that the VMM runs as.
    uid: u32,
    /// The VMM.
    vmm: Option<ProcessId>,
}

impl StateDir {
    /// Takes the lock, looks whether a VMM of an earlier manager lives, and makes the folder.
    pub(crate) fn create(run: &Path, name: &str, host: &Host) -> Result<Self, Error> {
        let path = folder(run, name);
        make_own_folder(run, 0o755).map_err(|source| Error::Make {
            path: run.into(),
            source,
        })?;
        // Beside the folder, and never removed: a lock on a file that may be removed protects
        // nothing.
        let lock = lock(&lock_path(run, name), name)?;
        if let Some(error) = survivor(run, name, host)? {
            return Err(error);
        }
        let failed = |source| Error::Make {
            path: path.clone(),
            source,
        };
        make_own_folder(&path, 0o700).map_err(failed)?;
        let folder = File::open(&path).map_err(failed)?;
        Ok(Self {
            path,
            folder,
            _lock: lock,
        })
    }

    /// Notes that a VMM is about to be spawned as a user.
    pub(crate) fn note_start(&self, host: &Host, uid: u32) -> Result<(), Error> {
        self.note(host, uid, None)
    }

    /// Notes the process of the VMM.
    pub(crate) fn note_vmm(&self, host: &Host, uid: u32, pid: u32) -> Result<(), Error> {
        let vmm = host
            .process(pid)
            .ok_or_else(|| self.not_noted(io::ErrorKind::NotFound.into()))?;
        self.note(host, uid, Some(vmm))
    }

    fn note(&self, host: &Host, uid: u32, vmm: Option<ProcessId>) -> Result<(), Error> {
        let manager = host.process(std::process::id());
        let manager = manager.ok_or_else(|| self.not_noted(io::ErrorKind::NotFound.into()))?;
        let note = serde_json::to_vec(&Note {
            version: VERSION,
            manager,
            uid,
            vmm,
        });
        let written = note
            .map_err(io::Error::from)
            .and_then(|note| replace(&note_path(&self.path), &note));
        written.map_err(|source| self.not_noted(source))
    }

    fn not_noted(&self, source: io::Error) -> Error {
        Error::Make {
            path: note_path(&self.path),
            source,
        }
    }

    /// Returns the path of the monitor's socket: through the open folder, since the path of a
    /// socket may have 107 bytes only.
    pub(crate) fn monitor_path(&self) -> PathBuf {
        format!("/proc/self/fd/{}/monitor.sock", self.folder.as_raw_fd()).into()
    }

    /// Makes the listening socket of the monitor, which root alone can reach.
    pub(crate) fn monitor(&self) -> Result<UnixListener, Error> {
        let path = self.monitor_path();
        let failed = |source| Error::Make {
            path: path.clone(),
            source,
        };
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {}
        }
        UnixListener::bind(&path).map_err(failed)
    }
}

/// Looks for a VMM that has outlived its manager. The caller has the guest's lock, or only shows
/// it.
pub(crate) fn survivor(run: &Path, name: &str, host: &Host) -> Result<Option<Error>, Error> {
    let path = note_path(&folder(run, name));
    let bad = |source| Error::BadNote {
        name: name.into(),
        path: path.clone(),
        source,
    };
    let text = match read_own(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(bad(error)),
    };
    let note: Note = serde_json::from_slice(&text).map_err(|error| bad(error.into()))?;
    if note.version != VERSION {
        let message = format!(
            "it has version {}, and only {VERSION} is understood",
            note.version
        );
        return Err(bad(io::Error::other(message)));
    }
    match &note.vmm {
        Some(vmm) if host.may_live(vmm) => Ok(Some(living(name, vmm, host, path))),
        Some(_) => Ok(None),
        None if !host.is_this_boot(&note.manager) => Ok(None),
        None => process_of(name, note.uid, path, host),
    }
}

/// Returns the error of a VMM that may live. Only the very process that was noted is named as it.
fn living(name: &str, vmm: &ProcessId, host: &Host, note: PathBuf) -> Error {
    let is_it = !vmm.boot_id.is_empty() && host.process(vmm.pid).as_ref() == Some(vmm);
    let name = name.to_owned();
    if is_it {
        Error::VmmLives { name, pid: vmm.pid }
    } else {
        Error::VmmUnseen {
            name,
            pid: vmm.pid,
            note,
        }
    }
}

/// Looks for processes of the user of a start that was cut short: each may be anything of that
/// user's.
fn process_of(name: &str, uid: u32, note: PathBuf, host: &Host) -> Result<Option<Error>, Error> {
    let bad = |source| Error::BadNote {
        name: name.into(),
        path: "/proc".into(),
        source,
    };
    let is_none = host.processes_of(uid).map_err(bad)?.is_empty();
    Ok((!is_none).then(|| Error::UserLives {
        name: name.into(),
        uid,
        note,
    }))
}

fn note_path(folder: &Path) -> PathBuf {
    folder.join("vmm.json")
}

/// The folder of a guest, below the one of all guests.
pub(crate) fn folder(run: &Path, name: &str) -> PathBuf {
    run.join(format!("{FOLDER}{name}"))
}

fn lock(path: &Path, name: &str) -> Result<File, Error> {
    let failed = |e: io::Error| Error::Make {
        path: path.into(),
        source: e,
    };
    let flags =
        OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let fd =
        rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(|e| failed(e.into()))?;
    let mut file = File::from(fd);
    if !try_lock(&file).map_err(failed)? {
        let mut text = String::new();
        let read = file
            .read_to_string(&mut text)
            .ok()
            .and_then(|_| serde_json::from_str::<Owner>(&text).ok());
        return Err(Error::Running {
            name: name.into(),
            pid: read.map_or(0, |o| o.pid),
        });
    }
    let owner = serde_json::json!(Owner {
        pid: std::process::id()
    })
    .to_string();
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(owner.as_bytes()))
        .map_err(failed)?;
    Ok(file)
}

/// Takes a lock. A process that only looks whether it is taken holds it for an instant.
fn try_lock(file: &File) -> io::Result<bool> {
    for _ in 0..LOCK_TRIES {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(LOCK_PAUSE),
            Err(other) => return Err(other.into()),
        }
    }
    Ok(false)
}

/// Returns whether a manager of a guest lives: it holds the guest's lock.
pub(crate) fn has_manager(run: &Path, name: &str) -> io::Result<bool> {
    let lock = match File::open(lock_path(run, name)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(other) => Err(other.into()),
    }
}

fn lock_path(run: &Path, name: &str) -> PathBuf {
    run.join(format!("{FOLDER}{name}.lock"))
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
        let first = StateDir::create(run.path(), "vm", &Host::new()).unwrap();
        let error = StateDir::create(run.path(), "vm", &Host::new()).unwrap_err();
        assert!(
            matches!(error, Error::Running { pid, .. } if pid == std::process::id()),
            "{error}"
        );
        drop(first);
        StateDir::create(run.path(), "vm", &Host::new()).unwrap();
    }

    #[test]
    fn a_long_name_has_a_monitor_too() {
        let run = tempfile::tempdir().unwrap();
        StateDir::create(run.path(), &"x".repeat(200), &Host::new())
            .unwrap()
            .monitor()
            .unwrap();
    }

    #[test]
    fn the_folder_goes_with_the_guest_and_a_stale_socket_does_not_matter() {
        let run = tempfile::tempdir().unwrap();
        let state = StateDir::create(run.path(), "vm", &Host::new()).unwrap();
        state.monitor().unwrap();
        let _listener = state.monitor().unwrap();
        let path = run.path().join("domain-vm");
        assert!(path.join("monitor.sock").exists());
        drop(state);
        assert!(!path.exists());
    }

    /// Leaves what a killed manager leaves: the folder with its note, and no lock.
    fn leave(run: &Path, uid: u32, vmm: Option<u32>) {
        let host = Host::new();
        let state = StateDir::create(run, "vm", &host).unwrap();
        match vmm {
            Some(pid) => state.note_vmm(&host, uid, pid).unwrap(),
            None => state.note_start(&host, uid).unwrap(),
        }
        let kept = run.join("kept");
        fs::copy(note_path(&state.path), &kept).unwrap();
        let path = state.path.clone();
        drop(state);
        fs::create_dir(&path).unwrap();
        fs::rename(kept, note_path(&path)).unwrap();
    }

    #[test]
    fn start_is_refused_while_the_vmm_of_a_dead_manager_lives() {
        let run = tempfile::tempdir().unwrap();
        let mut vmm = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        leave(run.path(), 7, Some(vmm.id()));
        let error = StateDir::create(run.path(), "vm", &Host::new()).unwrap_err();
        assert!(
            matches!(error, Error::VmmLives { pid, .. } if pid == vmm.id()),
            "{error}"
        );
        assert!(note_path(&folder(run.path(), "vm")).exists());
        vmm.kill().unwrap();
        vmm.wait().unwrap();
        StateDir::create(run.path(), "vm", &Host::new()).unwrap();
    }

    #[test]
    fn process_of_another_pid_namespace_is_not_named_as_the_vmm() {
        let run = tempfile::tempdir().unwrap();
        let mut other = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        leave(run.path(), 7, Some(other.id()));
        let path = note_path(&folder(run.path(), "vm"));
        let mut note: Note = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        note.vmm.as_mut().unwrap().pid_namespace = "pid:[1]".into();
        fs::write(&path, serde_json::to_vec(&note).unwrap()).unwrap();
        let error = StateDir::create(run.path(), "vm", &Host::new()).unwrap_err();
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(matches!(error, Error::VmmUnseen { .. }), "{error}");
    }

    #[test]
    fn start_cut_short_is_found_by_the_user_of_the_vmm() {
        let run = tempfile::tempdir().unwrap();
        leave(run.path(), 2_100_054_321, None);
        StateDir::create(run.path(), "vm", &Host::new()).unwrap();
        let uid = rustix::process::geteuid().as_raw();
        leave(run.path(), uid, None);
        let error = StateDir::create(run.path(), "vm", &Host::new()).unwrap_err();
        assert!(
            matches!(error, Error::UserLives { uid: by, .. } if by == uid),
            "{error}"
        );
    }

    #[test]
    fn unreadable_note_counts_as_a_living_vmm() {
        let run = tempfile::tempdir().unwrap();
        let path = folder(run.path(), "vm");
        fs::create_dir(&path).unwrap();
        for text in ["{", "{\"version\": 2}"] {
            fs::write(note_path(&path), text).unwrap();
            let error = StateDir::create(run.path(), "vm", &Host::new()).unwrap_err();
            assert!(error.to_string().contains("vmm.json"), "{error}");
        }
    }
}
