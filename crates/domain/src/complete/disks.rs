//! Disks: bus and address by the name of the target, and what they leave out.

use crate::model::device::disk::{
    Disk, DiskBus, DiskDevice, DiskDriverName, DiskSnapshot, DiskType, ImageFormat,
};
use crate::model::device::disk_source::{
    DiskSource, Encryption, EncryptionEngine, NetworkProtocol,
};
use crate::model::device::{Address, Devices, DriveAddress};

/// Fills in the disks, and sorts them: those of one bus stand together, by name.
pub(super) fn fill(devices: &mut Devices) {
    let mut buses = Vec::new();
    for disk in &mut devices.disks {
        plain(disk);
        place(disk);
        if !buses.contains(&disk.target.bus) {
            buses.push(disk.target.bus);
        }
    }
    let bus = |disk: &Disk| buses.iter().position(|bus| *bus == disk.target.bus);
    devices
        .disks
        .sort_by_cached_key(|disk| (bus(disk), disk.target.index()));
}

fn plain(disk: &mut Disk) {
    disk.kind.get_or_insert(DiskType::File);
    let device = *disk.device.get_or_insert(DiskDevice::Disk);
    disk.readonly |= device == DiskDevice::Cdrom;
    let driver = disk.driver.get_or_insert_default();
    driver.name.get_or_insert(DiskDriverName::Qemu);
    driver.format.get_or_insert(ImageFormat::Raw);
    if disk.kind == Some(DiskType::VhostUser) {
        disk.snapshot.get_or_insert(DiskSnapshot::No);
    }
    encryption(disk.encryption.as_mut());
    disk.source.iter_mut().for_each(source);
    let mut below = disk.backing.as_deref_mut();
    while let Some(store) = below {
        store.source.iter_mut().for_each(source);
        below = store.backing.as_deref_mut();
    }
    let bus = bus_of_name(&disk.target.dev, device);
    disk.target.bus.get_or_insert(bus);
}

/// iSCSI's first unit is 0; the emulator decrypts unless another is named.
fn source(source: &mut DiskSource) {
    if source.protocol == Some(NetworkProtocol::Iscsi)
        && let Some(name) = source.name.as_mut().filter(|name| !name.contains('/'))
    {
        name.push_str("/0");
    }
    encryption(source.encryption.as_mut());
}

fn encryption(encryption: Option<&mut Encryption>) {
    if let Some(encryption) = encryption {
        encryption.engine.get_or_insert(EncryptionEngine::Qemu);
    }
}

fn bus_of_name(name: &str, device: DiskDevice) -> DiskBus {
    match name.get(..2) {
        _ if device == DiskDevice::Floppy => DiskBus::Fdc,
        Some("fd") => DiskBus::Fdc,
        Some("sd") => DiskBus::Scsi,
        Some("vd") => DiskBus::Virtio,
        _ => DiskBus::Ide,
    }
}

/// Gives a disk the address that its name stands for on its bus, where it has none.
fn place(disk: &mut Disk) {
    if disk.info.address.is_none()
        && let (Some(bus), Some(index)) = (disk.target.bus, disk.target.index())
        && let Some((controller, bus, unit)) = drive_of(bus, index)
    {
        let (controller, bus) = (Some(controller), Some(bus));
        let address = DriveAddress {
            controller,
            bus,
            target: Some(0),
            unit: Some(unit),
        };
        disk.info.address = Some(Address::Drive(address));
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

/// Returns controller, bus and unit of the drive with this number.
const fn drive_of(bus: DiskBus, index: u32) -> Option<(u32, u32, u32)> {
    match bus {
        DiskBus::Scsi => {
            // 15 to a controller: unit 7 is the controller itself.
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
