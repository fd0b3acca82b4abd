//! Effects of a committed change, and of a failed one.

use std::sync::Arc;

use passthru_vfio::address_space::{Error, Memory, Pages, Section, SectionKind};
use passthru_vfio::container::{Access, Dma};

use crate::model::{Model, Target};
use crate::{PAGE, add, address, calls, join, memory, ram, space, span, texts};

#[test]
fn memory_is_kept_until_unmapped() {
    let (space, model) = space();
    let memory = memory(4 * PAGE);
    assert_eq!(texts(&add(&space, ram(0x10_0000, 4 * PAGE, &memory))), "");
    assert_eq!(model.at(0x10_1000), address(&memory, PAGE));
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
    let by_address = Model::with_capabilities(|capabilities| capabilities.map_file = false);
    join(&space, &by_address);
    add(&space, Section::ram(span(0, PAGE), &memfd, PAGE).unwrap());

    assert!(
        matches!(model.at(0), Some(Target::File(_, PAGE))),
        "{:?}",
        model.at(0)
    );
    assert_eq!(by_address.at(0), address(&memfd, PAGE));
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
    Section::new(span(at, PAGE), SectionKind::Rom, Access::Read).unwrap()
}

#[test]
fn failure_in_one_container_undoes_change_in_all() {
    let (space, first) = space();
    let second = Model::new();
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
    let old = memory(2 * PAGE);
    let new = memory(2 * PAGE);
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
    let old = memory(2 * PAGE);
    let new = memory(PAGE);
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
    let Error::Lost {
        ranges,
        still_mapped,
        ..
    } = &error
    else {
        panic!("{error}")
    };

    assert_eq!(ranges, &[span(0, 2 * PAGE)]);
    assert!(still_mapped.is_empty());
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

    assert_eq!(calls(&model), before);
    assert_eq!(model.spans().len(), 1);
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
fn failed_unmap_is_repeated_by_clear() {
    let (space, model) = space();
    let memory = memory(PAGE);
    add(&space, ram(0, PAGE, &memory));
    let mut change = space.begin();
    change.clear(span(0, PAGE));
    model.fail(1);

    assert!(matches!(change.commit(), Err(Error::StillMapped { .. })));
    assert_eq!(model.spans().len(), 1);
    assert_eq!(Arc::strong_count(&memory), 2);

    let mut change = space.begin();
    change.clear(span(0, PAGE));
    change.commit().unwrap();
    assert_eq!(model.spans().len(), 0);
    assert_eq!(Arc::strong_count(&memory), 1);
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
        matches!(error, Error::Cut { cut, .. } if cut == span(0x10_0000, 2 * PAGE)),
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
    let error = change.commit().unwrap_err();

    assert!(
        matches!(error, Error::Overlap { other, .. } if other == span(0, 2 * PAGE)),
        "{error}"
    );

    let mut change = space.begin();
    change
        .add(ram(0x10_0000, 2 * PAGE, &memory))
        .add(ram(0x10_1000, PAGE, &memory));
    assert!(matches!(change.commit(), Err(Error::Overlap { .. })));
    assert_eq!(space.sections().len(), 1);
}

#[test]
fn late_container_gets_all_mappings_or_none() {
    let (space, model) = space();
    let memory = memory(PAGE);
    for i in 0..3 {
        add(&space, ram(i * 0x10_0000, PAGE, &memory));
    }
    let late = Model::new();
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
        Err(Error::AlreadyJoined)
    ));

    let late = late as Arc<dyn Dma>;
    space.leave(&late).unwrap();
    assert!(matches!(space.leave(&late), Err(Error::NotJoined)));
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

    // Another section there unmaps it.
    add(&space, ram(0, PAGE, &crate::memory(PAGE)));
    assert_eq!(Arc::strong_count(&memory), 1);
    assert_eq!(model.spans().len(), 1);
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
        panic!("the deleted section is unmapped")
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
