//! A reader of the log of a VMM.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::log_file::older;

/// Number of bytes that are read at a time.
const CHUNK: usize = 64 << 10;

/// A reader that begins with the older file, and follows the log as it grows and is replaced.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    /// Files to read, the oldest first.
    files: VecDeque<File>,
}

impl LogReader {
    /// Opens the log that a [`VmmLog`](super::VmmLog) writes.
    ///
    /// # Errors
    /// - If there is no log, then `NotFound`.
    /// - If the log cannot be opened, then the kernel's error.
    pub fn open(path: &Path) -> io::Result<Self> {
        // If the log is replaced meanwhile, both are the same file.
        let current = open(path)?;
        let older = open(&older(path))?;
        let mut files = VecDeque::new();
        if let Some(older) = older
            && !is_same(&older, current.as_ref())?
        {
            files.push_back(older);
        }

        files.extend(current);
        if files.is_empty() {
            return Err(ErrorKind::NotFound.into());
        }
        Ok(Self {
            path: path.into(),
            files,
        })
    }

    /// Reads the next part of the log, at most 64 KiB. Returns nothing at the end; more may come
    /// later. The text is escaped.
    ///
    /// # Errors
    /// If the log cannot be read, then the kernel's error.
    pub fn read(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let part = self.read_first()?;
            if !part.is_empty() {
                return Ok(part);
            }
            if self.files.len() == 1 && !self.find_next()? {
                return Ok(Vec::new());
            }
            // The last lines may have come since the file was at its end.
            let part = self.read_first()?;
            if !part.is_empty() {
                return Ok(part);
            }
            self.files.pop_front();
        }
    }

    fn read_first(&mut self) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; CHUNK];
        let count = match self.files.front_mut() {
            Some(file) => file.read(&mut buffer)?,
            None => 0,
        };
        buffer.truncate(count);
        Ok(buffer)
    }

    /// Opens the file that has replaced the one that is read. Returns whether there is one.
    fn find_next(&mut self) -> io::Result<bool> {
        let Some(next) = open(&self.path)? else {
            return Ok(false);
        };
        if is_same(&next, self.files.front())? {
            return Ok(false);
        }
        self.files.push_back(next);
        Ok(true)
    }
}

/// Opens a regular file; `None` if it is missing.
fn open(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(Some(file))
}

fn is_same(file: &File, other: Option<&File>) -> io::Result<bool> {
    let Some(other) = other else {
        return Ok(false);
    };
    Ok(number(&file.metadata()?) == number(&other.metadata()?))
}

fn number(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::super::log_file::LogFile;
    use super::*;

    fn read_all(reader: &mut LogReader) -> String {
        let mut text = Vec::new();
        loop {
            let part = reader.read().unwrap();
            if part.is_empty() {
                return String::from_utf8(text).unwrap();
            }
            text.extend(part);
        }
    }

    #[test]
    fn log_is_followed_across_its_replacement() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vm.log");
        let missing = LogReader::open(&path).unwrap_err();

        assert_eq!(missing.kind(), ErrorKind::NotFound);

        let mut log = LogFile::open(&path).unwrap();
        let mut reader = LogReader::open(&path).unwrap();
        let mut written = String::new();
        let mut read = String::new();
        for number in 0..700 {
            let line = format!("{number} {}\n", "x".repeat(4000));
            log.append(&line).unwrap();
            written.push_str(&line);
            if number % 5 == 0 {
                read.push_str(&read_all(&mut reader));
            }
        }

        read.push_str(&read_all(&mut reader));

        assert!(read == written);

        // A new reader begins with the older file.
        let rest = read_all(&mut LogReader::open(&path).unwrap());

        assert!(rest.len() > 1 << 20 && written.ends_with(&rest));
    }

    #[test]
    fn lines_before_a_replacement_are_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vm.log");
        fs::write(&path, "one\n").unwrap();
        let mut reader = LogReader::open(&path).unwrap();

        assert_eq!(read_all(&mut reader), "one\n");

        let mut former = File::options().append(true).open(&path).unwrap();
        fs::rename(&path, older(&path)).unwrap();

        assert_eq!(read_all(&mut reader), "");

        io::Write::write_all(&mut former, b"two\n").unwrap();
        fs::write(&path, "three\n").unwrap();

        assert_eq!(read_all(&mut reader), "two\nthree\n");
    }
}
