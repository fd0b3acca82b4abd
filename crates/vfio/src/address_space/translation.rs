//! [`Translation`]: a mapping of a virtual IOMMU.

use super::section::{Section, SectionKind};
use super::section_entry::SectionEntry;
use super::state::SpaceState;
use super::{Error, Span};
use crate::container::Access;

/// A mapping that the guest made in a virtual IOMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Addresses that the device uses.
    pub iova: Span,
    /// Guest physical address of the first byte.
    pub target: u64,
    /// Access that the guest allows the device.
    pub access: Access,
}

impl Translation {
    /// Checks that the guest has a section at each target address, and no discarded granule.
    pub(super) fn check(&self, guest: &SpaceState) -> Result<(), Error> {
        let target = Span::new(self.target, self.iova.length())?;
        let is_covered = guest.sections.gaps(target).is_empty();
        let is_populated = guest
            .sections
            .overlapping(target)
            .all(|(_, entry)| is_populated_within(entry, target));
        if is_covered && is_populated {
            return Ok(());
        }
        Err(Error::Untranslated {
            iova: self.iova,
            target,
        })
    }

    /// Returns the sections that devices see now, in rising order: one for each target section, or
    /// for each populated granule.
    pub(super) fn sections(&self, guest: &SpaceState) -> Vec<Section> {
        let mut sections = Vec::new();
        let Some(target) = self.target_of(self.iova) else {
            return sections;
        };
        for (_, entry) in guest.sections.overlapping(target) {
            if !entry.withdrawn {
                sections.extend(self.sections_in(entry, target));
            }
        }

        sections
    }

    /// Returns the sections that devices see of one target section.
    fn sections_in(&self, entry: &SectionEntry, target: Span) -> Vec<Section> {
        parts_within(entry, target)
            .into_iter()
            .filter(|part| is_populated(entry, *part))
            .filter_map(|part| {
                let iova = self.iova_of(part)?;
                entry.section.translated_part(part, iova, self.access)
            })
            .collect()
    }

    /// Returns the parts of this mapping whose targets lie in the spans.
    pub(super) fn parts(&self, spans: &[Span]) -> impl Iterator<Item = Self> {
        let target = self.target_of(self.iova);
        spans.iter().filter_map(move |span| {
            let part = target?.intersection(*span)?;
            Some(Self {
                iova: self.iova_of(part)?,
                target: part.start(),
                access: self.access,
            })
        })
    }

    /// Returns the target addresses of the part of `iova` that this mapping has.
    pub(super) fn target_of(&self, iova: Span) -> Option<Span> {
        let part = self.iova.intersection(iova)?;
        let distance = part.start() - self.iova.start();
        let start = self.target.checked_add(distance)?;
        Span::new(start, part.length()).ok()
    }

    /// Returns the IOVAs of a part of the target addresses.
    fn iova_of(&self, part: Span) -> Option<Span> {
        let distance = part.start().checked_sub(self.target)?;
        Span::new(self.iova.start() + distance, part.length()).ok()
    }
}

/// Returns the parts of a section within a span that are populated and discarded as a whole.
fn parts_within(entry: &SectionEntry, within: Span) -> Vec<Span> {
    let Some(part) = entry.section.span().intersection(within) else {
        return Vec::new();
    };
    let SectionKind::Granules { granule, .. } = entry.section.kind() else {
        return vec![part];
    };
    let first = part.start() / granule * granule;
    (first..=part.last())
        .step_by(*granule as usize)
        .filter_map(|start| Span::new(start, *granule).ok()?.intersection(part))
        .collect()
}

fn is_populated_within(entry: &SectionEntry, target: Span) -> bool {
    parts_within(entry, target)
        .into_iter()
        .all(|part| is_populated(entry, part))
}

/// Returns whether the guest has this part now: discarded granules are absent.
fn is_populated(entry: &SectionEntry, part: Span) -> bool {
    match entry.section.kind() {
        SectionKind::Granules { granule, .. } => {
            let start = part.start() / granule * granule;
            entry.populated.contains(&start)
        }
        _ => true,
    }
}
