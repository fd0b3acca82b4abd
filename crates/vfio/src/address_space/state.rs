//! [`State`]: the sections, and what is mapped of them in each container.

use super::mapper::{Job, Mapper, OnProgress};
use super::member::{Member, Piece, Source};
use super::note::{Note, Noted};
use super::section::{Kind, Section, Skipped};
use super::sharing::{Sharing, Why, memlock_left};
use super::span::Spans;
use super::{Error, Span};
use crate::container::IovaRanges;
use passthru_iommufd::Ioas;
use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) members: Vec<Member>,
    pub(super) sections: Spans<Entry>,
}

/// A section as the address space knows it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) section: Section,
    /// Where its populated granules start.
    pub(super) populated: BTreeSet<u64>,
    /// Whether it is kept from devices for the time being.
    pub(super) withdrawn: bool,
}

/// What is to be mapped in a container.
#[derive(Debug)]
pub(super) struct Plan {
    member: usize,
    jobs: Vec<Job>,
}

/// What was done, to undo it.
#[derive(Debug, Default)]
pub(super) struct Journal(Vec<Step>);

#[derive(Debug)]
enum Step {
    Mapped(usize, Span),
    Unmapped(usize, Piece),
}

/// Which pieces a plan takes as there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Those that are recorded: what is missing is mapped.
    Recorded,
    /// None: what lies there makes room.
    Nothing,
}

impl Entry {
    pub(super) fn new(section: Section) -> Self {
        Self { section, populated: BTreeSet::new(), withdrawn: false }
    }

    /// The parts within a span that should be mapped, given the alignment.
    fn wanted(&self, within: Span, alignment: u64) -> Vec<Span> {
        let span = self.section.span();
        if self.withdrawn || self.section.skipped().is_some() {
            return Vec::new();
        }
        match self.section.kind() {
            Kind::Granules { granule, .. } => {
                let starts = self.populated.range(within.start()..=within.last());
                starts.filter_map(|start| Span::new(*start, *granule).ok()).collect()
            }
            _ => span.aligned(alignment).into_iter().collect(),
        }
    }

    /// The parts within a span that should be mapped and can be; a BAR that cannot be is noted.
    fn wanted_of(
        &self,
        within: Span,
        usable: &IovaRanges,
        notes: &mut Vec<Note>,
    ) -> Result<Vec<Span>, Error> {
        let wanted = self.wanted(within, usable.alignment);
        notes.extend(trimmed(self, &wanted));
        match self.check(&wanted, usable) {
            Ok(()) => Ok(wanted),
            Err(error) if matches!(self.section.kind(), Kind::Bar(_)) => {
                notes.push(Note { span: self.section.span(), what: Noted::NotMapped(error) });
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a mapping is of this section as it is, and should be there.
    fn wants(&self, piece: &Piece) -> bool {
        let of = &self.section;
        let is_there = match of.kind() {
            Kind::Granules { .. } => self.populated.contains(&piece.span.start()),
            _ => true,
        };
        let is_same = || of.find(&piece.backing, piece.span.length()) == Some(piece.span);
        is_there && !self.withdrawn && of.access() == piece.access && is_same()
    }

    fn piece(&self, span: Span) -> Option<Piece> {
        let mut backing = self.section.kind().backing()?.clone();
        backing.offset += span.start() - self.section.span().start();
        let must = !matches!(self.section.kind(), Kind::Bar(_));
        Some(Piece { span, backing, access: self.section.access(), must })
    }

    /// Whether the IOMMU could map it, by where it lies.
    fn check(&self, wanted: &[Span], usable: &IovaRanges) -> Result<(), Error> {
        let span = self.section.span();
        let start = |backing: &super::Backing| match (backing.memory.file(), backing.memory.address()) {
            (_, Some(address)) => address as u64 + backing.offset,
            (Some((_, start)), None) => start + backing.offset,
            (None, None) => backing.offset,
        };
        let alignment = usable.alignment;
        let start = self.section.kind().backing().map_or(span.start(), start);
        if !wanted.is_empty() && start % alignment != span.start() % alignment {
            return Err(Error::Misaligned { span, alignment });
        }
        let fits = |wanted: &Span| {
            usable
                .ranges
                .iter()
                .any(|range| range.contains(&wanted.start()) && range.contains(&wanted.last()))
        };
        match wanted.iter().find(|wanted| !fits(wanted)) {
            Some(wanted) => Err(Error::Outside { span: *wanted, usable: usable.ranges.clone() }),
            None => Ok(()),
        }
    }
}

impl State {
    /// Finds out what is to be mapped in a container of the sections in some spans. Nothing is changed. What must
    /// be mapped and cannot is an error, all else a note.
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
                let gaps = wanted.into_iter().flat_map(|wanted| of.missing(wanted, found));
                let pieces = gaps.flat_map(|gap| cut(entry, gap, mapper));
                jobs.extend(pieces.filter_map(|span| entry.piece(span)).map(Job::new));
            }
        }
        let goes: BTreeSet<_> = match found {
            Found::Recorded => BTreeSet::new(),
            Found::Nothing => targets.iter().flat_map(|target| of.overlapping(*target)).collect(),
        };
        within_limit(of, (of.pieces.len() - goes.len() + jobs.len()) as u64)?;
        Ok(Plan { member, jobs })
    }

