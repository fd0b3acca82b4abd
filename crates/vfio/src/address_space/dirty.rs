//! Which pages devices have written to.
//!
//! The kernel knows that of what is mapped only. So while dirty pages are tracked, it is asked at
//! each unmap, whatever the reason for it, and what it tells is kept until the VMM asks. Where it
//! does not answer then, all of the mapping counts as written to.
//!
//! With iommufd, the kernel is asked right before the unmap, since it has no call that does both: a
//! page that a device writes to for the first time just in between is missed
//! ([`Dma::unmap_dirty`](crate::container::Dma::unmap_dirty)). A guest gives up what it unmaps or
//! discards, and devices with it. Before a VMM takes away or moves memory that devices are in the
//! middle of writing to, while it tracks dirty pages, it stops these devices, or counts that memory
//! as written to. type1 tells and unmaps at once.

use super::member::{Member, words};
use super::parts::Parts;
use super::section::Backing;
use super::state::State;
use super::{AddressSpace, Error, Memory, Span};
use crate::container::{self, DirtyRange, add_bits, check_bitmap};
use std::mem;
use std::ops::Range;
use std::sync::Arc;

/// A part of some memory that devices wrote to.
#[derive(Clone, Debug)]
pub struct DirtyMemory {
    /// The memory.
    pub memory: Arc<Memory>,
    /// Where the part starts in it, in bytes.
    pub offset: u64,
    /// How many bytes; whole pages, as they are tracked.
    pub length: u64,
}

impl AddressSpace {
    /// Begins, with clean pages where the IOMMU tells them, or ends to track what devices write, in
    /// all containers: also in those that join later, until they leave; a
    /// [`VirtualIommu`](super::VirtualIommu) over this one has a space of its own. It is not begun
    /// or ended for a container alone. What was not asked for before an end is lost.
    ///
    /// # Errors
    /// [`Error::DirtyTracking`]. Where it cannot begin in one container, it is off in all of them.
    /// Where an end fails in one, it has ended in the others, and what was noted is lost: ask to
    /// end, or to begin, again.
    pub fn set_dirty_tracking(&self, on: bool) -> Result<(), Error> {
        let beyond = self.beyond();
        let state = &mut self.lock(beyond.as_deref()).state;
        if on && state.tracking {
            return Ok(());
        }
        let result = if on {
            begin(&mut state.members)
        } else {
            end(&mut state.members)
        };
        state.tracking = on && result.is_ok();
        state.gather_dirty();
        if !on {
            state.dirty = Parts::default();
        }
        result.map_err(|source| Error::DirtyTracking { on, source })
    }

    /// Adds the pages of a span that devices wrote to `bitmap`: bit i % 64 of word i / 64 stands
    /// for the page at the span's start + i × `page_size`. With `clear`, they count as clean from
    /// now on. All containers are asked, mapping by mapping: the span may have gaps and discarded
    /// granules, where nobody writes to. What was told when it was unmapped is added where its
    /// memory is a section's of the span; [`AddressSpace::take_dirty`] has the rest too.
    ///
    /// # Errors
    /// [`Error::Cut`] where the span has a part of a mapping only; [`Error::DirtyPages`], also
    /// where the span is not of whole pages or the bitmap too small. What was added before stays,
    /// since it may count as clean already.
    pub fn dirty_pages(
        &self,
        span: Span,
        page_size: u64,
        clear: bool,
        bitmap: &mut [u64],
    ) -> Result<(), Error> {
        let failed = |span| move |source| Error::DirtyPages { span, source };
        check(span, page_size, bitmap).map_err(failed(span))?;
        let beyond = self.beyond();
        let state = &mut self.lock(beyond.as_deref()).state;
        if let Some(piece) = state
            .members
            .iter()
            .find_map(|member| member.pieces.cut_by(span))
        {
            return Err(Error::Cut { span, piece });
        }
        for member in &state.members {
            for piece in member.overlapping(span) {
                let mut words = vec![0; words(piece, page_size)];
                let answer = member.dma.dirty_pages(
                    DirtyRange::new(piece.start(), piece.length(), page_size),
                    clear,
                    &mut words,
                );
                add_bits(bitmap, (piece.start() - span.start()) / page_size, &words);
                answer.map_err(failed(piece))?;
            }
        }
        for part in state.dirty_in(span, clear) {
            let pages = (part.start() - span.start()) / page_size
                ..=(part.last() - span.start()) / page_size;
            pages.for_each(|page| add_bits(bitmap, page, &[1]));
        }
        Ok(())
    }

