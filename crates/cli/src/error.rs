//! Errors of commands, and how they are printed: once, with causes and a hint.

use annotate_snippets::{Group, Level};
use passthru_domain::Errors;
use passthru_guest::Error as GuestError;
use passthru_host::Error as HostError;

use crate::diagnostics;
use crate::document::Document;
use crate::exit::Code;
use crate::hint::{guest_hint, host_hint};

/// An error of a command.
#[derive(Debug)]
pub(crate) enum Error {
    /// Errors in a domain, shown at their places in the document.
    Domain {
        code: Code,
        document: Box<Document>,
        errors: Errors,
    },
    /// Any other error, with its causes.
    Other {
        code: Code,
        error: Box<dyn std::error::Error + Send + Sync>,
        hint: Option<String>,
    },
    /// Several errors of one command, in the order in which they are shown.
    Several(Vec<Error>),
}

impl Error {
    /// Makes an error of another one and its causes.
    pub(crate) fn new(
        code: Code,
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Other {
            code,
            error: error.into(),
            hint: None,
        }
    }

    /// Makes an error of errors in a document.
    pub(crate) fn in_document(document: &Document, errors: Errors) -> Self {
        Self::at_places(Code::Domain, document, errors)
    }

    /// Makes an error with an exit code of errors in a document.
    pub(crate) fn at_places(code: Code, document: &Document, errors: Errors) -> Self {
        Self::Domain {
            code,
            document: Box::new(document.clone()),
            errors,
        }
    }

    /// Returns one error for a list of errors, or `None` for an empty list. The first error gives
    /// the exit code.
    pub(crate) fn several(mut errors: Vec<Self>) -> Option<Self> {
        match errors.len() {
            0 | 1 => errors.pop(),
            _ => Some(Self::Several(errors)),
        }
    }

    /// Makes an error for each device that could not be given back.
    pub(crate) fn not_restored(errors: &[HostError]) -> Vec<Self> {
        let mut all = Vec::new();
        for error in errors {
            let one = Self::new(Code::NotRestored, error.to_string());
            all.push(one.hint(host_hint(error)));
        }
        all
    }

    /// Sets the hint: what the user can do.
    pub(crate) fn hint(self, hint: Option<impl Into<String>>) -> Self {
        match self {
            Self::Other { code, error, .. } => Self::Other {
                code,
                error,
                hint: hint.map(Into::into),
            },
            other => other,
        }
    }

    /// Returns the exit code of the command.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Domain { code, .. } | Self::Other { code, .. } => *code,
            Self::Several(errors) => errors.first().map_or(Code::Failure, Self::code),
        }
    }

    /// Prints the error to standard error.
    pub(crate) fn print(&self) {
        match self {
            Self::Domain {
                document, errors, ..
            } => {
                diagnostics::errors(document, errors.iter(), errors.left_out());
            }
            Self::Other { error, hint, .. } => print_chain(error.as_ref(), hint.as_deref()),
            Self::Several(errors) => {
                for error in errors {
                    error.print();
                }
            }
        }
    }
}

impl From<HostError> for Error {
    fn from(error: HostError) -> Self {
        let hint = host_hint(&error);
        Self::new(Code::for_host_error(&error), error).hint(hint)
    }
}

impl From<GuestError> for Error {
    fn from(error: GuestError) -> Self {
        if let GuestError::Several(errors) = error {
            return Self::Several(errors.into_iter().map(Self::from).collect());
        }
        let hint = guest_hint(&error);
        Self::new(Code::for_guest_error(&error), error).hint(hint)
    }
}

/// Prints an error with its causes and its hint.
fn print_chain(error: &dyn std::error::Error, hint: Option<&str>) {
    let causes: Vec<String> = std::iter::successors(error.source(), |e| e.source())
        .map(ToString::to_string)
        .collect();
    let message = error.to_string();
    let mut group = Group::with_title(Level::ERROR.primary_title(message.as_str()));
    for cause in &causes {
        group = group.element(Level::NOTE.message(cause.as_str()));
    }
    if let Some(hint) = hint {
        group = group.element(Level::HELP.message(hint));
    }
    diagnostics::print(group);
}