    /// Has the pages of what was planned made, which may not be there yet.
    pub(super) fn populate(
        &self,
        plans: &[Plan],
        mapper: Mapper,
        on_progress: &OnProgress<'_>,
    ) -> Result<(), Error> {
        match plans.first() {
            Some(first) => mapper.populate(&*self.members[first.member].dma, &first.jobs, on_progress),
            None => Ok(()),
        }
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
            notes.extend(self.choose_sources(&mut plan, how));
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
        for Job { piece, answer, source } in plan.jobs {
            let (span, at_once) = (piece.span, source.is_some_and(|(_, at_once)| at_once));
            match answer.into_inner() {
                Some(Ok(copied)) => {
                    journal.0.push(Step::Mapped(plan.member, span));
                    let refused = copied && !at_once;
                    notes.extend(refused.then_some(Note { span, what: Noted::Shared(Why::Refused) }));
                    continue;
                }
                Some(Err(source)) => {
                    if !member.forget(span, Some(&source)) {
                        journal.0.push(Step::Mapped(plan.member, span));
                    }
                    let error = Error::Map { span, source };
                    match piece.must {
                        true => result = Err(error),
                        false => notes.push(Note { span, what: Noted::NotMapped(error) }),
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
    pub(super) fn unmap(&mut self, member: usize, span: Span, journal: &mut Journal) -> Result<(), Error> {
        let piece = self.members[member].unmap(span).map_err(|source| Error::Unmap { span, source })?;
        journal.0.extend(piece.map(|piece| Step::Unmapped(member, piece)));
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

    /// Unmaps what failures left in some spans, in all containers: what is mapped now may not be what belongs there.
    pub(super) fn clear_stale(&mut self, spans: &[Span]) -> Result<(), Error> {
        for member in 0..self.members.len() {
            for span in self.unwanted(member, spans) {
                self.members[member].unmap(span).map_err(|source| Error::Unmap { span, source })?;
            }
        }
        Ok(())
    }

    /// The mappings in some spans that no section wants.
    fn unwanted(&self, member: usize, spans: &[Span]) -> BTreeSet<Span> {
        let recorded = spans.iter().flat_map(|span| self.members[member].pieces.overlapping(*span));
        recorded.filter(|(_, piece)| !self.wants(piece)).map(|(span, _)| span).collect()
    }

    fn wants(&self, piece: &Piece) -> bool {
        self.sections.overlapping(piece.span).any(|(_, entry)| entry.wants(piece))
    }

    /// Unmaps what no section wants in some spans, in all containers, as far as it can be.
    pub(super) fn clear(&mut self, spans: &[Span]) -> Result<(), Error> {
        let (mut ranges, mut refused) = (BTreeSet::new(), None);
        for member in 0..self.members.len() {
            for piece in self.unwanted(member, spans) {
                if let Err(source) = self.members[member].unmap(piece) {
                    ranges.insert(piece);
                    refused.get_or_insert(source);
                }
            }
        }
        match refused {
            Some(source) => Err(Error::StillMapped { ranges: ranges.into_iter().collect(), source }),
            None => Ok(()),
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
        match lost.is_empty() && still.is_empty() {
            true => cause,
            false => Error::Lost {
                ranges: lost.into_iter().collect(),
                still: still.into_iter().collect(),
                source: Box::new(cause),
            },
        }
    }

    /// Decides for each piece whether its pins are shared, and says why.
    fn choose_sources(&self, plan: &mut Plan, how: How<'_>) -> Vec<Note> {
        let Some(ioas) = self.members[plan.member].dma.ioas().filter(|_| how.sharing != Sharing::Never)
        else {
            return Vec::new();
        };
        let needed = plan.jobs.iter().map(|job| job.piece.span.length()).sum();
        let mut left = None;
        let mut notes = Vec::new();
        for job in &mut plan.jobs {
            let beyond = || how.beyond.and_then(|state| state.source(&job.piece, ioas));
            let Some(source) = self.source(&job.piece, ioas).or_else(beyond) else { continue };
            let left = *left.get_or_insert_with(memlock_left);
            let why = how.sharing.choose(job.piece.backing.memory.pages(), needed, left);
            notes.extend(why.map(|why| Note { span: job.piece.span, what: Noted::Shared(why) }));
            job.source = Some((source, why.is_some()));
        }
        notes
    }

    /// Where another container of the same iommufd has the piece's memory, all of it.
    fn source(&self, piece: &Piece, to: &Arc<Ioas>) -> Option<Source> {
        let ioases = self.members.iter().filter_map(|member| Some((member, member.dma.ioas()?)));
        let others: Vec<_> = ioases
            .filter(|(_, ioas)| !Arc::ptr_eq(ioas, to) && Arc::ptr_eq(ioas.context(), to.context()))
            .collect();
        if others.is_empty() {
            return None;
        }
        let length = piece.span.length();
        let places = self.sections.iter().filter_map(|(_, entry)| entry.section.find(&piece.backing, length));
        places.into_iter().find_map(|at| {
            let (_, ioas) = others.iter().find(|(member, _)| member.has(at, piece))?;
            Some(Source { ioas: Arc::clone(ioas), iova: at.start() })
        })
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

fn cut(entry: &Entry, span: Span, mapper: Mapper) -> Vec<Span> {
    match entry.section.kind() {
        Kind::Ram(backing) => mapper.cut(span, backing.memory.pages()),
        _ => vec![span],
    }
}

fn trimmed(entry: &Entry, wanted: &[Span]) -> Option<Note> {
    let span = entry.section.span();
    let what = match (entry.section.kind(), wanted) {
        _ if entry.withdrawn || entry.section.skipped().is_some() => return None,
        (Kind::Granules { .. }, _) => return None,
        (_, []) => Noted::Skipped(Skipped::SmallerThanPage),
        (_, [part]) if *part != span => Noted::Trimmed(*part),
        _ => return None,
    };
    Some(Note { span, what })
}

fn within_limit(member: &Member, needed: u64) -> Result<(), Error> {
    match member.dma.capabilities().max_mappings {
        Some(limit) if needed > u64::from(limit) => Err(Error::TooManyMappings { needed, limit }),
        _ => Ok(()),
    }
}
