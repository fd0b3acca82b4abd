//! [`Member`]: a container of an address space, with the record of what is mapped in it: the kernel unmaps whole mappings
//! only, so each is recorded as it was made, and keeps its memory.
#![allow(unsafe_code)]

use super::parts::Parts;
use super::section::Backing;
use super::source::Source;
use super::span::Spans;
use super::state::Found;
use super::{Error, Span};
use crate::container::{
    self, Access, DirtyRange, Dma, IovaRanges, may_have_taken_effect, runs, unmap_certainly,
};
use passthru_iommufd::Iova;
use std::mem;
use std::ops::Range;
use std::sync::Arc;

/// A mapping.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) span: Span,
    pub(super) backing: Backing,
    pub(super) access: Access,
    /// Whether the guest cannot do without it; a BAR can be left out.
    pub(super) must: bool,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) dma: Arc<dyn Dma>,
    /// Whatever is mapped is here; it can be that something here is not mapped.
    pub(super) pieces: Spans<Piece>,
    /// The bytes of a page, while dirty pages are tracked.
    tracking: Option<u64>,
    /// What was told of pages that devices wrote to, and is not gathered yet.
    pub(super) dirty: Parts,
}

impl Member {
    /// Takes in an empty container, and has it track dirty pages, where that is asked for.
    pub(super) fn new(dma: Arc<dyn Dma>, tracking: bool) -> Result<Self, Error> {
        let mut new = Self {
            dma,
            pieces: Spans::default(),
            tracking: None,
            dirty: Parts::default(),
        };
        if tracking {
            new.set_dirty_tracking(true)
                .map_err(|source| Error::DirtyTracking { on: true, source })?;
        }
        Ok(new)
    }

    pub(super) fn is(&self, dma: &Arc<dyn Dma>) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.dma), Arc::as_ptr(dma))
    }

    /// Asks for the usable IOVAs; the alignment is the host's page at least.
    pub(super) fn usable(&self) -> Result<IovaRanges, Error> {
        let mut usable = self
            .dma
            .iova_ranges()
            .map_err(|source| Error::IovaRanges { source })?;
        usable.alignment = usable.alignment.max(rustix::param::page_size() as u64);
        Ok(usable)
    }

    /// The mappings that have addresses in the span.
    pub(super) fn overlapping(&self, span: Span) -> Vec<Span> {
        self.pieces
            .overlapping(span)
            .map(|(found, _)| found)
            .collect()
    }

    /// Whether all of a span is mapped to a piece's memory, so that it can be copied from there:
    /// what devices may write, the kernel copies only from where they may.
    pub(super) fn has(&self, at: Span, piece: &Piece) -> bool {
        let start = |span: Span, backing: &Backing| backing.offset.wrapping_sub(span.start());
        let is_same = |(span, own): (Span, &Piece)| {
            Arc::ptr_eq(&own.backing.memory, &piece.backing.memory)
                && start(span, &own.backing) == start(at, &piece.backing)
                && (piece.access == Access::Read || own.access != Access::Read)
        };
        self.pieces.gaps(at).is_empty() && self.pieces.overlapping(at).all(is_same)
    }

    /// Whether it maps a piece by its file, and not by its address.
    pub(super) fn maps_by_file(&self, piece: &Piece) -> bool {
        self.dma.capabilities().map_file && piece.backing.memory.file().is_some()
    }

    /// The parts of a span where nothing is mapped, given what is taken as there.
    pub(super) fn missing(&self, span: Span, found: Found) -> Vec<Span> {
        match found {
            Found::Recorded => self.pieces.gaps(span),
            Found::Nothing => vec![span],
        }
    }

    /// Maps and records one piece. Where that fails, it can be that it is recorded still: see
    /// [`Member::forget`].
    pub(super) fn map(&mut self, piece: Piece) -> Result<(), container::Error> {
        let span = piece.span;
        self.pieces.insert(span, piece.clone());
        // SAFETY: it is recorded.
        unsafe { map(&*self.dma, &piece) }.inspect_err(|error| {
            self.forget(span, Some(error));
        })
    }

    /// Maps what was mapped before, unless something is in its place. Returns whether it is mapped.
    pub(super) fn remap(&mut self, piece: Piece) -> bool {
        self.overlapping(piece.span).is_empty() && self.map(piece).is_ok()
    }

    /// Forgets a recorded piece that could not be mapped, or that was not tried. Returns whether
    /// that can be: the kernel may have mapped it, and then failed to say so.
    pub(super) fn forget(&mut self, span: Span, error: Option<&container::Error>) -> bool {
        if error.is_some_and(|error| may_have_taken_effect(error.io())) {
            return self.unmap(span).is_ok();
        }
        self.pieces.remove(span);
        true
    }

    /// Unmaps a recorded piece, and gives it. Where that fails, it stays recorded.
    pub(super) fn unmap(&mut self, span: Span) -> Result<Option<Piece>, container::Error> {
        match self.pieces.get(span).cloned() {
            Some(piece) => self.release(&piece)?,
            None => unmap(&*self.dma, span)?,
        }
        Ok(self.pieces.remove(span))
    }

    /// Has the kernel unmap a piece, and tell what devices wrote to until then.
    fn release(&mut self, piece: &Piece) -> Result<(), container::Error> {
        let span = piece.span;
        let Some(page_size) = self.tracking.filter(|_| piece.access != Access::Read) else {
            return unmap(&*self.dma, span);
        };
        let mut bitmap = vec![0; words(span, page_size)];
        let answer = self.dma.unmap_dirty(
            DirtyRange::new(span.start(), span.length(), page_size),
            &mut bitmap,
        );
        self.note_dirty(piece, page_size, &bitmap);
        let Err(error) = answer else { return Ok(()) };
        // It may be unmapped by now, and have told nothing.
        tracing::debug!("all of {span} counts as written to: {error}");
        let Backing { memory, offset } = &piece.backing;
        self.dirty.insert(memory, *offset..offset + span.length());
        unmap(&*self.dma, span)
    }

    /// Begins or ends to track dirty pages.
    pub(super) fn set_dirty_tracking(&mut self, on: bool) -> Result<(), container::Error> {
        let page_size = if on {
            Some(1 << self.dma.page_sizes()?.trailing_zeros().min(63))
        } else {
            None
        };
        self.tracking = None;
        self.dma.set_dirty_tracking(on)?;
        self.tracking = page_size;
        Ok(())
    }

    /// Asks which pages were written to, of all that is mapped, and makes them clean.
    pub(super) fn ask_dirty(&mut self) -> Result<(), Error> {
        let Some(page_size) = self.tracking else {
            return Ok(());
        };
        let writable = self
            .pieces
            .iter()
            .filter(|(_, piece)| piece.access != Access::Read);
        let pieces: Vec<_> = writable.map(|(_, piece)| piece.clone()).collect();
        for piece in pieces {
            let span = piece.span;
            let mut bitmap = vec![0; words(span, page_size)];
            let answer = self.dma.dirty_pages(
                DirtyRange::new(span.start(), span.length(), page_size),
                true,
                &mut bitmap,
            );
            self.note_dirty(&piece, page_size, &bitmap);
            answer.map_err(|source| Error::DirtyPages { span, source })?;
        }
        Ok(())
    }

    fn note_dirty(&mut self, piece: &Piece, page_size: u64, bitmap: &[u64]) {
        let Backing { memory, offset } = &piece.backing;
        for Range { start, end } in runs(bitmap) {
            self.dirty
                .insert(memory, offset + start * page_size..offset + end * page_size);
        }
    }

    /// Unmaps everything, and ends to track. What cannot be unmapped keeps its memory for ever.
    pub(super) fn close(&mut self) -> Result<(), Error> {
        let mut refused = None;
        let mut ranges = Vec::new();
        for (span, piece) in mem::take(&mut self.pieces).into_iter() {
            if let Err(source) = self.release(&piece) {
                mem::forget(piece);
                ranges.push(span);
                refused.get_or_insert(source);
            }
        }
        if self.tracking.is_some()
            && let Err(error) = self.set_dirty_tracking(false)
        {
            tracing::debug!("{error}");
        }
        refused.map_or(Ok(()), |source| {
            Err(Error::StillMapped {
                ranges,
                notes: Vec::new(),
                source,
            })
        })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!("{error}");
        }
    }
}

