//! [`Step`]: a random step on address spaces, and [`Runner`], which does the steps.
//!
//! The tests use them on containers in memory and, on the virtual host, on the kernel's.

use std::sync::Arc;

use passthru_vfio::address_space::{
    AddressSpace, Backing, Error, Memory, Note, NoteKind, Pages, Section, SectionKind, Span,
    Translation, VirtualIommu,
};
use passthru_vfio::container::{Access, Dma};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::expected::Expected;

/// Number of pages in which sections begin.
pub(crate) const PAGES: u64 = 24;
/// Number of pages that all sections lie in.
pub(crate) const END: u64 = PAGES + 8;
pub(crate) const PAGE: u64 = 0x1000;
/// Address of the first page.
pub(crate) const BASE: u64 = 1 << 24;

/// A step. Places are given by first page and number of pages.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Removes the sections at some places, if there are any, and adds others.
    Change {
        dels: Vec<(u64, u64)>,
        adds: Vec<(u64, u64, SectionContent)>,
    },
    Populate(u64, u64),
    Discard(u64, u64),
    Withdraw(usize),
    Restore(usize),
    Join,
    Leave,
    /// Maps pages in the virtual IOMMU.
    Map {
        at: u64,
        length: u64,
        target: u64,
    },
    /// Unmaps all pages of a place in the virtual IOMMU.
    Unmap(u64, u64),
    /// Replaces all mappings of the virtual IOMMU by every other one.
    Replay,
}

/// The kind of a section, with the index of its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SectionContent {
    Ram(usize),
    Granules(usize),
    Bar(usize),
    Rom,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let add = (place(), content()).prop_map(|((at, length), content)| (at, length, content));
    prop_oneof![
        8 => (vec(place(), 0..3), vec(add, 0..4))
            .prop_map(|(dels, adds)| Step::Change { dels, adds }),
        2 => place().prop_map(|(at, length)| Step::Populate(at, length)),
        2 => place().prop_map(|(at, length)| Step::Discard(at, length)),
        1 => any::<usize>().prop_map(Step::Withdraw),
        1 => any::<usize>().prop_map(Step::Restore),
        1 => select(vec![Step::Join, Step::Leave]),
        3 => (place(), 0..PAGES)
            .prop_map(|((at, length), target)| Step::Map { at, length, target }),
        1 => place().prop_map(|(at, length)| Step::Unmap(at, length)),
        1 => Just(Step::Replay),
    ]
}

fn place() -> impl Strategy<Value = (u64, u64)> {
    (0..PAGES, 1..=6_u64)
}

fn content() -> impl Strategy<Value = SectionContent> {
    prop_oneof![
        4 => (0..2_usize).prop_map(SectionContent::Ram),
        2 => (0..2_usize).prop_map(SectionContent::Granules),
        2 => (0..2_usize).prop_map(SectionContent::Bar),
        1 => Just(SectionContent::Rom),
    ]
}

pub(crate) fn pages(at: u64, length: u64) -> Span {
    Span::new(BASE + at * PAGE, length * PAGE).unwrap()
}

/// An address space with a virtual IOMMU over it, and the expected state of both.
#[derive(Debug)]
pub(crate) struct Runner {
    pub(crate) space: Arc<AddressSpace>,
    pub(crate) viommu: VirtualIommu,
    pub(crate) containers: Vec<Arc<dyn Dma>>,
    pub(crate) joined: Vec<bool>,
    pub(crate) memories: [Arc<Memory>; 2],
    pub(crate) expected: Expected,
    /// Whether a step could not be undone, or left mappings: then mappings may be missing or stale.
    pub(crate) broken: bool,
    /// Index of a container that left with mappings in it.
    pub(crate) abandoned: Option<usize>,
    /// Whether a note reported a section that could not be mapped.
    pub(crate) noted: bool,
    /// Number of mappings that shared their pins with another container.
    pub(crate) shared: usize,
}

