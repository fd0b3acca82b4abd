//! The firmware descriptors of the host, and the one that a guest had at its last start.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;
use passthru_host::read_bounded;
use passthru_qemu::Descriptor;
use rustix::fs::{FileType, Mode, OFlags};

use crate::error::Error;
use crate::start::record::Records;

/// Folders of the host's firmware descriptors, the more specific first.
///
/// QEMU's specification (`docs/interop/firmware.json`) also names a folder in the user's home. It
/// is not for root, as whom guests are started.
pub const FIRMWARE_DIRS: [&str; 2] = ["/etc/qemu/firmware", "/usr/share/qemu/firmware"];

/// Maximum size of a descriptor, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Firmware descriptors that were read from folders.
#[derive(Debug, Default)]
pub struct FirmwareDescriptors {
    /// The descriptors in the order of preference.
    pub descriptors: Vec<Descriptor>,
    /// A message for each file that is not a descriptor.
    pub unusable: Vec<String>,
}

impl FirmwareDescriptors {
    /// Reads the descriptors in folders, the more specific folder first.
    ///
    /// The order is that of the names. A file hides the file of the same name in a later folder. An
    /// empty file is none, but hides as well. A file that is not a descriptor is left out.
    ///
    /// # Errors
    /// If a folder cannot be read, then [`Error::FirmwareFolder`].
    pub fn read(folders: &[&Path]) -> Result<Self, Error> {
        let mut paths = BTreeMap::new();
        for folder in folders.iter().rev() {
            let listed = list(folder).map_err(|source| Error::FirmwareFolder {
                folder: folder.to_path_buf(),
                source,
            })?;
            paths.extend(listed);
        }

        let mut found = Self::default();
        for (name, path) in paths {
            match read_file(&path) {
                Ok(text) if text.is_empty() => {}
                Ok(text) => match Descriptor::parse(&name, &text) {
                    Ok(descriptor) => found.descriptors.push(descriptor),
                    Err(error) => found.add_unusable(&path, &error),
                },
                Err(error) => found.add_unusable(&path, &error),
            }
        }

        Ok(found)
    }

    /// Reads the host's descriptors. The one that the guest `name` had at its last start comes
    /// first. An update of a package then gives the guest no other firmware.
    ///
    /// # Errors
    /// - If a folder exists and cannot be read, then [`Error::FirmwareFolder`].
    /// - If the guest's record cannot be read, then [`Error::Record`].
    pub fn for_guest(name: &str, records: &Records) -> Result<Self, Error> {
        let folders = FIRMWARE_DIRS.map(Path::new);
        let existing: Vec<_> = folders.into_iter().filter(|f| f.exists()).collect();
        let mut found = Self::read(&existing)?;
        // Only root has records, and can read them.
        if Uid::effective().is_root()
            && let Some(last) = last_descriptor(name, records)?
        {
            found.descriptors.insert(0, last);
        }
        Ok(found)
    }

    fn add_unusable(&mut self, path: &Path, error: &dyn std::error::Error) {
        let cause = error.source().map(|cause| format!(": {cause}"));
        let message = format!(
            "{} is left out: {error}{}",
            path.display(),
            cause.unwrap_or_default()
        );
        self.unusable.push(message);
    }
}

/// Returns the descriptor by which the firmware of a guest was chosen at the last start.
fn last_descriptor(name: &str, records: &Records) -> Result<Option<Descriptor>, Error> {
    let record = records.read(name)?;
    Ok(record.and_then(|record| record.firmware?.descriptor))
}

/// Lists the descriptors in a folder by their names. Leaves out hidden files.
fn list(folder: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut paths = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(name) = name
            && name.ends_with(".json")
            && !name.starts_with('.')
        {
            paths.insert(name.to_owned(), path.clone());
        }
    }

    Ok(paths)
}

/// Reads a regular file. Does not wait at a FIFO.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        let message = "it is not a regular file";
        return Err(io::Error::new(ErrorKind::InvalidData, message));
    }
    read_bounded(file, MAX_BYTES)
}

#[cfg(test)]
mod tests;
