//! The files behind disks: a chain of qcow2 images that the domain leaves out is read from the images'
//! headers, since a VMM that opens no files cannot follow it.

use crate::opener::Opener;
use crate::qcow2;
use crate::user::User;
use passthru_domain::Domain;
use passthru_domain::device::disk::{BackingStore, DiskSource, DiskType, ImageFormat};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Images of a chain. QEMU follows more, but nobody has them.
const LONGEST_CHAIN: usize = 200;

/// Why a disk's images cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image could not be opened.
    #[error("cannot open the image {}", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The header could not be used.
    #[error("cannot use the image {}", path.display())]
    Header {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        source: qcow2::Error,
    },
    /// The image does not say what format the one below has.
    #[error("the header of {} does not give the format of its backing image {below}", path.display())]
    Unsaid {
        /// Its path.
        path: PathBuf,
        /// The image below.
        below: String,
    },
    /// The image below is no file.
    #[error("the backing image of {}, '{below}', is not a file", path.display())]
    NotAFile {
        /// Its path.
        path: PathBuf,
        /// The image below.
        below: String,
    },
    /// The image below is in another folder.
    #[error("the header of {} names the backing image {below}, which is in another folder", path.display())]
    Elsewhere {
        /// Its path.
        path: PathBuf,
        /// The image below.
        below: String,
    },
    /// The chain does not end.
    #[error("the chain of backing images of {} has more than {LONGEST_CHAIN} images", path.display())]
    Endless {
        /// The image at its top.
        path: PathBuf,
    },
}

impl Error {
    /// Returns what the user can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unsaid { path, below } => {
                Some(format!("record the format: qemu-img rebase -u -F FORMAT -b {below} {}", path.display()))
            }
            Self::Elsewhere { below, .. } => Some(format!(
                "if this is intended, write it in the XML (a guest can change the header): <backingStore type='file'>\
                 <format type='…'/><source file='{below}'/></backingStore>"
            )),
            Self::NotAFile { .. } => Some("use a file or a block device".into()),
            _ => None,
        }
    }
}

/// Completes the chains of all disks, each to its end, so that nothing is left for the VMM to find out.
///
/// A compromised VMM can write to the header of its own image. So the name in a header is followed only
/// into the image's own folder, or to what the guest's user could open anyway.
pub(crate) fn complete_chains(domain: &mut Domain, user: &User) -> Result<(), Error> {
    for disk in &mut domain.devices.disks {
        // What is no file or block device is not looked into: its driver is the VMM's.
        if !matches!(disk.kind, None | Some(DiskType::File | DiskType::Block)) {
            continue;
        }
        let Some(path) = disk.source.as_ref().and_then(DiskSource::path) else { continue };
        let format = disk.driver.as_ref().and_then(|d| d.format).unwrap_or(ImageFormat::Raw);
        let top = PathBuf::from(path);
        complete_below(&top, format, &mut disk.backing, &Chain { top: &top, user }, 1)?;
    }
    Ok(())
}

/// What is the same all along a chain.
struct Chain<'a> {
    top: &'a Path,
    user: &'a User,
}

fn complete_below(
    path: &Path,
    format: ImageFormat,
    below: &mut Option<Box<BackingStore>>,
    chain: &Chain<'_>,
    depth: usize,
) -> Result<(), Error> {
    if depth > LONGEST_CHAIN {
        return Err(Error::Endless { path: chain.top.into() });
    }
    if below.is_none() && format == ImageFormat::Qcow2 {
        *below = Some(Box::new(read_below(path, chain.user)?));
    }
    let Some(store) = below else { return Ok(()) };
    let Some(next) = store.source.as_ref().and_then(DiskSource::path).map(PathBuf::from) else {
        return Ok(());
    };
    complete_below(&next, store.format.unwrap_or(ImageFormat::Raw), &mut store.backing, chain, depth + 1)
}

/// Whether two files are in the same folder, links followed.
fn is_beside(one: &Path, other: &Path) -> bool {
    let folder = |path: &Path| match path.canonicalize() {
        Ok(path) => path.parent().map(PathBuf::from),
        // What is not there is said by whoever opens it.
        Err(_) => path.parent()?.canonicalize().ok(),
    };
    folder(one).is_some() && folder(one) == folder(other)
}

