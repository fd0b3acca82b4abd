//! The random sequences of changes, on the kernel: what it has mapped is asked by trying to map there, and by DMA.
#![allow(unsafe_code)]

use super::reader::{Reader, poke};
use super::{Guest, PAGE};
use crate::steps::{BASE, END, Runner, Step, Wanted, pages, step};
use passthru_vfio::address_space::{Memory, Pages, Section};
use passthru_vfio::container::{Access, Dma};
use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngSeed, TestRunner};
use rustix::io::Errno;
use std::sync::Arc;

const SEQUENCES: u64 = 16;
const SEED: u64 = 0x1057;

#[test]
fn random_changes_are_what_iommufd_has_mapped_and_edu_sees() {
    sequences(&Guest::iommufd());
}

#[test]
fn random_changes_are_what_type1_has_mapped_and_edu_sees() {
    sequences(&Guest::type1());
}

fn sequences(guest: &Guest) {
    let config = Config { rng_seed: RngSeed::Fixed(SEED), ..Config::default() };
    let mut random = TestRunner::new(config);
    let mut mapped = 0;
    for sequence in 0..SEQUENCES {
        let steps = vec(step(), 4..16).new_tree(&mut random).unwrap().current();
        mapped += run(guest, &steps, sequence);
    }
    assert!(mapped > 20 * SEQUENCES, "hardly anything was mapped: {mapped} pages");
    let left = guest.container.unmap_all().unwrap();
    assert_eq!(left, 0, "left in the kernel");
}

/// Does the steps. Returns how many pages are found mapped after them, all in all.
fn run(guest: &Guest, steps: &[Step], sequence: u64) -> u64 {
    let mut runner = Runner::new(vec![Arc::clone(&guest.container)]);
    let mut mapped = 0;
    for (which, memory) in runner.memories.iter().enumerate() {
        (0..END).for_each(|page| poke(memory, page * PAGE, mark(sequence, which, page)));
    }
    for step in steps {
        runner.step(step);
        assert!(!runner.broken && runner.abandoned.is_none(), "{step:?} of {steps:?}");
        mapped += check(&runner, guest);
    }
    if !runner.joined[0] {
        runner.step(&Step::Join);
    }
    runner.restore_all();
    mapped += check(&runner, guest);
    look(&runner, guest, sequence);
    mapped
}

/// What a page of one of the memories has in it.
fn mark(sequence: u64, memory: usize, page: u64) -> u64 {
    0xd0_0000_0000 | sequence << 16 | (memory as u64) << 8 | page
}

/// The kernel has mapped what the sections say, and has nothing else. Returns how many pages that are.
fn check(runner: &Runner, guest: &Guest) -> u64 {
    let sections: Vec<_> = runner.space.sections().iter().map(Section::span).collect();
    assert_eq!(sections, runner.expected.spans());
    let probe = Memory::anonymous(PAGE, Pages::Base).unwrap();
    let mut mapped = 0;
    for page in 0..END {
        let is_mapped = is_mapped(&*guest.container, page, &probe);
        match runner.expected.at(page) {
            Wanted::This(_) | Wanted::Perhaps(_) if runner.joined[0] => assert!(is_mapped, "page {page}"),
            _ => assert!(!is_mapped, "page {page}"),
        }
        mapped += u64::from(is_mapped);
    }
    mapped
}

/// Tries to map a page, which the kernel refuses where something is mapped.
pub(super) fn is_mapped(dma: &dyn Dma, page: u64, probe: &Memory) -> bool {
    let iova = pages(page, 1).start();
    // SAFETY: the memory stays until it is unmapped below, and is not accessed.
    match unsafe { dma.map(probe.address().unwrap(), PAGE, iova, Access::Read) } {
        Ok(()) => {
            assert_eq!(dma.unmap(iova, PAGE).unwrap(), PAGE);
            false
        }
        Err(error) => {
            assert_eq!(error.io().and_then(Errno::from_io_error), Some(Errno::EXIST), "{error}");
            true
        }
    }
}

/// The device finds each memory's own page where it should be mapped. (A DMA of `edu` takes a tenth of a second, so it looks
/// at some.)
fn look(runner: &Runner, guest: &Guest, sequence: u64) {
    let edu = Reader::new(guest.member.device(), &runner.space);
    for page in (0..END).skip(sequence as usize % 6).step_by(6) {
        let found = edu.read(BASE + page * PAGE);
        let marks = [0, 1].map(|memory| mark(sequence, memory, page));
        match runner.expected.at(page) {
            Wanted::This(memory) | Wanted::Perhaps(memory) => assert_eq!(found, marks[memory], "page {page}"),
            Wanted::Nothing => assert!(!marks.contains(&found), "page {page}: {found:#x}"),
        }
    }
}
