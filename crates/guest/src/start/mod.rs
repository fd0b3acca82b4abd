//! The start of a guest: its user, its record, its files and descriptors, and its VMM's process.

pub(crate) mod check;
pub(crate) mod copy;
pub(crate) mod firmware;
pub(crate) mod gate;
pub(crate) mod ids;
pub(crate) mod images;
pub(crate) mod inherited;
pub(crate) mod last_firmware;
pub(crate) mod launch;
pub(crate) mod nvram;
pub(crate) mod opened;
pub(crate) mod outside;
pub(crate) mod passwords;
pub(crate) mod qcow2;
pub(crate) mod record;
pub(crate) mod slow_start;
pub(crate) mod spawn;
pub(crate) mod user;
pub(crate) mod vfio_folder;

use passthru_domain::Domain;
use passthru_domain::device::chardev::CharSourceType;

/// Returns whether the domain has a character device on the VMM's standard output.
pub fn has_stdio(domain: &Domain) -> bool {
    let mut ports = domain
        .devices
        .serials
        .iter()
        .chain(&domain.devices.consoles);
    ports.any(|port| port.backend.kind == Some(CharSourceType::Stdio))
}
