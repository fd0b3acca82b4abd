//! How errors reach the user: what was tried, why it failed, what to do; once.
#![allow(clippy::print_stderr)]

use crate::exit::Code;
use crate::source::Source;
use crate::terminal;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use passthru_domain::Errors;

/// An error of a command.
#[derive(Debug)]
pub(crate) enum Error {
    /// What is wrong with a domain, shown at its place.
    Domain(Box<Source>, Errors),
    /// Anything else: an error with its causes.
    Other { code: Code, error: Box<dyn std::error::Error + Send + Sync>, hint: Option<String> },
}

impl Error {
    /// Makes an error from another one, its causes included.
    pub(crate) fn new(code: Code, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other { code, error: error.into(), hint: None }
    }

    /// Adds what the user can do.
    pub(crate) fn hint(self, hint: Option<impl Into<String>>) -> Self {
        match self {
            Self::Other { code, error, .. } => Self::Other { code, error, hint: hint.map(Into::into) },
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
            Self::Domain(source, errors) => errors.iter().for_each(|error| print_at(source, error)),
            Self::Other { error, hint, .. } => print_chain(error.as_ref(), hint.as_deref()),
        }
    }
}

fn renderer() -> Renderer {
    if terminal::colour() { Renderer::styled() } else { Renderer::plain() }
}

/// Shows the line of the document that the error is about. Long lines are cut around the place.
fn print_at(source: &Source, error: &passthru_domain::Error) {
    let title = Level::ERROR.primary_title(error.message.as_str());
    let mut group = match &error.span {
        Some(span) => title.element(
            Snippet::source(source.text())
                .path(source.name())
                .annotation(AnnotationKind::Primary.span(span.clone())),
        ),
        None => Group::with_title(title).element(Level::NOTE.message(format!("in {}", source.name()))),
    };
    if let Some(hint) = &error.hint {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    eprintln!("{}", renderer().render(&[group]));
}

fn print_chain(error: &dyn std::error::Error, hint: Option<&str>) {
    let causes: Vec<String> =
        std::iter::successors(error.source(), |e| e.source()).map(ToString::to_string).collect();
    let message = error.to_string();
    let mut group = Group::with_title(Level::ERROR.primary_title(message.as_str()));
    for cause in &causes {
        group = group.element(Level::NOTE.message(cause.as_str()));
    }
    if let Some(hint) = hint {
        group = group.element(Level::HELP.message(hint));
    }
    eprintln!("{}", renderer().render(&[group]));
}
