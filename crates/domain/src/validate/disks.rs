//! Disks: names, buses, media, access and addresses.

use super::check::{Check, duplicates};
use super::controllers::has_ide;
use super::disk_types;
use crate::model::device::controller::{ControllerModel, ControllerType};
use crate::model::device::disk::{CacheMode, Disk, DiskBus, DiskDevice, ImageFormat, IoMode};
use crate::model::device::{Address, DriveAddress};
use crate::platform::{Board, Machine};

pub(super) fn check(check: &mut Check<'_>) {
    let disks = &check.domain.devices.disks;
    for (_, second) in duplicates(disks.iter().map(|d| (&d.target.dev, d))) {
        let message = format!("two disks have the target '{}'", second.target.dev);
        check.error(&second.info.span, message);
    }

    for disk in disks {
        let Some(bus) = disk.target.bus else { continue };
        check_name(check, disk, bus);
        check_media(check, disk, bus);
        check_access(check, disk, bus);
        check_address(check, disk, bus);
    }

    check_drives(check);
    disk_types::check(check);
}

/// Checks the name of the target, and that the machine has its bus.
fn check_name(check: &mut Check<'_>, disk: &Disk, bus: DiskBus) {
    let dev = &disk.target.dev;
    if disk.target.index().is_none() {
        let message = format!("the target '{dev}' is not the name of a disk");
        check.error_with_hint(
            &disk.info.span,
            message,
            "use vda, vdb … for virtio, sda … for sata, scsi and usb, hda … for ide",
        );
    }

    let usb = check.domain.devices.controllers_of(ControllerType::Usb);
    if bus == DiskBus::Usb
        && usb
            .into_iter()
            .all(|c| c.model == Some(ControllerModel::None))
    {
        let message = format!("disk '{dev}' is on USB, but the guest has no USB controller");
        check.error_with_hint(
            &disk.info.span,
            message,
            "add <controller type='usb' model='qemu-xhci'/>",
        );
    }

    if bus == DiskBus::Ide && !has_ide(check.machine.board) {
        let name = &check.machine.name;
        let message = format!("the machine '{name}' has no IDE controller (disk '{dev}')");
        check.error_with_hint(&disk.info.span, message, bus_hint(check.machine, disk));
    }

    if bus == DiskBus::Fdc && check.machine.board == Board::Virt {
        let message = format!(
            "the machine '{}' has no floppy controller (disk '{dev}')",
            check.machine.name
        );
        check.error(&disk.info.span, message);
    }
}

/// Returns advice on the buses that a disk can be on.
fn bus_hint(machine: &Machine, disk: &Disk) -> &'static str {
    let has_sata = machine.has_pci() && machine.board != Board::S390Ccw;
    match disk.device.unwrap_or(DiskDevice::Disk) {
        DiskDevice::Floppy => "use the bus 'fdc'",
        DiskDevice::Lun => "use the bus 'scsi' or 'virtio'",
        DiskDevice::Cdrom if has_sata => "use the bus 'sata' or 'scsi'",
        DiskDevice::Cdrom => "use the bus 'scsi'",
        DiskDevice::Disk if has_sata && !disk.readonly => "use the bus 'sata' or 'virtio'",
        DiskDevice::Disk => "use the bus 'virtio' or 'scsi'",
    }
}

/// Checks that the bus supports the medium, and that a disk has a source.
fn check_media(check: &mut Check<'_>, disk: &Disk, bus: DiskBus) {
    let dev = &disk.target.dev;
    let span = &disk.info.span;
    let device = disk.device.unwrap_or(DiskDevice::Disk);
    let fits = match device {
        DiskDevice::Disk => bus != DiskBus::Fdc,
        DiskDevice::Lun => matches!(bus, DiskBus::Scsi | DiskBus::Virtio),
        DiskDevice::Cdrom => !matches!(bus, DiskBus::Virtio | DiskBus::Fdc),
        DiskDevice::Floppy => bus == DiskBus::Fdc,
    };
    if !fits {
        check.error_with_hint(
            span,
            format!("a {device} cannot be on the bus '{bus}' (disk '{dev}')"),
            bus_hint(check.machine, disk),
        );
    }

    if device == DiskDevice::Disk && disk.source.as_ref().is_none_or(|s| !s.has_location()) {
        check.error(
            span,
            format!("disk '{dev}' needs a <source>: only a CD-ROM or floppy can be empty"),
        );
    }
}

