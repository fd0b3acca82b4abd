//! [`State`]: the sections, and what is mapped of them in each container.

use super::entry::Entry;
use super::follower::Follower;
use super::mapper::{Job, Mapper, OnProgress};
use super::member::{Member, Piece};
use super::note::{Note, Noted};
use super::parts::Parts;
use super::section::Backing;
use super::sharing::Sharing;
use super::span::Spans;
use super::{Error, Span};
use crate::container;
use std::collections::BTreeSet;
use std::mem;
use std::sync::Weak;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) members: Vec<Member>,
    pub(super) sections: Spans<Entry>,
    /// The address spaces whose mappings lead here.
    pub(super) followers: Vec<Weak<Follower>>,
    /// Whether dirty pages are tracked.
    pub(super) tracking: bool,
    /// What was told of pages that devices wrote to, and was not asked for yet.
    pub(super) dirty: Parts,
}

/// What is to be mapped in a container.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) member: usize,
    pub(super) jobs: Vec<Job>,
    /// How many mappings make room for it.
    goes: usize,
}

/// What was done, to undo it.
#[derive(Debug, Default)]
pub(super) struct Journal(Vec<Step>);

#[derive(Debug)]
enum Step {
    Mapped(usize, Span),
    Unmapped(usize, Piece),
}

/// What could not be unmapped, and the first refusal.
#[derive(Debug, Default)]
pub(super) struct Still {
    ranges: BTreeSet<Span>,
    source: Option<container::Error>,
}

/// Which pieces a plan takes as there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Those that are recorded: what is missing is mapped.
    Recorded,
    /// None: what lies there makes room.
    Nothing,
}

impl Plan {
    /// Has it map what another one maps in the same container.
    pub(super) fn extend(&mut self, other: Self) {
        self.jobs.extend(other.jobs);
    }
}

impl State {
    /// Finds out what is to be mapped in a container of the sections in some spans. Nothing is
    /// changed. What must be mapped and cannot is an error, all else a note.
    pub(super) fn plan(
        &self,
        member: usize,
        targets: &[Span],
        found: Found,
        mapper: Mapper,
        notes: &mut Vec<Note>,
    ) -> Result<Plan, Error> {
        let of = &self.members[member];
        let usable = of.usable()?;
        let mut jobs = Vec::new();
        for target in targets {
            for (_, entry) in self.sections.overlapping(*target) {
                let wanted = entry.wanted_of(*target, &usable, notes)?;
                let gaps = wanted
                    .into_iter()
                    .flat_map(|wanted| of.missing(wanted, found));
                let pieces = gaps.flat_map(|gap| entry.cut(gap, mapper));
                jobs.extend(pieces.filter_map(|span| entry.piece(span)).map(Job::new));
            }
        }
        let goes: BTreeSet<_> = match found {
            Found::Recorded => BTreeSet::new(),
            Found::Nothing => targets
                .iter()
                .flat_map(|target| of.overlapping(*target))
                .collect(),
        };
        let plan = Plan {
            member,
            jobs,
            goes: goes.len(),
        };
        self.within_limit(&plan)?;
        Ok(plan)
    }

    /// Lets a container go, with nothing mapped in it.
    pub(super) fn remove(&mut self, member: usize) -> Result<(), Error> {
        let mut member = self.members.remove(member);
        let answer = member.close();
        self.dirty.extend(mem::take(&mut member.dirty));
        answer
    }

    /// Whether a container can have as many mappings as there will be.
    pub(super) fn within_limit(&self, plan: &Plan) -> Result<(), Error> {
        let of = &self.members[plan.member];
        let needed = (of.pieces.len() - plan.goes + plan.jobs.len()) as u64;
        match of.dma.capabilities().max_mappings {
            Some(limit) if needed > u64::from(limit) => {
                Err(Error::TooManyMappings { needed, limit })
            }
            _ => Ok(()),
        }
    }

    /// Has the pages of what was planned made, which may not be there yet: what any of the
    /// containers maps by its address, and none has so already. (What is mapped by its file needs
    /// no page tables of this process, and no lock on them: there it would only take time.)
    pub(super) fn populate(
        &self,
        plans: &[Plan],
        mapper: Mapper,
        on_progress: &OnProgress<'_>,
    ) -> Result<(), Error> {
        let mut parts = Parts::default();
        for Plan { member, jobs, .. } in plans {
            let by_address = jobs.iter().map(|job| &job.piece).filter(|piece| {
                piece.must
                    && !self.members[*member].maps_by_file(piece)
                    && !self.has_by_address(piece)
            });
            by_address.for_each(|piece| {
                let Backing { memory, offset } = &piece.backing;
                parts.insert(memory, *offset..offset + piece.span.length());
            });
        }
        mapper.populate(parts, on_progress)
    }

    /// Whether a container has the memory already where a piece is to be, by its address: its pages
    /// were made for that.
    fn has_by_address(&self, piece: &Piece) -> bool {
        self.members
            .iter()
            .any(|member| !member.maps_by_file(piece) && member.has(piece.span, piece))
    }

    /// Maps what was planned.
    pub(super) fn map(
        &mut self,
        plans: Vec<Plan>,
        how: How<'_>,
        journal: &mut Journal,
        notes: &mut Vec<Note>,
    ) -> Result<(), Error> {
        for mut plan in plans {
            self.choose_sources(&mut plan, how);
            self.map_in(plan, how, journal, notes)?;
        }
        Ok(())
    }

