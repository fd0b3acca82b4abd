//! The undo of operations.

use std::io;

use passthru_pci::Address;

use super::effect::Effect;
use super::op::{Descriptor, Op};
use super::own_record::restore_record;
use super::socket::remove_socket;
use super::world::World;
use crate::run::control_socket;
use crate::start::record;

/// Failure to undo an operation. The operation may be in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UndoError {
    /// A device cannot be given back.
    #[error(transparent)]
    Device(#[from] passthru_host::Error),
    /// The record of the guest cannot be restored.
    #[error("cannot restore the record of the guest: {0}")]
    Record(#[from] record::Error),
    /// A file, socket or folder cannot be removed.
    #[error("cannot remove {path}: {source}")]
    Remove {
        /// Path of the object.
        path: String,
        /// Cause.
        source: io::Error,
    },
}

/// Undoes an operation. `effect` is what the operation produced. `has_run` is whether the guest
/// ever ran: then its record stays.
///
/// # Errors
/// If the operation may still be in force, then the reason.
pub(crate) fn undo(
    op: &Op,
    effect: Option<&Effect>,
    world: &mut World,
    has_run: bool,
) -> Result<(), UndoError> {
    match op {
        Op::MakeGuestFolder { path } => {
            let removed = world.folder.remove();
            removed.map_err(|source| cannot_remove(path.display(), source))?;
        }
        Op::Open { descriptors, .. } => {
            let numbers: Vec<_> = descriptors.iter().map(Descriptor::number).collect();
            world.opened.retain(|(number, _)| !numbers.contains(number));
        }
        Op::Take { descriptor, .. } | Op::Copy { descriptor, .. } => {
            world.opened.retain(|(number, _)| number != descriptor);
        }
        Op::Listen {
            path, descriptor, ..
        } => {
            world.opened.retain(|(number, _)| number != descriptor);
            if let (Some(path), Some(made)) = (path, effect) {
                let removed = remove_socket(path, made, &world.opener());
                removed.map_err(|source| cannot_remove(path.display(), source))?;
            }
        }
        Op::ListenForControl { path } => {
            world.control = None;
            let removed = control_socket::remove(path);
            removed.map_err(|source| cannot_remove(path.display(), source))?;
        }
        Op::MakeFolder { path } => {
            let found = world.opener().find_own_folder(path);
            let removed = found.and_then(|folder| folder.map_or(Ok(()), |own| own.remove()));
            removed.map_err(|source| cannot_remove(path.display(), source))?;
        }
        Op::WriteRecord { former, .. } if !has_run => {
            restore_record(&world.records, world.folder.name(), former.as_deref())?;
        }
        Op::Claim { device, .. } => {
            if let Some(assignment) = &mut world.assignment {
                assignment.end_claim(*device);
            }
        }
        Op::Bind { device, .. } => give_back(*device, world)?,
        Op::HandOver { device } => take_back(*device, world)?,
        // The FIFO goes with the guest's folder, and the log file stays.
        Op::OpenLog { .. } => world.log = None,
        Op::MakeVfioFolder { .. } => world.vfio = None,
        // This ends the VMM, and waits for its end.
        Op::Spawn { .. } => world.machine = None,
        // The domain goes with the guest's folder.
        Op::WriteDomain { .. }
        | Op::WriteRecord { .. }
        | Op::LoadModules { .. }
        | Op::MakeNvram { .. }
        | Op::LoadDrivers { .. }
        | Op::SetUp
        | Op::SetPassword { .. }
        | Op::SetBalloon { .. }
        | Op::EmptyLogs { .. }
        | Op::Resume => {}
        // The VMM, which has ended, had all of these. A transaction undoes them before.
        Op::RaiseMemlock { .. }
        | Op::AddFdSet { .. }
        | Op::AddObject { .. }
        | Op::PassDevice { .. }
        | Op::AddVfioNode { .. }
        | Op::AddDevice { .. }
        | Op::RemoveDevice { .. }
        | Op::RemoveVfioNode { .. }
        | Op::RemoveObject { .. }
        | Op::PassFile { .. }
        | Op::AddPart { .. }
        | Op::ChangeMedium { .. }
        | Op::RemovePart { .. }
        | Op::RewriteDomain { .. } => {}
    }

    Ok(())
}

/// Gives a device back that the guest has. Claims it first if a former process claimed it.
fn give_back(device: Address, world: &mut World) -> Result<(), passthru_host::Error> {
    match &mut world.assignment {
        Some(assignment) => assignment.give_back_device(device),
        None => {
            let claim = world.host.claim(device, Some(world.folder.name()))?;
            claim.restore(false).map(drop)
        }
    }
}

/// Removes the VMM from the record of a device. Claims the device first if a former process claimed
/// it.
fn take_back(device: Address, world: &World) -> Result<(), passthru_host::Error> {
    match &world.assignment {
        Some(assignment) => assignment.take_back(device),
        None => world
            .host
            .claim(device, Some(world.folder.name()))?
            .take_back(),
    }
}

fn cannot_remove(path: impl ToString, source: io::Error) -> UndoError {
    UndoError::Remove {
        path: path.to_string(),
        source,
    }
}