/// The words of a bitmap of a span's pages.
pub(super) fn words(span: Span, page_size: u64) -> usize {
    (span.length() / page_size).div_ceil(64) as usize
}

/// Maps a piece, by its file where the container can, or by its address.
///
/// # Safety
/// The piece is recorded in the container's member until it is unmapped: that keeps the memory.
pub(super) unsafe fn map(dma: &dyn Dma, piece: &Piece) -> Result<(), container::Error> {
    let Piece {
        span,
        backing: Backing { memory, offset },
        access,
        ..
    } = piece;
    let (iova, length) = (span.start(), span.length());
    match (memory.file(), memory.address()) {
        (Some((file, start)), _) if dma.capabilities().map_file => {
            dma.map_file(file, start + offset, length, iova, *access)
        }
        (_, Some(address)) => {
            let start = address.wrapping_add(*offset as usize);
            // SAFETY: a section lies within its memory, which stays while the piece is recorded;
            // that no references are made to it is the contract of `Memory`.
            unsafe { dma.map(start, length, iova, *access) }
        }
        (Some(_), None) | (None, None) => Err(container::Error::Unsupported {
            backend: dma.capabilities().backend,
            what: "map a file that has no address in this process",
        }),
    }
}

/// Maps a piece by a copy of where the same memory is mapped (`IOMMU_IOAS_COPY`).
///
/// # Safety
/// As [`map`]; the source is a recorded mapping of the piece's memory.
pub(super) unsafe fn copy(
    dma: &dyn Dma,
    piece: &Piece,
    from: &Source,
) -> Result<(), container::Error> {
    let Some(ioas) = dma.ioas() else {
        let backend = dma.capabilities().backend;
        return Err(container::Error::Unsupported {
            backend,
            what: "copy mappings",
        });
    };
    let (iova, length) = (Iova::At(piece.span.start()), piece.span.length());
    // SAFETY: the memory stays while the piece is recorded, as for `map`.
    unsafe { ioas.copy_from(&from.ioas, from.iova, length, iova, piece.access) }?;
    Ok(())
}

/// Unmaps a span; that nothing is mapped there is as good.
fn unmap(dma: &dyn Dma, span: Span) -> Result<(), container::Error> {
    unmap_certainly(
        || dma.unmap(span.start(), span.length()),
        container::Error::io,
    )
}

/// Makes sure that nothing is mapped in a span after a refusal to map there. Returns whether it is
/// sure.
pub(super) fn settle(dma: &dyn Dma, span: Span, refusal: &container::Error) -> bool {
    !may_have_taken_effect(refusal.io()) || unmap(dma, span).is_ok()
}
