//! Random sequences of changes, and what must be mapped after each: for a container in memory, and for the kernel's.

use passthru_vfio::address_space::{AddressSpace, Backing, Error, Kind, Memory, Pages, Section, Span};
use passthru_vfio::container::{Access, Dma};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;
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

/// An address space to which the steps are done, and what is expected of it.
#[derive(Debug)]
pub(crate) struct Runner {
    pub(crate) space: AddressSpace,
    pub(crate) containers: Vec<Arc<dyn Dma>>,
    pub(crate) joined: Vec<bool>,
    pub(crate) memories: [Arc<Memory>; 2],
    pub(crate) expected: Expected,
    /// Whether something could not be undone or unmapped: then only what is mapped must be right, not all that should be.
    pub(crate) broken: bool,
    /// A container that left with mappings in it, which belongs to nobody now.
    pub(crate) abandoned: Option<usize>,
}

impl Runner {
    /// Begins with the first of the containers.
    pub(crate) fn new(containers: Vec<Arc<dyn Dma>>) -> Self {
        let space = AddressSpace::default();
        space.join(Arc::clone(&containers[0])).unwrap();
        let joined = (0..containers.len()).map(|index| index == 0).collect();
        let memories = [(); 2].map(|()| Arc::new(Memory::anonymous(END * PAGE, Pages::Base).unwrap()));
        let expected = Expected::default();
        Self { space, containers, joined, memories, expected, broken: false, abandoned: None }
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
        };
        self.broken |= matches!(result, Err(Error::Lost { .. } | Error::StillMapped { .. }));
    }

    /// Once nothing fails any more, all of it can be made right.
    pub(crate) fn restore_all(&mut self) {
        if !self.expected.sections.is_empty() {
            self.space.restore(Span::ALL).unwrap();
        }
        self.expected.sections.values_mut().for_each(|section| section.withdrawn = false);
    }

    fn change(&mut self, dels: &[(u64, u64)], adds: &[(u64, u64, What)]) -> Result<(), Error> {
        let mut change = self.space.begin();
        for (at, length) in dels {
            change.clear(pages(*at, *length));
        }
        for (at, length, what) in adds {
            change.add(self.section(*at, *length, *what));
        }
        let result = change.commit().map(|_| ());
        if is_done(&result) {
            self.expected.change(dels, adds);
        }
        result
    }

    fn section(&self, at: u64, length: u64, what: What) -> Section {
        let part = |memory: usize| Backing { memory: Arc::clone(&self.memories[memory]), offset: at * PAGE };
        let kind = match what {
            What::Ram(memory) => Kind::Ram(part(memory)),
            What::Granules(memory) => Kind::Granules { backing: part(memory), granule: PAGE },
            What::Bar(memory) => Kind::Bar(part(memory)),
            What::Rom => Kind::Rom,
        };
        Section::new(pages(at, length), kind, Access::ReadWrite).unwrap()
    }

    fn populate(&mut self, at: u64, length: u64) -> Result<(), Error> {
        let result = self.space.populate(pages(at, length)).map(|_| ());
        if result.is_ok() {
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
        let Some((at, section)) = self.expected.sections.iter_mut().nth(index % count) else { return Ok(()) };
        let place = pages(*at, section.length);
        let result = match withdrawn {
            true => self.space.withdraw(place),
            false => self.space.restore(place).map(|_| ()),
        };
        if is_done(&result) {
            section.withdrawn = withdrawn;
        }
        result
    }

    fn join(&mut self) -> Result<(), Error> {
        let Some(index) = self.joined.iter().position(|joined| !joined) else { return Ok(()) };
        let result = self.space.join(Arc::clone(&self.containers[index])).map(|_| ());
        self.joined[index] = result.is_ok();
        self.abandon(index, result)
    }

    fn leave(&mut self) -> Result<(), Error> {
        let Some(index) = self.joined.iter().rposition(|joined| *joined) else { return Ok(()) };
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

/// Whether the change is made, though perhaps something old could not be unmapped.
fn is_done(result: &Result<(), Error>) -> bool {
    matches!(result, Ok(()) | Err(Error::StillMapped { .. }))
}

/// The sections that there should be, by their first page.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    sections: BTreeMap<u64, Present>,
}

#[derive(Clone, Debug)]
struct Present {
    length: u64,
    what: What,
    populated: Vec<u64>,
    withdrawn: bool,
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
        self.sections.iter().map(|(at, section)| pages(*at, section.length)).collect()
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

    fn change(&mut self, dels: &[(u64, u64)], adds: &[(u64, u64, What)]) {
        let deleted = |at: u64, section: &Present| {
            let place = pages(at, section.length);
            dels.iter().any(|(start, count)| pages(*start, *count).contains(place))
        };
        let former = std::mem::take(&mut self.sections);
        let (gone, kept): (BTreeMap<_, _>, _) =
            former.into_iter().partition(|(at, section)| deleted(*at, section));
        self.sections = kept;
        for (at, length, what) in adds {
            let same = gone.get(at).filter(|section| (section.length, section.what) == (*length, *what));
            let new = Present { length: *length, what: *what, populated: Vec::new(), withdrawn: false };
            self.sections.insert(*at, same.cloned().unwrap_or(new));
        }
    }

    fn mark(&mut self, at: u64, length: u64, populated: bool) {
        for (start, section) in &mut self.sections {
            if pages(*start, section.length).contains(pages(at, length)) {
                section.populated.retain(|page| !(at..at + length).contains(page));
                section.populated.extend((at..at + length).filter(|_| populated));
            }
        }
    }
}
