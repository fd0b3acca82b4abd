//! [`Entry`]: a section as its address space knows it, and what of it should be mapped where.

use super::mapper::Mapper;
use super::member::Piece;
use super::note::{Note, Noted};
use super::section::{Kind, Section, Skipped};
use super::{Error, Span};
use crate::container::IovaRanges;
use std::collections::BTreeSet;

/// A section as the address space knows it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) section: Section,
    /// Where its populated granules start.
    pub(super) populated: BTreeSet<u64>,
    /// Whether it is kept from devices for the time being.
    pub(super) withdrawn: bool,
}

impl Entry {
    pub(super) fn new(section: Section) -> Self {
        Self {
            section,
            populated: BTreeSet::new(),
            withdrawn: false,
        }
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
                starts
                    .filter_map(|start| Span::new(*start, *granule).ok())
                    .collect()
            }
            _ => span.aligned(alignment).into_iter().collect(),
        }
    }

    /// The parts within a span that should be mapped and can be; a BAR that cannot be is noted.
    pub(super) fn wanted_of(
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
                notes.push(Note {
                    span: self.section.span(),
                    what: Noted::NotMapped(error),
                });
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a mapping is of this section as it is, and should be there.
    pub(super) fn wants(&self, piece: &Piece) -> bool {
        let of = &self.section;
        let is_there = match of.kind() {
            Kind::Granules { .. } => self.populated.contains(&piece.span.start()),
            _ => true,
        };
        let is_same = || of.find(&piece.backing, piece.span.length()) == Some(piece.span);
        is_there && !self.withdrawn && of.access() == piece.access && is_same()
    }

    /// Cuts a part into what is mapped at a time.
    pub(super) fn cut(&self, part: Span, mapper: Mapper) -> Vec<Span> {
        match self.section.kind() {
            Kind::Ram(backing) => mapper.cut(part, backing.memory.pages()),
            _ => vec![part],
        }
    }

    pub(super) fn piece(&self, span: Span) -> Option<Piece> {
        let mut backing = self.section.kind().backing()?.clone();
        backing.offset += span.start() - self.section.span().start();
        let must = !matches!(self.section.kind(), Kind::Bar(_));
        Some(Piece {
            span,
            backing,
            access: self.section.access(),
            must,
        })
    }

    /// Whether the IOMMU could map it, by where it lies.
    fn check(&self, wanted: &[Span], usable: &IovaRanges) -> Result<(), Error> {
        let span = self.section.span();
        let start =
            |backing: &super::Backing| match (backing.memory.file(), backing.memory.address()) {
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
            Some(wanted) => Err(Error::Outside {
                span: *wanted,
                usable: usable.ranges.clone(),
            }),
            None => Ok(()),
        }
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
