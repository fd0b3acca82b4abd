//! Reading and writing the small files of sysfs and procfs.
//!
//! Reads answer `None` for whatever is not there: devices come and go while they are looked at.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::Error;

/// Reads an attribute without the white space around it.
pub(crate) fn read(path: impl AsRef<Path>) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// Reads a decimal number, or a hexadecimal one with `0x` before it. Negative numbers are `None`.
pub(crate) fn number(path: impl AsRef<Path>) -> Option<u32> {
    let text = read(path)?;
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Returns the last part of what a symbolic link points at.
pub(crate) fn link_name(path: impl AsRef<Path>) -> Option<String> {
    Some(
        fs::read_link(path)
            .ok()?
            .file_name()?
            .to_string_lossy()
            .into_owned(),
    )
}

/// Lists the names in a folder, sorted; none where the folder is not there.
pub(crate) fn names(path: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Writes an attribute. It has to be there already: sysfs makes its own files.
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
