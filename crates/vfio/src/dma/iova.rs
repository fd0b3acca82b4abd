//! [`IovaAllocator`]: bookkeeping of the IOVAs that a driver in user space uses. It maps nothing.

use std::ops::RangeInclusive;

use passthru_iommufd::IovaRanges;

use super::range_set::RangeSet;

/// Allocator of IOVAs from the usable ranges of an I/O address space.
///
/// An allocation takes the lowest gap that fits, since some devices reach only low IOVAs.
#[derive(Clone, Debug)]
pub struct IovaAllocator {
    /// Free IOVAs.
    free: RangeSet,
    /// IOVAs that are free or allocated.
    usable: RangeSet,
    granule: u64,
}

/// A failure to allocate, reserve or free IOVAs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IovaError {
    /// No gap is large enough.
    #[error(
        "no {length:#x} IOVAs are free at a multiple of {alignment:#x}; the largest gap has \
         {largest:#x}"
    )]
    Full {
        /// Requested length in bytes, rounded up to the granule.
        length: u64,
        /// Alignment in bytes.
        alignment: u64,
        /// Length of the largest free range in bytes.
        largest: u64,
    },
    /// The length is 0 or beyond the address space, or the alignment is not a power of two.
    #[error("IOVAs cannot be handed out by {length:#x} bytes at a multiple of {alignment:#x}")]
    Invalid {
        /// Length in bytes.
        length: u64,
        /// Alignment in bytes.
        alignment: u64,
    },
    /// A part of a range to reserve is not free, or a part of a range to free is not allocated.
    #[error("the IOVAs {:#x}-{:#x} are not all {expected}", range.start(), range.end())]
    WrongRange {
        /// The range.
        range: RangeInclusive<u64>,
        /// Expected state: `free` or `handed out`.
        expected: &'static str,
    },
}

impl IovaAllocator {
    /// Takes the usable ranges (`IOMMU_IOAS_IOVA_RANGES`, `VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE`).
    ///
    /// The granule is `page_size` bytes, a power of two, or the alignment of the ranges if that is
    /// larger. The first granule of the address space is never allocated, since many devices treat
    /// address 0 as none.
    pub fn new(ranges: &IovaRanges, page_size: u64) -> Self {
        Self::within(ranges, page_size, u64::MAX)
    }

    /// Takes the usable ranges as [`IovaAllocator::new`] does, for a device that reaches only IOVAs
    /// of `width` bits (1 to 64).
    pub fn with_width(ranges: &IovaRanges, page_size: u64, width: u32) -> Self {
        let unused_bits = 64_u32.saturating_sub(width.max(1));
        Self::within(ranges, page_size, u64::MAX >> unused_bits)
    }

    fn within(ranges: &IovaRanges, page_size: u64, limit: u64) -> Self {
        let granule = page_size.max(ranges.alignment).max(1);
        let mut usable = RangeSet::default();
        for range in &ranges.ranges {
            let start = granule.max(*range.start());
            let start = start.checked_next_multiple_of(granule);
            let last = limit.min(*range.end());
            let last = aligned_last(last, granule);
            if let (Some(start), Some(last)) = (start, last)
                && start < last
            {
                usable.insert(&(start..=last));
            }
        }

        Self {
            free: usable.clone(),
            usable,
            granule,
        }
    }

    /// Returns the granule in bytes: lengths are rounded up to it.
    pub fn granule(&self) -> u64 {
        self.granule
    }

    /// Returns the number of free bytes; `u64::MAX` for the whole address space.
    pub fn available(&self) -> u64 {
        let mut sum = 0_u64;
        for range in self.free.iter() {
            sum = sum.saturating_add(count(&range));
        }
        sum
    }

    /// Allocates IOVAs for `length` bytes, rounded up to the granule.
    ///
    /// # Errors
    /// As for [`IovaAllocator::allocate_aligned`].
    pub fn allocate(&mut self, length: u64) -> Result<u64, IovaError> {
        self.allocate_aligned(length, self.granule)
    }

