//! Reading of dirty bitmaps: which pages devices have written to.

use std::hint::black_box;

use rustix::io::Errno;

use crate::object::Object;
use crate::{DirtyRange, sys};

/// Adds the dirty bits of `range` in a page table to `bitmap`.
///
/// The kernel gets a buffer of whole pages instead of `bitmap`, for two reasons:
/// - If the range ends within a huge page, the kernel sets bits up to the end of that page.
/// - If the kernel cannot fault in a page of the bitmap, it drops that page's bits and still counts
///   the pages as clean. Each page of the buffer is therefore written to first.
#[allow(unsafe_code, reason = "the kernel writes to the bitmap")]
pub(crate) fn read_dirty(
    hwpt: &Object,
    range: DirtyRange,
    flags: u32,
    bitmap: &mut [u64],
) -> Result<(), Errno> {
    let bits = count_bits(range, bitmap.len()).ok_or(Errno::INVAL)?;
    let page_words = rustix::param::page_size() / size_of::<u64>();
    let words = bits.div_ceil(64).next_multiple_of(page_words);
    let mut buffer = vec![0; words + page_words - 1];
    let start = buffer.as_ptr().align_offset(rustix::param::page_size());
    let pages = buffer.get_mut(start..start + words).ok_or(Errno::INVAL)?;
    for word in pages.iter_mut().step_by(page_words) {
        *black_box(word) = 0;
    }
    // SAFETY: `pages` starts on a page, is whole pages long, and has a bit for each page of the
    // range, as `count_bits` checked.
    unsafe { sys::hwpt::dirty_bitmap(hwpt.fd(), hwpt.id(), flags, range, pages) }?;
    add_bits(bitmap, pages, bits);
    Ok(())
}

/// Returns the number of pages in a range, one bit each.
///
/// Returns `None` if the range is empty, not whole pages, or has more pages than `words` has bits.
fn count_bits(range: DirtyRange, words: usize) -> Option<usize> {
    let bits = usize::try_from(range.pages()?).ok()?;
    let is_aligned = range.iova.is_multiple_of(range.page_size);
    let fits = bits.div_ceil(64) <= words;
    (is_aligned && fits).then_some(bits)
}

/// Sets the bits of `to` that are set among the first `bits` of `from`.
fn add_bits(to: &mut [u64], from: &[u64], bits: usize) {
    let words = to.iter_mut().zip(from).take(bits.div_ceil(64));
    for (index, (to, from)) in words.enumerate() {
        let left = bits - index * 64;
        let mask = if left < 64 { (1 << left) - 1 } else { u64::MAX };
        *to |= from & mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bit(words: &[u64], index: usize) -> u64 {
        words[index / 64] >> (index % 64) & 1
    }

    #[test]
    fn bitmap_without_a_bit_for_each_page_is_refused() {
        assert_eq!(
            count_bits(DirtyRange::new(0x1000, 0x41000, 0x1000), 2),
            Some(65)
        );
        assert_eq!(
            count_bits(DirtyRange::new(0x1000, 0x41000, 0x1000), 1),
            None
        );
        for (iova, length, page_size) in [
            (0, 0, 0x1000),
            (0, 0x1000, 0),
            (0, 0x3000, 0x3000),
            (0x800, 0x1000, 0x1000),
            (0, 1, 2),
        ] {
            let bits = count_bits(DirtyRange::new(iova, length, page_size), 64);
            assert_eq!(bits, None, "{iova:x} {length:x} {page_size:x}");
        }

        assert_eq!(count_bits(DirtyRange::new(0, 1 << 63, 1), 64), None);
    }

    proptest::proptest! {
        #[test]
        fn range_never_has_more_bits_than_the_bitmap(
            shift in 0_u32..64, iova: u64, length: u64, words in 0_usize..100, page_size: u64,
        ) {
            let power = 1_u64 << shift;
            for range in [
                DirtyRange::new(iova & !(power - 1), length & !(power - 1), power),
                DirtyRange::new(iova, length, page_size),
            ] {
                let Some(bits) = count_bits(range, words) else { continue };
                proptest::prop_assert_eq!(bits as u64 * range.page_size, range.length);
                proptest::prop_assert!((1..=words * 64).contains(&bits));
            }
        }

        #[test]
        fn added_bits_are_the_union_of_both(to: [u64; 3], from: [u64; 4], bits in 1_usize..=192) {
            let mut sum = to;
            add_bits(&mut sum, &from, bits);
            for index in 0..192 {
                let added = if index < bits { bit(&from, index) } else { 0 };
                proptest::prop_assert_eq!(bit(&sum, index), bit(&to, index) | added);
            }
        }
    }

    #[test]
    fn bits_past_the_last_page_are_not_added() {
        let mut to = [1, 0, 0];
        add_bits(&mut to, &[2, u64::MAX, u64::MAX, u64::MAX], 66);
        assert_eq!(to, [3, 3, 0]);
        add_bits(&mut to, &[0, 0, u64::MAX], 192);
        assert_eq!(to, [3, 3, u64::MAX]);
    }
}
