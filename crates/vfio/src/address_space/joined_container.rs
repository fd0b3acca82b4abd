//! [`JoinedContainer`]: a container of an address space, with the record of its mappings.
//!
//! The kernel unmaps only whole mappings. So each mapping is recorded as it was made. The record
//! keeps the memory.
#![allow(unsafe_code)]

use std::mem;
use std::ops::Range;
use std::ptr;
use std::sync::Arc;

use passthru_iommufd::Iova;

use super::copy_source::CopySource;
use super::interval_map::IntervalMap;
use super::memory_ranges::MemoryRanges;
use super::section::Backing;
use super::{Error, Span};
use crate::container::{
    self, Access, DirtyRange, Dma, IovaRanges, may_have_taken_effect, runs, unmap_certainly,
};

/// A mapping in a container.
#[derive(Clone, Debug)]
pub(super) struct MappedRange {
    pub(super) span: Span,
    pub(super) backing: Backing,
    pub(super) access: Access,
    /// Whether a failure to map the range is an error. For a BAR it is only noted.
    pub(super) is_required: bool,
}

/// A container that has joined an address space.
#[derive(Debug)]
pub(super) struct JoinedContainer {
    pub(super) dma: Arc<dyn Dma>,
    /// Record of all mappings. After a failure it may have more mappings than the kernel, never
    /// fewer.
    pub(super) mappings: IntervalMap<MappedRange>,
    /// Page size of the dirty bitmaps, while dirty pages are tracked.
    tracked_page_size: Option<u64>,
    /// Dirty memory that the address space has not collected yet.
    pub(super) dirty: MemoryRanges,
}

impl JoinedContainer {
    /// Takes an empty container, and starts dirty tracking if `tracking` is set.
    pub(super) fn new(dma: Arc<dyn Dma>, tracking: bool) -> Result<Self, Error> {
        let mut new = Self {
            dma,
            mappings: IntervalMap::default(),
            tracked_page_size: None,
            dirty: MemoryRanges::default(),
        };
        if tracking {
            new.set_dirty_tracking(true)
                .map_err(|source| Error::DirtyTracking { on: true, source })?;
        }

        Ok(new)
    }

    /// Returns whether this is the same container.
    pub(super) fn is_same(&self, dma: &Arc<dyn Dma>) -> bool {
        ptr::addr_eq(Arc::as_ptr(&self.dma), Arc::as_ptr(dma))
    }

    /// Returns the usable IOVAs. The alignment is at least the page size of the host.
    pub(super) fn usable_iovas(&self) -> Result<IovaRanges, Error> {
        let mut usable = self
            .dma
            .iova_ranges()
            .map_err(|source| Error::IovaRanges { source })?;
        usable.alignment = usable.alignment.max(rustix::param::page_size() as u64);
        Ok(usable)
    }

    /// Returns the mappings that overlap a span.
    pub(super) fn overlapping(&self, span: Span) -> Vec<Span> {
        self.mappings
            .overlapping(span)
            .map(|(found, _)| found)
            .collect()
    }

    /// Returns whether the whole of a span is mapped to the memory of `wanted`, so that the kernel
    /// can copy the mapping from there.
    ///
    /// The kernel copies a writable mapping only from a writable one.
    pub(super) fn has_at(&self, span: Span, wanted: &MappedRange) -> bool {
        self.mappings.gaps(span).is_empty()
            && self
                .mappings
                .overlapping(span)
                .all(|(_, mapped)| mapped.is_copy_source_of(span, wanted))
    }

    /// Returns whether the container maps a range by the file of its memory, not by an address.
    pub(super) fn maps_by_file(&self, mapping: &MappedRange) -> bool {
        self.dma.capabilities().map_file && mapping.backing.memory.file().is_some()
    }

    /// Records a mapping and makes it.
    ///
    /// After an error the mapping may still be recorded: see [`JoinedContainer::forget`].
    pub(super) fn map(&mut self, mapping: MappedRange) -> Result<(), container::Error> {
        let span = mapping.span;
        self.mappings.insert(span, mapping.clone());
        // SAFETY: the mapping is recorded.
        let result = unsafe { map(&*self.dma, &mapping) };
        if let Err(error) = &result {
            self.forget(span, Some(error));
        }
        result
    }

