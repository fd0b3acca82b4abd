//! Devices of the host: defaults, and the drive addresses of SCSI devices.

use std::collections::HashSet;

use crate::model::device::disk::DiskBus;
use crate::model::device::hostdev::{Hostdev, HostdevModel, HostdevSource};
use crate::model::device::{Address, Devices, DriveAddress, Info};

/// Units of a SCSI controller that host devices get: those of a narrow bus, except the controller's
/// own.
const UNITS: u32 = 7;

/// Fills in the hostdevs of a domain.
pub(crate) fn fill(devices: &mut Devices) {
    for hostdev in devices.assigned_mut() {
        hostdev.managed.get_or_insert(false);
        fill_hostdev(hostdev);
    }
    assign_units(devices);
}

/// Fills in the display of a mediated device, and the unit of an iSCSI target.
fn fill_hostdev(hostdev: &mut Hostdev) {
    match &mut hostdev.source {
        HostdevSource::Mdev(_) if hostdev.model == Some(HostdevModel::VfioPci) => {
            hostdev.display.get_or_insert(false);
        }
        HostdevSource::Scsi(scsi) if scsi.is_iscsi() => {
            if let Some(name) = scsi.name.as_mut().filter(|name| !name.contains('/')) {
                name.push_str("/0");
            }
        }
        _ => {}
    }
}

/// A drive on the SCSI buses: controller, bus, target, unit.
type Drive = (u32, u32, u32, u32);

/// Gives each SCSI device without an address the first free unit, on the first controller that has
/// one.
fn assign_units(devices: &mut Devices) {
    if !devices.hostdevs.iter().any(is_scsi) {
        return;
    }
    let mut used: HashSet<Drive> = HashSet::new();
    for disk in &devices.disks {
        if disk.target.bus == Some(DiskBus::Scsi) {
            used.extend(drive_of(&disk.info));
        }
    }

    for hostdev in devices.hostdevs.iter().filter(|h| is_scsi(h)) {
        used.extend(drive_of(&hostdev.info));
    }
    let mut free = (0..).flat_map(|controller| (0..UNITS).map(move |unit| (controller, unit)));
    for hostdev in &mut devices.hostdevs {
        if !is_scsi(hostdev) || hostdev.info.address.is_some() {
            continue;
        }
        let Some((controller, unit)) =
            free.find(|(controller, unit)| used.insert((*controller, 0, 0, *unit)))
        else {
            continue;
        };
        hostdev.info.address = Some(Address::Drive(DriveAddress {
            controller: Some(controller),
            bus: Some(0),
            target: Some(0),
            unit: Some(unit),
        }));
    }
}

fn is_scsi(hostdev: &Hostdev) -> bool {
    matches!(hostdev.source, HostdevSource::Scsi(_))
}

/// Returns the drive that a device's address names.
fn drive_of(info: &Info) -> Option<Drive> {
    let Some(Address::Drive(drive)) = &info.address else {
        return None;
    };
    let [controller, bus, target, unit] =
        [drive.controller, drive.bus, drive.target, drive.unit].map(Option::unwrap_or_default);
    Some((controller, bus, target, unit))
}
