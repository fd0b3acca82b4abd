//! `<disk>`: a disk, CD-ROM or floppy disk.

use super::Info;
use super::secret::Auth;
use super::sgio::Sgio;
use super::virtio::VirtioModel;
use crate::xml::value::{Value, words};
use crate::xml::{Element, Visitor};

pub use super::disk_driver::{
    CacheMode, DetectZeroes, Discard, DiskDriver, DiskDriverName, ErrorPolicy, ImageFormat, IoMode,
    MetadataCache, QueueThread, QueueThreads,
};
pub use super::disk_source::DiskSource;
pub use super::encryption::Encryption;
pub use super::iotune::IoTune;

words! {
    /// The kind of a disk's storage.
    pub enum DiskType {
        /// An image file.
        File = "file",
        /// A block device.
        Block = "block",
        /// A directory, shown as a FAT disk.
        Dir = "dir",
        /// Network storage.
        Network = "network",
        /// A volume of a libvirt storage pool.
        Volume = "volume",
        /// An NVMe disk of the host, driven by the emulator itself.
        Nvme = "nvme",
        /// A vhost-user process, through shared memory.
        VhostUser = "vhostuser",
        /// A vDPA device of the host.
        VhostVdpa = "vhostvdpa",
    }
}

words! {
    /// The kind of disk that the guest sees.
    pub enum DiskDevice {
        /// A hard disk.
        Disk = "disk",
        /// A CD-ROM.
        Cdrom = "cdrom",
        /// A floppy disk.
        Floppy = "floppy",
        /// A SCSI disk of the host that gets the guest's SCSI commands.
        Lun = "lun",
    }
}

words! {
    /// The bus of a disk.
    pub enum DiskBus {
        /// virtio-blk.
        Virtio = "virtio",
        /// Serial ATA.
        Sata = "sata",
        /// SCSI.
        Scsi = "scsi",
        /// Parallel ATA.
        Ide = "ide",
        /// USB storage.
        Usb = "usb",
        /// Floppy.
        Fdc = "fdc",
        /// SD card.
        Sd = "sd",
    }
}

words! {
    /// The firmware's translation of a disk's geometry.
    pub enum GeometryTrans {
        /// Translation by size.
        Auto = "auto",
        /// No translation.
        None = "none",
        /// Logical block addressing.
        Lba = "lba",
    }
}

words! {
    /// The handling of a disk in snapshots.
    pub enum DiskSnapshot {
        /// Not part of snapshots.
        No = "no",
        /// A snapshot within the image.
        Internal = "internal",
        /// A snapshot in another image.
        External = "external",
        /// A snapshot made by hand.
        Manual = "manual",
    }
}

words! {
    /// The state of a disk's tray.
    pub enum Tray {
        /// The tray is open.
        Open = "open",
        /// The tray is closed.
        Closed = "closed",
    }
}

/// `<disk>`: a disk, CD-ROM or floppy disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Disk {
    /// Alias and address of the device.
    pub info: Info,
    /// Kind of the storage.
    pub kind: Option<DiskType>,
    /// Kind of disk that the guest sees. If it is absent, a hard disk.
    pub device: Option<DiskDevice>,
    /// Model of a virtio disk.
    pub model: Option<VirtioModel>,
    /// Permission of the emulator to send any SCSI command.
    pub rawio: Option<bool>,
    /// Filter for SCSI commands of the guest.
    pub sgio: Option<Sgio>,
    /// Handling in snapshots.
    pub snapshot: Option<DiskSnapshot>,
    /// Format of the image, caching and I/O.
    pub driver: Option<DiskDriver>,
    /// Login to the storage server.
    pub auth: Option<Auth>,
    /// Location of the image.
    pub source: Option<DiskSource>,
    /// Backing images of the image, nearest first.
    pub backing: Option<Box<BackingStore>>,
    /// Cylinders, heads and sectors.
    pub geometry: Option<Geometry>,
    /// Block sizes.
    pub blockio: Option<BlockIo>,
    /// Bus, and name in the document.
    pub target: DiskTarget,
    /// Limits of the throughput.
    pub iotune: Option<Box<IoTune>>,
    /// `<readonly/>`: the guest cannot write.
    pub readonly: bool,
    /// `<shareable/>`: several guests may use the disk at the same time.
    pub shareable: bool,
    /// `<transient/>`: writes are lost when the guest ends.
    pub transient: bool,
    /// Serial number that the guest sees.
    pub serial: Option<String>,
    /// World-wide name that the guest sees.
    pub wwn: Option<Wwn>,
    /// Vendor that the guest sees.
    pub vendor: Option<String>,
    /// Product that the guest sees.
    pub product: Option<String>,
    /// Encryption of the contents.
    pub encryption: Option<Encryption>,
}

