//! The undo of operations while the VMM lives.

use std::path::Path;

use passthru_pci::Address;
use passthru_qemu::monitor::Command;

use super::begin::{Scene, removal};
use super::memlock::lower_memlock_limit;
use super::wait::Wait;
use crate::error::Error;
use crate::journal::Entry;
use crate::op::effect::Effect;
use crate::op::op::{Op, PartKind};

impl Scene<'_> {
    /// Begins the undo of an operation. `is_gone` is whether the VMM no longer has its device.
    ///
    /// # Errors
    /// The error of the undo. The operation is in force then.
    pub(super) fn begin_undo(&mut self, entry: &Entry, is_gone: bool) -> Result<Wait, Error> {
        let op = &entry.op;
        match op {
            Op::Claim { device, .. } => {
                if let Some(devices) = &mut self.ledger.world().moving {
                    devices.end_claim(*device);
                }
                Ok(Wait::Nothing)
            }
            Op::HandOver { device } => {
                if let Some(devices) = &self.ledger.world().moving {
                    devices.take_back(*device)?;
                }
                Ok(Wait::Nothing)
            }
            Op::Bind { device, .. } => {
                let device = *device;
                self.begin_job(op, |_| {
                    Box::new(move |devices| match devices {
                        Some(devices) => Ok(devices.try_give_back(device)?),
                        None => Ok(()),
                    })
                })
            }
            Op::RaiseMemlock { from, .. } => {
                lower_memlock_limit(self.machine.pid(), *from)?;
                Ok(Wait::Nothing)
            }
            Op::ChangeMedium { drive, from, to } => {
                Ok(self.change_medium(drive, to.as_deref(), from.as_deref()))
            }
            Op::AddPart { kind, id, .. } => self.ask(&removal(*kind, id)),
            Op::AddFdSet { set, .. } | Op::PassFile { set, .. } => {
                self.remove_fd(*set, entry.effect.as_ref())
            }
            Op::AddObject { object, .. } => self.ask(&Command::ObjectDel { id: object.clone() }),
            Op::PassDevice { device, set } => {
                // QEMU closes the descriptor of a device that it had, but keeps it in the set. The
                // number may be that of another file by now.
                match &entry.effect {
                    Some(Effect::Descriptor(number)) if !self.has_open(*number, *device) => {
                        Ok(Wait::Nothing)
                    }
                    number => self.remove_fd(*set, number.as_ref()),
                }
            }
            Op::AddVfioNode { group, .. } => self.remove_vfio_node(*group),
            Op::AddDevice { .. } if is_gone => Ok(Wait::Nothing),
            Op::AddDevice { alias, device, .. } => Ok(self.remove(alias, *device)),
            _ => Ok(Wait::Nothing),
        }
    }

    fn remove_fd(&mut self, set: u32, effect: Option<&Effect>) -> Result<Wait, Error> {
        let fd = match effect {
            Some(Effect::Descriptor(number)) => Some(*number),
            _ => None,
        };
        self.ask(&Command::RemoveFd { fdset_id: set, fd })
    }

    /// Returns whether a descriptor of the VMM is the character device of a VFIO device.
    fn has_open(&mut self, number: u32, device: Address) -> bool {
        let host = &self.ledger.world().host;
        let Ok(Some(name)) = host.device(device).map(|device| device.cdev) else {
            return false;
        };
        let node = host.cdev_path(&name);
        let link = Path::new("/proc").join(self.machine.pid().to_string());
        let link = link.join("fd").join(number.to_string());
        std::fs::read_link(link).is_ok_and(|open| open == node)
    }
}

/// Returns whether an operation must stay in force, since one that builds on it is in force.
pub(super) fn is_needed(op: &Op, entries: &[Entry], held: &[Address]) -> bool {
    let mut others = entries.iter().map(|entry| &entry.op);
    match op {
        Op::AddFdSet { object, .. } => {
            others.any(|other| matches!(other, Op::AddObject { object: of, .. } if of == object))
        }
        // A device that stays needs its memory pinned at the guest's next reset.
        Op::RaiseMemlock { .. } => !held.is_empty(),
        Op::Claim { device, .. } => {
            held.contains(device)
                || others.any(|other| matches!(other, Op::Bind { device: of, .. } if of == device))
        }
        Op::Bind { device, .. }
        | Op::PassDevice { device, .. }
        | Op::AddVfioNode { device, .. }
        | Op::HandOver { device } => {
            held.contains(device)
                || others.any(
                    |other| matches!(other, Op::AddDevice { device: Some(of), .. } if of == device),
                )
        }
        Op::AddPart {
            alias,
            kind: PartKind::Netdev,
            ..
        } => others.any(|other| matches!(other, Op::AddDevice { alias: of, .. } if of == alias)),
        Op::PassFile { set, .. } => {
            let file = format!("\"/dev/fdset/{set}\"");
            others.any(|other| match other {
                Op::AddPart { options, .. } => options.to_string().contains(&file),
                _ => false,
            })
        }
        _ => false,
    }
}
