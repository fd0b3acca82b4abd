//! Errors between this client and a monitor.

use std::io;

use thiserror::Error;

/// An error between this client and a monitor.
#[derive(Debug, Error)]
pub enum Error {
    /// The socket failed.
    #[error("QMP {what} failed")]
    Io {
        /// The command or message that the client was at.
        what: String,
        /// The kernel's error.
        source: io::Error,
    },
    /// The monitor did not answer in time.
    #[error("QMP {what}: no reply within the time limit")]
    Timeout {
        /// The command or event that the client waited for.
        what: String,
    },
    /// The monitor closed the connection: QEMU ended.
    #[error("QMP {what}: QEMU closed the connection")]
    Closed {
        /// The command or event that the client waited for.
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
        /// The parser's error.
        source: serde_json::Error,
    },
    /// A message is too long.
    #[error("QMP: a message is longer than {limit} bytes")]
    TooLong {
        /// Largest number of bytes of a message.
        limit: usize,
    },
    /// A message has too many values.
    #[error("QMP: a message has more than {limit} values")]
    TooManyValues {
        /// Largest number of values of a message.
        limit: usize,
    },
    /// Too many commands have no answer yet, or the unsent ones are too long.
    #[error("QMP {command}: too many commands are waiting for an answer")]
    Backlog {
        /// The command that was not queued.
        command: String,
    },
    /// The monitor refused a command.
    #[error("QMP {command}: {desc}")]
    Command {
        /// The command.
        command: String,
        /// Class of the error, such as `GenericError` or `DeviceNotFound`, shortened.
        class: String,
        /// The monitor's reason, shortened.
        desc: String,
    },
    /// An answer or an event does not have its form.
    #[error("QMP {what}: {reason}")]
    UnexpectedData {
        /// The command or event.
        what: String,
        /// The parser's reason, shortened.
        reason: String,
    },
}

impl Error {
    /// Returns whether the monitor closed the connection.
    pub const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }

    /// Returns the error for a connection that was closed while no command was waited for.
    pub(super) fn monitor_closed() -> Self {
        Self::Closed {
            what: "monitor".into(),
        }
    }
}
