//! Errors and notes about a domain, with their positions in the source.

use std::fmt;
use std::ops::Range;

use crate::bounded::{Bounded, Positioned};
use crate::xml::passwords::without_passwords;

/// One error in a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Description of the error, one sentence.
    pub message: String,
    /// Byte range in the source that the error is about, if the domain was read from a text.
    pub span: Option<Range<usize>>,
    /// Advice to the user, an imperative.
    pub hint: Option<String>,
}

impl Error {
    /// Creates an error without a position. Passwords that the message quotes with their names are
    /// masked. A message longer than 2,000 bytes loses its middle.
    pub fn new(message: String) -> Self {
        Self {
            message: fit(message),
            span: None,
            hint: None,
        }
    }

    /// Returns the error with a position.
    #[must_use]
    pub fn at(mut self, span: impl Into<Option<Range<usize>>>) -> Self {
        self.span = span.into();
        self
    }

    /// Returns the error with advice to the user.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(fit(hint.into()));
        self
    }

    /// Returns line and column in `source`, the text that the domain was read from. Both count from
    /// 1; columns count characters.
    pub fn line_column(&self, source: &str) -> Option<(usize, usize)> {
        line_column(self.span.as_ref()?, source)
    }
}

impl Positioned for Error {
    fn start(&self) -> Option<usize> {
        Some(self.span.as_ref()?.start)
    }
}

/// One remark about a domain that is not an error: a setting without effect, or a consequence of a
/// setting that may surprise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Text of the remark, one sentence.
    pub message: String,
    /// Byte range in the source that the note is about, if the domain was read from a text.
    pub span: Option<Range<usize>>,
}

impl Note {
    /// Creates a note about a part of the source.
    pub fn new(message: String, span: impl Into<Option<Range<usize>>>) -> Self {
        Self {
            message: fit(message),
            span: span.into(),
        }
    }

    /// Returns line and column in `source`, the text that the domain was read from. Both count from
    /// 1; columns count characters.
    pub fn line_column(&self, source: &str) -> Option<(usize, usize)> {
        line_column(self.span.as_ref()?, source)
    }
}

impl Positioned for Note {
    fn start(&self) -> Option<usize> {
        Some(self.span.as_ref()?.start)
    }
}

/// Longest message, in bytes: a message may quote the document.
const MAX_MESSAGE: usize = 2000;
/// Bytes kept at either end of a longer message.
const KEPT_END: usize = 400;

/// Makes a text fit to show: masks passwords in it, and then shortens it.
pub(crate) fn fit(text: String) -> String {
    shortened(without_passwords(text))
}

/// Cuts the middle out of a message that is longer than [`MAX_MESSAGE`].
fn shortened(message: String) -> String {
    if message.len() <= MAX_MESSAGE {
        return message;
    }
    let mut head_end = KEPT_END;
    while !message.is_char_boundary(head_end) {
        head_end -= 1;
    }
    let mut tail_start = message.len() - KEPT_END;
    while !message.is_char_boundary(tail_start) {
        tail_start += 1;
    }
    let left_out = tail_start - head_end;
    let head = &message[..head_end];
    let tail = &message[tail_start..];
    format!("{head}… ({left_out} bytes left out) …{tail}")
}

fn line_column(span: &Range<usize>, source: &str) -> Option<(usize, usize)> {
    let before = source.get(..span.start)?;
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.matches('\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    Some((line, column))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// All errors in a domain, at least one. Beyond 1,000 errors, the list keeps the first ones of the
/// document and counts the others.
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

    /// Returns `Ok` if the list is empty, else the errors.
    pub(crate) fn check(errors: Bounded<Error>) -> Result<(), Self> {
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Self::from_causes(errors, Bounded::default()))
        }
    }

    /// Returns `Ok` if there are no errors, else all of them.
    ///
    /// # Errors
    /// The errors.
    pub fn check_all(errors: impl IntoIterator<Item = Error>) -> Result<(), Self> {
        let mut list = Bounded::default();
        list.extend(errors);
        Self::check(list)
    }

    /// Joins the causes and the errors that follow from them. At least one list has an entry.
    pub(crate) fn from_causes(mut causes: Bounded<Error>, effects: Bounded<Error>) -> Self {
        causes.append(effects);
        let (kept, left_out) = causes.into_parts();
        Self { kept, left_out }
    }

    /// Returns an iterator over the kept errors, in the order they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Error> {
        self.kept.iter()
    }

    /// Returns the number of errors beyond those of [`Errors::iter`].
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
        for (n, error) in self.kept.iter().enumerate() {
            let separator = if n > 0 { "; " } else { "" };
            write!(f, "{separator}{error}")?;
        }

        if self.left_out > 0 {
            write!(f, "; {} more errors", self.left_out)?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}
