//! Shared pins: between two containers, and with a device behind a virtual IOMMU.
#![allow(unsafe_code)]

use std::fs;
use std::sync::Arc;

use passthru_iommufd::{Accounting, Iommufd};
use passthru_lab::devices::{EDU, NVME};
use passthru_lab::within_memlock;
use passthru_vfio::address_space::{
    AddressSpace, Backing, Memory, NoteKind, Pages, Section, SectionKind, Sharing, SharingReason,
    Span, Translation, VirtualIommu,
};
use passthru_vfio::container::{Access, AttachOptions, Container, Dma, IommufdContainer};

use super::PAGE;
use super::reader::{Reader, poke};
use crate::taken::{iommufd, take, take_two};

const LENGTH: u64 = 16 << 20;

fn memory(pages: Pages) -> Arc<Memory> {
    Arc::new(Memory::anonymous(LENGTH, pages).unwrap())
}

/// Makes an address space that shares pins.
pub(super) fn shared(sharing: Sharing) -> AddressSpace {
    // SAFETY: in its containers, and in those of a virtual IOMMU over it, only address spaces map.
    // One test unmaps in a container directly, but maps no other memory there.
    unsafe { AddressSpace::default().with_sharing(sharing) }
}

/// Returns the number of bytes that this process has pinned.
fn pinned() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmPin:"))
        .unwrap_or("0 kB");
    line.trim()
        .strip_suffix(" kB")
        .unwrap()
        .parse::<u64>()
        .unwrap()
        << 10
}

#[test]
fn second_container_shares_pins() {
    let [one, two] = take_two(EDU, NVME);
    let context = iommufd();
    let containers = [(); 2].map(|()| IommufdContainer::new(&context, None).unwrap());
    let [first, second] = containers;
    let _members = [(&first, one), (&second, two)].map(|(container, taken)| {
        let member = container
            .attach(taken.source().into(), AttachOptions::default())
            .unwrap();
        (member, taken)
    });
    let [first, second] = [first, second].map(|container| Arc::new(container) as Arc<dyn Dma>);
    let space = shared(Sharing::Auto);
    space.join(Arc::clone(&first)).unwrap();
    let before = pinned();
    super::add(&space, 32 << 20, &memory(Pages::Base));

    assert!(pinned() >= before + LENGTH);

    let before = pinned();
    let notes = space.join(Arc::clone(&second)).unwrap();
    assert!(
        notes
            .iter()
            .all(|note| matches!(note.kind, NoteKind::Shared(SharingReason::BasePages)))
            && !notes.is_empty()
    );
    assert_eq!(pinned(), before);

    // The copied mapping stays when the first container leaves.
    space.leave(&first).unwrap();
    assert_eq!(pinned(), before);
    assert_eq!(space.mappings(&second).unwrap().len(), 1);
}

#[test]
fn shared_pins_come_from_writable_mapping() {
    let context = iommufd();
    let [first, second] =
        [(); 2].map(|()| Arc::new(IommufdContainer::new(&context, None).unwrap()) as Arc<dyn Dma>);
    let space = shared(Sharing::Always);
    space.join(first).unwrap();
    let memory = memory(Pages::Base);
    let kind = SectionKind::Ram(Backing {
        memory: Arc::clone(&memory),
        offset: 0,
    });
    let mut change = space.begin();
    change.add(Section::new(Span::new(0, LENGTH).unwrap(), kind, Access::Read).unwrap());
    change.add(Section::ram(Span::new(1 << 32, LENGTH).unwrap(), &memory, 0).unwrap());
    change.commit().unwrap();
    let notes = space.join(second).unwrap();

    assert!(
        notes.len() >= 2
            && notes
                .iter()
                .all(|note| matches!(note.kind, NoteKind::Shared(SharingReason::Requested)))
    );
}

