//! Lists of errors and notes that hold the first ones of a document, and count the rest.
//!
//! A document of 100,000 elements can have several errors for each. People are shown 100 of them,
//! machines 1,000: the memory of the others is not spent.

use crate::error::{Error, Note};

/// Entries that are kept of a longer list.
pub(crate) const MOST_KEPT: usize = 1000;

/// An entry with a place in the document.
pub(crate) trait Placed {
    /// Returns the first byte of the place, or none where the entry is about no place.
    fn start(&self) -> Option<usize>;
}

impl Placed for Error {
    fn start(&self) -> Option<usize> {
        Some(self.span.as_ref()?.start)
    }
}

impl Placed for Note {
    fn start(&self) -> Option<usize> {
        Some(self.span.as_ref()?.start)
    }
}

/// A list of which the first 1,000 entries by their places are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bounded<T> {
    kept: Vec<T>,
    left_out: usize,
}

impl<T> Default for Bounded<T> {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            left_out: 0,
        }
    }
}

impl<T: Placed> Bounded<T> {
    /// Makes the list of entries that were kept before, and of so many that were left out.
    pub(crate) const fn new(kept: Vec<T>, left_out: usize) -> Self {
        Self { kept, left_out }
    }

    /// Adds an entry.
    pub(crate) fn push(&mut self, entry: T) {
        self.kept.push(entry);
        // Sorts once for as many entries as are kept, so that the time stays linear.
        if self.kept.len() >= 2 * MOST_KEPT {
            self.shorten();
        }
    }

    /// Adds the entries of another list.
    pub(crate) fn append(&mut self, other: Self) {
        self.left_out += other.left_out;
        self.extend(other.kept);
    }

    /// Returns the number of all entries, those that were left out included.
    pub(crate) fn len(&self) -> usize {
        self.kept.len() + self.left_out
    }

    /// Returns whether there was no entry.
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Sorts the entries by their places. Those about no place come first; equal ones stay in
    /// order.
    pub(crate) fn sort(&mut self) {
        self.kept.sort_by_key(Placed::start);
    }

    /// Returns the entries that are kept, in their order, and the number of those left out.
    pub(crate) fn into_parts(mut self) -> (Vec<T>, usize) {
        if self.kept.len() > MOST_KEPT {
            self.shorten();
        }
        (self.kept, self.left_out)
    }

    fn shorten(&mut self) {
        self.sort();
        self.left_out += self.kept.len() - MOST_KEPT;
        self.kept.truncate(MOST_KEPT);
    }
}

impl<T: Placed> Extend<T> for Bounded<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, entries: I) {
        for entry in entries {
            self.push(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: usize) -> Error {
        Error::new(format!("{start}")).at(start..start + 1)
    }

    #[test]
    fn short_list_keeps_its_order() {
        let mut list = Bounded::default();
        list.extend([3, 1, 2].map(at));
        assert_eq!(list.into_parts(), ([3, 1, 2].map(at).to_vec(), 0));
    }

    #[test]
    fn long_list_keeps_the_first_and_counts_the_rest() {
        let mut list = Bounded::default();
        list.push(Error::new("no place".into()));
        // Each place below 100,000 once, far from sorted.
        list.extend((0..100_000).map(|n| at(n * 7919 % 100_000)));
        assert_eq!(list.len(), 100_001);
        let (kept, left_out) = list.into_parts();
        assert_eq!((kept.len(), left_out), (MOST_KEPT, 100_001 - MOST_KEPT));
        assert_eq!(kept[0].span, None);
        let places: Vec<_> = kept[1..]
            .iter()
            .map(|e| e.start().unwrap_or_default())
            .collect();
        assert_eq!(places, (0..MOST_KEPT - 1).collect::<Vec<_>>());
    }

    #[test]
    fn appended_lists_count_what_each_left_out() {
        let mut list = Bounded::default();
        for part in 0..3 {
            let mut other = Bounded::default();
            other.extend((0..5_000).map(|n| at(n * 3 + part)));
            list.append(other);
        }
        assert_eq!(list.len(), 15_000);
        let (kept, left_out) = list.into_parts();
        assert_eq!(
            (kept.len() + left_out, kept[MOST_KEPT - 1].start()),
            (15_000, Some(MOST_KEPT - 1))
        );
    }
}
