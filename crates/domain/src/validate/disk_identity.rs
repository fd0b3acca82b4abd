//! Disks: names, numbers and other attributes that the guest sees.

use super::check::Check;
use super::disk_types::error;
use crate::model::device::disk::{Disk, DiskBus, DiskDevice};

/// Longest vendor that a SCSI disk can have, in bytes.
const MAX_VENDOR: usize = 8;
/// Longest product that a SCSI disk can have, in bytes.
const MAX_PRODUCT: usize = 16;
/// Longest product that a disk on IDE or SATA can have, in bytes: the model name of ATA.
const MAX_ATA_PRODUCT: usize = 40;

/// Checks vendor, product, WWN and the other attributes that only some buses have.
pub(super) fn check(check: &mut Check<'_>, disk: &Disk) {
    let bus = disk.target.bus;
    let has_names = disk.is_ata() || bus == Some(DiskBus::Scsi);
    let max_product = if disk.is_ata() {
        MAX_ATA_PRODUCT
    } else {
        MAX_PRODUCT
    };
    for (part, text, longest) in [
        ("vendor", &disk.vendor, MAX_VENDOR),
        ("product", &disk.product, max_product),
    ] {
        let Some(text) = text else { continue };
        if !has_names {
            let message =
                format!("only a disk on the buses 'scsi', 'ide' and 'sata' can have a {part}");
            error(check, disk, &message);
        }
        if text.len() > longest || !text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            error(
                check,
                disk,
                &format!("the {part} must be at most {longest} printable ASCII characters"),
            );
        }
    }

    if disk.wwn.is_some() && !has_names {
        error(
            check,
            disk,
            "only a disk on the buses 'scsi', 'ide' and 'sata' can have a wwn",
        );
    }

    if disk.target.rotation_rate.is_some() && !has_names {
        error(
            check,
            disk,
            "only a disk on the buses 'scsi', 'ide' and 'sata' can have a rotation_rate",
        );
    }

    if disk.target.removable.is_some() && !matches!(bus, Some(DiskBus::Usb | DiskBus::Scsi)) {
        error(
            check,
            disk,
            "only a disk on the buses 'usb' and 'scsi' can have 'removable'",
        );
    }

    if disk.model.is_some() && bus != Some(DiskBus::Virtio) {
        error(
            check,
            disk,
            "only a disk on the bus 'virtio' can have a model",
        );
    }

    check_lun(check, disk);
}

/// Checks that a SCSI disk of the host has no identity of its own. The guest talks to the disk
/// itself, so the emulator's device has no such properties.
fn check_lun(check: &mut Check<'_>, disk: &Disk) {
    if disk.device != Some(DiskDevice::Lun) || disk.target.bus != Some(DiskBus::Scsi) {
        return;
    }
    for (part, is_given) in [
        ("vendor", disk.vendor.is_some()),
        ("product", disk.product.is_some()),
        ("wwn", disk.wwn.is_some()),
        ("serial", disk.serial.is_some()),
        ("geometry", disk.geometry.is_some()),
        ("blockio", disk.blockio.is_some()),
        ("removable", disk.target.removable.is_some()),
    ] {
        if is_given {
            let message = format!(
                "a disk with device='lun' cannot have {part}: the guest sees the host's disk"
            );
            error(check, disk, &message);
        }
    }
}
