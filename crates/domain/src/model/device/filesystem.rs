//! `<filesystem>`: directories of the host in the guest.

use super::Info;
use super::virtio::{VirtioModel, VirtioOptions};
use crate::model::resources::Idmap;
use crate::xml::span::SourceSpan;
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The kind of a file system's origin on the host.
    pub enum FilesystemType {
        /// A directory.
        Mount = "mount",
        /// A template, for containers.
        Template = "template",
        /// An image file, for containers.
        File = "file",
        /// A block device, for containers.
        Block = "block",
        /// Memory, for containers.
        Ram = "ram",
        /// A directory of the guest, for containers.
        Bind = "bind",
        /// A storage volume, for containers.
        Volume = "volume",
    }
}

words! {
    /// The owner of the guest's files on the host.
    pub enum FilesystemAccess {
        /// The user ids of the guest.
        Passthrough = "passthrough",
        /// The emulator's user; the guest's owners are kept in extended attributes.
        Mapped = "mapped",
        /// The emulator's user; owners that cannot be set are lost.
        Squash = "squash",
    }
}

words! {
    /// The handling of several devices of the host below one directory.
    pub enum Multidevs {
        /// The emulator's default.
        Default = "default",
        /// Inode numbers are remapped.
        Remap = "remap",
        /// Files on a second device are hidden.
        Forbid = "forbid",
        /// Inode numbers may clash; the emulator writes a warning.
        Warn = "warn",
    }
}

words! {
    /// The implementation of a file system.
    pub enum FilesystemDriverType {
        /// The emulator, by 9P.
        Path = "path",
        /// The emulator, by file handles; no longer in QEMU.
        Handle = "handle",
        /// A loop device, for containers.
        Loop = "loop",
        /// NBD, for containers.
        Nbd = "nbd",
        /// Parallels, for containers.
        Ploop = "ploop",
        /// virtiofsd.
        Virtiofs = "virtiofs",
        /// The emulator, as a USB media player.
        Mtp = "mtp",
    }
}

words! {
    /// The time at which the guest's writes reach the host's disk.
    pub enum FilesystemWritePolicy {
        /// At once.
        Immediate = "immediate",
    }
}

words! {
    /// The guest's caching of a directory.
    pub enum VirtiofsCache {
        /// No caching.
        None = "none",
        /// Unlimited caching.
        Always = "always",
    }
}

words! {
    /// The sandbox of virtiofsd.
    pub enum VirtiofsSandbox {
        /// A mount namespace.
        Namespace = "namespace",
        /// chroot.
        Chroot = "chroot",
        /// No sandbox.
        None = "none",
    }
}

/// Permissions of a file or directory. They are written in octal with a leading zero, which the
/// emulator needs too: without the zero, it reads a decimal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions(u16);

/// All permissions of the owner, the group and others.
const ALL_PERMISSIONS: u16 = 0o777;

impl std::fmt::Display for Permissions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl std::str::FromStr for Permissions {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_octal = text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        let mode = u16::from_str_radix(text, 8).ok().filter(|_| is_octal);
        mode.filter(|mode| *mode <= ALL_PERMISSIONS)
            .map(Self)
            .ok_or("expected permissions in octal, from 0 to 0777")
    }
}
crate::xml::value::value_by_display!(Permissions);

/// `<filesystem>`: a directory of the host in the guest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filesystem {
    /// Alias and address of the device.
    pub info: Info,
    /// Kind of the origin on the host.
    pub kind: Option<FilesystemType>,
    /// Owner of the guest's files on the host.
    pub accessmode: Option<FilesystemAccess>,
    /// Model of a virtio device.
    pub model: Option<VirtioModel>,
    /// Handling of several devices below the directory.
    pub multidevs: Option<Multidevs>,
    /// Permissions of new files, for `mapped`.
    pub fmode: Option<Permissions>,
    /// Permissions of new directories, for `mapped`.
    pub dmode: Option<Permissions>,
    /// Implementation of the file system.
    pub driver: Option<FilesystemDriver>,
    /// Program and settings of virtiofsd.
    pub binary: Option<Virtiofsd>,
    /// Mapping of user and group ids.
    pub idmap: Option<Idmap>,
    /// Directory or socket on the host.
    pub source: Option<FilesystemSource>,
    /// Tag by which the guest mounts the file system.
    pub target: Option<String>,
    /// `<readonly/>`: the guest cannot write.
    pub readonly: bool,
}

