//! [`Expected`]: the mappings that must exist after a sequence of steps.

use std::collections::BTreeMap;

use passthru_vfio::address_space::Span;

use super::steps::{SectionContent, pages};

/// The expected sections and mappings of a virtual IOMMU.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// Sections by their first page.
    pub(super) sections: BTreeMap<u64, ExpectedSection>,
    /// Mappings of the virtual IOMMU by their first page: number of pages, and target page.
    pub(super) translations: BTreeMap<u64, (u64, u64)>,
}

#[derive(Clone, Debug)]
pub(crate) struct ExpectedSection {
    pub(super) length: u64,
    content: SectionContent,
    populated: Vec<u64>,
    pub(super) withdrawn: bool,
}

/// The expected mapping of a page, to the same page of one of the memories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExpectedPage {
    Unmapped,
    Mapped(usize),
    /// A BAR, which need not be mapped.
    MaybeMapped(usize),
}

impl Expected {
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.sections
            .iter()
            .map(|(at, section)| pages(*at, section.length))
            .collect()
    }

    pub(crate) fn at(&self, page: u64) -> ExpectedPage {
        let before = self.sections.range(..=page).next_back();
        let Some((_, section)) = before.filter(|(at, section)| page < *at + section.length) else {
            return ExpectedPage::Unmapped;
        };
        match section.content {
            _ if section.withdrawn => ExpectedPage::Unmapped,
            SectionContent::Ram(memory) => ExpectedPage::Mapped(memory),
            SectionContent::Granules(memory) if section.populated.contains(&page) => {
                ExpectedPage::Mapped(memory)
            }
            SectionContent::Bar(memory) => ExpectedPage::MaybeMapped(memory),
            SectionContent::Granules(_) | SectionContent::Rom => ExpectedPage::Unmapped,
        }
    }

    /// Returns the target page of a page behind the virtual IOMMU, and its expected mapping.
    pub(crate) fn behind(&self, page: u64) -> (u64, ExpectedPage) {
        match self.target_of(page) {
            Some(target) => (target, self.at(target)),
            None => (page, ExpectedPage::Unmapped),
        }
    }

    /// Returns the page that a page behind the virtual IOMMU leads to.
    pub(super) fn target_of(&self, page: u64) -> Option<u64> {
        let (at, (length, target)) = self.translations.range(..=page).next_back()?;
        (page < at + length).then_some(target + page - at)
    }

    pub(super) fn unmap(&mut self, at: u64, length: u64) {
        self.translations
            .retain(|start, _| !(at..at + length).contains(start));
    }

    /// Removes and adds sections. A section that is added again unchanged keeps its state.
    pub(super) fn change(&mut self, dels: &[(u64, u64)], adds: &[(u64, u64, SectionContent)]) {
        let mut removed = BTreeMap::new();
        for (at, section) in std::mem::take(&mut self.sections) {
            let place = pages(at, section.length);
            let is_removed = dels
                .iter()
                .any(|(start, count)| pages(*start, *count).contains(place));
            if is_removed {
                removed.insert(at, section);
            } else {
                self.sections.insert(at, section);
            }
        }

        for (at, length, content) in adds {
            let unchanged = removed
                .remove(at)
                .filter(|section| section.length == *length && section.content == *content);
            let section = unchanged.unwrap_or(ExpectedSection {
                length: *length,
                content: *content,
                populated: Vec::new(),
                withdrawn: false,
            });
            self.sections.insert(*at, section);
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
