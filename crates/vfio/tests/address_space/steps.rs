//! Random sequences of changes, and what must be mapped after each: for a container in memory, and
//! for the kernel's.

use super::expected::Expected;
use passthru_vfio::address_space::{
    AddressSpace, Backing, Error, Kind, Memory, Note, Noted, Pages, Section, Span, Translation,
    VirtualIommu,
};
use passthru_vfio::container::{Access, Dma};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::sync::Arc;

/// Sections begin in so many pages.
pub(crate) const PAGES: u64 = 24;
/// Sections may end after that, but not here.
pub(crate) const END: u64 = PAGES + 8;
pub(crate) const PAGE: u64 = 0x1000;
/// The address of the first page.
pub(crate) const BASE: u64 = 1 << 24;

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Deletes the sections here if there are any, and adds these.
    Change {
        dels: Vec<(u64, u64)>,
        adds: Vec<(u64, u64, What)>,
    },
    Populate(u64, u64),
    Discard(u64, u64),
    Withdraw(usize),
    Restore(usize),
    Join,
    Leave,
    /// The guest maps pages in the virtual IOMMU, to where some of its memory starts.
    Map {
        at: u64,
        length: u64,
        target: u64,
    },
    /// It unmaps what is there.
    Unmap(u64, u64),
    /// It says anew which of its mappings there are: every other one.
    Replay,
}

/// What a section is, of which memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Ram(usize),
    Granules(usize),
    Bar(usize),
    Rom,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let add = (place(), what()).prop_map(|((at, length), what)| (at, length, what));
    prop_oneof![
        8 => (vec(place(), 0..3), vec(add, 0..4)).prop_map(|(dels, adds)| Step::Change { dels, adds }),
        2 => place().prop_map(|(at, length)| Step::Populate(at, length)),
        2 => place().prop_map(|(at, length)| Step::Discard(at, length)),
        1 => any::<usize>().prop_map(Step::Withdraw),
        1 => any::<usize>().prop_map(Step::Restore),
        1 => select(vec![Step::Join, Step::Leave]),
        3 => (place(), 0..PAGES).prop_map(|((at, length), target)| Step::Map { at, length, target }),
        1 => place().prop_map(|(at, length)| Step::Unmap(at, length)),
        1 => Just(Step::Replay),
    ]
}

fn place() -> impl Strategy<Value = (u64, u64)> {
    (0..PAGES, 1..=6_u64)
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        4 => (0..2_usize).prop_map(What::Ram),
        2 => (0..2_usize).prop_map(What::Granules),
        2 => (0..2_usize).prop_map(What::Bar),
        1 => Just(What::Rom),
    ]
}

pub(crate) fn pages(at: u64, length: u64) -> Span {
    Span::new(BASE + at * PAGE, length * PAGE).unwrap()
}

/// An address space to which the steps are done, with a virtual IOMMU over it, and what is expected
/// of both.
#[derive(Debug)]
pub(crate) struct Runner {
    pub(crate) space: Arc<AddressSpace>,
    pub(crate) viommu: VirtualIommu,
    pub(crate) containers: Vec<Arc<dyn Dma>>,
    pub(crate) joined: Vec<bool>,
    pub(crate) memories: [Arc<Memory>; 2],
    pub(crate) expected: Expected,
    /// Whether something could not be undone or unmapped: then only what is mapped must be right,
    /// not all that should be.
    pub(crate) broken: bool,
    /// A container that left with mappings in it, which belongs to nobody now.
    pub(crate) abandoned: Option<usize>,
    /// Whether something could not be mapped behind the virtual IOMMU, which was noted.
    pub(crate) noted: bool,
    /// How many pieces shared their pins with another container.
    pub(crate) shared: usize,
}

impl Runner {
    /// Begins with the first of the containers, and with those behind the virtual IOMMU.
    pub(crate) fn new(
        space: AddressSpace,
        containers: Vec<Arc<dyn Dma>>,
        behind: &[Arc<dyn Dma>],
    ) -> Self {
        let space = Arc::new(space);
        space.join(Arc::clone(&containers[0])).unwrap();
        let viommu = VirtualIommu::new(&space);
        behind
            .iter()
            .for_each(|container| drop(viommu.space().join(Arc::clone(container)).unwrap()));
        let joined = (0..containers.len()).map(|index| index == 0).collect();
        let memories =
            [(); 2].map(|()| Arc::new(Memory::anonymous(END * PAGE, Pages::Base).unwrap()));
        let expected = Expected::default();
        Self {
            space,
            viommu,
            containers,
            joined,
            memories,
            expected,
            broken: false,
            abandoned: None,
            noted: false,
            shared: 0,
        }
    }

