//! Granules of memory that a guest populates and discards while it runs (virtio-mem).

use super::locked_space::LockedSpace;
use super::progress::OnProgress;
use super::section::SectionKind;
use super::state::SpaceState;
use super::{Error, Note, Span};

/// Whole granules of one section.
struct Granules {
    section: Span,
    /// The granules.
    span: Span,
    /// Size of a granule in bytes.
    size: u64,
}

/// Populates granules, as [`AddressSpace::populate`](super::AddressSpace::populate) describes.
pub(super) fn populate(
    space: &mut LockedSpace<'_>,
    span: Span,
    on_progress: &OnProgress<'_>,
) -> Result<Vec<Note>, Error> {
    let granules = Granules::find(&space.state, span)?;
    space.state.clear_stale(&[span])?;
    let missing = granules.starts(&space.state, false);
    granules.set_populated(&mut space.state, &missing, true);
    match space.map_missing_in_all(&[span], on_progress) {
        Ok(notes) => space.notify_listeners(&[span], notes),
        Err(error) => {
            granules.set_populated(&mut space.state, &missing, false);
            Err(error)
        }
    }
}

/// Discards granules, as [`AddressSpace::discard`](super::AddressSpace::discard) describes.
pub(super) fn discard(space: &mut LockedSpace<'_>, span: Span) -> Result<(), Error> {
    let granules = Granules::find(&space.state, span)?;
    let present = granules.starts(&space.state, true);
    granules.set_populated(&mut space.state, &present, false);
    space.clear(&[span])?;
    Ok(())
}

impl Granules {
    /// Finds the section of a span, which must consist of whole granules.
    fn find(state: &SpaceState, span: Span) -> Result<Self, Error> {
        let not_granules = Error::NotGranules { span };
        let Some((section, entry)) = state.sections.overlapping(span).next() else {
            return Err(not_granules);
        };
        let SectionKind::Granules { granule, .. } = entry.section.kind() else {
            return Err(not_granules);
        };
        if !section.contains(span) {
            return Err(not_granules);
        }
        let granule = *granule;
        if span.aligned(granule) != Some(span) {
            return Err(Error::PartialGranule { span, granule });
        }
        Ok(Self {
            section,
            span,
            size: granule,
        })
    }

    /// Returns the first addresses of all granules that are populated, or that are not.
    fn starts(&self, state: &SpaceState, populated: bool) -> Vec<u64> {
        let Some(entry) = state.sections.get(self.section) else {
            return Vec::new();
        };
        (self.span.start()..=self.span.last())
            .step_by(self.size as usize)
            .filter(|start| entry.populated.contains(start) == populated)
            .collect()
    }

    /// Records granules, given by their first addresses, as populated or discarded.
    fn set_populated(&self, state: &mut SpaceState, starts: &[u64], populated: bool) {
        let Some(entry) = state.sections.get_mut(self.section) else {
            return;
        };
        for start in starts {
            if populated {
                entry.populated.insert(*start);
            } else {
                entry.populated.remove(start);
            }
        }
    }
}
