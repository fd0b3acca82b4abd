//! `<driver>` of a disk: format of the image, caching and I/O.

use super::virtio::VirtioOptions;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The format of a disk image.
    pub enum ImageFormat {
        /// The plain contents of the disk.
        Raw = "raw",
        /// QEMU's copy-on-write format.
        Qcow2 = "qcow2",
        /// Bochs.
        Bochs = "bochs",
        /// Compressed loop (Knoppix).
        Cloop = "cloop",
        /// Apple disk image.
        Dmg = "dmg",
        /// CD-ROM image; read as raw.
        Iso = "iso",
        /// Virtual PC.
        Vpc = "vpc",
        /// VirtualBox.
        Vdi = "vdi",
        /// FAT disk made of a directory.
        Fat = "fat",
        /// Hyper-V.
        Vhdx = "vhdx",
        /// QEMU's first copy-on-write format.
        Qcow = "qcow",
        /// QEMU's enhanced disk format.
        Qed = "qed",
        /// VMware.
        Vmdk = "vmdk",
        /// Parallels.
        Ploop = "ploop",
        /// LUKS; read as raw with encryption.
        Luks = "luks",
    }
}

words! {
    /// The host's caching of a disk.
    pub enum CacheMode {
        /// The emulator's default.
        Default = "default",
        /// No cache (`O_DIRECT`).
        None = "none",
        /// Cached reads; each write is flushed.
        Writethrough = "writethrough",
        /// Cached reads and writes.
        Writeback = "writeback",
        /// No cache; each write is flushed.
        Directsync = "directsync",
        /// Cached reads and writes; flushes of the guest are ignored.
        Unsafe = "unsafe",
    }
}

words! {
    /// The emulator's way of disk I/O.
    pub enum IoMode {
        /// A thread pool.
        Threads = "threads",
        /// Linux native asynchronous I/O.
        Native = "native",
        /// io_uring.
        IoUring = "io_uring",
    }
}

words! {
    /// The handling of the guest's discards.
    pub enum Discard {
        /// Discards reach the image.
        Unmap = "unmap",
        /// Discards are ignored.
        Ignore = "ignore",
    }
}

words! {
    /// The handling of zero blocks that the guest writes.
    pub enum DetectZeroes {
        /// Zeros are written.
        Off = "off",
        /// Zeros are written as holes.
        On = "on",
        /// Zero blocks are discarded.
        Unmap = "unmap",
    }
}

words! {
    /// The reaction to a disk error.
    pub enum ErrorPolicy {
        /// The guest pauses.
        Stop = "stop",
        /// The guest gets the error.
        Report = "report",
        /// The guest does not get the error.
        Ignore = "ignore",
        /// The guest pauses if the disk is full, and gets all other errors.
        Enospace = "enospace",
    }
}

words! {
    /// The implementation of a disk.
    pub enum DiskDriverName {
        /// QEMU.
        Qemu = "qemu",
    }
}

/// `<driver>` of a disk: format of the image, caching and I/O.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiskDriver {
    /// Implementation, always `qemu`.
    pub name: Option<DiskDriverName>,
    /// Format of the image. If it is absent, raw; the format is never probed.
    pub format: Option<ImageFormat>,
    /// Caching by the host.
    pub cache: Option<CacheMode>,
    /// Reaction to a failed write.
    pub error_policy: Option<ErrorPolicy>,
    /// Reaction to a failed read.
    pub rerror_policy: Option<ErrorPolicy>,
    /// The emulator's way of disk I/O.
    pub io: Option<IoMode>,
    /// Asynchronous notification of requests (`ioeventfd`).
    pub ioeventfd: Option<bool>,
    /// Suppression of unneeded notifications (`event_idx`).
    pub event_idx: Option<bool>,
    /// Copying of blocks that were read from a backing image.
    pub copy_on_read: Option<bool>,
    /// Handling of discards.
    pub discard: Option<Discard>,
    /// Id of the I/O thread for the disk.
    pub iothread: Option<u32>,
    /// Handling of zero blocks.
    pub detect_zeroes: Option<DetectZeroes>,
    /// Number of queues (virtio).
    pub queues: Option<u16>,
    /// Length of a queue (virtio).
    pub queue_size: Option<u32>,
    /// Retention of discarded clusters in the image (qcow2).
    pub discard_no_unref: Option<bool>,
    /// Options of the virtio device.
    pub virtio: VirtioOptions,
    /// I/O threads for the queues.
    pub iothreads: Option<QueueThreads>,
    /// Cache of the image's tables (qcow2).
    pub metadata_cache: Option<MetadataCache>,
}

/// `<iothreads>` of a driver: I/O threads for the queues.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueThreads {
    /// The threads.
    pub iothreads: Vec<QueueThread>,
}

/// `<iothread>` of a driver: one I/O thread with its queues.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueThread {
    /// Id of the I/O thread.
    pub id: u32,
    /// Numbers of the queues. If no thread has a list, the queues are distributed among the
    /// threads.
    pub queues: Vec<u32>,
}

/// `<metadata_cache>`: the cache of the image's tables (qcow2).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetadataCache {
    /// Largest size of the cache.
    pub max_size: Option<crate::model::memory::Memory>,
}

impl Element for DiskDriver {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("name", &mut self.name);
        v.attr("type", &mut self.format);
        v.attr("cache", &mut self.cache);
        v.attr("error_policy", &mut self.error_policy);
        v.attr("rerror_policy", &mut self.rerror_policy);
        v.attr("io", &mut self.io);
        v.on_off("ioeventfd", &mut self.ioeventfd);
        v.on_off("event_idx", &mut self.event_idx);
        v.on_off("copy_on_read", &mut self.copy_on_read);
        v.attr("discard", &mut self.discard);
        v.attr("iothread", &mut self.iothread);
        v.attr("detect_zeroes", &mut self.detect_zeroes);
        v.attr("queues", &mut self.queues);
        v.attr("queue_size", &mut self.queue_size);
        v.on_off("discard_no_unref", &mut self.discard_no_unref);
        self.virtio.visit(v);
        v.child("iothreads", &mut self.iothreads);
        v.child("metadata_cache", &mut self.metadata_cache);
    }
}

impl Element for QueueThreads {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.children("iothread", &mut self.iothreads);
        if self.iothreads.is_empty() {
            v.error("<iothreads> of a <driver> needs an <iothread id='…'/>".into());
        }
    }
}

impl Element for QueueThread {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("id", &mut self.id);
        v.children_word("queue", "id", &mut self.queues);
    }
}

impl Element for MetadataCache {
    fn visit(&mut self, v: &mut dyn Visitor) {
        let mut size = self.max_size.take().map(Bytes);
        v.child("max_size", &mut size);
        self.max_size = size.map(|size| size.0);
    }
}

/// An amount of memory that is written in bytes.
#[derive(Default)]
struct Bytes(crate::model::memory::Memory);

impl Element for Bytes {
    fn visit(&mut self, v: &mut dyn Visitor) {
        if v.reading() {
            self.0.visit(v);
        } else {
            v.attr("unit", &mut Some("bytes".to_owned()));
            v.text(&mut Some(self.0.bytes()));
        }
    }
}
