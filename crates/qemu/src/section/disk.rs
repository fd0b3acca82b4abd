//! `<disk>`: the devices that show block nodes to the guest.

use passthru_domain::Board;
use passthru_domain::device::address::{Address, DriveAddress};
use passthru_domain::device::controller::{ControllerModel, ControllerType};
use passthru_domain::device::disk::{
    CacheMode, Disk, DiskBus, DiskDevice, DiskSource, DiskType, ErrorPolicy, ImageFormat, Wwn,
};

use super::block::{self, Chain, cache_mode};
use super::{controller, iothreads, pci, reservations, virtio};
use crate::context::Context;
use crate::error::Error;
use crate::line::{Access, FilePassing, List, Object, Opt, Want};

/// Options that the guest's disks share: the floppy controller, and the helper for persistent
/// reservations.
pub(crate) fn shared(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let mut options = floppy_controller(context);
    options.extend(reservations::helper(context));
    Ok(options)
}

/// The block nodes of a disk and its device.
pub(crate) fn device(context: &Context<'_>, index: usize, disk: &Disk) -> Result<Vec<Opt>, Error> {
    let chain = Chain::new(context, disk);
    let number = block::first_node(context, index);
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

/// An SD card is on the board, and has no device of its own.
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

/// A process of its own serves the disk, which is at a socket.
fn vhost_user(context: &Context<'_>, disk: &Disk) -> Result<Vec<Opt>, Error> {
    let id = disk.info.id();
    let chardev = format!("chr-vu-{id}");
    let source = disk.source.clone().unwrap_or_default();
    let again = source
        .reconnect
        .as_ref()
        .map(|reconnect| match reconnect.enabled {
            Some(true) => u64::from(reconnect.timeout.unwrap_or(0)) * 1000,
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

/// Whether the guest sees a cache that it must flush.
fn write_cache(disk: &Disk) -> Option<&'static str> {
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
    let (geometry, blockio) = (disk.geometry, disk.blockio.unwrap_or_default());
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

/// What the guest sees of maker and number.
fn identity(disk: &Disk) -> Object {
    Object::default()
        .maybe("wwn", disk.wwn.as_ref().map(Wwn::number))
        .maybe("rotation_rate", disk.target.rotation_rate.map(u32::from))
        .maybe("vendor", disk.vendor.clone())
        .maybe("product", disk.product.clone())
        .maybe("serial", serial(disk))
}

/// What becomes of the guest when a write or a read fails. A full disk is no matter of reads.
fn errors(disk: &Disk) -> Object {
    let driver = disk.driver.as_ref();
    let word = |policy: ErrorPolicy| match policy {
        ErrorPolicy::Enospace => "enospc",
        other => other.as_str(),
    };
    let writes = driver.and_then(|driver| driver.error_policy);
    let reads = driver.and_then(|driver| driver.rerror_policy);
    let reads = reads
        .or(writes)
        .filter(|policy| *policy != ErrorPolicy::Enospace);
    Object::default()
        .maybe("werror", writes.map(word))
        .maybe("rerror", reads.map(word))
}

/// The guest sees a backslash before each space, as libvirt makes it.
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

/// virtio-scsi has channels, targets and units; the old controllers only what they call units.
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
    // What the guest sees as the disk's identity: without it a node's name would show.
    let identity = disk
        .serial
        .clone()
        .unwrap_or_else(|| format!("drive-{}", disk.info.id()));
    Ok(device.maybe("device_id", (!is_lun).then_some(identity)))
}

/// The floppy controller's share of the boot order; Q35 has no such controller on the board.
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
