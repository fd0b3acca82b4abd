//! What a change does, and what a refused one leaves alone.

use crate::model::{self, Model, Target};
use crate::{PAGE, add, backing, bar, join, memory, ram, space, span, texts};
use passthru_vfio::address_space::{AddressSpace, Error, Kind, Memory, Pages, Section};
use passthru_vfio::container::{Access, Dma};
use std::sync::Arc;

#[test]
fn memory_is_kept_until_unmapped() {
    let (space, model) = space();
    let memory = memory(4 * PAGE);
    assert_eq!(texts(&add(&space, ram(0x10_0000, 4 * PAGE, &memory))), "");
    assert_eq!(
        model.at(0x10_1000),
        Some(Target::Address(memory.address().unwrap() as u64 + PAGE))
    );
    assert!(Arc::strong_count(&memory) > 1);
    let mut change = space.begin();
    change.del(span(0x10_0000, 4 * PAGE));
    change.commit().unwrap();
    assert!(model.spans().is_empty());
    assert_eq!(Arc::strong_count(&memory), 1);
}

#[test]
fn dropped_transaction_changes_nothing() {
    let (space, model) = space();
    let mut change = space.begin();
    change.add(ram(0, PAGE, &memory(PAGE)));
    drop(change);
    assert!(space.sections().is_empty() && model.spans().is_empty());
}

#[test]
fn memfd_is_mapped_by_file_where_supported() {
    let memfd = Arc::new(Memory::memfd(2 * PAGE, Pages::Base).unwrap());
    let (space, model) = space();
    let by_address = model::with(|capabilities| capabilities.map_file = false);
    join(&space, &by_address);
    add(&space, Section::ram(span(0, PAGE), &memfd, PAGE).unwrap());
    assert!(
        matches!(model.at(0), Some(Target::File(_, PAGE))),
        "{:?}",
        model.at(0)
    );
    assert_eq!(
        by_address.at(0),
        Some(Target::Address(memfd.address().unwrap() as u64 + PAGE))
    );
}

#[test]
fn failed_map_undoes_whole_change() {
    let (space, model) = space();
    let memory = memory(PAGE);
    add(&space, ram(0, PAGE, &memory));
    let mut change = space.begin();
    change.del(span(0, PAGE));
    for i in 1..4 {
        change
            .add(ram(i * PAGE, PAGE, &memory))
            .add(rom(i * 0x10_0000));
    }
    model.fail(0b100);
    let error = change.commit().unwrap_err();
    assert!(
        matches!(error, Error::Map { span, .. } if span.start() == 3 * PAGE),
        "{error}"
    );
    assert_eq!(model.spans(), [span(0, PAGE)]);
    assert_eq!(space.sections().len(), 1);
}

fn rom(at: u64) -> Section {
    Section::new(span(at, PAGE), Kind::Rom, Access::Read).unwrap()
}

#[test]
fn failure_in_one_container_undoes_change_in_all() {
    let (space, first) = space();
    let second = model::model();
    join(&space, &second);
    second.fail(1);
    let mut change = space.begin();
    change.add(ram(0, PAGE, &memory(PAGE)));
    change.commit().unwrap_err();
    assert!(first.spans().is_empty() && second.spans().is_empty());
}

#[test]
fn overlapping_memory_is_replaced() {
    let (space, model) = space();
    let (old, new) = (memory(2 * PAGE), memory(2 * PAGE));
    add(&space, ram(0, 2 * PAGE, &old));
    let mut change = space.begin();
    change.del(span(0, 2 * PAGE)).add(ram(PAGE, 2 * PAGE, &new));
    change.commit().unwrap();
    assert_eq!(model.spans(), [span(PAGE, 2 * PAGE)]);
    assert_eq!(Arc::strong_count(&old), 1);
}

