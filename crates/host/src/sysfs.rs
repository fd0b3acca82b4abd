//! The small files of sysfs and procfs.
//!
//! Reads return `None` for a missing file: devices appear and vanish at any time.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::Error;

/// Reads an attribute, without surrounding white space.
pub(crate) fn read(path: impl AsRef<Path>) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// Reads a decimal number, or a hexadecimal one after `0x`. Returns `None` for a negative number.
pub(crate) fn number(path: impl AsRef<Path>) -> Option<u32> {
    let text = read(path)?;
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Returns the last part of a symbolic link's target.
pub(crate) fn link_name(path: impl AsRef<Path>) -> Option<String> {
    let target = fs::read_link(path).ok()?;
    let name = target.file_name()?;
    Some(name.to_string_lossy().into_owned())
}

/// Lists the names in a folder, sorted. The list is empty for a missing folder.
pub(crate) fn names(path: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Writes an attribute. The file must exist: only the kernel creates files in sysfs.
pub(crate) fn write(path: impl AsRef<Path>, value: &str) -> Result<(), Error> {
    let path = path.as_ref();
    tracing::debug!(path = %path.display(), value = value.trim_end(), "write");
    fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.as_bytes()))
        .map_err(|source| Error::Write {
            path: path.into(),
            value: value.trim_end().into(),
            source,
        })
}