impl Runner {
    /// Joins the first container, and the containers `behind` the virtual IOMMU.
    pub(crate) fn new(
        space: AddressSpace,
        containers: Vec<Arc<dyn Dma>>,
        behind: &[Arc<dyn Dma>],
    ) -> Self {
        let space = Arc::new(space);
        space.join(Arc::clone(&containers[0])).unwrap();
        let viommu = VirtualIommu::new(&space);
        for container in behind {
            viommu.space().join(Arc::clone(container)).unwrap();
        }
        let joined = (0..containers.len()).map(|index| index == 0).collect();
        let memories =
            [(); 2].map(|()| Arc::new(Memory::anonymous(END * PAGE, Pages::Base).unwrap()));
        Self {
            space,
            viommu,
            containers,
            joined,
            memories,
            expected: Expected::default(),
            broken: false,
            abandoned: None,
            noted: false,
            shared: 0,
        }
    }

    /// Does a step, and updates the expected state if it succeeds.
    pub(crate) fn step(&mut self, step: &Step) {
        let result = match step {
            Step::Change { dels, adds } => self.change(dels, adds),
            Step::Populate(at, length) => self.populate(*at, *length),
            Step::Discard(at, length) => self.discard(*at, *length),
            Step::Withdraw(index) => self.withdraw(*index),
            Step::Restore(index) => self.restore(*index),
            Step::Join => self.join(),
            Step::Leave => self.leave(),
            Step::Map { at, length, target } => self.map(*at, *length, *target),
            Step::Unmap(at, length) => self.unmap(*at, *length),
            Step::Replay => self.replay(),
        };
        self.broken |= matches!(result, Err(Error::Lost { .. } | Error::StillMapped { .. }));
    }

    /// Repairs all effects of failures. No call may fail any more.
    pub(crate) fn restore_all(&mut self) {
        self.noted = false;
        self.broken = false;
        if self.expected.sections.is_empty() {
            self.change(&[(0, END)], &[]).unwrap();
        } else {
            self.space.restore(Span::ALL).unwrap();
        }

        for section in self.expected.sections.values_mut() {
            section.withdrawn = false;
        }
        for page in 0..END {
            if self.expected.target_of(page).is_none() {
                self.viommu.unmap(pages(page, 1)).unwrap();
            }
        }
    }

    fn change(
        &mut self,
        dels: &[(u64, u64)],
        adds: &[(u64, u64, SectionContent)],
    ) -> Result<(), Error> {
        let mut change = self.space.begin();
        for (at, length) in dels {
            change.clear(pages(*at, *length));
        }
        for (at, length, content) in adds {
            change.add(self.section(*at, *length, *content));
        }
        let result = change.commit();
        let result = self.note(result);
        if is_done(&result) {
            self.expected.change(dels, adds);
        }
        result
    }

    fn section(&self, at: u64, length: u64, content: SectionContent) -> Section {
        let kind = match content {
            SectionContent::Ram(memory) => SectionKind::Ram(self.backing(memory, at)),
            SectionContent::Granules(memory) => SectionKind::Granules {
                backing: self.backing(memory, at),
                granule: PAGE,
            },
            SectionContent::Bar(memory) => SectionKind::Bar(self.backing(memory, at)),
            SectionContent::Rom => SectionKind::Rom,
        };
        Section::new(pages(at, length), kind, Access::ReadWrite).unwrap()
    }

    fn backing(&self, memory: usize, at: u64) -> Backing {
        Backing {
            memory: Arc::clone(&self.memories[memory]),
            offset: at * PAGE,
        }
    }

    fn populate(&mut self, at: u64, length: u64) -> Result<(), Error> {
        let result = self.space.populate(pages(at, length));
        let result = self.note(result);
        if is_done(&result) {
            self.expected.mark(at, length, true);
        }
        result
    }

    fn discard(&mut self, at: u64, length: u64) -> Result<(), Error> {
        let result = self.space.discard(pages(at, length));
        if is_done(&result) {
            self.expected.mark(at, length, false);
        }
        result
    }

    /// Returns the first page and the length of one of the sections, if there are any.
    fn choose_section(&self, index: usize) -> Option<(u64, u64)> {
        let count = self.expected.sections.len().max(1);
        let (at, section) = self.expected.sections.iter().nth(index % count)?;
        Some((*at, section.length))
    }

