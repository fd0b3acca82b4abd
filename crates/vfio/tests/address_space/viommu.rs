//! Mappings that a guest makes in a virtual IOMMU.

use std::sync::Arc;

use passthru_vfio::address_space::{
    AddressSpace, Error, Memory, Section, SectionKind, Span, Translation, VirtualIommu,
};
use passthru_vfio::container::Access;

use crate::model::Model;
use crate::{
    PAGE, add, address, backing, bar, calls, granules, join, memory, ram, span, translation,
};

/// Makes a guest with two sections of memory from 0 on, and a BAR at 0xe000_0000.
fn guest() -> (Arc<AddressSpace>, [Arc<Memory>; 3]) {
    let system = Arc::new(AddressSpace::default());
    let memories = [memory(4 * PAGE), memory(4 * PAGE), memory(PAGE)];
    add(&system, ram(0, 4 * PAGE, &memories[0]));
    add(&system, ram(4 * PAGE, 4 * PAGE, &memories[1]));
    add(&system, bar(0xe000_0000, PAGE, &memories[2]));
    (system, memories)
}

#[test]
fn viommu_mapping_spans_several_sections() {
    let (system, [low, high, _]) = guest();
    let viommu = VirtualIommu::new(&system);
    let model = Model::new();
    join(viommu.space(), &model);
    viommu
        .map(translation(0x4000_0000, 4 * PAGE, 2 * PAGE))
        .unwrap();

    assert_eq!(model.at(0x4000_0000), address(&low, 2 * PAGE));
    assert_eq!(model.at(0x4000_2000), address(&high, 0));

    viommu.unmap(span(0x4000_0000, 4 * PAGE)).unwrap();
    assert!(model.spans().is_empty());
}

#[test]
fn viommu_mapping_without_memory_is_refused() {
    let (system, _) = guest();
    let viommu = VirtualIommu::new(&system);
    let error = viommu.map(translation(0, 2 * PAGE, 7 * PAGE)).unwrap_err();
    assert!(
        matches!(error, Error::Untranslated { target, .. } if target == span(7 * PAGE, 2 * PAGE)),
        "{error}"
    );

    add(&system, granules(0x100_0000, &memory(2 * PAGE), PAGE));
    system.populate(span(0x100_0000, PAGE)).unwrap();
    viommu.map(translation(0, PAGE, 0x100_0000)).unwrap();
    assert!(matches!(
        viommu.map(translation(0, PAGE, 0x100_1000)),
        Err(Error::Untranslated { .. })
    ));
}

#[test]
fn viommu_mapping_replaces_former_unless_equal() {
    let (system, [low, ..]) = guest();
    let viommu = VirtualIommu::new(&system);
    let model = Model::new();
    join(viommu.space(), &model);
    viommu.map(translation(0x8000, PAGE, 0)).unwrap();
    let before = calls(&model);
    viommu.map(translation(0x8000, PAGE, 0)).unwrap();

    assert_eq!(calls(&model), before);

    viommu.map(translation(0x8000, PAGE, PAGE)).unwrap();
    assert_eq!(model.at(0x8000), address(&low, PAGE));
}

#[test]
fn viommu_unmap_spans_gaps_but_cuts_nothing() {
    let (system, _) = guest();
    let viommu = VirtualIommu::new(&system);
    let model = Model::new();
    join(viommu.space(), &model);
    viommu.map(translation(0x1_0000, PAGE, 0)).unwrap();
    viommu.map(translation(0x8_0000, 2 * PAGE, 0)).unwrap();

    assert!(matches!(
        viommu.unmap(span(0, 0x8_1000)),
        Err(Error::Cut { .. })
    ));
    assert_eq!(model.spans().len(), 2);

    viommu.unmap(Span::ALL).unwrap();
    viommu.unmap(Span::ALL).unwrap();
    assert!(model.spans().is_empty());
}

#[test]
fn replay_replaces_all_mappings_also_for_late_container() {
    let (system, [low, ..]) = guest();
    let viommu = VirtualIommu::new(&system);
    let model = Model::new();
    let late = Model::new();
    join(viommu.space(), &model);
    viommu.map(translation(0x1_0000, PAGE, 0)).unwrap();
    viommu.map(translation(0x2_0000, PAGE, PAGE)).unwrap();
    let before = calls(&model);
    viommu
        .replay([
            translation(0x2_0000, PAGE, PAGE),
            translation(0x3_0000, PAGE, 2 * PAGE),
        ])
        .unwrap();

    assert_eq!(calls(&model), before + 2);
    assert_eq!(model.spans(), [span(0x2_0000, PAGE), span(0x3_0000, PAGE)]);

    join(viommu.space(), &late);
    assert_eq!(late.mappings(), model.mappings());
    assert_eq!(late.at(0x3_0000), address(&low, 2 * PAGE));
}

#[test]
fn unmappable_bar_behind_viommu_is_noted() {
    let (system, _) = guest();
    let viommu = VirtualIommu::new(&system);
    let model = Model::new();
    join(viommu.space(), &model);
    model.fail(1);

    assert_eq!(
        viommu.map(translation(0, PAGE, 0xe000_0000)).unwrap().len(),
        1
    );
}

#[test]
fn viommu_access_is_limited_by_mapping_and_memory() {
    let (system, _) = guest();
    let read_only = Section::new(
        span(0x100_0000, PAGE),
        SectionKind::Ram(backing(&memory(PAGE))),
        Access::Read,
    )
    .unwrap();
    add(&system, read_only);
    let viommu = VirtualIommu::new(&system);
    let model = Model::new();
    join(viommu.space(), &model);
    viommu.map(translation(0, PAGE, 0x100_0000)).unwrap();
    viommu
        .map(Translation {
            access: Access::Read,
            ..translation(0x1000, PAGE, 0)
        })
        .unwrap();
    viommu
        .map(Translation {
            access: Access::Write,
            ..translation(0x2000, PAGE, 0x100_0000)
        })
        .unwrap();

    assert_eq!(model.spans(), [span(0, PAGE), span(0x1000, PAGE)]);
    assert!(
        model
            .mappings()
            .values()
            .all(|(.., access)| *access == Access::Read),
        "{model:?}"
    );
}
