//! The writer of a journal.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use passthru_host::ProcessId;
use rustix::fs::{CWD, Mode, OFlags};
use serde::Serialize;

use super::error::JournalError;
use super::line::{Header, Line};
use super::read::read_text;
use crate::op::effect::Effect;
use crate::op::op::Op;

/// A guest's journal, open for appending.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Returns the path of the journal in a guest's folder.
    pub(crate) fn path_in(folder: &Path) -> PathBuf {
        folder.join("journal")
    }

    /// Begins the journal of a guest in its folder, in place of an older one.
    ///
    /// # Errors
    /// If the file cannot be made or written, then [`JournalError::Write`].
    pub(crate) fn create(folder: &Path, header: &Header) -> Result<Self, JournalError> {
        let flags = OFlags::TRUNC | OFlags::CREATE;
        let mut journal = Self::open_with(folder, flags)?;
        journal.write(header)?;
        Ok(journal)
    }

    /// Opens the journal in a guest's folder, to go on. Cuts off a last line without its end.
    ///
    /// # Errors
    /// - If the file cannot be read, then [`JournalError::Read`].
    /// - If the file cannot be opened or cut, then [`JournalError::Write`].
    pub(crate) fn open(folder: &Path) -> Result<Self, JournalError> {
        let text = read_text(folder)?;
        let journal = Self::open_with(folder, OFlags::empty())?;
        let lines = text.iter().rposition(|byte| *byte == b'\n');
        let length = lines.map_or(0, |end| end as u64 + 1);
        if length < text.len() as u64 {
            let cut = journal.file.set_len(length);
            cut.map_err(|source| JournalError::Write {
                path: journal.path.clone(),
                source,
            })?;
        }

        Ok(journal)
    }

    fn open_with(folder: &Path, flags: OFlags) -> Result<Self, JournalError> {
        let path = Self::path_in(folder);
        let flags = flags | OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let opened = rustix::fs::openat(CWD, &path, flags, Mode::RUSR | Mode::WUSR);
        match opened {
            Ok(fd) => Ok(Self {
                path,
                file: fd.into(),
            }),
            Err(errno) => Err(JournalError::Write {
                path,
                source: errno.into(),
            }),
        }
    }

    /// Notes that an operation begins.
    pub(crate) fn begin(&mut self, number: u32, op: &Op) -> Result<(), JournalError> {
        let op = op.clone();
        self.write(&Line::Begin { number, op })
    }

    /// Notes a fact that an operation produced.
    pub(crate) fn effect(&mut self, number: u32, effect: &Effect) -> Result<(), JournalError> {
        let effect = effect.clone();
        self.write(&Line::Effect { number, effect })
    }

    /// Notes that an operation is in force.
    pub(crate) fn done(&mut self, number: u32) -> Result<(), JournalError> {
        self.write(&Line::Done { number })
    }

    /// Notes that an operation failed and changed nothing.
    pub(crate) fn failed(&mut self, number: u32) -> Result<(), JournalError> {
        self.write(&Line::Failed { number })
    }

    /// Notes that the undo of an operation begins.
    pub(crate) fn undo(&mut self, number: u32) -> Result<(), JournalError> {
        self.write(&Line::Undo { number })
    }

    /// Notes that an operation is no longer in force.
    pub(crate) fn undone(&mut self, number: u32) -> Result<(), JournalError> {
        self.write(&Line::Undone { number })
    }

    /// Notes that an operation could not be undone.
    pub(crate) fn stuck(&mut self, number: u32, reason: &str) -> Result<(), JournalError> {
        let reason = reason.to_owned();
        self.write(&Line::Stuck { number, reason })
    }

    /// Notes that this process manages the guest from now on.
    pub(crate) fn adopted(&mut self, manager: ProcessId) -> Result<(), JournalError> {
        self.write(&Line::Adopted { manager })
    }

    /// Writes a line by one call, so that a crash cuts off the last line at most.
    fn write(&mut self, line: &impl Serialize) -> Result<(), JournalError> {
        let written = serde_json::to_vec(line)
            .map_err(io::Error::from)
            .and_then(|mut text| {
                text.push(b'\n');
                let length = self.file.metadata()?.len();
                self.file
                    .write_all(&text)
                    .and_then(|()| self.file.sync_data())
                    // A part of a line would spoil the next one.
                    .inspect_err(|_| drop(self.file.set_len(length)))
            });
        written.map_err(|source| JournalError::Write {
            path: self.path.clone(),
            source,
        })
    }
}
