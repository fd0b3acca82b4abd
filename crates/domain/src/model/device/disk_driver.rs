//! `<driver>` of a disk: how its image is read and written.

use super::virtio::VirtioOptions;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// Format of an image.
    pub enum ImageFormat {
        /// The disk's bytes as they are.
        Raw = "raw",
        /// QEMU's copy-on-write format.
        Qcow2 = "qcow2",
        /// Bochs'.
        Bochs = "bochs",
        /// Compressed, of Knoppix.
        Cloop = "cloop",
        /// Apple's.
        Dmg = "dmg",
        /// A CD-ROM's; taken as raw.
        Iso = "iso",
        /// Virtual PC's.
        Vpc = "vpc",
        /// VirtualBox's.
        Vdi = "vdi",
        /// A FAT disk made of a folder.
        Fat = "fat",
        /// Hyper-V's.
        Vhdx = "vhdx",
        /// QEMU's first.
        Qcow = "qcow",
        /// QEMU's enhanced.
        Qed = "qed",
        /// VMware's.
        Vmdk = "vmdk",
        /// Parallels'.
        Ploop = "ploop",
        /// LUKS; as raw with encryption.
        Luks = "luks",
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

words! {
    /// What becomes of blocks of zeros that the guest writes.
    pub enum DetectZeroes {
        /// They are written.
        Off = "off",
        /// They are written as holes.
        On = "on",
        /// They are given back.
        Unmap = "unmap",
    }
}

words! {
    /// What becomes of the guest when the disk fails.
    pub enum ErrorPolicy {
        /// It stops.
        Stop = "stop",
        /// It is told.
        Report = "report",
        /// It is not told.
        Ignore = "ignore",
        /// It stops where the disk is full, and is told of the rest.
        Enospace = "enospace",
    }
}

words! {
    /// Who serves a disk.
    pub enum DiskDriverName {
        /// QEMU.
        Qemu = "qemu",
    }
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
    /// What becomes of the guest when a write fails.
    pub error_policy: Option<ErrorPolicy>,
    /// What becomes of it when a read fails.
    pub rerror_policy: Option<ErrorPolicy>,
    /// How it is read and written.
    pub io: Option<IoMode>,
    /// Whether requests are signalled asynchronously.
    pub ioeventfd: Option<bool>,
    /// Whether guest and host tell each other when to signal.
    pub event_idx: Option<bool>,
    /// Whether what is read of an image below is copied up.
    pub copy_on_read: Option<bool>,
    /// What becomes of discards.
    pub discard: Option<Discard>,
    /// Number of the I/O thread that serves it.
    pub iothread: Option<u32>,
    /// What becomes of zeros.
    pub detect_zeroes: Option<DetectZeroes>,
    /// Number of queues of a virtio disk.
    pub queues: Option<u16>,
    /// Length of a queue.
    pub queue_size: Option<u32>,
    /// Whether discarded clusters stay the image's.
    pub discard_no_unref: Option<bool>,
    /// Options of a virtio disk.
    pub virtio: VirtioOptions,
    /// The I/O threads that serve its queues.
    pub iothreads: Option<QueueThreads>,
    /// What is kept of the image's tables.
    pub metadata_cache: Option<MetadataCache>,
}

/// `<iothreads>` of a driver.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueThreads {
    /// The threads.
    pub iothreads: Vec<QueueThread>,
}

/// `<iothread>` of a driver.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueThread {
    /// Number of the thread.
    pub id: u32,
    /// Numbers of the queues that it serves; with none at all they are shared out.
    pub queues: Vec<u32>,
}

/// `<metadata_cache>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetadataCache {
    /// At most.
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

/// An amount in bytes, unless it says otherwise.
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