#[test]
fn refused_sharing_pins_again_and_is_noted() {
    let context = iommufd();
    let [first, second] =
        [(); 2].map(|()| Arc::new(IommufdContainer::new(&context, None).unwrap()) as Arc<dyn Dma>);
    let space = shared(Sharing::Always);
    space.join(Arc::clone(&first)).unwrap();
    super::add(&space, 1 << 32, &memory(Pages::Base));
    // An unmap behind the address space's back leaves no mapping to copy. No other memory is mapped
    // there.
    first.unmap(1 << 32, LENGTH).unwrap();
    let notes = space.join(Arc::clone(&second)).unwrap();
    let [note] = &notes[..] else {
        panic!("{notes:?}")
    };

    assert!(matches!(note.kind, NoteKind::PinnedAgain(_)), "{note}");
    assert!(note.to_string().contains("IOMMU_IOAS_COPY"), "{note}");
    assert_eq!(second.unmap(1 << 32, LENGTH).unwrap(), LENGTH);
}

/// Returns a mapping of a page of the memory, which is at 4 GiB.
fn page_translation(iova: u64, page: u64) -> Translation {
    Translation {
        iova: Span::new(iova, PAGE).unwrap(),
        target: (1 << 32) + page * PAGE,
        access: Access::Read,
    }
}

#[test]
fn viommu_mappings_share_pins_with_guest_memory() {
    let taken = take(EDU);
    let context = iommufd();
    let system = Arc::new(shared(Sharing::Auto));
    // A container without devices has a mapping of all memory that others can copy.
    system
        .join(Arc::new(IommufdContainer::new(&context, None).unwrap()))
        .unwrap();
    let memory = memory(Pages::Base);
    super::add(&system, 1 << 32, &memory);
    poke(&memory, 3 * PAGE, 0x1111);
    poke(&memory, 7 * PAGE, 0x2222);

    let container = IommufdContainer::new(&context, None).unwrap();
    let member = container
        .attach(taken.source().into(), AttachOptions::default())
        .unwrap();
    let viommu = VirtualIommu::new(&system);
    viommu.space().join(Arc::new(container)).unwrap();
    let notes = viommu.map(page_translation(0x10_0000, 3)).unwrap();
    let [note] = &notes[..] else {
        panic!("{notes:?}")
    };

    assert!(
        matches!(note.kind, NoteKind::Shared(SharingReason::BasePages)),
        "{note}"
    );

    let first = page_translation(0x10_0000, 3);
    let second = page_translation(0x20_0000, 7);
    viommu.replay([first, second]).unwrap();
    let edu = Reader::new(member.device(), viommu.space());
    assert_eq!(edu.read(0x10_0000), 0x1111);
    assert_eq!(edu.read(0x20_0000), 0x2222);

    viommu.unmap(Span::new(0x10_0000, PAGE).unwrap()).unwrap();
    assert_ne!(edu.read(0x10_0000), 0x1111);
    // The sections of the guest's memory do not change.
    assert_eq!(system.sections().len(), 1);
}

#[test]
fn pins_are_shared_at_memlock_limit() {
    let taken = take(EDU);
    let context = Iommufd::open().unwrap();
    context.set_accounting(Accounting::Process).unwrap();
    let context = Arc::new(context);
    let first = IommufdContainer::new(&context, None).unwrap();
    let _member = first
        .attach(taken.source().into(), AttachOptions::default())
        .unwrap();
    let space = shared(Sharing::Auto);
    let memory = memory(Pages::Transparent);
    space.join(Arc::new(first)).unwrap();
    let notes = within_memlock(passthru_lab::host(), 24 << 20, || {
        super::add(&space, 1 << 32, &memory);
        let second = Arc::new(IommufdContainer::new(&context, None).unwrap());
        let notes = space.join(Arc::clone(&second) as Arc<dyn Dma>).unwrap();
        space.leave(&(second as Arc<dyn Dma>)).unwrap();
        notes.into_iter().map(|note| note.kind).collect::<Vec<_>>()
    });
    let [NoteKind::Shared(SharingReason::Memlock { needed, left })] = notes[..] else {
        panic!("{notes:?}")
    };

    assert_eq!(needed, LENGTH);
    assert!(left < LENGTH, "{left}");
}
