//! SCSI persistent reservations: the helper that makes them for all disks of the guest.

use passthru_domain::device::disk::Disk;

use crate::context::Context;
use crate::line::{Object, Opt};

/// Id of the helper that makes reservations for all disks of the guest.
pub(crate) const HELPER: &str = "pr-helper0";

/// Returns the helper that makes reservations for all disks of the guest, if a disk uses it.
pub(crate) fn helper(context: &Context<'_>) -> Option<Opt> {
    let mut disks = context.domain.devices.disks.iter();
    if !disks.any(uses_helper) {
        return None;
    }
    let path = context.state_path(&format!("{HELPER}.sock"));
    let helper = Object::qom("pr-manager-helper", HELPER).with("path", path);
    Some(Opt::object(helper))
}

fn uses_helper(disk: &Disk) -> bool {
    let source = disk.source.as_ref();
    let reservations = source.and_then(|source| source.reservations.as_ref());
    reservations.and_then(|reservations| reservations.managed) == Some(true)
}
