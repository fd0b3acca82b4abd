//! Bitmaps of dirty pages: 64 pages a word, the lowest bit first.

use super::Error;

/// Returns how many words a range takes, where the bitmap has so many.
pub(super) fn check(length: u64, page_size: u64, bitmap: &[u64]) -> Result<usize, Error> {
    let whole = page_size.is_power_of_two() && length > 0 && length.is_multiple_of(page_size);
    let words = length.checked_div(page_size).map(|pages| pages.div_ceil(64));
    let words = words.filter(|words| whole && *words <= bitmap.len() as u64);
    words.map(|words| words as usize).ok_or(Error::Bitmap { length, page_size, words: bitmap.len() })
}

/// Adds bits to those that are there.
pub(super) fn add(bitmap: &mut [u64], words: &[u64]) {
    bitmap.iter_mut().zip(words).for_each(|(to, from)| *to |= from);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bitmap_has_a_bit_for_each_page() {
        assert_eq!(check(64 << 12, 1 << 12, &[0]).unwrap(), 1);
        assert_eq!(check(65 << 12, 1 << 12, &[0, 0]).unwrap(), 2);
        for (length, page_size) in
            [(65 << 12, 1 << 12), (0, 1 << 12), (1 << 12, 0), (1 << 12, 3), (100, 1 << 12)]
        {
            assert!(
                matches!(check(length, page_size, &[0]), Err(Error::Bitmap { .. })),
                "{length} {page_size}"
            );
        }
    }

    #[test]
    fn bits_that_were_set_stay_set() {
        let mut bitmap = [1, 2];
        add(&mut bitmap, &[4]);
        assert_eq!(bitmap, [5, 2]);
    }
}
