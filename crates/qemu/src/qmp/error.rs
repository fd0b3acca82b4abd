//! What goes wrong between this client and a monitor.

use std::io;
use thiserror::Error;

/// What goes wrong between this client and a monitor.
#[derive(Debug, Error)]
pub enum Error {
    /// The socket fails.
    #[error("QMP {what} failed")]
    Io {
        /// The command, or what was waited for.
        what: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// The monitor does not answer.
    #[error("QMP {what}: no reply within the time limit")]
    Timeout {
        /// The command, or what was waited for.
        what: String,
    },
    /// The monitor is gone: QEMU ended.
    #[error("QMP {what}: QEMU closed the connection")]
    Closed {
        /// The command, or what was waited for.
        what: String,
    },
    /// What came first is no monitor's greeting.
    #[error("the peer is not a QMP monitor: it sent {said}")]
    NoGreeting {
        /// What came.
        said: String,
    },
    /// What came is no JSON.
    #[error("QMP: malformed message: {line}")]
    Malformed {
        /// What came.
        line: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// More came without an end of line than any message has.
    #[error("QMP: a message is longer than {limit} bytes")]
    TooLong {
        /// The most that is read.
        limit: usize,
    },
    /// The monitor refuses the command.
    #[error("QMP {command}: {desc}")]
    Command {
        /// The command.
        command: String,
        /// Class of the error: `GenericError`, `DeviceNotFound` …
        class: String,
        /// What the monitor says.
        desc: String,
    },
}

impl Error {
    /// Whether the monitor is gone rather than unwilling.
    pub const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }
}
