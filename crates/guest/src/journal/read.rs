//! The reader of a journal.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use passthru_host::{ProcessId, read_own_within};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::JournalError;
use super::journal::Journal;
use super::line::{Header, Line, VERSION};
use crate::op::effect::Effect;
use crate::op::op::Op;

/// Largest size of a journal, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// The content of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalState {
    pub(crate) header: Header,
    /// Operations that may be in force, in their order.
    pub(crate) entries: Vec<Entry>,
    /// Whether the guest ever ran: its start succeeded.
    pub(crate) has_run: bool,
    /// Whether the guest may have run: it was to be resumed.
    pub(crate) may_have_run: bool,
    /// Number for the next operation.
    pub(crate) next: u32,
    /// Names and numbers of the running VMM.
    pub(crate) used: UsedUp,
}

/// Names and numbers that a run of a guest has used up, by the changes of its devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UsedUp {
    /// Aliases of all devices that were ever plugged in.
    pub(crate) aliases: BTreeSet<String>,
    /// Highest number of an fd set of the VMM.
    pub(crate) last_set: u32,
    /// Ids of all parts of devices that were ever made.
    pub(crate) parts: BTreeSet<String>,
    /// Block nodes of the media that were changed, by the aliases of their drives.
    pub(crate) media: BTreeMap<String, Option<String>>,
}

/// The part of the first line that all versions have.
#[derive(Deserialize)]
struct FormatVersion {
    journal: u32,
}

/// Operation that may be in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) number: u32,
    pub(crate) op: Op,
    pub(crate) effect: Option<Effect>,
    pub(crate) state: EntryState,
}

/// State of an operation in a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryState {
    /// The operation has begun.
    Begun,
    /// The operation is in force.
    Done,
    /// The undo has begun, or has failed.
    Undoing,
}

impl JournalState {
    /// Returns the process of the VMM, if a start came as far as that.
    pub(crate) fn vmm(&self) -> Option<&ProcessId> {
        self.entries.iter().find_map(|entry| match &entry.effect {
            Some(Effect::Process(process)) => Some(process),
            _ => None,
        })
    }
}

/// Reads the journal in a guest's folder; `None` if there is none, or it has no whole line.
///
/// A last line without its end is left out: it was cut off by a crash, and what it announces did
/// not begin.
///
/// # Errors
/// - If the file cannot be read, or others than its owner can change it, then
///   [`JournalError::Read`].
/// - If a newer program wrote it, then [`JournalError::Version`].
/// - If a line cannot be understood, then [`JournalError::Damaged`].
pub(crate) fn read_journal(folder: &Path) -> Result<Option<JournalState>, JournalError> {
    parse(&read_text(folder)?, Journal::path_in(folder))
}

/// Reads the text of the journal in a guest's folder; empty if there is none.
pub(super) fn read_text(folder: &Path) -> Result<Vec<u8>, JournalError> {
    let path = Journal::path_in(folder);
    match read_own_within(&path, MAX_BYTES) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|source| JournalError::Read { path, source }),
    }
}

fn parse(text: &[u8], path: PathBuf) -> Result<Option<JournalState>, JournalError> {
    let Some(end) = text.iter().rposition(|byte| *byte == b'\n') else {
        return Ok(None);
    };
    let mut lines = text[..end].split(|byte| *byte == b'\n').enumerate();
    let Some((_, first)) = lines.next() else {
        return Ok(None);
    };
    let FormatVersion { journal: version } = parse_line(first, 1, &path)?;
    if version > VERSION {
        return Err(JournalError::Version {
            path,
            version,
            known: VERSION,
        });
    }

    let header: Header = parse_line(first, 1, &path)?;
    let mut state = JournalState {
        header,
        entries: Vec::new(),
        has_run: false,
        may_have_run: false,
        next: 1,
        used: UsedUp::default(),
    };
    for (index, line) in lines {
        state.apply(parse_line(line, index + 1, &path)?);
    }

    Ok(Some(state))
}

fn parse_line<T: DeserializeOwned>(
    line: &[u8],
    number: usize,
    path: &Path,
) -> Result<T, JournalError> {
    serde_json::from_slice(line).map_err(|error| JournalError::Damaged {
        path: path.into(),
        line: number,
        reason: error.to_string(),
    })
}

impl JournalState {
    fn apply(&mut self, line: Line) {
        match line {
            Line::Begin { number, op } => {
                self.note_used(&op);
                self.next = self.next.max(number.saturating_add(1));
                self.entries.push(Entry {
                    number,
                    op,
                    effect: None,
                    state: EntryState::Begun,
                });
            }
            Line::Effect { number, effect } => {
                if let Some(entry) = self.entry(number) {
                    entry.effect = Some(effect);
                }
            }
            Line::Done { number } => {
                self.note_done(number);
                self.entries
                    .retain(|entry| entry.number != number || !entry.op.is_final());
            }
            Line::Undo { number } | Line::Stuck { number, .. } => {
                if let Some(entry) = self.entry(number) {
                    entry.state = EntryState::Undoing;
                }
            }
            Line::Adopted { manager } => self.header.manager = manager,
            Line::Failed { number } | Line::Undone { number } => {
                self.entries.retain(|entry| entry.number != number);
            }
        }
    }

    /// Notes that an operation is in force.
    fn note_done(&mut self, number: u32) {
        let Some(entry) = self.entry(number) else {
            return;
        };
        entry.state = EntryState::Done;
        match &entry.op {
            Op::Resume => self.has_run = true,
            Op::ChangeMedium { drive, to, .. } => {
                let medium = (drive.clone(), to.clone());
                self.used.media.extend([medium]);
            }
            _ => {}
        }
    }

    /// Notes what an operation uses up, even if it fails or is undone.
    fn note_used(&mut self, op: &Op) {
        match op {
            Op::Resume => self.may_have_run = true,
            Op::AddDevice { alias, .. } | Op::RemoveDevice { alias, .. } => {
                self.used.aliases.insert(alias.clone());
            }
            Op::AddPart { id, .. } | Op::RemovePart { id, .. } => {
                self.used.parts.insert(id.clone());
            }
            Op::AddFdSet { set, .. } | Op::PassDevice { set, .. } | Op::PassFile { set, .. } => {
                self.used.last_set = self.used.last_set.max(*set);
            }
            _ => {}
        }
    }

    fn entry(&mut self, number: u32) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.number == number)
    }
}

#[cfg(test)]
mod tests;
