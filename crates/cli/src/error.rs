//! How errors reach the user: what was tried, why it failed, what to do; once.

use crate::diagnostics;
use crate::exit::Code;
use crate::source::Source;
use annotate_snippets::{Group, Level};
use passthru_domain::Errors;

/// An error of a command.
#[derive(Debug)]
pub(crate) enum Error {
    /// What is wrong with a domain, shown at its place.
    Domain(Box<Source>, Errors),
    /// Anything else: an error with its causes.
    Other {
        code: Code,
        error: Box<dyn std::error::Error + Send + Sync>,
        hint: Option<String>,
    },
}

impl Error {
    /// Makes an error from another one, its causes included.
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

    /// Adds what the user can do.
    pub(crate) fn hint(self, hint: Option<impl Into<String>>) -> Self {
        match self {
            Self::Other { code, error, .. } => Self::Other {
                code,
                error,
                hint: hint.map(Into::into),
            },
            domain => domain,
        }
    }

    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Domain(..) => Code::Domain,
            Self::Other { code, .. } => *code,
        }
    }

    /// Prints the error to standard error.
    pub(crate) fn print(&self) {
        match self {
            Self::Domain(source, errors) => {
                diagnostics::errors(source, errors.iter(), errors.left_out());
            }
            Self::Other { error, hint, .. } => print_chain(error.as_ref(), hint.as_deref()),
        }
    }
}

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
