//! The log on disk: a file of bounded size, with one older file beside it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use passthru_host::{check_owner, make_own_folder};
use rustix::fs::{Mode, OFlags};

/// Largest size of a log file, in bytes.
pub(super) const MAX_LOG: u64 = 1 << 20;

/// A log file that only this user can read and write.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
}

impl LogFile {
    /// Opens a log file to append to it. The file and its folder are made if they are missing.
    ///
    /// # Errors
    /// - If the file or the folder cannot be made or opened, then the kernel's error.
    /// - If others may write to either, then `Other`.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            make_own_folder(folder, 0o700)?;
        }
        Ok(Self {
            path: path.into(),
            file: open(path)?,
        })
    }

    /// Appends text, whose length is well below [`MAX_LOG`]. If the file would become too large, it
    /// becomes the older file first.
    ///
    /// # Errors
    /// If the text cannot be written, then the kernel's error. A part of it may be written.
    pub(super) fn append(&mut self, text: &str) -> io::Result<()> {
        let metadata = self.file.metadata()?;
        let is_full = metadata.len() + text.len() as u64 > MAX_LOG;
        if is_full && metadata.nlink() > 0 {
            fs::rename(&self.path, older(&self.path))?;
        }
        // An administrator may have removed the file.
        if is_full || metadata.nlink() == 0 {
            self.file = open(&self.path)?;
        }
        self.file.write_all(text.as_bytes())
    }
}

fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW;
    let others = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(
        path,
        flags | others,
        Mode::RUSR | Mode::WUSR,
    )?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let own = rustix::process::geteuid().as_raw();
    check_owner(own, metadata.uid(), metadata.mode())?;
    Ok(file)
}

/// Returns the path of the older file beside a log.
pub(super) fn older(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".1");
    name.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn length(path: &Path) -> u64 {
        fs::metadata(path).unwrap().len()
    }

    #[test]
    fn full_file_becomes_the_older_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log/vm.log");
        let mut log = LogFile::open(&path).unwrap();
        let text = "x".repeat(64 << 10);
        for _ in 0..16 {
            log.append(&text).unwrap();
        }

        assert_eq!(length(&path), MAX_LOG);
        assert!(!older(&path).exists());

        log.append("next").unwrap();

        assert_eq!((length(&path), length(&older(&path))), (4, MAX_LOG));

        for _ in 0..40 {
            log.append(&text).unwrap();
        }

        assert!(length(&path) <= MAX_LOG && length(&older(&path)) <= MAX_LOG);

        let files = fs::read_dir(folder.path().join("log")).unwrap();

        assert_eq!(files.count(), 2);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn later_program_appends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vm.log");
        LogFile::open(&path).unwrap().append("one\n").unwrap();
        LogFile::open(&path).unwrap().append("two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn removed_file_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vm.log");
        let mut log = LogFile::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        log.append("text").unwrap();

        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    }

    #[test]
    fn link_or_file_of_others_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vm.log");
        let other = folder.path().join("other");
        fs::write(&other, "kept").unwrap();
        symlink(&other, &path).unwrap();

        assert!(LogFile::open(&path).is_err());

        fs::set_permissions(&other, PermissionsExt::from_mode(0o666)).unwrap();
        let error = LogFile::open(&other).unwrap_err();

        assert!(
            error.to_string().contains("others may write to it"),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&other).unwrap(), "kept");
    }
}
