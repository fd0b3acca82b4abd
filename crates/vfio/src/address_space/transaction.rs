//! [`Transaction`]: a change of an address space, made as a whole or not at all.

use super::entry::Entry;
use super::locked::Locked;
use super::mapper::OnProgress;
use super::note::{Note, Noted};
use super::section::{Kind, Section};
use super::span::overlap;
use super::state::{Found, Journal, State, Still};
use super::{AddressSpace, Error, Span};
use std::collections::BTreeSet;
use std::mem;
use std::ops::ControlFlow;

/// A change in the making. What is deleted goes before anything is added, in whatever order they
/// are said. Dropped without [`Transaction::commit`], it changes nothing.
#[must_use = "nothing is changed before it is committed"]
#[derive(Debug)]
pub struct Transaction<'a> {
    space: &'a AddressSpace,
    change: Change,
}

/// What goes and what comes.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) dels: Vec<Span>,
    /// Spans of which everything goes, also nothing.
    pub(super) clears: Vec<Span>,
    pub(super) adds: Vec<Section>,
}

/// What a change does to the sections.
#[derive(Debug)]
struct Delta {
    removed: BTreeSet<Span>,
    added: Vec<Span>,
    /// Sections that are removed and added as they were.
    kept: Vec<Span>,
    /// The entries that go, for when they have to come back.
    former: Vec<Entry>,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(space: &'a AddressSpace) -> Self {
        Self {
            space,
            change: Change::default(),
        }
    }
}

impl Transaction<'_> {
    /// Adds a section.
    pub fn add(&mut self, section: Section) -> &mut Self {
        self.change.adds.push(section);
        self
    }

    /// Removes the sections in a span, one or several, each as a whole.
    pub fn del(&mut self, span: Span) -> &mut Self {
        self.change.dels.push(span);
        self
    }

    /// Removes the sections in a span, each as a whole, if there are any.
    pub fn clear(&mut self, span: Span) -> &mut Self {
        self.change.clears.push(span);
        self
    }

    /// Makes the change in all containers. Returns what was not simply mapped.
    ///
    /// What overlaps a new section is unmapped first; then everything new is mapped; then the rest
    /// is unmapped. A section that is deleted and added again as it was stays mapped, and withdrawn
    /// if it was; what a failure before left unmapped of it is mapped. Mappings that a failure left
    /// in a span that is removed or cleared are unmapped. The IOVAs that can be used are asked for
    /// each time, since every attached device can narrow them.
    ///
    /// # Errors
    /// Of a wrong change: [`Error::NotFound`], [`Error::Cut`], [`Error::Overlap`]; what a container
    /// cannot have: [`Error::Misaligned`], [`Error::Outside`], [`Error::TooManyMappings`],
    /// [`Error::IovaRanges`]; a refusal of the kernel: [`Error::Map`], [`Error::Unmap`]. Nothing
    /// has changed after these. [`Error::Lost`] where a former mapping could not be restored.
    /// [`Error::StillMapped`] where all is done but that old mappings are still there.
    pub fn commit(self) -> Result<Vec<Note>, Error> {
        self.commit_with(&|_| ControlFlow::Continue(()))
    }

    /// Commits as [`Transaction::commit`], and tells how far it is.
    ///
    /// # Errors
    /// As [`Transaction::commit`]; [`Error::Cancelled`] where the function breaks off.
    pub fn commit_with(self, on_progress: &OnProgress<'_>) -> Result<Vec<Note>, Error> {
        let beyond = self.space.beyond();
        self.space
            .lock(beyond.as_deref())
            .commit(self.change, on_progress)
    }
}

impl Locked<'_> {
    /// Makes a change, as [`Transaction::commit`].
    pub(super) fn commit(
        &mut self,
        change: Change,
        on_progress: &OnProgress<'_>,
    ) -> Result<Vec<Note>, Error> {
        let cleared = change.clears.clone();
        let mut delta = change.apply(&mut self.state)?;
        let mut notes = skipped(&self.state, &delta.added);
        notes.extend(self.state.withdrawn(&delta.kept));
        let mut journal = Journal::default();
        if let Err(error) = delta.map(self, on_progress, &mut journal, &mut notes) {
            let error = self.state.undo(journal, error);
            delta.revert(&mut self.state);
            return Err(error);
        }
        let mut still = Still::default();
        let mut spans = Vec::from_iter(delta.removed);
        spans.extend(cleared);
        self.state.clear(&spans, &mut still);
        spans.extend(delta.added);
        spans.extend(delta.kept);
        self.state.lead_followers(&spans, &mut still, &mut notes);
        still.answer(notes)
    }
}

impl Change {
    /// Changes the sections, once the change is found to be a right one.
    fn apply(self, state: &mut State) -> Result<Delta, Error> {
        let mut removed = BTreeSet::new();
        for span in &self.dels {
            removed.extend(state.whole_sections(*span)?);
        }
        for span in &self.clears {
            match state.whole_sections(*span) {
                Err(Error::NotFound { .. }) => {}
                found => removed.extend(found?),
            }
        }
        let is_kept = |section: &Section| state.has(section) && removed.remove(&section.span());
        let (kept, adds): (Vec<_>, Vec<_>) = self.adds.into_iter().partition(is_kept);
        check_overlaps(state, &removed, &adds)?;
        let former = removed
            .iter()
            .filter_map(|span| state.sections.remove(*span))
            .collect();
        let spans = |sections: &[Section]| sections.iter().map(Section::span).collect();
        let (added, kept) = (spans(&adds), spans(&kept));
        adds.into_iter()
            .for_each(|section| state.sections.insert(section.span(), Entry::new(section)));
        Ok(Delta {
            removed,
            added,
            kept,
            former,
        })
    }
}

