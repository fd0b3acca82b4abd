//! [`Translation`]: a mapping of a virtual IOMMU, and what it leads to.

use super::entry::Entry;
use super::section::{Kind, Section};
use super::state::State;
use super::{Error, Span};
use crate::container::Access;

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

impl Translation {
    /// Checks that it leads to where the guest has something at each address, none of which is
    /// discarded.
    pub(super) fn check(&self, system: &State) -> Result<(), Error> {
        let target = Span::new(self.target, self.iova.length())?;
        let is_there = |(_, entry): (Span, &Entry)| {
            parts(entry, target)
                .into_iter()
                .all(|part| is_populated(entry, part))
        };
        if system.sections.gaps(target).is_empty()
            && system.sections.overlapping(target).all(is_there)
        {
            Ok(())
        } else {
            Err(Error::Untranslated {
                iova: self.iova,
                target,
            })
        }
    }

    /// Returns what devices see there now, in rising order: a section for each of the guest's that
    /// it leads to, or for each granule, which goes by itself.
    pub(super) fn sections(&self, system: &State) -> Vec<Section> {
        let Some(target) = self.leads_to(self.iova) else {
            return Vec::new();
        };
        let there = system
            .sections
            .overlapping(target)
            .filter(|(_, entry)| !entry.withdrawn);
        let parts = there.flat_map(|(_, entry)| {
            parts(entry, target)
                .into_iter()
                .map(move |part| (entry, part))
        });
        let populated = parts.filter(|(entry, part)| is_populated(entry, *part));
        populated
            .filter_map(|(entry, part)| entry.section.part(part, self.seen_at(part)?, self.access))
            .collect()
    }

    /// Returns the parts of it that lead to these spans.
    pub(super) fn parts(&self, spans: &[Span]) -> impl Iterator<Item = Self> {
        let target = self.leads_to(self.iova);
        spans.iter().filter_map(move |span| {
            let part = target?.intersection(*span)?;
            Some(Self {
                iova: self.seen_at(part)?,
                target: part.start(),
                access: self.access,
            })
        })
    }

    /// Returns the guest physical addresses that IOVAs lead to, as far as it has them.
    pub(super) fn leads_to(&self, iova: Span) -> Option<Span> {
        let part = self.iova.intersection(iova)?;
        Span::new(
            self.target.checked_add(part.start() - self.iova.start())?,
            part.length(),
        )
        .ok()
    }

    /// Returns where devices see a part of what it leads to.
    fn seen_at(&self, part: Span) -> Option<Span> {
        Span::new(
            self.iova.start() + part.start().checked_sub(self.target)?,
            part.length(),
        )
        .ok()
    }
}

/// The parts of a section within a span that come and go together.
fn parts(entry: &Entry, within: Span) -> Vec<Span> {
    let Some(part) = entry.section.span().intersection(within) else {
        return Vec::new();
    };
    match entry.section.kind() {
        Kind::Granules { granule, .. } => {
            let starts =
                (part.start() / granule * granule..=part.last()).step_by(*granule as usize);
            starts
                .filter_map(|start| Span::new(start, *granule).ok()?.intersection(part))
                .collect()
        }
        _ => vec![part],
    }
}

/// Whether the guest has such a part now.
fn is_populated(entry: &Entry, part: Span) -> bool {
    match entry.section.kind() {
        Kind::Granules { granule, .. } => entry
            .populated
            .contains(&(part.start() / granule * granule)),
        _ => true,
    }
}
