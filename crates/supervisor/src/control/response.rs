//! Lines that the server sends.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Version of the protocol. It rises when an older client would misread the server.
pub const PROTOCOL: u32 = 1;

/// A line of the server, one JSON object with one key: `{"result":null}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Response {
    /// The first line of each connection.
    Hello(Hello),
    /// State of a request that takes a while.
    Progress(Progress),
    /// An event of the guest.
    Event(Value),
    /// Number of events that were dropped at this place, since the client was too slow.
    Lost(u64),
    /// The end of a request that succeeded.
    Result(Value),
    /// The end of a request that failed.
    Error(ErrorMessage),
}

/// Introduction of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Version of the protocol.
    pub protocol: u32,
    /// Version of the server's program.
    pub version: String,
    /// Name of the guest.
    pub guest: String,
}

/// State of a request that takes a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Operation that is being done.
    pub op: String,
    /// Number of operations that are done.
    pub at: usize,
    /// Number of operations of the request.
    pub of: usize,
    /// Bytes of memory that the VMM has pinned so far, if the operation pins memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<u64>,
}

/// Reason for which a request failed, coarse enough to choose an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The line is not a request.
    BadRequest,
    /// The client has no right to ask for it.
    NotAllowed,
    /// A line, an answer or the number of descriptors is above its limit.
    TooLarge,
    /// The server has no room for another client, or is at another request.
    Busy,
    /// The guest or the VMM cannot do it.
    Unsupported,
    /// The XML cannot be read, is not understood or cannot work.
    Domain,
    /// The host refuses.
    Host,
    /// The VMM refuses, or does not answer.
    Emulator,
    /// The guest does not do what it was asked for.
    Guest,
    /// The host is not as it was before.
    NotRestored,
    /// Another request or a signal ended the request.
    Interrupted,
    /// Any other reason; also one that this program does not know yet.
    #[serde(other)]
    Failure,
}

/// Failure of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorMessage {
    /// Reason.
    pub kind: ErrorKind,
    /// Text of the error.
    pub message: String,
    /// Texts of the errors that caused it, the nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// Advice to the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Changes of the host that could not be undone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_restored: Vec<String>,
}

impl Hello {
    /// Makes the introduction of this program's server for a guest.
    pub fn for_guest(guest: &str) -> Self {
        Self {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            guest: guest.to_owned(),
        }
    }
}

impl Response {
    /// Returns whether this line ends a request.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Result(_) | Self::Error(_))
    }

    /// Returns this response as a line, with its line end.
    pub fn to_line(&self) -> Vec<u8> {
        // Only a map whose keys are not texts cannot be written, and no response has one.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

impl ErrorMessage {
    /// Makes a message without causes and without advice.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            causes: Vec::new(),
            hint: None,
            not_restored: Vec::new(),
        }
    }

    /// Makes a message of an error and the errors that caused it.
    pub fn from_error(kind: ErrorKind, error: &dyn std::error::Error) -> Self {
        let mut message = Self::new(kind, error.to_string());
        let mut cause = error.source();
        while let Some(error) = cause {
            message.causes.push(error.to_string());
            cause = error.source();
        }

        message
    }

    /// Adds advice to the user.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

impl fmt::Display for ErrorMessage {
    /// Writes the message without its causes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ErrorMessage {}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn text(response: &Response) -> String {
        String::from_utf8(response.to_line()).unwrap()
    }

    fn read_back(response: &Response) {
        let line = response.to_line();
        let read: Response = serde_json::from_slice(&line).unwrap();
        assert_eq!(&read, response);
    }

    #[test]
    fn lines_have_one_key_and_read_back() {
        let hello = Response::Hello(Hello::for_guest("vm"));

        assert!(text(&hello).starts_with(r#"{"hello":{"protocol":1,"version":""#));
        assert!(text(&hello).ends_with("\"guest\":\"vm\"}}\n"));

        read_back(&hello);

        let progress = Response::Progress(Progress {
            op: "plug hostdev0".into(),
            at: 2,
            of: 9,
            pinned: Some(4096),
        });

        assert_eq!(
            text(&progress),
            "{\"progress\":{\"op\":\"plug hostdev0\",\"at\":2,\"of\":9,\"pinned\":4096}}\n"
        );

        read_back(&progress);

        assert_eq!(text(&Response::Lost(7)), "{\"lost\":7}\n");
        assert_eq!(text(&Response::Result(Value::Null)), "{\"result\":null}\n");

        read_back(&Response::Event(serde_json::json!({"event": "RESET"})));
    }

    #[test]
    fn error_carries_its_causes_and_its_hint() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot open the disk")]
        struct Outer(#[source] io::Error);

        let error = Outer(io::Error::other("it is gone"));
        let message = ErrorMessage::from_error(ErrorKind::Host, &error).with_hint("Plug it in.");
        let response = Response::Error(message);

        assert_eq!(
            text(&response),
            "{\"error\":{\"kind\":\"host\",\"message\":\"cannot open the disk\",\
             \"causes\":[\"it is gone\"],\"hint\":\"Plug it in.\"}}\n"
        );

        read_back(&response);

        assert!(response.is_final());
    }

    #[test]
    fn unknown_kind_of_a_newer_server_is_a_failure() {
        let line = r#"{"error":{"kind":"too-hot","message":"no"}}"#;
        let read: Response = serde_json::from_str(line).unwrap();
        let expected = ErrorMessage::new(ErrorKind::Failure, "no");
        assert_eq!(read, Response::Error(expected));
    }
}
