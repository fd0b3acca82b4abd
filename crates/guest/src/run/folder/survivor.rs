//! VMMs that have outlived their manager.
//!
//! The guest's lock proves only that a manager lives. The VMM can outlive its manager, so a start
//! also looks for the process that the journal names. A lock held by the VMM would prove nothing,
//! since the VMM is not trusted.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use passthru_host::{Host, ProcessId};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::error::FolderError;
use crate::journal::{Journal, JournalState, read_journal};
use crate::run::vmm::Vmm;

/// Remains of a guest whose manager has died.
#[derive(Debug)]
pub(crate) enum Remains {
    /// The guest has no journal: nothing but its folder was made.
    Nothing,
    /// The VMM has ended, or there never was one.
    Dead(JournalState),
    /// The VMM lives.
    Alive(JournalState, LivingVmm),
}

/// A VMM that has outlived its manager.
#[derive(Debug)]
pub(crate) struct LivingVmm {
    pub(crate) process: ProcessId,
    /// Descriptor of this very process.
    pub(crate) pidfd: OwnedFd,
}

/// Time for a VMM to end after SIGKILL. It unpins the guest's memory.
const KILL_TIME: Duration = Duration::from_secs(60);

impl LivingVmm {
    /// Kills the VMM of a guest that never ran. Returns whether it has ended.
    pub(crate) fn kill(self) -> bool {
        let mut vmm = Vmm::adopted(self.process.pid, self.pidfd, None);
        vmm.kill();
        vmm.ends_within(KILL_TIME)
    }

    /// Returns the error about this VMM of a guest.
    pub(crate) fn error(&self, guest: &str) -> FolderError {
        FolderError::VmmLives {
            name: guest.into(),
            pid: self.process.pid,
        }
    }
}

/// Reads what a dead manager left of a guest, by the journal in the guest's folder.
///
/// The result is certain only while the caller holds the guest's lock.
///
/// # Errors
/// - If it cannot be determined whether the VMM lives, then [`FolderError::VmmUnseen`].
/// - If the journal cannot be used, then [`FolderError::BadJournal`].
pub(crate) fn read_remains(folder: &Path, name: &str, host: &Host) -> Result<Remains, FolderError> {
    let path = Journal::path_in(folder);
    let state = read_journal(folder).map_err(|source| FolderError::BadJournal {
        name: name.into(),
        path: path.clone(),
        source,
    })?;
    let Some(state) = state else {
        return Ok(Remains::Nothing);
    };
    let Some(vmm) = state.vmm().filter(|vmm| host.may_live(vmm)) else {
        return Ok(Remains::Dead(state));
    };
    let unseen = FolderError::VmmUnseen {
        name: name.into(),
        pid: vmm.pid,
        journal: path,
    };
    let pid = i32::try_from(vmm.pid).ok().and_then(Pid::from_raw);
    let opened = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty()));
    // The number may have passed to another process before the descriptor was open.
    if !host.may_live(vmm) {
        return Ok(Remains::Dead(state));
    }
    let Some(Ok(pidfd)) = opened.filter(|_| is_certain(vmm, host)) else {
        return Err(unseen);
    };
    let process = vmm.clone();
    Ok(Remains::Alive(state, LivingVmm { process, pidfd }))
}

/// Checks that no VMM of a guest lives that the guest has run in.
///
/// # Errors
/// - If such a VMM lives, then [`FolderError::VmmLives`].
/// - Those of [`read_remains`].
pub(crate) fn check_remains(folder: &Path, name: &str, host: &Host) -> Result<(), FolderError> {
    match read_remains(folder, name, host)? {
        Remains::Alive(state, vmm) if state.may_have_run => Err(vmm.error(name)),
        _ => Ok(()),
    }
}

/// Returns whether a number is that of the very process of the journal.
fn is_certain(vmm: &ProcessId, host: &Host) -> bool {
    !vmm.boot_id.is_empty() && host.process(vmm.pid).as_ref() == Some(vmm)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command};

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

    fn remains(folder: &Path) -> Result<Remains, FolderError> {
        read_remains(folder, "vm", &Host::new())
    }

    /// Starts a process in the place of a VMM.
    fn sleeper() -> Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    #[test]
    fn vmm_of_a_dead_manager_is_found_while_it_lives() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::new();

        assert!(matches!(remains(folder.path()), Ok(Remains::Nothing)));

        let mut vmm = sleeper();
        leave(folder.path(), &host.process(vmm.id()).unwrap());

        let found = remains(folder.path()).unwrap();
        assert!(matches!(found, Remains::Alive(_, found) if found.process.pid == vmm.id()));

        check_remains(folder.path(), "vm", &host).unwrap();

        let mut journal = Journal::open(folder.path()).unwrap();
        journal.begin(2, &Op::Resume).unwrap();
        let error = check_remains(folder.path(), "vm", &host).unwrap_err();
        assert!(
            matches!(error, FolderError::VmmLives { pid, .. } if pid == vmm.id()),
            "{error}"
        );

        vmm.kill().unwrap();
        vmm.wait().unwrap();
        assert!(matches!(remains(folder.path()), Ok(Remains::Dead(_))));
    }

    #[test]
    fn vmm_whose_guest_never_ran_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = sleeper();
        leave(folder.path(), &Host::new().process(child.id()).unwrap());
        let Ok(Remains::Alive(_, vmm)) = remains(folder.path()) else {
            panic!("the VMM lives")
        };

        assert!(vmm.kill());
        assert_eq!(child.wait().unwrap().signal(), Some(9));
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
