//! Errors of the client.

use std::io;
use std::path::PathBuf;

use super::response::ErrorMessage;

/// Error of a client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The guest has no control socket.
    #[error("the guest '{guest}' does not run")]
    NoSocket {
        /// Name of the guest.
        guest: String,
    },
    /// The guest has a control socket, and its supervisor has ended.
    #[error("the guest '{guest}' has no supervisor")]
    NoServer {
        /// Name of the guest.
        guest: String,
    },
    /// The connection cannot be made.
    #[error("cannot connect to {}", path.display())]
    Connect {
        /// Path of the socket.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The server has not introduced itself in time.
    #[error("the guest's supervisor does not answer")]
    Silent,
    /// The first line of the server is not an introduction.
    #[error("the guest's supervisor does not introduce itself")]
    NoHello,
    /// The server has introduced itself twice.
    #[error("the guest's supervisor introduces itself twice")]
    SecondHello,
    /// The server has another version of the protocol.
    #[error(
        "the guest's supervisor is passthru {version}, which has version {theirs} of the protocol, \
         and this program has version {ours}"
    )]
    Protocol {
        /// Version of the server's protocol.
        theirs: u32,
        /// Version of this program's protocol.
        ours: u32,
        /// Version of the server's program.
        version: String,
    },
    /// The server refuses the client or its request, or cannot do what was asked for.
    #[error(transparent)]
    Refused(ErrorMessage),
    /// An earlier request of this client has no answer yet.
    #[error("an earlier request has no answer yet")]
    Unanswered,
    /// The server closed the connection before its answer.
    #[error("the guest's supervisor closed the connection before its answer")]
    Closed,
    /// A line of the server is longer than 1 MiB.
    #[error("the guest's supervisor sent more than 1 MiB in a line")]
    TooLong,
    /// A line of the server is not a response.
    #[error("the guest's supervisor sent a line that is not understood")]
    Malformed {
        /// Cause.
        source: serde_json::Error,
    },
    /// The connection failed.
    #[error("the connection to the guest's supervisor failed")]
    Io(#[from] io::Error),
}
