//! Dirty pages: the pages that devices have written to.
//!
//! The kernel reports dirty pages of existing mappings only. So while dirty pages are tracked,
//! every unmap first reads the dirty pages, and keeps them until the VMM takes them. If the kernel
//! cannot report them, the whole mapping counts as dirty.

use std::mem;
use std::ops::Range;
use std::sync::Arc;

use super::joined_container::{JoinedContainer, bitmap_words};
use super::memory_ranges::MemoryRanges;
use super::section::Backing;
use super::state::SpaceState;
use super::{Error, Memory, Span};
use crate::container::{self, DirtyRange, add_bits, check_bitmap};

/// A part of a memory that devices wrote to.
#[derive(Clone, Debug)]
pub struct DirtyMemory {
    /// The memory.
    pub memory: Arc<Memory>,
    /// Offset of the part's first byte in the memory.
    pub offset: u64,
    /// Length of the part in bytes: whole pages of the size that the IOMMU tracks.
    pub length: u64,
}

/// Starts or stops tracking, as
/// [`AddressSpace::set_dirty_tracking`](super::AddressSpace::set_dirty_tracking) describes.
pub(super) fn set_tracking(state: &mut SpaceState, on: bool) -> Result<(), Error> {
    if on && state.tracking {
        return Ok(());
    }
    let result = if on {
        start_all(&mut state.containers)
    } else {
        stop_all(&mut state.containers)
    };
    state.tracking = on && result.is_ok();
    state.gather_dirty();
    if !on {
        state.dirty = MemoryRanges::default();
    }
    result.map_err(|source| Error::DirtyTracking { on, source })
}

/// Adds the dirty pages of a span to a bitmap, as
/// [`AddressSpace::dirty_pages`](super::AddressSpace::dirty_pages) describes.
pub(super) fn read_pages(
    state: &mut SpaceState,
    span: Span,
    page_size: u64,
    clear: bool,
    bitmap: &mut [u64],
) -> Result<(), Error> {
    let cut = state
        .containers
        .iter()
        .find_map(|joined| joined.mappings.cut_by(span));
    if let Some(cut) = cut {
        return Err(Error::Cut { span, cut });
    }
    for joined in &state.containers {
        for mapping in joined.overlapping(span) {
            let mut words = vec![0; bitmap_words(mapping, page_size)];
            let range = DirtyRange::new(mapping.start(), mapping.length(), page_size);
            let result = joined.dma.dirty_pages(range, clear, &mut words);
            let first = (mapping.start() - span.start()) / page_size;
            add_bits(bitmap, first, &words);
            result.map_err(|source| Error::DirtyPages {
                span: mapping,
                source,
            })?;
        }
    }

    for part in unmapped_dirty_in(state, span, clear) {
        let first = (part.start() - span.start()) / page_size;
        let last = (part.last() - span.start()) / page_size;
        for page in first..=last {
            add_bits(bitmap, page, &[1]);
        }
    }

    Ok(())
}

/// Takes all dirty memory, as [`AddressSpace::take_dirty`](super::AddressSpace::take_dirty)
/// describes.
pub(super) fn take(state: &mut SpaceState) -> Result<Vec<DirtyMemory>, Error> {
    if !state.tracking {
        return Err(Error::DirtyPages {
            span: Span::ALL,
            source: container::Error::NotTracking,
        });
    }

    for joined in &mut state.containers {
        joined.collect_dirty()?;
    }
    state.gather_dirty();
    let parts = mem::take(&mut state.dirty)
        .into_iter()
        .map(|(memory, range)| DirtyMemory {
            memory,
            offset: range.start,
            length: range.end - range.start,
        });
    Ok(parts.collect())
}

/// Checks that a span has whole pages, and that the bitmap has a bit for each.
pub(super) fn check_query(span: Span, page_size: u64, bitmap: &[u64]) -> Result<(), Error> {
    let length = span.length();
    check_bitmap(DirtyRange::new(0, length, page_size), bitmap)
        .map_err(|source| Error::DirtyPages { span, source })?;
    if span.start().is_multiple_of(page_size) {
        return Ok(());
    }
    let source = container::Error::Bitmap {
        length,
        page_size,
        words: bitmap.len(),
    };
    Err(Error::DirtyPages { span, source })
}

/// A part of a section, and the offset of its first byte in the section's memory.
struct SectionPart {
    span: Span,
    memory: Arc<Memory>,
    offset: u64,
}

impl SectionPart {
    fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.span.length()
    }
}

/// Returns the dirty parts of a span that were collected at unmaps. With `clear`, they become
/// clean.
fn unmapped_dirty_in(state: &mut SpaceState, span: Span, clear: bool) -> Vec<Span> {
    state.gather_dirty();
    let parts = section_parts(state, span);
    let mut dirty = Vec::new();
    // Memory that is in several sections is reported at each of their addresses.
    for part in &parts {
        for range in state.dirty.take(&part.memory, part.range()) {
            let start = part.span.start() + (range.start - part.offset);
            dirty.extend(Span::new(start, range.end - range.start));
            state.dirty.insert(&part.memory, range);
        }
    }

    if clear {
        for part in &parts {
            state.dirty.take(&part.memory, part.range());
        }
    }

    dirty
}

fn section_parts(state: &SpaceState, within: Span) -> Vec<SectionPart> {
    let mut parts = Vec::new();
    for (section, entry) in state.sections.overlapping(within) {
        let Some(Backing { memory, offset }) = entry.section.kind().backing() else {
            continue;
        };
        if let Some(span) = section.intersection(within) {
            parts.push(SectionPart {
                span,
                memory: Arc::clone(memory),
                offset: offset + (span.start() - section.start()),
            });
        }
    }

    parts
}

/// Starts tracking in all containers, or in none.
fn start_all(containers: &mut [JoinedContainer]) -> Result<(), container::Error> {
    let result = containers
        .iter_mut()
        .try_for_each(|joined| joined.set_dirty_tracking(true));
    if result.is_err()
        && let Err(error) = stop_all(containers)
    {
        tracing::warn!("{error}");
    }

    result
}

/// Stops tracking in as many containers as possible. Returns the first error.
///
/// A container whose tracking has stopped is not started again: that would make pages clean that
/// were never reported.
fn stop_all(containers: &mut [JoinedContainer]) -> Result<(), container::Error> {
    let mut result = Ok(());
    for joined in containers {
        result = result.and(joined.set_dirty_tracking(false));
    }
    result
}
