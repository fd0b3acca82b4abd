//! [`Follower`]: the address space behind a virtual IOMMU, kept in step with the guest's memory.

use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Span;
use super::failed_unmaps::FailedUnmaps;
use super::interval_map::IntervalMap;
use super::locked_space::LockedSpace;
use super::note::{Note, NoteKind};
use super::section::Section;
use super::section_entry::SectionEntry;
use super::state::{SectionListener, SpaceState};
use super::{AddressSpace, Translation};

/// The address space behind a virtual IOMMU.
///
/// Devices see at an IOVA what the guest has at the target address, while the guest has it there.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) space: AddressSpace,
    /// All mappings of the guest, also those without a section at the target.
    ///
    /// Lock order: the guest's memory, then these, then `space`.
    translations: Mutex<IntervalMap<Translation>>,
}

impl Follower {
    pub(super) fn new(space: AddressSpace) -> Self {
        Self {
            space,
            translations: Mutex::default(),
        }
    }

    /// Locks the mappings of the guest.
    pub(super) fn translations(&self) -> MutexGuard<'_, IntervalMap<Translation>> {
        // The mappings change after all steps that can fail, so a panic leaves them valid.
        self.translations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl SectionListener for Follower {
    /// Updates the mappings that lead to some spans of the guest's memory: first unmaps what the
    /// guest no longer has, then maps what it has.
    fn sections_changed(
        &self,
        guest: &SpaceState,
        spans: &[Span],
        failed: &mut FailedUnmaps,
        notes: &mut Vec<Note>,
    ) {
        let translations = self.translations();
        let mut space = self.space.lock(Some(guest));
        let parts: Vec<_> = translations
            .iter()
            .flat_map(|(_, translation)| translation.parts(spans))
            .collect();
        let mut cleared = Vec::new();
        for part in parts {
            if remove_stale(&mut space, &part, guest, failed) {
                cleared.push(part);
            }
        }

        for part in cleared {
            let part_notes = map_current(&mut space, &part, guest);
            let Some(span) = part.target_of(part.iova) else {
                continue;
            };
            notes.extend(part_notes.into_iter().map(|note| Note {
                span,
                kind: NoteKind::BehindViommu(Box::new(note)),
            }));
        }
    }
}

/// Unmaps the sections that a part of a mapping no longer leads to. Returns whether all are
/// unmapped.
fn remove_stale(
    space: &mut LockedSpace<'_>,
    part: &Translation,
    guest: &SpaceState,
    failed: &mut FailedUnmaps,
) -> bool {
    let current = part.sections(guest);
    let stale: Vec<_> = space
        .state
        .sections
        .overlapping(part.iova)
        .filter(|(_, entry)| !has_section(&current, &entry.section))
        .map(|(span, _)| span)
        .collect();
    for span in stale {
        space.state.sections.remove(span);
    }
    let mut own_failed = FailedUnmaps::default();
    space.state.clear(&[part.iova], &mut own_failed);
    let is_cleared = own_failed.is_empty();
    failed.extend(own_failed, |span| part.target_of(span));
    is_cleared
}

/// Returns whether a list in rising order has an equal section.
fn has_section(sections: &[Section], section: &Section) -> bool {
    let index = sections.binary_search_by_key(&section.span(), Section::span);
    index.is_ok_and(|index| sections[index].is_same(section))
}

/// Maps what a part of a mapping leads to, in each container that can have it.
///
/// A failure is noted. The mapping is tried again when the guest's memory changes there, and when a
/// container joins.
fn map_current(space: &mut LockedSpace<'_>, part: &Translation, guest: &SpaceState) -> Vec<Note> {
    for section in part.sections(guest) {
        let span = section.span();
        if space.state.sections.get(span).is_none() {
            space
                .state
                .sections
                .insert(span, SectionEntry::new(section));
        }
    }

    let mut notes = Vec::new();
    for container in 0..space.state.containers.len() {
        let result = space.map_missing(&[container], &[part.iova], &|_| ControlFlow::Continue(()));
        match result {
            Ok(mapped) => notes.extend(mapped),
            Err(error) => notes.push(Note {
                span: part.iova,
                kind: NoteKind::NotMapped(error),
            }),
        }
    }

    notes
}
