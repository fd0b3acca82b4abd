//! [`RangeSet`]: a set of numbers, kept as ranges.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// A set of numbers, as the first and the last number of each range. Ranges neither touch nor
/// overlap.
#[derive(Clone, Debug, Default)]
pub(super) struct RangeSet(BTreeMap<u64, u64>);

impl RangeSet {
    /// Lists the ranges in rising order.
    pub(super) fn iter(&self) -> impl Iterator<Item = RangeInclusive<u64>> {
        self.0.iter().map(|(start, last)| *start..=*last)
    }

    /// Returns whether one range of the set contains all of `range`.
    pub(super) fn contains(&self, range: &RangeInclusive<u64>) -> bool {
        let before = self.0.range(..=*range.start()).next_back();
        !range.is_empty() && before.is_some_and(|(_, last)| last >= range.end())
    }

    /// Returns whether the set contains a part of `range`.
    pub(super) fn overlaps(&self, range: &RangeInclusive<u64>) -> bool {
        let before = self.0.range(..=*range.end()).next_back();
        before.is_some_and(|(_, last)| last >= range.start())
    }

    /// Returns the ranges that both sets have. Ranges of a single number are left out.
    pub(super) fn intersection(&self, other: &Self) -> Self {
        let mut both = Self::default();
        for one in self.iter() {
            for other in other.iter() {
                let start = *one.start().max(other.start());
                let last = *one.end().min(other.end());
                if start < last {
                    both.0.insert(start, last);
                }
            }
        }

        both
    }

    /// Removes a range that one range of the set contains.
    pub(super) fn remove(&mut self, range: &RangeInclusive<u64>) {
        let before = self.0.range(..=*range.start()).next_back();
        let Some((&start, &last)) = before else {
            return;
        };
        self.0.remove(&start);
        if start < *range.start() {
            self.0.insert(start, *range.start() - 1);
        }
        if *range.end() < last {
            self.0.insert(*range.end() + 1, last);
        }
    }

    /// Adds a range, merged with the ranges that it touches or overlaps.
    pub(super) fn insert(&mut self, range: &RangeInclusive<u64>) {
        let mut start = *range.start();
        let mut last = *range.end();
        if let Some((&before, &end)) = self.0.range(..=start).next_back()
            && end >= start.saturating_sub(1)
        {
            start = before;
            last = last.max(end);
        }

        while let Some((&first, &end)) = self.0.range(start..=last.saturating_add(1)).next() {
            self.0.remove(&first);
            last = last.max(end);
        }

        self.0.insert(start, last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ranges: &[RangeInclusive<u64>]) -> RangeSet {
        let mut set = RangeSet::default();
        for range in ranges {
            set.insert(range);
        }
        set
    }

    #[test]
    fn ranges_that_touch_are_merged() {
        let merged: Vec<_> = set(&[0..=3, 8..=9, 4..=7]).iter().collect();
        assert_eq!(merged, [0..=9]);
    }

    #[test]
    fn removal_splits_a_range() {
        let mut set = set(&[0..=9]);
        set.remove(&(3..=5));
        assert_eq!(set.iter().collect::<Vec<_>>(), [0..=2, 6..=9]);
        assert!(set.contains(&(6..=9)) && !set.contains(&(2..=6)));
        assert!(set.overlaps(&(2..=4)) && !set.overlaps(&(3..=5)));
    }
}