#[test]
fn replaced_mapping_returns_when_new_map_fails() {
    let (space, model) = space();
    let (old, new) = (memory(2 * PAGE), memory(PAGE));
    add(&space, ram(0, 2 * PAGE, &old));
    let before = model.mappings();
    let mut change = space.begin();
    change.del(span(0, 2 * PAGE)).add(ram(PAGE, PAGE, &new));
    model.fail(0b10);
    assert!(matches!(change.commit(), Err(Error::Map { .. })));
    assert_eq!(model.mappings(), before);
}

#[test]
fn lost_mapping_is_named_and_can_be_restored() {
    let (space, model) = space();
    add(&space, ram(0, 2 * PAGE, &memory(2 * PAGE)));
    let mut change = space.begin();
    change
        .del(span(0, 2 * PAGE))
        .add(ram(PAGE, PAGE, &memory(PAGE)));
    model.fail(0b110);
    let error = change.commit().unwrap_err();
    let Error::Lost { ranges, still, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(
        (&ranges[..], &still[..]),
        (&[span(0, 2 * PAGE)][..], &[][..])
    );
    assert!(error.to_string().contains("0x0-0x1fff"), "{error}");
    assert!(model.spans().is_empty());
    space.restore(span(0, 2 * PAGE)).unwrap();
    assert_eq!(model.spans(), [span(0, 2 * PAGE)]);
}

#[test]
fn section_readded_unchanged_stays_mapped() {
    let (space, model) = space();
    let memory = memory(PAGE);
    add(&space, ram(0, PAGE, &memory));
    let before = calls(&model);
    let mut change = space.begin();
    change.del(span(0, PAGE)).add(ram(0, PAGE, &memory));
    change.commit().unwrap();
    assert_eq!((calls(&model), model.spans().len()), (before, 1));
}

#[test]
fn lost_section_is_mapped_when_readded_unchanged() {
    let (space, model) = space();
    let memory = memory(2 * PAGE);
    add(&space, ram(0, 2 * PAGE, &memory));
    let mut change = space.begin();
    change
        .del(span(0, 2 * PAGE))
        .add(ram(PAGE, PAGE, &crate::memory(PAGE)));
    model.fail(0b110);
    assert!(matches!(change.commit(), Err(Error::Lost { .. })));
    assert!(model.spans().is_empty());
    let mut change = space.begin();
    change.del(span(0, 2 * PAGE)).add(ram(0, 2 * PAGE, &memory));
    assert!(change.commit().unwrap().is_empty());
    assert_eq!(model.spans(), [span(0, 2 * PAGE)]);
}

#[test]
fn withdrawn_section_readded_stays_withdrawn_and_noted() {
    let (space, model) = space();
    let memory = memory(PAGE);
    add(&space, bar(0, PAGE, &memory));
    space.withdraw(span(0, PAGE)).unwrap();
    let mut change = space.begin();
    change.del(span(0, PAGE)).add(bar(0, PAGE, &memory));
    let notes = change.commit().unwrap();
    assert_eq!(
        texts(&notes),
        "devices do not reach 0x0-0xfff until it is restored\n"
    );
    assert!(model.spans().is_empty());
    space.restore(span(0, PAGE)).unwrap();
    assert_eq!(model.spans(), [span(0, PAGE)]);
}

#[test]
fn failed_unmap_is_repeated_by_clear() {
    let (space, model) = space();
    let memory = memory(PAGE);
    add(&space, ram(0, PAGE, &memory));
    let clear = || {
        let mut change = space.begin();
        change.clear(span(0, PAGE));
        change.commit()
    };
    model.fail(1);
    assert!(matches!(clear(), Err(Error::StillMapped { .. })));
    assert_eq!((model.spans().len(), Arc::strong_count(&memory)), (1, 2));
    clear().unwrap();
    assert_eq!((model.spans().len(), Arc::strong_count(&memory)), (0, 1));
}

fn calls(model: &Model) -> u64 {
    model.calls.load(std::sync::atomic::Ordering::Relaxed)
}

#[test]
fn partial_section_deletion_is_refused_as_a_whole() {
    let (space, model) = space();
    add(&space, ram(0, PAGE, &memory(PAGE)));
    add(&space, ram(0x10_0000, 2 * PAGE, &memory(2 * PAGE)));
    let mut change = space.begin();
    change.del(span(0, 0x10_0000 + PAGE));
    let error = change.commit().unwrap_err();
    assert!(
        matches!(error, Error::Cut { piece, .. } if piece == span(0x10_0000, 2 * PAGE)),
        "{error}"
    );
    assert_eq!(model.spans().len(), 2);
    let mut change = space.begin();
    change.del(span(0x20_0000, PAGE));
    assert!(matches!(change.commit(), Err(Error::NotFound { .. })));
}

#[test]
fn overlapping_sections_are_refused() {
    let (space, _) = space();
    let memory = memory(2 * PAGE);
    add(&space, ram(0, 2 * PAGE, &memory));
    let mut change = space.begin();
    change.add(ram(PAGE, PAGE, &memory));
    assert!(
        matches!(change.commit(), Err(Error::Overlap { with, .. }) if with == span(0, 2 * PAGE))
    );
    let mut change = space.begin();
    change
        .add(ram(0x10_0000, 2 * PAGE, &memory))
        .add(ram(0x10_1000, PAGE, &memory));
    assert!(matches!(change.commit(), Err(Error::Overlap { .. })));
    assert_eq!(space.sections().len(), 1);
}

#[test]
fn unmappable_bar_is_noted_and_retried_by_restore() {
    let (space, model) = space();
    let memory = memory(PAGE);
    model.fail(1);
    let notes = add(&space, bar(0xe000_0000, PAGE, &memory));
    assert!(
        texts(&notes).contains("reach 0xe0000000"),
        "{}",
        texts(&notes)
    );
    assert!(model.spans().is_empty());
    assert_eq!(texts(&space.restore(span(0xe000_0000, PAGE)).unwrap()), "");
    assert_eq!(model.spans(), [span(0xe000_0000, PAGE)]);
}

#[test]
fn withdrawn_bar_returns_when_restored() {
    let (space, model) = space();
    let at = span(0xe000_0000, PAGE);
    add(&space, bar(at.start(), PAGE, &memory(PAGE)));
    space.withdraw(at).unwrap();
    assert!(model.spans().is_empty());
    let late = model::model();
    join(&space, &late);
    assert!(late.spans().is_empty());
    space.restore(at).unwrap();
    assert_eq!((model.spans(), late.spans()), (vec![at], vec![at]));
}

#[test]
fn bar_that_failed_to_unmap_is_remapped_by_restore() {
    let (space, model) = space();
    let at = span(0xe000_0000, PAGE);
    add(&space, bar(at.start(), PAGE, &memory(PAGE)));
    model.fail(1);
    assert!(matches!(space.withdraw(at), Err(Error::StillMapped { .. })));
    // Its mapping may have been emptied by a reset.
    let before = calls(&model);
    space.restore(at).unwrap();
    assert_eq!((calls(&model), model.spans()), (before + 2, vec![at]));
}

#[test]
fn unmapped_section_kinds_are_noted() {
    let (space, model) = space();
    let memory = memory(PAGE);
    for kind in [Kind::Rom, Kind::Bounce, Kind::Emulated] {
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
    assert_eq!(
        model.at(0x10_1000),
        Some(Target::Address(memory.address().unwrap() as u64 + PAGE))
    );
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
    // Where the memory starts within four pages, the section starts too.
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
    assert!(matches!(change.commit(), Err(Error::Outside { .. })));
}

#[test]
fn late_container_gets_all_mappings_or_none() {
    let (space, model) = space();
    let memory = memory(PAGE);
    (0..3).for_each(|i| drop(add(&space, ram(i * 0x10_0000, PAGE, &memory))));
    let late = model::model();
    late.fail(0b100);
    assert!(matches!(
        space.join(Arc::clone(&late) as Arc<dyn Dma>),
        Err(Error::Map { .. })
    ));
    assert!(late.spans().is_empty());
    join(&space, &late);
    assert_eq!(late.mappings(), model.mappings());
    assert!(matches!(
        space.join(Arc::clone(&late) as Arc<dyn Dma>),
        Err(Error::Member)
    ));

    let late = late as Arc<dyn Dma>;
    space.leave(&late).unwrap();
    assert!(matches!(space.leave(&late), Err(Error::NotMember)));
    assert_eq!(model.spans().len(), 3);
}

#[test]
fn failed_unmap_after_deletion_is_named_and_keeps_memory() {
    let (space, model) = space();
    let memory = memory(PAGE);
    add(&space, ram(0, PAGE, &memory));
    let mut change = space.begin();
    change.del(span(0, PAGE));
    model.fail(1);
    let error = change.commit().unwrap_err();
    assert!(
        matches!(&error, Error::StillMapped { ranges, .. } if ranges == &[span(0, PAGE)]),
        "{error}"
    );
    assert!(space.sections().is_empty() && Arc::strong_count(&memory) == 2);
    // Something else there makes it go.
    add(&space, ram(0, PAGE, &crate::memory(PAGE)));
    assert_eq!((Arc::strong_count(&memory), model.spans().len()), (1, 1));
}

#[test]
fn still_mapped_error_carries_notes() {
    let (space, model) = space();
    add(&space, ram(0, PAGE, &memory(PAGE)));
    let mut change = space.begin();
    change.del(span(0, PAGE)).add(rom(0x10_0000));
    change.add(Section::ram(span(0x20_0800, 2 * PAGE), &memory(3 * PAGE), 0x800).unwrap());
    model.fail(0b10);
    let Err(Error::StillMapped { ranges, notes, .. }) = change.commit() else {
        panic!("it is unmapped")
    };
    assert_eq!(ranges, [span(0, PAGE)]);
    let notes = texts(&notes);
    assert!(
        notes.contains("read-only") && notes.contains("0x201000-0x201fff"),
        "{notes}"
    );
}

#[test]
fn dropped_address_space_unmaps_everything() {
    let (space, model) = space();
    let memory = memory(PAGE);
    add(&space, ram(0, PAGE, &memory));
    drop(space);
    assert!(model.spans().is_empty() && Arc::strong_count(&memory) == 1);
}

#[test]
fn section_beyond_memory_is_refused() {
    let memory = memory(PAGE);
    assert!(matches!(
        Section::ram(span(0, 2 * PAGE), &memory, 0),
        Err(Error::Beyond { .. })
    ));
    assert!(matches!(
        Section::ram(span(0, PAGE), &memory, u64::MAX),
        Err(Error::Beyond { .. })
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
        Err(Error::Beyond { .. })
    ));
    let granules = Kind::Granules {
        backing: backing(&memory),
        granule: 0x800,
    };
    assert!(matches!(
        Section::new(span(0, PAGE), granules, Access::ReadWrite),
        Err(Error::Granule { .. })
    ));
}

#[test]
fn mapping_limit_is_enforced() {
    let space = AddressSpace::default();
    let model = model::with(|capabilities| capabilities.max_mappings = Some(2));
    join(&space, &model);
    let memory = memory(PAGE);
    (0..2).for_each(|i| drop(add(&space, ram(i * 0x10_0000, PAGE, &memory))));
    let mut change = space.begin();
    change.add(ram(0x80_0000, PAGE, &memory));
    assert!(matches!(
        change.commit(),
        Err(Error::TooManyMappings {
            needed: 3,
            limit: 2
        })
    ));
    // In the place of another one it can be.
    let mut change = space.begin();
    change
        .del(span(0, PAGE))
        .add(ram(0, PAGE, &crate::memory(PAGE)));
    change.commit().unwrap();
}
