//! [`Span`]: a range of addresses.

use std::fmt;

use super::Error;

/// A range of guest physical addresses or IOVAs, at least one byte long.
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

    /// Makes the range of `length` bytes from `start` on.
    ///
    /// # Errors
    /// - If `length` is 0, or the range ends past 64 bits: [`Error::InvalidSpan`].
    pub fn new(start: u64, length: u64) -> Result<Self, Error> {
        let last = length
            .checked_sub(1)
            .and_then(|length| start.checked_add(length));
        match last {
            Some(last) => Ok(Self { start, last }),
            None => Err(Error::InvalidSpan { start, length }),
        }
    }

    /// Makes the range from `start` to before `end`; `None` if it is empty.
    pub(super) fn from_bounds(start: u64, end: u64) -> Option<Self> {
        if start >= end {
            return None;
        }
        Some(Self {
            start,
            last: end - 1,
        })
    }

    /// Makes the range from `start` to `last`, both included; `None` if it is empty.
    pub(super) fn from_first_and_last(start: u64, last: u64) -> Option<Self> {
        (start <= last).then_some(Self { start, last })
    }

    /// Returns the first address.
    pub fn start(self) -> u64 {
        self.start
    }

    /// Returns the last address, which belongs to the range.
    pub fn last(self) -> u64 {
        self.last
    }

    /// Returns the length in bytes. The range of all 2⁶⁴ addresses counts as one byte less.
    pub fn length(self) -> u64 {
        (self.last - self.start).saturating_add(1)
    }

    /// Returns whether the whole of `other` lies within this range.
    pub fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.last <= self.last
    }

    /// Returns the addresses that both ranges have; `None` if there are none.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let start = self.start.max(other.start);
        let last = self.last.min(other.last);
        Self::from_first_and_last(start, last)
    }

    /// Returns the largest part that starts and ends at multiples of `alignment`, a power of two.
    pub(super) fn aligned(self, alignment: u64) -> Option<Self> {
        let start = self.start.checked_next_multiple_of(alignment)?;
        let excess = self.last.wrapping_add(1) % alignment;
        let last = self.last.checked_sub(excess)?;
        Self::from_first_and_last(start, last)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}-{:#x}", self.start, self.last)
    }
}

/// Merges the spans that overlap. Returns the results in rising order.
pub(super) fn merge_overlapping(spans: &[Span]) -> Vec<Span> {
    let mut spans = spans.to_vec();
    spans.sort();
    spans.dedup_by(|next, merged| {
        let overlaps = next.start <= merged.last;
        if overlaps {
            merged.last = merged.last.max(next.last);
        }
        overlaps
    });
    spans
}

/// Returns two of the spans that overlap: the later one first.
pub(super) fn find_overlap(spans: impl Iterator<Item = Span>) -> Option<(Span, Span)> {
    let mut spans: Vec<_> = spans.collect();
    spans.sort();
    let pair = spans
        .windows(2)
        .find(|pair| pair[0].last >= pair[1].start)?;
    Some((pair[1], pair[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u64, length: u64) -> Span {
        Span::new(start, length).unwrap()
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
    fn overlapping_spans_are_found_and_merged() {
        let spans = [
            span(8, 2),
            span(0, 4),
            span(9, 4),
            span(3, 2),
            span(5, 1),
            span(1, 1),
        ];
        assert_eq!(
            merge_overlapping(&spans),
            [span(0, 5), span(5, 1), span(8, 5)]
        );
        assert_eq!(
            find_overlap(spans.into_iter()),
            Some((span(1, 1), span(0, 4)))
        );
        assert_eq!(find_overlap([span(5, 1), span(0, 5)].into_iter()), None);
    }
}
