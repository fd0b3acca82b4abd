//! Random steps on the kernel's containers. Attempts to map, and DMA, show what is mapped.
#![allow(unsafe_code)]

use std::sync::Arc;

use passthru_vfio::address_space::{Memory, Pages, Section, Sharing};
use passthru_vfio::container::{Access, Dma, IommufdContainer};
use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngSeed, TestRunner};
use rustix::io::Errno;

use super::reader::{Reader, poke};
use super::sharing::shared;
use super::{Guest, PAGE};
use crate::expected::ExpectedPage;
use crate::steps::{BASE, END, Runner, Step, pages, step};

const SEQUENCES: u64 = 16;
const SEED: u64 = 0x1057;

/// The containers of an address space, and of a virtual IOMMU over it.
struct Setup {
    guest: Guest,
    /// Containers of the guest's memory.
    direct: Vec<Arc<dyn Dma>>,
    /// Containers behind the virtual IOMMU.
    behind: Vec<Arc<dyn Dma>>,
}

impl Setup {
    /// Makes two more containers on the guest's iommufd, which share pins.
    fn sharing(guest: Guest, is_behind: bool) -> Self {
        let context = guest.container.ioas().unwrap().context();
        let [one, other] = [(); 2]
            .map(|()| Arc::new(IommufdContainer::new(context, None).unwrap()) as Arc<dyn Dma>);
        let own = Arc::clone(&guest.container);
        let (direct, behind) = if is_behind {
            (vec![one, other], vec![own])
        } else {
            (vec![own, one], vec![other])
        };
        Self {
            guest,
            direct,
            behind,
        }
    }
}

#[test]
fn random_changes_match_iommufd_mappings() {
    run_sequences(&Setup::sharing(Guest::iommufd(), false));
}

#[test]
fn random_changes_match_iommufd_mappings_behind_viommu() {
    run_sequences(&Setup::sharing(Guest::iommufd(), true));
}

#[test]
fn random_changes_match_type1_mappings() {
    let guest = Guest::type1();
    run_sequences(&Setup {
        direct: vec![Arc::clone(&guest.container)],
        behind: Vec::new(),
        guest,
    });
}

/// Runs random sequences of steps.
fn run_sequences(setup: &Setup) {
    let config = Config {
        rng_seed: RngSeed::Fixed(SEED),
        ..Config::default()
    };
    let mut random = TestRunner::new(config);
    let mut mapped = 0;
    let mut shared = 0;
    for sequence in 0..SEQUENCES {
        let steps = vec(step(), 4..16).new_tree(&mut random).unwrap().current();
        let (mapped_pages, shared_mappings) = run(setup, &steps, sequence);
        mapped += mapped_pages;
        shared += shared_mappings;
    }

    assert!(
        mapped > 20 * SEQUENCES,
        "hardly anything was mapped: {mapped} pages"
    );
    let can_share = setup.direct.len() > 1;
    assert_eq!(
        shared > SEQUENCES as usize,
        can_share,
        "{shared} mappings shared their pins"
    );
    for container in setup.direct.iter().chain(&setup.behind) {
        assert_eq!(container.unmap_all().unwrap(), 0, "left in the kernel");
    }
}

/// Does the steps. Returns the sum of the pages that are mapped after each step, and the number of
/// mappings that shared their pins.
fn run(setup: &Setup, steps: &[Step], sequence: u64) -> (u64, usize) {
    let mut runner = Runner::new(shared(Sharing::Always), setup.direct.clone(), &setup.behind);
    join_all(&mut runner);
    let mut mapped = 0;
    for (index, memory) in runner.memories.iter().enumerate() {
        for page in 0..END {
            poke(memory, page * PAGE, mark(sequence, index, page));
        }
    }

    for step in steps {
        runner.step(step);
        let is_sound = !runner.broken && !runner.noted && runner.abandoned.is_none();
        assert!(is_sound, "{step:?} of {steps:?}");
        mapped += check(&runner, setup);
    }

    join_all(&mut runner);
    runner.restore_all();
    mapped += check(&runner, setup);
    check_by_dma(&runner, setup, sequence);
    (mapped, runner.shared)
}

fn join_all(runner: &mut Runner) {
    while let Some(left) = runner.joined.iter().position(|joined| !joined) {
        runner.step(&Step::Join);
        assert!(runner.joined[left]);
    }
}

/// Returns the contents of a page of one of the memories.
fn mark(sequence: u64, memory: usize, page: u64) -> u64 {
    0xd0_0000_0000 | sequence << 16 | (memory as u64) << 8 | page
}

/// Checks that the kernel has exactly the expected mappings. Returns the number of mapped pages.
fn check(runner: &Runner, setup: &Setup) -> u64 {
    let sections: Vec<_> = runner.space.sections().iter().map(Section::span).collect();
    assert_eq!(sections, runner.expected.spans());
    let direct = setup.direct.iter().zip(&runner.joined);
    let mapped = direct.map(|(dma, joined)| {
        check_pages(&**dma, |page| {
            *joined && runner.expected.at(page) != ExpectedPage::Unmapped
        })
    });
    let behind = setup.behind.iter();
    let behind = behind.map(|dma| {
        check_pages(&**dma, |page| {
            runner.expected.behind(page).1 != ExpectedPage::Unmapped
        })
    });
    mapped.chain(behind).sum()
}

/// Checks each page of a container. Returns the number of mapped pages.
fn check_pages(dma: &dyn Dma, is_expected: impl Fn(u64) -> bool) -> u64 {
    let probe = Memory::anonymous(PAGE, Pages::Base).unwrap();
    let mut count = 0;
    for page in 0..END {
        let is_mapped = is_mapped(dma, page, &probe);
        assert_eq!(is_mapped, is_expected(page), "page {page}");
        count += u64::from(is_mapped);
    }

    count
}

/// Returns whether a page is mapped: the kernel then refuses to map another one there.
pub(super) fn is_mapped(dma: &dyn Dma, page: u64, probe: &Memory) -> bool {
    let iova = pages(page, 1).start();
    // SAFETY: the memory outlives the mapping, which is unmapped below. No code accesses it.
    match unsafe { dma.map(probe.address().unwrap(), PAGE, iova, Access::Read) } {
        Ok(()) => {
            assert_eq!(dma.unmap(iova, PAGE).unwrap(), PAGE);
            false
        }
        Err(error) => {
            assert_eq!(
                error.io().and_then(Errno::from_io_error),
                Some(Errno::EXIST),
                "{error}"
            );
            true
        }
    }
}

/// Checks by DMA that some pages lead to the expected memory. (`edu` takes a tenth of a second for
/// a DMA, so every sixth page is checked.)
fn check_by_dma(runner: &Runner, setup: &Setup, sequence: u64) {
    let is_behind = setup
        .behind
        .iter()
        .any(|container| Arc::ptr_eq(container, &setup.guest.container));
    let space = if is_behind {
        runner.viommu.space()
    } else {
        &runner.space
    };
    let edu = Reader::new(setup.guest.member.device(), space);
    for page in (0..END).skip(sequence as usize % 6).step_by(6) {
        let found = edu.read(BASE + page * PAGE);
        let (target, expected) = if is_behind {
            runner.expected.behind(page)
        } else {
            (page, runner.expected.at(page))
        };
        let marks = [0, 1].map(|memory| mark(sequence, memory, target));
        match expected {
            ExpectedPage::Mapped(memory) | ExpectedPage::MaybeMapped(memory) => {
                assert_eq!(found, marks[memory], "page {page}");
            }
            ExpectedPage::Unmapped => assert!(!marks.contains(&found), "page {page}: {found:#x}"),
        }
    }
}
