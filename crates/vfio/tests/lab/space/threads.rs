//! Large memory, mapped by several threads, on either backend.

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
    large(
        &guest,
        Memory::anonymous(LENGTH, Pages::Transparent).unwrap(),
    );
    large(&guest, Memory::memfd(LENGTH, Pages::Base).unwrap());
}

#[test]
fn threads_map_large_memory_on_type1() {
    let guest = Guest::type1();
    large(
        &guest,
        Memory::anonymous(LENGTH, Pages::Transparent).unwrap(),
    );
    large(&guest, Memory::memfd(LENGTH, Pages::Base).unwrap());
}

/// The device reads at one end of the memory and writes at the other; all of it is unmapped piece
/// by piece.
fn large(guest: &Guest, memory: Memory) {
    let memory = Arc::new(memory);
    let space = AddressSpace::default().with_mapper(Mapper::new(NonZeroUsize::new(3).unwrap()));
    space.join(Arc::clone(&guest.container)).unwrap();
    add(&space, AT, &memory);
    let pieces = space.mappings(&guest.container).unwrap();
    assert!(pieces.len() > 1, "{pieces:?}");
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
