//! [`SpaceState`]: the sections of an address space, and its containers with their mappings.

use std::collections::BTreeSet;
use std::fmt;
use std::mem;
use std::sync::Weak;

use super::failed_unmaps::FailedUnmaps;
use super::interval_map::IntervalMap;
use super::joined_container::{JoinedContainer, MappedRange};
use super::map_job::MapJob;
use super::mapper::Mapper;
use super::memory_ranges::MemoryRanges;
use super::note::{Note, NoteKind};
use super::progress::OnProgress;
use super::section::Backing;
use super::section_entry::SectionEntry;
use super::span::merge_overlapping;
use super::{Error, Span};

/// The sections of an address space, and its containers.
#[derive(Debug, Default)]
pub(super) struct SpaceState {
    pub(super) containers: Vec<JoinedContainer>,
    pub(super) sections: IntervalMap<SectionEntry>,
    /// Address spaces behind virtual IOMMUs, whose mappings lead here.
    pub(super) listeners: Vec<Weak<dyn SectionListener>>,
    /// Whether dirty pages are tracked.
    pub(super) tracking: bool,
    /// Dirty memory that the VMM has not taken yet.
    pub(super) dirty: MemoryRanges,
}

/// A listener for changes of an address space's sections.
pub(super) trait SectionListener: fmt::Debug + Send + Sync {
    /// Updates the listener after sections in some spans changed.
    fn sections_changed(
        &self,
        state: &SpaceState,
        spans: &[Span],
        failed: &mut FailedUnmaps,
        notes: &mut Vec<Note>,
    );
}

/// The ranges to map in one container.
#[derive(Debug)]
pub(super) struct Plan {
    /// Index of the container.
    pub(super) container: usize,
    pub(super) jobs: Vec<MapJob>,
    /// Number of mappings that make room for the jobs.
    replaced: usize,
}

/// The treatment of mappings that are already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlanMode {
    /// Keeps recorded mappings and maps the gaps.
    FillGaps,
    /// Maps everything. Recorded mappings make room.
    Replace,
}

/// The steps of a change, for undoing them.
#[derive(Debug, Default)]
pub(super) struct UndoLog(Vec<UndoStep>);

#[derive(Debug)]
enum UndoStep {
    Mapped {
        container: usize,
        span: Span,
    },
    Unmapped {
        container: usize,
        mapping: MappedRange,
    },
}

impl Plan {
    /// Adds the jobs of another plan for the same container.
    pub(super) fn extend(&mut self, other: Self) {
        self.jobs.extend(other.jobs);
    }
}

impl SpaceState {
    /// Plans what to map in a container for the sections in some spans. Nothing is changed.
    ///
    /// # Errors
    /// - If a section that must be mapped cannot be. (Other sections are noted.)
    pub(super) fn plan(
        &self,
        container: usize,
        targets: &[Span],
        mode: PlanMode,
        mapper: Mapper,
        notes: &mut Vec<Note>,
    ) -> Result<Plan, Error> {
        let joined = &self.containers[container];
        let usable = joined.usable_iovas()?;
        let mut jobs = Vec::new();
        let mut replaced = BTreeSet::new();
        for target in targets {
            for (_, entry) in self.sections.overlapping(*target) {
                for part in entry.mappable_parts(*target, &usable, notes)? {
                    let missing = match mode {
                        PlanMode::FillGaps => joined.mappings.gaps(part),
                        PlanMode::Replace => vec![part],
                    };
                    let ranges = missing.into_iter().flat_map(|gap| entry.cut(gap, mapper));
                    let mappings = ranges.filter_map(|span| entry.mapped_range(span));
                    jobs.extend(mappings.map(MapJob::new));
                }
            }
            if mode == PlanMode::Replace {
                replaced.extend(joined.overlapping(*target));
            }
        }

        let plan = Plan {
            container,
            jobs,
            replaced: replaced.len(),
        };
        self.check_limit(&plan)?;
        Ok(plan)
    }

