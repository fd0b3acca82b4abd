//! Bitmaps of dirty pages: 64 pages a word, the lowest bit first.

use std::ops::Range;

use super::{DirtyRange, Error};

/// Returns the number of words that a range takes.
///
/// # Errors
/// [`Error::Bitmap`], if the range is not whole pages, or the bitmap has fewer words.
pub(crate) fn check_bitmap(range: DirtyRange, bitmap: &[u64]) -> Result<usize, Error> {
    let words = range.pages().map(|pages| pages.div_ceil(64));
    match words {
        Some(words) if words <= bitmap.len() as u64 => Ok(words as usize),
        _ => Err(Error::Bitmap {
            length: range.length,
            page_size: range.page_size,
            words: bitmap.len(),
        }),
    }
}

/// Sets the bits of `bitmap` that are set in `words`, from the bit `first` on.
pub(crate) fn add_bits(bitmap: &mut [u64], first: u64, words: &[u64]) {
    let skip = (first / 64) as usize;
    let shift = (first % 64) as u32;
    for (index, word) in words.iter().enumerate() {
        let low = word << shift;
        let high = word.checked_shr(64 - shift).unwrap_or_default();
        let places = bitmap.iter_mut().skip(skip + index);
        for (place, part) in places.zip([low, high]) {
            *place |= part;
        }
    }
}

/// Returns the runs of set bits in rising order, each from its first bit to the one after its last.
pub(crate) fn runs(bitmap: &[u64]) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for (first, word) in (0..).step_by(64).zip(bitmap) {
        let mut word = *word;
        while word != 0 {
            let start = word.trailing_zeros();
            let length = (!(word >> start)).trailing_zeros();
            word &= u64::MAX.checked_shl(start + length).unwrap_or_default();
            let run = first + u64::from(start)..first + u64::from(start + length);
            match runs.last_mut().filter(|last| last.end == run.start) {
                Some(last) => last.end = run.end,
                None => runs.push(run),
            }
        }
    }

    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitmap_needs_a_bit_for_each_page() {
        assert_eq!(
            check_bitmap(DirtyRange::new(0, 64 << 12, 1 << 12), &[0]).unwrap(),
            1
        );
        assert_eq!(
            check_bitmap(DirtyRange::new(0, 65 << 12, 1 << 12), &[0, 0]).unwrap(),
            2
        );
        for (length, page_size) in [
            (65 << 12, 1 << 12),
            (0, 1 << 12),
            (1 << 12, 0),
            (1 << 12, 3),
            (100, 1 << 12),
        ] {
            assert!(
                matches!(
                    check_bitmap(DirtyRange::new(0, length, page_size), &[0]),
                    Err(Error::Bitmap { .. })
                ),
                "{length} {page_size}"
            );
        }
    }

    #[test]
    fn bits_already_set_stay_set() {
        let mut bitmap = [1, 2];
        add_bits(&mut bitmap, 0, &[4]);
        assert_eq!(bitmap, [5, 2]);
    }

    #[test]
    fn runs_continue_from_word_to_word() {
        assert_eq!(runs(&[0, 0]), []);
        assert_eq!(runs(&[u64::MAX, 1, 2]), [0..65, 129..130]);
    }

    fn bit(words: &[u64], index: usize) -> bool {
        words
            .get(index / 64)
            .is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    proptest::proptest! {
        #[test]
        fn runs_cover_exactly_the_set_bits(words: [u64; 3]) {
            let mut bits = [0; 3];
            let runs = runs(&words);
            for bit in runs.iter().cloned().flatten() {
                bits[bit as usize / 64] |= 1 << (bit % 64);
            }
            proptest::prop_assert_eq!(bits, words);
            proptest::prop_assert!(runs.windows(2).all(|pair| pair[0].end < pair[1].start));
        }

        #[test]
        fn each_bit_is_added_at_its_place(
            bitmap: [u64; 4], first in 0_usize..192, words: [u64; 2],
        ) {
            let mut sum = bitmap;
            add_bits(&mut sum, first as u64, &words);
            for index in 0_usize..256 {
                let added = index.checked_sub(first).is_some_and(|index| bit(&words, index));
                proptest::prop_assert_eq!(bit(&sum, index), bit(&bitmap, index) || added);
            }
        }
    }
}
