//! Disks: bus and address by the name of the target, and other defaults.

use crate::model::device::disk::{
    Disk, DiskBus, DiskDevice, DiskDriverName, DiskSnapshot, DiskType, ImageFormat,
};
use crate::model::device::disk_source::{DiskSource, NetworkProtocol};
use crate::model::device::encryption::{Encryption, EncryptionEngine};
use crate::model::device::{Address, Devices, DriveAddress};

/// Fills in the disks and sorts them by bus, then by name. The buses keep their order.
pub(super) fn fill(devices: &mut Devices) {
    let mut buses = Vec::new();
    for disk in &mut devices.disks {
        fill_one(disk);
        if !buses.contains(&disk.target.bus) {
            buses.push(disk.target.bus);
        }
    }

    devices.disks.sort_by_cached_key(|disk| {
        let bus = buses.iter().position(|bus| *bus == disk.target.bus);
        (bus, disk.target.index())
    });
}

/// Fills in the defaults of a disk, and its address if its bus has drives.
pub(crate) fn fill_one(disk: &mut Disk) {
    fill_disk(disk);
    fill_address(disk);
}

/// Fills in everything but the address of a disk.
fn fill_disk(disk: &mut Disk) {
    disk.kind.get_or_insert(DiskType::File);
    let device = *disk.device.get_or_insert(DiskDevice::Disk);
    disk.readonly |= device == DiskDevice::Cdrom;
    let driver = disk.driver.get_or_insert_default();
    driver.name.get_or_insert(DiskDriverName::Qemu);
    driver.format.get_or_insert(ImageFormat::Raw);
    if disk.kind == Some(DiskType::VhostUser) {
        disk.snapshot.get_or_insert(DiskSnapshot::No);
    }
    fill_encryption(disk.encryption.as_mut());
    if let Some(source) = &mut disk.source {
        fill_source(source);
    }
    let mut below = disk.backing.as_deref_mut();
    while let Some(store) = below {
        if let Some(source) = &mut store.source {
            fill_source(source);
        }
        below = store.backing.as_deref_mut();
    }

    let bus = bus_of_name(&disk.target.dev, device);
    disk.target.bus.get_or_insert(bus);
}

/// Fills in the unit 0 of an iSCSI target, and the engine of an encrypted image.
fn fill_source(source: &mut DiskSource) {
    if source.protocol == Some(NetworkProtocol::Iscsi)
        && let Some(name) = source.name.as_mut().filter(|name| !name.contains('/'))
    {
        name.push_str("/0");
    }

    fill_encryption(source.encryption.as_mut());
}

/// Sets the emulator as the engine that decrypts, if none is named.
fn fill_encryption(encryption: Option<&mut Encryption>) {
    if let Some(encryption) = encryption {
        encryption.engine.get_or_insert(EncryptionEngine::Qemu);
    }
}

/// Returns the bus that the name of a target stands for.
fn bus_of_name(name: &str, device: DiskDevice) -> DiskBus {
    match name.get(..2) {
        _ if device == DiskDevice::Floppy => DiskBus::Fdc,
        Some("fd") => DiskBus::Fdc,
        Some("sd") => DiskBus::Scsi,
        Some("vd") => DiskBus::Virtio,
        _ => DiskBus::Ide,
    }
}

/// Gives a disk without an address the one that its bus and name imply. Missing parts of a drive's
/// address become 0.
fn fill_address(disk: &mut Disk) {
    if disk.info.address.is_none()
        && let (Some(bus), Some(index)) = (disk.target.bus, disk.target.index())
        && let Some((controller, bus, unit)) = drive_of(bus, index)
    {
        disk.info.address = Some(Address::Drive(DriveAddress {
            controller: Some(controller),
            bus: Some(bus),
            target: Some(0),
            unit: Some(unit),
        }));
    }

    if let Some(Address::Drive(drive)) = &mut disk.info.address {
        for part in [
            &mut drive.controller,
            &mut drive.bus,
            &mut drive.target,
            &mut drive.unit,
        ] {
            part.get_or_insert(0);
        }
    }
}

/// Returns the controller, channel and unit of the drive with this number; `None` if drives of this
/// kind of bus have no such address.
const fn drive_of(bus: DiskBus, index: u32) -> Option<(u32, u32, u32)> {
    match bus {
        DiskBus::Scsi => {
            // A controller has 15 drives: unit 7 is the controller itself.
            let unit = index % 15;
            Some((index / 15, 0, if unit >= 7 { unit + 1 } else { unit }))
        }
        DiskBus::Ide => Some((index / 4, index % 4 / 2, index % 2)),
        DiskBus::Sata => Some((index / 6, 0, index % 6)),
        DiskBus::Fdc => Some((index / 2, 0, index % 2)),
        DiskBus::Virtio | DiskBus::Usb | DiskBus::Sd => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drives_fill_their_controllers_in_turn() {
        assert_eq!(drive_of(DiskBus::Ide, 3), Some((0, 1, 1)));
        assert_eq!(drive_of(DiskBus::Sata, 7), Some((1, 0, 1)));
        assert_eq!(
            drive_of(DiskBus::Scsi, 7),
            Some((0, 0, 8)),
            "unit 7 is the controller"
        );
        assert_eq!(drive_of(DiskBus::Scsi, 15), Some((1, 0, 0)));
        assert_eq!(drive_of(DiskBus::Virtio, 0), None);
    }
}
