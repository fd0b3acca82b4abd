//! Block nodes (`-blockdev`).
//!
//! An image has a node for its file. Unless the image is raw, a node for the format stands above
//! that node. The nodes of a chain of images are made from the bottom.

use passthru_domain::device::disk::{
    BackingStore, CacheMode, DetectZeroes, Discard, Disk, DiskBus, DiskDevice, DiskType,
    ImageFormat, IoMode,
};
use passthru_domain::device::disk_source::{DiskSource, Slice};
use passthru_domain::device::encryption::{Encryption, EncryptionFormat};

use super::protocol::Place;
use super::secret;
use crate::context::Context;
use crate::error::Error;
use crate::line::{Access, Object, Opt, Term, Want};

/// The chain of images of a disk, from the top.
pub(crate) struct Chain<'a> {
    disk: &'a Disk,
    images: Vec<Image<'a>>,
    /// Whether the domain says that the last image has no backing image.
    is_ended: bool,
}

struct Image<'a> {
    place: Place<'a>,
    format: ImageFormat,
    /// Whether a node for the format stands above the node of the file.
    is_layered: bool,
}

impl Image<'_> {
    fn top_node(&self, number: usize) -> String {
        let layer = if self.is_layered { "format" } else { "storage" };
        format!("libvirt-{number}-{layer}")
    }

    fn slice(&self) -> Option<Slice> {
        self.place.source.slice
    }
}

impl<'a> Chain<'a> {
    /// Returns the chain of a disk; empty if another process serves the contents.
    pub(crate) fn new(context: &Context<'_>, disk: &'a Disk) -> Self {
        let format = disk.driver.as_ref().and_then(|driver| driver.format);
        let mut images = Vec::from_iter(image(context, disk.kind, format, disk.source.as_ref()));
        if let Some(top) = images.first_mut() {
            top.place.auth = disk.auth.as_ref().or(top.place.auth);
            if let Some(encryption) = &disk.encryption {
                top.place.encryption = Some(encryption);
                top.is_layered |= top.place.decrypts();
            }
        }

        if disk.target.bus == Some(DiskBus::Sd) {
            images.clear();
        }
        let mut below = disk.backing.as_deref();
        while let Some(BackingStore {
            kind,
            format,
            source: Some(source),
            backing,
            ..
        }) = below
        {
            images.extend(image(context, *kind, *format, Some(source)));
            below = backing.as_deref();
        }

        Self {
            disk,
            images,
            is_ended: below.is_some(),
        }
    }

    /// Returns the number of images for which a node number is set aside. An empty drive has a
    /// number too, as in libvirt, for a medium that is put in later.
    pub(crate) fn len(&self) -> usize {
        let source = self.disk.source.as_ref();
        let is_empty = source.is_none_or(|source| !source.has_location());
        let is_drive = self.disk.target.bus != Some(DiskBus::Sd);
        if is_empty && is_drive {
            1
        } else {
            self.images.len()
        }
    }

    /// Returns the name of the node for the guest's device; `None` without an image.
    pub(crate) fn top_node(&self, number: usize) -> Option<String> {
        let image = self.images.first()?;
        Some(if self.copies_on_read() {
            self.copying_node()
        } else {
            image.top_node(number)
        })
    }

    /// Returns the nodes of all images from the bottom. `number` is that of the topmost.
    pub(crate) fn nodes(&self, context: &Context<'_>, number: usize) -> Result<Vec<Opt>, Error> {
        let mut options = Vec::new();
        for (depth, image) in self.images.iter().enumerate().rev() {
            options.extend(self.image_nodes(context, image, depth, number)?);
        }
        if let Some(image) = self.images.first().filter(|_| self.copies_on_read()) {
            let node = Object::driver("copy-on-read")
                .with("node-name", self.copying_node())
                .with("file", image.top_node(number))
                .with("discard", "unmap");
            options.push(Opt::json("-blockdev", node));
        }

        Ok(options)
    }

    fn copies_on_read(&self) -> bool {
        self.disk
            .driver
            .as_ref()
            .and_then(|driver| driver.copy_on_read)
            == Some(true)
    }

    fn copying_node(&self) -> String {
        format!("libvirt-CoR-{}", self.disk.target.dev)
    }

