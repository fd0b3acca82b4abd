//! [`Span`]: a range of addresses, and [`Spans`], an interval map: what lies where, no two overlapping.

use super::Error;
use std::collections::BTreeMap;
use std::fmt;

/// A range of guest physical addresses or IOVAs, at least a byte long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    start: u64,
    last: u64,
}

impl Span {
    /// All addresses.
    pub const ALL: Self = Self {
        start: 0,
        last: u64::MAX,
    };

    /// Takes `length` bytes from `start` on.
    ///
    /// # Errors
    /// [`Error::Span`] for no bytes, and past the end of 64 bits.
    pub fn new(start: u64, length: u64) -> Result<Self, Error> {
        let last = length
            .checked_sub(1)
            .and_then(|length| start.checked_add(length));
        last.map(|last| Self { start, last })
            .ok_or(Error::Span { start, length })
    }

    /// Takes the addresses from `start` to before `end`, if there are any.
    pub(super) fn between(start: u64, end: u64) -> Option<Self> {
        (start < end).then(|| Self {
            start,
            last: end - 1,
        })
    }

    /// Returns the first address.
    pub fn start(self) -> u64 {
        self.start
    }

    /// Returns the last address, which belongs to it.
    pub fn last(self) -> u64 {
        self.last
    }

    /// Returns how many bytes it has; all 2⁶⁴ addresses count as one byte less.
    pub fn length(self) -> u64 {
        (self.last - self.start).saturating_add(1)
    }

    /// Returns whether all of the other lies in it.
    pub fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.last <= self.last
    }

    /// Returns what both have.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let (start, last) = (self.start.max(other.start), self.last.min(other.last));
        (start <= last).then_some(Self { start, last })
    }

    /// Returns the largest part that starts and ends at multiples of `alignment`, a power of two.
    pub(super) fn aligned(self, alignment: u64) -> Option<Self> {
        let start = self.start.checked_next_multiple_of(alignment)?;
        let short = self.last.wrapping_add(1) % alignment;
        let last = self.last.checked_sub(short)?;
        (start <= last).then_some(Self { start, last })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}-{:#x}", self.start, self.last)
    }
}

/// What lies where.
#[derive(Debug, Clone)]
pub(super) struct Spans<T>(BTreeMap<u64, (Span, T)>);

impl<T> Default for Spans<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Spans<T> {
    /// Puts something where nothing is.
    pub(super) fn insert(&mut self, span: Span, value: T) {
        debug_assert!(self.overlapping(span).next().is_none(), "{span}");
        self.0.insert(span.start, (span, value));
    }

    /// Takes out what lies at just this span.
    pub(super) fn remove(&mut self, span: Span) -> Option<T> {
        match self.0.get(&span.start) {
            Some((found, _)) if *found == span => {
                self.0.remove(&span.start).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// Takes out what has addresses in a span.
    pub(super) fn remove_all(&mut self, span: Span) {
        let found: Vec<_> = self.overlapping(span).map(|(found, _)| found).collect();
        found.iter().for_each(|found| drop(self.remove(*found)));
    }

    pub(super) fn get_mut(&mut self, span: Span) -> Option<&mut T> {
        self.0
            .get_mut(&span.start)
            .filter(|(found, _)| *found == span)
            .map(|(_, value)| value)
    }

    pub(super) fn get(&self, span: Span) -> Option<&T> {
        self.0
            .get(&span.start)
            .filter(|(found, _)| *found == span)
            .map(|(_, value)| value)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes everything out.
    pub(super) fn into_iter(self) -> impl Iterator<Item = (Span, T)> {
        self.0.into_values()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Span, &T)> {
        self.0.values().map(|(span, value)| (*span, value))
    }

    /// What has addresses in the span, in rising order.
    pub(super) fn overlapping(&self, span: Span) -> impl Iterator<Item = (Span, &T)> {
        let before = self
            .0
            .range(..span.start)
            .next_back()
            .filter(|(_, (found, _))| found.last >= span.start);
        let within = self.0.range(span.start..=span.last);
        before
            .into_iter()
            .chain(within)
            .map(|(_, (span, value))| (*span, value))
    }

    /// What has addresses in the span and outside of it too.
    pub(super) fn cut_by(&self, span: Span) -> Option<Span> {
        self.overlapping(span)
            .map(|(found, _)| found)
            .find(|found| !span.contains(*found))
    }

    /// The parts of the span where nothing lies.
    pub(super) fn gaps(&self, span: Span) -> Vec<Span> {
        let mut gaps = Vec::new();
        let mut next = Some(span.start);
        for (found, _) in self.overlapping(span) {
            gaps.extend(next.and_then(|next| Span::between(next, found.start)));
            next = found.last.checked_add(1);
        }
        gaps.extend(next.filter(|next| *next <= span.last).map(|start| Span {
            start,
            last: span.last,
        }));
        gaps
    }
}

/// Puts together the spans that overlap, in rising order.
pub(super) fn merged(spans: &[Span]) -> Vec<Span> {
    let mut spans = spans.to_vec();
    spans.sort();
    spans.dedup_by(|next, span| {
        let overlaps = next.start <= span.last;
        span.last = if overlaps {
            span.last.max(next.last)
        } else {
            span.last
        };
        overlaps
    });
    spans
}

/// Returns two of the spans that overlap, if there are any.
pub(super) fn overlap(spans: impl Iterator<Item = Span>) -> Option<(Span, Span)> {
    let mut spans: Vec<_> = spans.collect();
    spans.sort();
    spans
        .windows(2)
        .find(|pair| pair[0].last >= pair[1].start)
        .map(|pair| (pair[1], pair[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u64, length: u64) -> Span {
        Span::new(start, length).unwrap()
    }

    fn map(spans: &[Span]) -> Spans<()> {
        let mut map = Spans::default();
        spans.iter().for_each(|span| map.insert(*span, ()));
        map
    }

    #[test]
    fn span_refuses_empty_and_overflowing_ranges() {
        assert!(Span::new(0x1000, 0).is_err() && Span::new(u64::MAX, 2).is_err());
        assert_eq!(span(u64::MAX, 1).last(), u64::MAX);
        assert_eq!(span(0x1000, 0x2000).to_string(), "0x1000-0x2fff");
    }

    #[test]
    fn aligned_span_has_only_whole_pages() {
        assert_eq!(
            span(0x800, 0x2000).aligned(0x1000),
            Some(span(0x1000, 0x1000))
        );
        assert_eq!(span(0x800, 0x1000).aligned(0x1000), None);
        assert_eq!(span(0, 0x1000).aligned(0x1000), Some(span(0, 0x1000)));
        let top = span(u64::MAX - 0xfff, 0x1000);
        assert_eq!(top.aligned(0x1000), Some(top));
        assert_eq!(span(0, 0x10).aligned(0x1000), None);
        assert_eq!(span(u64::MAX, 1).aligned(0x1000), None);
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
        let whole = Span {
            start: 0,
            last: u64::MAX,
        };
        assert_eq!(map.gaps(whole).last().unwrap().last(), u64::MAX);
    }

    #[test]
    fn overlapping_spans_are_found_and_merged() {
        let spans = [
            span(8, 2),
            span(0, 4),
            span(9, 4),
            span(3, 2),
            span(5, 1),
            span(1, 1),
        ];
        assert_eq!(merged(&spans), [span(0, 5), span(5, 1), span(8, 5)]);
        assert_eq!(overlap(spans.into_iter()), Some((span(1, 1), span(0, 4))));
        assert_eq!(overlap([span(5, 1), span(0, 5)].into_iter()), None);
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
