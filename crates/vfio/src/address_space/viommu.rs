//! [`VirtualIommu`]: the address space of a device behind a virtual IOMMU, whose mappings the guest makes.

use super::section::Kind;
use super::state::State;
use super::{AddressSpace, Error, Mapper, Note, Section, Sharing, Span};
use crate::container::Access;
use std::sync::Arc;

/// An address space whose sections are the guest's own mappings of its memory. Containers join and leave by
/// [`VirtualIommu::space`], and get all of them replayed.
#[derive(Debug)]
pub struct VirtualIommu {
    system: Arc<AddressSpace>,
    space: AddressSpace,
}

/// A mapping that the guest made in a virtual IOMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Where the device sees it.
    pub iova: Span,
    /// The guest physical address that it leads to.
    pub target: u64,
    /// What the device may do there.
    pub access: Access,
}

impl VirtualIommu {
    /// Makes one over the guest's memory, which `system` has: it knows what lies where, whether or not devices reach it
    /// directly. Pins are shared with its containers as `sharing` says.
    pub fn new(system: &Arc<AddressSpace>, mapper: Mapper, sharing: Sharing) -> Self {
        let space = AddressSpace::default().with_mapper(mapper).with_sharing(sharing).sharing_with(system);
        Self { system: Arc::clone(system), space }
    }

    /// Returns the address space, for containers to join and leave.
    pub fn space(&self) -> &AddressSpace {
        &self.space
    }

    /// Maps what the guest mapped. What was in the same place goes; the same mapping a second time changes nothing.
    ///
    /// # Errors
    /// [`Error::Untranslated`]; [`Error::Cut`] where a former mapping is there in part; as [`super::Transaction::commit`].
    pub fn map(&self, translation: Translation) -> Result<Vec<Note>, Error> {
        let mut change = self.space.begin();
        change.clear(translation.iova);
        change.add_all(self.sections(translation)?);
        change.commit()
    }

    /// Unmaps what the guest unmapped: all mappings in the span, which may have gaps, or be all that there is.
    ///
    /// # Errors
    /// [`Error::Cut`] where it has a part of a mapping only; [`Error::StillMapped`].
    pub fn unmap(&self, iova: Span) -> Result<(), Error> {
        let mut change = self.space.begin();
        change.clear(iova);
        change.commit().map(|_| ())
    }

    /// Makes these all of the mappings: after the guest has told the virtual IOMMU to forget what it knew, or the
    /// virtual machine has been restored. What is the same stays mapped throughout.
    ///
    /// # Errors
    /// As [`VirtualIommu::map`].
    pub fn replay(&self, translations: impl IntoIterator<Item = Translation>) -> Result<Vec<Note>, Error> {
        let mut change = self.space.begin();
        change.clear(Span::ALL);
        for translation in translations {
            change.add_all(self.sections(translation)?);
        }
        change.commit()
    }

    /// What a mapping shows: a section for each of the guest's that it leads to.
    fn sections(&self, Translation { iova, target, access }: Translation) -> Result<Vec<Section>, Error> {
        let target = Span::new(target, iova.length())?;
        let state = self.system.lock();
        if !state.translates(target) {
            return Err(Error::Untranslated { iova, target });
        }
        let parts = state.sections.overlapping(target).filter_map(|(span, entry)| {
            let part = span.intersection(target)?;
            let at = Span::new(iova.start() + (part.start() - target.start()), part.length());
            at.and_then(|at| entry.section.part(part, at, access)).transpose()
        });
        parts.collect()
    }
}

impl State {
    /// Whether there is something at all the addresses, and none of it is discarded.
    fn translates(&self, target: Span) -> bool {
        let populated = self.sections.overlapping(target).all(|(span, entry)| match entry.section.kind() {
            Kind::Granules { granule, .. } => {
                let part = span.intersection(target).unwrap_or(target);
                let first = part.start() / granule * granule;
                (first..=part.last()).step_by(*granule as usize).all(|start| entry.populated.contains(&start))
            }
            _ => true,
        });
        populated && self.sections.gaps(target).is_empty()
    }
}