    fn image_nodes(
        &self,
        context: &Context<'_>,
        image: &Image<'_>,
        depth: usize,
        number: usize,
    ) -> Result<Vec<Opt>, Error> {
        let readonly = depth > 0 || is_readonly(self.disk);
        let storage = format!("libvirt-{}-storage", number + depth);
        let top = image.top_node(number + depth);
        let access = if readonly {
            Access::ReadOnly
        } else {
            Access::ReadWrite
        };
        let keys = format!("{top}-encryption-secret");
        let secret = format!("{keys}0");
        let protocol = image
            .place
            .protocol(context, self.disk, &storage, &keys, access)?;
        let mut options = protocol.before;
        if !image.is_layered {
            let node = FileNode {
                discard: self.discard(),
                ..FileNode::plain(readonly)
            };
            let node = FileNode {
                detect_zeroes: self.detect_zeroes(depth),
                ..self.file_node(image, node)
            };
            options.push(Opt::json("-blockdev", node.around(protocol.node, storage)));
            return Ok(options);
        }

        if let Some(encryption) = image.place.encryption.filter(|_| image.place.decrypts()) {
            let key = secret::object(context, &secret, encryption.secrets.first())?;
            options.push(key);
        }

        let below = self.file_node(image, FileNode::below_format());
        options.push(Opt::json(
            "-blockdev",
            below.around(protocol.node, storage.clone()),
        ));
        let format = Object::default()
            .with("node-name", top)
            .with("read-only", readonly)
            .maybe("discard", self.discard())
            .maybe("detect-zeroes", self.detect_zeroes(depth))
            .maybe("cache", cache(self.disk))
            .and(self.format(image, depth, secret)?)
            .with("file", storage)
            .maybe("backing", self.backing(image, depth, number));
        options.push(Opt::json("-blockdev", format));
        Ok(options)
    }

    /// Returns the driver of the format, with its properties.
    fn format(&self, image: &Image<'_>, depth: usize, secret: String) -> Result<Object, Error> {
        let encryption = image.place.encryption.filter(|_| image.place.decrypts());
        if let Some(slice) = image
            .slice()
            .filter(|_| image.format != ImageFormat::Raw || encryption.is_some())
        {
            let bytes = slice.size;
            return Err(Error::unsupported(format!(
                "a <slice> of {bytes} bytes of an image that is not raw"
            )));
        }

        let driver = self.disk.driver.as_ref().filter(|_| depth == 0);
        Ok(match (image.format, encryption) {
            (ImageFormat::Raw | ImageFormat::Iso, Some(_)) => {
                Object::driver("luks").with("key-secret", secret)
            }
            (ImageFormat::Raw | ImageFormat::Iso, None) => Object::driver("raw")
                .maybe("offset", image.slice().map(|slice| slice.offset))
                .maybe("size", image.slice().map(|slice| slice.size)),
            (format, encryption) => {
                let cache = driver.and_then(|driver| driver.metadata_cache.as_ref()?.max_size);
                Object::driver(format.as_str())
                    .maybe(
                        "discard-no-unref",
                        driver.and_then(|driver| driver.discard_no_unref),
                    )
                    .maybe("cache-size", cache.map(|size| size.bytes()))
                    .maybe(
                        "encrypt",
                        encryption.map(|encryption| encrypt(encryption, secret)),
                    )
            }
        })
    }

    /// Returns the property `backing` of an image's format node.
    ///
    /// - If the domain names the image below, then its node.
    /// - If the domain says that there is none, then null.
    /// - Otherwise nothing: QEMU reads the image's own header.
    fn backing(&self, image: &Image<'_>, depth: usize, number: usize) -> Option<Term> {
        if matches!(image.format, ImageFormat::Raw | ImageFormat::Iso) {
            return None;
        }
        match self.images.get(depth + 1) {
            Some(image) => Some(image.top_node(number + depth + 1).into()),
            None => self.is_ended.then_some(Term::Null),
        }
    }

    /// Adds the properties that the disk sets on all nodes of files.
    fn file_node(&self, image: &Image<'_>, node: FileNode) -> FileNode {
        let is_file = matches!(image.place.kind, DiskType::File | DiskType::Block);
        let aio = self
            .disk
            .driver
            .as_ref()
            .and_then(|driver| driver.io)
            .map(IoMode::as_str);
        FileNode {
            cache: cache(self.disk),
            aio: aio.filter(|_| is_file),
            ..node
        }
    }

