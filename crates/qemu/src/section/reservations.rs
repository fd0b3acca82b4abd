//! SCSI persistent reservations: the helper that makes them for all disks of the guest.

use passthru_domain::device::disk::Disk;

use crate::context::Context;
use crate::line::{Object, Opt};

/// Id of the helper that makes reservations for all disks of the guest.
pub(crate) const HELPER: &str = "pr-helper0";

/// The helper that makes reservations for the guest, where a disk wants it.
pub(crate) fn helper(context: &Context<'_>) -> Option<Opt> {
    let mut disks = context.domain.devices.disks.iter();
    let is_managed = |disk: &Disk| {
        let reservations = disk
            .source
            .as_ref()
            .and_then(|source| source.reservations.as_ref());
        reservations.and_then(|reservations| reservations.managed) == Some(true)
    };
    disks.any(is_managed).then(|| {
        let path = context.state_path(&format!("{HELPER}.sock"));
        Opt::object(Object::qom("pr-manager-helper", HELPER).with("path", path))
    })
}
