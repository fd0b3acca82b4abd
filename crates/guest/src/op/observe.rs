//! What is true of an operation now.

use std::io;
use std::path::Path;

use super::effect::Effect;
use super::op::Op;
use super::socket::is_own_socket;
use super::world::World;

/// State of an operation, as the host shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Observed {
    /// The operation is in force, at least in part.
    Applied,
    /// Nothing of the operation is in force.
    NotApplied,
    /// The state cannot be determined, for this reason.
    Unknown(String),
}

impl From<bool> for Observed {
    fn from(is_applied: bool) -> Self {
        if is_applied {
            Self::Applied
        } else {
            Self::NotApplied
        }
    }
}

impl Observed {
    fn from_result(applied: Result<bool, impl std::fmt::Display>) -> Self {
        match applied {
            Ok(is_applied) => Self::from(is_applied),
            Err(error) => Self::Unknown(error.to_string()),
        }
    }
}

/// Looks whether an operation is in force, and changes nothing. `effect` is what it produced.
pub(crate) fn observe(op: &Op, effect: Option<&Effect>, world: &World) -> Observed {
    match op {
        // Only the guest's own supervisors make these, and this process has the guest's lock.
        Op::MakeGuestFolder { path } | Op::WriteDomain { path } | Op::ListenForControl { path } => {
            Observed::from_result(exists(path))
        }
        Op::MakeNvram { path, .. } => {
            Observed::from_result(exists_for(world.opener().stat(Path::new(path)).map(drop)))
        }
        Op::Listen {
            path: Some(path), ..
        } => match effect {
            Some(made) => Observed::from_result(is_own_socket(path, made, &world.opener())),
            // The next start replaces a socket without a listener.
            None => Observed::NotApplied,
        },
        Op::MakeFolder { path } => {
            let found = world.opener().find_own_folder(path);
            Observed::from_result(found.map(|folder| folder.is_some()))
        }
        Op::WriteRecord { former, .. } => {
            let read = world.records.read(world.name());
            Observed::from_result(read.map(|now| now.as_ref() != former.as_deref()))
        }
        Op::Claim { device, .. } => {
            let owner = world.host.owner(*device).and_then(|owner| owner.guest);
            Observed::from(owner.as_deref() == Some(world.name()))
        }
        Op::Bind { device, .. } => {
            // The device's record is on disk before its driver changes, and goes once the device
            // is back.
            let record = world.host.record(*device);
            let is_ours = record.map(|record| record.is_some_and(|r| r.is_of(world.name())));
            Observed::from_result(is_ours)
        }
        Op::Spawn { .. } => match effect {
            Some(Effect::Process(vmm)) if world.host.may_live(vmm) => Observed::Applied,
            // A VMM that no journal names has never run.
            _ => Observed::NotApplied,
        },
        Op::HandOver { device } => {
            let record = world.host.record(*device);
            let is_noted = record
                .map(|record| record.is_some_and(|r| r.vmm.is_some() && r.is_of(world.name())));
            Observed::from_result(is_noted)
        }
        Op::Open { .. } | Op::Take { .. } | Op::Copy { .. } | Op::Listen { path: None, .. } => {
            Observed::from(!world.opened.is_empty())
        }
        Op::OpenLog { .. } => Observed::from(world.log.is_some()),
        Op::MakeVfioFolder { .. } => Observed::from(world.vfio.is_some()),
        Op::SetUp
        | Op::SetPassword { .. }
        | Op::SetBalloon { .. }
        | Op::Resume
        | Op::RaiseMemlock { .. }
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
        | Op::RewriteDomain { .. } => Observed::from(world.machine.is_some()),
        Op::LoadModules { .. } | Op::LoadDrivers { .. } | Op::EmptyLogs { .. } => {
            Observed::NotApplied
        }
    }
}

fn exists(path: &Path) -> io::Result<bool> {
    exists_for(std::fs::symlink_metadata(path).map(drop))
}

/// Returns whether an object exists, by the result of a look at it.
fn exists_for(looked_at: io::Result<()>) -> io::Result<bool> {
    match looked_at {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