    fn withdraw(&mut self, index: usize) -> Result<(), Error> {
        let Some((at, length)) = self.choose_section(index) else {
            return Ok(());
        };
        let result = self.space.withdraw(pages(at, length));
        self.set_withdrawn(at, true, &result);
        result
    }

    fn restore(&mut self, index: usize) -> Result<(), Error> {
        let Some((at, length)) = self.choose_section(index) else {
            return Ok(());
        };
        let result = self.space.restore(pages(at, length));
        if let Ok(notes) = &result {
            self.noted |= is_missing(notes);
        }
        let result = result.map(|_| ());
        self.set_withdrawn(at, false, &result);
        result
    }

    fn set_withdrawn(&mut self, at: u64, withdrawn: bool, result: &Result<(), Error>) {
        if is_done(result) {
            let section = self.expected.sections.get_mut(&at);
            section.unwrap().withdrawn = withdrawn;
        }
    }

    fn map(&mut self, at: u64, length: u64, target: u64) -> Result<(), Error> {
        let result = self.viommu.map(translation(at, length, target));
        let result = self.note(result);
        if is_done(&result) {
            self.expected.unmap(at, length);
            self.expected.translations.insert(at, (length, target));
        }

        result
    }

    fn unmap(&mut self, at: u64, length: u64) -> Result<(), Error> {
        let result = self.viommu.unmap(pages(at, length));
        if is_done(&result) {
            self.expected.unmap(at, length);
        }
        result
    }

    fn replay(&mut self) -> Result<(), Error> {
        let mut kept = self.expected.translations.clone();
        let mut index = 0;
        kept.retain(|_, _| {
            index += 1;
            index % 2 == 1
        });
        let translations = kept
            .iter()
            .map(|(at, (length, target))| translation(*at, *length, *target));
        let result = self.viommu.replay(translations);
        let result = self.note(result);
        if is_done(&result) {
            self.expected.translations = kept;
        }
        result
    }

    /// Evaluates the notes of a result.
    fn note(&mut self, result: Result<Vec<Note>, Error>) -> Result<(), Error> {
        if let Ok(notes) | Err(Error::StillMapped { notes, .. }) = &result {
            self.noted |= is_missing(notes);
            self.shared += notes.iter().filter(|note| is_shared(note)).count();
        }
        result.map(|_| ())
    }

    fn join(&mut self) -> Result<(), Error> {
        let Some(index) = self.joined.iter().position(|joined| !joined) else {
            return Ok(());
        };
        let result = self.space.join(Arc::clone(&self.containers[index]));
        let result = self.note(result);
        self.joined[index] = result.is_ok();
        self.abandon(index, result)
    }

    fn leave(&mut self) -> Result<(), Error> {
        let Some(index) = self.joined.iter().rposition(|joined| *joined) else {
            return Ok(());
        };
        self.joined[index] = false;
        let result = self.space.leave(&self.containers[index]);
        self.abandon(index, result)
    }

    /// Marks a container as abandoned if mappings are left in it.
    fn abandon(&mut self, index: usize, result: Result<(), Error>) -> Result<(), Error> {
        if matches!(result, Err(Error::Lost { .. } | Error::StillMapped { .. })) {
            self.abandoned = Some(index);
            return Ok(());
        }
        result
    }
}

fn translation(at: u64, length: u64, target: u64) -> Translation {
    Translation {
        iova: pages(at, length),
        target: BASE + target * PAGE,
        access: Access::ReadWrite,
    }
}

fn is_shared(note: &Note) -> bool {
    matches!(&note.kind, NoteKind::Shared(_))
        || matches!(&note.kind, NoteKind::BehindViommu(note) if is_shared(note))
}

/// Returns whether a note reports a section that could not be mapped.
pub(crate) fn is_missing(notes: &[Note]) -> bool {
    notes.iter().any(|note| match &note.kind {
        NoteKind::BehindViommu(note) => matches!(note.kind, NoteKind::NotMapped(_)),
        kind => matches!(kind, NoteKind::NotMapped(_)),
    })
}

/// Returns whether the change is made, even if former mappings remain.
fn is_done(result: &Result<(), Error>) -> bool {
    matches!(result, Ok(()) | Err(Error::StillMapped { .. }))
}