impl Delta {
    fn map(
        &self,
        space: &mut Locked<'_>,
        on_progress: &OnProgress<'_>,
        journal: &mut Journal,
        notes: &mut Vec<Note>,
    ) -> Result<(), Error> {
        if self.added.is_empty() && self.kept.is_empty() {
            return Ok(());
        }
        let state = &mut space.state;
        state.clear_stale(&self.kept)?;
        let mut plan = |member| {
            let mut plan = state.plan(member, &self.added, Found::Nothing, space.mapper, notes)?;
            plan.extend(state.plan(member, &self.kept, Found::Recorded, space.mapper, notes)?);
            state.within_limit(&plan)?;
            Ok(plan)
        };
        let plans = (0..state.members.len())
            .map(&mut plan)
            .collect::<Result<Vec<_>, _>>()?;
        // Before, so that devices do without what makes room for a short time only.
        state.populate(&plans, space.mapper, on_progress)?;
        for span in &self.added {
            state.make_room(*span, journal)?;
        }
        space.map(plans, on_progress, journal, notes)
    }

    fn revert(&mut self, state: &mut State) {
        self.added
            .iter()
            .for_each(|span| drop(state.sections.remove(*span)));
        for entry in mem::take(&mut self.former) {
            state.sections.insert(entry.section.span(), entry);
        }
    }
}

impl State {
    /// The sections in a span, none of which it cuts.
    pub(super) fn whole_sections(&self, span: Span) -> Result<Vec<Span>, Error> {
        if let Some(piece) = self.sections.cut_by(span) {
            return Err(Error::Cut { span, piece });
        }
        let found: Vec<_> = self
            .sections
            .overlapping(span)
            .map(|(found, _)| found)
            .collect();
        if found.is_empty() {
            Err(Error::NotFound { span })
        } else {
            Ok(found)
        }
    }

    /// Whether just this section is there.
    fn has(&self, section: &Section) -> bool {
        self.sections
            .get(section.span())
            .is_some_and(|entry| entry.section.same(section))
    }

    /// What is to be said of sections that are withdrawn.
    fn withdrawn(&self, sections: &[Span]) -> impl Iterator<Item = Note> {
        let withdrawn = sections
            .iter()
            .filter(|section| self.is_withdrawn(**section));
        withdrawn.map(|section| Note {
            span: *section,
            what: Noted::Withdrawn,
        })
    }

    pub(super) fn is_withdrawn(&self, section: Span) -> bool {
        self.sections
            .get(section)
            .is_some_and(|entry| entry.withdrawn)
    }

    pub(super) fn set_withdrawn(&mut self, section: Span, withdrawn: bool) {
        if let Some(entry) = self.sections.get_mut(section) {
            entry.withdrawn = withdrawn;
        }
    }
}

/// What is added overlaps neither what stays nor each other.
fn check_overlaps(state: &State, removed: &BTreeSet<Span>, adds: &[Section]) -> Result<(), Error> {
    for span in adds.iter().map(Section::span) {
        let mut stays = state.sections.overlapping(span).map(|(found, _)| found);
        if let Some(with) = stays.find(|found| !removed.contains(found)) {
            return Err(Error::Overlap { span, with });
        }
    }
    match overlap(adds.iter().map(Section::span)) {
        Some((span, with)) => Err(Error::Overlap { span, with }),
        None => Ok(()),
    }
}

/// What the rules say of new sections, in containers or not.
fn skipped(state: &State, added: &[Span]) -> Vec<Note> {
    let entries = added.iter().filter_map(|span| state.sections.get(*span));
    let by_rule = entries.filter_map(|entry| {
        let what = Noted::Skipped(entry.section.skipped()?);
        Some(Note {
            span: entry.section.span(),
            what,
        })
    });
    by_rule.chain(too_many_granules(state, added)).collect()
}

fn too_many_granules(state: &State, added: &[Span]) -> Option<Note> {
    let granules = |entry: &Entry| match entry.section.kind() {
        Kind::Granules { granule, .. } => entry.section.span().length() / granule,
        _ => 1,
    };
    let is_new = |span: &&Span| {
        state
            .sections
            .get(**span)
            .is_some_and(|entry| matches!(entry.section.kind(), Kind::Granules { .. }))
    };
    let span = *added.iter().find(is_new)?;
    let limits = state
        .members
        .iter()
        .filter_map(|member| member.dma.capabilities().max_mappings);
    let limit = limits.min()?;
    let needed = state
        .sections
        .iter()
        .map(|(_, entry)| granules(entry))
        .sum();
    (needed > u64::from(limit)).then_some(Note {
        span,
        what: Noted::Granules { needed, limit },
    })
}
