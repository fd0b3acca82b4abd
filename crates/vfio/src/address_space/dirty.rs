//! Which pages devices have written to.

use super::{AddressSpace, Error, Span};
use crate::container::{self, add_bits, check_bitmap};

impl AddressSpace {
    /// Adds the pages of a span that devices wrote to `bitmap`: bit i % 64 of word i / 64 stands for the page at the
    /// span's start + i × `page_size`. With `clear`, they count as clean from now on. All containers are asked, mapping by
    /// mapping: the span may have gaps and discarded granules, where nobody writes to. Tracking is begun and ended by
    /// [`Dma::set_dirty_tracking`](container::Dma::set_dirty_tracking) of each container.
    ///
    /// # Errors
    /// [`Error::Cut`] where the span has a part of a mapping only; [`Error::DirtyPages`], also where the span is not of whole
    /// pages or the bitmap too small. What was added before stays, since it may count as clean already.
    pub fn dirty_pages(
        &self,
        span: Span,
        page_size: u64,
        clear: bool,
        bitmap: &mut [u64],
    ) -> Result<(), Error> {
        let failed = |span| move |source| Error::DirtyPages { span, source };
        check(span, page_size, bitmap).map_err(failed(span))?;
        let state = self.read();
        if let Some(piece) = state.members.iter().find_map(|member| member.pieces.cut_by(span)) {
            return Err(Error::Cut { span, piece });
        }
        for member in &state.members {
            for piece in member.overlapping(span) {
                let mut words = vec![0; (piece.length() / page_size).div_ceil(64) as usize];
                let answer =
                    member.dma.dirty_pages(piece.start(), piece.length(), page_size, clear, &mut words);
                add_bits(bitmap, (piece.start() - span.start()) / page_size, &words);
                answer.map_err(failed(piece))?;
            }
        }
        Ok(())
    }
}

fn check(span: Span, page_size: u64, bitmap: &[u64]) -> Result<(), container::Error> {
    let length = span.length();
    check_bitmap(length, page_size, bitmap)?;
    match span.start().is_multiple_of(page_size) {
        true => Ok(()),
        false => Err(container::Error::Bitmap { length, page_size, words: bitmap.len() }),
    }
}
