//! Errors of the folder of a guest.

use std::io;
use std::path::PathBuf;

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
        /// Path of the note on the VMM.
        note: PathBuf,
    },
    /// The guest's last manager died while it started the VMM, and processes run as the guest's
    /// user.
    #[error(
        "the last start of guest '{name}' was cut short, and its VMM may be among the processes of \
         uid {uid}"
    )]
    UserLives {
        /// Name of the guest.
        name: String,
        /// Number of the user.
        uid: u32,
        /// Path of the note on the start.
        note: PathBuf,
    },
    /// The note on the VMM's process cannot be used, so that the VMM may live.
    #[error(
        "cannot determine from {} whether the VMM of guest '{name}' still runs",
        path.display()
    )]
    BadNote {
        /// Name of the guest.
        name: String,
        /// Path of the note.
        path: PathBuf,
        /// Cause.
        source: io::Error,
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
