//! [`IntervalMap`]: values at ranges of addresses, no two of which overlap.

use std::collections::BTreeMap;

use super::Span;

/// A map from ranges of addresses to values. No two ranges overlap.
#[derive(Debug, Clone)]
pub(super) struct IntervalMap<T>(BTreeMap<u64, (Span, T)>);

impl<T> Default for IntervalMap<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> IntervalMap<T> {
    /// Inserts a value. The range must not overlap another one.
    pub(super) fn insert(&mut self, span: Span, value: T) {
        debug_assert!(self.overlapping(span).next().is_none(), "{span}");
        self.0.insert(span.start(), (span, value));
    }

    /// Removes the value of exactly this range.
    pub(super) fn remove(&mut self, span: Span) -> Option<T> {
        self.get(span)?;
        self.0.remove(&span.start()).map(|(_, value)| value)
    }

    /// Removes all values whose ranges overlap a span.
    pub(super) fn remove_overlapping(&mut self, span: Span) {
        let found: Vec<_> = self.overlapping(span).map(|(found, _)| found).collect();
        for found in found {
            self.remove(found);
        }
    }

    /// Returns the value of exactly this range.
    pub(super) fn get_mut(&mut self, span: Span) -> Option<&mut T> {
        match self.0.get_mut(&span.start()) {
            Some((found, value)) if *found == span => Some(value),
            _ => None,
        }
    }

    /// Returns the value of exactly this range.
    pub(super) fn get(&self, span: Span) -> Option<&T> {
        match self.0.get(&span.start()) {
            Some((found, value)) if *found == span => Some(value),
            _ => None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns all ranges with their values, in rising order.
    pub(super) fn into_iter(self) -> impl Iterator<Item = (Span, T)> {
        self.0.into_values()
    }

    /// Returns all ranges with their values, in rising order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Span, &T)> {
        self.0.values().map(|(span, value)| (*span, value))
    }

    /// Returns the ranges that overlap a span, with their values, in rising order.
    pub(super) fn overlapping(&self, span: Span) -> impl Iterator<Item = (Span, &T)> {
        let before = self
            .0
            .range(..span.start())
            .next_back()
            .filter(|(_, (found, _))| found.last() >= span.start());
        let within = self.0.range(span.start()..=span.last());
        before
            .into_iter()
            .chain(within)
            .map(|(_, (span, value))| (*span, value))
    }

    /// Returns a range that lies partly within the span and partly outside.
    pub(super) fn cut_by(&self, span: Span) -> Option<Span> {
        self.overlapping(span)
            .map(|(found, _)| found)
            .find(|found| !span.contains(*found))
    }

    /// Returns the parts of the span that no range covers, in rising order.
    pub(super) fn gaps(&self, span: Span) -> Vec<Span> {
        let mut gaps = Vec::new();
        let mut next = span.start();
        for (found, _) in self.overlapping(span) {
            gaps.extend(Span::from_bounds(next, found.start()));
            let Some(after) = found.last().checked_add(1) else {
                return gaps;
            };
            next = after;
        }

        gaps.extend(Span::from_first_and_last(next, span.last()));
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u64, length: u64) -> Span {
        Span::new(start, length).unwrap()
    }

    fn map(spans: &[Span]) -> IntervalMap<()> {
        let mut map = IntervalMap::default();
        for span in spans {
            map.insert(*span, ());
        }
        map
    }

    #[test]
    fn gaps_are_uncovered_parts() {
        let map = map(&[span(0x1000, 0x1000), span(0x4000, 0x1000)]);
        assert_eq!(map.gaps(span(0x1000, 0x1000)), []);
        assert_eq!(map.gaps(span(0, 0x1800)), [span(0, 0x1000)]);
        assert_eq!(
            map.gaps(span(0x1800, 0x4000)),
            [span(0x2000, 0x2000), span(0x5000, 0x800)]
        );
        assert_eq!(map.gaps(Span::ALL).last().unwrap().last(), u64::MAX);
    }

    #[test]
    fn cut_by_finds_partial_overlap_at_both_ends() {
        let map = map(&[span(0x1000, 0x1000), span(0x4000, 0x1000)]);
        assert_eq!(map.cut_by(span(0, 0x8000)), None);
        assert_eq!(map.cut_by(span(0x1800, 0x8000)), Some(span(0x1000, 0x1000)));
        assert_eq!(map.cut_by(span(0, 0x4001)), Some(span(0x4000, 0x1000)));
        assert_eq!(map.cut_by(span(0x2000, 0x2000)), None);
    }
}