    /// Makes a former mapping again, unless another one overlaps it. Returns whether it is mapped.
    pub(super) fn remap(&mut self, mapping: MappedRange) -> bool {
        self.overlapping(mapping.span).is_empty() && self.map(mapping).is_ok()
    }

    /// Removes the record of a mapping that failed with `error`, or that was not tried.
    ///
    /// If the failed call may have taken effect (`EFAULT`), the range is unmapped first. Returns
    /// whether the record is removed.
    pub(super) fn forget(&mut self, span: Span, error: Option<&container::Error>) -> bool {
        if error.is_some_and(|error| may_have_taken_effect(error.io())) {
            return self.unmap(span).is_ok();
        }
        self.mappings.remove(span);
        true
    }

    /// Unmaps a recorded mapping and returns it. After an error the mapping stays recorded.
    pub(super) fn unmap(&mut self, span: Span) -> Result<Option<MappedRange>, container::Error> {
        match self.mappings.get(span).cloned() {
            Some(mapping) => self.unmap_in_kernel(&mapping)?,
            None => unmap(&*self.dma, span)?,
        }
        Ok(self.mappings.remove(span))
    }

    /// Unmaps a mapping, and collects its dirty pages if they are tracked.
    ///
    /// If the kernel cannot report the dirty pages, the whole mapping counts as dirty.
    fn unmap_in_kernel(&mut self, mapping: &MappedRange) -> Result<(), container::Error> {
        let span = mapping.span;
        let page_size = match self.tracked_page_size {
            Some(page_size) if mapping.is_writable() => page_size,
            _ => return unmap(&*self.dma, span),
        };
        let mut bitmap = vec![0; bitmap_words(span, page_size)];
        let range = DirtyRange::new(span.start(), span.length(), page_size);
        let result = self.dma.unmap_dirty(range, &mut bitmap);
        self.add_dirty(mapping, page_size, &bitmap);
        let Err(error) = result else { return Ok(()) };
        // The kernel may have unmapped the range without reporting its dirty pages.
        tracing::debug!("all of {span} counts as written to: {error}");
        let Backing { memory, offset } = &mapping.backing;
        self.dirty.insert(memory, *offset..offset + span.length());
        unmap(&*self.dma, span)
    }

    /// Starts or stops dirty tracking.
    pub(super) fn set_dirty_tracking(&mut self, on: bool) -> Result<(), container::Error> {
        let page_size = if on {
            Some(1 << self.dma.page_sizes()?.trailing_zeros().min(63))
        } else {
            None
        };
        self.tracked_page_size = None;
        self.dma.set_dirty_tracking(on)?;
        self.tracked_page_size = page_size;
        Ok(())
    }

    /// Collects the dirty pages of all mappings, and makes them clean.
    pub(super) fn collect_dirty(&mut self) -> Result<(), Error> {
        let Some(page_size) = self.tracked_page_size else {
            return Ok(());
        };
        let writable: Vec<_> = self
            .mappings
            .iter()
            .filter(|(_, mapping)| mapping.is_writable())
            .map(|(_, mapping)| mapping.clone())
            .collect();
        for mapping in writable {
            let span = mapping.span;
            let mut bitmap = vec![0; bitmap_words(span, page_size)];
            let range = DirtyRange::new(span.start(), span.length(), page_size);
            let result = self.dma.dirty_pages(range, true, &mut bitmap);
            self.add_dirty(&mapping, page_size, &bitmap);
            result.map_err(|source| Error::DirtyPages { span, source })?;
        }

        Ok(())
    }

    fn add_dirty(&mut self, mapping: &MappedRange, page_size: u64, bitmap: &[u64]) {
        let Backing { memory, offset } = &mapping.backing;
        for Range { start, end } in runs(bitmap) {
            let bytes = offset + start * page_size..offset + end * page_size;
            self.dirty.insert(memory, bytes);
        }
    }

