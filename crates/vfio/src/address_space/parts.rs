//! [`Parts`]: a set of parts of memories, each byte of which is there once, however often it was put in.

use super::Memory;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Weak};

/// Parts of memories. They do not keep the memory.
#[derive(Debug, Default)]
pub(super) struct Parts(Vec<(Weak<Memory>, Ranges)>);

/// Ranges of offsets, none of which overlap or touch: where each begins and ends.
#[derive(Debug, Default)]
struct Ranges(BTreeMap<u64, u64>);

impl Parts {
    pub(super) fn insert(&mut self, memory: &Arc<Memory>, range: Range<u64>) {
        let known = self.0.iter().position(|(known, _)| is(known, memory));
        let index = known.unwrap_or_else(|| {
            self.0.retain(|(known, _)| known.strong_count() > 0);
            self.0.push((Arc::downgrade(memory), Ranges::default()));
            self.0.len() - 1
        });
        self.0[index].1.insert(range);
    }

    /// Takes out what is there of a range.
    pub(super) fn take(&mut self, memory: &Arc<Memory>, range: Range<u64>) -> Vec<Range<u64>> {
        let known = self.0.iter_mut().find(|(known, _)| is(known, memory));
        known
            .map(|(_, ranges)| ranges.take(range))
            .unwrap_or_default()
    }

    pub(super) fn extend(&mut self, other: Self) {
        other
            .into_iter()
            .for_each(|(memory, range)| self.insert(&memory, range));
    }

    /// Returns each part of memory that somebody still has.
    pub(super) fn into_iter(self) -> impl Iterator<Item = (Arc<Memory>, Range<u64>)> {
        let kept = self
            .0
            .into_iter()
            .filter_map(|(memory, ranges)| Some((memory.upgrade()?, ranges.0)));
        kept.flat_map(|(memory, ranges)| {
            ranges
                .into_iter()
                .map(move |(start, end)| (Arc::clone(&memory), start..end))
        })
    }
}

impl Ranges {
    fn insert(&mut self, Range { mut start, mut end }: Range<u64>) {
        for (found, last) in self.reaching(start, end) {
            self.0.remove(&found);
            (start, end) = (start.min(found), end.max(last));
        }
        self.0.insert(start, end);
    }

    fn take(&mut self, Range { start, end }: Range<u64>) -> Vec<Range<u64>> {
        let mut taken = Vec::new();
        for (found, last) in self.reaching(start, end) {
            self.0.remove(&found);
            let rests = [found..last.min(start), found.max(end)..last];
            self.0.extend(
                rests
                    .into_iter()
                    .filter(|rest| !rest.is_empty())
                    .map(|rest| (rest.start, rest.end)),
            );
            taken.push(found.max(start)..last.min(end));
        }
        taken.retain(|range| !range.is_empty());
        taken
    }

    /// Those that overlap or touch a range, in falling order.
    fn reaching(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let before = self
            .0
            .range(..=end)
            .rev()
            .map(|(found, last)| (*found, *last));
        before.take_while(|(_, last)| *last >= start).collect()
    }
}

fn is(known: &Weak<Memory>, memory: &Arc<Memory>) -> bool {
    std::ptr::eq(known.as_ptr(), Arc::as_ptr(memory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address_space::Pages;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn freed_memory_is_forgotten() {
        let [one, other] =
            [(); 2].map(|()| Arc::new(Memory::anonymous(0x1000, Pages::Base).unwrap()));
        let mut parts = Parts::default();
        parts.insert(&one, 0..8);
        parts.insert(&other, 4..6);
        drop(one);
        let left: Vec<_> = parts.into_iter().collect();
        assert!(
            matches!(&left[..], [(memory, range)] if Arc::ptr_eq(memory, &other) && *range == (4..6))
        );
    }

    proptest! {
        #[test]
        fn ranges_match_set_of_bytes(
            ranges in prop::collection::vec((0_u64..40, 1_u64..10, any::<bool>()), 1..30),
        ) {
            let (mut ours, mut model) = (Ranges::default(), BTreeSet::new());
            for (start, length, inserts) in ranges {
                let range = start..start + length;
                if inserts {
                    ours.insert(range.clone());
                    model.extend(range);
                } else {
                    let taken: BTreeSet<_> = ours.take(range.clone()).into_iter().flatten().collect();
                    let expected: BTreeSet<_> = range.filter(|byte| model.remove(byte)).collect();
                    prop_assert_eq!(taken, expected);
                }
                let there: Vec<_> = ours.0.iter().flat_map(|(start, end)| *start..*end).collect();
                prop_assert_eq!(&there, &model.iter().copied().collect::<Vec<_>>());
            }
        }
    }
}
