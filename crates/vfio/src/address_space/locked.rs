//! [`Locked`]: an address space while nobody else changes it.

use super::mapper::{Mapper, OnProgress};
use super::state::{Found, How, Journal, Plan, State, Still};
use super::{AddressSpace, Error, Note, Sharing, Span};
use std::sync::{PoisonError, RwLockReadGuard, RwLockWriteGuard};

/// An address space while nobody else changes it, nor the one beyond it. The one beyond is always
/// locked first.
#[derive(Debug)]
pub(super) struct Locked<'a> {
    pub(super) state: RwLockWriteGuard<'a, State>,
    pub(super) mapper: Mapper,
    sharing: Sharing,
    beyond: Option<&'a State>,
}

impl AddressSpace {
    /// Keeps others from changing the address space beyond.
    pub(super) fn beyond(&self) -> Option<RwLockReadGuard<'_, State>> {
        self.beyond.as_ref().map(|other| other.read())
    }

    /// Keeps others from changing it.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        // What is mapped is recorded before it is, so a thread that panics leaves a state that is
        // safe to use.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps others from seeing it, with the address space beyond, which nobody changes already.
    pub(super) fn lock<'a>(&'a self, beyond: Option<&'a State>) -> Locked<'a> {
        let state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        Locked {
            state,
            mapper: self.mapper,
            sharing: self.sharing,
            beyond,
        }
    }
}

impl Locked<'_> {
    /// Maps what is missing in some containers, or nothing.
    pub(super) fn map_missing(
        &mut self,
        members: &[usize],
        targets: &[Span],
        on_progress: &OnProgress<'_>,
    ) -> Result<Vec<Note>, Error> {
        let mut notes = Vec::new();
        let plan = |member: &usize| {
            self.state
                .plan(*member, targets, Found::Recorded, self.mapper, &mut notes)
        };
        let plans = members.iter().map(plan).collect::<Result<Vec<_>, _>>()?;
        self.state.populate(&plans, self.mapper, on_progress)?;
        let mut journal = Journal::default();
        match self.map(plans, on_progress, &mut journal, &mut notes) {
            Ok(()) => Ok(notes),
            Err(error) => Err(self.state.undo(journal, error)),
        }
    }

    pub(super) fn map_missing_in_all(
        &mut self,
        targets: &[Span],
        on_progress: &OnProgress<'_>,
    ) -> Result<Vec<Note>, Error> {
        let members: Vec<_> = (0..self.state.members.len()).collect();
        self.map_missing(&members, targets, on_progress)
    }

    /// Maps what was planned, as this address space is told to.
    pub(super) fn map(
        &mut self,
        plans: Vec<Plan>,
        on_progress: &OnProgress<'_>,
        journal: &mut Journal,
        notes: &mut Vec<Note>,
    ) -> Result<(), Error> {
        let how = How {
            mapper: self.mapper,
            sharing: self.sharing,
            on_progress,
            beyond: self.beyond,
        };
        self.state.map(plans, how, journal, notes)
    }

    /// Unmaps what should not be mapped any more in some spans, here and in what follows.
    pub(super) fn clear(&mut self, spans: &[Span]) -> Result<Vec<Note>, Error> {
        let (mut still, mut notes) = (Still::default(), Vec::new());
        self.state.clear(spans, &mut still);
        self.state.lead_followers(spans, &mut still, &mut notes);
        still.answer(notes)
    }

    /// Has what follows see what is now in some spans.
    pub(super) fn lead_followers(
        &mut self,
        spans: &[Span],
        mut notes: Vec<Note>,
    ) -> Result<Vec<Note>, Error> {
        let mut still = Still::default();
        self.state.lead_followers(spans, &mut still, &mut notes);
        still.answer(notes)
    }
}
