//! Lists of errors and notes that keep the first entries of a document and count the rest.
//!
//! A document of 100,000 elements can have several errors for each. The tools print at most 1,000
//! of them, so no memory is spent on the others.

/// Largest number of entries that a list keeps.
pub(crate) const MAX_KEPT: usize = 1000;

/// An entry with a position in the document.
pub(crate) trait Positioned {
    /// Returns the offset of the first byte that the entry is about, if it has a position.
    fn start(&self) -> Option<usize>;
}

/// A list that keeps the [`MAX_KEPT`] entries nearest to the start of the document.
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

impl<T: Positioned> Bounded<T> {
    /// Creates a list from kept entries and the number of entries that were left out.
    pub(crate) const fn new(kept: Vec<T>, left_out: usize) -> Self {
        Self { kept, left_out }
    }

    /// Adds an entry.
    pub(crate) fn push(&mut self, entry: T) {
        self.kept.push(entry);
        // Sorts once per MAX_KEPT new entries, so that the total time stays linear.
        if self.kept.len() >= 2 * MAX_KEPT {
            self.shorten();
        }
    }

    /// Adds the entries of another list.
    pub(crate) fn append(&mut self, other: Self) {
        self.left_out += other.left_out;
        self.extend(other.kept);
    }

    /// Returns the list without the kept entries that `is_left_out`. They are not counted either.
    pub(crate) fn without(mut self, is_left_out: impl Fn(&T) -> bool) -> Self {
        self.kept.retain(|entry| !is_left_out(entry));
        self
    }

    /// Returns an iterator over the kept entries.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.kept.iter()
    }

    /// Returns the number of all entries, including those left out.
    pub(crate) fn len(&self) -> usize {
        self.kept.len() + self.left_out
    }

    /// Returns whether the list is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Sorts the entries by position. Entries without a position come first; entries at one
    /// position stay in order.
    pub(crate) fn sort(&mut self) {
        self.kept.sort_by_key(Positioned::start);
    }

    /// Returns the kept entries, in their order, and the number of entries left out.
    pub(crate) fn into_parts(mut self) -> (Vec<T>, usize) {
        if self.kept.len() > MAX_KEPT {
            self.shorten();
        }
        (self.kept, self.left_out)
    }

    fn shorten(&mut self) {
        self.sort();
        self.left_out += self.kept.len() - MAX_KEPT;
        self.kept.truncate(MAX_KEPT);
    }
}

impl<T: Positioned> Extend<T> for Bounded<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, entries: I) {
        for entry in entries {
            self.push(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry that is its own position.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Entry(Option<usize>);

    impl Positioned for Entry {
        fn start(&self) -> Option<usize> {
            self.0
        }
    }

    fn at(start: usize) -> Entry {
        Entry(Some(start))
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
        list.push(Entry(None));
        // Each position below 100,000 once, far from sorted.
        list.extend((0..100_000).map(|n| at(n * 7919 % 100_000)));
        assert_eq!(list.len(), 100_001);

        let (kept, left_out) = list.into_parts();
        assert_eq!((kept.len(), left_out), (MAX_KEPT, 100_001 - MAX_KEPT));
        assert_eq!(kept[0], Entry(None));

        let positioned: Vec<_> = (0..MAX_KEPT - 1).map(at).collect();
        assert_eq!(kept[1..], positioned);
    }

    #[test]
    fn appended_lists_add_their_left_out_counts() {
        let mut list = Bounded::default();
        for part in 0..3 {
            let mut other = Bounded::default();
            other.extend((0..5_000).map(|n| at(n * 3 + part)));
            list.append(other);
        }

        assert_eq!(list.len(), 15_000);

        let (kept, left_out) = list.into_parts();
        assert_eq!(kept.len() + left_out, 15_000);
        assert_eq!(kept[MAX_KEPT - 1].start(), Some(MAX_KEPT - 1));
    }
}
