//! Errors of the folder of a guest.

use std::io;
use std::path::PathBuf;

use crate::journal::JournalError;

/// Error of the folder of a guest.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The guest runs already.
    #[error("the guest '{name}' is running already, under process {pid}")]
    Running {
        /// Name of the guest.
        name: String,
        /// Process that runs the guest.
        pid: u32,
    },
    /// The guest's last manager has died, and its VMM may live.
    #[error(
        "the VMM of guest '{name}' may still run, as process {pid}, although its passthru has ended"
    )]
    VmmLives {
        /// Name of the guest.
        name: String,
        /// Process of the VMM.
        pid: u32,
    },
    /// The guest's last manager has died, and this process cannot see its VMM's process.
    #[error("cannot see whether process {pid}, the VMM of guest '{name}', still runs")]
    VmmUnseen {
        /// Name of the guest.
        name: String,
        /// Number of the process in the PID namespace where the guest was started. In another
        /// namespace, another process may have the number.
        pid: u32,
        /// Path of the guest's journal.
        journal: PathBuf,
    },
    /// The guest's journal cannot be used, so that its VMM may live.
    #[error(
        "cannot determine from {} whether the VMM of guest '{name}' still runs",
        path.display()
    )]
    BadJournal {
        /// Name of the guest.
        name: String,
        /// Path of the journal.
        path: PathBuf,
        /// Cause.
        source: JournalError,
    },
    /// The folder or a file in it cannot be made.
    #[error("cannot make {}", path.display())]
    Make {
        /// Path of the folder or file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
}