    fn discard(&self) -> Option<&'static str> {
        self.disk
            .driver
            .as_ref()
            .and_then(|driver| driver.discard)
            .map(Discard::as_str)
    }

    /// Returns `detect-zeroes`. Without `discard=unmap`, QEMU cannot unmap zeros.
    fn detect_zeroes(&self, depth: usize) -> Option<&'static str> {
        let driver = self.disk.driver.as_ref().filter(|_| depth == 0)?;
        Some(match driver.detect_zeroes? {
            DetectZeroes::Unmap if driver.discard != Some(Discard::Unmap) => {
                DetectZeroes::On.as_str()
            }
            detect => detect.as_str(),
        })
    }
}

/// Returns the property `encrypt` of a format that decrypts by itself.
fn encrypt(encryption: &Encryption, secret: String) -> Object {
    let format = match encryption.format {
        Some(EncryptionFormat::Qcow) => "aes",
        _ => "luks",
    };
    Object::default()
        .with("format", format)
        .with("key-secret", secret)
}

fn image<'a>(
    context: &Context<'_>,
    kind: Option<DiskType>,
    format: Option<ImageFormat>,
    source: Option<&'a DiskSource>,
) -> Option<Image<'a>> {
    let source = source.filter(|source| source.has_location())?;
    let kind = kind.unwrap_or(DiskType::File);
    let place = Place {
        kind,
        source,
        auth: source.auth.as_ref(),
        encryption: source.encryption.as_ref(),
    };
    let format = match (kind, format.unwrap_or(ImageFormat::Raw)) {
        // Another process serves the contents.
        (DiskType::VhostUser, _) => return None,
        // The driver makes a disk of the folder.
        (DiskType::Dir, _) | (_, ImageFormat::Iso) => ImageFormat::Raw,
        (_, format) => format,
    };
    let is_layered = format != ImageFormat::Raw
        || layers_raw(context)
        || place.decrypts()
        || source.slice.is_some();
    Some(Image {
        place,
        format,
        is_layered,
    })
}

/// Returns whether a raw image has a format node: on Arm, as in libvirt.
pub(crate) fn layers_raw(context: &Context<'_>) -> bool {
    context.is_arm()
}

fn is_readonly(disk: &Disk) -> bool {
    disk.readonly || disk.device == Some(DiskDevice::Cdrom)
}

/// Properties of the node of a file, other than driver, path and name.
pub(crate) struct FileNode {
    /// `read-only`; `None` below a format node, which has the property itself.
    readonly: Option<bool>,
    discard: Option<&'static str>,
    cache: Option<Object>,
    aio: Option<&'static str>,
    detect_zeroes: Option<&'static str>,
}

impl FileNode {
    /// Returns the properties of a raw image by default.
    pub(crate) fn plain(readonly: bool) -> Self {
        Self {
            readonly: Some(readonly),
            discard: None,
            cache: None,
            aio: None,
            detect_zeroes: None,
        }
    }

    /// Returns the properties of a file below a format node.
    pub(crate) fn below_format() -> Self {
        Self {
            readonly: None,
            discard: Some("unmap"),
            cache: None,
            aio: None,
            detect_zeroes: None,
        }
    }
}

/// Makes the node of a file, with the name of the want.
pub(crate) fn file_node(driver: &str, file: Want, node: &FileNode) -> Object {
    let name = file.name.clone();
    node.around(Object::driver(driver).with("filename", file), name)
}

impl FileNode {
    /// Makes the node of a protocol, with its name and properties.
    fn around(&self, protocol: Object, name: String) -> Object {
        protocol
            .maybe("aio", self.aio)
            .with("node-name", name)
            .maybe("read-only", self.readonly)
            .maybe("auto-read-only", self.readonly.is_none().then_some(true))
            .maybe("discard", self.discard)
            .maybe("detect-zeroes", self.detect_zeroes)
            .maybe("cache", self.cache.clone())
    }
}

/// Returns the cache mode of a disk. By default, a disk that several guests write to is not cached.
pub(crate) fn cache_mode(disk: &Disk) -> Option<CacheMode> {
    let said = disk.driver.as_ref().and_then(|driver| driver.cache);
    let shared = disk.shareable && !is_readonly(disk);
    said.filter(|cache| *cache != CacheMode::Default)
        .or(shared.then_some(CacheMode::None))
}

fn cache(disk: &Disk) -> Option<Object> {
    let mode = cache_mode(disk)?;
    let direct = matches!(mode, CacheMode::None | CacheMode::Directsync);
    Some(
        Object::default()
            .with("direct", direct)
            .with("no-flush", mode == CacheMode::Unsafe),
    )
}
