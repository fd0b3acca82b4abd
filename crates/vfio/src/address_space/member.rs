//! [`Member`]: a container of an address space, with the record of what is mapped in it: the kernel unmaps whole mappings
//! only, so each is recorded as it was made, and keeps its memory.
#![allow(unsafe_code)]

use super::section::Backing;
use super::source::Source;
use super::span::Spans;
use super::state::Found;
use super::{Error, Span};
use crate::container::{self, Access, Dma, IovaRanges};
use passthru_iommufd::Iova;
use rustix::io::Errno;
use std::io;
use std::mem;
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
}

impl Member {
    pub(super) fn new(dma: Arc<dyn Dma>) -> Self {
        Self { dma, pieces: Spans::default() }
    }

    pub(super) fn is(&self, dma: &Arc<dyn Dma>) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.dma), Arc::as_ptr(dma))
    }

    /// Asks for the usable IOVAs; the alignment is the host's page at least.
    pub(super) fn usable(&self) -> Result<IovaRanges, Error> {
        let mut usable = self.dma.iova_ranges().map_err(|source| Error::IovaRanges { source })?;
        usable.alignment = usable.alignment.max(rustix::param::page_size() as u64);
        Ok(usable)
    }

    /// The mappings that have addresses in the span.
    pub(super) fn overlapping(&self, span: Span) -> Vec<Span> {
        self.pieces.overlapping(span).map(|(found, _)| found).collect()
    }

    /// Whether all of a span is mapped to a piece's memory, so that it can be copied from there: what devices may write, the
    /// kernel copies only from where they may.
    pub(super) fn has(&self, at: Span, piece: &Piece) -> bool {
        let start = |span: Span, backing: &Backing| backing.offset.wrapping_sub(span.start());
        let is_same = |(span, own): (Span, &Piece)| {
            Arc::ptr_eq(&own.backing.memory, &piece.backing.memory)
                && start(span, &own.backing) == start(at, &piece.backing)
                && (piece.access == Access::Read || own.access != Access::Read)
        };
        self.pieces.gaps(at).is_empty() && self.pieces.overlapping(at).all(is_same)
    }

    /// The parts of a span where nothing is mapped, given what is taken as there.
    pub(super) fn missing(&self, span: Span, found: Found) -> Vec<Span> {
        match found {
            Found::Recorded => self.pieces.gaps(span),
            Found::Nothing => vec![span],
        }
    }

    /// Maps and records one piece. Where that fails, it can be that it is recorded still: see [`Member::forget`].
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

    /// Forgets a recorded piece that could not be mapped, or that was not tried. Returns whether that can be: the kernel
    /// may have mapped it, and then failed to say so.
    pub(super) fn forget(&mut self, span: Span, error: Option<&container::Error>) -> bool {
        if error.is_some_and(is_ambiguous) {
            return self.unmap(span).is_ok();
        }
        self.pieces.remove(span);
        true
    }

    /// Unmaps a recorded piece, and gives it. Where that fails, it stays recorded.
    pub(super) fn unmap(&mut self, span: Span) -> Result<Option<Piece>, container::Error> {
        match unmap(&*self.dma, span) {
            Err(error) => Err(error),
            Ok(()) => Ok(self.pieces.remove(span)),
        }
    }

    /// Unmaps everything. What cannot be unmapped keeps its memory for ever.
    pub(super) fn close(&mut self) -> Result<(), Error> {
        let mut refused = None;
        let mut ranges = Vec::new();
        for (span, piece) in mem::take(&mut self.pieces).into_iter() {
            if let Err(source) = unmap(&*self.dma, span) {
                mem::forget(piece);
                ranges.push(span);
                refused.get_or_insert(source);
            }
        }
        refused.map_or(Ok(()), |source| Err(Error::StillMapped { ranges, notes: Vec::new(), source }))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!("{error}");
        }
    }
}

/// Maps a piece, by its file where the container can, or by its address.
///
/// # Safety
/// The piece is recorded in the container's member until it is unmapped: that keeps the memory.
pub(super) unsafe fn map(dma: &dyn Dma, piece: &Piece) -> Result<(), container::Error> {
    let Piece { span, backing: Backing { memory, offset }, access, .. } = piece;
    let (iova, length) = (span.start(), span.length());
    match (memory.file(), memory.address()) {
        (Some((file, start)), _) if is_mapped_by_file(dma, piece) => {
            dma.map_file(file, start + offset, length, iova, *access)
        }
        (_, Some(address)) => {
            let start = address.wrapping_add(*offset as usize);
            // SAFETY: a section lies within its memory, which stays while the piece is recorded; that no references
            // are made to it is the contract of `Memory`.
            unsafe { dma.map(start, length, iova, *access) }
        }
        (Some(_), None) | (None, None) => Err(container::Error::Unsupported {
            backend: dma.capabilities().backend,
            what: "map a file that has no address in this process",
        }),
    }
}

/// Whether a piece is mapped by its file, and not by its address.
pub(super) fn is_mapped_by_file(dma: &dyn Dma, piece: &Piece) -> bool {
    dma.capabilities().map_file && piece.backing.memory.file().is_some()
}

/// Maps a piece by a copy of where the same memory is mapped (`IOMMU_IOAS_COPY`).
///
/// # Safety
/// As [`map`]; the source is a recorded mapping of the piece's memory.
pub(super) unsafe fn copy(dma: &dyn Dma, piece: &Piece, from: &Source) -> Result<(), container::Error> {
    let Some(ioas) = dma.ioas() else {
        let backend = dma.capabilities().backend;
        return Err(container::Error::Unsupported { backend, what: "copy mappings" });
    };
    let (iova, length) = (Iova::At(piece.span.start()), piece.span.length());
    // SAFETY: the memory stays while the piece is recorded, as for `map`.
    unsafe { ioas.copy_from(&from.ioas, from.iova, length, iova, piece.access) }?;
    Ok(())
}

/// Unmaps a span; that nothing is mapped there is as good. An answer that says nothing is asked for again, and so is that
/// nothing is mapped: the memory is freed on it. (A kernel with `CONFIG_IOMMUFD_TEST` says so of what is there, when it
/// is told to fail.)
fn unmap(dma: &dyn Dma, span: Span) -> Result<(), container::Error> {
    let ask = || dma.unmap(span.start(), span.length()).map(drop);
    let answer = match ask() {
        Err(error) if is_ambiguous(&error) || is_gone(&error) => ask(),
        answer => answer,
    };
    answer.or_else(|error| if is_gone(&error) { Ok(()) } else { Err(error) })
}

/// Whether the kernel says that nothing is mapped there.
fn is_gone(error: &container::Error) -> bool {
    error.io().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Whether it can be that the kernel did what it was asked for: it could not give its answer back (`EFAULT`).
fn is_ambiguous(error: &container::Error) -> bool {
    error.io().and_then(Errno::from_io_error) == Some(Errno::FAULT)
}
