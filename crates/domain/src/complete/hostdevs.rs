//! Devices of the host: what they leave out, and the places of SCSI devices.

use std::collections::HashSet;

use crate::model::device::disk::DiskBus;
use crate::model::device::hostdev::{Hostdev, HostdevModel, HostdevSource};
use crate::model::device::{Address, Devices, DriveAddress};

/// Units of a controller that are given to devices of the host: those of a narrow bus, without its
/// own.
const UNITS: u32 = 7;

/// Fills in the hostdevs of a domain.
pub(super) fn fill(devices: &mut Devices) {
    for hostdev in devices.assigned_mut() {
        hostdev.managed.get_or_insert(false);
        plain(hostdev);
    }
    units(devices);
}

fn plain(hostdev: &mut Hostdev) {
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

/// A place on the SCSI buses: controller, bus, target, unit.
type Place = (u32, u32, u32, u32);

/// Gives SCSI devices the first unit that is free on the first controller that has one.
fn units(devices: &mut Devices) {
    let is_scsi = |hostdev: &&Hostdev| matches!(hostdev.source, HostdevSource::Scsi(_));
    if !devices.hostdevs.iter().any(|hostdev| is_scsi(&hostdev)) {
        return;
    }
    let of_hostdevs = devices
        .hostdevs
        .iter()
        .filter(is_scsi)
        .map(|hostdev| &hostdev.info);
    let of_disks = devices
        .disks
        .iter()
        .filter(|disk| disk.target.bus == Some(DiskBus::Scsi))
        .map(|disk| &disk.info);
    let mut used: HashSet<Place> = of_disks.chain(of_hostdevs).filter_map(place_of).collect();
    let mut free = (0..).flat_map(|controller| (0..UNITS).map(move |unit| (controller, unit)));
    for hostdev in &mut devices.hostdevs {
        let is_scsi = matches!(hostdev.source, HostdevSource::Scsi(_));
        if !is_scsi || hostdev.info.address.is_some() {
            continue;
        }
        let Some((controller, unit)) =
            free.find(|(controller, unit)| used.insert((*controller, 0, 0, *unit)))
        else {
            continue;
        };
        let [controller, unit] = [controller, unit].map(Some);
        let address = DriveAddress {
            controller,
            bus: Some(0),
            target: Some(0),
            unit,
        };
        hostdev.info.address = Some(Address::Drive(address));
    }
}

fn place_of(info: &crate::model::device::Info) -> Option<Place> {
    let Some(Address::Drive(drive)) = &info.address else {
        return None;
    };
    let [controller, bus, target, unit] =
        [drive.controller, drive.bus, drive.target, drive.unit].map(Option::unwrap_or_default);
    Some((controller, bus, target, unit))
}
