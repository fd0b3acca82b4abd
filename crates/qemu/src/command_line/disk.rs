//! `<disk>`: the devices that show block nodes to the guest.

use super::block::{Chain, cache_mode};
use super::opt::{List, Object, Opt};
use super::{Context, Error, controller, pci};
use passthru_domain::Board;
use passthru_domain::device::address::{Address, DriveAddress};
use passthru_domain::device::controller::{ControllerModel, ControllerType};
use passthru_domain::device::disk::{CacheMode, Disk, DiskBus, DiskDevice};

pub(super) fn options(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let disks = &context.domain.devices.disks;
    let mut number = disks.iter().map(|disk| Chain::of(context, disk).len()).sum::<usize>() + 1;
    let mut options = floppy_controller(context);
    for disk in disks {
        let chain = Chain::of(context, disk);
        // Nodes are numbered from the last disk on, and within a chain from the top.
        number -= chain.len();
        options.extend(chain.nodes(number));
        options.push(Opt::device(device(context, disk, chain.top_node(number))?));
    }
    Ok(options)
}

/// Whether the guest sees a cache that it must flush.
fn write_cache(disk: &Disk) -> Option<&'static str> {
    match cache_mode(disk)? {
        CacheMode::Writethrough | CacheMode::Directsync => Some("off"),
        _ => Some("on"),
    }
}

fn device(context: &Context<'_>, disk: &Disk, drive: Option<String>) -> Result<Object, Error> {
    let bus = disk.target.bus.ok_or_else(|| lacking(disk, "bus"))?;
    let device = match bus {
        DiskBus::Virtio => virtio(context, disk)?,
        DiskBus::Ide | DiskBus::Sata => ata(context, disk, bus)?,
        DiskBus::Scsi => scsi(context, disk)?,
        DiskBus::Usb => Object::driver("usb-storage").and(pci::address(context, &disk.info)?),
        DiskBus::Fdc => Object::driver("floppy").with("unit", drive_address(disk)?.unit.unwrap_or(0)),
    };
    let boot = context.boot.of_disk(disk).filter(|_| bus != DiskBus::Fdc);
    Ok(device
        .maybe("share-rw", disk.shareable.then_some(true))
        .maybe("drive", drive)
        .with("id", disk.info.id())
        .maybe("bootindex", boot)
        .maybe("removable", (bus == DiskBus::Usb).then_some(false))
        .maybe("write-cache", write_cache(disk))
        .maybe("serial", serial(disk)))
}

/// The guest sees a backslash before each space, as libvirt makes it.
fn serial(disk: &Disk) -> Option<String> {
    disk.serial.as_ref().map(|serial| serial.replace(' ', "\\ "))
}

fn virtio(context: &Context<'_>, disk: &Disk) -> Result<Object, Error> {
    let queues = disk.driver.as_ref().and_then(|driver| driver.queues);
    Ok(Object::driver(pci::virtio("virtio-blk", &disk.info)?)
        .maybe("num-queues", queues.map(u32::from))
        .and(pci::address(context, &disk.info)?))
}

fn ata(context: &Context<'_>, disk: &Disk, bus: DiskBus) -> Result<Object, Error> {
    let driver = if disk.device == Some(DiskDevice::Cdrom) { "ide-cd" } else { "ide-hd" };
    let address = drive_address(disk)?;
    let unit = address.unit.unwrap_or(0);
    if bus == DiskBus::Ide {
        let channel = format!("ide.{}", address.bus.unwrap_or(0));
        return Ok(Object::driver(driver).with("bus", channel).with("unit", unit));
    }
    let index = address.controller.unwrap_or(0);
    let sata = controller::find(context, ControllerType::Sata, index)
        .ok_or_else(|| lacking(disk, "SATA controller"))?;
    let controller = match controller::is_built_in_sata(context, sata) {
        true => "ide",
        false => sata.info.id(),
    };
    Ok(Object::driver(driver).with("bus", format!("{controller}.{unit}")))
}

/// virtio-scsi has channels, targets and units; the old controllers only what they call units.
fn scsi(context: &Context<'_>, disk: &Disk) -> Result<Object, Error> {
    let driver = if disk.device == Some(DiskDevice::Cdrom) { "scsi-cd" } else { "scsi-hd" };
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
    let identity = disk.serial.clone().unwrap_or_else(|| format!("drive-{}", disk.info.id()));
    Ok(device.with("device_id", identity))
}

/// The floppy controller's share of the boot order; Q35 has no such controller on the board.
fn floppy_controller(context: &Context<'_>) -> Vec<Opt> {
    let disks = context.domain.devices.disks.iter();
    let floppies: Vec<_> = disks.filter(|disk| disk.target.bus == Some(DiskBus::Fdc)).collect();
    let boots = floppies.iter().filter_map(|disk| {
        let first = drive_address(disk).ok()?.unit.unwrap_or(0) == 0;
        Some((if first { "bootindexA" } else { "bootindexB" }, context.boot.of_disk(disk)?))
    });
    match context.board() {
        _ if floppies.is_empty() => Vec::new(),
        Board::Q35 => {
            let device =
                boots.fold(Object::driver("isa-fdc"), |device, (key, place)| device.with(key, place));
            vec![Opt::device(device)]
        }
        _ => boots
            .map(|(key, place)| Opt::list("-global", List::headless().with(format!("isa-fdc.{key}"), place)))
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
    Error::Incomplete { device: format!("disk '{}'", disk.target.dev), lacks }
}
