//! What must be mapped after steps, by their results.

use super::steps::{What, pages};
use passthru_vfio::address_space::Span;
use std::collections::BTreeMap;

/// The sections that there should be, by their first page.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(super) sections: BTreeMap<u64, Present>,
    /// The mappings of the virtual IOMMU, by their first page: how long they are, and the page that
    /// they lead to.
    pub(super) translations: BTreeMap<u64, (u64, u64)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Present {
    pub(super) length: u64,
    what: What,
    populated: Vec<u64>,
    pub(super) withdrawn: bool,
}

/// What should be mapped at a page: the same page of one of the memories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Nothing,
    This(usize),
    Perhaps(usize),
}

impl Expected {
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.sections
            .iter()
            .map(|(at, section)| pages(*at, section.length))
            .collect()
    }

    pub(crate) fn at(&self, page: u64) -> Wanted {
        let before = self.sections.range(..=page).next_back();
        let Some((_, section)) = before.filter(|(at, section)| page < *at + section.length) else {
            return Wanted::Nothing;
        };
        match section.what {
            _ if section.withdrawn => Wanted::Nothing,
            What::Ram(memory) => Wanted::This(memory),
            What::Granules(memory) if section.populated.contains(&page) => Wanted::This(memory),
            What::Bar(memory) => Wanted::Perhaps(memory),
            What::Granules(_) | What::Rom => Wanted::Nothing,
        }
    }

    /// What should be mapped at a page behind the virtual IOMMU: which page of which memory.
    pub(crate) fn behind(&self, page: u64) -> (u64, Wanted) {
        let before = self
            .translations
            .range(..=page)
            .next_back()
            .filter(|_| self.is_translated(page));
        match before {
            Some((at, (_, target))) => (target + page - at, self.at(target + page - at)),
            None => (page, Wanted::Nothing),
        }
    }

    pub(super) fn is_translated(&self, page: u64) -> bool {
        let before = self.translations.range(..=page).next_back();
        before.is_some_and(|(at, (length, _))| page < at + length)
    }

    pub(super) fn unmap(&mut self, at: u64, length: u64) {
        self.translations
            .retain(|start, _| !(at..at + length).contains(start));
    }

    pub(super) fn change(&mut self, dels: &[(u64, u64)], adds: &[(u64, u64, What)]) {
        let deleted = |at: u64, section: &Present| {
            let place = pages(at, section.length);
            dels.iter()
                .any(|(start, count)| pages(*start, *count).contains(place))
        };
        let former = std::mem::take(&mut self.sections);
        let (gone, kept): (BTreeMap<_, _>, _) = former
            .into_iter()
            .partition(|(at, section)| deleted(*at, section));
        self.sections = kept;
        for (at, length, what) in adds {
            let same = gone
                .get(at)
                .filter(|section| (section.length, section.what) == (*length, *what));
            let new = Present {
                length: *length,
                what: *what,
                populated: Vec::new(),
                withdrawn: false,
            };
            self.sections.insert(*at, same.cloned().unwrap_or(new));
        }
    }

    pub(super) fn mark(&mut self, at: u64, length: u64, populated: bool) {
        for (start, section) in &mut self.sections {
            if pages(*start, section.length).contains(pages(at, length)) {
                section
                    .populated
                    .retain(|page| !(at..at + length).contains(page));
                section
                    .populated
                    .extend((at..at + length).filter(|_| populated));
            }
        }
    }
}