    /// Allocates IOVAs for `length` bytes, rounded up to the granule, from a multiple of
    /// `alignment` on.
    ///
    /// `alignment` is a power of two; one below the granule counts as the granule.
    ///
    /// # Errors
    /// - If no gap is large enough, [`IovaError::Full`].
    /// - If the length is 0 or too large, or the alignment is not a power of two,
    ///   [`IovaError::Invalid`].
    pub fn allocate_aligned(&mut self, length: u64, alignment: u64) -> Result<u64, IovaError> {
        let invalid = IovaError::Invalid { length, alignment };
        let length = length.checked_next_multiple_of(self.granule).unwrap_or(0);
        if length == 0 || !alignment.is_power_of_two() {
            return Err(invalid);
        }
        let alignment = alignment.max(self.granule);
        let Some(iova) = self.lowest_gap(length, alignment) else {
            return Err(IovaError::Full {
                length,
                alignment,
                largest: self.largest(),
            });
        };
        self.free.remove(&(iova..=iova + (length - 1)));
        Ok(iova)
    }

    /// Returns the lowest multiple of `alignment` at which `length` bytes are free.
    fn lowest_gap(&self, length: u64, alignment: u64) -> Option<u64> {
        self.free.iter().find_map(|range| {
            let iova = range.start().checked_next_multiple_of(alignment)?;
            let end = iova.checked_add(length - 1)?;
            (end <= *range.end()).then_some(iova)
        })
    }

    /// Removes a range that is used for something else, such as a window of interrupts. Both ends
    /// lie on the granule.
    ///
    /// # Errors
    /// [`IovaError::WrongRange`], if a part of the range is not free. Nothing has changed then.
    pub fn reserve(&mut self, range: RangeInclusive<u64>) -> Result<(), IovaError> {
        if !self.is_whole(&range) || !self.free.contains(&range) {
            return Err(IovaError::WrongRange {
                range,
                expected: "free",
            });
        }

        self.free.remove(&range);
        Ok(())
    }

    /// Frees IOVAs that were allocated or reserved. `length` is rounded up to the granule.
    ///
    /// # Errors
    /// [`IovaError::WrongRange`], if a part of the range is not allocated. Nothing has changed
    /// then.
    pub fn free(&mut self, iova: u64, length: u64) -> Result<(), IovaError> {
        let Some(range) = self.range(iova, length) else {
            return Err(IovaError::WrongRange {
                range: iova..=iova,
                expected: "handed out",
            });
        };
        let is_allocated =
            self.is_whole(&range) && self.usable.contains(&range) && !self.free.overlaps(&range);
        if !is_allocated {
            return Err(IovaError::WrongRange {
                range,
                expected: "handed out",
            });
        }

        self.free.insert(&range);
        Ok(())
    }

    /// Returns the IOVAs of `length` bytes, rounded up to the granule; `None` if there are none, or
    /// they go beyond 64 bits.
    fn range(&self, iova: u64, length: u64) -> Option<RangeInclusive<u64>> {
        let length = length.checked_next_multiple_of(self.granule)?;
        let last = iova.checked_add(length.checked_sub(1)?)?;
        Some(iova..=last)
    }

    /// Restricts the allocator to the ranges that are usable now. IOVAs outside of them are neither
    /// allocated nor freed from now on. The usable ranges never grow.
    pub fn narrow(&mut self, ranges: &IovaRanges) {
        let now = Self::new(ranges, self.granule).usable;
        self.usable = self.usable.intersection(&now);
        self.free = self.free.intersection(&now);
    }

    /// Returns whether IOVAs, with `length` rounded up to the granule, are all in the usable
    /// ranges, free or not.
    pub fn is_usable(&self, iova: u64, length: u64) -> bool {
        let range = self.range(iova, length);
        range.is_some_and(|range| self.usable.contains(&range))
    }

