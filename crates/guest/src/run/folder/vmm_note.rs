//! The note on a guest's VMM, `vmm.json` in the guest's folder.
//!
//! The guest's lock proves only that a manager lives. The VMM can outlive its manager, so a start
//! also looks for the process that the last manager noted. A lock held by the VMM would prove
//! nothing, since the VMM is not trusted.

use std::io;
use std::path::{Path, PathBuf};

use passthru_host::{Host, ProcessId, read_own, replace};
use serde::{Deserialize, Serialize};

use super::error::FolderError;

/// Version of the notes that this program writes and reads.
const VERSION: u32 = 1;

/// Note on a guest's VMM. A start writes it before it spawns the VMM, and again once it knows the
/// VMM's process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct VmmNote {
    version: u32,
    /// Process that starts the VMM.
    manager: ProcessId,
    /// User that the VMM runs as.
    uid: u32,
    /// Process of the VMM.
    vmm: Option<ProcessId>,
}

impl VmmNote {
    /// Makes a note in the name of this process. `vmm` is the number of the VMM's process.
    ///
    /// # Errors
    /// If `/proc` does not show a process, then `NotFound`.
    pub(super) fn new(host: &Host, uid: u32, vmm: Option<u32>) -> io::Result<Self> {
        let manager = process(host, std::process::id())?;
        let vmm = match vmm {
            Some(pid) => Some(process(host, pid)?),
            None => None,
        };
        Ok(Self {
            version: VERSION,
            manager,
            uid,
            vmm,
        })
    }

    /// Writes the note into a guest's folder, as a whole or not at all.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        replace(&note_path(folder), &text)
    }

    /// Reads the note of a guest's folder; `None` if the folder has none.
    fn read(path: &Path) -> io::Result<Option<Self>> {
        let text = match read_own(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let note: Self = serde_json::from_slice(&text)?;
        if note.version != VERSION {
            let message = format!(
                "it has version {}, and only {VERSION} is understood",
                note.version
            );
            return Err(io::Error::other(message));
        }

        Ok(Some(note))
    }
}

fn process(host: &Host, pid: u32) -> io::Result<ProcessId> {
    host.process(pid)
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Returns the path of the note in a guest's folder.
pub(super) fn note_path(folder: &Path) -> PathBuf {
    folder.join("vmm.json")
}

/// Looks for a VMM that has outlived its manager, by the note in the guest's folder. Returns the
/// error with which a start has to be refused, or `None` if no such VMM lives.
///
/// The result is certain only while the caller holds the guest's lock.
///
/// # Errors
/// If the note cannot be used, then [`FolderError::BadNote`].
pub(crate) fn find_survivor(
    folder: &Path,
    name: &str,
    host: &Host,
) -> Result<Option<FolderError>, FolderError> {
    let path = note_path(folder);
    let note = VmmNote::read(&path).map_err(|source| FolderError::BadNote {
        name: name.into(),
        path: path.clone(),
        source,
    })?;
    let Some(note) = note else {
        return Ok(None);
    };
    match &note.vmm {
        Some(vmm) if host.may_live(vmm) => Ok(Some(living_vmm(name, vmm, host, path))),
        Some(_) => Ok(None),
        None if !host.is_this_boot(&note.manager) => Ok(None),
        None => living_user(name, note.uid, path, host),
    }
}

/// Returns the error about a VMM that may live. Names a process as the VMM only if it is the very
/// process of the note.
fn living_vmm(name: &str, vmm: &ProcessId, host: &Host, note: PathBuf) -> FolderError {
    let is_certain = !vmm.boot_id.is_empty() && host.process(vmm.pid).as_ref() == Some(vmm);
    let name = name.to_owned();
    if is_certain {
        FolderError::VmmLives { name, pid: vmm.pid }
    } else {
        FolderError::VmmUnseen {
            name,
            pid: vmm.pid,
            note,
        }
    }
}

/// Returns the error about a start that was cut short, if processes run as its user. Each of them
/// may be the VMM or another program of that user.
fn living_user(
    name: &str,
    uid: u32,
    note: PathBuf,
    host: &Host,
) -> Result<Option<FolderError>, FolderError> {
    let processes = host
        .processes_of(uid)
        .map_err(|source| FolderError::BadNote {
            name: name.into(),
            path: "/proc".into(),
            source,
        })?;
    if processes.is_empty() {
        return Ok(None);
    }
    Ok(Some(FolderError::UserLives {
        name: name.into(),
        uid,
        note,
    }))
}