/// A world-wide name: 16 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wwn {
    text: String,
    number: u64,
}

impl Wwn {
    /// Returns the name as a number.
    pub const fn number(&self) -> u64 {
        self.number
    }
}

impl Value for Wwn {
    fn read(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let number = u64::from_str_radix(digits, 16)
            .ok()
            .filter(|_| digits.len() == 16);
        let number = number.ok_or_else(|| "expected 16 hexadecimal digits".to_owned())?;
        Ok(Self {
            text: text.into(),
            number,
        })
    }

    fn write(&self) -> String {
        self.text.clone()
    }
}

/// `<geometry>`: the disk's geometry.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Geometry {
    /// Number of cylinders.
    pub cyls: u32,
    /// Number of heads.
    pub heads: u32,
    /// Sectors per track.
    pub secs: u32,
    /// Translation by the firmware.
    pub trans: Option<GeometryTrans>,
}

/// `<blockio>`: block sizes in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BlockIo {
    /// Size of an addressable block.
    pub logical_block_size: Option<u32>,
    /// Size of a block that the disk writes as a whole.
    pub physical_block_size: Option<u32>,
    /// Granularity of discards.
    pub discard_granularity: Option<u32>,
}

/// `<backingStore>`: a backing image. An element without a source ends the chain.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BackingStore {
    /// Kind of the storage.
    pub kind: Option<DiskType>,
    /// Number of the image in a running guest's chain; written by libvirt, and without effect.
    pub index: Option<u32>,
    /// Format of the image.
    pub format: Option<ImageFormat>,
    /// Location of the image.
    pub source: Option<DiskSource>,
    /// Backing image of this image.
    pub backing: Option<Box<BackingStore>>,
}

impl BackingStore {
    /// Returns the element as XML text.
    pub fn format(&self) -> String {
        crate::xml::writer::write("backingStore", self)
    }
}

/// `<target>` of a disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiskTarget {
    /// Name such as `vda`, unique in the document. The letters after the prefix give the unit.
    pub dev: String,
    /// Bus. If it is absent, the prefix of the name determines the bus.
    pub bus: Option<DiskBus>,
    /// State of the tray.
    pub tray: Option<Tray>,
    /// Permission to eject a USB disk.
    pub removable: Option<bool>,
    /// Rotations per minute; 1 for a disk without rotation.
    pub rotation_rate: Option<u16>,
}

impl Disk {
    /// Returns whether the guest sees an ATA disk, on the bus `ide` or `sata`.
    pub const fn is_ata(&self) -> bool {
        matches!(self.target.bus, Some(DiskBus::Ide | DiskBus::Sata))
    }
}

impl DiskTarget {
    /// Returns the number of the name: 0 for `vda`, 25 for `sdz`, 26 for `hdaa`.
    pub fn index(&self) -> Option<u32> {
        let prefix = if self.dev.starts_with("xvd") { 3 } else { 2 };
        let letters = self
            .dev
            .get(prefix..)?
            .trim_end_matches(|c: char| c.is_ascii_digit());
        let mut index: u32 = 0;
        for c in letters.bytes() {
            let digit = c.is_ascii_lowercase().then(|| u32::from(c - b'a') + 1)?;
            index = index.checked_mul(26)?.checked_add(digit)?;
        }

        index.checked_sub(1)
    }
}

