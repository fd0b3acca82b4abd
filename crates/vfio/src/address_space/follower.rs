//! [`Follower`]: the address space behind a virtual IOMMU, which follows the guest's memory: at an IOVA, devices see what the
//! guest has at the address that it leads to, for as long as it has it there.

use super::entry::Entry;
use super::locked::Locked;
use super::note::{Note, Noted};
use super::section::Section;
use super::span::{Spans, merged};
use super::state::{State, Still};
use super::{AddressSpace, Span, Translation};
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
pub(super) struct Follower {
    pub(super) space: AddressSpace,
    /// The mappings of the guest, also those that lead to nothing for now. They are locked after
    /// the guest's memory, and before the address space.
    translations: Mutex<Spans<Translation>>,
}

impl Follower {
    pub(super) fn new(space: AddressSpace) -> Self {
        Self {
            space,
            translations: Mutex::default(),
        }
    }

    pub(super) fn translations(&self) -> MutexGuard<'_, Spans<Translation>> {
        // They are changed after all that can fail.
        self.translations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees what the guest has now in some spans: first unmaps what it has no more, and then maps
    /// what it has.
    fn follow(&self, system: &State, spans: &[Span], still: &mut Still, notes: &mut Vec<Note>) {
        let translations = self.translations();
        let mut space = self.space.lock(Some(system));
        let parts: Vec<_> = translations
            .iter()
            .flat_map(|(_, translation)| translation.parts(spans))
            .collect();
        let cleared: Vec<_> = parts
            .iter()
            .map(|part| space.forget(part, system, still))
            .collect();
        for (part, _) in parts
            .into_iter()
            .zip(cleared)
            .filter(|(_, cleared)| *cleared)
        {
            let noted = space.regain(&part, system);
            let Some(span) = part.leads_to(part.iova) else {
                continue;
            };
            notes.extend(noted.into_iter().map(|note| Note {
                span,
                what: Noted::Behind(Box::new(note)),
            }));
        }
    }
}

impl State {
    /// Has what follows see what is now in some spans, after that has changed.
    pub(super) fn lead_followers(&self, spans: &[Span], still: &mut Still, notes: &mut Vec<Note>) {
        let spans = merged(spans);
        for follower in self
            .followers
            .iter()
            .filter_map(|follower| follower.upgrade())
        {
            follower.follow(self, &spans, still, notes);
        }
    }
}

impl Locked<'_> {
    /// Unmaps what a mapping does not lead to any more. Returns whether that could be.
    fn forget(&mut self, part: &Translation, system: &State, still: &mut Still) -> bool {
        let wanted = part.sections(system);
        let is_wanted = |section: &Section| {
            let found = wanted.binary_search_by_key(&section.span(), Section::span);
            found.is_ok_and(|index| wanted[index].same(section))
        };
        let present = self.state.sections.overlapping(part.iova);
        let gone: Vec<_> = present
            .filter(|(_, entry)| !is_wanted(&entry.section))
            .map(|(span, _)| span)
            .collect();
        gone.iter()
            .for_each(|span| drop(self.state.sections.remove(*span)));
        let mut own = Still::default();
        self.state.clear(&[part.iova], &mut own);
        let cleared = own.is_empty();
        still.extend(own, |span| part.leads_to(span));
        cleared
    }

    /// Maps what a mapping leads to, and is not mapped, in each container that can have it. What
    /// cannot be is tried again when the guest's memory changes there, and is a part of what
    /// whoever joins gets.
    fn regain(&mut self, part: &Translation, system: &State) -> Vec<Note> {
        let mut new = part.sections(system);
        new.retain(|section| self.state.sections.get(section.span()).is_none());
        for section in new {
            self.state
                .sections
                .insert(section.span(), Entry::new(section));
        }
        let members = 0..self.state.members.len();
        let map = |member| {
            let result = self.map_missing(&[member], &[part.iova], &|_| ControlFlow::Continue(()));
            result.unwrap_or_else(|error| {
                vec![Note {
                    span: part.iova,
                    what: Noted::NotMapped(error),
                }]
            })
        };
        members.flat_map(map).collect()
    }
}
