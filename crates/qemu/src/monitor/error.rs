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
    /// The first message is not a monitor's greeting.
    #[error("the peer is not a QMP monitor: it sent {said}")]
    NoGreeting {
        /// The message, shortened.
        said: String,
    },
    /// A message is not JSON.
    #[error("QMP: malformed message: {line}")]
    Malformed {
        /// The message, shortened.
        line: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A message is longer than any that is expected.
    #[error("QMP: a message is longer than {limit} bytes")]
    TooLong {
        /// Bytes that are read at most.
        limit: usize,
    },
    /// A message has more in it than any that is expected.
    #[error("QMP: a message has more than {limit} values")]
    TooManyValues {
        /// Values that are read at most.
        limit: usize,
    },
    /// Too many commands have no answer yet, or one is too long.
    #[error("QMP {command}: too many commands are waiting for an answer")]
    Backlog {
        /// The command that was not taken.
        command: String,
    },
    /// The monitor refuses the command.
    #[error("QMP {command}: {desc}")]
    Command {
        /// The command.
        command: String,
        /// Class of the error: `GenericError`, `DeviceNotFound` …, shortened.
        class: String,
        /// What the monitor says, shortened.
        desc: String,
    },
}

impl Error {
    /// Whether the monitor is gone rather than unwilling.
    pub const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }
}