impl Element for Disk {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("type", &mut self.kind);
        v.attr("device", &mut self.device);
        v.attr("model", &mut self.model);
        v.yes_no("rawio", &mut self.rawio);
        v.attr("sgio", &mut self.sgio);
        v.attr("snapshot", &mut self.snapshot);
        v.child("driver", &mut self.driver);
        v.child("auth", &mut self.auth);
        v.child("source", &mut self.source);
        visit_backing(&mut self.backing, v);
        v.child("geometry", &mut self.geometry);
        v.child("blockio", &mut self.blockio);
        let mut target = (!v.reading()).then(|| self.target.clone());
        v.child("target", &mut target);
        match target {
            Some(target) => self.target = target,
            None => v.error("<disk> needs a <target dev='…'/>".into()),
        }

        v.child("iotune", &mut self.iotune);
        v.flag("readonly", &mut self.readonly);
        v.flag("shareable", &mut self.shareable);
        v.flag("transient", &mut self.transient);
        let mut serial = self.serial.take().map(|text| Untrimmed(Some(text)));
        v.child("serial", &mut serial);
        self.serial = serial.and_then(|serial| serial.0);
        v.leaf("wwn", &mut self.wwn);
        v.leaf("vendor", &mut self.vendor);
        v.leaf("product", &mut self.product);
        v.child("encryption", &mut self.encryption);
        self.info.visit_bootable(v);
        check_source(self.kind, self.source.as_ref(), v);
        if self.auth.is_some() && self.source.as_ref().is_some_and(|s| s.auth.is_some()) {
            v.error("<auth> is given both in the <disk> and in its <source>".into());
        }
        if self.encryption.is_some() && self.source.as_ref().is_some_and(|s| s.encryption.is_some())
        {
            v.error("<encryption> is given both in the <disk> and in its <source>".into());
        }
    }
}

/// Reports an error if the source does not fit the kind of storage.
fn check_source(kind: Option<DiskType>, source: Option<&DiskSource>, v: &mut dyn Visitor) {
    let Some(source) = source else { return };
    let kind = kind.unwrap_or(DiskType::File);
    let by_dev = matches!(kind, DiskType::Block | DiskType::VhostVdpa);
    let is_foreign = (source.file.is_some() && kind != DiskType::File)
        || (source.dir.is_some() && kind != DiskType::Dir)
        || (source.protocol.is_some() && kind != DiskType::Network)
        || ((source.pool.is_some() || source.volume.is_some()) && kind != DiskType::Volume)
        || (source.dev.is_some() && !by_dev);
    if is_foreign {
        let example = match kind {
            DiskType::File => "file='…'",
            DiskType::Block | DiskType::VhostVdpa => "dev='…'",
            DiskType::Dir => "dir='…'",
            DiskType::Network => "protocol='…' name='…'",
            DiskType::Volume => "pool='…' volume='…'",
            DiskType::Nvme => "type='pci' namespace='…'",
            DiskType::VhostUser => "type='unix' path='…'",
        };
        v.error(format!(
            "a disk of type '{kind}' needs a <source {example}/>"
        ));
    }
}

/// A text that keeps its surrounding spaces.
#[derive(Default)]
struct Untrimmed(Option<String>);

impl Element for Untrimmed {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.whole_text(&mut self.0);
    }
}

fn visit_backing(slot: &mut Option<Box<BackingStore>>, v: &mut dyn Visitor) {
    let mut backing = slot.take().map(|b| *b);
    v.child("backingStore", &mut backing);
    *slot = backing.map(Box::new);
}

impl Element for Geometry {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("cyls", &mut self.cyls);
        v.required("heads", &mut self.heads);
        v.required("secs", &mut self.secs);
        v.attr("trans", &mut self.trans);
    }
}

impl Element for BlockIo {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("logical_block_size", &mut self.logical_block_size);
        v.attr("physical_block_size", &mut self.physical_block_size);
        v.attr("discard_granularity", &mut self.discard_granularity);
    }
}

impl Element for BackingStore {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("type", &mut self.kind);
        v.attr("index", &mut self.index);
        v.child_word("format", "type", &mut self.format);
        v.child("source", &mut self.source);
        visit_backing(&mut self.backing, v);
        check_source(self.kind, self.source.as_ref(), v);
    }
}

impl Element for DiskTarget {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("dev", &mut self.dev);
        v.attr("bus", &mut self.bus);
        v.attr("tray", &mut self.tray);
        v.on_off("removable", &mut self.removable);
        v.attr("rotation_rate", &mut self.rotation_rate);
    }
}
