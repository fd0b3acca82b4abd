//! Address spaces over a container in memory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod changes;
mod dirty;
mod expected;
mod follower;
mod granules;
mod model;
mod random;
mod steps;
mod threads;
mod viommu;

use passthru_vfio::address_space::{
    AddressSpace, Backing, Kind, Memory, Note, Pages, Section, Span,
};
use passthru_vfio::container::{Access, Dma};
use std::sync::Arc;

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

fn bar(at: u64, length: u64, memory: &Arc<Memory>) -> Section {
    Section::new(
        span(at, length),
        Kind::Bar(backing(memory)),
        Access::ReadWrite,
    )
    .unwrap()
}

/// An address space with one container.
fn space() -> (AddressSpace, Arc<model::Model>) {
    let (space, model) = (AddressSpace::default(), model::model());
    join(&space, &model);
    (space, model)
}

fn join(space: &AddressSpace, model: &Arc<model::Model>) -> Vec<Note> {
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
