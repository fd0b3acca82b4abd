//! [`Change`]: the sections that a transaction removes and adds.

use std::collections::BTreeSet;

use super::failed_unmaps::FailedUnmaps;
use super::locked_space::LockedSpace;
use super::note::{Note, NoteKind};
use super::progress::OnProgress;
use super::section::{Section, SectionKind};
use super::section_entry::SectionEntry;
use super::span::find_overlap;
use super::state::{PlanMode, SpaceState, UndoLog};
use super::{Error, Span};

/// The sections to remove and to add.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// Spans whose sections are removed. Each span must have a section.
    pub(super) dels: Vec<Span>,
    /// Spans whose sections are removed, if there are any.
    pub(super) clears: Vec<Span>,
    pub(super) adds: Vec<Section>,
}

/// The effect of a change on the sections.
#[derive(Debug)]
struct Delta {
    removed: BTreeSet<Span>,
    added: Vec<Span>,
    /// Sections that are removed and added again unchanged.
    kept: Vec<Span>,
    /// Removed entries, to restore them after a failure.
    former: Vec<SectionEntry>,
}

impl Change {
    /// Makes the change, as [`Transaction::commit`](super::Transaction::commit) describes.
    pub(super) fn commit(
        self,
        space: &mut LockedSpace<'_>,
        on_progress: &OnProgress<'_>,
    ) -> Result<Vec<Note>, Error> {
        let cleared = self.clears.clone();
        let delta = self.apply(&mut space.state)?;
        let mut notes = rule_notes(&space.state, &delta.added);
        notes.extend(withdrawn_notes(&space.state, &delta.kept));
        let mut undo_log = UndoLog::default();
        if let Err(error) = delta.map(space, on_progress, &mut undo_log, &mut notes) {
            let error = space.state.undo(undo_log, error);
            delta.revert(&mut space.state);
            return Err(error);
        }

        let mut failed = FailedUnmaps::default();
        let mut spans = Vec::from_iter(delta.removed);
        spans.extend(cleared);
        space.state.clear(&spans, &mut failed);
        spans.extend(delta.added);
        spans.extend(delta.kept);
        space
            .state
            .notify_listeners(&spans, &mut failed, &mut notes);
        failed.into_result(notes)
    }

    /// Checks the change, and then changes the sections. Nothing is mapped or unmapped.
    fn apply(self, state: &mut SpaceState) -> Result<Delta, Error> {
        let mut removed = self.removed_sections(state)?;
        let mut kept = Vec::new();
        let mut adds = Vec::new();
        for section in self.adds {
            if has_section(state, &section) && removed.remove(&section.span()) {
                kept.push(section.span());
            } else {
                adds.push(section);
            }
        }

        check_overlaps(state, &removed, &adds)?;
        let former = removed
            .iter()
            .filter_map(|span| state.sections.remove(*span))
            .collect();
        let mut added = Vec::new();
        for section in adds {
            let span = section.span();
            added.push(span);
            state.sections.insert(span, SectionEntry::new(section));
        }

        Ok(Delta {
            removed,
            added,
            kept,
            former,
        })
    }

    fn removed_sections(&self, state: &SpaceState) -> Result<BTreeSet<Span>, Error> {
        let mut removed = BTreeSet::new();
        for span in &self.dels {
            removed.extend(state.whole_sections(*span)?);
        }
        for span in &self.clears {
            match state.whole_sections(*span) {
                Ok(sections) => removed.extend(sections),
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }

        Ok(removed)
    }
}

impl Delta {
    /// Maps the sections that are added, and what a former failure left unmapped of those that are
    /// kept.
    fn map(
        &self,
        space: &mut LockedSpace<'_>,
        on_progress: &OnProgress<'_>,
        undo_log: &mut UndoLog,
        notes: &mut Vec<Note>,
    ) -> Result<(), Error> {
        if self.added.is_empty() && self.kept.is_empty() {
            return Ok(());
        }
        let state = &mut space.state;
        let mapper = space.mapper;
        state.clear_stale(&self.kept)?;
        let mut plans = Vec::new();
        for container in 0..state.containers.len() {
            let mut plan = state.plan(container, &self.added, PlanMode::Replace, mapper, notes)?;
            plan.extend(state.plan(container, &self.kept, PlanMode::FillGaps, mapper, notes)?);
            state.check_limit(&plan)?;
            plans.push(plan);
        }

        // First populate, then make room: devices lack the former mappings for a short time only.
        state.populate(&plans, mapper, on_progress)?;
        for span in &self.added {
            state.make_room(*span, undo_log)?;
        }
        space.map(plans, on_progress, undo_log, notes)
    }

    /// Restores the sections.
    fn revert(self, state: &mut SpaceState) {
        for span in &self.added {
            state.sections.remove(*span);
        }
        for entry in self.former {
            state.sections.insert(entry.section.span(), entry);
        }
    }
}

/// Returns whether the address space has an equal section.
fn has_section(state: &SpaceState, section: &Section) -> bool {
    state
        .sections
        .get(section.span())
        .is_some_and(|entry| entry.section.is_same(section))
}

/// Checks that new sections overlap neither sections that stay nor each other.
fn check_overlaps(
    state: &SpaceState,
    removed: &BTreeSet<Span>,
    adds: &[Section],
) -> Result<(), Error> {
    for span in adds.iter().map(Section::span) {
        let stays = state
            .sections
            .overlapping(span)
            .map(|(found, _)| found)
            .find(|found| !removed.contains(found));
        if let Some(other) = stays {
            return Err(Error::Overlap { span, other });
        }
    }

    match find_overlap(adds.iter().map(Section::span)) {
        Some((span, other)) => Err(Error::Overlap { span, other }),
        None => Ok(()),
    }
}

fn withdrawn_notes(state: &SpaceState, sections: &[Span]) -> Vec<Note> {
    sections
        .iter()
        .filter(|section| state.is_withdrawn(**section))
        .map(|section| Note {
            span: *section,
            kind: NoteKind::Withdrawn,
        })
        .collect()
}

/// Returns the notes on new sections that do not depend on a container.
fn rule_notes(state: &SpaceState, added: &[Span]) -> Vec<Note> {
    let mut notes = Vec::new();
    for span in added {
        let section = state.sections.get(*span).map(|entry| &entry.section);
        if let Some(reason) = section.and_then(Section::skip_reason) {
            notes.push(Note {
                span: *span,
                kind: NoteKind::Skipped(reason),
            });
        }
    }

    notes.extend(granule_limit_note(state, added));
    notes
}

/// Returns a note if new granules could, once populated, exceed a container's limit.
fn granule_limit_note(state: &SpaceState, added: &[Span]) -> Option<Note> {
    let span = *added.iter().find(|span| has_granules(state, **span))?;
    let limit = state
        .containers
        .iter()
        .filter_map(|joined| joined.dma.capabilities().max_mappings)
        .min()?;
    let needed = state
        .sections
        .iter()
        .map(|(_, entry)| mapping_count(&entry.section))
        .sum();
    (needed > u64::from(limit)).then_some(Note {
        span,
        kind: NoteKind::GranuleLimit { needed, limit },
    })
}

fn has_granules(state: &SpaceState, section: Span) -> bool {
    state
        .sections
        .get(section)
        .is_some_and(|entry| matches!(entry.section.kind(), SectionKind::Granules { .. }))
}

/// Returns the number of mappings of a section with all granules populated.
fn mapping_count(section: &Section) -> u64 {
    match section.kind() {
        SectionKind::Granules { granule, .. } => section.span().length() / granule,
        _ => 1,
    }
}
