//! [`LockedSpace`]: an address space under its lock.

use std::sync::RwLockWriteGuard;

use super::failed_unmaps::FailedUnmaps;
use super::mapper::Mapper;
use super::pinning::choose_pinning;
use super::progress::OnProgress;
use super::state::{Plan, PlanMode, SpaceState, UndoLog};
use super::{Error, Note, Sharing, Span};

/// An address space that is locked for a change.
///
/// The address space that it shares pins with is locked too, always first.
#[derive(Debug)]
pub(super) struct LockedSpace<'a> {
    pub(super) state: RwLockWriteGuard<'a, SpaceState>,
    pub(super) mapper: Mapper,
    pub(super) sharing: Sharing,
    pub(super) pin_source: Option<&'a SpaceState>,
}

impl LockedSpace<'_> {
    /// Maps what is missing in some containers. After an error nothing has changed.
    pub(super) fn map_missing(
        &mut self,
        containers: &[usize],
        targets: &[Span],
        on_progress: &OnProgress<'_>,
    ) -> Result<Vec<Note>, Error> {
        let mut notes = Vec::new();
        let mut plans = Vec::new();
        for container in containers {
            let mode = PlanMode::FillGaps;
            let plan = self
                .state
                .plan(*container, targets, mode, self.mapper, &mut notes)?;
            plans.push(plan);
        }

        self.state.populate(&plans, self.mapper, on_progress)?;
        let mut undo_log = UndoLog::default();
        match self.map(plans, on_progress, &mut undo_log, &mut notes) {
            Ok(()) => Ok(notes),
            Err(error) => Err(self.state.undo(undo_log, error)),
        }
    }

    /// Maps what is missing in all containers. After an error nothing has changed.
    pub(super) fn map_missing_in_all(
        &mut self,
        targets: &[Span],
        on_progress: &OnProgress<'_>,
    ) -> Result<Vec<Note>, Error> {
        let containers: Vec<_> = (0..self.state.containers.len()).collect();
        self.map_missing(&containers, targets, on_progress)
    }

    /// Maps all plans, one container after the other.
    pub(super) fn map(
        &mut self,
        plans: Vec<Plan>,
        on_progress: &OnProgress<'_>,
        undo_log: &mut UndoLog,
        notes: &mut Vec<Note>,
    ) -> Result<(), Error> {
        for mut plan in plans {
            let state = &*self.state;
            if let Some(ioas) = state.containers[plan.container].dma.ioas() {
                choose_pinning(state, ioas, &mut plan.jobs, self.sharing, self.pin_source);
            }
            self.state
                .map(plan, self.mapper, on_progress, undo_log, notes)?;
        }

        Ok(())
    }

    /// Unmaps what no section wants in some spans, also behind virtual IOMMUs.
    pub(super) fn clear(&mut self, spans: &[Span]) -> Result<Vec<Note>, Error> {
        let mut failed = FailedUnmaps::default();
        let mut notes = Vec::new();
        self.state.clear(spans, &mut failed);
        self.state.notify_listeners(spans, &mut failed, &mut notes);
        failed.into_result(notes)
    }

    /// Updates the virtual IOMMUs over this address space after sections in some spans changed.
    pub(super) fn notify_listeners(
        &mut self,
        spans: &[Span],
        mut notes: Vec<Note>,
    ) -> Result<Vec<Note>, Error> {
        let mut failed = FailedUnmaps::default();
        self.state.notify_listeners(spans, &mut failed, &mut notes);
        failed.into_result(notes)
    }
}
