//! `<disk>`: block nodes, and the devices that show them to the guest.

use passthru_domain::Board;
use passthru_domain::device::address::{Address, DriveAddress};
use passthru_domain::device::controller::{ControllerModel, ControllerType};
use passthru_domain::device::disk::{
    CacheMode, Disk, DiskBus, DiskDevice, DiskSource, DiskType, ErrorPolicy, ImageFormat, Wwn,
};

use super::block::{Chain, cache_mode};
use super::{controller, iothreads, node_number, pci, reservations, virtio};
use crate::context::Context;
use crate::error::Error;
use crate::line::{Access, FilePassing, List, Object, Opt, Want};

/// Returns the options that the guest's disks share: the floppy controller, and the helper for
/// persistent reservations.
pub(crate) fn shared(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let mut options = floppy_controller(context);
    options.extend(reservations::helper(context));
    Ok(options)
}

/// Returns the block nodes of a disk, and its device. `index` is the place among the disks.
pub(crate) fn device(context: &Context<'_>, index: usize, disk: &Disk) -> Result<Vec<Opt>, Error> {
    let chain = Chain::new(context, disk);
    let number = node_number::first_node(context, index);
    let mut options = chain.nodes(context, number)?;
    match (disk.kind, disk.target.bus) {
        (_, Some(DiskBus::Sd)) => options.push(sd_card(disk)?),
        (Some(DiskType::VhostUser), _) => options.extend(vhost_user(context, disk)?),
        _ => {
            let device = guest_device(context, disk, chain.top_node(number))?;
            options.push(Opt::device(device));
        }
    }

    Ok(options)
}

/// Returns the option of an SD card. It is on the board, so there is no `-device`.
fn sd_card(disk: &Disk) -> Result<Opt, Error> {
    let driver = disk
        .driver
        .as_ref()
        .and_then(|driver| driver.format)
        .unwrap_or(ImageFormat::Raw);
    let path = disk
        .source
        .as_ref()
        .and_then(DiskSource::path)
        .ok_or_else(|| lacking(disk, "source"))?;
    let access = if disk.readonly {
        Access::ReadOnly
    } else {
        Access::ReadWrite
    };
    let file = Want::file(
        format!("{}-source", disk.info.id()),
        path,
        access,
        FilePassing::FdSet,
    );
    let list = List::headless()
        .with("file", file)
        .with("format", driver.as_str())
        .with("if", "sd");
    let list = list.with("index", disk.target.index().unwrap_or(0));
    Ok(Opt::list(
        "-drive",
        list.maybe("readonly", disk.readonly.then_some(true)),
    ))
}

/// Returns the options of a disk that another process serves, at a socket.
fn vhost_user(context: &Context<'_>, disk: &Disk) -> Result<Vec<Opt>, Error> {
    let id = disk.info.id();
    let chardev = format!("chr-vu-{id}");
    let source = disk.source.clone().unwrap_or_default();
    let again = source
        .reconnect
        .as_ref()
        .map(|reconnect| match reconnect.socket.enabled {
            Some(true) => u64::from(reconnect.socket.timeout.unwrap_or(0)) * 1000,
            _ => 0,
        });
    let socket = List::new("socket")
        .with("id", chardev.as_str())
        .maybe("path", source.path)
        .maybe("reconnect-ms", again);
    let device = virtio(context, disk, "vhost-user-blk")?
        .with("chardev", chardev)
        .with("id", id)
        .maybe("bootindex", context.boot.of_disk(disk));
    Ok(vec![Opt::list("-chardev", socket), Opt::device(device)])
}

/// Returns `write-cache`: whether the guest must flush. `scsi-block` does not have the property:
/// the guest's commands reach the disk itself, which has its own cache.
fn write_cache(disk: &Disk) -> Option<&'static str> {
    if disk.device == Some(DiskDevice::Lun) {
        return None;
    }
    match cache_mode(disk)? {
        CacheMode::Writethrough | CacheMode::Directsync => Some("off"),
        _ => Some("on"),
    }
}

