//! VMMs that have outlived their manager.
//!
//! The guest's lock proves only that a manager lives. The VMM can outlive its manager, so a start
//! also looks for the process that the journal names. A lock held by the VMM would prove nothing,
//! since the VMM is not trusted.

use std::path::{Path, PathBuf};

use passthru_host::{Host, ProcessId};

use super::error::FolderError;
use crate::journal::{Journal, JournalState, read_journal};

/// Reads what a dead manager left of a guest, by the journal in the guest's folder. Returns `None`
/// if there is no journal.
///
/// The result is certain only while the caller holds the guest's lock.
///
/// # Errors
/// - If the VMM lives, then [`FolderError::VmmLives`] or [`FolderError::VmmUnseen`].
/// - If the journal cannot be used, then [`FolderError::BadJournal`].
pub(crate) fn read_remains(
    folder: &Path,
    name: &str,
    host: &Host,
) -> Result<Option<JournalState>, FolderError> {
    let path = Journal::path_in(folder);
    let state = read_journal(folder).map_err(|source| FolderError::BadJournal {
        name: name.into(),
        path: path.clone(),
        source,
    })?;
    if let Some(vmm) = state.as_ref().and_then(JournalState::vmm)
        && host.may_live(vmm)
    {
        return Err(living_vmm(name, vmm, host, path));
    }

    Ok(state)
}

/// Returns the error about a VMM that may live. Names a process as the VMM only if it is the very
/// process of the journal.
fn living_vmm(name: &str, vmm: &ProcessId, host: &Host, journal: PathBuf) -> FolderError {
    let is_certain = !vmm.boot_id.is_empty() && host.process(vmm.pid).as_ref() == Some(vmm);
    let name = name.to_owned();
    if is_certain {
        FolderError::VmmLives { name, pid: vmm.pid }
    } else {
        FolderError::VmmUnseen {
            name,
            pid: vmm.pid,
            journal,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::journal::Header;
    use crate::op::effect::Effect;
    use crate::op::op::Op;
    use crate::start::record::Ids;

    /// Makes the journal of a guest whose manager was killed after it spawned the VMM.
    fn leave(folder: &Path, vmm: &ProcessId) {
        let manager = Host::new().process(std::process::id()).unwrap();
        let header = Header::new("vm", manager, Ids { uid: 7, gid: 7 });
        let mut journal = Journal::create(folder, &header).unwrap();
        journal.begin(1, &Op::SetUp).unwrap();
        journal.effect(1, &Effect::Process(vmm.clone())).unwrap();
    }

    fn remains(folder: &Path) -> Result<Option<JournalState>, FolderError> {
        read_remains(folder, "vm", &Host::new())
    }

    #[test]
    fn vmm_of_a_dead_manager_is_found_while_it_lives() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(remains(folder.path()).unwrap(), None);

        let mut command = std::process::Command::new("sleep");
        let mut vmm = command.arg("60").spawn().unwrap();
        leave(folder.path(), &Host::new().process(vmm.id()).unwrap());
        let error = remains(folder.path()).unwrap_err();
        assert!(
            matches!(error, FolderError::VmmLives { pid, .. } if pid == vmm.id()),
            "{error}"
        );

        vmm.kill().unwrap();
        vmm.wait().unwrap();
        assert!(remains(folder.path()).unwrap().is_some());
    }

    #[test]
    fn process_of_another_pid_namespace_is_not_named_as_the_vmm() {
        let folder = tempfile::tempdir().unwrap();
        let own = Host::new().process(std::process::id()).unwrap();
        let elsewhere = ProcessId {
            pid_namespace: "pid:[1]".into(),
            ..own
        };
        leave(folder.path(), &elsewhere);
        let error = remains(folder.path()).unwrap_err();

        assert!(matches!(error, FolderError::VmmUnseen { .. }), "{error}");
    }

    #[test]
    fn unreadable_journal_counts_as_a_living_vmm() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["{\n", "{\"journal\": 2}\n"] {
            fs::write(Journal::path_in(folder.path()), text).unwrap();
            let error = remains(folder.path()).unwrap_err();
            assert!(matches!(error, FolderError::BadJournal { .. }), "{error}");
        }
    }
}
