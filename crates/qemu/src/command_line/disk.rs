//! `<disk>`: block nodes, and the devices that show them to the guest.
//!
//! An image is a node for its file and, unless it is raw, a node for its format above it. A chain of
//! images is made from its bottom.

use super::opt::{List, Object, Opt, Term};
use super::want::{Access, By, Want};
use super::{Context, Error, controller, pci};
use passthru_domain::Board;
use passthru_domain::device::address::{Address, DriveAddress};
use passthru_domain::device::controller::{ControllerModel, ControllerType};
use passthru_domain::device::disk::{
    BackingStore, CacheMode, Discard, Disk, DiskBus, DiskDevice, DiskDriver, DiskSource, DiskType,
    ImageFormat,
};

pub(super) fn options(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let disks = &context.domain.devices.disks;
    let numbers = first_numbers(disks);
    let floppies = floppy_controller(context);
    let disks = disks.iter().zip(numbers).map(|(disk, number)| disk_options(context, disk, number));
    Ok(floppies.into_iter().chain(disks.collect::<Result<Vec<_>, _>>()?.concat()).collect())
}

/// Number of each disk's topmost node. Nodes are numbered from the last disk on.
fn first_numbers(disks: &[Disk]) -> Vec<usize> {
    let lengths = disks.iter().map(|disk| Chain::of(disk).images.len());
    let total: usize = lengths.clone().sum();
    let ends = lengths.scan(0, |sum, length| {
        *sum += length;
        Some(*sum)
    });
    ends.map(|end| total - end + 1).collect()
}

fn disk_options(context: &Context<'_>, disk: &Disk, number: usize) -> Result<Vec<Opt>, Error> {
    let chain = Chain::of(disk);
    let drive = chain.images.first().map(|image| image.top_node(number));
    let mut options = chain.nodes(number);
    options.push(Opt::device(device(context, disk, drive)?));
    Ok(options)
}

/// The images of a disk, from the top.
struct Chain<'a> {
    disk: &'a Disk,
    images: Vec<Image<'a>>,
    /// Whether the domain says that nothing is below the last image.
    is_ended: bool,
}

struct Image<'a> {
    kind: DiskType,
    format: ImageFormat,
    path: &'a str,
}

impl Image<'_> {
    fn top_node(&self, number: usize) -> String {
        let layer = if self.format == ImageFormat::Raw { "storage" } else { "format" };
        format!("libvirt-{number}-{layer}")
    }
}

impl<'a> Chain<'a> {
    fn of(disk: &'a Disk) -> Self {
        let format = disk.driver.as_ref().and_then(|driver| driver.format);
        let mut images = Vec::from_iter(image(disk.kind, format, disk.source.as_ref()));
        let mut below = disk.backing.as_deref();
        while let Some(BackingStore { kind, format, source: Some(source), backing }) = below {
            images.extend(image(*kind, *format, Some(source)));
            below = backing.as_deref();
        }
        Self { disk, images, is_ended: below.is_some() }
    }

    /// The nodes of all images, from the bottom, the topmost with that number.
    fn nodes(&self, number: usize) -> Vec<Opt> {
        let images = self.images.iter().enumerate().rev();
        images.flat_map(|(depth, image)| self.image_nodes(image, depth, number)).collect()
    }

    fn image_nodes(&self, image: &Image<'_>, depth: usize, number: usize) -> Vec<Opt> {
        let none = DiskDriver::default();
        let driver = self.disk.driver.as_ref().unwrap_or(&none);
        let readonly = depth > 0 || is_readonly(self.disk);
        let storage = format!("libvirt-{}-storage", number + depth);
        let access = if readonly { Access::ReadOnly } else { Access::ReadWrite };
        let want = Want::file(storage.as_str(), image.path, access, By::FdSet);
        let protocol = protocol(self.disk, image);
        if image.format == ImageFormat::Raw {
            let node = file_node(protocol, want, &FileNode::of(driver, readonly));
            return vec![Opt::json("-blockdev", node)];
        }
        let below = FileNode { cache: cache(driver), aio: aio(driver), ..FileNode::below_format() };
        let format = Object::default()
            .with("node-name", image.top_node(number + depth))
            .with("read-only", readonly)
            .maybe("discard", driver.discard.map(Discard::as_str))
            .maybe("cache", cache(driver))
            .with("driver", image.format.as_str())
            .with("file", storage)
            .maybe("backing", self.backing(depth, number));
        vec![Opt::json("-blockdev", file_node(protocol, want, &below)), Opt::json("-blockdev", format)]
    }

    /// What an image's format node says of the image below: its node, none, or nothing where the domain
    /// does not say and QEMU finds it by the image's own header.
    fn backing(&self, depth: usize, number: usize) -> Option<Term> {
        match self.images.get(depth + 1) {
            Some(image) => Some(image.top_node(number + depth + 1).into()),
            None => self.is_ended.then_some(Term::Null),
        }
    }
}