/// Checks read-only and shareable disks, cache, I/O mode and queues.
fn check_access(check: &mut Check<'_>, disk: &Disk, bus: DiskBus) {
    let dev = &disk.target.dev;
    let span = &disk.info.span;
    let device = disk.device.unwrap_or(DiskDevice::Disk);
    if disk.readonly && device == DiskDevice::Disk && matches!(bus, DiskBus::Ide | DiskBus::Sata) {
        let message = format!("disk '{dev}': a disk on the bus '{bus}' cannot be read-only");
        check.error_with_hint(
            span,
            message,
            "use the bus 'virtio' or 'scsi', or device='cdrom'",
        );
    }

    let Some(driver) = &disk.driver else { return };
    if disk.shareable && driver.format == Some(ImageFormat::Qcow2) {
        check.error(
            span,
            format!("disk '{dev}': an image of format 'qcow2' cannot be <shareable/>"),
        );
    }

    let unbuffered = matches!(driver.cache, Some(CacheMode::None | CacheMode::Directsync));
    if driver.io == Some(IoMode::Native) && !unbuffered {
        let message = format!("disk '{dev}': io='native' needs cache='none' or cache='directsync'");
        check.error(span, message);
    }

    if driver.queues.is_some() && bus != DiskBus::Virtio {
        check.error(
            span,
            format!("disk '{dev}': only a disk on the bus 'virtio' can have 'queues'"),
        );
    }
}

/// Checks that a drive address is in range and that its controller exists.
fn check_address(check: &mut Check<'_>, disk: &Disk, bus: DiskBus) {
    let dev = &disk.target.dev;
    let span = &disk.info.span;
    let Some(Address::Drive(drive)) = &disk.info.address else {
        return;
    };
    let DriveAddress {
        controller,
        bus: channel,
        target,
        unit,
    } = drive;
    let (channels, targets, units) = match bus {
        DiskBus::Ide => (2, 1, 2),
        DiskBus::Sata => (1, 1, 6),
        DiskBus::Fdc => (1, 1, 2),
        DiskBus::Scsi => (1, 256, 16384),
        DiskBus::Virtio | DiskBus::Usb | DiskBus::Sd => return,
    };
    for (part, value, count) in [
        ("bus", channel, channels),
        ("target", target, targets),
        ("unit", unit, units),
    ] {
        if let Some(value) = value.filter(|value| *value >= count) {
            let last = count - 1;
            let message = format!(
                "disk '{dev}': {part} {value} of its address is above {last}, the last of a \
                 controller on '{bus}'"
            );
            check.error(span, message);
        }
    }

    let kind = match bus {
        DiskBus::Ide => ControllerType::Ide,
        DiskBus::Sata => ControllerType::Sata,
        DiskBus::Fdc => ControllerType::Fdc,
        _ => ControllerType::Scsi,
    };
    if controller.is_some_and(|index| !check.has_controller(kind, index)) {
        let index = controller.unwrap_or_default();
        check.error(
            span,
            format!("disk '{dev}': there is no '{kind}' controller {index}"),
        );
    }
}

/// Checks that drive addresses are unique.
fn check_drives(check: &mut Check<'_>) {
    let drives = check
        .domain
        .devices
        .disks
        .iter()
        .filter_map(|d| match &d.info.address {
            Some(Address::Drive(drive)) => Some(((d.target.bus, drive), d)),
            _ => None,
        });
    for (first, second) in duplicates(drives) {
        let one = &first.target.dev;
        let other = &second.target.dev;
        let message = format!("disks '{one}' and '{other}' have the same drive address");
        check.error(&second.info.span, message);
    }
}
