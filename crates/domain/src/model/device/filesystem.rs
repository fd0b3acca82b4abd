//! `<filesystem>`: folders of the host in the guest.

use super::Info;
use super::virtio::{VirtioModel, VirtioOptions};
use crate::model::resources::Idmap;
use crate::xml::span::SourceSpan;
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// What of the host is shown.
    pub enum FilesystemType {
        /// A folder.
        Mount = "mount",
        /// Files of a template, of containers.
        Template = "template",
        /// An image, of containers.
        File = "file",
        /// A block device, of containers.
        Block = "block",
        /// Memory, of containers.
        Ram = "ram",
        /// A folder of the guest, of containers.
        Bind = "bind",
        /// A storage volume, of containers.
        Volume = "volume",
    }
}

words! {
    /// Whose files the guest's are on the host.
    pub enum FilesystemAccess {
        /// Those of the guest's users.
        Passthrough = "passthrough",
        /// The emulator's; owners are kept beside.
        Mapped = "mapped",
        /// The emulator's; owners that cannot be set are lost.
        Squash = "squash",
    }
}

words! {
    /// How devices of the host within a folder are told apart.
    pub enum Multidevs {
        /// As the emulator does.
        Default = "default",
        /// By other numbers.
        Remap = "remap",
        /// Not: a second one cannot be seen.
        Forbid = "forbid",
        /// Not: a warning is written.
        Warn = "warn",
    }
}

words! {
    /// Who shows a folder.
    pub enum FilesystemDriverType {
        /// The emulator, by 9P.
        Path = "path",
        /// The emulator, by handles; gone.
        Handle = "handle",
        /// A loop device, of containers.
        Loop = "loop",
        /// NBD, of containers.
        Nbd = "nbd",
        /// Parallels', of containers.
        Ploop = "ploop",
        /// virtiofsd.
        Virtiofs = "virtiofs",
        /// The emulator, as a USB media player.
        Mtp = "mtp",
    }
}

words! {
    /// When what the guest wrote reaches the host's disk.
    pub enum FilesystemWritePolicy {
        /// At once.
        Immediate = "immediate",
    }
}

words! {
    /// What the guest caches of a folder.
    pub enum VirtiofsCache {
        /// Nothing.
        None = "none",
        /// Everything.
        Always = "always",
    }
}

words! {
    /// How virtiofsd shuts itself in.
    pub enum VirtiofsSandbox {
        /// By a mount namespace.
        Namespace = "namespace",
        /// By chroot.
        Chroot = "chroot",
        /// Not at all.
        None = "none",
    }
}

/// A folder of the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filesystem {
    /// Alias and address.
    pub info: Info,
    /// What is shown.
    pub kind: Option<FilesystemType>,
    /// Whose files the guest's are.
    pub accessmode: Option<FilesystemAccess>,
    /// Model of a virtio device.
    pub model: Option<VirtioModel>,
    /// How devices within the folder are told apart.
    pub multidevs: Option<Multidevs>,
    /// Permissions of new files, in octal, of `mapped`.
    pub fmode: Option<String>,
    /// Permissions of new folders.
    pub dmode: Option<String>,
    /// Who shows it.
    pub driver: Option<FilesystemDriver>,
    /// How virtiofsd is started.
    pub binary: Option<Virtiofsd>,
    /// How ids of the guest and of the host belong together.
    pub idmap: Option<Idmap>,
    /// The folder.
    pub source: Option<FilesystemSource>,
    /// The tag by which the guest mounts it.
    pub target: Option<String>,
    /// Whether the guest cannot write.
    pub readonly: bool,
}

/// `<driver>` of a filesystem.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FilesystemDriver {
    /// Who shows it; the emulator when absent.
    pub kind: Option<FilesystemDriverType>,
    /// When what was written reaches the disk.
    pub wrpolicy: Option<FilesystemWritePolicy>,
    /// Length of a queue of virtiofs.
    pub queue: Option<u32>,
    /// Options of a virtio device.
    pub virtio: VirtioOptions,
}

/// `<binary>`: virtiofsd. It is started by whoever starts the guest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Virtiofsd {
    /// Where the element stands.
    pub span: SourceSpan,
    /// Its path.
    pub path: Option<String>,
    /// Whether extended attributes are shown.
    pub xattr: Option<bool>,
    /// What the guest caches.
    pub cache: Option<VirtiofsCache>,
    /// How it shuts itself in.
    pub sandbox: Option<VirtiofsSandbox>,
    /// Which locks are the host's.
    pub lock: Option<VirtiofsLock>,
    /// Number of its threads.
    pub thread_pool: Option<u32>,
    /// Most files that it has open.
    pub openfiles: Option<u32>,
}

/// `<lock>`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct VirtiofsLock {
    /// POSIX locks.
    pub posix: Option<bool>,
    /// BSD locks.
    pub flock: Option<bool>,
}

/// `<source>` of a filesystem.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FilesystemSource {
    /// The folder.
    pub dir: Option<String>,
    /// Socket of a virtiofsd that somebody else started.
    pub socket: Option<String>,
}

impl Filesystem {
    /// Whether virtiofsd shows it.
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
        for mode in [&self.fmode, &self.dmode].into_iter().flatten() {
            if u32::from_str_radix(mode, 8).is_err() {
                v.error(format!(
                    "fmode and dmode of <filesystem> must be octal numbers, not '{mode}'"
                ));
            }
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