fn guest_device(
    context: &Context<'_>,
    disk: &Disk,
    drive: Option<String>,
) -> Result<Object, Error> {
    let bus = disk.target.bus.ok_or_else(|| lacking(disk, "bus"))?;
    let device = match bus {
        DiskBus::Virtio => virtio(context, disk, "virtio-blk")?,
        DiskBus::Ide | DiskBus::Sata => ata(context, disk, bus)?,
        DiskBus::Scsi => scsi(context, disk)?,
        DiskBus::Usb => Object::driver("usb-storage").and(pci::address(context, &disk.info)?),
        DiskBus::Fdc => {
            Object::driver("floppy").with("unit", drive_address(disk)?.unit.unwrap_or(0))
        }
        DiskBus::Sd => return Err(Error::unsupported("an SD card as a device")),
    };
    let boot = context.boot.of_disk(disk).filter(|_| bus != DiskBus::Fdc);
    Ok(device
        .maybe("share-rw", disk.shareable.then_some(true))
        .maybe("drive", drive)
        .with("id", disk.info.id())
        .maybe("bootindex", boot)
        .maybe("removable", removable(disk, bus))
        .maybe("write-cache", write_cache(disk))
        .and(geometry(disk))
        .and(identity(disk))
        .and(errors(disk)))
}

fn removable(disk: &Disk, bus: DiskBus) -> Option<bool> {
    let said = disk.target.removable;
    said.or((bus == DiskBus::Usb).then_some(false))
}

fn geometry(disk: &Disk) -> Object {
    let geometry = disk.geometry;
    let blockio = disk.blockio.unwrap_or_default();
    let trans = geometry.and_then(|geometry| geometry.trans);
    Object::default()
        .maybe("cyls", geometry.map(|geometry| geometry.cyls))
        .maybe("heads", geometry.map(|geometry| geometry.heads))
        .maybe("secs", geometry.map(|geometry| geometry.secs))
        .maybe("bios-chs-trans", trans.map(|trans| trans.as_str()))
        .maybe("logical_block_size", blockio.logical_block_size)
        .maybe("physical_block_size", blockio.physical_block_size)
        .maybe("discard_granularity", blockio.discard_granularity)
}

/// Returns vendor, product and numbers that the guest sees. `ide-hd` and `ide-cd` call the product
/// their `model`, and have no vendor.
fn identity(disk: &Disk) -> Object {
    let is_ata = disk.is_ata();
    let vendor = disk.vendor.clone().filter(|_| !is_ata);
    let product = if is_ata { "model" } else { "product" };
    Object::default()
        .maybe("wwn", disk.wwn.as_ref().map(Wwn::number))
        .maybe("rotation_rate", disk.target.rotation_rate.map(u32::from))
        .maybe("vendor", vendor)
        .maybe(product, disk.product.clone())
        .maybe("serial", serial(disk))
}

/// Returns the actions after a failed write (`werror`) or read (`rerror`). `enospc` is for writes
/// only.
fn errors(disk: &Disk) -> Object {
    let driver = disk.driver.as_ref();
    let writes = driver.and_then(|driver| driver.error_policy);
    let reads = driver.and_then(|driver| driver.rerror_policy);
    let reads = reads
        .or(writes)
        .filter(|policy| *policy != ErrorPolicy::Enospace);
    Object::default()
        .maybe("werror", writes.map(word))
        .maybe("rerror", reads.map(word))
}

/// Returns QEMU's word for an action.
const fn word(policy: ErrorPolicy) -> &'static str {
    match policy {
        ErrorPolicy::Enospace => "enospc",
        other => other.as_str(),
    }
}

/// Returns the serial number, with a backslash before each space as in libvirt.
fn serial(disk: &Disk) -> Option<String> {
    disk.serial
        .as_ref()
        .map(|serial| serial.replace(' ', "\\ "))
}

fn virtio(context: &Context<'_>, disk: &Disk, stem: &str) -> Result<Object, Error> {
    let driver = disk.driver.clone().unwrap_or_default();
    Ok(
        virtio::device(stem, disk.model, Some(driver.virtio), &disk.info)?
            .maybe("iothread", driver.iothread.map(iothreads::id))
            .maybe("ioeventfd", driver.ioeventfd)
            .maybe("event_idx", driver.event_idx)
            .maybe("num-queues", driver.queues.map(u32::from))
            .maybe("queue-size", driver.queue_size)
            .maybe(
                "iothread-vq-mapping",
                driver.iothreads.as_ref().map(iothreads::mapping),
            )
            .and(pci::address(context, &disk.info)?),
    )
}

