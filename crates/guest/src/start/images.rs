//! The chains of images behind disks. A domain may leave out the backing images of a qcow2 image. A
//! VMM that opens no files cannot follow the images' headers, so they are read here.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use passthru_domain::Domain;
use passthru_domain::device::disk::{BackingStore, DiskSource, DiskType, ImageFormat};
use rustix::fs::{FileType, Stat};

use crate::opener::{OpenMode, Opener};
use crate::start::qcow2;

/// Limit on the images of a chain.
const MAX_CHAIN: usize = 200;

/// Error of a disk's images.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An image cannot be opened.
    #[error("cannot open the image {}", path.display())]
    Open {
        /// Path of the image.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The header of an image cannot be used.
    #[error("cannot use the image {}", path.display())]
    Header {
        /// Path of the image.
        path: PathBuf,
        /// Cause.
        source: qcow2::Error,
    },
    /// The header of an image does not give the format of its backing image.
    #[error(
        "the header of {} does not give the format of its backing image {below}",
        path.display()
    )]
    Unsaid {
        /// Path of the image.
        path: PathBuf,
        /// Name of the backing image.
        below: String,
    },
    /// The backing image is not a file.
    #[error("the backing image of {}, '{below}', is not a file", path.display())]
    NotAFile {
        /// Path of the image.
        path: PathBuf,
        /// Name of the backing image.
        below: String,
    },
    /// Only a header names the backing image, and the guest's user may not open it.
    #[error(
        "the header of {} names the backing image {below}, which the guest's user may not open \
         and the XML does not name", path.display()
    )]
    OnlyInHeader {
        /// Path of the image with the header.
        path: PathBuf,
        /// Name of the backing image.
        below: String,
        /// XML element that names the backing image.
        element: String,
    },
    /// A chain has too many images.
    #[error("the chain of backing images of {} has more than {MAX_CHAIN} images", path.display())]
    Endless {
        /// Path of the image at the top of the chain.
        path: PathBuf,
    },
}

impl Error {
    /// Returns the path of the image that the error is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Open { path, .. }
            | Self::Header { path, .. }
            | Self::Unsaid { path, .. }
            | Self::NotAFile { path, .. }
            | Self::OnlyInHeader { path, .. }
            | Self::Endless { path } => path,
        }
    }

    /// Returns the hint for the error, if there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unsaid { path, below } => Some(format!(
                "record the format: qemu-img rebase -u -F FORMAT -b {below} {}",
                path.display()
            )),
            Self::OnlyInHeader { path, element, .. } => Some(format!(
                "a guest can change the header; if the guest may read this image, add in the XML, \
                 beside the <source> of {}:\n{}",
                path.display(),
                element.trim_end()
            )),
            Self::NotAFile { .. } => Some("use a file or a block device".into()),
            _ => None,
        }
    }
}

/// The chains of a domain's disks, as far as they could be completed.
pub(crate) struct CompletedChains {
    /// Images that only a header names. They must be opened with the rights of the guest's user.
    pub(crate) header_named: BTreeSet<PathBuf>,
    /// One error for each disk whose chain has no end yet.
    pub(crate) errors: Vec<Error>,
}

/// Completes the chains of all disks in the domain, each to its end.
///
/// A compromised VMM can write to the header of its own image. So a name in a header is followed
/// only if the XML names the image too, or the guest's user may open it.
///
/// A chain whose image cannot be opened, whose header cannot be followed, or that has more than 200
/// images, has an error and stays incomplete.
pub(crate) fn complete_chains(domain: &mut Domain, opener: &Opener<'_>) -> CompletedChains {
    let mut errors = Vec::new();
    let mut chains = Chains {
        opener,
        named: named(domain),
        by_header: BTreeSet::new(),
    };
    for disk in &mut domain.devices.disks {
        // The VMM's driver opens other kinds of disks.
        if !matches!(disk.kind, None | Some(DiskType::File | DiskType::Block)) {
            continue;
        }
        let Some(path) = disk.source.as_ref().and_then(DiskSource::path) else {
            continue;
        };
        let format = disk
            .driver
            .as_ref()
            .and_then(|d| d.format)
            .unwrap_or(ImageFormat::Raw);
        let top = PathBuf::from(path);
        let completed = chains.complete(&top, format, &mut disk.backing);
        errors.extend(completed.err());
    }

    CompletedChains {
        header_named: chains.by_header,
        errors,
    }
}

