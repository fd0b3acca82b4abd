//! What is said of a domain, with the lines of the document that it is about.
#![allow(clippy::print_stderr)]

use crate::source::Source;
use crate::terminal;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use passthru_domain::{Error, Note};
use serde_json::{Value, json};
use std::ops::Range;

/// Prints what is wrong to standard error, at its place.
pub(crate) fn error(source: &Source, error: &Error) {
    at(source, Level::ERROR, &error.message, error.span.as_ref(), error.hint.as_deref());
}

/// Prints a note to standard error, at its place.
pub(crate) fn note(source: &Source, note: &Note) {
    at(source, Level::NOTE, &note.message, note.span.as_ref(), None);
}

/// Prints a message to standard error.
pub(crate) fn print(group: Group<'_>) {
    let renderer = if terminal::colour() { Renderer::styled() } else { Renderer::plain() };
    eprintln!("{}", renderer.render(&[group]));
}

/// Long lines are cut around the place.
fn at(source: &Source, level: Level<'_>, message: &str, span: Option<&Range<usize>>, hint: Option<&str>) {
    let title = level.primary_title(message);
    let mut group = match span {
        Some(span) => title.element(
            Snippet::source(source.text())
                .path(source.name())
                .annotation(AnnotationKind::Primary.span(span.clone())),
        ),
        None => Group::with_title(title).element(Level::NOTE.message(format!("in {}", source.name()))),
    };
    if let Some(hint) = hint {
        group = group.element(Level::HELP.message(hint));
    }
    print(group);
}

/// Returns an error for machines.
pub(crate) fn error_json(source: &Source, error: &Error) -> Value {
    let mut value = json!({ "message": error.message });
    if let Some(hint) = &error.hint {
        value["hint"] = hint.as_str().into();
    }
    with_place(value, source, error.line_column(source.text()), error.span.as_ref())
}

/// Returns a note for machines.
pub(crate) fn note_json(source: &Source, note: &Note) -> Value {
    let value = json!({ "message": note.message });
    with_place(value, source, note.line_column(source.text()), note.span.as_ref())
}

/// Adds `line` and `column`, both from 1, and `length`; columns and lengths are in characters.
fn with_place(
    mut value: Value,
    source: &Source,
    place: Option<(usize, usize)>,
    span: Option<&Range<usize>>,
) -> Value {
    let text = span.and_then(|span| source.text().get(span.clone()));
    if let (Some((line, column)), Some(text)) = (place, text) {
        value["line"] = line.into();
        value["column"] = column.into();
        value["length"] = text.chars().count().into();
    }
    value
}