fn image(
    kind: Option<DiskType>,
    format: Option<ImageFormat>,
    source: Option<&DiskSource>,
) -> Option<Image<'_>> {
    let path = source?.path()?;
    Some(Image { kind: kind.unwrap_or(DiskType::File), format: format.unwrap_or(ImageFormat::Raw), path })
}

fn is_readonly(disk: &Disk) -> bool {
    disk.readonly || disk.device == Some(DiskDevice::Cdrom)
}

/// QEMU's driver for where the image is.
fn protocol(disk: &Disk, image: &Image<'_>) -> &'static str {
    let is_drive = image.path == "/dev/cdrom" || image.path.starts_with("/dev/sr");
    match image.kind {
        DiskType::File => "file",
        DiskType::Block if disk.device == Some(DiskDevice::Cdrom) && is_drive => "host_cdrom",
        DiskType::Block => "host_device",
    }
}

/// What a file's node says beside its driver, path and name.
pub(super) struct FileNode {
    /// Read-only or not; nothing below a format node, which says it itself.
    readonly: Option<bool>,
    discard: Option<&'static str>,
    cache: Option<Object>,
    aio: Option<&'static str>,
}

impl FileNode {
    /// A raw image without anything said.
    pub(super) fn plain(readonly: bool) -> Self {
        Self { readonly: Some(readonly), discard: None, cache: None, aio: None }
    }

    /// The file below a format node.
    pub(super) fn below_format() -> Self {
        Self { readonly: None, discard: Some("unmap"), cache: None, aio: None }
    }

    fn of(driver: &DiskDriver, readonly: bool) -> Self {
        let discard = driver.discard.map(Discard::as_str);
        Self { readonly: Some(readonly), discard, cache: cache(driver), aio: aio(driver) }
    }
}

/// A block node for a file; its name is the want's.
pub(super) fn file_node(driver: &str, file: Want, node: &FileNode) -> Object {
    let name = file.name.clone();
    Object::driver(driver)
        .with("filename", file)
        .maybe("aio", node.aio)
        .with("node-name", name)
        .maybe("read-only", node.readonly)
        .maybe("auto-read-only", node.readonly.is_none().then_some(true))
        .maybe("discard", node.discard)
        .maybe("cache", node.cache.clone())
}

fn aio(driver: &DiskDriver) -> Option<&'static str> {
    driver.io.map(|io| io.as_str())
}

fn cache_mode(driver: &DiskDriver) -> Option<CacheMode> {
    driver.cache.filter(|cache| *cache != CacheMode::Default)
}

fn cache(driver: &DiskDriver) -> Option<Object> {
    let mode = cache_mode(driver)?;
    let direct = matches!(mode, CacheMode::None | CacheMode::Directsync);
    Some(Object::default().with("direct", direct).with("no-flush", mode == CacheMode::Unsafe))
}

/// Whether the guest sees a cache that it must flush.
fn write_cache(disk: &Disk) -> Option<&'static str> {
    match cache_mode(disk.driver.as_ref()?)? {
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
        DiskBus::Usb => usb(context)?,
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
        .maybe("serial", disk.serial.as_deref()))
}

fn virtio(context: &Context<'_>, disk: &Disk) -> Result<Object, Error> {
    let queues = disk.driver.as_ref().and_then(|driver| driver.queues);
    Ok(Object::driver(pci::virtio(context, "virtio-blk", &disk.info)?)
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

/// On the first USB controller, on the next port that is free.
fn usb(context: &Context<'_>) -> Result<Object, Error> {
    let controller = controller::find(context, ControllerType::Usb, 0)
        .ok_or_else(|| Error::unsupported("a USB disk without a USB controller"))?;
    Ok(Object::driver("usb-storage").with("bus", format!("{}.0", controller.info.id())))
}

/// The floppy controller's share of the boot order; Q35 has none on the board.
fn floppy_controller(context: &Context<'_>) -> Option<Opt> {
    let disks = context.domain.devices.disks.iter();
    let floppies: Vec<_> = disks.filter(|disk| disk.target.bus == Some(DiskBus::Fdc)).collect();
    let boots = floppies.iter().filter_map(|disk| {
        let first = drive_address(disk).ok()?.unit.unwrap_or(0) == 0;
        Some((if first { "bootindexA" } else { "bootindexB" }, context.boot.of_disk(disk)?))
    });
    if context.board() == Board::Q35 {
        let device = boots.fold(Object::driver("isa-fdc"), |device, (key, place)| device.with(key, place));
        return (!floppies.is_empty()).then(|| Opt::device(device));
    }
    let (key, place) = boots.last()?;
    Some(Opt::list("-global", List::headless().with(format!("isa-fdc.{key}"), place)))
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
