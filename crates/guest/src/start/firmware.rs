//! The firmware descriptors of the host, and the one that a guest had at its last start.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use passthru_domain::Domain;
use passthru_host::read_bounded;
use passthru_qemu::FirmwareDescriptor;
use rustix::fs::{FileType, Mode, OFlags};

use crate::error::Error;
use crate::opener::{Opener, TrustedFiles};
use crate::start::last_firmware::{LastFirmware, LostFirmware};
use crate::start::record::Records;
use crate::start::user::User;

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
    pub descriptors: Vec<FirmwareDescriptor>,
    /// Messages about files and folders that are left out, and about a firmware that is gone.
    pub notes: Vec<String>,
    /// The firmware of the guest's last start, if its files are gone and its variables are not.
    pub lost: Option<LostFirmware>,
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
            let listed = list(folder, folder).map_err(|source| unreadable(folder, source))?;
            paths.extend(listed);
        }

        let mut found = Self::default();
        for (name, path) in paths {
            found.add(&name, &path, open(&path));
        }
        Ok(found)
    }

    /// Reads the host's descriptors for a guest as which `user` runs, as [`read`](Self::read) does.
    ///
    /// A file or folder that others than root can change is left out: its text could make root copy
    /// any file into the guest's variables. A missing folder is empty.
    ///
    /// The descriptor that the guest had at its last start, by `records`, comes first. An update of
    /// a package then gives the guest no other firmware. If its files are gone, then it stays first
    /// as long as the guest has variables: see [`lost`](Self::lost).
    ///
    /// # Errors
    /// - If a folder cannot be read and the domain leaves its firmware open, then
    ///   [`Error::FirmwareFolder`].
    /// - If the guest's record cannot be read, then [`Error::Record`].
    pub fn for_guest(
        domain: &Domain,
        records: Option<&Records>,
        user: &User,
    ) -> Result<Self, Error> {
        let is_open = domain.os.leaves_firmware_open();
        let folders = FIRMWARE_DIRS.map(Path::new);
        let mut found = Self::read_trusted(&folders, TrustedFiles::for_host(), is_open)?;
        let name = domain.name.as_deref().unwrap_or_default();
        let record = records.map(|records| records.read(name)).transpose()?;
        let last = record.flatten().and_then(|record| record.firmware);
        if let Some(descriptor) = last.and_then(|last| last.descriptor) {
            found.prefer(descriptor, domain, &Opener::new(user));
        }
        Ok(found)
    }

    /// Reads the descriptors that one user alone can change.
    ///
    /// # Errors
    /// If a folder cannot be read and `is_needed` is set, then [`Error::FirmwareFolder`].
    fn read_trusted(
        folders: &[&Path],
        files: TrustedFiles<'_>,
        is_needed: bool,
    ) -> Result<Self, Error> {
        let mut found = Self::default();
        let mut paths = BTreeMap::new();
        for folder in folders.iter().rev() {
            match list_trusted(folder, files) {
                Ok(listed) => paths.extend(listed),
                Err(source) if is_needed && source.raw_os_error().is_some() => {
                    return Err(unreadable(folder, source));
                }
                Err(error) => found.add_note(folder, &error),
            }
        }

        for (name, path) in paths {
            found.add(&name, &path, files.open(&path));
        }
        Ok(found)
    }

    /// Adds the descriptor in a file.
    fn add(&mut self, name: &str, path: &Path, file: io::Result<File>) {
        match file.and_then(|file| read_bounded(file, MAX_BYTES)) {
            Ok(text) if text.is_empty() => {}
            Ok(text) => match FirmwareDescriptor::parse(name, &text) {
                Ok(descriptor) => self.descriptors.push(descriptor),
                Err(error) => self.add_note(path, &error),
            },
            Err(error) => self.add_note(path, &error),
        }
    }

    /// Puts the descriptor of the last start before the others, unless the guest loses nothing by
    /// another choice.
    fn prefer(&mut self, descriptor: FirmwareDescriptor, domain: &Domain, opener: &Opener<'_>) {
        let last = LastFirmware::new(descriptor, domain, opener);
        if let Some(note) = last.replaced_note() {
            self.notes.push(note);
            return;
        }

        self.lost = last.lost();
        self.descriptors.insert(0, last.descriptor);
    }

    fn add_note(&mut self, path: &Path, error: &dyn std::error::Error) {
        let cause = error.source().map(|cause| format!(": {cause}"));
        let message = format!(
            "{} is left out: {error}{}",
            path.display(),
            cause.unwrap_or_default()
        );
        self.notes.push(message);
    }
}

fn unreadable(folder: &Path, source: io::Error) -> Error {
    Error::FirmwareFolder {
        folder: folder.to_path_buf(),
        source,
    }
}

/// Lists the descriptors in a folder that one user alone can change. A missing folder is empty.
fn list_trusted(folder: &Path, files: TrustedFiles<'_>) -> io::Result<BTreeMap<String, PathBuf>> {
    match files.folder(folder) {
        Ok(opened) => list(&opened.path_of(OsStr::new(".")), folder),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error),
    }
}

/// Lists the descriptors in a folder, which is open at `opened`, by their names. Leaves out hidden
/// files.
fn list(opened: &Path, folder: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut paths = BTreeMap::new();
    for entry in fs::read_dir(opened)? {
        let file_name = entry?.file_name();
        if let Some(name) = file_name.to_str()
            && name.ends_with(".json")
            && !name.starts_with('.')
        {
            paths.insert(name.to_owned(), folder.join(name));
        }
    }

    Ok(paths)
}

/// Opens a regular file. Does not wait at a FIFO.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        let message = "it is not a regular file";
        return Err(io::Error::new(ErrorKind::InvalidData, message));
    }

    Ok(file)
}

#[cfg(test)]
mod tests;
