//! Errors of requests to a supervisor.

use std::fmt;

use passthru_supervisor::control::{ClientError, ErrorKind, ErrorMessage};

use crate::error::Error;
use crate::exit::Code;

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