/// Returns the paths of all images that a domain names.
fn named(domain: &Domain) -> BTreeSet<PathBuf> {
    let mut named = BTreeSet::new();
    for disk in &domain.devices.disks {
        named.extend(
            disk.source
                .as_ref()
                .and_then(DiskSource::path)
                .map(PathBuf::from),
        );
        let mut below = disk.backing.as_deref();
        while let Some(store) = below {
            named.extend(
                store
                    .source
                    .as_ref()
                    .and_then(DiskSource::path)
                    .map(PathBuf::from),
            );
            below = store.backing.as_deref();
        }
    }

    named
}

/// The chains of a domain's disks, while they are completed.
struct Chains<'a> {
    opener: &'a Opener<'a>,
    /// Images that the XML names.
    named: BTreeSet<PathBuf>,
    /// Images that only a header names.
    by_header: BTreeSet<PathBuf>,
}

impl Chains<'_> {
    fn complete(
        &mut self,
        top: &Path,
        mut format: ImageFormat,
        mut below: &mut Option<Box<BackingStore>>,
    ) -> Result<(), Error> {
        let mut path = top.to_path_buf();
        for _ in 0..MAX_CHAIN {
            if below.is_none() && format == ImageFormat::Qcow2 {
                let store = self.read_below(&path)?;
                self.permit(&path, &store)?;
                *below = Some(Box::new(store));
            }
            let Some(store) = below else { return Ok(()) };
            let Some(next) = path_of(store) else {
                return Ok(());
            };
            path = next;
            format = store.format.unwrap_or(ImageFormat::Raw);
            below = &mut store.backing;
        }

        Err(Error::Endless { path: top.into() })
    }

    /// Checks that the header of the image at `path` may lead to an image.
    fn permit(&mut self, path: &Path, store: &BackingStore) -> Result<(), Error> {
        let Some(below) = path_of(store).filter(|below| !self.named.contains(below)) else {
            return Ok(());
        };
        if self.opener.open_as_user(&below, OpenMode::Read).is_ok() {
            self.by_header.insert(below);
            return Ok(());
        }

        let mut whole = store.clone();
        self.read_on(&mut whole);
        Err(Error::OnlyInHeader {
            path: path.into(),
            below: below.display().to_string(),
            element: whole.format(),
        })
    }

    /// Completes a chain as far as its headers can be read, for a message.
    fn read_on(&self, store: &mut BackingStore) {
        let mut last = store;
        for _ in 0..MAX_CHAIN {
            if last.format != Some(ImageFormat::Qcow2) {
                return;
            }
            let Some(Ok(next)) = path_of(last).map(|path| self.read_below(&path)) else {
                return;
            };
            last = last.backing.insert(Box::new(next));
        }
    }

    /// Returns the backing image that the header of an image names, or the end of the chain.
    fn read_below(&self, path: &Path) -> Result<BackingStore, Error> {
        let file = self.opener.open_image(path).map_err(|source| Error::Open {
            path: path.into(),
            source,
        })?;
        let backing = qcow2::read_backing(&file).map_err(|source| Error::Header {
            path: path.into(),
            source,
        })?;
        let Some(backing) = backing else {
            return Ok(BackingStore::default());
        };
        let below = match backing.name.strip_prefix("file:") {
            Some(name) => name,
            None if backing
                .name
                .split('/')
                .next()
                .is_some_and(|first| first.contains(':')) =>
            {
                return Err(Error::NotAFile {
                    path: path.into(),
                    below: backing.name,
                });
            }
            None => &backing.name,
        };
        // The header's name may be relative to the folder of the image.
        let below = path.parent().unwrap_or(Path::new("/")).join(below);
        let name = below.display().to_string();
        let Some(format) = backing.format else {
            return Err(Error::Unsaid {
                path: path.into(),
                below: name,
            });
        };
        let stat = self.opener.stat(&below);
        let is_block = stat.is_ok_and(|stat| is_block_device(&stat));
        let mut source = DiskSource::default();
        let kind = if is_block {
            source.dev = Some(name);
            DiskType::Block
        } else {
            source.file = Some(name);
            DiskType::File
        };
        Ok(BackingStore {
            kind: Some(kind),
            format: Some(format),
            source: Some(source),
            ..BackingStore::default()
        })
    }
}

fn is_block_device(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice
}

fn path_of(store: &BackingStore) -> Option<PathBuf> {
    store
        .source
        .as_ref()
        .and_then(DiskSource::path)
        .map(PathBuf::from)
}

#[cfg(test)]
mod tests;
