//! Errors of requests to a supervisor, on both sides of its socket.

use std::fmt;

use passthru_guest::Error as GuestError;
use passthru_supervisor::control::{ClientError, ErrorKind, ErrorMessage};

use crate::error::Error;
use crate::exit::Code;
use crate::hint::guest_hint;

/// Text of an error and of those that caused it, as a supervisor sends them.
#[derive(Debug)]
struct RemoteError {
    text: String,
    cause: Option<Box<RemoteError>>,
}

impl RemoteError {
    fn new(message: &ErrorMessage) -> Self {
        let mut cause = None;
        for text in message.causes.iter().rev() {
            cause = Some(Box::new(Self {
                text: text.clone(),
                cause,
            }));
        }

        Self {
            text: message.message.clone(),
            cause,
        }
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for RemoteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let cause = self.cause.as_deref()?;
        Some(cause)
    }
}

/// Returns the error of a command for an error of its client.
pub(super) fn client_error(error: ClientError) -> Error {
    let hint = match &error {
        ClientError::Refused(message) => return refusal(message),
        ClientError::NoSocket { .. } => Some("`passthru ps` lists the guests that run"),
        ClientError::NoServer { .. } => Some("`passthru recover` finds out what became of it"),
        ClientError::Protocol { .. } => {
            Some("use the program of that version, or end the guest and start it again")
        }
        _ => None,
    };
    Error::new(Code::Failure, error).hint(hint)
}

fn refusal(message: &ErrorMessage) -> Error {
    let code = code(message.kind);
    let mut errors = vec![Error::new(code, RemoteError::new(message)).hint(message.hint.clone())];
    for text in &message.not_restored {
        errors.push(Error::new(Code::NotRestored, text.clone()));
    }
    Error::several(errors).unwrap_or_else(|| Error::new(code, message.message.clone()))
}

/// Describes an error of a guest to a client, with its hint.
pub(crate) fn guest_message(error: &GuestError) -> ErrorMessage {
    match error {
        GuestError::Several(errors) => several_message(errors),
        GuestError::NotRestored { after, errors } => {
            let mut message = guest_message(after);
            message.kind = ErrorKind::NotRestored;
            for error in errors {
                message.not_restored.push(error.to_string());
            }
            message
        }
        _ => {
            let kind = kind(Code::for_guest_error(error));
            let mut message = ErrorMessage::from_error(kind, error);
            message.hint = guest_hint(error);
            message
        }
    }
}

/// Describes several errors: the first one, with the others as its causes.
fn several_message(errors: &[GuestError]) -> ErrorMessage {
    let mut messages = errors.iter().map(guest_message);
    let Some(mut first) = messages.next() else {
        return ErrorMessage::new(ErrorKind::Failure, "the request failed");
    };
    for other in messages {
        first.causes.push(other.message);
        first.causes.extend(other.causes);
    }

    first
}

const fn kind(code: Code) -> ErrorKind {
    match code {
        Code::Domain => ErrorKind::Domain,
        Code::Host => ErrorKind::Host,
        Code::Emulator => ErrorKind::Emulator,
        Code::Guest => ErrorKind::Guest,
        Code::NotRestored => ErrorKind::NotRestored,
        Code::Interrupted => ErrorKind::Interrupted,
        Code::Failure | Code::Usage => ErrorKind::Failure,
    }
}

const fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Domain => Code::Domain,
        ErrorKind::Host | ErrorKind::NotAllowed => Code::Host,
        ErrorKind::Emulator => Code::Emulator,
        ErrorKind::Guest => Code::Guest,
        ErrorKind::NotRestored => Code::NotRestored,
        ErrorKind::Interrupted => Code::Interrupted,
        _ => Code::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_of_a_refusal_are_a_chain() {
        let mut message = ErrorMessage::new(ErrorKind::Host, "cannot bind");
        message.causes = vec!["no driver".into(), "no such file".into()];
        let error = RemoteError::new(&message);
        let texts: Vec<String> =
            std::iter::successors(Some(&error as &dyn std::error::Error), |error| {
                error.source()
            })
            .map(ToString::to_string)
            .collect();

        assert_eq!(texts, ["cannot bind", "no driver", "no such file"]);
    }

    #[test]
    fn refusal_has_the_exit_code_of_its_kind() {
        for (kind, code) in [
            (ErrorKind::NotAllowed, Code::Host),
            (ErrorKind::Emulator, Code::Emulator),
            (ErrorKind::NotRestored, Code::NotRestored),
            (ErrorKind::Busy, Code::Failure),
        ] {
            let error = client_error(ClientError::Refused(ErrorMessage::new(kind, "no")));
            assert_eq!(error.code(), code);
        }
    }
}
