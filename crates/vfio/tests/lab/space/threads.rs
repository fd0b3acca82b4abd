//! Large memory that several threads map, on both backends.

use std::num::NonZeroUsize;
use std::sync::Arc;

use passthru_vfio::address_space::{AddressSpace, Mapper, Memory, Pages, Span};

use super::reader::{Reader, peek, poke};
use super::{Guest, PAGE, add};

const AT: u64 = 32 << 20;
const LENGTH: u64 = 192 << 20;

#[test]
fn threads_map_large_memory_on_iommufd() {
    let guest = Guest::iommufd();
    check_large(
        &guest,
        Memory::anonymous(LENGTH, Pages::Transparent).unwrap(),
    );
    check_large(&guest, Memory::memfd(LENGTH, Pages::Base).unwrap());
}

#[test]
fn threads_map_large_memory_on_type1() {
    let guest = Guest::type1();
    check_large(
        &guest,
        Memory::anonymous(LENGTH, Pages::Transparent).unwrap(),
    );
    check_large(&guest, Memory::memfd(LENGTH, Pages::Base).unwrap());
}

/// Maps a memory, copies from one end to the other by DMA, and unmaps it.
fn check_large(guest: &Guest, memory: Memory) {
    let memory = Arc::new(memory);
    let space = AddressSpace::default().with_mapper(Mapper::new(NonZeroUsize::new(3).unwrap()));
    space.join(Arc::clone(&guest.container)).unwrap();
    add(&space, AT, &memory);
    let mappings = space.mappings(&guest.container).unwrap();
    assert!(mappings.len() > 1, "{mappings:?}");
    let edu = Reader::new(guest.member.device(), &space);
    poke(&memory, 0, 0x1234_5678_9abc_def0);
    edu.copy(AT, AT + LENGTH - PAGE);
    assert_eq!(peek(&memory, LENGTH - PAGE), 0x1234_5678_9abc_def0);
    let mut change = space.begin();
    change.del(Span::new(AT, LENGTH).unwrap());
    change.commit().unwrap();
    drop(space);
    assert_eq!(guest.container.unmap_all().unwrap(), 0);
    assert_eq!(Arc::strong_count(&memory), 1);
}
