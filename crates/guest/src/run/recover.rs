//! The recovery of guests whose manager and VMM have ended.

use std::path::Path;

use passthru_host::{Error as HostError, Host};
use passthru_pci::Address;
use serde::Serialize;

use crate::error::Error;
use crate::journal::JournalState;
use crate::op::ledger::Ledger;
use crate::op::op::Op;
use crate::op::world::World;
use crate::run::folder::{GuestFolder, Remains, read_remains};
use crate::start::record::Records;
use crate::start::user::User;

/// Result of a recovery.
#[derive(Debug, Default, Serialize)]
pub struct Recovered {
    /// Name of the guest.
    pub name: String,
    /// Addresses of the devices that went back to the host.
    pub devices: Vec<Address>,
    /// Errors of the devices that could not be given back.
    #[serde(skip)]
    pub not_restored: Vec<HostError>,
}

/// Undoes what is left of a guest whose manager and VMM have ended. Does nothing if nothing is
/// left. A VMM that lives is killed if its guest never ran.
///
/// # Errors
/// - If a manager of the guest lives, then [`FolderError::Running`](crate::FolderError::Running).
/// - If the guest runs on, then [`FolderError::VmmLives`](crate::FolderError::VmmLives).
/// - If that is not known, then [`FolderError::VmmUnseen`](crate::FolderError::VmmUnseen).
/// - If the journal cannot be used, then [`Error::Folder`] or [`Error::Journal`].
pub fn recover(name: &str, records: &Records, run: &Path, host: &Host) -> Result<Recovered, Error> {
    let folder = GuestFolder::lock(run, name)?;
    undo_remains(&folder, records, host, &[])
}

/// Undoes what is left of a guest whose lock the caller has, but for the `kept` devices. Logs what
/// could not be undone.
///
/// # Errors
/// Those of [`recover`], but for a manager that lives.
pub(crate) fn clear_remains(
    folder: &GuestFolder,
    records: &Records,
    host: &Host,
    kept: &[Address],
) -> Result<(), Error> {
    for error in undo_remains(folder, records, host, kept)?.not_restored {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "a device of the last start was not given back"
        );
    }

    Ok(())
}

fn undo_remains(
    folder: &GuestFolder,
    records: &Records,
    host: &Host,
    kept: &[Address],
) -> Result<Recovered, Error> {
    let remains = read_remains(folder.path(), folder.name(), host)?;
    recover_locked(folder, records, host, kept, remains)
}

/// Undoes the remains of a guest whose lock the caller has, but for the `kept` devices. A VMM whose
/// guest never ran is killed first.
///
/// # Errors
/// - If the guest runs on in its VMM, then [`FolderError::VmmLives`](crate::FolderError::VmmLives).
/// - If the journal cannot be used, then [`Error::Journal`].
pub(crate) fn recover_locked(
    folder: &GuestFolder,
    records: &Records,
    host: &Host,
    kept: &[Address],
    remains: Remains,
) -> Result<Recovered, Error> {
    let name = folder.name();
    match remains {
        Remains::Nothing => {
            remove(folder);
            Ok(Recovered::nothing(name))
        }
        Remains::Dead(state) => roll_back(folder, records, host, kept, state),
        Remains::Alive(state, vmm) => {
            let error = vmm.error(name);
            if state.may_have_run || !vmm.kill() {
                return Err(error.into());
            }
            roll_back(folder, records, host, kept, state)
        }
    }
}

impl Recovered {
    /// Returns the result for a guest of which nothing but its folder was left.
    pub(crate) fn nothing(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }
}

/// Undoes what the journal of a guest has in force, but for the `kept` devices. The VMM has ended.
pub(crate) fn roll_back(
    folder: &GuestFolder,
    records: &Records,
    host: &Host,
    kept: &[Address],
    state: JournalState,
) -> Result<Recovered, Error> {
    let name = folder.name();
    let mut recovered = Recovered::nothing(name);
    for entry in &state.entries {
        if let Op::Bind { device, .. } = &entry.op
            && !kept.contains(device)
        {
            recovered.devices.push(*device);
        }
    }

    let user = User::own(state.header.user);
    let world = World::new(host, user, records.clone(), folder.clone());
    let mut ledger = Ledger::resume(world, state)?;
    let (not_restored, is_whole) = ledger.undo_remains(|op| match op {
        Op::Bind { device, .. } => kept.contains(device),
        _ => false,
    });
    recovered.not_restored = not_restored;
    // A device that could not be given back has its record still.
    recovered
        .devices
        .retain(|device| !is_left_by(name, *device, host));
    if is_whole {
        remove(folder);
    }
    Ok(recovered)
}

fn is_left_by(name: &str, device: Address, host: &Host) -> bool {
    let record = host.record(device);
    record.is_ok_and(|record| record.is_some_and(|r| r.is_of(name)))
}

fn remove(folder: &GuestFolder) {
    if let Err(error) = folder.clone().remove() {
        tracing::warn!("cannot remove {}: {error}", folder.path().display());
    }
}
