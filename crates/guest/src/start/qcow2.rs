//! The part of a qcow2 header that names the backing image and its format.
//!
//! Layout: QEMU's docs/interop/qcow2.rst. All numbers are big-endian.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use passthru_domain::device::disk::ImageFormat;

const MAGIC: &[u8; 4] = b"QFI\xfb";
/// Bit of the incompatible feature that the data is in another file.
const EXTERNAL_DATA: u64 = 1 << 2;
/// Type of the header extension with the format of the backing image.
const BACKING_FORMAT: u32 = 0xe279_2aca;
/// Largest size of a cluster, in bytes. The header is within the first cluster.
const MAX_CLUSTER: u64 = 2 << 20;
/// Longest name of a backing image that QEMU accepts, in bytes.
const MAX_NAME: u32 = 1023;

/// A backing image, as a header names it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BackingImage {
    /// Path, absolute or relative to the folder of the image with the header.
    pub(crate) name: String,
    pub(crate) format: Option<ImageFormat>,
}

/// Error of a header.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read its header")]
    Read(#[from] io::Error),
    /// The file is not a qcow2 image.
    #[error("it is not a qcow2 image")]
    NotQcow2,
    /// The header is damaged.
    #[error("its header is damaged: {0}")]
    Damaged(&'static str),
    /// The image has its data in another file.
    #[error("its data is in an external data file, which is not supported yet")]
    ExternalData,
    /// The format of the backing image is neither raw nor qcow2.
    #[error("its backing image has the format '{0}'; only 'raw' and 'qcow2' are supported")]
    Format(String),
}

/// Reads the backing image from an image's header; `None` if the image has none.
pub(crate) fn read_backing(file: &File) -> Result<Option<BackingImage>, Error> {
    let mut header = [0; 104];
    let length = read_up_to(file, &mut header, 0)?;
    let bytes = header.get(..length).unwrap_or_default();
    if bytes.get(..4) != Some(MAGIC) {
        return Err(Error::NotQcow2);
    }
    let version = u32_at(bytes, 4)?;
    let offset = u64_at(bytes, 8)?;
    let size = u32_at(bytes, 16)?;
    let header_length = match version {
        2 => 72,
        3 => u64::from(u32_at(bytes, 100)?),
        _ => return Err(Error::Damaged("its version is neither 2 nor 3")),
    };
    if version == 3 && u64_at(bytes, 72)? & EXTERNAL_DATA != 0 {
        return Err(Error::ExternalData);
    }
    if offset == 0 {
        return Ok(None);
    }
    if size == 0 || size > MAX_NAME {
        return Err(Error::Damaged(
            "the name of the backing image is empty or too long",
        ));
    }

    let mut name = vec![0; size as usize];
    file.read_exact_at(&mut name, offset)?;
    let name = String::from_utf8(name)
        .map_err(|_| Error::Damaged("the name of the backing image is not UTF-8"))?;
    // Messages show the name on terminals.
    if name.chars().any(char::is_control) {
        return Err(Error::Damaged(
            "the name of the backing image has control characters",
        ));
    }

    Ok(Some(BackingImage {
        name,
        format: read_format(file, header_length, offset)?,
    }))
}

/// Reads the format of the backing image from the header's extensions. They start at `start`, and
/// end before the name of the backing image at `end`.
fn read_format(file: &File, start: u64, end: u64) -> Result<Option<ImageFormat>, Error> {
    let mut at = start;
    while at.saturating_add(8) <= end.min(MAX_CLUSTER) {
        let mut head = [0; 8];
        file.read_exact_at(&mut head, at)?;
        let kind = u32_at(&head, 0)?;
        let length = u32_at(&head, 4)?;
        if kind == 0 {
            break;
        }
        if kind == BACKING_FORMAT {
            let mut name = vec![0; length.min(64) as usize];
            file.read_exact_at(&mut name, at + 8)?;
            let name = String::from_utf8_lossy(&name).into_owned();
            // A guest could choose the further files that other formats lead to.
            let followed = [ImageFormat::Raw, ImageFormat::Qcow2];
            let known = followed.into_iter().find(|format| format.as_str() == name);
            return known.map(Some).ok_or(Error::Format(name));
        }
        at = at.saturating_add(8 + u64::from(length).next_multiple_of(8));
    }

    Ok(None)
}

/// Reads bytes at an offset until the buffer is full or the file ends. Returns their number.
fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }

    Ok(done)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Error> {
    let field = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
    field
        .map(u32::from_be_bytes)
        .ok_or(Error::Damaged("it is too short"))
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, Error> {
    let field = bytes.get(at..at + 8).and_then(|b| b.try_into().ok());
    field
        .map(u64::from_be_bytes)
        .ok_or(Error::Damaged("it is too short"))
}

/// Headers of images, for tests. The fields that this file reads are as `qemu-img create` writes
/// them.
#[cfg(test)]
pub(crate) mod header {
    use super::{BACKING_FORMAT, MAGIC};

    /// Returns the header of an image with the backing image `below`.
    pub(crate) fn with_backing(below: &str, format: Option<&str>) -> Vec<u8> {
        let said = format.map(|format| (BACKING_FORMAT, format.as_bytes()));
        with_fields(3, 0, &Vec::from_iter(said), below)
    }

    /// Returns a header with these fields and extensions.
    pub(crate) fn with_fields(
        version: u32,
        incompatible: u64,
        extensions: &[(u32, &[u8])],
        below: &str,
    ) -> Vec<u8> {
        let mut header = vec![0; 104];
        header[..4].copy_from_slice(MAGIC);
        header[4..8].copy_from_slice(&version.to_be_bytes());
        header[72..80].copy_from_slice(&incompatible.to_be_bytes());
        header[100..104].copy_from_slice(&104u32.to_be_bytes());
        for (kind, data) in extensions {
            header.extend(kind.to_be_bytes());
            header.extend((data.len() as u32).to_be_bytes());
            header.extend(*data);
            header.resize(header.len().next_multiple_of(8), 0);
        }

        header.extend([0; 8]);
        if !below.is_empty() {
            let at = header.len() as u64;
            header[8..16].copy_from_slice(&at.to_be_bytes());
            header[16..20].copy_from_slice(&(below.len() as u32).to_be_bytes());
            header.extend(below.bytes());
        }

        header
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn image(version: u32, incompatible: u64, extensions: &[(u32, &[u8])], below: &str) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&header::with_fields(
            version,
            incompatible,
            extensions,
            below,
        ))
        .unwrap();
        file
    }

    #[test]
    fn image_without_a_backing_image_has_none() {
        assert_eq!(read_backing(&image(3, 0, &[], "")).unwrap(), None);
    }

    #[test]
    fn backing_image_and_its_format_are_read() {
        let found = read_backing(&image(
            3,
            0,
            &[(0x6803_f857, b"abc"), (BACKING_FORMAT, b"raw")],
            "base.img",
        ))
        .unwrap();
        assert_eq!(
            found,
            Some(BackingImage {
                name: "base.img".into(),
                format: Some(ImageFormat::Raw)
            })
        );

        let found = read_backing(&image(3, 0, &[], "base.img"))
            .unwrap()
            .unwrap();
        assert_eq!(found.format, None);
    }

    #[test]
    fn unknown_and_unsupported_images_are_refused() {
        let mut text = tempfile::tempfile().unwrap();
        text.write_all(b"hello").unwrap();
        assert!(matches!(read_backing(&text), Err(Error::NotQcow2)));
        assert!(matches!(
            read_backing(&image(4, 0, &[], "")),
            Err(Error::Damaged(_))
        ));
        assert!(matches!(
            read_backing(&image(3, EXTERNAL_DATA, &[], "")),
            Err(Error::ExternalData)
        ));
        assert!(matches!(
            read_backing(&image(3, 0, &[], "a\x1b[2J")),
            Err(Error::Damaged(_))
        ));

        let vmdk = image(3, 0, &[(BACKING_FORMAT, b"vmdk")], "x");
        assert!(matches!(read_backing(&vmdk), Err(Error::Format(f)) if f == "vmdk"));
    }
}
