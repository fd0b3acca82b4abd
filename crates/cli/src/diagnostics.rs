//! Errors and notes about a domain, with the lines of the document that they are about.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use passthru_domain::{Error, Note};
use serde_json::{Value, json};

use crate::document::Document;
use crate::message::say;
use crate::terminal;

/// Limit on the messages that are printed.
const MAX_PRINTED: usize = 100;
/// Limit on the messages in JSON.
const MAX_IN_JSON: usize = 1000;

/// Prints 100 errors to standard error, and the number of the others. `more` is the number of
/// errors that are not in the list.
pub(crate) fn errors<'a>(
    document: &Document,
    errors: impl ExactSizeIterator<Item = &'a Error>,
    more: usize,
) {
    let more = more + errors.len().saturating_sub(MAX_PRINTED);
    for error in errors.take(MAX_PRINTED) {
        print_error(document, error);
    }
    if more > 0 {
        print(Group::with_title(
            Level::ERROR.primary_title(format!("{more} more errors")),
        ));
    }
}

/// Prints 100 notes to standard error, and the number of the others. `more` is the number of notes
/// that are not in the list.
pub(crate) fn notes(document: &Document, notes: &[Note], more: usize) {
    for note in notes.iter().take(MAX_PRINTED) {
        print_note(document, note);
    }
    let more = more + notes.len().saturating_sub(MAX_PRINTED);
    if more > 0 {
        print(Group::with_title(
            Level::NOTE.primary_title(format!("{more} more notes")),
        ));
    }
}

/// Returns up to 1,000 errors as JSON.
pub(crate) fn errors_json(document: &Document, errors: &[Error]) -> Vec<Value> {
    errors
        .iter()
        .take(MAX_IN_JSON)
        .map(|e| error_json(document, e))
        .collect()
}

/// Returns up to 1,000 notes as JSON.
pub(crate) fn notes_json(document: &Document, notes: &[Note]) -> Vec<Value> {
    notes
        .iter()
        .take(MAX_IN_JSON)
        .map(|n| note_json(document, n))
        .collect()
}

/// Prints an error with its place in the document.
fn print_error(document: &Document, error: &Error) {
    print_at(
        document,
        Level::ERROR,
        &error.message,
        error.span.as_ref(),
        error.hint.as_deref(),
    );
}

/// Prints a note with its place in the document.
fn print_note(document: &Document, note: &Note) {
    print_at(
        document,
        Level::NOTE,
        &note.message,
        note.span.as_ref(),
        None,
    );
}

/// Prints a message to standard error.
pub(crate) fn print(group: Group<'_>) {
    let renderer = if terminal::colour() {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    say!("{}", renderer.render(&[group]));
}

/// Prints a message with the lines of its place. Cuts long lines around the place; for very long
/// lines, prints only the line and column.
fn print_at(
    document: &Document,
    level: Level<'_>,
    message: &str,
    span: Option<&Range<usize>>,
    hint: Option<&str>,
) {
    let hint = hint.map(|hint| document.hide(hint));
    let title = level.primary_title(document.hide(message));
    let mut group = match span.map(|span| Excerpt::new(document.shown(), span)) {
        Some(excerpt) if excerpt.text.len() <= MAX_EXCERPT => title.element(
            Snippet::source(excerpt.text)
                .line_start(excerpt.line)
                .path(document.name())
                .annotation(AnnotationKind::Primary.span(excerpt.span)),
        ),
        Some(excerpt) => {
            let column = excerpt
                .text
                .get(..excerpt.span.start)
                .map_or(0, |before| before.chars().count())
                + 1;
            let place = format!("at {}:{}:{column}", document.name(), excerpt.line);
            Group::with_title(title).element(Level::NOTE.message(place))
        }
        None => {
            Group::with_title(title).element(Level::NOTE.message(format!("in {}", document.name())))
        }
    };
    if let Some(hint) = hint {
        group = group.element(Level::HELP.message(hint));
    }
    print(group);
}

/// Longest excerpt that is printed, in bytes.
const MAX_EXCERPT: usize = 16 << 10;

/// The lines of a text that contain a place. (With the whole text, the renderer would read all of
/// it for each message.)
struct Excerpt<'a> {
    text: &'a str,
    /// Number of the first line, from 1.
    line: usize,
    /// Place within the lines.
    span: Range<usize>,
}

impl<'a> Excerpt<'a> {
    fn new(text: &'a str, span: &Range<usize>) -> Self {
        let bytes = text.as_bytes();
        let from = span.start.min(bytes.len());
        let to = span.end.min(bytes.len());
        let start = bytes[..from]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let end = bytes[to..]
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(bytes.len(), |at| to + at);
        let line = bytes[..start].iter().filter(|byte| **byte == b'\n').count() + 1;
        Self {
            text: text.get(start..end).unwrap_or_default(),
            line,
            span: from - start..to - start,
        }
    }
}

/// Returns an error as JSON.
fn error_json(document: &Document, error: &Error) -> Value {
    let mut value = json!({ "message": document.hide(&error.message) });
    if let Some(hint) = &error.hint {
        value["hint"] = document.hide(hint).into();
    }
    with_place(
        value,
        document,
        error.line_column(document.text()),
        error.span.as_ref(),
    )
}

/// Returns a note as JSON.
fn note_json(document: &Document, note: &Note) -> Value {
    let value = json!({ "message": document.hide(&note.message) });
    with_place(
        value,
        document,
        note.line_column(document.text()),
        note.span.as_ref(),
    )
}

/// Adds `line` and `column`, both from 1, and `length`. Columns and lengths are in characters.
fn with_place(
    mut value: Value,
    document: &Document,
    place: Option<(usize, usize)>,
    span: Option<&Range<usize>>,
) -> Value {
    let text = span.and_then(|span| document.text().get(span.clone()));
    if let (Some((line, column)), Some(text)) = (place, text) {
        value["line"] = line.into();
        value["column"] = column.into();
        value["length"] = text.chars().count().into();
    }

    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpt_has_whole_lines() {
        let text = "one\ntwo three\nfour\nfive";
        let excerpt = Excerpt::new(text, &(8..18));
        assert_eq!(
            (excerpt.text, excerpt.line, excerpt.span),
            ("two three\nfour", 2, 4..14)
        );

        let end = Excerpt::new(text, &(text.len()..text.len() + 1));
        assert_eq!((end.text, end.line, end.span), ("five", 4, 4..4));
        assert_eq!(Excerpt::new("", &(0..1)).text, "");
    }
}
