//! Random sequences of changes, with random refusals of the containers, against what must be mapped then.

use crate::model::{self, Model, Target};
use crate::{PAGE, backing, memory, span};
use passthru_vfio::address_space::{AddressSpace, Error, Kind, Memory, Section, Span};
use passthru_vfio::container::{Access, Dma};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;
use std::sync::Arc;

const PAGES: u64 = 24;

#[derive(Clone, Debug)]
enum Step {
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Ram(usize),
    Granules(usize),
    Bar(usize),
    Rom,
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        4 => (0..2_usize).prop_map(What::Ram),
        2 => (0..2_usize).prop_map(What::Granules),
        2 => (0..2_usize).prop_map(What::Bar),
        1 => Just(What::Rom),
    ]
}

fn place() -> impl Strategy<Value = (u64, u64)> {
    (0..PAGES, 1..=6_u64)
}

fn step() -> impl Strategy<Value = Step> {
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

/// A step, and the calls of each container that fail in it.
fn steps() -> impl Strategy<Value = Vec<(Step, [u64; 2])>> {
    let failures =
        prop_oneof![3 => Just(0_u64), 1 => (0..8_u32).prop_map(|call| 1 << call), 1 => any::<u64>()];
    vec((step(), [failures.clone(), failures]), 1..24)
}

/// What a test expects: what the address space says of its sections, and what should be mapped of them.
struct Expected {
    /// By their first page: length, what, populated pages, whether it is withdrawn.
    sections: BTreeMap<u64, (u64, What, Vec<u64>, bool)>,
}

struct Bench {
    space: AddressSpace,
    models: [Arc<Model>; 2],
    joined: [bool; 2],
    memories: [Arc<Memory>; 2],
    expected: Expected,
    /// Whether something could not be undone or unmapped: then only what is mapped must be right, not all that should be.
    broken: bool,
    /// Whether a container was left with mappings, whose memory is then never freed.
    leaked: bool,
}

impl Bench {
    fn new() -> Self {
        let length = (PAGES + 8) * PAGE;
        let bench = Self {
            space: AddressSpace::default(),
            models: [model::model(), model::model()],
            joined: [true, false],
            memories: [memory(length), memory(length)],
            expected: Expected { sections: BTreeMap::new() },
            broken: false,
            leaked: false,
        };
        bench.space.join(bench.container(0)).unwrap();
        bench
    }

    fn container(&self, index: usize) -> Arc<dyn Dma> {
        Arc::clone(&self.models[index]) as Arc<dyn Dma>
    }

    fn section(&self, at: u64, length: u64, what: What) -> Section {
        let part = |memory: usize| {
            let mut backing = backing(&self.memories[memory]);
            backing.offset = at * PAGE;
            backing
        };
        let kind = match what {
            What::Ram(memory) => Kind::Ram(part(memory)),
            What::Granules(memory) => Kind::Granules { backing: part(memory), granule: PAGE },
            What::Bar(memory) => Kind::Bar(part(memory)),
            What::Rom => Kind::Rom,
        };
        Section::new(pages(at, length), kind, Access::ReadWrite).unwrap()
    }

    fn step(&mut self, step: &Step) {
        let result = match step {
            Step::Change { dels, adds } => self.change(dels, adds),
            Step::Populate(at, length) => {
                let result = self.space.populate(pages(*at, *length)).map(|_| ());
                if result.is_ok() {
                    self.expected.mark(*at, *length, true);
                }
                result
            }
            Step::Discard(at, length) => {
                let result = self.space.discard(pages(*at, *length));
                if matches!(result, Ok(()) | Err(Error::StillMapped { .. })) {
                    self.expected.mark(*at, *length, false);
                }
                result
            }
            Step::Withdraw(index) => self.withdraw(*index, true),
            Step::Restore(index) => self.withdraw(*index, false),
            Step::Join => self.join(),
            Step::Leave => self.leave(),
        };
        self.broken |= matches!(result, Err(Error::Lost { .. } | Error::StillMapped { .. }));
    }

    fn change(&mut self, dels: &[(u64, u64)], adds: &[(u64, u64, What)]) -> Result<(), Error> {
        let mut change = self.space.begin();
        dels.iter().for_each(|(at, length)| {
            change.clear(pages(*at, *length));
        });
        adds.iter().for_each(|(at, length, what)| {
            change.add(self.section(*at, *length, *what));
        });
        let result = change.commit().map(|_| ());
        if matches!(result, Ok(()) | Err(Error::StillMapped { .. })) {
            self.expected.change(dels, adds);
        }
        result
    }

    fn withdraw(&mut self, index: usize, withdrawn: bool) -> Result<(), Error> {
        let Some(at) =
            self.expected.sections.keys().nth(index % self.expected.sections.len().max(1)).copied()
        else {
            return Ok(());
        };
        let section = self.expected.sections.get_mut(&at).unwrap();
        let place = pages(at, section.0);
        let result = match withdrawn {
            true => self.space.withdraw(place),
            false => self.space.restore(place).map(|_| ()),
        };
        if matches!(result, Ok(()) | Err(Error::StillMapped { .. })) {
            section.3 = withdrawn;
        }
        result
    }

    fn join(&mut self) -> Result<(), Error> {
        let Some(index) = self.joined.iter().position(|joined| !joined) else { return Ok(()) };
        let result = self.space.join(self.container(index)).map(|_| ());
        self.joined[index] = result.is_ok();
        self.discard_broken(index, result)
    }

    fn leave(&mut self) -> Result<(), Error> {
        let Some(index) = self.joined.iter().rposition(|joined| *joined) else { return Ok(()) };
        self.joined[index] = false;
        let result = self.space.leave(&self.container(index));
        self.discard_broken(index, result)
    }

    /// A container in which mappings were left belongs to nobody: another one takes its place.
    fn discard_broken(&mut self, index: usize, result: Result<(), Error>) -> Result<(), Error> {
        if result.is_err() && !self.models[index].spans().is_empty() {
            self.models[index] = model::model();
            self.leaked = true;
            return Ok(());
        }
        result
    }

    /// Checks the sections, the records, and what a device would find at each page.
    fn check(&self) -> Result<(), TestCaseError> {
        let sections: Vec<_> = self.space.sections().iter().map(Section::span).collect();
        let expected: Vec<_> =
            self.expected.sections.iter().map(|(at, section)| pages(*at, section.0)).collect();
        prop_assert_eq!(sections, expected);
        for index in 0..2 {
            if !self.joined[index] {
                prop_assert!(self.models[index].spans().is_empty());
                continue;
            }
            let recorded = self.space.mappings(&self.container(index)).unwrap();
            prop_assert_eq!(recorded, self.models[index].spans());
            if self.broken {
                continue;
            }
            for page in 0..PAGES + 8 {
                let (found, wanted) = (self.models[index].at(page * PAGE), self.expected.at(page));
                let target = |memory: usize| {
                    Target::Address(self.memories[memory].address().unwrap() as u64 + page * PAGE)
                };
                match wanted {
                    Wanted::Nothing => prop_assert_eq!(found, None, "page {}", page),
                    Wanted::This(memory) => prop_assert_eq!(found, Some(target(memory)), "page {}", page),
                    Wanted::Perhaps(memory) => prop_assert!(found.is_none() || found == Some(target(memory))),
                }
            }
        }
        Ok(())
    }
}

enum Wanted {
    Nothing,
    This(usize),
    Perhaps(usize),
}

impl Expected {
    fn change(&mut self, dels: &[(u64, u64)], adds: &[(u64, u64, What)]) {
        let deleted = |at: u64, length: u64| {
            dels.iter().any(|(start, count)| pages(*start, *count).contains(pages(at, length)))
        };
        let former = std::mem::take(&mut self.sections);
        let (gone, kept): (BTreeMap<_, _>, _) =
            former.into_iter().partition(|(at, (length, ..))| deleted(*at, *length));
        self.sections = kept;
        for (at, length, what) in adds {
            let same = gone.get(at).filter(|section| (section.0, section.1) == (*length, *what));
            self.sections.insert(*at, same.cloned().unwrap_or((*length, *what, Vec::new(), false)));
        }
    }

    fn mark(&mut self, at: u64, length: u64, populated: bool) {
        for (start, (count, _, granules, _)) in &mut self.sections {
            if pages(*start, *count).contains(pages(at, length)) {
                granules.retain(|page| !(at..at + length).contains(page));
                granules.extend((at..at + length).filter(|_| populated));
            }
        }
    }

    fn at(&self, page: u64) -> Wanted {
        let section = self.sections.range(..=page).next_back().filter(|(at, section)| page < *at + section.0);
        match section {
            Some((_, (_, What::Ram(memory), _, false))) => Wanted::This(*memory),
            Some((_, (_, What::Granules(memory), populated, false))) if populated.contains(&page) => {
                Wanted::This(*memory)
            }
            Some((_, (_, What::Bar(memory), _, false))) => Wanted::Perhaps(*memory),
            _ => Wanted::Nothing,
        }
    }
}

fn pages(at: u64, length: u64) -> Span {
    span(at * PAGE, length * PAGE)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_mapped_is_what_the_sections_say(steps in steps()) {
        let mut bench = Bench::new();
        for (step, failures) in &steps {
            bench.models.iter().zip(failures).for_each(|(model, failures)| model.fail(*failures));
            bench.step(step);
            bench.models.iter().for_each(|model| model.fail(0));
            bench.check()?;
        }
        // Once nothing fails any more, all of it can be made right.
        if !bench.expected.sections.is_empty() {
            bench.space.restore(Span::ALL).unwrap();
        }
        bench.expected.sections.values_mut().for_each(|section| section.3 = false);
        bench.check()?;
        let Bench { space, models, memories, leaked, .. } = bench;
        drop(space);
        prop_assert!(models.iter().all(|model| model.spans().is_empty()));
        prop_assert!(leaked || memories.iter().all(|memory| Arc::strong_count(memory) == 1));
    }
}
