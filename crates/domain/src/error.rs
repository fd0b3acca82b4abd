//! What is wrong with a domain or worth knowing of it, and where.

use crate::bounded::Bounded;
use std::fmt;
use std::ops::Range;

/// One thing that is wrong with a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong, in one sentence.
    pub message: String,
    /// The bytes of the source that it is about, when the domain came from a text.
    pub span: Option<Range<usize>>,
    /// What the user can do.
    pub hint: Option<String>,
}

impl Error {
    /// Makes an error without a place.
    pub fn new(message: String) -> Self {
        Self {
            message: shortened(message),
            span: None,
            hint: None,
        }
    }

    /// Returns the error with the place it is about.
    #[must_use]
    pub fn at(mut self, span: impl Into<Option<Range<usize>>>) -> Self {
        self.span = span.into();
        self
    }

    /// Returns the error with what the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(shortened(hint.into()));
        self
    }

    /// Returns line and column (both from 1, columns in characters) in the text that the domain was
    /// read from.
    pub fn line_column(&self, source: &str) -> Option<(usize, usize)> {
        line_column(self.span.as_ref()?, source)
    }
}

/// What the user may want to know of a domain that is not wrong: what has no effect, what follows
/// from what is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What is to be known, in one sentence.
    pub message: String,
    /// The bytes of the source that it is about, when the domain came from a text.
    pub span: Option<Range<usize>>,
}

impl Note {
    /// Makes a note about a place.
    pub fn new(message: String, span: impl Into<Option<Range<usize>>>) -> Self {
        Self {
            message: shortened(message),
            span: span.into(),
        }
    }

    /// Returns line and column, as [`Error::line_column`] does.
    pub fn line_column(&self, source: &str) -> Option<(usize, usize)> {
        line_column(self.span.as_ref()?, source)
    }
}

/// Bytes of a message that may quote the document.
const MOST_MESSAGE: usize = 2000;
/// Bytes that stay of either end of a longer one.
const END_OF_MESSAGE: usize = 400;

/// Leaves the middle out of a message that is too long to be read: what it quotes.
pub(crate) fn shortened(message: String) -> String {
    if message.len() <= MOST_MESSAGE {
        return message;
    }
    let (head, tail) = (END_OF_MESSAGE, message.len() - END_OF_MESSAGE);
    let head = (0..=head)
        .rev()
        .find(|at| message.is_char_boundary(*at))
        .unwrap_or(0);
    let tail = (tail..=message.len())
        .find(|at| message.is_char_boundary(*at))
        .unwrap_or(tail);
    let left_out = tail - head;
    format!(
        "{}… ({left_out} bytes left out) …{}",
        &message[..head],
        &message[tail..]
    )
}

fn line_column(span: &Range<usize>, source: &str) -> Option<(usize, usize)> {
    let before = source.get(..span.start)?;
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Some((
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    ))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Everything that is wrong with a domain: at least one error. Beyond 1,000 errors, the first ones
/// of the document are kept and the others are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors {
    kept: Vec<Error>,
    left_out: usize,
}

impl Errors {
    /// Returns the errors as a list that can grow.
    pub(crate) fn into_list(self) -> Bounded<Error> {
        Bounded::new(self.kept, self.left_out)
    }

    /// Returns `Ok` where the list is empty.
    pub(crate) fn none_of(errors: Bounded<Error>) -> Result<(), Self> {
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Self::of(errors, Bounded::default()))
        }
    }

    /// Makes the list of causes and of what follows from them, which is at least one error.
    pub(crate) fn of(mut causes: Bounded<Error>, effects: Bounded<Error>) -> Self {
        causes.append(effects);
        let (kept, left_out) = causes.into_parts();
        Self { kept, left_out }
    }

    /// Goes through the errors, in the order they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Error> {
        self.kept.iter()
    }

    /// Returns the number of errors that were found beyond those of [`Errors::iter`].
    pub const fn left_out(&self) -> usize {
        self.left_out
    }
}

impl From<Error> for Errors {
    fn from(error: Error) -> Self {
        Self {
            kept: vec![error],
            left_out: 0,
        }
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.kept.iter().enumerate() {
            write!(f, "{}{error}", if i > 0 { "; " } else { "" })?;
        }
        match self.left_out {
            0 => Ok(()),
            more => write!(f, "; {more} more errors"),
        }
    }
}

impl std::error::Error for Errors {}