    /// Checks that a container can hold all mappings of a plan.
    pub(super) fn check_limit(&self, plan: &Plan) -> Result<(), Error> {
        let joined = &self.containers[plan.container];
        let Some(limit) = joined.dma.capabilities().max_mappings else {
            return Ok(());
        };
        let needed = (joined.mappings.len() - plan.replaced + plan.jobs.len()) as u64;
        if needed > u64::from(limit) {
            return Err(Error::TooManyMappings { needed, limit });
        }
        Ok(())
    }

    /// Populates the memory of planned ranges that a container maps by address.
    ///
    /// Memory that another container has mapped by address is populated already. Memory that is
    /// mapped by its file needs no page tables of this process: to populate it would only take
    /// time.
    pub(super) fn populate(
        &self,
        plans: &[Plan],
        mapper: Mapper,
        on_progress: &OnProgress<'_>,
    ) -> Result<(), Error> {
        let mut ranges = MemoryRanges::default();
        for plan in plans {
            let joined = &self.containers[plan.container];
            for MapJob { mapping, .. } in &plan.jobs {
                let by_address = mapping.is_required && !joined.maps_by_file(mapping);
                if by_address && !self.is_mapped_by_address(mapping) {
                    let Backing { memory, offset } = &mapping.backing;
                    ranges.insert(memory, *offset..offset + mapping.span.length());
                }
            }
        }

        mapper.populate(ranges, on_progress)
    }

    /// Returns whether a container has the same mapping already, made by address.
    fn is_mapped_by_address(&self, mapping: &MappedRange) -> bool {
        self.containers
            .iter()
            .any(|joined| !joined.maps_by_file(mapping) && joined.has_at(mapping.span, mapping))
    }

    /// Records and maps the ranges of a plan.
    #[allow(unsafe_code, reason = "maps ranges after it has recorded them")]
    pub(super) fn map(
        &mut self,
        plan: Plan,
        mapper: Mapper,
        on_progress: &OnProgress<'_>,
        undo_log: &mut UndoLog,
        notes: &mut Vec<Note>,
    ) -> Result<(), Error> {
        let container = plan.container;
        let joined = &mut self.containers[container];
        for job in &plan.jobs {
            joined
                .mappings
                .insert(job.mapping.span, job.mapping.clone());
        }

        // SAFETY: all mappings are recorded.
        let mut result = unsafe { mapper.map(&*joined.dma, &plan.jobs, on_progress) };
        for MapJob {
            mapping,
            result: job_result,
            ..
        } in plan.jobs
        {
            let span = mapping.span;
            match job_result.into_inner() {
                Some(Ok(outcome)) => {
                    undo_log.0.push(UndoStep::Mapped { container, span });
                    notes.extend(outcome.note().map(|kind| Note { span, kind }));
                }
                Some(Err(source)) => {
                    if !joined.forget(span, Some(&source)) {
                        undo_log.0.push(UndoStep::Mapped { container, span });
                    }
                    let error = Error::Map { span, source };
                    if mapping.is_required {
                        result = Err(error);
                    } else {
                        let kind = NoteKind::NotMapped(error);
                        notes.push(Note { span, kind });
                    }
                }
                None => {
                    joined.forget(span, None);
                }
            }
        }

        result
    }

    /// Unmaps a mapping, and logs how to undo that.
    pub(super) fn unmap(
        &mut self,
        container: usize,
        span: Span,
        undo_log: &mut UndoLog,
    ) -> Result<(), Error> {
        let mapping = self.containers[container]
            .unmap(span)
            .map_err(|source| Error::Unmap { span, source })?;
        if let Some(mapping) = mapping {
            undo_log.0.push(UndoStep::Unmapped { container, mapping });
        }
        Ok(())
    }

    /// Unmaps the mappings that overlap a span, in all containers.
    pub(super) fn make_room(&mut self, span: Span, undo_log: &mut UndoLog) -> Result<(), Error> {
        for container in 0..self.containers.len() {
            for mapping in self.containers[container].overlapping(span) {
                self.unmap(container, mapping, undo_log)?;
            }
        }

        Ok(())
    }

    /// Unmaps what no section wants in some spans, in all containers. Stops at the first error.
    ///
    /// Such mappings are left by failed unmaps.
    pub(super) fn clear_stale(&mut self, spans: &[Span]) -> Result<(), Error> {
        for container in 0..self.containers.len() {
            for span in self.unwanted(container, spans) {
                self.containers[container]
                    .unmap(span)
                    .map_err(|source| Error::Unmap { span, source })?;
            }
        }

        Ok(())
    }

