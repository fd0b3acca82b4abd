//! What is said of a domain, with the lines of the document that it is about.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use passthru_domain::{Error, Note};
use serde_json::{Value, json};

use crate::document::Document;
use crate::message::say;
use crate::terminal;

/// Messages that are shown to people.
const MOST_SHOWN: usize = 100;
/// Messages that machines get.
const MOST_LISTED: usize = 1000;

/// Prints what is wrong to standard error: 100 errors, and the number of the others. `more` is how
/// many there are beyond the list.
pub(crate) fn errors<'a>(
    document: &Document,
    errors: impl ExactSizeIterator<Item = &'a Error>,
    more: usize,
) {
    let more = more + errors.len().saturating_sub(MOST_SHOWN);
    errors.take(MOST_SHOWN).for_each(|e| error(document, e));
    if more > 0 {
        print(Group::with_title(
            Level::ERROR.primary_title(format!("{more} more errors")),
        ));
    }
}

/// Prints notes to standard error: 100 of them, and the number of the others. `more` is how many
/// there are beyond the list.
pub(crate) fn notes(document: &Document, notes: &[Note], more: usize) {
    notes
        .iter()
        .take(MOST_SHOWN)
        .for_each(|n| note(document, n));
    let more = more + notes.len().saturating_sub(MOST_SHOWN);
    if more > 0 {
        print(Group::with_title(
            Level::NOTE.primary_title(format!("{more} more notes")),
        ));
    }
}

/// Returns errors for machines, up to 1,000 of them.
pub(crate) fn errors_json(document: &Document, errors: &[Error]) -> Vec<Value> {
    errors
        .iter()
        .take(MOST_LISTED)
        .map(|e| error_json(document, e))
        .collect()
}

/// Returns notes for machines, up to 1,000 of them.
pub(crate) fn notes_json(document: &Document, notes: &[Note]) -> Vec<Value> {
    notes
        .iter()
        .take(MOST_LISTED)
        .map(|n| note_json(document, n))
        .collect()
}

/// Prints what is wrong to standard error, at its place.
fn error(document: &Document, error: &Error) {
    at(
        document,
        Level::ERROR,
        &error.message,
        error.span.as_ref(),
        error.hint.as_deref(),
    );
}

/// Prints a note to standard error, at its place.
fn note(document: &Document, note: &Note) {
    at(
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

/// Long lines are cut around the place; of lines that are very long only the place is told.
fn at(
    document: &Document,
    level: Level<'_>,
    message: &str,
    span: Option<&Range<usize>>,
    hint: Option<&str>,
) {
    let title = level.primary_title(message);
    let mut group = match span.map(|span| Excerpt::of(document.text(), span)) {
        Some(excerpt) if excerpt.text.len() <= MOST_EXCERPT => title.element(
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

/// Bytes of lines that are shown.
const MOST_EXCERPT: usize = 16 << 10;

/// The lines of a text that a place is in. The whole text would be gone through for each message.
struct Excerpt<'a> {
    text: &'a str,
    /// The number of the first line, from 1.
    line: usize,
    /// The place within the lines.
    span: Range<usize>,
}

impl<'a> Excerpt<'a> {
    fn of(text: &'a str, span: &Range<usize>) -> Self {
        let bytes = text.as_bytes();
        let is_break = |byte: &u8| *byte == b'\n';
        let (from, to) = (span.start.min(bytes.len()), span.end.min(bytes.len()));
        let start = bytes[..from]
            .iter()
            .rposition(is_break)
            .map_or(0, |at| at + 1);
        let end = bytes[to..]
            .iter()
            .position(is_break)
            .map_or(bytes.len(), |at| to + at);
        let line = bytes[..start].iter().filter(|byte| is_break(byte)).count() + 1;
        Self {
            text: text.get(start..end).unwrap_or_default(),
            line,
            span: from - start..to - start,
        }
    }
}

/// Returns an error for machines.
fn error_json(document: &Document, error: &Error) -> Value {
    let mut value = json!({ "message": error.message });
    if let Some(hint) = &error.hint {
        value["hint"] = hint.as_str().into();
    }
    with_place(
        value,
        document,
        error.line_column(document.text()),
        error.span.as_ref(),
    )
}

/// Returns a note for machines.
fn note_json(document: &Document, note: &Note) -> Value {
    let value = json!({ "message": note.message });
    with_place(
        value,
        document,
        note.line_column(document.text()),
        note.span.as_ref(),
    )
}

/// Adds `line` and `column`, both from 1, and `length`; columns and lengths are in characters.
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
    fn an_excerpt_holds_whole_lines() {
        let text = "one\ntwo three\nfour\nfive";
        let excerpt = Excerpt::of(text, &(8..18));
        assert_eq!(
            (excerpt.text, excerpt.line, excerpt.span),
            ("two three\nfour", 2, 4..14)
        );
        let end = Excerpt::of(text, &(text.len()..text.len() + 1));
        assert_eq!((end.text, end.line, end.span), ("five", 4, 4..4));
        assert_eq!(Excerpt::of("", &(0..1)).text, "");
    }
}