/// Returns the image below, or the end of the chain.
fn read_below(path: &Path, user: &User) -> Result<BackingStore, Error> {
    let file = Opener::new(user).open_image(path).map_err(|source| Error::Open { path: path.into(), source })?;
    let found = qcow2::backing(&file).map_err(|source| Error::Header { path: path.into(), source })?;
    let Some(found) = found else { return Ok(BackingStore::default()) };
    let below = match found.name.strip_prefix("file:") {
        Some(name) => name,
        None if found.name.split('/').next().is_some_and(|first| first.contains(':')) => {
            return Err(Error::NotAFile { path: path.into(), below: found.name });
        }
        None => &found.name,
    };
    // A relative name is relative to the image's own folder; an absolute one replaces it.
    let below = path.parent().unwrap_or(Path::new("/")).join(below);
    if !is_beside(&below, path) && !user.may_open(&below, false) {
        return Err(Error::Elsewhere { path: path.into(), below: below.display().to_string() });
    }
    let Some(format) = found.format else {
        return Err(Error::Unsaid { path: path.into(), below: below.display().to_string() });
    };
    let name = Some(below.display().to_string());
    let block = below.metadata().is_ok_and(|m| m.file_type().is_block_device());
    let (kind, source) = match block {
        true => (DiskType::Block, DiskSource { dev: name, ..DiskSource::default() }),
        false => (DiskType::File, DiskSource { file: name, ..DiskSource::default() }),
    };
    Ok(BackingStore { kind: Some(kind), format: Some(format), source: Some(source), backing: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qcow2::header;

    /// Writes an image above another.
    fn write(image: &Path, below: &str, format: Option<&str>) {
        std::fs::write(image, header::above(below, format)).unwrap();
    }

    fn domain(image: &Path) -> Domain {
        Domain::parse(&format!(
            "<domain type='kvm'><name>a</name><memory>1024</memory><os><type>hvm</type></os><devices><disk type='file'>\
             <driver name='qemu' type='qcow2'/><source file='{}'/><target dev='vda'/></disk></devices></domain>",
            image.display()
        ))
        .unwrap()
    }

    fn user() -> User {
        User::choose(None).unwrap()
    }

    #[test]
    fn a_header_does_not_lead_into_another_folder() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let secret = other.path().join("secret");
        std::fs::write(&secret, [0; 1024]).unwrap();
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let image = folder.path().join("top.qcow2");
        write(&image, secret.to_str().unwrap(), Some("raw"));
        let error = complete_chains(&mut domain(&image), &user()).unwrap_err();
        assert!(matches!(error, Error::Elsewhere { .. }), "{error}");
    }

    #[test]
    fn a_chain_that_is_left_out_is_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("base.raw"), [0; 1024]).unwrap();
        write(&folder.path().join("middle.qcow2"), "base.raw", Some("raw"));
        write(&folder.path().join("top.qcow2"), "middle.qcow2", Some("qcow2"));
        let mut domain = domain(&folder.path().join("top.qcow2"));
        complete_chains(&mut domain, &user()).unwrap();
        let middle = domain.devices.disks[0].backing.as_ref().unwrap();
        assert!(middle.source.as_ref().unwrap().path().unwrap().ends_with("/middle.qcow2"));
        let base = middle.backing.as_ref().unwrap();
        assert_eq!(base.format, Some(ImageFormat::Raw));
        assert_eq!(base.source.as_ref().unwrap().path(), folder.path().join("base.raw").to_str());
    }

    #[test]
    fn a_chain_that_bites_its_tail_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("loop.qcow2");
        write(&image, "loop.qcow2", Some("qcow2"));
        assert!(matches!(complete_chains(&mut domain(&image), &user()), Err(Error::Endless { .. })));
    }

    #[test]
    fn a_format_that_is_not_said_is_never_guessed() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("top.qcow2");
        write(&image, "base", None);
        let error = complete_chains(&mut domain(&image), &user()).unwrap_err();
        assert!(error.hint().unwrap().contains("qemu-img rebase"), "{error}");
    }
}
