//! Errors of a guest's journal.

use std::io;
use std::path::PathBuf;

/// Error of a guest's journal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The journal cannot be read.
    #[error("cannot read the journal {}", path.display())]
    Read {
        /// Path of the journal.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The journal cannot be written.
    #[error("cannot write the journal {}", path.display())]
    Write {
        /// Path of the journal.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// A newer program wrote the journal.
    #[error(
        "the journal {} has version {version}, and this program knows versions up to {known}",
        path.display()
    )]
    Version {
        /// Path of the journal.
        path: PathBuf,
        /// Version of the journal.
        version: u32,
        /// Highest version that this program reads.
        known: u32,
    },
    /// A line is damaged, or names an operation that this program does not know.
    #[error("line {line} of the journal {} cannot be understood: {reason}", path.display())]
    Damaged {
        /// Path of the journal.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// Reason.
        reason: String,
    },
}