fn ata(context: &Context<'_>, disk: &Disk, bus: DiskBus) -> Result<Object, Error> {
    let driver = if disk.device == Some(DiskDevice::Cdrom) {
        "ide-cd"
    } else {
        "ide-hd"
    };
    let address = drive_address(disk)?;
    let unit = address.unit.unwrap_or(0);
    if bus == DiskBus::Ide {
        let channel = format!("ide.{}", address.bus.unwrap_or(0));
        return Ok(Object::driver(driver)
            .with("bus", channel)
            .with("unit", unit));
    }

    let index = address.controller.unwrap_or(0);
    let sata = controller::find(context, ControllerType::Sata, index)
        .ok_or_else(|| lacking(disk, "SATA controller"))?;
    let controller = if controller::is_built_in_sata(context, sata) {
        "ide"
    } else {
        sata.info.id()
    };
    Ok(Object::driver(driver).with("bus", format!("{controller}.{unit}")))
}

/// Returns a disk on a SCSI controller. LSI's controllers have units only.
fn scsi(context: &Context<'_>, disk: &Disk) -> Result<Object, Error> {
    let is_lun = disk.device == Some(DiskDevice::Lun);
    let driver = match disk.device {
        Some(DiskDevice::Cdrom) => "scsi-cd",
        Some(DiskDevice::Lun) => "scsi-block",
        _ => "scsi-hd",
    };
    let address = drive_address(disk)?;
    let index = address.controller.unwrap_or(0);
    let controller = controller::find(context, ControllerType::Scsi, index)
        .ok_or_else(|| lacking(disk, "SCSI controller"))?;
    let device = Object::driver(driver).with("bus", format!("{}.0", controller.info.id()));
    let unit = address.unit.unwrap_or(0);
    let device = match controller.model {
        Some(ControllerModel::Lsilogic) => device.with("scsi-id", unit),
        _ => device
            .with("channel", address.bus.unwrap_or(0))
            .with("scsi-id", address.target.unwrap_or(0))
            .with("lun", unit),
    };
    // Without `device_id`, the guest would see the name of a block node.
    let identity = disk
        .serial
        .clone()
        .unwrap_or_else(|| format!("drive-{}", disk.info.id()));
    Ok(device.maybe("device_id", (!is_lun).then_some(identity)))
}

/// Returns the boot order of floppy drives. Q35 has no floppy controller on the board, so its
/// controller is added too.
fn floppy_controller(context: &Context<'_>) -> Vec<Opt> {
    let disks = context.domain.devices.disks.iter();
    let floppies: Vec<_> = disks
        .filter(|disk| disk.target.bus == Some(DiskBus::Fdc))
        .collect();
    let boots = floppies.iter().filter_map(|disk| {
        let first = drive_address(disk).ok()?.unit.unwrap_or(0) == 0;
        Some((
            if first { "bootindexA" } else { "bootindexB" },
            context.boot.of_disk(disk)?,
        ))
    });
    match context.board() {
        _ if floppies.is_empty() => Vec::new(),
        Board::Q35 => {
            let device = boots.fold(Object::driver("isa-fdc"), |device, (key, place)| {
                device.with(key, place)
            });
            vec![Opt::device(device)]
        }
        _ => boots
            .map(|(key, place)| {
                Opt::list(
                    "-global",
                    List::headless().with(format!("isa-fdc.{key}"), place),
                )
            })
            .collect(),
    }
}

fn drive_address(disk: &Disk) -> Result<DriveAddress, Error> {
    match &disk.info.address {
        Some(Address::Drive(address)) => Ok(address.clone()),
        _ => Err(lacking(disk, "drive address")),
    }
}

fn lacking(disk: &Disk, lacks: &'static str) -> Error {
    Error::Incomplete {
        device: format!("disk '{}'", disk.target.dev),
        lacks,
    }
}
