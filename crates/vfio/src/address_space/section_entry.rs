//! [`SectionEntry`]: a section in its address space, and the parts of it to map.

use std::collections::BTreeSet;

use super::joined_container::MappedRange;
use super::mapper::Mapper;
use super::note::{Note, NoteKind};
use super::section::{Backing, Section, SectionKind, SkipReason};
use super::{Error, Span};
use crate::container::IovaRanges;

/// A section in its address space.
#[derive(Clone, Debug)]
pub(super) struct SectionEntry {
    pub(super) section: Section,
    /// First addresses of the populated granules.
    pub(super) populated: BTreeSet<u64>,
    /// Whether the section is kept from devices until it is restored.
    pub(super) withdrawn: bool,
}

impl SectionEntry {
    pub(super) fn new(section: Section) -> Self {
        Self {
            section,
            populated: BTreeSet::new(),
            withdrawn: false,
        }
    }

    /// Returns whether no part of the section is mapped, by rule or since it is withdrawn.
    fn is_hidden(&self) -> bool {
        self.withdrawn || self.section.skip_reason().is_some()
    }

    /// Returns the parts to map: whole pages of `alignment`, or the populated granules that start
    /// in `within`.
    fn wanted_parts(&self, within: Span, alignment: u64) -> Vec<Span> {
        if self.is_hidden() {
            return Vec::new();
        }
        let SectionKind::Granules { granule, .. } = self.section.kind() else {
            return Vec::from_iter(self.section.span().aligned(alignment));
        };
        self.populated
            .range(within.start()..=within.last())
            .filter_map(|start| Span::new(*start, *granule).ok())
            .collect()
    }

    /// Returns the parts to map, as [`SectionEntry::wanted_parts`], if the IOMMU can map them.
    ///
    /// A BAR that the IOMMU cannot map is noted, and has no parts. For other kinds this is an
    /// error.
    pub(super) fn mappable_parts(
        &self,
        within: Span,
        usable: &IovaRanges,
        notes: &mut Vec<Note>,
    ) -> Result<Vec<Span>, Error> {
        let wanted = self.wanted_parts(within, usable.alignment);
        notes.extend(self.trim_note(&wanted));
        match self.check_mappable(&wanted, usable) {
            Ok(()) => Ok(wanted),
            Err(error) if matches!(self.section.kind(), SectionKind::Bar(_)) => {
                notes.push(Note {
                    span: self.section.span(),
                    kind: NoteKind::NotMapped(error),
                });
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// Returns whether this section, as it is now, should have this mapping.
    pub(super) fn wants(&self, mapped: &MappedRange) -> bool {
        let section = &self.section;
        if self.withdrawn || section.access() != mapped.access {
            return false;
        }
        let is_granules = matches!(section.kind(), SectionKind::Granules { .. });
        if is_granules && !self.populated.contains(&mapped.span.start()) {
            return false;
        }
        section.span_of(&mapped.backing, mapped.span.length()) == Some(mapped.span)
    }

    /// Cuts a part into the ranges that one call each maps.
    pub(super) fn cut(&self, part: Span, mapper: Mapper) -> Vec<Span> {
        match self.section.kind() {
            SectionKind::Ram(backing) => mapper.cut(part, backing.memory.pages()),
            _ => vec![part],
        }
    }

    /// Returns the mapping of a part; `None` for kinds that are never mapped.
    pub(super) fn mapped_range(&self, span: Span) -> Option<MappedRange> {
        let mut backing = self.section.kind().backing()?.clone();
        backing.offset += span.start() - self.section.span().start();
        let is_required = !matches!(self.section.kind(), SectionKind::Bar(_));
        Some(MappedRange {
            span,
            backing,
            access: self.section.access(),
            is_required,
        })
    }

    /// Checks the alignment and the addresses of the wanted parts.
    fn check_mappable(&self, wanted: &[Span], usable: &IovaRanges) -> Result<(), Error> {
        let span = self.section.span();
        let alignment = usable.alignment;
        let start = match self.section.kind().backing() {
            Some(backing) => alignment_start(backing),
            None => span.start(),
        };
        if !wanted.is_empty() && start % alignment != span.start() % alignment {
            return Err(Error::Misaligned { span, alignment });
        }
        for part in wanted {
            let is_usable = usable
                .ranges
                .iter()
                .any(|range| range.contains(&part.start()) && range.contains(&part.last()));
            if !is_usable {
                return Err(Error::UnusableIova {
                    span: *part,
                    usable: usable.ranges.clone(),
                });
            }
        }

        Ok(())
    }

    /// Returns a note if only the whole pages of the section are mapped, or none at all.
    fn trim_note(&self, wanted: &[Span]) -> Option<Note> {
        let span = self.section.span();
        if self.is_hidden() || matches!(self.section.kind(), SectionKind::Granules { .. }) {
            return None;
        }
        let kind = match wanted {
            [] => NoteKind::Skipped(SkipReason::SmallerThanPage),
            [part] if *part != span => NoteKind::Trimmed(*part),
            _ => return None,
        };
        Some(Note { span, kind })
    }
}

/// Returns the address, or the offset in the file, that must be aligned as the IOVA is.
fn alignment_start(backing: &Backing) -> u64 {
    let Backing { memory, offset } = backing;
    if let Some(address) = memory.address() {
        return address as u64 + offset;
    }
    match memory.file() {
        Some((_, start)) => start + offset,
        None => *offset,
    }
}