    fn is_whole(&self, range: &RangeInclusive<u64>) -> bool {
        let last = *range.end();
        range.start().is_multiple_of(self.granule) && aligned_last(last, self.granule) == Some(last)
    }

    fn largest(&self) -> u64 {
        let counts = self.free.iter().map(|range| count(&range));
        counts.max().unwrap_or_default()
    }
}

/// Returns the number of bytes in a range; `u64::MAX` for all 64 bits.
fn count(range: &RangeInclusive<u64>) -> u64 {
    (range.end() - range.start()).saturating_add(1)
}

/// Returns the last byte of the last whole granule that ends at or before `last`.
fn aligned_last(last: u64, granule: u64) -> Option<u64> {
    if last % granule == granule - 1 {
        Some(last)
    } else {
        (last - last % granule).checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGE: u64 = 0x1000;

    fn ranges(ranges: &[RangeInclusive<u64>]) -> IovaRanges {
        IovaRanges {
            ranges: ranges.to_vec(),
            alignment: PAGE,
        }
    }

    #[test]
    fn allocation_takes_the_lowest_gap() {
        let mut iovas = IovaAllocator::new(&ranges(&[0..=0x2fff, 0x8000..=0xffff]), PAGE);
        assert_eq!(iovas.allocate(0x3000), Ok(0x8000), "0 is never handed out");
        assert_eq!(iovas.allocate(1), Ok(0x1000));
        assert_eq!(iovas.allocate_aligned(PAGE, 0x4000), Ok(0xc000));

        let full = IovaError::Full {
            length: 0x5000,
            alignment: PAGE,
            largest: 0x3000,
        };
        assert_eq!(iovas.allocate(0x5000), Err(full));
    }

    #[test]
    fn allocation_keeps_reserved_iovas_and_width() {
        let msi = 0xfee0_0000..=0xfeef_ffff;
        let around = ranges(&[0..=*msi.start() - 1, *msi.end() + 1..=u64::MAX]);
        let mut iovas = IovaAllocator::new(&around, PAGE);
        assert_eq!(iovas.allocate(1 << 32), Ok(*msi.end() + 1));

        let mut narrow = IovaAllocator::with_width(&around, PAGE, 28);
        assert_eq!(narrow.allocate((1 << 28) - PAGE), Ok(PAGE));
        assert!(matches!(
            narrow.allocate(1),
            Err(IovaError::Full { largest: 0, .. })
        ));
    }

    #[test]
    fn range_at_the_end_of_64_bits_can_be_used() {
        let mut iovas = IovaAllocator::new(&ranges(&[u64::MAX - 0x1fff..=u64::MAX]), PAGE);
        assert_eq!(iovas.allocate(0x2000), Ok(u64::MAX - 0x1fff));
        assert_eq!(iovas.free(u64::MAX - 0x1fff, 0x2000), Ok(()));
        assert_eq!(iovas.available(), 0x2000);
    }

    #[test]
    fn free_of_unallocated_iovas_is_refused() {
        let mut iovas = IovaAllocator::new(&ranges(&[0..=0xffff]), PAGE);
        let iova = iovas.allocate(0x2000).unwrap();
        for (iova, length) in [
            (iova, 0x3000),
            (iova + 1, PAGE),
            (0x8000, PAGE),
            (0, PAGE),
            (iova, 0),
            (iova, u64::MAX),
        ] {
            assert!(iovas.free(iova, length).is_err(), "{iova:#x} {length:#x}");
        }

        assert_eq!(iovas.free(iova, 0x2000), Ok(()));
        assert!(iovas.free(iova, 0x2000).is_err(), "twice");
    }

    #[test]
    fn reserved_range_is_allocated_only_after_free() {
        let mut iovas = IovaAllocator::new(&ranges(&[0x1000..=0x2fff]), PAGE);
        assert!(iovas.reserve(0x1000..=0x17ff).is_err(), "a part of a page");

        iovas.reserve(0x1000..=0x1fff).unwrap();
        assert!(iovas.reserve(0x1000..=0x1fff).is_err());
        assert_eq!(iovas.allocate(PAGE), Ok(0x2000));

        iovas.free(0x1000, PAGE).unwrap();
        assert_eq!(iovas.allocate(PAGE), Ok(0x1000));
    }

    #[test]
    fn narrowed_iovas_are_not_allocated() {
        let mut iovas = IovaAllocator::with_width(&ranges(&[0x1000..=0xffff]), PAGE, 15);
        assert_eq!(iovas.allocate(PAGE), Ok(0x1000));

        iovas.narrow(&ranges(&[0x1000..=0x27ff, 0x5000..=u64::MAX]));
        assert!(iovas.is_usable(0x1000, PAGE) && !iovas.is_usable(0x1000, 2 * PAGE));
        assert_eq!(iovas.available(), 0x3000, "the device's width still counts");
        assert_eq!(iovas.allocate(PAGE), Ok(0x5000));
        assert_eq!(iovas.free(0x1000, PAGE), Ok(()));

        iovas.narrow(&ranges(&[0..=u64::MAX]));
        assert_eq!(iovas.available(), 0x3000, "it does not grow");
    }

    #[test]
    fn invalid_lengths_and_alignments_are_refused() {
        let mut iovas = IovaAllocator::new(&ranges(&[0..=0xffff]), PAGE);
        for (length, alignment) in [(0, PAGE), (u64::MAX, PAGE), (PAGE, 3), (PAGE, 0)] {
            let invalid = IovaError::Invalid { length, alignment };
            assert_eq!(iovas.allocate_aligned(length, alignment), Err(invalid));
        }
    }

    #[derive(Clone, Debug)]
    enum Operation {
        Allocate { pages: u64, alignment: u32 },
        Free { which: usize },
    }

    fn step() -> impl Strategy<Value = Operation> {
        prop_oneof![
            (1_u64..9, 0_u32..4)
                .prop_map(|(pages, alignment)| Operation::Allocate { pages, alignment }),
            any::<usize>().prop_map(|which| Operation::Free { which }),
        ]
    }

    proptest! {
        /// Compares the allocator with a model of single pages. No page is allocated twice or
        /// outside of the ranges. No request that fits is refused, and all pages come back.
        #[test]
        fn allocator_agrees_with_a_model_of_pages(steps in prop::collection::vec(step(), 1..200)) {
            let usable = ranges(&[0x3000..=0x1_2fff, 0x2_0000..=0x2_8fff]);
            let mut iovas = IovaAllocator::new(&usable, PAGE);
            let all = iovas.available();
            let mut pages: Vec<u64> = Vec::new();
            for range in &usable.ranges {
                pages.extend(range.start() / PAGE..(range.end() + 1) / PAGE);
            }
            let mut taken: Vec<(u64, u64)> = Vec::new();
            for step in steps {
                match step {
                    Operation::Allocate { pages: count, alignment } => {
                        let expected = pages
                            .iter()
                            .copied()
                            .filter(|first| first.is_multiple_of(1 << alignment))
                            .filter(|first| (*first..first + count).all(|p| pages.contains(&p)))
                            .min();
                        let got = iovas.allocate_aligned(count * PAGE, PAGE << alignment).ok();
                        prop_assert_eq!(got, expected.map(|page| page * PAGE));
                        if let Some(iova) = got {
                            pages.retain(|p| !(iova / PAGE..iova / PAGE + count).contains(p));
                            taken.push((iova, count));
                        }
                    }
                    Operation::Free { which } if !taken.is_empty() => {
                        let (iova, count) = taken.swap_remove(which % taken.len());
                        prop_assert_eq!(iovas.free(iova, count * PAGE), Ok(()));
                        pages.extend(iova / PAGE..iova / PAGE + count);
                    }
                    Operation::Free { .. } => {}
                }
            }
            for (iova, count) in taken {
                prop_assert_eq!(iovas.free(iova, count * PAGE), Ok(()));
            }
            prop_assert_eq!(iovas.available(), all);
        }
    }
}
