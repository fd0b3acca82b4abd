//! `<disk>`.

use super::Info;
use crate::xml::text::{FilePath, of_form};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// Where a disk's contents are.
    pub enum DiskType {
        /// In a file.
        File = "file",
        /// On a block device.
        Block = "block",
    }
}

words! {
    /// What the guest takes the disk for.
    pub enum DiskDevice {
        /// A hard disk.
        Disk = "disk",
        /// A CD-ROM.
        Cdrom = "cdrom",
        /// A floppy disk.
        Floppy = "floppy",
    }
}

words! {
    /// Bus that a disk is on.
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
    }
}

words! {
    /// Format of an image.
    pub enum ImageFormat {
        /// The disk's bytes as they are.
        Raw = "raw",
        /// QEMU's copy-on-write format.
        Qcow2 = "qcow2",
    }
}

words! {
    /// What the host caches of a disk.
    pub enum CacheMode {
        /// Emulator's default.
        Default = "default",
        /// Nothing (O_DIRECT).
        None = "none",
        /// Reads; each write is flushed.
        Writethrough = "writethrough",
        /// Reads and writes.
        Writeback = "writeback",
        /// Nothing, and each write is flushed.
        Directsync = "directsync",
        /// Reads and writes, and flushes of the guest are ignored.
        Unsafe = "unsafe",
    }
}

words! {
    /// How the emulator reads and writes an image.
    pub enum IoMode {
        /// By threads.
        Threads = "threads",
        /// By Linux's native asynchronous I/O.
        Native = "native",
        /// By io_uring.
        IoUring = "io_uring",
    }
}

words! {
    /// What becomes of the guest's discards.
    pub enum Discard {
        /// They reach the image.
        Unmap = "unmap",
        /// They are ignored.
        Ignore = "ignore",
    }
}

/// A disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Disk {
    /// Alias and address.
    pub info: Info,
    /// Where the contents are.
    pub kind: Option<DiskType>,
    /// What the guest takes it for; a hard disk when absent.
    pub device: Option<DiskDevice>,
    /// How the image is read and written.
    pub driver: Option<DiskDriver>,
    /// The image.
    pub source: Option<DiskSource>,
    /// The images below it, of a chain.
    pub backing: Option<Box<BackingStore>>,
    /// Bus, and name in the document.
    pub target: DiskTarget,
    /// `<readonly/>`.
    pub readonly: bool,
    /// `<shareable/>`: other guests use it at the same time.
    pub shareable: bool,
    /// Serial number that the guest sees.
    pub serial: Option<String>,
}

/// `<driver>` of a disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiskDriver {
    /// Always `qemu`.
    pub name: Option<DiskDriverName>,
    /// Format of the image; raw when absent, never probed.
    pub format: Option<ImageFormat>,
    /// What the host caches.
    pub cache: Option<CacheMode>,
    /// How it is read and written.
    pub io: Option<IoMode>,
    /// What becomes of discards.
    pub discard: Option<Discard>,
    /// Number of queues of a virtio disk.
    pub queues: Option<u16>,
}

words! {
    /// Who serves a disk.
    pub enum DiskDriverName {
        /// QEMU.
        Qemu = "qemu",
    }
}

/// `<source>` of a disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiskSource {
    /// Path of a file.
    pub file: Option<String>,
    /// Path of a block device.
    pub dev: Option<String>,
}

impl DiskSource {
    /// Returns the path, of either kind.
    pub fn path(&self) -> Option<&str> {
        self.file.as_deref().or(self.dev.as_deref())
    }
}

/// `<backingStore>`: the image below. Without a source it ends the chain.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BackingStore {
    /// Where its contents are.
    pub kind: Option<DiskType>,
    /// Its format.
    pub format: Option<ImageFormat>,
    /// The image.
    pub source: Option<DiskSource>,
    /// The image below that one.
    pub backing: Option<Box<BackingStore>>,
}

/// `<target>` of a disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiskTarget {
    /// Name such as `vda`, unique in the document; its letters say the unit.
    pub dev: String,
    /// Bus; by the name's first letters when absent.
    pub bus: Option<DiskBus>,
}

impl DiskTarget {
    /// Returns the number that the name stands for: 0 for `vda`, 25 for `sdz`, 26 for `hdaa`.
    pub fn index(&self) -> Option<u32> {
        let prefix = if self.dev.starts_with("xvd") { 3 } else { 2 };
        let letters = self.dev.get(prefix..)?.trim_end_matches(|c: char| c.is_ascii_digit());
        let mut index: u32 = 0;
        for c in letters.bytes() {
            let digit = c.is_ascii_lowercase().then(|| u32::from(c - b'a') + 1)?;
            index = index.checked_mul(26)?.checked_add(digit)?;
        }
        index.checked_sub(1)
    }
}

impl Element for Disk {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.attr("type", &mut self.kind);
        v.attr("device", &mut self.device);
        v.child("driver", &mut self.driver);
        v.child("source", &mut self.source);
        visit_backing(&mut self.backing, v);
        let mut target = (!v.reading()).then(|| self.target.clone());
        v.child("target", &mut target);
        match target {
            Some(target) => self.target = target,
            None => v.error("<disk> needs a <target dev='…'/>".into()),
        }
        v.flag("readonly", &mut self.readonly);
        v.flag("shareable", &mut self.shareable);
        v.leaf("serial", &mut self.serial);
        self.info.visit_bootable(v);
        check_source(self.kind, self.source.as_ref(), v);
    }
}

/// A file disk names a `file`, a block disk a `dev`.
fn check_source<V: Visitor>(kind: Option<DiskType>, source: Option<&DiskSource>, v: &mut V) {
    let Some(source) = source else { return };
    match kind.unwrap_or(DiskType::File) {
        DiskType::File if source.dev.is_some() => {
            v.error("a disk of type 'file' has a <source file='…'/>".into())
        }
        DiskType::Block if source.file.is_some() => {
            v.error("a disk of type 'block' has a <source dev='…'/>".into())
        }
        _ => {}
    }
}

fn visit_backing<V: Visitor>(slot: &mut Option<Box<BackingStore>>, v: &mut V) {
    let mut backing = slot.take().map(|b| *b);
    v.child("backingStore", &mut backing);
    *slot = backing.map(Box::new);
}

impl Element for DiskDriver {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.attr("name", &mut self.name);
        v.attr("type", &mut self.format);
        v.attr("cache", &mut self.cache);
        v.attr("io", &mut self.io);
        v.attr("discard", &mut self.discard);
        v.attr("queues", &mut self.queues);
    }
}

impl Element for DiskSource {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        of_form::<FilePath>(&mut self.file, |path| v.attr("file", path));
        of_form::<FilePath>(&mut self.dev, |path| v.attr("dev", path));
    }
}

impl Element for BackingStore {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.attr("type", &mut self.kind);
        v.child_word("format", "type", &mut self.format);
        v.child("source", &mut self.source);
        visit_backing(&mut self.backing, v);
        check_source(self.kind, self.source.as_ref(), v);
    }
}

impl Element for DiskTarget {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.required("dev", &mut self.dev);
        v.attr("bus", &mut self.bus);
    }
}
