//! RAM discard: memory of which granules are populated and discarded while the guest runs
//! (virtio-mem).

use super::section::Kind;
use super::state::State;
use super::{AddressSpace, Error, Note, OnProgress, Span};
use std::ops::ControlFlow;

impl AddressSpace {
    /// Maps granules that the guest has from now on, each by itself, so that each can be discarded.
    /// Those that it has already stay.
    ///
    /// # Errors
    /// [`Error::NotGranules`], [`Error::Granule`]; as [`super::Transaction::commit`], with nothing
    /// changed.
    pub fn populate(&self, span: Span) -> Result<Vec<Note>, Error> {
        self.populate_with(span, &|_| ControlFlow::Continue(()))
    }

    /// Maps granules as [`AddressSpace::populate`], and tells how far it is.
    ///
    /// # Errors
    /// As [`AddressSpace::populate`]; [`Error::Cancelled`] where the function breaks off.
    pub fn populate_with(
        &self,
        span: Span,
        on_progress: &OnProgress<'_>,
    ) -> Result<Vec<Note>, Error> {
        let beyond = self.beyond();
        let mut space = self.lock(beyond.as_deref());
        let (section, granule) = space.state.granules_of(span)?;
        space.state.clear_stale(&[span])?;
        let missing: Vec<_> = space
            .state
            .granules(section, span, granule, false)
            .collect();
        space.state.mark(section, &missing, true);
        match space.map_missing_in_all(&[span], on_progress) {
            Ok(notes) => space.lead_followers(&[span], notes),
            Err(error) => {
                space.state.mark(section, &missing, false);
                Err(error)
            }
        }
    }

    /// Unmaps granules that the guest has no more, also where a virtual IOMMU leads to them. Those
    /// that it had not stay so.
    ///
    /// # Errors
    /// [`Error::NotGranules`], [`Error::Granule`]; [`Error::StillMapped`]: the guest has none of them any more, but
    /// devices reach the ones that are named.
    pub fn discard(&self, span: Span) -> Result<(), Error> {
        let beyond = self.beyond();
        let mut space = self.lock(beyond.as_deref());
        let (section, granule) = space.state.granules_of(span)?;
        let present: Vec<_> = space.state.granules(section, span, granule, true).collect();
        space.state.mark(section, &present, false);
        space.clear(&[span]).map(|_| ())
    }
}

impl State {
    /// The section that a span of whole granules lies in, and the bytes of a granule.
    fn granules_of(&self, span: Span) -> Result<(Span, u64), Error> {
        let (section, entry) = self
            .sections
            .overlapping(span)
            .next()
            .ok_or(Error::NotGranules { span })?;
        match entry.section.kind() {
            Kind::Granules { granule, .. } if section.contains(span) => {
                let (granule, whole) = (*granule, span.aligned(*granule) == Some(span));
                if whole {
                    Ok((section, granule))
                } else {
                    Err(Error::Granule { span, granule })
                }
            }
            _ => Err(Error::NotGranules { span }),
        }
    }

    /// Where the granules in a span start that are populated, or are not.
    fn granules(
        &self,
        section: Span,
        span: Span,
        granule: u64,
        populated: bool,
    ) -> impl Iterator<Item = u64> {
        let entry = self.sections.get(section);
        let is = move |start: &u64| {
            entry.is_some_and(|entry| entry.populated.contains(start) == populated)
        };
        (span.start()..=span.last())
            .step_by(granule as usize)
            .filter(is)
    }

    fn mark(&mut self, section: Span, granules: &[u64], populated: bool) {
        let Some(entry) = self.sections.get_mut(section) else {
            return;
        };
        for start in granules {
            if populated {
                entry.populated.insert(*start)
            } else {
                entry.populated.remove(start)
            };
        }
    }
}
