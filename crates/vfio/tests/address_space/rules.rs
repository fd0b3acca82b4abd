//! Rules by which sections are mapped, trimmed, skipped or refused.

use std::sync::Arc;

use passthru_vfio::address_space::{AddressSpace, Error, Memory, Section, SectionKind};
use passthru_vfio::container::Access;

use crate::model::Model;
use crate::{PAGE, add, address, backing, bar, calls, join, memory, ram, space, span, texts};

#[test]
fn unmapped_section_kinds_are_noted() {
    let (space, model) = space();
    let memory = memory(PAGE);
    for kind in [SectionKind::Rom, SectionKind::Bounce, SectionKind::Emulated] {
        let mut change = space.begin();
        change.add(Section::new(span(0, PAGE), kind, Access::ReadWrite).unwrap());
        assert!(texts(&change.commit().unwrap()).contains("0x0-0xfff: "));
        let mut change = space.begin();
        change.del(span(0, PAGE));
        change.commit().unwrap();
    }

    let notes = add(&space, bar(0xffff_ffff_e000_0000, PAGE, &memory));

    assert!(
        texts(&notes).contains("size of the BAR"),
        "{}",
        texts(&notes)
    );
    assert_eq!(calls(&model), 0);
}

#[test]
fn only_whole_pages_are_mapped() {
    let (space, model) = space();
    let memory = memory(3 * PAGE);
    let section = Section::ram(span(0x10_0800, 2 * PAGE), &memory, 0x800).unwrap();
    assert!(texts(&add(&space, section)).contains("0x101000-0x101fff"));
    assert_eq!(model.spans(), [span(0x10_1000, PAGE)]);
    assert_eq!(model.at(0x10_1000), address(&memory, PAGE));

    let notes = add(&space, bar(0xe000_0000, 0x100, &memory));
    assert!(texts(&notes).contains("no whole page"), "{}", texts(&notes));

    let mut change = space.begin();
    change.add(Section::ram(span(0, PAGE), &memory, 0x800).unwrap());
    assert!(matches!(
        change.commit(),
        Err(Error::Misaligned {
            alignment: 0x1000,
            ..
        })
    ));
}

#[test]
fn larger_iommu_alignment_is_used() {
    let (space, model) = space();
    model.usable.lock().unwrap().alignment = 0x4000;
    let memory = memory(0x10000);
    // The section starts at the same offset in four pages as its memory.
    let start = memory.address().unwrap() as u64 % 0x4000 + 0x1000;
    let notes = add(
        &space,
        Section::ram(span(0x10_0000 + start, 0x8000), &memory, 0x1000).unwrap(),
    );
    let [mapped] = model.spans()[..] else {
        panic!("{model:?}")
    };

    assert!(
        (mapped.start() | (mapped.last() + 1)).is_multiple_of(0x4000),
        "{mapped}"
    );
    assert!(
        start.is_multiple_of(0x4000) || texts(&notes).contains(&mapped.to_string()),
        "{}",
        texts(&notes)
    );
}

#[test]
fn unusable_iovas_refuse_memory_and_note_bar() {
    let (space, model) = space();
    model.usable.lock().unwrap().ranges = vec![0..=0xfedf_ffff, 0xfef0_0000..=0x7f_ffff_ffff];
    let memory = memory(0x10_0000);
    let mut change = space.begin();
    change.add(ram(0xfed8_0000, 0x10_0000, &memory));
    let error = change.commit().unwrap_err();

    assert!(
        error.to_string().contains("0xfed80000-0xfee7ffff"),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("0x0-0xfedfffff, 0xfef00000-0x7fffffffff"),
        "{error}"
    );
    assert!(error.hint().is_some());

    let notes = add(&space, bar(0x80_0000_0000, PAGE, &memory));
    assert!(
        texts(&notes).contains("0x0-0xfedfffff"),
        "{}",
        texts(&notes)
    );
    assert_eq!(calls(&model), 0);
}

#[test]
fn usable_iovas_are_queried_for_each_change() {
    let (space, model) = space();
    let memory = memory(PAGE);
    add(&space, ram(0x1000_0000, PAGE, &memory));
    model.usable.lock().unwrap().ranges = vec![0..=0x1fff_ffff];
    let mut change = space.begin();
    change.add(ram(0x2000_0000, PAGE, &memory));

    assert!(matches!(change.commit(), Err(Error::UnusableIova { .. })));
}

#[test]
fn section_beyond_memory_is_refused() {
    let memory = memory(PAGE);
    assert!(matches!(
        Section::ram(span(0, 2 * PAGE), &memory, 0),
        Err(Error::PastMemoryEnd { .. })
    ));
    assert!(matches!(
        Section::ram(span(0, PAGE), &memory, u64::MAX),
        Err(Error::PastMemoryEnd { .. })
    ));

    let fd = rustix::fs::memfd_create("end", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    let at_the_end = Arc::new(Memory::from_file(
        fd,
        u64::MAX - PAGE,
        2 * PAGE,
        Box::new(()),
    ));
    assert!(matches!(
        Section::ram(span(0, PAGE), &at_the_end, PAGE),
        Err(Error::PastMemoryEnd { .. })
    ));

    let granules = SectionKind::Granules {
        backing: backing(&memory),
        granule: 0x800,
    };
    assert!(matches!(
        Section::new(span(0, PAGE), granules, Access::ReadWrite),
        Err(Error::PartialGranule { .. })
    ));
}

#[test]
fn mapping_limit_is_enforced() {
    let space = AddressSpace::default();
    let model = Model::with_capabilities(|capabilities| capabilities.max_mappings = Some(2));
    join(&space, &model);
    let memory = memory(PAGE);
    for i in 0..2 {
        add(&space, ram(i * 0x10_0000, PAGE, &memory));
    }
    let mut change = space.begin();
    change.add(ram(0x80_0000, PAGE, &memory));

    assert!(matches!(
        change.commit(),
        Err(Error::TooManyMappings {
            needed: 3,
            limit: 2
        })
    ));

    // A section that replaces another one fits.
    let mut change = space.begin();
    change
        .del(span(0, PAGE))
        .add(ram(0, PAGE, &crate::memory(PAGE)));
    change.commit().unwrap();
}