/// `<driver>` of a filesystem.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FilesystemDriver {
    /// Implementation. If it is absent, the emulator.
    pub kind: Option<FilesystemDriverType>,
    /// Time at which writes reach the host's disk.
    pub wrpolicy: Option<FilesystemWritePolicy>,
    /// Length of the queue (virtiofs).
    pub queue: Option<u32>,
    /// Options of the virtio device.
    pub virtio: VirtioOptions,
}

/// `<binary>`: program and settings of virtiofsd. The process that starts the guest also starts
/// virtiofsd.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Virtiofsd {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Path of the program.
    pub path: Option<String>,
    /// Support of extended attributes.
    pub xattr: Option<bool>,
    /// Caching by the guest.
    pub cache: Option<VirtiofsCache>,
    /// Sandbox of the program.
    pub sandbox: Option<VirtiofsSandbox>,
    /// Locks that are visible to the host.
    pub lock: Option<VirtiofsLock>,
    /// Number of threads.
    pub thread_pool: Option<u32>,
    /// Largest number of open files.
    pub openfiles: Option<u32>,
}

/// `<lock>`: locks that are visible to the host.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct VirtiofsLock {
    /// POSIX locks.
    pub posix: Option<bool>,
    /// BSD locks (`flock`).
    pub flock: Option<bool>,
}

/// `<source>` of a filesystem.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FilesystemSource {
    /// Path of the directory.
    pub dir: Option<String>,
    /// Path of the socket of a running virtiofsd.
    pub socket: Option<String>,
}

impl Filesystem {
    /// Returns whether virtiofsd implements the file system.
    pub fn is_virtiofs(&self) -> bool {
        self.driver.as_ref().and_then(|d| d.kind) == Some(FilesystemDriverType::Virtiofs)
    }
}

impl Element for Filesystem {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("type", &mut self.kind);
        v.attr("accessmode", &mut self.accessmode);
        v.attr("model", &mut self.model);
        v.attr("multidevs", &mut self.multidevs);
        v.attr("fmode", &mut self.fmode);
        v.attr("dmode", &mut self.dmode);
        v.child("driver", &mut self.driver);
        v.child("binary", &mut self.binary);
        v.child("idmap", &mut self.idmap);
        v.child("source", &mut self.source);
        v.child_word("target", "dir", &mut self.target);
        v.flag("readonly", &mut self.readonly);
        self.info.visit_bootable(v);
        let source = self.source.as_ref();
        if source.is_none_or(|s| s.dir.is_none() && s.socket.is_none()) {
            v.error("<filesystem> needs a <source dir='…'/>".into());
        }
        if self.target.is_none() && source.is_none_or(|s| s.socket.is_none()) {
            v.error("<filesystem> needs a <target dir='…'/>".into());
        }
    }
}

impl Element for FilesystemDriver {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("type", &mut self.kind);
        v.attr("wrpolicy", &mut self.wrpolicy);
        v.attr("queue", &mut self.queue);
        self.virtio.visit(v);
    }
}

impl Element for Virtiofsd {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        visit_as::<FilePath>(&mut self.path, |path| v.attr("path", path));
        v.on_off("xattr", &mut self.xattr);
        v.child_word("cache", "mode", &mut self.cache);
        v.child_word("sandbox", "mode", &mut self.sandbox);
        v.child("lock", &mut self.lock);
        v.child_word("thread_pool", "size", &mut self.thread_pool);
        v.child_word("openfiles", "max", &mut self.openfiles);
    }
}

impl Element for VirtiofsLock {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.on_off("posix", &mut self.posix);
        v.on_off("flock", &mut self.flock);
    }
}

impl Element for FilesystemSource {
    fn visit(&mut self, v: &mut dyn Visitor) {
        visit_as::<FilePath>(&mut self.dir, |path| v.attr("dir", path));
        visit_as::<FilePath>(&mut self.socket, |path| v.attr("socket", path));
    }
}