    /// Unmaps everything and stops dirty tracking.
    ///
    /// The memory of mappings that cannot be unmapped is never freed.
    pub(super) fn close(&mut self) -> Result<(), Error> {
        let mut first_error = None;
        let mut ranges = Vec::new();
        for (span, mapping) in mem::take(&mut self.mappings).into_iter() {
            if let Err(error) = self.unmap_in_kernel(&mapping) {
                mem::forget(mapping);
                ranges.push(span);
                first_error.get_or_insert(error);
            }
        }

        if self.tracked_page_size.is_some()
            && let Err(error) = self.set_dirty_tracking(false)
        {
            tracing::debug!("{error}");
        }

        match first_error {
            None => Ok(()),
            Some(source) => Err(Error::StillMapped {
                ranges,
                notes: Vec::new(),
                source,
            }),
        }
    }
}

impl Drop for JoinedContainer {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!("{error}");
        }
    }
}

impl MappedRange {
    fn is_writable(&self) -> bool {
        self.access != Access::Read
    }

    /// Returns whether this mapping leads where `wanted` would, if `wanted` were mapped at `span`.
    fn is_copy_source_of(&self, span: Span, wanted: &Self) -> bool {
        let own_base = self.backing.offset.wrapping_sub(self.span.start());
        let wanted_base = wanted.backing.offset.wrapping_sub(span.start());
        Arc::ptr_eq(&self.backing.memory, &wanted.backing.memory)
            && own_base == wanted_base
            && (self.is_writable() || !wanted.is_writable())
    }
}

/// Returns the number of bitmap words for the pages of a span.
pub(super) fn bitmap_words(span: Span, page_size: u64) -> usize {
    (span.length() / page_size).div_ceil(64) as usize
}

/// Maps a range by its file if the container can, or else by its address.
///
/// # Safety
/// - The mapping is recorded in the container until it is unmapped: the record keeps the memory.
pub(super) unsafe fn map(dma: &dyn Dma, mapping: &MappedRange) -> Result<(), container::Error> {
    let Backing { memory, offset } = &mapping.backing;
    let iova = mapping.span.start();
    let length = mapping.span.length();
    let access = mapping.access;
    if let Some((file, start)) = memory.file()
        && dma.capabilities().map_file
    {
        return dma.map_file(file, start + offset, length, iova, access);
    }

    let Some(address) = memory.address() else {
        return Err(container::Error::Unsupported {
            backend: dma.capabilities().backend,
            operation: "map a file that has no address in this process",
        });
    };
    let start = address.wrapping_add(*offset as usize);
    // SAFETY: a section lies within its memory. The memory stays while the mapping is recorded. The
    // contract of `Memory` forbids references to its bytes.
    unsafe { dma.map(start, length, iova, access) }
}

/// Maps a range by a copy of another container's mapping (`IOMMU_IOAS_COPY`).
///
/// # Safety
/// - The mapping is recorded in the container until it is unmapped: the record keeps the memory.
/// - `source` is a recorded mapping of the same memory.
pub(super) unsafe fn copy(
    dma: &dyn Dma,
    mapping: &MappedRange,
    source: &CopySource,
) -> Result<(), container::Error> {
    let Some(ioas) = dma.ioas() else {
        return Err(container::Error::Unsupported {
            backend: dma.capabilities().backend,
            operation: "copy mappings",
        });
    };
    let iova = Iova::At(mapping.span.start());
    let length = mapping.span.length();
    // SAFETY: the memory stays while the mapping is recorded, as for `map`.
    unsafe { ioas.copy_from(&source.ioas, source.iova, length, iova, mapping.access) }?;
    Ok(())
}

/// Unmaps a span. A span without mappings counts as unmapped.
fn unmap(dma: &dyn Dma, span: Span) -> Result<(), container::Error> {
    unmap_certainly(
        || dma.unmap(span.start(), span.length()),
        container::Error::io,
    )
}

/// Makes sure that a refused call has left nothing mapped in a span. Returns whether that is
/// certain.
pub(super) fn ensure_unmapped(dma: &dyn Dma, span: Span, refusal: &container::Error) -> bool {
    !may_have_taken_effect(refusal.io()) || unmap(dma, span).is_ok()
}