    /// Unmaps what no section wants in some spans, in all containers, as far as possible.
    pub(super) fn clear(&mut self, spans: &[Span], failed: &mut FailedUnmaps) {
        for container in 0..self.containers.len() {
            for mapping in self.unwanted(container, spans) {
                if let Err(error) = self.containers[container].unmap(mapping) {
                    failed.add(mapping, error);
                }
            }
        }
    }

    /// Returns the mappings in some spans that no section wants.
    fn unwanted(&self, container: usize, spans: &[Span]) -> BTreeSet<Span> {
        let mappings = &self.containers[container].mappings;
        spans
            .iter()
            .flat_map(|span| mappings.overlapping(*span))
            .filter(|(_, mapping)| !self.wants(mapping))
            .map(|(span, _)| span)
            .collect()
    }

    fn wants(&self, mapping: &MappedRange) -> bool {
        self.sections
            .overlapping(mapping.span)
            .any(|(_, entry)| entry.wants(mapping))
    }

    /// Undoes the steps of a failed change, the last one first.
    ///
    /// Returns `cause` if all steps are undone, or else [`Error::Lost`].
    pub(super) fn undo(&mut self, undo_log: UndoLog, cause: Error) -> Error {
        let mut lost = BTreeSet::new();
        let mut still_mapped = BTreeSet::new();
        for step in undo_log.0.into_iter().rev() {
            match step {
                UndoStep::Mapped { container, span } => {
                    if self.containers[container].unmap(span).is_err() {
                        still_mapped.insert(span);
                    }
                }
                UndoStep::Unmapped { container, mapping } => {
                    let span = mapping.span;
                    if !self.containers[container].remap(mapping) {
                        lost.insert(span);
                    }
                }
            }
        }

        if lost.is_empty() && still_mapped.is_empty() {
            return cause;
        }
        Error::Lost {
            ranges: lost.into_iter().collect(),
            still_mapped: still_mapped.into_iter().collect(),
            source: Box::new(cause),
        }
    }

    /// Removes a container and unmaps everything in it. Its dirty memory is kept.
    pub(super) fn remove(&mut self, container: usize) -> Result<(), Error> {
        let mut joined = self.containers.remove(container);
        let result = joined.close();
        self.dirty.extend(mem::take(&mut joined.dirty));
        result
    }

    /// Updates all address spaces behind virtual IOMMUs after sections in some spans changed.
    pub(super) fn notify_listeners(
        &self,
        spans: &[Span],
        failed: &mut FailedUnmaps,
        notes: &mut Vec<Note>,
    ) {
        let spans = merge_overlapping(spans);
        for listener in &self.listeners {
            if let Some(listener) = listener.upgrade() {
                listener.sections_changed(self, &spans, failed, notes);
            }
        }
    }

    /// Collects the dirty memory that containers have noted.
    pub(super) fn gather_dirty(&mut self) {
        for joined in &mut self.containers {
            self.dirty.extend(mem::take(&mut joined.dirty));
        }
    }

    /// Returns the sections in a span. A section that lies only partly in the span is an error.
    pub(super) fn whole_sections(&self, span: Span) -> Result<Vec<Span>, Error> {
        if let Some(cut) = self.sections.cut_by(span) {
            return Err(Error::Cut { span, cut });
        }
        let found: Vec<_> = self
            .sections
            .overlapping(span)
            .map(|(found, _)| found)
            .collect();
        if found.is_empty() {
            return Err(Error::NotFound { span });
        }
        Ok(found)
    }

    pub(super) fn is_withdrawn(&self, section: Span) -> bool {
        self.sections
            .get(section)
            .is_some_and(|entry| entry.withdrawn)
    }

    pub(super) fn set_withdrawn(&mut self, sections: &[Span], withdrawn: bool) {
        for section in sections {
            if let Some(entry) = self.sections.get_mut(*section) {
                entry.withdrawn = withdrawn;
            }
        }
    }
}
