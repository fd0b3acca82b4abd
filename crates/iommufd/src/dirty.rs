//! Which pages devices have written to.

use std::hint::black_box;

use iommufd_bindings::iommufd::iommufd_hwpt_get_dirty_bitmap_flags_IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR as NO_CLEAR;
use rustix::io::Errno;

use crate::hwpt::Hwpt;
use crate::sys::hwpt::Piece;
use crate::{Error, sys};

impl Hwpt {
    /// Begins, with all pages clean, or ends to note which pages devices write to
    /// (`IOMMU_HWPT_SET_DIRTY_TRACKING`). It must have been allocated with
    /// [`dirty_tracking`](crate::HwptOptions::dirty_tracking).
    ///
    /// # Errors
    /// [`Error::DirtyTracking`].
    pub fn set_dirty_tracking(&self, on: bool) -> Result<(), Error> {
        let hwpt = self.id();
        sys::hwpt::set_dirty_tracking(self.object().fd(), hwpt, on).map_err(|e| {
            Error::DirtyTracking {
                hwpt,
                on,
                source: e.into(),
            }
        })
    }

    /// Adds to `bitmap` which of the `length` bytes from `iova` on were written to
    /// (`IOMMU_HWPT_GET_DIRTY_BITMAP`). Bit i % 64 of word i / 64 is the page at `iova + i *
    /// page_size`; bits are set, never taken away. `page_size` is a power of two that `iova` and
    /// `length` are multiples of, as they are of the [alignment](crate::IovaRanges::alignment).
    ///
    /// With `clear`, the pages count as clean from now on; without
    /// (`IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR`), which is cheaper, they stay as they are: for
    /// memory that is unmapped next. The IOMMU knows a huge page as one: where it is cut, all of it
    /// counts as clean, but only the bits of the part asked for are set. And it stops at the first
    /// gap between mappings, without a word. So it is asked mapping by mapping.
    ///
    /// # Errors
    /// [`Error::DirtyBitmap`], also where `bitmap` has too few bits.
    pub fn dirty_bitmap(
        &self,
        iova: u64,
        length: u64,
        page_size: u64,
        clear: bool,
        bitmap: &mut [u64],
    ) -> Result<(), Error> {
        let (hwpt, flags) = (self.id(), if clear { 0 } else { NO_CLEAR });
        let piece = Piece {
            iova,
            length,
            page_size,
        };
        self.read_dirty(piece, flags, bitmap)
            .map_err(|e| Error::DirtyBitmap {
                hwpt,
                iova,
                length,
                page_size,
                words: bitmap.len(),
                source: e.into(),
            })
    }

    /// The kernel is given pages of its own to write to: where the piece ends within a huge page,
    /// it sets bits up to the end of that. They are written to before, so that they are there:
    /// where the kernel finds no memory for one, it leaves out its bits without a word, and counts
    /// the pages as clean all the same.
    #[allow(unsafe_code, reason = "the kernel writes to the bitmap")]
    fn read_dirty(&self, piece: Piece, flags: u32, bitmap: &mut [u64]) -> Result<(), Errno> {
        let bits = bits(piece, bitmap.len()).ok_or(Errno::INVAL)?;
        let page = rustix::param::page_size() / size_of::<u64>();
        let pages = bits.div_ceil(64).next_multiple_of(page);
        let mut buffer = vec![0; pages + page - 1];
        let start = buffer.as_ptr().align_offset(rustix::param::page_size());
        let pages = buffer.get_mut(start..start + pages).ok_or(Errno::INVAL)?;
        pages
            .iter_mut()
            .step_by(page)
            .for_each(|word| *black_box(word) = 0);
        // SAFETY: whole pages with a bit for each page of the piece, as `bits` has found out.
        unsafe { sys::hwpt::dirty_bitmap(self.object().fd(), self.id(), flags, piece, pages) }?;
        add(bitmap, pages, bits);
        Ok(())
    }
}

/// Returns how many bits the piece has, where that is at least one, and not more than go into so
/// many words.
fn bits(piece: Piece, words: usize) -> Option<usize> {
    let Piece {
        iova,
        length,
        page_size,
    } = piece;
    let whole = page_size.is_power_of_two() && iova % page_size == 0 && length % page_size == 0;
    let bits = usize::try_from(length.checked_div(page_size)?).ok()?;
    (whole && bits > 0 && bits.div_ceil(64) <= words).then_some(bits)
}

/// Adds the first bits of `from` to those of `to`.
fn add(to: &mut [u64], from: &[u64], bits: usize) {
    for (index, (to, from)) in to.iter_mut().zip(from).take(bits.div_ceil(64)).enumerate() {
        let left = bits - index * 64;
        *to |= if left < 64 {
            from & ((1 << left) - 1)
        } else {
            *from
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bitmap_must_have_a_bit_for_each_page() {
        let piece = |iova, length, page_size| Piece {
            iova,
            length,
            page_size,
        };
        assert_eq!(bits(piece(0x1000, 0x41000, 0x1000), 2), Some(65));
        assert_eq!(bits(piece(0x1000, 0x41000, 0x1000), 1), None);
        for wrong in [
            (0, 0, 0x1000),
            (0, 0x1000, 0),
            (0, 0x3000, 0x3000),
            (0x800, 0x1000, 0x1000),
            (0, 1, 2),
        ] {
            assert_eq!(
                bits(piece(wrong.0, wrong.1, wrong.2), 64),
                None,
                "{wrong:x?}"
            );
        }
        assert_eq!(bits(piece(0, 1 << 63, 1), 64), None);
    }

    proptest::proptest! {
        #[test]
        fn no_piece_has_more_bits_than_the_bitmap(
            shift in 0_u32..64, iova: u64, length: u64, words in 0_usize..100, page_size: u64,
        ) {
            let power = 1_u64 << shift;
            for piece in [
                Piece { iova: iova & !(power - 1), length: length & !(power - 1), page_size: power },
                Piece { iova, length, page_size },
            ] {
                let Some(bits) = bits(piece, words) else { continue };
                proptest::prop_assert_eq!(bits as u64 * piece.page_size, piece.length);
                proptest::prop_assert!((1..=words * 64).contains(&bits));
            }
        }

        #[test]
        fn bits_are_added_one_by_one(to: [u64; 3], from: [u64; 4], bits in 1_usize..=192) {
            let mut sum = to;
            add(&mut sum, &from, bits);
            let bit = |words: &[u64], index: usize| words[index / 64] >> (index % 64) & 1;
            for index in 0..192 {
                let added = if index < bits { bit(&from, index) } else { 0 };
                proptest::prop_assert_eq!(bit(&sum, index), bit(&to, index) | added);
            }
        }
    }

    #[test]
    fn bits_past_the_last_page_are_left_out() {
        let mut to = [1, 0, 0];
        add(&mut to, &[2, u64::MAX, u64::MAX, u64::MAX], 66);
        assert_eq!(to, [3, 3, 0]);
        add(&mut to, &[0, 0, u64::MAX], 192);
        assert_eq!(to, [3, 3, u64::MAX]);
    }
}