    pub(crate) fn step(&mut self, step: &Step) {
        let result = match step {
            Step::Change { dels, adds } => self.change(dels, adds),
            Step::Populate(at, length) => self.populate(*at, *length),
            Step::Discard(at, length) => self.discard(*at, *length),
            Step::Withdraw(index) => self.withdraw(*index, true),
            Step::Restore(index) => self.withdraw(*index, false),
            Step::Join => self.join(),
            Step::Leave => self.leave(),
            Step::Map { at, length, target } => self.map(*at, *length, *target),
            Step::Unmap(at, length) => self.unmap(*at, *length),
            Step::Replay => self.replay(),
        };
        self.broken |= matches!(result, Err(Error::Lost { .. } | Error::StillMapped { .. }));
    }

    /// Once nothing fails any more, all of it can be made right.
    pub(crate) fn restore_all(&mut self) {
        (self.noted, self.broken) = (false, false);
        if self.expected.sections.is_empty() {
            self.change(&[(0, END)], &[]).unwrap()
        } else {
            drop(self.space.restore(Span::ALL).unwrap())
        }
        self.expected
            .sections
            .values_mut()
            .for_each(|section| section.withdrawn = false);
        for page in (0..END).filter(|page| !self.expected.is_translated(*page)) {
            self.viommu.unmap(pages(page, 1)).unwrap();
        }
    }

    fn change(&mut self, dels: &[(u64, u64)], adds: &[(u64, u64, What)]) -> Result<(), Error> {
        let mut change = self.space.begin();
        for (at, length) in dels {
            change.clear(pages(*at, *length));
        }
        for (at, length, what) in adds {
            change.add(self.section(*at, *length, *what));
        }
        let result = change.commit();
        let result = self.note(result);
        if is_done(&result) {
            self.expected.change(dels, adds);
        }
        result
    }

    fn section(&self, at: u64, length: u64, what: What) -> Section {
        let part = |memory: usize| Backing {
            memory: Arc::clone(&self.memories[memory]),
            offset: at * PAGE,
        };
        let kind = match what {
            What::Ram(memory) => Kind::Ram(part(memory)),
            What::Granules(memory) => Kind::Granules {
                backing: part(memory),
                granule: PAGE,
            },
            What::Bar(memory) => Kind::Bar(part(memory)),
            What::Rom => Kind::Rom,
        };
        Section::new(pages(at, length), kind, Access::ReadWrite).unwrap()
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

    fn withdraw(&mut self, index: usize, withdrawn: bool) -> Result<(), Error> {
        let count = self.expected.sections.len().max(1);
        let Some((at, section)) = self.expected.sections.iter_mut().nth(index % count) else {
            return Ok(());
        };
        let place = pages(*at, section.length);
        let result = if withdrawn {
            self.space.withdraw(place)
        } else {
            self.space
                .restore(place)
                .map(|notes| self.noted |= missing(&notes))
        };
        if is_done(&result) {
            section.withdrawn = withdrawn;
        }
        result
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
        let kept: Vec<_> = self
            .expected
            .translations
            .iter()
            .step_by(2)
            .map(|(at, to)| (*at, *to))
            .collect();
        let all = kept
            .iter()
            .map(|(at, (length, target))| translation(*at, *length, *target));
        let result = self.viommu.replay(all);
        let result = self.note(result);
        if is_done(&result) {
            self.expected.translations = kept.into_iter().collect();
        }
        result
    }

    fn note(&mut self, result: Result<Vec<Note>, Error>) -> Result<(), Error> {
        if let Ok(notes) | Err(Error::StillMapped { notes, .. }) = &result {
            self.noted |= missing(notes);
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
    matches!(&note.what, Noted::Shared(_))
        || matches!(&note.what, Noted::Behind(note) if is_shared(note))
}

/// Whether something is missing behind the virtual IOMMU.
pub(crate) fn missing(notes: &[Note]) -> bool {
    let is_missing = |note: &Note| matches!(note.what, Noted::NotMapped(_));
    notes.iter().any(|note| {
        is_missing(note) || matches!(&note.what, Noted::Behind(note) if is_missing(note))
    })
}

/// Whether the change is made, though perhaps something old could not be unmapped.
fn is_done(result: &Result<(), Error>) -> bool {
    matches!(result, Ok(()) | Err(Error::StillMapped { .. }))
}
