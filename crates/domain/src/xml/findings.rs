//! Errors and notes that the reader collects.

use std::ops::Range;

use roxmltree::Node;

use super::node::start_tag;
use crate::bounded::Bounded;
use crate::error::{Error, Note};

/// Errors and notes about a text.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Parts that are wrong.
    pub(crate) errors: Bounded<Error>,
    /// Parts that are read but have no effect.
    pub(crate) notes: Bounded<Note>,
}

impl Findings {
    /// Adds the findings of another list.
    pub(super) fn append(&mut self, other: Self) {
        self.errors.append(other.errors);
        self.notes.append(other.notes);
    }

    /// Adds an error about some bytes of the source.
    pub(super) fn error(&mut self, message: String, at: Range<usize>) {
        self.errors.push(Error::new(message).at(at));
    }

    /// Adds an error about a whole element; it points to the element's start tag.
    pub(super) fn error_at_tag(&mut self, message: String, node: Node<'_, '_>, source: &str) {
        self.error(message, start_tag(node, source));
    }

    /// Adds a note that a part of another namespace is ignored.
    pub(super) fn ignored(&mut self, part: &str, namespace: &str, at: Range<usize>) {
        let message = format!("{part} of the namespace '{namespace}' is ignored");
        self.notes.push(Note::new(message, at));
    }
}