    /// Returns all that devices wrote to since it was asked for the last time, by its memory, and
    /// makes it clean: what is mapped, and what was until it was unmapped. Behind a virtual IOMMU,
    /// where an IOVA means nothing after the guest has unmapped it, this is the way to ask, its own
    /// address space. Memory that nobody has any more is left out; each byte is in one part.
    ///
    /// # Errors
    /// [`Error::DirtyPages`], also while dirty pages are not tracked. What was told before the
    /// failure is kept for the next time.
    pub fn take_dirty(&self) -> Result<Vec<DirtyMemory>, Error> {
        let beyond = self.beyond();
        let state = &mut self.lock(beyond.as_deref()).state;
        if !state.tracking {
            return Err(Error::DirtyPages {
                span: Span::ALL,
                source: container::Error::NotTracking,
            });
        }
        state
            .members
            .iter_mut()
            .try_for_each(|member| member.ask_dirty())?;
        state.gather_dirty();
        let all = mem::take(&mut state.dirty).into_iter();
        Ok(all
            .map(|(memory, Range { start, end })| DirtyMemory {
                memory,
                offset: start,
                length: end - start,
            })
            .collect())
    }
}

impl State {
    /// Takes over what containers were told.
    pub(super) fn gather_dirty(&mut self) {
        for member in &mut self.members {
            self.dirty.extend(mem::take(&mut member.dirty));
        }
    }

    /// Where in a span something lies that was told at an unmap.
    fn dirty_in(&mut self, span: Span, clear: bool) -> Vec<Span> {
        self.gather_dirty();
        let places = self.sections.overlapping(span).filter_map(|(at, entry)| {
            let (Backing { memory, offset }, part) =
                (entry.section.kind().backing()?, at.intersection(span)?);
            Some((part, memory, offset + (part.start() - at.start())))
        });
        let places: Vec<_> = places.collect();
        let mut found = Vec::new();
        // Memory that is at several places is told at each of them.
        for (part, memory, start) in &places {
            for Range { start: first, end } in
                self.dirty.take(memory, *start..start + part.length())
            {
                found.extend(Span::new(part.start() + (first - start), end - first));
                self.dirty.insert(memory, first..end);
            }
        }
        for (part, memory, start) in places.iter().filter(|_| clear) {
            self.dirty.take(memory, *start..start + part.length());
        }
        found
    }
}

/// Begins in all, or in none.
fn begin(members: &mut [Member]) -> Result<(), container::Error> {
    let result = members
        .iter_mut()
        .try_for_each(|member| member.set_dirty_tracking(true));
    if result.is_err()
        && let Err(error) = end(members)
    {
        tracing::warn!("{error}");
    }
    result
}

/// Ends in as many as it can. To begin again where it has ended would make pages clean that nobody
/// was told of.
fn end(members: &mut [Member]) -> Result<(), container::Error> {
    let ended = members
        .iter_mut()
        .map(|member| member.set_dirty_tracking(false));
    ended.fold(Ok(()), Result::and)
}

fn check(span: Span, page_size: u64, bitmap: &[u64]) -> Result<(), container::Error> {
    let length = span.length();
    check_bitmap(DirtyRange::new(0, length, page_size), bitmap)?;
    if span.start().is_multiple_of(page_size) {
        Ok(())
    } else {
        Err(container::Error::Bitmap {
            length,
            page_size,
            words: bitmap.len(),
        })
    }
}
