//! Requests whose answers have not come yet.

use passthru_qemu::monitor::{Error as MonitorError, Ticket};
use serde_json::{Value, json};

use crate::control::{ClientId, ErrorKind, ErrorMessage, Response, Server};

/// A request that waits for an answer of the monitor.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) client: ClientId,
    pub(super) ticket: Ticket,
    /// Whether the client gets the monitor's answer, and not just that the request succeeded.
    pub(super) shows_answer: bool,
}

impl Waiting {
    /// Tells the client that the guest ended before the answer.
    pub(super) fn end_with_guest(&self, server: &mut Server) {
        let message = "the guest ended before QEMU's answer";
        let message = ErrorMessage::new(ErrorKind::Interrupted, message);
        server.send(self.client, &Response::Error(message), None);
    }

    /// Returns the response to the client for the answer of the monitor.
    pub(super) fn response(&self, answer: Result<Value, MonitorError>) -> Response {
        match answer {
            Ok(value) if self.shows_answer => Response::Result(json!({ "return": value })),
            Ok(_) => Response::Result(Value::Null),
            Err(error) => Response::Error(ErrorMessage::from_error(ErrorKind::Emulator, &error)),
        }
    }
}
