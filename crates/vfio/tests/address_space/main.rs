//! Tests of address spaces over containers in memory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod bars;
mod changes;
mod dirty;
mod expected;
mod follower;
mod granules;
mod model;
mod random;
mod rules;
mod steps;
mod threads;
mod viommu;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use passthru_vfio::address_space::{
    AddressSpace, Backing, Memory, Note, Pages, Section, SectionKind, Span, Translation,
};
use passthru_vfio::container::{Access, Dma};

use model::{Model, Target};

const PAGE: u64 = 0x1000;

fn span(start: u64, length: u64) -> Span {
    Span::new(start, length).unwrap()
}

fn memory(length: u64) -> Arc<Memory> {
    Arc::new(Memory::anonymous(length, Pages::Base).unwrap())
}

fn ram(at: u64, length: u64, memory: &Arc<Memory>) -> Section {
    Section::ram(span(at, length), memory, 0).unwrap()
}

fn backing(memory: &Arc<Memory>) -> Backing {
    Backing {
        memory: Arc::clone(memory),
        offset: 0,
    }
}

/// Makes a section of granules, none of which is populated.
fn granules(at: u64, memory: &Arc<Memory>, granule: u64) -> Section {
    let kind = SectionKind::Granules {
        backing: backing(memory),
        granule,
    };
    Section::new(span(at, memory.len()), kind, Access::ReadWrite).unwrap()
}

fn translation(iova: u64, length: u64, target: u64) -> Translation {
    Translation {
        iova: span(iova, length),
        target,
        access: Access::ReadWrite,
    }
}

/// Returns the target of a mapping that leads to `offset` in a memory.
fn address(memory: &Memory, offset: u64) -> Option<Target> {
    Some(Target::Address(memory.address().unwrap() as u64 + offset))
}

fn calls(model: &Model) -> u64 {
    model.calls.load(Ordering::Relaxed)
}

fn bar(at: u64, length: u64, memory: &Arc<Memory>) -> Section {
    Section::new(
        span(at, length),
        SectionKind::Bar(backing(memory)),
        Access::ReadWrite,
    )
    .unwrap()
}

/// Makes an address space with one container.
fn space() -> (AddressSpace, Arc<Model>) {
    let space = AddressSpace::default();
    let model = Model::new();
    join(&space, &model);
    (space, model)
}

fn join(space: &AddressSpace, model: &Arc<Model>) -> Vec<Note> {
    space.join(Arc::clone(model) as Arc<dyn Dma>).unwrap()
}

fn add(space: &AddressSpace, section: Section) -> Vec<Note> {
    let mut change = space.begin();
    change.add(section);
    change.commit().unwrap()
}

fn texts(notes: &[Note]) -> String {
    notes.iter().map(|note| format!("{note}\n")).collect()
}