    #[allow(unsafe_code, reason = "mappings are made here, and recorded before")]
    fn map_in(
        &mut self,
        plan: Plan,
        how: How<'_>,
        journal: &mut Journal,
        notes: &mut Vec<Note>,
    ) -> Result<(), Error> {
        let member = &mut self.members[plan.member];
        for job in &plan.jobs {
            member.pieces.insert(job.piece.span, job.piece.clone());
        }
        // SAFETY: all pieces are recorded.
        let mut result = unsafe { how.mapper.map(&*member.dma, &plan.jobs, how.on_progress) };
        for Job { piece, answer, .. } in plan.jobs {
            let span = piece.span;
            match answer.into_inner() {
                Some(Ok(way)) => {
                    journal.0.push(Step::Mapped(plan.member, span));
                    notes.extend(way.noted().map(|what| Note { span, what }));
                }
                Some(Err(source)) => {
                    if !member.forget(span, Some(&source)) {
                        journal.0.push(Step::Mapped(plan.member, span));
                    }
                    let error = Error::Map { span, source };
                    if piece.must {
                        result = Err(error)
                    } else {
                        notes.push(Note {
                            span,
                            what: Noted::NotMapped(error),
                        });
                    }
                }
                None => {
                    member.forget(span, None);
                }
            }
        }
        result
    }

    /// Unmaps a mapping, and notes down how to undo that.
    pub(super) fn unmap(
        &mut self,
        member: usize,
        span: Span,
        journal: &mut Journal,
    ) -> Result<(), Error> {
        let piece = self.members[member]
            .unmap(span)
            .map_err(|source| Error::Unmap { span, source })?;
        journal
            .0
            .extend(piece.map(|piece| Step::Unmapped(member, piece)));
        Ok(())
    }

    /// Makes room: unmaps what has addresses in the span, in all containers.
    pub(super) fn make_room(&mut self, span: Span, journal: &mut Journal) -> Result<(), Error> {
        for member in 0..self.members.len() {
            for piece in self.members[member].overlapping(span) {
                self.unmap(member, piece, journal)?;
            }
        }
        Ok(())
    }

    /// Unmaps what failures left in some spans, in all containers: what is mapped now may not be
    /// what belongs there.
    pub(super) fn clear_stale(&mut self, spans: &[Span]) -> Result<(), Error> {
        for member in 0..self.members.len() {
            for span in self.unwanted(member, spans) {
                self.members[member]
                    .unmap(span)
                    .map_err(|source| Error::Unmap { span, source })?;
            }
        }
        Ok(())
    }

    /// The mappings in some spans that no section wants.
    fn unwanted(&self, member: usize, spans: &[Span]) -> BTreeSet<Span> {
        let recorded = spans
            .iter()
            .flat_map(|span| self.members[member].pieces.overlapping(*span));
        recorded
            .filter(|(_, piece)| !self.wants(piece))
            .map(|(span, _)| span)
            .collect()
    }

    fn wants(&self, piece: &Piece) -> bool {
        self.sections
            .overlapping(piece.span)
            .any(|(_, entry)| entry.wants(piece))
    }

    /// Unmaps what no section wants in some spans, in all containers, as far as it can be.
    pub(super) fn clear(&mut self, spans: &[Span], still: &mut Still) {
        for member in 0..self.members.len() {
            for piece in self.unwanted(member, spans) {
                if let Err(source) = self.members[member].unmap(piece) {
                    still.add(piece, source);
                }
            }
        }
    }

    /// Undoes what was done, the last first. Says why it had to, or what could not be restored.
    pub(super) fn undo(&mut self, journal: Journal, cause: Error) -> Error {
        let (mut lost, mut still) = (BTreeSet::new(), BTreeSet::new());
        for step in journal.0.into_iter().rev() {
            match step {
                Step::Mapped(member, span) => {
                    if self.members[member].unmap(span).is_err() {
                        still.insert(span);
                    }
                }
                Step::Unmapped(member, piece) => {
                    let span = piece.span;
                    if !self.members[member].remap(piece) {
                        lost.insert(span);
                    }
                }
            }
        }
        if lost.is_empty() && still.is_empty() {
            cause
        } else {
            Error::Lost {
                ranges: lost.into_iter().collect(),
                still: still.into_iter().collect(),
                source: Box::new(cause),
            }
        }
    }
}

impl Still {
    pub(super) fn add(&mut self, span: Span, source: container::Error) {
        self.ranges.insert(span);
        self.source.get_or_insert(source);
    }

    /// Takes over what another one has, told by other addresses.
    pub(super) fn extend(&mut self, other: Self, place: impl Fn(Span) -> Option<Span>) {
        self.ranges
            .extend(other.ranges.into_iter().filter_map(place));
        self.source = self.source.take().or(other.source);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.source.is_none()
    }

    /// The answer to a change that is made, which has these notes.
    pub(super) fn answer(self, notes: Vec<Note>) -> Result<Vec<Note>, Error> {
        match self.source {
            Some(source) => Err(Error::StillMapped {
                ranges: self.ranges.into_iter().collect(),
                notes,
                source,
            }),
            None => Ok(notes),
        }
    }
}

/// How it is mapped.
#[derive(Clone, Copy)]
pub(super) struct How<'a> {
    pub(super) mapper: Mapper,
    pub(super) sharing: Sharing,
    pub(super) on_progress: &'a OnProgress<'a>,
    /// Another address space where the memory may be mapped.
    pub(super) beyond: Option<&'a State>,
}
