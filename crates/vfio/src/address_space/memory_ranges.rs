//! [`MemoryRanges`]: a set of byte ranges of memories.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Weak};

use super::Memory;

/// A set of byte ranges of memories, without duplicates. The set does not keep the memories alive.
#[derive(Debug, Default)]
pub(super) struct MemoryRanges(Vec<(Weak<Memory>, OffsetRanges)>);

/// Ranges of offsets by their start, with their end. No two overlap or touch.
#[derive(Debug, Default)]
struct OffsetRanges(BTreeMap<u64, u64>);

impl MemoryRanges {
    pub(super) fn insert(&mut self, memory: &Arc<Memory>, range: Range<u64>) {
        let known = self
            .0
            .iter()
            .position(|(known, _)| is_same_memory(known, memory));
        let index = known.unwrap_or_else(|| self.add_memory(memory));
        self.0[index].1.insert(range);
    }

    /// Adds a memory without ranges, and forgets freed memories. Returns the index.
    fn add_memory(&mut self, memory: &Arc<Memory>) -> usize {
        self.0.retain(|(known, _)| known.strong_count() > 0);
        self.0
            .push((Arc::downgrade(memory), OffsetRanges::default()));
        self.0.len() - 1
    }

    /// Removes a range of a memory. Returns the parts of the range that were in the set.
    pub(super) fn take(&mut self, memory: &Arc<Memory>, range: Range<u64>) -> Vec<Range<u64>> {
        let known = self
            .0
            .iter_mut()
            .find(|(known, _)| is_same_memory(known, memory));
        match known {
            Some((_, ranges)) => ranges.take(range),
            None => Vec::new(),
        }
    }

    pub(super) fn extend(&mut self, other: Self) {
        for (memory, range) in other.into_iter() {
            self.insert(&memory, range);
        }
    }

    /// Returns the ranges of all memories that still exist.
    pub(super) fn into_iter(self) -> impl Iterator<Item = (Arc<Memory>, Range<u64>)> {
        let existing = self
            .0
            .into_iter()
            .filter_map(|(memory, ranges)| Some((memory.upgrade()?, ranges.0)));
        existing.flat_map(|(memory, ranges)| {
            ranges
                .into_iter()
                .map(move |(start, end)| (Arc::clone(&memory), start..end))
        })
    }
}

impl OffsetRanges {
    fn insert(&mut self, range: Range<u64>) {
        let mut merged = range;
        for found in self.touching(&merged) {
            self.0.remove(&found.start);
            merged.start = merged.start.min(found.start);
            merged.end = merged.end.max(found.end);
        }

        self.0.insert(merged.start, merged.end);
    }

    fn take(&mut self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut taken = Vec::new();
        for found in self.touching(&range) {
            self.0.remove(&found.start);
            let rest_before = found.start..found.end.min(range.start);
            let rest_after = found.start.max(range.end)..found.end;
            for rest in [rest_before, rest_after] {
                if !rest.is_empty() {
                    self.0.insert(rest.start, rest.end);
                }
            }
            taken.push(found.start.max(range.start)..found.end.min(range.end));
        }

        taken.retain(|range| !range.is_empty());
        taken
    }

    /// Returns the ranges that overlap or touch a range, in falling order.
    fn touching(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        self.0
            .range(..=range.end)
            .rev()
            .map(|(start, end)| *start..*end)
            .take_while(|found| found.end >= range.start)
            .collect()
    }
}

fn is_same_memory(known: &Weak<Memory>, memory: &Arc<Memory>) -> bool {
    std::ptr::eq(known.as_ptr(), Arc::as_ptr(memory))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::address_space::Pages;

    #[test]
    fn freed_memory_is_forgotten() {
        let [freed, kept] =
            [(); 2].map(|()| Arc::new(Memory::anonymous(0x1000, Pages::Base).unwrap()));
        let mut ranges = MemoryRanges::default();
        ranges.insert(&freed, 0..8);
        ranges.insert(&kept, 4..6);
        drop(freed);
        let left: Vec<_> = ranges.into_iter().collect();
        let [(memory, range)] = &left[..] else {
            panic!("{left:?}")
        };

        assert!(Arc::ptr_eq(memory, &kept));
        assert_eq!(*range, 4..6);
    }

    proptest! {
        #[test]
        fn ranges_match_set_of_bytes(
            ranges in prop::collection::vec((0_u64..40, 1_u64..10, any::<bool>()), 1..30),
        ) {
            let mut ours = OffsetRanges::default();
            let mut model = BTreeSet::new();
            for (start, length, inserts) in ranges {
                let range = start..start + length;
                if inserts {
                    ours.insert(range.clone());
                    model.extend(range);
                } else {
                    let taken = ours.take(range.clone());
                    let taken: BTreeSet<_> = taken.into_iter().flatten().collect();
                    let expected: BTreeSet<_> = range.filter(|byte| model.remove(byte)).collect();
                    prop_assert_eq!(taken, expected);
                }
                let bytes: Vec<_> = ours.0.iter().flat_map(|(start, end)| *start..*end).collect();
                prop_assert_eq!(&bytes, &model.iter().copied().collect::<Vec<_>>());
            }
        }
    }
}
