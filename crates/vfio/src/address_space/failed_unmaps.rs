//! [`FailedUnmaps`]: the mappings that a change could not unmap.

use std::collections::BTreeSet;

use super::{Error, Note, Span};
use crate::container;

/// The mappings that could not be unmapped, with the first error.
#[derive(Debug, Default)]
pub(super) struct FailedUnmaps {
    ranges: BTreeSet<Span>,
    first_error: Option<container::Error>,
}

impl FailedUnmaps {
    pub(super) fn add(&mut self, span: Span, error: container::Error) {
        self.ranges.insert(span);
        self.first_error.get_or_insert(error);
    }

    /// Adds the failures of another address space. `translate` returns a range's addresses in this
    /// one.
    pub(super) fn extend(&mut self, other: Self, translate: impl Fn(Span) -> Option<Span>) {
        self.ranges
            .extend(other.ranges.into_iter().filter_map(translate));
        self.first_error = self.first_error.take().or(other.first_error);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first_error.is_none()
    }

    /// Returns the result of a change that is made: its notes, or [`Error::StillMapped`].
    pub(super) fn into_result(self, notes: Vec<Note>) -> Result<Vec<Note>, Error> {
        match self.first_error {
            None => Ok(notes),
            Some(source) => Err(Error::StillMapped {
                ranges: self.ranges.into_iter().collect(),
                notes,
                source,
            }),
        }
    }
}
