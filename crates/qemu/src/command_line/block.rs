//! Block nodes: an image is a node for its file and, unless it is raw, a node for its format above it. A
//! chain of images is made from its bottom.

use super::Context;
use super::opt::{Object, Opt, Term};
use super::want::{Access, By, Want};
use passthru_domain::device::disk::{
    BackingStore, CacheMode, Discard, Disk, DiskDevice, DiskSource, DiskType, ImageFormat, IoMode,
};

/// The images of a disk, from the top.
pub(super) struct Chain<'a> {
    disk: &'a Disk,
    images: Vec<Image<'a>>,
    /// Whether the domain says that nothing is below the last image.
    is_ended: bool,
}

struct Image<'a> {
    kind: DiskType,
    format: ImageFormat,
    path: &'a str,
    /// Whether a node for the format is above the file's.
    is_layered: bool,
}

impl Image<'_> {
    fn top_node(&self, number: usize) -> String {
        let layer = if self.is_layered { "format" } else { "storage" };
        format!("libvirt-{number}-{layer}")
    }
}

impl<'a> Chain<'a> {
    pub(super) fn of(context: &Context<'_>, disk: &'a Disk) -> Self {
        let format = disk.driver.as_ref().and_then(|driver| driver.format);
        let mut images = Vec::from_iter(image(context, disk.kind, format, disk.source.as_ref()));
        let mut below = disk.backing.as_deref();
        while let Some(BackingStore { kind, format, source: Some(source), backing }) = below {
            images.extend(image(context, *kind, *format, Some(source)));
            below = backing.as_deref();
        }
        Self { disk, images, is_ended: below.is_some() }
    }

    pub(super) const fn len(&self) -> usize {
        self.images.len()
    }

    /// The node that the guest's device takes; none without an image.
    pub(super) fn top_node(&self, number: usize) -> Option<String> {
        self.images.first().map(|image| image.top_node(number))
    }

    /// The nodes of all images, from the bottom, the topmost with that number.
    pub(super) fn nodes(&self, number: usize) -> Vec<Opt> {
        let images = self.images.iter().enumerate().rev();
        images.flat_map(|(depth, image)| self.image_nodes(image, depth, number)).collect()
    }

    fn image_nodes(&self, image: &Image<'_>, depth: usize, number: usize) -> Vec<Opt> {
        let readonly = depth > 0 || is_readonly(self.disk);
        let storage = format!("libvirt-{}-storage", number + depth);
        let access = if readonly { Access::ReadOnly } else { Access::ReadWrite };
        let want = Want::file(storage.as_str(), image.path, access, By::FdSet);
        let protocol = protocol(self.disk, image);
        if !image.is_layered {
            let node = self.file_node(FileNode { discard: self.discard(), ..FileNode::plain(readonly) });
            return vec![Opt::json("-blockdev", file_node(protocol, want, &node))];
        }
        let below = self.file_node(FileNode::below_format());
        let format = Object::default()
            .with("node-name", image.top_node(number + depth))
            .with("read-only", readonly)
            .maybe("discard", self.discard())
            .maybe("cache", cache(self.disk))
            .with("driver", image.format.as_str())
            .with("file", storage)
            .maybe("backing", self.backing(image, depth, number));
        vec![Opt::json("-blockdev", file_node(protocol, want, &below)), Opt::json("-blockdev", format)]
    }

    /// What an image's format node says of the image below: its node, none, or nothing where the domain
    /// does not say and QEMU finds it by the image's own header.
    fn backing(&self, image: &Image<'_>, depth: usize, number: usize) -> Option<Term> {
        if image.format == ImageFormat::Raw {
            return None;
        }
        match self.images.get(depth + 1) {
            Some(image) => Some(image.top_node(number + depth + 1).into()),
            None => self.is_ended.then_some(Term::Null),
        }
    }

    /// What the disk says of all its files' nodes.
    fn file_node(&self, node: FileNode) -> FileNode {
        let aio = self.disk.driver.as_ref().and_then(|driver| driver.io).map(IoMode::as_str);
        FileNode { cache: cache(self.disk), aio, ..node }
    }

    fn discard(&self) -> Option<&'static str> {
        self.disk.driver.as_ref().and_then(|driver| driver.discard).map(Discard::as_str)
    }
}

fn image<'a>(
    context: &Context<'_>,
    kind: Option<DiskType>,
    format: Option<ImageFormat>,
    source: Option<&'a DiskSource>,
) -> Option<Image<'a>> {
    let path = source?.path()?;
    let format = format.unwrap_or(ImageFormat::Raw);
    let is_layered = format != ImageFormat::Raw || layers_raw(context);
    Some(Image { kind: kind.unwrap_or(DiskType::File), format, path, is_layered })
}

/// On Arm a raw image has a format node too, as libvirt gives it one there.
pub(super) fn layers_raw(context: &Context<'_>) -> bool {
    context.is_arm()
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

/// A disk that other guests write to at the same time is not cached unless the domain says so.
pub(super) fn cache_mode(disk: &Disk) -> Option<CacheMode> {
    let said = disk.driver.as_ref().and_then(|driver| driver.cache);
    let shared = disk.shareable && !is_readonly(disk);
    said.filter(|cache| *cache != CacheMode::Default).or(shared.then_some(CacheMode::None))
}

fn cache(disk: &Disk) -> Option<Object> {
    let mode = cache_mode(disk)?;
    let direct = matches!(mode, CacheMode::None | CacheMode::Directsync);
    Some(Object::default().with("direct", direct).with("no-flush", mode == CacheMode::Unsafe))
}
